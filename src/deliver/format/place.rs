//! Where a finding lies on a frame, as a closed line: the outline of its mask, else the region around the hot part of its map.
use ndarray::{Array2, ArrayView2};

use super::{
    Material,
    code::{self, Code},
};
use crate::{
    deliver::plan::{is_shown, mask_of, own_frame},
    error::{Error, Result},
    finding::{Finding, Region},
    model,
    pixel::SliceSource,
};

/// Corners of a line that a structured report can hold: its bytes are counted by 16 bits (PS3.5 7.1.2).
const CORNERS_MAX: usize = 8_000;

/// A line on a frame.
pub(super) struct Place {
    /// The frame.
    pub(super) frame: SliceSource,
    /// What the line is to the finding: its outline, or a frame around it.
    pub(super) purpose: Code<'static>,
    /// Column and row from the top left corner of the top left pixel; the first point again at the end.
    pub(super) points: Vec<[f32; 2]>,
}

/// Where a finding is shown, the best frame first; of a negative one nowhere. Errors: `Internal` without the mask that it names.
pub(super) fn of(finding: &Finding, material: &Material) -> Result<Vec<Place>> {
    let Some(of) = finding.of_series.as_ref().filter(|_| is_shown(finding)) else {
        let region = finding.region.filter(|_| is_shown(finding));
        return Ok(region.map(|region| bounds(own_frame(finding), region)).into_iter().collect());
    };
    let mask = match mask_of(finding) {
        Some(digest) => {
            Some(material.masks.get(digest).ok_or_else(|| Error::internal("a planned object lacks its mask"))?)
        }
        None => None,
    };
    let place = |key: &crate::finding::KeySlice| {
        let frame = key.source.clone();
        let outlined = mask.and_then(|mask| mask.slice(key.slice)).and_then(|plane| outline(plane.view()));
        match outlined.filter(|points| points.len() <= CORNERS_MAX) {
            Some(points) => Some(Place { frame, purpose: code::OUTLINE, points }),
            None => key.region.map(|region| bounds(frame, region)),
        }
    };
    Ok(of.key_slices.iter().filter_map(place).collect())
}

fn bounds(frame: SliceSource, region: Region) -> Place {
    // Source pixels are counted by 16 bits: f32 holds each.
    let [left, top, right, bottom] = [region.left, region.top, region.right, region.bottom].map(|edge| edge as f32);
    let points = vec![[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
    Place { frame, purpose: code::BOUNDED_BY, points }
}

/// The outer border of the largest part (pixels that share an edge) as corners of pixels, clockwise; the first one again at the end.
/// `None`: nothing is inside. Straight runs have no corners between their ends.
fn outline(mask: ArrayView2<'_, bool>) -> Option<Vec<[f32; 2]>> {
    let part = largest(mask)?;
    let is_inside = |column: i64, row: i64| {
        let at = usize::try_from(row).ok().zip(usize::try_from(column).ok());
        at.and_then(|at| part.get(at)).copied().unwrap_or(false)
    };
    let (first, _) = part.indexed_iter().find(|(_, inside)| **inside)?;
    let start = [first.1 as i64, first.0 as i64];
    // Along the upper edge of the first pixel, the part on the right hand.
    let (mut at, mut way) = (start, [1i64, 0i64]);
    let mut points = Vec::new();
    loop {
        points.push(at.map(|side| side as f32));
        loop {
            at = [at[0] + way[0], at[1] + way[1]];
            // The two pixels ahead of this corner, on the right and on the left of the way.
            let [right, left] = [[-way[1], way[0]], [way[1], -way[0]]].map(|side| {
                let pixel = [0, 1].map(|axis| at[axis] + (way[axis] + side[axis] - 1).div_euclid(2));
                is_inside(pixel[0], pixel[1])
            });
            match (right, left) {
                (false, _) => {
                    way = [-way[1], way[0]];
                    break;
                }
                (true, true) => {
                    way = [way[1], -way[0]];
                    break;
                }
                (true, false) => {}
            }
        }
        if at == start {
            points.push(at.map(|side| side as f32));
            return Some(points);
        }
    }
}

/// The largest part alone; of equals the first.
fn largest(mask: ArrayView2<'_, bool>) -> Option<Array2<bool>> {
    let mut left = mask.to_owned();
    let mut largest: Vec<(usize, usize)> = Vec::new();
    for (at, _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
        if left[at] {
            let part = model::connected_part(&mut left, at);
            if part.len() > largest.len() {
                largest = part;
            }
        }
    }
    let mut alone = Array2::from_elem(mask.dim(), false);
    largest.iter().for_each(|at| alone[*at] = true);
    (!largest.is_empty()).then_some(alone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(rows: &[&str]) -> Array2<bool> {
        let letters: Vec<bool> = rows.iter().flat_map(|row| row.bytes().map(|letter| letter == b'#')).collect();
        Array2::from_shape_vec((rows.len(), rows[0].len()), letters).expect("a rectangle")
    }

    #[test]
    fn a_block_has_four_corners_and_a_step_two_more() {
        let block = outline(mask(&["....", ".##.", ".##."]).view()).expect("an outline");
        assert_eq!(block, [[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0], [1.0, 1.0]]);
        let step = outline(mask(&["#..", "##.", "..#"]).view()).expect("an outline");
        assert_eq!(
            step,
            [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [0.0, 2.0], [0.0, 0.0]],
            "the corner-wise neighbour is another part"
        );
        assert_eq!(outline(mask(&["...", "..."]).view()), None);
    }

    /// Twice the area inside a closed line (Gauss).
    fn twice_area(points: &[[f32; 2]]) -> f64 {
        points
            .windows(2)
            .map(|w| f64::from(w[0][0]) * f64::from(w[1][1]) - f64::from(w[1][0]) * f64::from(w[0][1]))
            .sum()
    }

    proptest! {
        #[test]
        fn the_area_within_is_that_of_the_part_with_its_holes(cells in proptest::collection::vec(any::<bool>(), 48)) {
            let mask = Array2::from_shape_vec((6, 8), cells).expect("48 cells");
            let Some(points) = outline(mask.view()) else { return Ok(()) };
            prop_assert_eq!(points.first(), points.last());
            let part = largest(mask.view()).expect("a part");
            // Holes are what the background, corner-wise neighbours included, cannot reach from outside.
            let mut outside = Array2::from_elem((8, 10), false);
            let mut open = vec![(0usize, 0usize)];
            while let Some((row, column)) = open.pop() {
                let inside = row > 0 && column > 0 && part.get((row - 1, column - 1)).copied().unwrap_or(false);
                if inside || std::mem::replace(&mut outside[(row, column)], true) { continue; }
                for dr in -1i64..=1 {
                    for dc in -1i64..=1 {
                        let (r, c) = (row as i64 + dr, column as i64 + dc);
                        if (0..8).contains(&r) && (0..10).contains(&c) { open.push((r as usize, c as usize)); }
                    }
                }
            }
            let filled = outside.iter().filter(|outside| !**outside).count();
            prop_assert_eq!(twice_area(&points), 2.0 * filled as f64);
        }
    }
}
