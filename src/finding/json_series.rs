//! The part of a finding's JSON that only findings about a series fill, and the volumes of a report (schema `overread.report/1`).
use serde::{Deserialize, Serialize};

use super::{
    KeySlice, Measured, OfSeries, Quantity, ReadVolume,
    json::{RegionJson, uid},
};
use crate::{
    error::{Error, Result},
    pixel::{DEFECTS, SliceSource},
};

/// Keys beside those of every finding; for a finding about an image, null or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OfSeriesJson {
    series_instance_uid: Option<String>,
    /// Frames that were read, in the order of the slices; neighbours of one instance share an entry.
    sources: Vec<SourceJson>,
    key_images: Vec<KeyImageJson>,
    measurements: Vec<MeasurementJson>,
    segmentation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SourceJson {
    sop_instance_uid: String,
    frame_numbers: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeyImageJson {
    /// From 1, in the order of the slices.
    slice: u32,
    sop_instance_uid: String,
    frame_number: u32,
    probability: f32,
    region: Option<RegionJson>,
    heatmap: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MeasurementJson {
    name: String,
    part: u32,
    values: Vec<f64>,
    unit: String,
}

/// A volume that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct VolumeJson {
    series_instance_uid: String,
    /// Slices, rows, columns.
    shape: [u32; 3],
    /// Slice, row, column, mm.
    spacing: [f64; 3],
    warnings: Vec<String>,
}

impl From<Option<&OfSeries>> for OfSeriesJson {
    fn from(of: Option<&OfSeries>) -> OfSeriesJson {
        let Some(of) = of else { return OfSeriesJson::default() };
        OfSeriesJson {
            series_instance_uid: Some(of.series.to_string()),
            sources: grouped(&of.sources),
            key_images: of.key_slices.iter().map(KeyImageJson::from).collect(),
            measurements: of.measured.iter().map(MeasurementJson::from).collect(),
            segmentation: of.segmentation.clone(),
        }
    }
}

fn grouped(sources: &[SliceSource]) -> Vec<SourceJson> {
    let same = |a: &SliceSource, b: &SliceSource| a.sop_instance == b.sop_instance;
    let of_instance = |frames: &[SliceSource]| SourceJson {
        sop_instance_uid: frames[0].sop_instance.to_string(),
        frame_numbers: frames.iter().map(|frame| frame.frame_number).collect(),
    };
    sources.chunk_by(same).map(of_instance).collect()
}

impl OfSeriesJson {
    /// Errors: `Internal`, since only we write it.
    pub(super) fn read(self) -> Result<Option<OfSeries>> {
        let Some(series) = self.series_instance_uid else { return Ok(None) };
        let mut sources = Vec::new();
        for source in self.sources {
            let sop_instance = uid(&source.sop_instance_uid)?;
            let of = |frame_number| SliceSource { sop_instance: sop_instance.clone(), frame_number };
            sources.extend(source.frame_numbers.into_iter().map(of));
        }
        Ok(Some(OfSeries {
            series: uid(&series)?,
            sources,
            key_slices: self.key_images.into_iter().map(KeyImageJson::read).collect::<Result<_>>()?,
            measured: self.measurements.into_iter().map(MeasurementJson::read).collect::<Result<_>>()?,
            segmentation: self.segmentation,
        }))
    }
}

impl From<&KeySlice> for KeyImageJson {
    fn from(key: &KeySlice) -> KeyImageJson {
        KeyImageJson {
            slice: key.slice + 1,
            sop_instance_uid: key.source.sop_instance.to_string(),
            frame_number: key.source.frame_number,
            probability: key.probability,
            region: key.region.map(RegionJson::from),
            heatmap: key.heatmap.clone(),
        }
    }
}

impl KeyImageJson {
    fn read(self) -> Result<KeySlice> {
        Ok(KeySlice {
            slice: self.slice.saturating_sub(1),
            source: SliceSource { sop_instance: uid(&self.sop_instance_uid)?, frame_number: self.frame_number },
            probability: self.probability,
            region: self.region.map(RegionJson::read),
            heatmap: self.heatmap,
        })
    }
}

impl From<&Measured> for MeasurementJson {
    fn from(measured: &Measured) -> MeasurementJson {
        MeasurementJson {
            name: measured.quantity.name().to_owned(),
            part: measured.part,
            values: measured.values.clone(),
            unit: measured.quantity.unit().to_owned(),
        }
    }
}

impl MeasurementJson {
    fn read(self) -> Result<Measured> {
        let unknown = || Error::internal("stored JSON measures something that is not of the set");
        let quantity = Quantity::from_name(&self.name).ok_or_else(unknown)?;
        Ok(Measured { quantity, part: self.part, values: self.values })
    }
}

impl From<&ReadVolume> for VolumeJson {
    fn from(volume: &ReadVolume) -> VolumeJson {
        VolumeJson {
            series_instance_uid: volume.series.to_string(),
            shape: volume.size,
            spacing: volume.spacing,
            warnings: volume.warnings.iter().map(|defect| defect.name().to_owned()).collect(),
        }
    }
}

impl VolumeJson {
    /// Errors: `Internal`, since only we write it.
    pub(super) fn read(self) -> Result<ReadVolume> {
        let unknown = || Error::internal("stored JSON warns of something that is not of the set");
        let warning =
            |name: String| DEFECTS.iter().find(|row| row.name == name).map(|row| row.defect).ok_or_else(unknown);
        Ok(ReadVolume {
            series: uid(&self.series_instance_uid)?,
            size: self.shape,
            spacing: self.spacing,
            warnings: self.warnings.into_iter().map(warning).collect::<Result<_>>()?,
        })
    }
}
