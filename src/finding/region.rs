//! Where a heatmap is hot: the bounding region of its hottest spot.
use super::{Heatmap, Region};
use crate::model::connected_part;

/// Longest side of the lattice on which the spot is looked for: finer than any model's grid, and independent of the film's size.
const LATTICE_MAX: f64 = 512.0;

/// The bounding region, in source pixels, of the connected spot around the map's maximum where it is at least half of it.
///
/// One spot, not all: a region around two lungs would say nothing. `None` when the map is 0 all over the image.
pub fn hot_region(heatmap: &Heatmap) -> Option<Region> {
    let [rows, columns] = heatmap.source_size;
    let shrink = (LATTICE_MAX / f64::from(rows.max(columns))).min(1.0);
    let side = |source: u32| ((f64::from(source) * shrink).ceil() as usize).max(1);
    let values = heatmap.sampled(side(rows), side(columns));
    let mut hottest = ((0, 0), 0.0);
    for (at, value) in values.indexed_iter() {
        if *value > hottest.1 {
            hottest = (at, *value);
        }
    }
    let (start, max) = hottest;
    if max <= 0.0 {
        return None;
    }
    let spot = connected_part(&mut values.mapv(|value| value >= 0.5 * max), start);
    let edges = |of: fn(&(usize, usize)) -> usize, cells: usize, source: u32| {
        let (low, high) = (spot.iter().map(of).min()?, spot.iter().map(of).max()? + 1);
        let per_cell = f64::from(source) / cells as f64;
        let high = (high as f64 * per_cell).ceil() as u32;
        Some(((low as f64 * per_cell).floor() as u32, high.min(source)))
    };
    let (top, bottom) = edges(|at| at.0, values.nrows(), rows)?;
    let (left, right) = edges(|at| at.1, values.ncols(), columns)?;
    Some(Region { left, top, right, bottom })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn region(hot: &[((usize, usize), f32)], source_size: [u32; 2]) -> Option<Region> {
        let mut values = Array2::zeros((8, 8));
        for (at, value) in hot {
            values[*at] = *value;
        }
        let [rows, columns] = source_size.map(f64::from);
        let whole = [0.0, 0.0, columns, rows];
        hot_region(&Heatmap { values, rectangle: whole, seen: whole, source_size })
    }

    #[test]
    fn the_region_bounds_the_hottest_spot_alone() {
        // One cell of 8 x 8 over 800 x 1600: half of the maximum is reached half a cell from its centre, that is at its edges.
        let found = region(&[((2, 5), 0.9)], [800, 1600]).expect("a spot");
        let near = |got: u32, want: u32| got.abs_diff(want) <= 4;
        assert!(near(found.left, 1000) && near(found.right, 1200), "{found:?}");
        assert!(near(found.top, 200) && near(found.bottom, 300), "{found:?}");
        // A second spot elsewhere changes nothing, though it is above half of the maximum.
        assert_eq!(region(&[((2, 5), 0.9), ((6, 1), 0.8)], [800, 1600]), Some(found));
    }

    #[test]
    fn a_cold_map_has_no_region_and_a_corner_stays_inside() {
        assert_eq!(region(&[], [800, 1600]), None);
        let corner = region(&[((7, 7), 0.2)], [10, 3]).expect("a spot");
        assert!((corner.bottom, corner.right) == (10, 3) && corner.top < 10 && corner.left < 3, "{corner:?}");
        assert_eq!(region(&[((3, 3), 1.0)], [1, 1]), Some(Region { left: 0, top: 0, right: 1, bottom: 1 }));
    }
}
