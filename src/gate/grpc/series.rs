//! What findings about series have beyond those about images, as messages, and back.
use super::{convert, name, v1};
use crate::{
    finding::{KeySlice, Measured, OfSeries, Quantity, ReadVolume},
    pixel::{DEFECTS, Defect, SliceSource},
    uid::Uid,
};

/// Frames in their order; neighbours of one instance share a message.
pub(super) fn sources(sources: &[SliceSource]) -> Vec<v1::SourceImage> {
    let of_instance = |frames: &[SliceSource]| v1::SourceImage {
        sop_instance_uid: frames[0].sop_instance.to_string(),
        frame_numbers: frames.iter().map(|frame| frame.frame_number).collect(),
    };
    sources.chunk_by(|a, b| a.sop_instance == b.sop_instance).map(of_instance).collect()
}

/// The frames of such messages. `None`: a UID is none.
pub(super) fn read_sources(sources: &[v1::SourceImage]) -> Option<Vec<SliceSource>> {
    let mut frames = Vec::new();
    for source in sources {
        let sop_instance = Uid::parse(&source.sop_instance_uid).ok()?;
        let frame = |number: &u32| SliceSource { sop_instance: sop_instance.clone(), frame_number: *number };
        frames.extend(source.frame_numbers.iter().map(frame));
    }
    Some(frames)
}

/// The key slices of a finding.
pub(super) fn key_images(study: &Uid, revision: u32, finding: &Uid, of: &OfSeries) -> Vec<v1::KeyImage> {
    let message = |(place, key): (u32, &KeySlice)| v1::KeyImage {
        source: Some(convert::source(&key.source.sop_instance, key.source.frame_number)),
        slice: key.slice + 1,
        probability: key.probability,
        region: key.region.map(convert::region),
        heatmap: match &key.heatmap {
            Some(_) => name::of_key_heatmap(study, revision, finding, place),
            None => String::new(),
        },
    };
    (1..).zip(&of.key_slices).map(message).collect()
}

/// What was measured.
pub(super) fn measurements(of: &OfSeries) -> Vec<v1::Measurement> {
    let message = |measured: &Measured| v1::Measurement {
        name: measured.quantity.name().to_owned(),
        part: measured.part,
        values: measured.values.clone(),
        unit: measured.quantity.unit().to_owned(),
    };
    of.measured.iter().map(message).collect()
}

/// The quantities that this build knows.
pub(super) fn read_measurements(measurements: Vec<v1::Measurement>) -> Vec<Measured> {
    let read = |message: v1::Measurement| {
        let quantity = Quantity::from_name(&message.name).filter(|quantity| quantity.unit() == message.unit)?;
        Some(Measured { quantity, part: message.part, values: message.values })
    };
    measurements.into_iter().filter_map(read).collect()
}

/// A volume that was read.
pub(super) fn volume(volume: &ReadVolume) -> v1::ReadVolume {
    let ([slices, rows, columns], [slice_spacing_mm, row_spacing_mm, column_spacing_mm]) =
        (volume.size, volume.spacing);
    v1::ReadVolume {
        series_instance_uid: volume.series.to_string(),
        slices,
        rows,
        columns,
        slice_spacing_mm,
        row_spacing_mm,
        column_spacing_mm,
        warnings: volume.warnings.iter().map(|defect| warning_number(*defect)).collect(),
    }
}

/// The API's number of a defect: its place in the table, after UNSPECIFIED.
fn warning_number(defect: Defect) -> i32 {
    defect as i32 + 1
}

/// A volume of such a message, without warnings that this build does not know. `None`: the UID is none.
pub(super) fn read_volume(message: &v1::ReadVolume) -> Option<ReadVolume> {
    let defect = |number: &i32| {
        let index = usize::try_from(*number).ok()?.checked_sub(1)?;
        DEFECTS.get(index).map(|row| row.defect)
    };
    Some(ReadVolume {
        series: Uid::parse(&message.series_instance_uid).ok()?,
        size: [message.slices, message.rows, message.columns],
        spacing: [message.slice_spacing_mm, message.row_spacing_mm, message.column_spacing_mm],
        warnings: message.warnings.iter().filter_map(defect).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_has_its_name_in_the_api() {
        for row in DEFECTS {
            let warning = v1::VolumeWarning::try_from(warning_number(row.defect)).expect("a warning of the API");
            assert_eq!(warning.as_str_name(), format!("VOLUME_WARNING_{}", row.name.to_uppercase()));
        }
    }

    #[test]
    fn frames_keep_their_order_through_messages() {
        let frame = |name: &[u8], frame_number| SliceSource { sop_instance: Uid::derive(&[name]), frame_number };
        let frames = [frame(b"a", 2), frame(b"a", 1), frame(b"b", 1), frame(b"a", 3)];
        let messages = sources(&frames);
        assert_eq!(messages.len(), 3);
        assert_eq!(read_sources(&messages).as_deref(), Some(frames.as_slice()));
    }
}
