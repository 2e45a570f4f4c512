//! From an image to a model's input tensor: steps 2 to 6 of the recipe in models/README.md; `pixel::image` is step 1.
//!
//! Training makes its tensors with models/pipeline.py; tests/golden.rs proves that both give the same tensor.
use ndarray::{Array2, Array4, ArrayView2, ArrayViewMut2, Axis, s};

use super::{
    manifest::{Fit, ImageRecipe},
    mask::Mask,
};
use crate::pixel::{GridMap, resize};

/// A model's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// 1 x channels x rows x columns, normalised.
    pub tensor: Array4<f32>,
    /// From the tensor's grid to source pixels, and back.
    pub grid: GridMap,
    /// Rows and columns of the source frame.
    pub source_size: [u32; 2],
    /// The part of the grid that shows the image and not the letterbox: top, left, rows, columns.
    pub content: [usize; 4],
}

/// Makes the input that `recipe` describes from the display values of an image (`pixel::Image::values`, at least one pixel).
///
/// `crop`: the mask of the model that the recipe's crop names; without it, or without fields in it, the whole image is taken.
pub fn prepare(recipe: &ImageRecipe, display: ArrayView2<'_, f32>, crop: Option<&Mask>) -> Input {
    let (source_rows, source_columns) = display.dim();
    let reduced = reduce(display, recipe.reduce);
    let whole = match &reduced {
        Some(reduced) => reduced.view(),
        None => display.view(),
    };
    let [top, left, bottom, right] = match (&recipe.crop, crop.and_then(Mask::bounds)) {
        (Some(crop), Some(bounds)) => crop_pixels(bounds, crop.margin, whole.dim()),
        (None, _) | (Some(_), None) => [0, 0, whole.nrows(), whole.ncols()],
    };
    let view = whole.slice(s![top..bottom, left..right]);
    let stretched = contrast(view, recipe.contrast);
    let content = fitted([view.nrows() as f64, view.ncols() as f64], recipe.size, recipe.fit);
    let [pad_top, pad_left, rows, columns] = content;
    let mut grid = Array2::<f32>::zeros(recipe.size);
    put(stretched.view(), content, grid.view_mut());
    let mut tensor = Array4::zeros((1, recipe.channels, recipe.size[0], recipe.size[1]));
    for (channel, mut plane) in tensor.axis_iter_mut(Axis(1)).enumerate() {
        let (mean, std) = (recipe.mean.of(channel), recipe.std.of(channel));
        plane.index_axis_mut(Axis(0), 0).assign(&grid.mapv(|value| (value - mean) / std));
    }
    // Source pixels per pixel of the reduced image, then per pixel of the grid.
    let per_reduced = [ratio(source_rows, whole.nrows()), ratio(source_columns, whole.ncols())];
    let scale = [per_reduced[0] * ratio(view.nrows(), rows), per_reduced[1] * ratio(view.ncols(), columns)];
    let offset = [
        per_reduced[0] * top as f64 - scale[0] * pad_top as f64,
        per_reduced[1] * left as f64 - scale[1] * pad_left as f64,
    ];
    Input {
        tensor,
        grid: GridMap { scale, offset },
        source_size: [pixels(source_rows), pixels(source_columns)],
        content,
    }
}

/// The whole image with its longest side brought to `longest`; `None` when it is not longer.
fn reduce(whole: ArrayView2<'_, f32>, longest: Option<usize>) -> Option<Array2<f32>> {
    let (rows, columns) = whole.dim();
    let side = rows.max(columns);
    let longest = longest.filter(|longest| *longest < side)?;
    let reduced = |n: usize| half_up(n as f64 * longest as f64 / side as f64);
    Some(resize(whole, reduced(rows), reduced(columns)))
}

/// Top, left, bottom, right in whole pixels of `bounds` (left, top, right, bottom as shares of the image) grown by `margin`.
fn crop_pixels(bounds: [f64; 4], margin: f64, (rows, columns): (usize, usize)) -> [usize; 4] {
    let [left, top, right, bottom] = bounds;
    let (grow_x, grow_y) = (margin * (right - left), margin * (bottom - top));
    // 37.000000001 is 37: training rounds alike.
    let at = |share: f64, side: usize| (share.clamp(0.0, 1.0) * side as f64 * 1e6).round_ties_even() / 1e6;
    let low = |share, side| (at(share, side).floor() as usize).min(side - 1);
    let high = |share, side| (at(share, side).ceil() as usize).clamp(1, side);
    [low(top - grow_y, rows), low(left - grow_x, columns), high(bottom + grow_y, rows), high(right + grow_x, columns)]
}

/// Quantiles of the view to 0 and 1, clipped; a range below 1e-6 counts as 1e-6.
fn contrast(view: ArrayView2<'_, f32>, quantiles: Option<[f64; 2]>) -> Array2<f32> {
    let Some([low, high]) = quantiles else { return view.to_owned() };
    let mut sorted: Vec<f32> = view.iter().copied().collect();
    let (low, high) = (quantile(&mut sorted, low), quantile(&mut sorted, high));
    let range = (high - low).max(1e-6);
    view.mapv(|value| ((value - low) / range).clamp(0.0, 1.0))
}

/// Index `q * (n - 1)` of the sorted values, linear between neighbours: numpy's default. `values` may be reordered.
pub(super) fn quantile(values: &mut [f32], q: f64) -> f32 {
    let position = q * (values.len() - 1) as f64;
    let (index, share) = (position.floor() as usize, position.fract());
    let (_, low, above) = values.select_nth_unstable_by(index, f32::total_cmp);
    let low = *low;
    // The next in order is the least of those above.
    let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    (f64::from(low) + (f64::from(high) - f64::from(low)) * share) as f32
}

/// `view` brought to the size of its place on `grid`, top, left, rows and columns.
pub(super) fn put(view: ArrayView2<'_, f32>, [top, left, rows, columns]: [usize; 4], mut grid: ArrayViewMut2<'_, f32>) {
    grid.slice_mut(s![top..top + rows, left..left + columns]).assign(&resize(view, rows, columns));
}

/// Top, left, rows and columns on the grid of a content with these height and width, in pixels or mm.
pub(super) fn fitted([height, width]: [f64; 2], [grid_rows, grid_columns]: [usize; 2], fit: Fit) -> [usize; 4] {
    match fit {
        Fit::Stretch => [0, 0, grid_rows, grid_columns],
        Fit::Letterbox => {
            let scale = (grid_rows as f64 / height).min(grid_columns as f64 / width);
            let (n, m) = (half_up(height * scale).min(grid_rows), half_up(width * scale).min(grid_columns));
            [(grid_rows - n) / 2, (grid_columns - m) / 2, n, m]
        }
    }
}

/// Rounded half up, at least 1.
fn half_up(value: f64) -> usize {
    ((value + 0.5).floor() as usize).max(1)
}

fn ratio(a: usize, b: usize) -> f64 {
    a as f64 / b as f64
}

/// Rows and Columns are 16-bit attributes, so an image's sides fit.
pub(super) fn pixels(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([3, 1, 4, 1, 5, 9, 2, 6], [0, 0.01, 0.5, 0.99, 1])
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        for (q, want) in [(0.0, 1.0), (0.01, 1.0), (0.5, 3.5), (0.99, 8.79), (1.0, 9.0)] {
            let got = quantile(&mut values.to_vec(), q);
            assert!((got - want).abs() < 1e-6, "{q}: {got}, not {want}");
        }
        assert_eq!(quantile(&mut [7.0], 0.5), 7.0);
    }

    #[test]
    fn a_crop_grows_snaps_and_stays_inside() {
        assert_eq!(crop_pixels([0.25, 0.5, 0.75, 1.0], 0.0, (100, 200)), [50, 50, 100, 150]);
        assert_eq!(crop_pixels([0.25, 0.5, 0.75, 1.0], 0.1, (100, 200)), [45, 40, 100, 160]);
        assert_eq!(crop_pixels([0.37 + 1e-10, 0.0, 0.371, 0.001], 0.0, (100, 100)), [0, 37, 1, 38]);
        assert_eq!(crop_pixels([0.0, 0.0, 1.0, 1.0], 0.5, (1, 1)), [0, 0, 1, 1]);
    }
}
