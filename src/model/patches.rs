//! The sliding window: where patches lie on a grid, and how what a network says about each becomes one grid again.
//!
//! Patches are spread evenly with at least the wished overlap, and weighted by a Gaussian whose deviation is an eighth of their side,
//! as nnU-Net does (Isensee et al., Nature Methods 2021; `sliding_window_inference` of MONAI): the middle of a patch knows most.
//! Everything is separable: weights and their sums are kept by axis, so that the only grid in memory is the output's.
use ndarray::{Array4, ArrayView4, Axis, s};

/// Standard deviation of the weights over the side of a patch.
const SIGMA_SHARE: f64 = 1.0 / 8.0;

/// Where patches lie.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patches {
    size: [usize; 3],
    patch: [usize; 3],
    /// First index of the patches along each axis.
    starts: [Vec<usize>; 3],
}

impl Patches {
    /// Patches of size `patch` over a grid of `size`, each side at least the patch's, that share at least `overlap` (0 to 0.9).
    pub(super) fn over(size: [usize; 3], patch: [usize; 3], overlap: f64) -> Patches {
        Patches { size, patch, starts: [0, 1, 2].map(|axis| starts(size[axis], patch[axis], overlap)) }
    }

    pub(super) fn count(&self) -> usize {
        self.starts.iter().map(Vec::len).product()
    }

    pub(super) fn patch(&self) -> [usize; 3] {
        self.patch
    }

    /// The first index of patch `index` on each axis; the last axis runs fastest.
    pub(super) fn start(&self, index: usize) -> [usize; 3] {
        let [_, rows, columns] = [0, 1, 2].map(|axis| self.starts[axis].len());
        let places = [index / (rows * columns), index / columns % rows, index % columns];
        [0, 1, 2].map(|axis| self.starts[axis].get(places[axis]).copied().unwrap_or(0))
    }
}

/// As few starts as keep the overlap, spread evenly from 0 to the last that fits.
fn starts(size: usize, patch: usize, overlap: f64) -> Vec<usize> {
    let last = size.saturating_sub(patch);
    let step = (patch as f64 * (1.0 - overlap)).max(1.0);
    let steps = (last as f64 / step).ceil() as usize;
    let at = |index: usize| (index as f64 * last as f64 / steps.max(1) as f64).round() as usize;
    (0..=steps).map(at).collect()
}

/// Adds up what a network says about patches.
#[derive(Debug, Clone)]
pub(super) struct Blend {
    patches: Patches,
    weights: [Vec<f32>; 3],
    /// Channels x grid, weighted; made when the first patch says how many channels there are.
    sum: Option<Array4<f32>>,
}

impl Blend {
    pub(super) fn new(patches: Patches) -> Blend {
        let weights = patches.patch.map(gaussian);
        Blend { patches, weights, sum: None }
    }

    /// Adds what was said about patch `index`: channels x the patch's size. `None`: it has another shape than the first.
    pub(super) fn add(&mut self, index: usize, said: ArrayView4<'_, f32>) -> Option<()> {
        let [depth, rows, columns] = self.patches.size;
        let channels = said.shape()[0];
        let sum = self.sum.get_or_insert_with(|| Array4::zeros((channels, depth, rows, columns)));
        let [d, r, c] = self.patches.start(index);
        let [depth, rows, columns] = self.patches.patch;
        if said.shape() != [sum.shape()[0], depth, rows, columns] {
            return None;
        }
        let mut place = sum.slice_mut(s![.., d..d + depth, r..r + rows, c..c + columns]);
        if self.patches.count() == 1 {
            place.assign(&said);
            return Some(());
        }
        let [over_depth, over_rows, over_columns] = &self.weights;
        for (mut into, from) in place.axis_iter_mut(Axis(0)).zip(said.axis_iter(Axis(0))) {
            for ((mut into, from), a) in into.outer_iter_mut().zip(from.outer_iter()).zip(over_depth) {
                for ((mut into, from), b) in into.outer_iter_mut().zip(from.outer_iter()).zip(over_rows) {
                    let weight = a * b;
                    let columns = into.iter_mut().zip(&from).zip(over_columns);
                    columns.for_each(|((into, from), c)| *into += weight * c * from);
                }
            }
        }
        Some(())
    }

    /// The weighted mean: channels x grid. `None` before the first patch.
    pub(super) fn finish(self) -> Option<Array4<f32>> {
        let mut sum = self.sum?;
        if self.patches.count() == 1 {
            return Some(sum);
        }
        let [depth, rows, columns] = [0, 1, 2].map(|axis| {
            let mut total = vec![0.0f32; self.patches.size[axis]];
            for start in &self.patches.starts[axis] {
                total[*start..].iter_mut().zip(&self.weights[axis]).for_each(|(total, weight)| *total += weight);
            }
            total
        });
        for mut channel in sum.outer_iter_mut() {
            for (mut plane, a) in channel.outer_iter_mut().zip(&depth) {
                for (mut line, b) in plane.outer_iter_mut().zip(&rows) {
                    line.iter_mut().zip(&columns).for_each(|(value, c)| *value /= a * b * c);
                }
            }
        }
        Some(sum)
    }
}

/// Weights along one side of a patch; the largest is near 1.
fn gaussian(side: usize) -> Vec<f32> {
    let (middle, sigma) = ((side as f64 - 1.0) / 2.0, side as f64 * SIGMA_SHARE);
    (0..side).map(|index| (-0.5 * ((index as f64 - middle) / sigma).powi(2)).exp() as f32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn starts_are_even_cover_all_and_keep_the_overlap() {
        assert_eq!(starts(64, 64, 0.5), [0]);
        assert_eq!(starts(65, 64, 0.5), [0, 1]);
        assert_eq!(starts(128, 64, 0.5), [0, 32, 64]);
        // nnU-Net, `_compute_steps_for_sliding_window([110], [64], 0.5)`.
        assert_eq!(starts(110, 64, 0.5), [0, 23, 46]);
        assert_eq!(starts(10, 3, 0.0), [0, 2, 5, 7]);
    }

    fn sides() -> impl Strategy<Value = ([usize; 3], [usize; 3], f64)> {
        let axis = || (1..9usize, 0..12usize).prop_map(|(patch, more)| (patch + more, patch));
        ([axis(), axis(), axis()], 0.0..0.9f64)
            .prop_map(|(axes, overlap)| (axes.map(|axis| axis.0), axes.map(|axis| axis.1), overlap))
    }

    proptest! {
        #[test]
        fn a_grid_in_patches_and_blended_is_the_grid((size, patch, overlap) in sides()) {
            let patches = Patches::over(size, patch, overlap);
            let grid = Array4::from_shape_fn((2, size[0], size[1], size[2]), |(c, k, j, i)| {
                (c * 1000 + k * 100 + j * 10 + i) as f32 / 500.0 - 1.0
            });
            let mut blend = Blend::new(patches.clone());
            for index in 0..patches.count() {
                let ([d, r, c], [depth, rows, columns]) = (patches.start(index), patch);
                let part = grid.slice(s![.., d..d + depth, r..r + rows, c..c + columns]);
                prop_assert!(blend.add(index, part).is_some());
            }
            let back = blend.finish().expect("patches were added");
            for (got, want) in back.iter().zip(&grid) {
                prop_assert!((got - want).abs() < 1e-5, "{got} {want}");
            }
        }
    }
}
