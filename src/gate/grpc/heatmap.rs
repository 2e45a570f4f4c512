//! A stored heatmap in one of the formats of the API.
use bytes::Bytes;
use ndarray::Array2;

use super::{budget::Share, convert, name::FindingName, serve::Gate, v1};
use crate::{
    deliver,
    dicom::Instance,
    error::{Code, Error, Result, Subject},
    finding::{Finding, Heatmap, KeySlice},
    ledger::Ledger,
    pixel::{self, Image, SliceSource},
    uid::Uid,
};

/// How a heatmap is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OverlayPng,
    MapPng,
    Float32,
}

impl Format {
    /// `None` for UNSPECIFIED.
    pub(super) fn of(format: v1::HeatmapFormat) -> Option<Format> {
        match format {
            v1::HeatmapFormat::Unspecified => None,
            v1::HeatmapFormat::OverlayPng => Some(Format::OverlayPng),
            v1::HeatmapFormat::MapPng => Some(Format::MapPng),
            v1::HeatmapFormat::Float32 => Some(Format::Float32),
        }
    }

    fn message(self) -> v1::HeatmapFormat {
        match self {
            Format::OverlayPng => v1::HeatmapFormat::OverlayPng,
            Format::MapPng => v1::HeatmapFormat::MapPng,
            Format::Float32 => v1::HeatmapFormat::Float32,
        }
    }
}

/// The frame of a finding whose heatmap is asked for.
pub(super) struct Shown {
    /// Name of the heatmap's artifact.
    pub(super) digest: String,
    source: SliceSource,
    /// The slice that it is, of a finding about a series.
    key: Option<KeySlice>,
}

impl Shown {
    /// That of the finding's own image, or of one of its key images, counted from 1. `None`: there is no such one, or no map of it.
    pub(super) fn of(finding: &Finding, key_image: Option<u32>) -> Option<Shown> {
        let keys = finding.of_series.as_ref().map(|of| of.key_slices.as_slice()).unwrap_or_default();
        let key = match key_image {
            Some(place) => Some(keys.get((place as usize).checked_sub(1)?)?),
            None => keys.first(),
        };
        let own = SliceSource { sop_instance: finding.sop_instance.clone(), frame_number: finding.frame_number };
        let digest = if key_image.is_some() { key?.heatmap.clone()? } else { finding.heatmap.clone()? };
        Some(Shown { digest, source: key.map_or(own, |key| key.source.clone()), key: key.cloned() })
    }
}

/// A heatmap as it is sent.
pub(super) struct Drawn {
    pub(super) header: v1::HeatmapHeader,
    pub(super) bytes: Bytes,
    /// Its memory, held until it is sent.
    pub(super) share: Share,
}

/// Draws the heatmap of `finding` that `artifact` holds.
///
/// Errors: `NotFound` when the source image is gone; those of reading it (OVERLAY_PNG only).
pub(super) async fn draw(
    gate: &Gate,
    name: &FindingName,
    finding: Finding,
    shown: Shown,
    artifact: Bytes,
    format: Format,
) -> Result<Drawn> {
    let bytes = match format {
        Format::OverlayPng => {
            Some(source_bytes(&gate.rooms.ledger, &name.study, name.revision, &shown.source.sop_instance).await?)
        }
        Format::MapPng | Format::Float32 => None,
    };
    let heatmap = Heatmap::from_bytes(&artifact)?;
    let share = gate.budget.reserve(drawing_bytes(&heatmap)).await?;
    let (limits, decoder) = (gate.rooms.limits.clone(), gate.rooms.decoder.clone());
    let model = deliver::serving(&gate.rooms.models, &finding);
    // The window through which the model saw the image, if it has one of its own.
    let window = model.and_then(|model| model.manifest.display_window());
    let outline_at = model.map_or(deliver::OUTLINE_AT, |model| model.manifest.outline_at());
    let work = move || {
        let (header, bytes) = match bytes {
            Some(bytes) => {
                let instance = Instance::read(&bytes, &limits)?;
                let frame_index = shown.source.frame_number.saturating_sub(1);
                let image = match window {
                    Some(window) => pixel::windowed(&decoder, &instance, frame_index, window)?,
                    None => pixel::image(&decoder, &instance, frame_index)?,
                };
                overlay(&heatmap, &finding, &shown, &image, outline_at)?
            }
            None => map(&heatmap, &shown, format)?,
        };
        Ok(Drawn { header, bytes: bytes.into(), share })
    };
    // Decoding, resampling and compressing are CPU work: off the async threads.
    match tokio::task::spawn_blocking(work).await {
        Ok(drawn) => drawn,
        Err(_) => Err(Error::internal("drawing the heatmap failed unexpectedly")),
    }
}

/// The instance as it came.
async fn source_bytes(ledger: &Ledger, study: &Uid, revision: u32, sop_instance: &Uid) -> Result<Bytes> {
    let rows = ledger.instances(study, revision).await?;
    let gone = || {
        let subject = Subject::Instance(sop_instance.to_string());
        Error::new(Code::NotFound, "the source image is not here any more").about(subject)
    };
    let row = rows.iter().find(|row| row.sop_instance == *sop_instance).ok_or_else(gone)?;
    ledger.read(row).await
}

/// What drawing takes at most, about: the map and the image in float32, and what is made of them.
fn drawing_bytes(heatmap: &Heatmap) -> u64 {
    let [rows, columns] = heatmap.source_size.map(u64::from);
    rows * columns * 12
}

fn overlay(
    heatmap: &Heatmap,
    finding: &Finding,
    shown: &Shown,
    image: &Image,
    outline_at: f32,
) -> Result<(v1::HeatmapHeader, Vec<u8>)> {
    let png = heatmap.overlay_png(image.values.view(), finding, shown.key.as_ref(), outline_at)?;
    Ok((header(heatmap, shown, Format::OverlayPng, png_size(&png)?, png.len()), png))
}

fn map(heatmap: &Heatmap, shown: &Shown, format: Format) -> Result<(v1::HeatmapHeader, Vec<u8>)> {
    let bytes = match format {
        Format::MapPng => heatmap.map_png()?,
        Format::Float32 | Format::OverlayPng => float32(&heatmap.source_values()),
    };
    Ok((header(heatmap, shown, format, heatmap.source_size, bytes.len()), bytes))
}

fn float32(values: &Array2<f32>) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Rows and columns that a PNG states in its first chunk (PNG 11.2.1).
fn png_size(png: &[u8]) -> Result<[u32; 2]> {
    let side = |at: usize| png.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    side(20).zip(side(16)).map(|(rows, columns)| [rows, columns]).ok_or_else(|| Error::internal("a PNG has no header"))
}

fn header(
    heatmap: &Heatmap,
    shown: &Shown,
    format: Format,
    [rows, columns]: [u32; 2],
    size: usize,
) -> v1::HeatmapHeader {
    let in_source_pixels =
        v1::PixelMapping { left: 0.0, top: 0.0, source_pixels_per_column: 1.0, source_pixels_per_row: 1.0 };
    v1::HeatmapHeader {
        format: format.message().into(),
        rows,
        columns,
        source: Some(convert::source(&shown.source.sop_instance, shown.source.frame_number)),
        source_rows: heatmap.source_size[0],
        source_columns: heatmap.source_size[1],
        mapping: (format != Format::OverlayPng).then_some(in_source_pixels),
        size_bytes: size as u64,
    }
}
