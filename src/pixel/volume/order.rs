//! One volume's slices in order: sorted along the normal, their gaps judged, their affine made.
//!
//! Never by file name or Instance Number: only Image Position and Image Orientation (Patient) say where a slice lies
//! (PS3.3 C.7.6.2.1.1).
use std::collections::BTreeSet;

use crate::dicom::Header;
use crate::pixel::affine::{Affine, cross, dot, length, minus, plus};

use super::defect::Defect;
use super::stack::{SliceSource, Stack};

/// A frame that has a place.
#[derive(Clone)]
pub(super) struct Slice<'a> {
    pub(super) header: &'a Header,
    pub(super) frame_index: u32,
    pub(super) origin: [f64; 3],
    pub(super) directions: [[f64; 3]; 2],
    /// Between rows, between columns; mm.
    pub(super) spacing_mm: [f64; 2],
    /// Along the normal of its group, mm.
    pub(super) position_mm: f64,
}

impl Slice<'_> {
    pub(super) fn source(&self) -> SliceSource {
        SliceSource { sop_instance: self.header.sop_instance.clone(), frame_number: self.frame_index + 1 }
    }
}

/// Gaps that differ by less than this part of the median are even.
const GAP_TOLERANCE: f64 = 0.05;
/// The smallest gap is one step, and not half of one, if it is more than this part of the median.
const GAP_MIN: f64 = 0.6;
/// Part of the way from first to last slice that may lie in their plane.
const TILT_TOLERANCE: f64 = 0.01;

/// Unit vector at right angles to both.
pub(super) fn normal(directions: [[f64; 3]; 2]) -> [f64; 3] {
    let across = cross(directions[0], directions[1]);
    let long = length(across);
    across.map(|v| v / long)
}

/// The volume of `slices` (at least one), which have one orientation and size, and each a position of its own.
///
/// `found`: what is known to be wrong before their gaps are looked at.
pub(super) fn stack(mut slices: Vec<Slice<'_>>, mut found: BTreeSet<Defect>) -> Option<Stack> {
    slices.sort_by(|a, b| a.position_mm.total_cmp(&b.position_mm));
    let (first, last) = (slices.first()?, slices.last()?);
    let gaps: Vec<f64> = slices.windows(2).map(|pair| pair[1].position_mm - pair[0].position_mm).collect();
    let gap_mm = median(&gaps);
    found.extend(uneven(&gaps, gap_mm));
    let way = minus(last.origin, first.origin);
    let across = normal(first.directions);
    let (along, long) = (last.position_mm - first.position_mm, length(way));
    if length(plus(way, -dot(way, across), across)) > TILT_TOLERANCE * long {
        found.insert(Defect::GantryTilt);
    }
    let step = if along > 0.0 { way.map(|v| v * gap_mm / along) } else { [0.0; 3] };
    let [row_mm, column_mm] = first.spacing_mm;
    let steps = [first.directions[0].map(|v| v * column_mm), first.directions[1].map(|v| v * row_mm), step];
    Some(Stack {
        series: first.header.series.clone(),
        sources: slices.iter().map(Slice::source).collect(),
        size: [slices.len(), usize::from(first.header.rows), usize::from(first.header.columns)],
        affine: Affine::new(steps, first.origin),
        spacing: [gap_mm, row_mm, column_mm],
        origins: slices.iter().map(|slice| slice.origin).collect(),
        warnings: found.into_iter().collect(),
    })
}

/// The lower median; 0 of none.
fn median(gaps: &[f64]) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

fn uneven(gaps: &[f64], median: f64) -> Option<Defect> {
    let smallest = gaps.iter().copied().fold(f64::INFINITY, f64::min);
    if gaps.iter().all(|gap| (gap - median).abs() <= GAP_TOLERANCE * median) {
        return None;
    }
    let is_whole = |gap: &f64| (gap / smallest - (gap / smallest).round()).abs() < GAP_TOLERANCE;
    let is_missing = smallest > GAP_MIN * median && gaps.iter().all(is_whole);
    Some(if is_missing { Defect::MissingSlices } else { Defect::NonuniformSpacing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(gaps: &[f64], want: Option<Defect>) {
        assert_eq!(uneven(gaps, median(gaps)), want, "{gaps:?}");
    }

    #[test]
    fn a_gap_that_is_a_multiple_lacks_slices_and_any_other_is_uneven() {
        check(&[], None);
        check(&[7.0], None);
        check(&[5.0, 5.0, 5.1], None);
        check(&[5.0, 5.0, 10.0, 5.0], Some(Defect::MissingSlices));
        check(&[5.0, 15.1, 5.0], Some(Defect::MissingSlices));
        check(&[5.0, 5.0, 7.0], Some(Defect::NonuniformSpacing));
        // Half of the gaps are half of the others: which of the two is the step cannot be told, and the median is the larger.
        check(&[10.0, 5.0, 10.0, 10.0], Some(Defect::NonuniformSpacing));
    }
}
