//! A picture for any viewer: Secondary Capture (PS3.3 A.8.1), RGB, with heatmap, line, legend and words burnt in.
//!
//! It has no place in the patient and no spacing: nobody shall measure on it, and no viewer shall stack it with its source.
use super::{Material, code, references};
use crate::{
    deliver::Planned,
    dicom::{Dataset, Tag, tags},
    error::{Error, Result},
};

/// Above the caption of every picture.
const NOTICE: &str = "AI result, unverified, research use";

/// Once lossy, always lossy: of what the picture shows.
const LOSSY: &[Tag] =
    &[tags::LOSSY_IMAGE_COMPRESSION, tags::LOSSY_IMAGE_COMPRESSION_RATIO, tags::LOSSY_IMAGE_COMPRESSION_METHOD];

pub(super) fn write(planned: &Planned, material: &Material) -> Result<Dataset> {
    let finding = material.finding(planned)?;
    let lacks = || Error::internal("a planned picture lacks its frame or its heatmap");
    let (frame, digest) = planned.drawn(finding).ok_or_else(lacks)?;
    let heatmap = material.heatmaps.get(digest).ok_or_else(lacks)?;
    let seen = material.frames.get(&frame).ok_or_else(lacks)?;
    let key = planned.key.and_then(|place| finding.of_series.as_ref()?.key_slices.get(place));
    let picture = heatmap.overlay(seen.values.view(), finding, key, seen.outline_at, Some(NOTICE))?;
    let origin = material.origin(&frame.sop_instance)?;
    let source =
        references::slice(material, &frame)?.item(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, code::SOURCE_IMAGE.item());
    // A picture's longest side is bounded far below 16 bits.
    let side = |side: usize| [u16::try_from(side).unwrap_or(u16::MAX)];
    Ok(Dataset::new()
        .text(tags::CONVERSION_TYPE, "WSD")
        .texts(tags::IMAGE_TYPE, ["DERIVED", "SECONDARY"])
        .copied_or_empty(&origin.attributes, &[tags::PATIENT_ORIENTATION])
        .copied(&origin.attributes, LOSSY)
        .text(tags::BURNED_IN_ANNOTATION, "YES")
        .text(tags::DERIVATION_DESCRIPTION, "Windowed, heatmap and text burnt in")
        .item(tags::SOURCE_IMAGE_SEQUENCE, source)
        .words(tags::SAMPLES_PER_PIXEL, &[3])
        .text(tags::PHOTOMETRIC_INTERPRETATION, "RGB")
        .words(tags::PLANAR_CONFIGURATION, &[0])
        .words(tags::ROWS, &side(picture.rows))
        .words(tags::COLUMNS, &side(picture.columns))
        .words(tags::BITS_ALLOCATED, &[8])
        .words(tags::BITS_STORED, &[8])
        .words(tags::HIGH_BIT, &[7])
        .words(tags::PIXEL_REPRESENTATION, &[0])
        .bytes(tags::PIXEL_DATA, picture.rgb))
}
