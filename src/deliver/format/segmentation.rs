//! The mask of a finding: Segmentation (PS3.3 A.51), binary, one segment, on the voxels of the source series.
//!
//! Slices without a voxel of it are left out. The bits of all frames are one stream: a frame may begin within a byte.
use super::{
    Material, code,
    code::{Code, shortened},
    geometry::{self, Grid},
    head,
    references::References,
};
use crate::{
    deliver::{Planned, plan::mask_of},
    dicom::{Dataset, tags},
    error::{Error, Result},
    finding::Finding,
    uid::Uid,
};

/// What viewers colour it with: CIELab (62, 70, 60), a clear red, as unsigned 16-bit numbers (PS3.3 C.10.7.1.1).
const COLOUR: [u16; 3] = [40_632, 50_886, 48_316];

pub(super) fn write(planned: &Planned, material: &Material) -> Result<Dataset> {
    let finding = material.finding(planned)?;
    let lacks = || Error::internal("a planned segmentation lacks its mask or its slices");
    let of = finding.of_series.as_ref().ok_or_else(lacks)?;
    let mask = mask_of(finding).and_then(|digest| material.masks.get(digest)).ok_or_else(lacks)?;
    let grid = Grid::of_slices(material, &of.sources)?;
    let organization = Uid::derive(&[b"dimensions", planned.sop_instance.as_str().as_bytes()]);
    let (mut bits, mut frames) = (Bits::default(), Vec::new());
    for (slice, source) in (0..).zip(&of.sources) {
        let plane = mask.slice(slice).ok_or_else(lacks)?;
        if plane.iter().any(|inside| *inside) {
            plane.iter().for_each(|inside| bits.push(*inside));
            let rank = u32::try_from(frames.len() + 1).unwrap_or(u32::MAX);
            let frame = geometry::frame(material, source, &[1, rank], code::SEGMENTATION)?;
            let segment = Dataset::new().words(tags::REFERENCED_SEGMENT_NUMBER, &[1]);
            frames.push(frame.item(tags::SEGMENT_IDENTIFICATION_SEQUENCE, segment));
        }
    }
    let mut named = References::default();
    of.sources.iter().try_for_each(|source| material.origin(&source.sop_instance).map(|origin| named.add(origin)))?;
    let dimensions = [
        (tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE),
        (tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE),
    ];
    Ok(image()
        .with(grid.top(&organization, &dimensions, frames.len()))
        .item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, grid.shared())
        .items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames)
        .item(tags::SEGMENT_SEQUENCE, segment(finding, &grid))
        .items(tags::REFERENCED_SERIES_SEQUENCE, named.by_series(tags::REFERENCED_INSTANCE_SEQUENCE))
        .text(tags::CONTENT_DESCRIPTION, shortened(&finding.code.meaning, 64))
        .bytes(tags::PIXEL_DATA, bits.bytes))
}

/// What holds for every binary segmentation.
fn image() -> Dataset {
    Dataset::new()
        .texts(tags::IMAGE_TYPE, ["DERIVED", "PRIMARY"])
        .item(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, code::own_scheme())
        .text(tags::CONTENT_LABEL, "AI_MASK")
        .text(tags::CONTENT_CREATOR_NAME, head::CREATOR)
        .words(tags::SAMPLES_PER_PIXEL, &[1])
        .text(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2")
        .words(tags::BITS_ALLOCATED, &[1])
        .words(tags::BITS_STORED, &[1])
        .words(tags::HIGH_BIT, &[0])
        .words(tags::PIXEL_REPRESENTATION, &[0])
        .text(tags::LOSSY_IMAGE_COMPRESSION, "00")
        .text(tags::SEGMENTATION_TYPE, "BINARY")
        .text(tags::SEGMENTS_OVERLAP, "NO")
}

fn segment(finding: &Finding, grid: &Grid<'_>) -> Dataset {
    let made_by = &finding.provenance;
    let algorithm = Dataset::new()
        .item(tags::ALGORITHM_FAMILY_CODE_SEQUENCE, code::ARTIFICIAL_INTELLIGENCE.item())
        .text(tags::ALGORITHM_NAME, shortened(&made_by.model, 64))
        .text(tags::ALGORITHM_VERSION, shortened(&made_by.version, 64));
    let segment = Dataset::new()
        .words(tags::SEGMENT_NUMBER, &[1])
        .text(tags::SEGMENT_LABEL, shortened(&finding.code.meaning, 64))
        .text(tags::SEGMENT_DESCRIPTION, "AI result, unverified")
        .text(tags::SEGMENT_ALGORITHM_TYPE, "AUTOMATIC")
        .text(tags::SEGMENT_ALGORITHM_NAME, shortened(&format!("{} {}", made_by.model, made_by.version), 64))
        .item(tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE, algorithm)
        .item(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, code::ABNORMAL_STRUCTURE.item())
        .item(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, Code::from(&finding.code).item())
        .text(tags::TRACKING_ID, shortened(&finding.label, 64))
        .text(tags::TRACKING_UID, &finding.uid)
        .words(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, &COLOUR);
    match grid.anatomy() {
        Some(site) => segment.item(tags::ANATOMIC_REGION_SEQUENCE, site.item()),
        None => segment,
    }
}

/// A stream of bits, the least significant of each byte first (PS3.5 8.1.1).
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    filled: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.filled.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (self.filled % 8);
        }
        self.filled += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_run_on_over_the_ends_of_bytes() {
        let mut bits = Bits::default();
        for bit in [true, false, false, true, false, false, false, false, true, true] {
            bits.push(bit);
        }
        assert_eq!(bits.bytes, [0b0000_1001, 0b0000_0011]);
    }
}
