//! Boxes: which of several that mean the same thing is kept.
use super::{manifest::BoxRule, outputs::Corners};

/// A box that was found, in source voxels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Lower edges: slice, row, column, counted from the outer edge of the first voxel.
    pub low: [f64; 3],
    /// Upper edges.
    pub high: [f64; 3],
    /// Calibrated chance, `0.0..=1.0`.
    pub probability: f32,
}

/// The boxes that stay, the most probable first: one that shares too much with a better one is dropped (greedy non-maximum suppression).
///
/// A box without extent or with a number that is none is dropped. Boxes of one slice are 1 slice thick: those of different slices
/// share nothing, so that this is the suppression in 2-D as well as in 3-D.
pub(super) fn suppress(mut boxes: Vec<Found>, rule: BoxRule) -> Vec<Found> {
    boxes.retain(|found| volume(found.low, found.high) > 0.0);
    boxes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let mut kept: Vec<Found> = Vec::new();
    for found in boxes {
        if kept.len() == rule.count_max {
            break;
        }
        if kept.iter().all(|better| shared(better, &found) <= rule.iou_max) {
            kept.push(found);
        }
    }
    kept
}

/// Volume of the part that both have over that of the part that one has.
fn shared(a: &Found, b: &Found) -> f64 {
    let low = [0, 1, 2].map(|axis| a.low[axis].max(b.low[axis]));
    let high = [0, 1, 2].map(|axis| a.high[axis].min(b.high[axis]));
    let both = volume(low, high);
    both / (volume(a.low, a.high) + volume(b.low, b.high) - both)
}

/// 0 where an edge is not above the other, or is no number.
fn volume(low: [f64; 3], high: [f64; 3]) -> f64 {
    let sides = [0, 1, 2].map(|axis| (high[axis] - low[axis]).max(0.0));
    let volume = sides.iter().product::<f64>();
    if volume.is_finite() { volume } else { 0.0 }
}

impl Corners {
    /// The box around all eight corners through `map`. Of a tilted series the model's grid is sheared against the source's: there
    /// two corners alone would span too little.
    pub(super) fn through(self, map: impl Fn([f64; 3]) -> [f64; 3]) -> Corners {
        let corner =
            |at: usize| [0, 1, 2].map(|axis| if at >> axis & 1 == 1 { self.high[axis] } else { self.low[axis] });
        let mapped = [0, 1, 2, 3, 4, 5, 6, 7].map(|at| map(corner(at)));
        let edge = |axis: usize, of: fn(f64, f64) -> f64| {
            mapped.iter().map(|point| point[axis]).reduce(of).unwrap_or(f64::NAN)
        };
        Corners { low: [0, 1, 2].map(|axis| edge(axis, f64::min)), high: [0, 1, 2].map(|axis| edge(axis, f64::max)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(low: [f64; 3], high: [f64; 3], probability: f32) -> Found {
        Found { low, high, probability }
    }

    #[test]
    fn the_better_of_two_that_overlap_is_kept_in_the_plane_and_in_space() {
        let rule = BoxRule { iou_max: 0.3, count_max: 10 };
        let best = found([4.0, 0.0, 0.0], [5.0, 10.0, 10.0], 0.9);
        // IoU 50 / 150.
        let same = found([4.0, 0.0, 5.0], [5.0, 10.0, 15.0], 0.8);
        let next_slice = found([5.0, 0.0, 5.0], [6.0, 10.0, 15.0], 0.7);
        let apart = found([4.0, 0.0, 9.0], [5.0, 10.0, 19.0], 0.6);
        assert_eq!(suppress(vec![apart, same, next_slice, best], rule), [best, next_slice, apart]);
        let cube = found([0.0; 3], [4.0; 3], 0.5);
        let shifted = found([1.0; 3], [5.0; 3], 0.4);
        // 27 of 101 is shared.
        assert_eq!(suppress(vec![shifted, cube], BoxRule { iou_max: 27.0 / 101.0, ..rule }).len(), 2);
        assert_eq!(suppress(vec![shifted, cube], BoxRule { iou_max: 0.26, ..rule }), [cube]);
    }

    #[test]
    fn boxes_without_extent_go_and_the_count_is_a_bound() {
        let flat = found([0.0; 3], [1.0, 0.0, 1.0], 0.9);
        let odd = found([f64::NAN, 0.0, 0.0], [1.0; 3], 0.9);
        let endless = found([0.0; 3], [f64::INFINITY, 1.0, 1.0], 0.9);
        assert!(suppress(vec![flat, odd, endless], BoxRule::default()).is_empty());
        let many = (0..9).map(|at| found([f64::from(at), 0.0, 0.0], [f64::from(at) + 1.0, 1.0, 1.0], 0.5)).collect();
        assert_eq!(suppress(many, BoxRule { count_max: 4, ..BoxRule::default() }).len(), 4);
    }
}
