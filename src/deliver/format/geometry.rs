//! The functional groups that masks and maps share: where their frames lie, in how large pixels, and from which images they come.
//!
//! Standard: PS3.3 C.7.6.16 (multi-frame functional groups). Numbers of the source are written as the numbers that they are, so that
//! readers which compare places find them equal.
use super::{
    Material,
    code::{self, Code},
    references,
};
use crate::{
    dicom::{Dataset, Origin, Tag, tags},
    error::{Error, Result},
    pixel::SliceSource,
    uid::Uid,
};

/// What holds for all frames.
pub(super) struct Grid<'a> {
    pub(super) rows: u32,
    pub(super) columns: u32,
    directions: [[f64; 3]; 2],
    spacing: [f64; 2],
    thickness: f64,
    /// Between slices, where they are even and not sheared.
    step: Option<f64>,
    frame_of_reference: String,
    reference_indicator: &'a str,
    body_part: &'a str,
}

/// A projection has no place in the patient: objects of kinds that must have one get this.
const FLAT: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
/// How far slices may be off an even, upright stack, mm: what DICOM's decimal strings round.
const EVEN_MM: f64 = 1e-3;

impl<'a> Grid<'a> {
    /// The grid of the slices that `sources` name; all of one stack. Errors: `Internal` when there are none.
    pub(super) fn of_slices(material: &'a Material, sources: &[SliceSource]) -> Result<Grid<'a>> {
        let first = sources.first().ok_or_else(|| Error::internal("a volume without slices has no grid"))?;
        let origin = material.origin(&first.sop_instance)?;
        let plane = origin.header.planes.of(first.frame_number.saturating_sub(1));
        let directions = plane.directions.unwrap_or(FLAT);
        let places: Vec<[f64; 3]> = sources.iter().map(|source| position(material, source)).collect::<Result<_>>()?;
        let step = step(&places, directions);
        let stated = origin.attributes.first(tags::SLICE_THICKNESS).and_then(|text| text.parse().ok());
        Ok(Grid {
            directions,
            spacing: plane.spacing_mm.unwrap_or([1.0; 2]),
            thickness: stated.filter(|mm: &f64| *mm > 0.0).or(step).unwrap_or(1.0),
            step,
            ..Grid::of_image(origin)
        })
    }

    /// The grid of a projection: flat, with the spacing of its detector where that is known.
    pub(super) fn of_image(origin: &'a Origin) -> Grid<'a> {
        let source = &origin.attributes;
        let made_up =
            || Uid::derive(&[b"frame of reference", origin.header.sop_instance.as_str().as_bytes()]).to_string();
        Grid {
            rows: u32::from(origin.header.rows),
            columns: u32::from(origin.header.columns),
            directions: FLAT,
            spacing: origin.header.pixel_spacing_mm.unwrap_or([1.0; 2]),
            thickness: 1.0,
            step: None,
            frame_of_reference: source.first(tags::FRAME_OF_REFERENCE_UID).map_or_else(made_up, str::to_owned),
            reference_indicator: source.first(tags::POSITION_REFERENCE_INDICATOR).unwrap_or_default(),
            body_part: &origin.header.body_part,
        }
    }

    /// Pixel Measures and Plane Orientation.
    pub(super) fn shared(&self) -> Dataset {
        let measures = Dataset::new()
            .decimals(tags::PIXEL_SPACING, self.spacing)
            .decimals(tags::SLICE_THICKNESS, [self.thickness]);
        let measures = match self.step {
            Some(step) => measures.decimals(tags::SPACING_BETWEEN_SLICES, [step]),
            None => measures,
        };
        let orientation = Dataset::new().decimals(tags::IMAGE_ORIENTATION_PATIENT, self.directions.concat());
        Dataset::new().item(tags::PIXEL_MEASURES_SEQUENCE, measures).item(tags::PLANE_ORIENTATION_SEQUENCE, orientation)
    }

    /// The region that the source names, if it has a code.
    pub(super) fn anatomy(&self) -> Option<Code<'static>> {
        code::site(self.body_part)
    }

    /// Size and frame of reference, and the dimensions in which frames are ordered: pairs of an attribute and the group it is in.
    pub(super) fn top(&self, organization: &Uid, dimensions: &[(Tag, Tag)], frames: usize) -> Dataset {
        let index = dimensions.iter().map(|(pointer, group)| {
            Dataset::new()
                .text(tags::DIMENSION_ORGANIZATION_UID, organization)
                .tags(tags::DIMENSION_INDEX_POINTER, &[*pointer])
                .tags(tags::FUNCTIONAL_GROUP_POINTER, &[*group])
        });
        // Rows and Columns came from 16-bit attributes.
        let side = |side: u32| [u16::try_from(side).unwrap_or(u16::MAX)];
        Dataset::new()
            .text(tags::FRAME_OF_REFERENCE_UID, &self.frame_of_reference)
            .text(tags::POSITION_REFERENCE_INDICATOR, self.reference_indicator)
            .item(
                tags::DIMENSION_ORGANIZATION_SEQUENCE,
                Dataset::new().text(tags::DIMENSION_ORGANIZATION_UID, organization),
            )
            .items(tags::DIMENSION_INDEX_SEQUENCE, index)
            .words(tags::ROWS, &side(self.rows))
            .words(tags::COLUMNS, &side(self.columns))
            .text(tags::NUMBER_OF_FRAMES, frames)
    }
}

/// The groups of one frame: its place, its rank in each dimension, and the image that it comes from.
pub(super) fn frame(material: &Material, source: &SliceSource, ranks: &[u32], derivation: Code<'_>) -> Result<Dataset> {
    let image = references::slice(material, source)?
        .text(tags::SPATIAL_LOCATIONS_PRESERVED, "YES")
        .item(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, code::SOURCE_IMAGE.item());
    let derived =
        Dataset::new().item(tags::SOURCE_IMAGE_SEQUENCE, image).item(tags::DERIVATION_CODE_SEQUENCE, derivation.item());
    let place = Dataset::new().decimals(tags::IMAGE_POSITION_PATIENT, position(material, source)?);
    Ok(Dataset::new()
        .item(tags::DERIVATION_IMAGE_SEQUENCE, derived)
        .item(tags::FRAME_CONTENT_SEQUENCE, Dataset::new().longs(tags::DIMENSION_INDEX_VALUES, ranks))
        .item(tags::PLANE_POSITION_SEQUENCE, place))
}

/// Where the centre of a frame's first pixel lies, LPS mm; a projection's: the origin.
fn position(material: &Material, source: &SliceSource) -> Result<[f64; 3]> {
    let origin = material.origin(&source.sop_instance)?;
    Ok(origin.header.planes.of(source.frame_number.saturating_sub(1)).position_mm.unwrap_or([0.0; 3]))
}

/// The distance from slice to slice, where all lie on one line along the normal at equal steps.
fn step(places: &[[f64; 3]], [row, column]: [[f64; 3]; 2]) -> Option<f64> {
    let normal = [
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    ];
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let minus = |a: [f64; 3], b: [f64; 3]| [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    let (first, last) = (*places.first()?, *places.last()?);
    let count = places.len().checked_sub(1).filter(|count| *count > 0)?;
    let step = dot(minus(last, first), normal) / count as f64;
    let is_even = places.iter().enumerate().all(|(index, place)| {
        let wanted = normal.map(|part| part * step * index as f64);
        let off = minus(minus(*place, first), wanted);
        dot(off, off).sqrt() <= EVEN_MM
    });
    (is_even && step.abs() > 0.0).then_some(step.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_even_upright_stack_has_a_step() {
        let at = |x: f64, z: f64| [x, 20.0, z];
        assert_eq!(step(&[at(0.0, 1.0), at(0.0, 3.5), at(0.0, 6.0)], FLAT), Some(2.5));
        assert_eq!(step(&[at(0.0, 1.0), at(0.0, 3.0), at(0.0, 6.0)], FLAT), None, "uneven");
        assert_eq!(step(&[at(0.0, 1.0), at(0.5, 3.5), at(1.0, 6.0)], FLAT), None, "sheared by a gantry");
        assert_eq!(step(&[at(0.0, 1.0)], FLAT), None, "one slice");
    }
}
