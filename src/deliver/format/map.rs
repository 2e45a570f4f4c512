//! The heatmap of a finding as numbers: Parametric Map (PS3.3 A.75) of 32-bit floats, in the pixels of the source images.
//!
//! Of a series the key slices, which are those that have a map, in the order of the slices. A projection has no frame of reference: the
//! object must have one, and gets one that no other object shares.
use ndarray::Array2;

use super::{
    Material, code,
    code::{Code, shortened},
    geometry::{self, Grid},
    head,
    references::References,
};
use crate::{
    deliver::{Planned, plan::maps_of},
    dicom::{Dataset, tags},
    error::{Error, Result},
    finding::Finding,
    pixel::SliceSource,
    uid::Uid,
};

const FRAME_TYPE: [&str; 4] = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"];

pub(super) fn write(planned: &Planned, material: &Material) -> Result<Dataset> {
    let finding = material.finding(planned)?;
    let maps = values(finding, material)?;
    let sources: Vec<SliceSource> = maps.iter().map(|(source, _)| source.clone()).collect();
    let grid = match &finding.of_series {
        Some(_) => Grid::of_slices(material, &sources)?,
        None => Grid::of_image(material.origin(&finding.sop_instance)?),
    };
    let organization = Uid::derive(&[b"dimensions", planned.sop_instance.as_str().as_bytes()]);
    let frame =
        |(rank, source): (u32, &SliceSource)| geometry::frame(material, source, &[rank], code::UNSPECIFIED_METHOD);
    let frames: Vec<Dataset> = (1..).zip(&sources).map(frame).collect::<Result<_>>()?;
    let mut named = References::default();
    sources.iter().try_for_each(|source| material.origin(&source.sop_instance).map(|origin| named.add(origin)))?;
    let dimensions = [(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE)];
    Ok(image()
        .with(grid.top(&organization, &dimensions, frames.len()))
        .item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, grid.shared().with(meaning(finding, &grid)))
        .items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames)
        .items(tags::REFERENCED_SERIES_SEQUENCE, named.by_series(tags::REFERENCED_INSTANCE_SEQUENCE))
        .text(tags::CONTENT_DESCRIPTION, shortened(&format!("Activation: {}", finding.code.meaning), 64))
        .floats(tags::FLOAT_PIXEL_DATA, maps.iter().flat_map(|(_, values)| values.iter().copied()).collect()))
}

/// Values in source pixels, frame by frame.
fn values(finding: &Finding, material: &Material) -> Result<Vec<(SliceSource, Array2<f32>)>> {
    let value = |(source, digest): (SliceSource, &String)| {
        let lacks = || Error::internal("a planned map lacks its heatmap");
        Ok((source, material.heatmaps.get(digest).ok_or_else(lacks)?.source_values()))
    };
    maps_of(finding).into_iter().map(value).collect()
}

/// What holds for every map.
fn image() -> Dataset {
    Dataset::new()
        .texts(tags::IMAGE_TYPE, FRAME_TYPE)
        .text(tags::CONTENT_LABEL, "AI_HEATMAP")
        .text(tags::CONTENT_CREATOR_NAME, head::CREATOR)
        .text(tags::CONTENT_QUALIFICATION, "RESEARCH")
        .words(tags::SAMPLES_PER_PIXEL, &[1])
        .text(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2")
        .words(tags::BITS_ALLOCATED, &[32])
        .text(tags::BURNED_IN_ANNOTATION, "NO")
        .text(tags::RECOGNIZABLE_VISUAL_FEATURES, "NO")
        .text(tags::LOSSY_IMAGE_COMPRESSION, "00")
        .text(tags::PRESENTATION_LUT_SHAPE, "IDENTITY")
        .items(tags::ACQUISITION_CONTEXT_SEQUENCE, [])
}

/// What the numbers are: 0 says nothing for the finding, 1 is the strongest activation that the map can show.
fn meaning(finding: &Finding, grid: &Grid<'_>) -> Dataset {
    let quantity = Dataset::new()
        .text(tags::VALUE_TYPE, "CODE")
        .item(tags::CONCEPT_NAME_CODE_SEQUENCE, code::QUANTITY.item())
        .item(tags::CONCEPT_CODE_SEQUENCE, code::CLASS_ACTIVATION.item());
    let mapping = Dataset::new()
        .text(tags::LUT_EXPLANATION, shortened(&format!("Class activation, 0 to 1: {}", finding.code.meaning), 64))
        .text(tags::LUT_LABEL, "ACTIVATION")
        .item(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, code::NO_UNITS.item())
        .doubles(tags::DOUBLE_FLOAT_REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, &[0.0])
        .doubles(tags::DOUBLE_FLOAT_REAL_WORLD_VALUE_LAST_VALUE_MAPPED, &[1.0])
        .doubles(tags::REAL_WORLD_VALUE_INTERCEPT, &[0.0])
        .doubles(tags::REAL_WORLD_VALUE_SLOPE, &[1.0])
        .item(tags::QUANTITY_DEFINITION_SEQUENCE, quantity);
    let window = Dataset::new().text(tags::WINDOW_CENTER, "0.5").text(tags::WINDOW_WIDTH, "1");
    let rescale =
        Dataset::new().text(tags::RESCALE_INTERCEPT, "0").text(tags::RESCALE_SLOPE, "1").text(tags::RESCALE_TYPE, "US");
    // Readers of DCMTK's family need the group, whether or not the region is known.
    let region = grid.anatomy().unwrap_or(Code::new("38266002", "SCT", "Entire Body"));
    let anatomy = Dataset::new().item(tags::ANATOMIC_REGION_SEQUENCE, region.item()).text(tags::FRAME_LATERALITY, "U");
    Dataset::new()
        .item(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, mapping)
        .item(tags::FRAME_VOILUT_SEQUENCE, window)
        .item(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, rescale)
        .item(tags::FRAME_ANATOMY_SEQUENCE, anatomy)
        .item(tags::PARAMETRIC_MAP_FRAME_TYPE_SEQUENCE, Dataset::new().texts(tags::FRAME_TYPE, FRAME_TYPE))
}
