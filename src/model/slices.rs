//! A series as slices: which are read, the tensor of each, and the way from a tensor back to source pixels.
use ndarray::{Array2, Array3, Array4, ArrayD, ArrayView2, Axis, s};

use super::{
    intensity::Scaler,
    manifest::SlicesRecipe,
    recipe::{fitted, pixels, put},
    view::{Rectangle, View},
};
use crate::pixel::{GridMap, Volume, resize};

/// Where a map that covers a whole input lies on the source frame: left, top, width, height in source pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// What the map covers; it may reach outside the frame.
    pub rectangle: [f64; 4],
    /// What the network saw of the frame.
    pub seen: [f64; 4],
    /// Rows and columns of the frame.
    pub source_size: [u32; 2],
}

/// The inputs of a series, made on demand.
#[derive(Debug, Clone)]
pub(super) struct SliceInputs {
    recipe: SlicesRecipe,
    volume: Volume,
    scalers: Vec<Scaler>,
    view: View,
    /// The slices that are read, by their index in the stack, rising.
    read: Vec<usize>,
    /// Where each slice of the stack lies along the normal, mm, rising.
    positions_mm: Vec<f64>,
    /// 1 where the stack's order is from feet to head, front to back or right to left; else -1.
    forward: f64,
    /// The part of the input that shows the slice and not the letterbox.
    content: Rectangle,
}

impl SliceInputs {
    /// Takes the statistics that are the series'.
    pub(super) fn new(recipe: &SlicesRecipe, scalers: Vec<Scaler>, volume: Volume) -> SliceInputs {
        let stack = &volume.stack;
        let view = View::of(&stack.affine);
        let normal = stack.normal();
        let along =
            |origin: &[f64; 3]| (0..3).map(|axis| normal[axis] * (origin[axis] - stack.origins[0][axis])).sum::<f64>();
        let positions_mm: Vec<f64> = stack.origins.iter().map(along).collect();
        let largest = normal.iter().copied().fold(0.0, |max: f64, v| if v.abs() > max.abs() { v } else { max });
        let [rows_mm, columns_mm] = [1, 2].map(|side| stack.size[side] as f64 * stack.spacing[side]);
        SliceInputs {
            read: lattice(&positions_mm, recipe.step_mm),
            positions_mm,
            forward: largest.signum(),
            content: fitted(view.sides([rows_mm, columns_mm]), recipe.size, recipe.fit),
            recipe: recipe.clone(),
            scalers,
            view,
            volume,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.read.len()
    }

    /// The stack's index of the slice that input `index` shows.
    pub(super) fn slice(&self, index: usize) -> usize {
        self.read[index]
    }

    /// Where the slice of each input lies along the normal, mm.
    pub(super) fn read_mm(&self) -> Vec<f64> {
        self.read.iter().map(|slice| self.positions_mm[*slice]).collect()
    }

    /// The tensor of input `index`: 1 x channels x rows x columns.
    pub(super) fn input(&self, index: usize) -> ArrayD<f32> {
        let [rows, columns] = self.recipe.size;
        let own: Vec<Array2<f32>> = self.shown(index).into_iter().flat_map(|slice| self.planes(slice)).collect();
        let mut tensor = Array4::zeros((1, self.recipe.channels(), rows, columns));
        for (channel, mut plane) in tensor.index_axis_mut(Axis(0), 0).axis_iter_mut(Axis(0)).enumerate() {
            let (mean, std) = (self.recipe.mean.of(channel), self.recipe.std.of(channel));
            plane.assign(&own[channel % own.len()].mapv(|value| (value - mean) / std));
        }
        tensor.into_dyn()
    }

    /// The slices that input `index` is made of: itself between its neighbours.
    fn shown(&self, index: usize) -> Vec<usize> {
        let slice = self.read[index];
        let Some(neighbours) = self.recipe.neighbours else { return vec![slice] };
        let count = neighbours.count as i64;
        let at = |offset: i64| {
            let place = self.positions_mm[slice] + self.forward * offset as f64 * neighbours.step_mm;
            if offset == 0 { slice } else { nearest(&self.positions_mm, place) }
        };
        (-count..=count).map(at).collect()
    }

    /// Each window of a slice of the stack on the input's grid, not yet normalised.
    fn planes(&self, slice: usize) -> Vec<Array2<f32>> {
        let values = self.volume.values.index_axis(Axis(0), slice);
        let padding = self.volume.padding.as_ref().map(|padding| padding.index_axis(Axis(0), slice));
        let plane = |scaler: &Scaler| {
            let scaled = scaler.slice(values, padding);
            let mut grid = Array2::zeros(self.recipe.size);
            put(self.view.turn(scaled.view()), self.content, grid.view_mut());
            grid
        };
        self.scalers.iter().map(plane).collect()
    }

    /// A map of any grid that covers the whole input, in the orientation of the source frame.
    pub(super) fn map_back(&self, seen: ArrayView2<'_, f32>) -> Array2<f32> {
        self.view.back(seen)
    }

    /// Channels x the input's grid as channels x what shows the slice, in the orientation of the source frame.
    pub(super) fn content_back(&self, seen: &ArrayD<f32>) -> Option<Array3<f32>> {
        let seen = seen.view().into_dimensionality::<ndarray::Ix3>().ok()?;
        let [top, left, rows, columns] = self.content;
        let planes: Vec<Array2<f32>> = seen
            .outer_iter()
            .map(|plane| self.view.back(plane.slice(s![top..top + rows, left..left + columns])))
            .collect();
        let views: Vec<_> = planes.iter().map(Array2::view).collect();
        ndarray::stack(Axis(0), &views).ok()
    }

    /// Rows and columns of what `content_back` gives.
    pub(super) fn content_size(&self) -> [usize; 2] {
        let [_, _, rows, columns] = self.view.rectangle_back(self.content, self.recipe.size);
        [rows, columns]
    }

    /// A map of what shows the slice at the pixels of the source frame.
    pub(super) fn at_source(&self, content: ArrayView2<'_, f32>) -> Array2<f32> {
        let [_, rows, columns] = self.volume.stack.size;
        resize(content, rows, columns)
    }

    /// Where a map that covers the whole input lies.
    pub(super) fn place(&self) -> Place {
        let [_, rows, columns] = self.volume.stack.size;
        let size = self.view.sides(self.recipe.size);
        Place { rectangle: self.grid().rectangle(size), ..whole_frame([rows, columns]) }
    }

    /// The place of a map of the whole frame.
    pub(super) fn whole_frame(&self) -> Place {
        let [_, rows, columns] = self.volume.stack.size;
        whole_frame([rows, columns])
    }

    /// From the input's grid, after the way back to the orientation of the source frame, to source pixels.
    fn grid(&self) -> GridMap {
        let [top, left, rows, columns] = self.view.rectangle_back(self.content, self.recipe.size);
        let [_, source_rows, source_columns] = self.volume.stack.size;
        let scale = [source_rows as f64 / rows as f64, source_columns as f64 / columns as f64];
        GridMap { scale, offset: [-scale[0] * top as f64, -scale[1] * left as f64] }
    }

    /// A point on the grid of input `index` (0 to 1 within the slice, row, column, from the outer edges) in source voxels
    /// (slice, row, column, from the outer edges).
    pub(super) fn to_source(&self, index: usize, [depth, row, column]: [f64; 3]) -> [f64; 3] {
        let [row, column] = self.grid().to_source(self.view.point_back([row, column], self.recipe.size));
        [self.read[index] as f64 + depth, row, column]
    }

    /// The way back: a point in source voxels on the grid of input `index`.
    pub(super) fn to_grid(&self, index: usize, [slice, row, column]: [f64; 3]) -> [f64; 3] {
        let [row, column] = self.view.point_turned(self.grid().to_grid([row, column]), self.recipe.size);
        [slice - self.read[index] as f64, row, column]
    }

    pub(super) fn volume(&self) -> &Volume {
        &self.volume
    }

    /// For slice `slice` of the stack: the inputs before and after it, and the share of the latter by distance.
    pub(super) fn between(&self, slice: usize) -> (usize, usize, f32) {
        let above = self.read.partition_point(|read| *read < slice).min(self.read.len() - 1);
        let below = if self.read[above] > slice { above.saturating_sub(1) } else { above };
        let [low, high, own] = [self.read[below], self.read[above], slice].map(|slice| self.positions_mm[slice]);
        let share = if high > low { ((own - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        (below, above, share as f32)
    }
}

/// A map that covers a whole frame of these rows and columns.
pub(super) fn whole_frame([rows, columns]: [usize; 2]) -> Place {
    let whole = [0.0, 0.0, columns as f64, rows as f64];
    Place { rectangle: whole, seen: whole, source_size: [pixels(rows), pixels(columns)] }
}

/// Indices of the positions, which rise, that are nearest to a lattice of `step_mm` from the first on; all where there is no step.
fn lattice(positions_mm: &[f64], step_mm: Option<f64>) -> Vec<usize> {
    let all = 0..positions_mm.len();
    let (Some(step), Some(last)) = (step_mm, positions_mm.last()) else { return all.collect() };
    // Between two slices there is at most one lattice point that matters: the step bounds the loop by the slices.
    let points = (last / step).floor();
    if points >= positions_mm.len() as f64 {
        return all.collect();
    }
    let mut read: Vec<usize> = (0..=points as usize).map(|point| nearest(positions_mm, point as f64 * step)).collect();
    read.dedup();
    read
}

/// The index of the position, of those that rise, nearest to `place`: the lower of two.
fn nearest(positions_mm: &[f64], place: f64) -> usize {
    let above = positions_mm.partition_point(|position| *position < place);
    match (above.checked_sub(1), positions_mm.get(above)) {
        (Some(below), Some(next)) if place - positions_mm[below] <= next - place => below,
        (Some(below), None) => below,
        (Some(_), Some(_)) | (None, _) => above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thin_slices_are_read_at_the_step_and_thick_ones_all() {
        let thin: Vec<f64> = (0..11).map(f64::from).collect();
        assert_eq!(lattice(&thin, Some(3.0)), [0, 3, 6, 9]);
        assert_eq!(lattice(&thin, None).len(), 11);
        let thick = [0.0, 5.0, 10.0, 14.0];
        assert_eq!(lattice(&thick, Some(3.0)), [0, 1, 2, 3]);
        assert_eq!(lattice(&[0.0], Some(3.0)), [0]);
    }

    #[test]
    fn the_nearest_is_found_beyond_the_ends_too() {
        let positions = [0.0, 1.0, 4.0];
        let got = [-9.0, 0.4, 0.5, 0.6, 2.4, 2.6, 9.0].map(|place| nearest(&positions, place));
        assert_eq!(got, [0, 0, 0, 1, 1, 2, 2]);
    }
}
