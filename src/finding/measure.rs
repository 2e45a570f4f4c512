//! Measures of what a mask holds: volume, longest diameter in an axial plane, centroid; in millilitres and millimetres of the patient.
use ndarray::ArrayView3;

use crate::{
    model::{Part, parts},
    pixel::Affine,
};

/// How large something is, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskMeasures {
    /// Volume, mL: voxels times the volume of one.
    pub volume_ml: f64,
    /// The longest distance of two voxel centres that lie in one axial plane, mm: the largest over all planes.
    ///
    /// The planes are those of the voxel grid that come closest to axial (of a sagittal series, its rows); within a tilted one the
    /// distance is that in the tilted plane.
    pub diameter_mm: f64,
    /// Mean of the voxel centres, patient coordinates (LPS), mm.
    pub centroid_mm: [f64; 3],
}

/// Measures a mask (slices x rows x columns at `affine`): the volume of all, the diameter of its part with the longest one, and the
/// centroid of its largest part. `None`: nothing is inside.
pub fn measure(mask: ArrayView3<'_, bool>, affine: &Affine) -> Option<MaskMeasures> {
    let parts = parts(mask);
    let measured: Vec<MaskMeasures> = parts.iter().map(|part| measure_part(part, affine)).collect();
    let largest = measured.first()?;
    Some(MaskMeasures {
        volume_ml: measured.iter().map(|part| part.volume_ml).sum(),
        diameter_mm: measured.iter().map(|part| part.diameter_mm).fold(0.0, f64::max),
        centroid_mm: largest.centroid_mm,
    })
}

/// Measures one connected part.
pub fn measure_part(part: &Part, affine: &Affine) -> MaskMeasures {
    let count = part.voxels.len() as f64;
    let mut mean = [0.0; 3];
    for [k, j, i] in &part.voxels {
        for (sum, index) in mean.iter_mut().zip([i, j, k]) {
            *sum += f64::from(*index) / count;
        }
    }
    MaskMeasures {
        volume_ml: count * voxel_mm3(affine) / 1000.0,
        diameter_mm: diameter(part, affine),
        centroid_mm: affine.to_patient(mean),
    }
}

/// Volume of a voxel, mm3. A single slice has a third step of 0, and no volume.
fn voxel_mm3(affine: &Affine) -> f64 {
    let [a, b, c] = [0, 1, 2].map(|axis| affine.step(axis));
    let cross = [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
    (a[0] * cross[0] + a[1] * cross[1] + a[2] * cross[2]).abs()
}

/// The voxel axis (0 column, 1 row, 2 slice) across axial planes: the one that runs closest to from feet to head.
fn across(affine: &Affine) -> usize {
    let share = |axis: usize| {
        let step = affine.step(axis);
        let length = step.iter().map(|mm| mm * mm).sum::<f64>().sqrt();
        if length > 0.0 { step[2].abs() / length } else { -1.0 }
    };
    // A single axial slice has no step across: its own plane is meant.
    let best = (0..3).max_by(|a, b| share(*a).total_cmp(&share(*b))).unwrap_or(2);
    if affine.step(2) == [0.0; 3] && share(best) < std::f64::consts::FRAC_1_SQRT_2 { 2 } else { best }
}

fn diameter(part: &Part, affine: &Affine) -> f64 {
    let axis = across(affine);
    let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
    // Column, row, slice from slice, row, column.
    let mut places: Vec<[u32; 3]> = part.voxels.iter().map(|[k, j, i]| [*i, *j, *k]).collect();
    places.sort_unstable_by_key(|place| (place[axis], place[u], place[v]));
    let mut longest = 0.0f64;
    for plane in places.chunk_by(|a, b| a[axis] == b[axis]) {
        let flat: Vec<[i64; 2]> = plane.iter().map(|place| [i64::from(place[u]), i64::from(place[v])]).collect();
        let hull = hull(&flat);
        for (index, a) in hull.iter().enumerate() {
            for b in &hull[index + 1..] {
                let (du, dv) = ((a[0] - b[0]) as f64, (a[1] - b[1]) as f64);
                let way = [0, 1, 2].map(|mm| du * affine.step(u)[mm] + dv * affine.step(v)[mm]);
                longest = longest.max(way.iter().map(|mm| mm * mm).sum::<f64>());
            }
        }
    }
    longest.sqrt()
}

/// The corners of the convex hull of points sorted by their first, then second coordinate (Andrew's monotone chain). The two ends of a
/// longest distance are corners, in any affine picture of the plane.
fn hull(points: &[[i64; 2]]) -> Vec<[i64; 2]> {
    let half = |points: &mut dyn Iterator<Item = [i64; 2]>| {
        let mut chain: Vec<[i64; 2]> = Vec::new();
        for point in points {
            while let [.., a, b] = chain.as_slice() {
                if (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]) > 0 {
                    break;
                }
                chain.pop();
            }
            chain.push(point);
        }
        chain
    };
    let mut corners = half(&mut points.iter().copied());
    corners.extend(half(&mut points.iter().rev().copied()));
    corners
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};
    use proptest::prelude::*;

    use super::*;

    fn upright(spacing: [f64; 3]) -> Affine {
        Affine::new([[spacing[0], 0.0, 0.0], [0.0, spacing[1], 0.0], [0.0, 0.0, spacing[2]]], [-10.0, 20.0, 30.0])
    }

    #[test]
    fn a_block_has_its_volume_diagonal_and_middle() {
        let mut mask = Array3::from_elem((6, 10, 10), false);
        mask.slice_mut(s![1..3, 2..6, 3..6]).fill(true);
        mask[(5, 9, 9)] = true;
        let found = measure(mask.view(), &upright([0.5, 2.0, 5.0])).expect("inside");
        assert!((found.volume_ml - 25.0 * 5.0 / 1000.0).abs() < 1e-12);
        // 2 steps of 0.5 mm and 3 of 2 mm between centres.
        assert!((found.diameter_mm - (1.0f64 + 36.0).sqrt()).abs() < 1e-12);
        assert_eq!(found.centroid_mm, [-10.0 + 4.0 * 0.5, 20.0 + 3.5 * 2.0, 30.0 + 1.5 * 5.0]);
        assert_eq!(measure(Array3::from_elem((2, 2, 2), false).view(), &upright([1.0; 3])), None);
    }

    #[test]
    fn the_diameter_of_a_sagittal_series_lies_in_its_axial_planes() {
        // Columns run to the back, rows to the feet, slices to the left: a bar along the rows has no axial extent.
        let affine = Affine::new([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [3.0, 0.0, 0.0]], [0.0; 3]);
        let mut mask = Array3::from_elem((4, 9, 9), false);
        mask.slice_mut(s![1, .., 4]).fill(true);
        assert_eq!(measure(mask.view(), &affine).map(|found| found.diameter_mm), Some(0.0));
        let mut mask = Array3::from_elem((4, 9, 9), false);
        mask.slice_mut(s![1..3, 4, 2..6]).fill(true);
        let diameter = measure(mask.view(), &affine).map(|found| found.diameter_mm);
        assert_eq!(diameter, Some((9.0f64 + 9.0).sqrt()));
    }

    proptest! {
        /// Turning the grid in the patient changes neither volume nor, where the planes stay axial, the diameter.
        #[test]
        fn the_diameter_is_that_of_all_pairs(cells in proptest::collection::btree_set((0..2u32, 0..7u32, 0..7u32), 1..30), spacing in [0.2..3.0f64, 0.2..3.0, 0.2..6.0]) {
            let part = Part { voxels: cells.iter().map(|(k, j, i)| [*k, *j, *i]).collect() };
            let affine = upright(spacing);
            let mut longest = 0.0f64;
            for a in &part.voxels {
                for b in part.voxels.iter().filter(|b| b[0] == a[0]) {
                    let d = [1, 2].map(|at: usize| (f64::from(a[at]) - f64::from(b[at])) * spacing[2 - at]);
                    longest = longest.max((d[0] * d[0] + d[1] * d[1]).sqrt());
                }
            }
            let found = measure_part(&part, &affine);
            prop_assert!((found.diameter_mm - longest).abs() < 1e-9);
            prop_assert!((found.volume_ml - cells.len() as f64 * spacing.iter().product::<f64>() / 1000.0).abs() < 1e-9);
        }
    }
}
