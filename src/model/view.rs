//! The radiological view of a slice: how it is turned so that a network sees every series the same way up.
//!
//! Axial: columns run to the left of the patient, rows to the back; coronal: to the left and to the feet; sagittal: to the back and
//! to the feet. Turning only swaps and reverses axes; nothing is interpolated.
use ndarray::{Array2, ArrayView2};

use super::manifest::Orientation;
use crate::pixel::Affine;

/// How a source plane becomes the view: its axes are swapped first, then reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    swapped: bool,
    rows_reversed: bool,
    columns_reversed: bool,
}

/// Top, left, rows and columns of a rectangle on a grid.
pub(super) type Rectangle = [usize; 4];

/// The plane of the slices: the body axis that their normal is closest to.
pub(super) fn plane(affine: &Affine) -> Orientation {
    let (column, row) = (affine.step(0), affine.step(1));
    let normal = [0, 1, 2].map(|axis: usize| {
        let (b, c) = ((axis + 1) % 3, (axis + 2) % 3);
        (column[b] * row[c] - column[c] * row[b]).abs()
    });
    // An oblique slice at exactly 45 degrees counts as axial before coronal before sagittal.
    match normal {
        [x, y, z] if z >= x && z >= y => Orientation::Axial,
        [x, y, _] if y >= x => Orientation::Coronal,
        _ => Orientation::Sagittal,
    }
}

impl View {
    /// Of slices with that affine.
    pub(super) fn of(affine: &Affine) -> View {
        // Patient axis and sign along which the view's columns and rows run.
        let (columns, rows) = match plane(affine) {
            Orientation::Axial => ((0, 1.0), (1, 1.0)),
            Orientation::Coronal => ((0, 1.0), (2, -1.0)),
            Orientation::Sagittal => ((1, 1.0), (2, -1.0)),
        };
        let (mut along, mut down) = (affine.step(0), affine.step(1));
        let unit = |step: [f64; 3], axis: usize| step[axis] / step.iter().map(|v| v * v).sum::<f64>().sqrt();
        let straight = unit(along, columns.0).abs() + unit(down, rows.0).abs();
        let crossed = unit(down, columns.0).abs() + unit(along, rows.0).abs();
        let swapped = crossed > straight;
        if swapped {
            std::mem::swap(&mut along, &mut down);
        }
        View {
            swapped,
            rows_reversed: down[rows.0] * rows.1 < 0.0,
            columns_reversed: along[columns.0] * columns.1 < 0.0,
        }
    }

    /// Height and width as the view has them.
    pub(super) fn sides<T>(self, [rows, columns]: [T; 2]) -> [T; 2] {
        if self.swapped { [columns, rows] } else { [rows, columns] }
    }

    /// The source plane in the view.
    pub(super) fn turn<'a, T>(self, plane: ArrayView2<'a, T>) -> ArrayView2<'a, T> {
        let mut turned = if self.swapped { plane.reversed_axes() } else { plane };
        self.reverse(&mut turned);
        turned
    }

    /// What the view shows as a source plane: the way back.
    pub(super) fn back(self, seen: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut turned = seen;
        self.reverse(&mut turned);
        let turned = if self.swapped { turned.reversed_axes() } else { turned };
        turned.as_standard_layout().into_owned()
    }

    /// A rectangle on a grid of `size` that shows the view, after the way back.
    pub(super) fn rectangle_back(self, [top, left, rows, columns]: Rectangle, size: [usize; 2]) -> Rectangle {
        let top = if self.rows_reversed { size[0] - top - rows } else { top };
        let left = if self.columns_reversed { size[1] - left - columns } else { left };
        if self.swapped { [left, top, columns, rows] } else { [top, left, rows, columns] }
    }

    /// A point on a grid of `size` that shows the view (row, column, from the outer edges), after the way back.
    pub(super) fn point_back(self, [row, column]: [f64; 2], size: [usize; 2]) -> [f64; 2] {
        let row = if self.rows_reversed { size[0] as f64 - row } else { row };
        let column = if self.columns_reversed { size[1] as f64 - column } else { column };
        self.sides([row, column])
    }

    /// The way of `point_back` the other way round.
    pub(super) fn point_turned(self, point: [f64; 2], size: [usize; 2]) -> [f64; 2] {
        let [row, column] = self.sides(point);
        let row = if self.rows_reversed { size[0] as f64 - row } else { row };
        let column = if self.columns_reversed { size[1] as f64 - column } else { column };
        [row, column]
    }

    fn reverse<T>(self, plane: &mut ArrayView2<'_, T>) {
        if self.rows_reversed {
            plane.invert_axis(ndarray::Axis(0));
        }
        if self.columns_reversed {
            plane.invert_axis(ndarray::Axis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    fn affine(column: [f64; 3], row: [f64; 3]) -> Affine {
        let slice = [0, 1, 2].map(|axis: usize| {
            let (b, c) = ((axis + 1) % 3, (axis + 2) % 3);
            column[b] * row[c] - column[c] * row[b]
        });
        Affine::new([column, row, slice], [0.0; 3])
    }

    /// The view of a plane whose values name the place: left, right; back, front; feet, head.
    #[test]
    fn every_orientation_shows_the_same_view() {
        let right_front = 1.0f32;
        let (left_front, right_back, left_back) = (2.0, 3.0, 4.0);
        let want = arr2(&[[right_front, left_front], [right_back, left_back]]);
        let (x, y) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        let minus = |v: [f64; 3]| v.map(|v| -v);
        let cases = [
            (x, y, arr2(&[[right_front, left_front], [right_back, left_back]])),
            (minus(x), y, arr2(&[[left_front, right_front], [left_back, right_back]])),
            (x, minus(y), arr2(&[[right_back, left_back], [right_front, left_front]])),
            (y, x, arr2(&[[right_front, right_back], [left_front, left_back]])),
            (minus(y), x, arr2(&[[right_back, right_front], [left_back, left_front]])),
            (y, minus(x), arr2(&[[left_front, left_back], [right_front, right_back]])),
        ];
        for (column, row, source) in cases {
            let view = View::of(&affine(column, row));
            assert_eq!(view.turn(source.view()), want, "{column:?} {row:?}");
            assert_eq!(view.back(want.view()), source, "{column:?} {row:?}");
        }
    }

    #[test]
    fn planes_are_named_by_their_normal() {
        let tilted = affine([1.0, 0.0, 0.0], [0.0, 0.9, -0.4]);
        assert_eq!(plane(&tilted), Orientation::Axial);
        assert_eq!(plane(&affine([1.0, 0.0, 0.0], [0.0, 0.0, -1.0])), Orientation::Coronal);
        assert_eq!(plane(&affine([0.0, 1.0, 0.0], [0.0, 0.0, -1.0])), Orientation::Sagittal);
    }
}
