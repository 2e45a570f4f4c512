//! Resampling of 2-D values: antialiased bilinear, the same filter that training uses.
use bytemuck::cast_slice;
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use ndarray::{Array2, ArrayView2};

/// `values` brought to `rows` x `columns` (each at least 1) by a separable triangle filter with half-pixel centres.
///
/// Shrinking widens the triangle to the scale (antialiasing); enlarging is plain bilinear; weights at the edges are normalised to
/// sum to 1, so values stay within the range of the input. The filter is that of Pillow's BILINEAR and of PyTorch's
/// `interpolate(mode="bilinear", antialias=True, align_corners=False)`: the tests hold its values to 1e-6 for inputs in 0..1.
/// No NaN: one would spread. An empty input gives zeros.
pub fn resize(values: ArrayView2<'_, f32>, rows: usize, columns: usize) -> Array2<f32> {
    if values.dim() == (rows, columns) {
        return values.to_owned();
    }
    let source = values.as_standard_layout();
    resized(&source.view(), rows, columns).unwrap_or_else(|| Array2::zeros((rows, columns)))
}

/// `None` when a side is 0 or beyond what the resizer can address.
fn resized(source: &ArrayView2<'_, f32>, rows: usize, columns: usize) -> Option<Array2<f32>> {
    let side = |n: usize| u32::try_from(n).ok().filter(|n| *n > 0);
    let bytes: &[u8] = cast_slice(source.as_slice()?);
    let from = ImageRef::new(side(source.ncols())?, side(source.nrows())?, bytes, PixelType::F32).ok()?;
    let mut into = Image::new(side(columns)?, side(rows)?, PixelType::F32);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut into, &options).ok()?;
    let values = into.buffer().chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect();
    Array2::from_shape_vec((rows, columns), values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// The input that the golden values below were made from, on both sides.
    fn ramp(rows: usize, columns: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(r, c)| ((r * 7 + c * 13) % 31) as f32 / 31.0)
    }

    /// Sum, sum weighted by position, and three single values of the result.
    #[track_caller]
    fn check(from: (usize, usize), to: (usize, usize), want: [f64; 5]) {
        let got = resize(ramp(from.0, from.1).view(), to.0, to.1);
        assert_eq!(got.dim(), to);
        let count = (to.0 * to.1) as f64;
        let weighted = |(i, v): (usize, &f32)| f64::from(*v) * ((i % 97) as f64) / 97.0;
        let seen = [
            got.iter().map(|v| f64::from(*v)).sum::<f64>() / count,
            got.iter().enumerate().map(weighted).sum::<f64>() / count,
            f64::from(got[(0, 0)]),
            f64::from(got[(to.0 / 2, to.1 / 3)]),
            f64::from(got[(to.0 - 1, to.1 - 1)]),
        ];
        for (seen, want) in seen.iter().zip(want) {
            // float32 sums in another order: a few units in the last place of values near 1.
            assert!((seen - want).abs() < 1e-6, "{from:?} to {to:?}: {seen}, not {want}");
        }
    }

    /// Golden: torch 2.11.0, `F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)`.
    #[test]
    fn the_filter_is_that_of_training() {
        check((100, 80), (33, 20), [0.483882587, 0.233976657, 0.460816622, 0.495761424, 0.444602132]);
        check((37, 53), (64, 64), [0.483859902, 0.238634101, 0.000000000, 0.386592746, 0.935483873]);
        check((200, 150), (160, 160), [0.483879097, 0.239374809, 0.056451611, 0.465415627, 0.362903178]);
        check((17, 400), (5, 128), [0.483784624, 0.230601969, 0.462543070, 0.487652570, 0.472940773]);
        check((512, 300), (160, 94), [0.483867323, 0.239354247, 0.458347708, 0.510906279, 0.499327302]);
    }

    #[test]
    fn a_constant_stays_that_constant_and_the_same_size_stays_as_it_is() {
        let flat = Array2::from_elem((37, 53), 0.625f32);
        assert!(resize(flat.view(), 11, 90).iter().all(|v| (v - 0.625).abs() < 1e-6));
        let same = ramp(9, 5);
        assert_eq!(resize(same.view(), 9, 5), same);
    }

    #[test]
    fn one_pixel_fills_any_size() {
        assert!(resize(ramp(1, 1).view(), 3, 4).iter().all(|v| *v == 0.0));
        assert_eq!(resize(Array2::from_elem((1, 1), 0.5f32).view(), 2, 2), Array2::from_elem((2, 2), 0.5f32));
    }
}
