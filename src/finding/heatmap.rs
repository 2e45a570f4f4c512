//! The heatmap: a label's activation map in source-pixel geometry.
use std::ops::Range;

use ndarray::Array2;

use crate::{
    error::{Error, Result},
    model::{Input, Place},
};

/// First bytes of the stored form; the last one is its version.
const MAGIC: &[u8; 8] = b"ORHEAT\0\x01";
/// Bytes before the values: magic, four u32, eight f64.
const HEADER_BYTES: usize = 8 + 4 * 4 + 8 * 8;

/// Values `0.0..=1.0`, shape rows x columns of the *model grid*, with the rectangle of source pixels that the grid covers.
///
/// Source pixel (x, y) centre maps to grid position `((x + 0.5 - left) * grid_columns / width - 0.5, ...)`, bilinear between
/// grid centres; outside `seen` the value is 0. Kept on the grid because it is small and exact; [`Heatmap::sampled`]
/// makes source-pixel values on demand.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// Rows x columns on the model's map grid, `0.0..=1.0`.
    pub values: Array2<f32>,
    /// Left, top, width, height of the covered rectangle in source pixels (may reach outside the image).
    pub rectangle: [f64; 4],
    /// Left, top, width, height of what the network saw of the source frame: the rectangle without the letterbox.
    pub seen: [f64; 4],
    /// Rows and columns of the source frame.
    pub source_size: [u32; 2],
}

impl Heatmap {
    /// The map `values` of a network that saw `input`: whatever its own grid, it covers the whole input.
    pub fn of_input(values: Array2<f32>, input: &Input) -> Heatmap {
        let size = [input.tensor.shape()[2], input.tensor.shape()[3]];
        let [top, left, rows, columns] = input.content.map(|side| side as f64);
        let ([y, x], [bottom, right]) =
            (input.grid.to_source([top, left]), input.grid.to_source([top + rows, left + columns]));
        Heatmap {
            values,
            rectangle: input.grid.rectangle(size),
            seen: [x, y, right - x, bottom - y],
            source_size: input.source_size,
        }
    }

    /// The map `values` of a model that says itself where it lies.
    pub fn at(values: Array2<f32>, place: &Place) -> Heatmap {
        let Place { rectangle, seen, source_size } = *place;
        Heatmap { values, rectangle, seen, source_size }
    }

    /// The map `values` of a model whose grid is the source frame itself: one value for each pixel, rows x columns.
    pub fn of_source(values: Array2<f32>) -> Heatmap {
        let (rows, columns) = values.dim();
        let whole = [0.0, 0.0, columns as f64, rows as f64];
        // Rows and Columns are 16-bit attributes.
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Heatmap { values, rectangle: whole, seen: whole, source_size: [side(rows), side(columns)] }
    }

    /// Values of the source pixels, rows x columns of the source frame.
    pub fn source_values(&self) -> Array2<f32> {
        let [rows, columns] = self.source_size;
        self.sampled(rows as usize, columns as usize)
    }

    /// Values at the centres of a `rows` x `columns` lattice laid over the whole source frame; 0 outside `seen`.
    pub fn sampled(&self, rows: usize, columns: usize) -> Array2<f32> {
        let [left, top, width, height] = self.rectangle;
        let [seen_left, seen_top, seen_width, seen_height] = self.seen;
        let [source_rows, source_columns] = self.source_size.map(f64::from);
        let (grid_rows, grid_columns) = self.values.dim();
        let seen = [seen_left..seen_left + seen_width, seen_top..seen_top + seen_height];
        let across = taps(columns, source_columns, &seen[0], [left, width], grid_columns);
        let down = taps(rows, source_rows, &seen[1], [top, height], grid_rows);
        let mut sampled = Array2::zeros((rows, columns));
        for (mut line, tap) in sampled.rows_mut().into_iter().zip(&down) {
            let Some(tap) = tap else { continue };
            let (above, below) = (self.values.row(tap.low), self.values.row(tap.high));
            let blended: Vec<f32> = above.iter().zip(below).map(|(a, b)| a + (b - a) * tap.share).collect();
            for (value, tap) in line.iter_mut().zip(&across) {
                let Some(tap) = tap else { continue };
                *value = blended[tap.low] + (blended[tap.high] - blended[tap.low]) * tap.share;
            }
        }
        sampled
    }

    /// The stored form, little endian: magic, grid rows and columns, source rows and columns (u32), rectangle and `seen` (f64),
    /// values (f32, row by row). Its SHA-256 is what a finding names.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (rows, columns) = self.values.dim();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 4 * self.values.len());
        bytes.extend_from_slice(MAGIC);
        for side in [rows as u32, columns as u32, self.source_size[0], self.source_size[1]] {
            bytes.extend_from_slice(&side.to_le_bytes());
        }
        for edge in self.rectangle.iter().chain(&self.seen) {
            bytes.extend_from_slice(&edge.to_le_bytes());
        }
        for value in &self.values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Reads the stored form. Errors: `Internal`, since only we write it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Heatmap> {
        let damaged = || Error::internal("a stored heatmap is damaged");
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (sides, rest) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
        let (edges, values) = rest.split_first_chunk::<64>().ok_or_else(damaged)?;
        let mut side = sides.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
        let mut side = || side.next().unwrap_or(0);
        let (rows, columns, source_size) = (side() as usize, side() as usize, [side(), side()]);
        let (mut rectangle, mut seen) = ([0.0; 4], [0.0; 4]);
        for (edge, bytes) in rectangle.iter_mut().chain(&mut seen).zip(edges.as_chunks::<8>().0) {
            *edge = f64::from_le_bytes(*bytes);
        }
        let (values, left_over) = values.as_chunks::<4>();
        if !left_over.is_empty() || rows == 0 || columns == 0 {
            return Err(damaged());
        }
        let values = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let values = Array2::from_shape_vec((rows, columns), values).map_err(|_| damaged())?;
        Ok(Heatmap { values, rectangle, seen, source_size })
    }
}

/// Two neighbours on the grid and the share of the second.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

/// For each of `count` lattice centres over `0..source`: where it falls on a grid of `cells` over `low..low + extent`.
/// `None` outside `seen`.
fn taps(count: usize, source: f64, seen: &Range<f64>, [low, extent]: [f64; 2], cells: usize) -> Vec<Option<Tap>> {
    let tap = |index: usize| {
        let place = (index as f64 + 0.5) * source / count as f64;
        if !seen.contains(&place) {
            return None;
        }
        let position = ((place - low) * cells as f64 / extent - 0.5).clamp(0.0, (cells - 1) as f64);
        let low = position.floor() as usize;
        Some(Tap { low, high: (low + 1).min(cells - 1), share: position.fract() as f32 })
    };
    (0..count).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    /// A 2 x 2 map over the middle 40 x 40 of a 60 x 80 frame.
    fn heatmap() -> Heatmap {
        let rectangle = [20.0, 10.0, 40.0, 40.0];
        Heatmap { values: arr2(&[[0.0, 1.0], [0.5, 0.0]]), rectangle, seen: rectangle, source_size: [60, 80] }
    }

    #[test]
    fn the_letterbox_shows_nothing() {
        let boxed = Heatmap { seen: [30.0, 10.0, 20.0, 40.0], ..heatmap() };
        let (values, whole) = (boxed.source_values(), heatmap().source_values());
        assert_eq!((values[(30, 29)], values[(30, 50)]), (0.0, 0.0));
        assert!(whole[(30, 29)] > 0.0 && whole[(30, 50)] > 0.0);
        assert_eq!((values[(30, 30)], values[(30, 49)]), (whole[(30, 30)], whole[(30, 49)]));
    }

    #[test]
    fn source_pixels_interpolate_between_grid_centres_and_are_0_outside() {
        let values = heatmap().source_values();
        assert_eq!(values.dim(), (60, 80));
        assert_eq!((values[(9, 30)], values[(10, 19)], values[(50, 30)], values[(10, 60)]), (0.0, 0.0, 0.0, 0.0));
        // Beyond the outer centres the edge value goes on; the corner pixel shows the corner cell.
        assert_eq!((values[(10, 20)], values[(10, 59)], values[(49, 20)]), (0.0, 1.0, 0.5));
        // Pixel (29, 40) is half a pixel from the middle of all four centres: 0.375 up to half a pixel's slope.
        assert!((values[(29, 40)] - 0.375).abs() < 0.03, "{}", values[(29, 40)]);
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    }

    #[test]
    fn a_lattice_agrees_with_source_pixels() {
        let (coarse, fine) = (heatmap().sampled(20, 40), heatmap().source_values());
        // Centre of lattice cell (10, 20): source (31.5, 41), the middle of pixels (31, 40) and (31, 41).
        let middle = (fine[(31, 40)] + fine[(31, 41)]) / 2.0;
        assert!((coarse[(10, 20)] - middle).abs() < 1e-6, "{} {middle}", coarse[(10, 20)]);
    }

    #[test]
    fn the_stored_form_returns_the_heatmap_and_refuses_damage() {
        let bytes = heatmap().to_bytes();
        assert_eq!(Heatmap::from_bytes(&bytes), Ok(heatmap()));
        for end in 0..bytes.len() {
            assert!(Heatmap::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
