//! Grids on a source frame: where the pixels of a model's grid lie in source pixels, and back.

/// A pure scale and offset for each axis, rows first.
///
/// Coordinates are continuous and count from the top left corner of the top left pixel, in both systems: pixel (r, c) covers
/// `r..r+1` and `c..c+1`, its centre is `(r + 0.5, c + 0.5)`. `source = offset + scale * grid`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridMap {
    /// Source pixels per grid pixel: rows, columns. Finite and above 0.
    pub scale: [f64; 2],
    /// Source coordinate of the grid's corner: rows, columns. Finite; may lie outside the frame.
    pub offset: [f64; 2],
}

impl GridMap {
    /// The grid is the source.
    pub const IDENTITY: GridMap = GridMap { scale: [1.0, 1.0], offset: [0.0, 0.0] };

    /// Source coordinates of a point on the grid.
    pub fn to_source(&self, grid: [f64; 2]) -> [f64; 2] {
        [self.offset[0] + self.scale[0] * grid[0], self.offset[1] + self.scale[1] * grid[1]]
    }

    /// Grid coordinates of a source point.
    pub fn to_grid(&self, source: [f64; 2]) -> [f64; 2] {
        [(source[0] - self.offset[0]) / self.scale[0], (source[1] - self.offset[1]) / self.scale[1]]
    }

    /// The map of a coarser (or finer) grid over the same rectangle: `self` has `from` rows x columns, the result `to`.
    pub fn regrid(&self, from: [usize; 2], to: [usize; 2]) -> GridMap {
        let ratio = |axis: usize| self.scale[axis] * from[axis] as f64 / to[axis] as f64;
        GridMap { scale: [ratio(0), ratio(1)], offset: self.offset }
    }

    /// The source rectangle that a grid of `size` rows x columns covers: left, top, width, height.
    pub fn rectangle(&self, size: [usize; 2]) -> [f64; 4] {
        [self.offset[1], self.offset[0], self.scale[1] * size[1] as f64, self.scale[0] * size[0] as f64]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn maps() -> impl Strategy<Value = GridMap> {
        let scale = || 0.01..100.0f64;
        let offset = || -5000.0..5000.0f64;
        ([scale(), scale()], [offset(), offset()]).prop_map(|(scale, offset)| GridMap { scale, offset })
    }

    proptest! {
        #[test]
        fn source_to_grid_and_back_returns_the_point(map in maps(), point in [-1e4..1e4f64, -1e4..1e4f64]) {
            let back = map.to_source(map.to_grid(point));
            for axis in 0..2 { prop_assert!((back[axis] - point[axis]).abs() < 1e-6, "{map:?} {point:?} {back:?}"); }
        }

        #[test]
        fn a_regridded_map_covers_the_same_rectangle(map in maps(), from in [1..500usize, 1..500usize], to in [1..500usize, 1..500usize]) {
            let (before, after) = (map.rectangle(from), map.regrid(from, to).rectangle(to));
            for (a, b) in before.iter().zip(after) { prop_assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0)); }
        }
    }
}
