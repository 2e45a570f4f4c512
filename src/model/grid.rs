//! A series as one grid: turned to the axes that the network wants, resampled, scaled, cut into patches; and the way back.
use ndarray::{Array3, Array4, ArrayD, Axis, s};

use super::{
    intensity::Scaler,
    manifest::{Interpolation, VolumeRecipe},
    patches::Patches,
};
use crate::{
    error::Result,
    pixel::{Affine, Defect, Grid, Stack, Volume, resample, resample_nearest},
};

/// A target axis: the source axis (0 column, 1 row, 2 slice) that it runs along, and whether backwards.
type Turn = [(usize, bool); 3];

/// The values that a network sees, and where they lie.
#[derive(Debug, Clone)]
pub(super) struct VolumeInput {
    /// Channels x depth x rows x columns, normalised.
    values: Array4<f32>,
    /// The tensor's grid in the patient: column, row, depth of the tensor.
    grid: Grid,
    /// For depth, rows and columns of the tensor.
    turn: Turn,
    stack: Stack,
    patches: Patches,
}

impl VolumeInput {
    /// Takes the volume apart: its values are scaled in place, and gone when this returns.
    ///
    /// Errors: `TooLarge`; `GeometryInconsistent` for a single slice.
    pub(super) fn new(
        recipe: &VolumeRecipe,
        scalers: &[Scaler],
        volume: Volume,
        threads: usize,
    ) -> Result<VolumeInput> {
        let (whole, grid, turn) = target(recipe, &volume.stack);
        let stack = volume.stack.clone();
        let Grid { size: [depth, rows, columns], .. } = grid;
        let mut values = Array4::zeros((recipe.channels(), depth, rows, columns));
        let mut volume = Some(volume);
        for (index, scaler) in scalers.iter().enumerate() {
            // The last channel needs no copy.
            let own = if index + 1 == scalers.len() { volume.take() } else { volume.clone() };
            let Some(own) = own else { break };
            let resampled = resampled(scaled(own, scaler), recipe.interpolation, (&whole, turn), &grid, threads)?;
            for channel in (index..recipe.channels()).step_by(scalers.len()) {
                let (mean, std) = (recipe.mean.of(channel), recipe.std.of(channel));
                let mut place = values.index_axis_mut(Axis(0), channel);
                place.zip_mut_with(&resampled, |into, value| *into = (value - mean) / std);
            }
        }
        let patches = Patches::over(grid.size, recipe.patch(), recipe.overlap.unwrap_or(0.5));
        Ok(VolumeInput { values, grid, turn, stack, patches })
    }

    pub(super) fn patches(&self) -> &Patches {
        &self.patches
    }

    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The tensor of patch `index`: 1 x channels x depth x rows x columns.
    pub(super) fn input(&self, index: usize) -> ArrayD<f32> {
        let ([d, r, c], [depth, rows, columns]) = (self.patches.start(index), self.patches.patch());
        let part = self.values.slice(s![.., d..d + depth, r..r + rows, c..c + columns]);
        part.to_owned().insert_axis(Axis(0)).into_dyn()
    }

    /// A map that covers the tensor's grid, with its axes in the order and direction of the source's, and the affine of that.
    pub(super) fn source_order(&self, map: Array3<f32>) -> (Array3<f32>, Affine) {
        let (depth, rows, columns) = map.dim();
        let grid = self.grid.with_size([depth, rows, columns]);
        // Where the source's slices, rows and columns are among the tensor's axes.
        let at = |source: usize| (0..3).find(|axis| self.turn[*axis].0 == source).unwrap_or(0);
        let [slices, rows, columns] = [at(2), at(1), at(0)];
        let mut turned = map.permuted_axes([slices, rows, columns]);
        let mut first = [0.0; 3];
        let mut signs = [1.0; 3];
        for (axis, tensor) in [slices, rows, columns].into_iter().enumerate() {
            if self.turn[tensor].1 {
                turned.invert_axis(Axis(axis));
                first[2 - tensor] = grid.size[tensor] as f64 - 1.0;
                signs[axis] = -1.0;
            }
        }
        let step = |tensor: usize, sign: f64| grid.affine.step(2 - tensor).map(|mm| sign * mm);
        let steps = [step(columns, signs[2]), step(rows, signs[1]), step(slices, signs[0])];
        let affine = Affine::new(steps, grid.affine.to_patient(first));
        (turned.as_standard_layout().into_owned(), affine)
    }

    /// A point on the grid of patch `index` (depth, row, column, from the outer edges) in source voxels (slice, row, column, likewise).
    pub(super) fn to_source(&self, index: usize, point: [f64; 3]) -> [f64; 3] {
        let start = self.patches.start(index);
        let [depth, row, column] = [0, 1, 2].map(|axis| point[axis] + start[axis] as f64 - 0.5);
        let [column, row, slice] = self.stack.to_voxel(self.grid.affine.to_patient([column, row, depth]));
        [slice + 0.5, row + 0.5, column + 0.5]
    }

    /// The way back: a point in source voxels on the grid of patch `index`. `None` where the grid has no extent along an axis.
    pub(super) fn to_grid(&self, index: usize, point: [f64; 3]) -> Option<[f64; 3]> {
        let [slice, row, column] = point.map(|edge| edge - 0.5);
        let [column, row, depth] = self.grid.affine.inverse()?.to_patient(self.stack.to_patient([column, row, slice]));
        let (center, start) = ([depth, row, column], self.patches.start(index));
        Some([0, 1, 2].map(|axis| center[axis] + 0.5 - start[axis] as f64))
    }
}

/// The source's own grid turned to the tensor's axes; the grid that the recipe asks for, of a tilted series at right angles; how they
/// are turned.
fn target(recipe: &VolumeRecipe, stack: &Stack) -> (Grid, Grid, Turn) {
    let source = stack.grid();
    let turn = closest(&source.affine, recipe.axes.directions());
    let whole = turned(&source, turn);
    let level = if stack.warnings.contains(&Defect::GantryTilt) { turned(&source.level(), turn) } else { whole };
    let grid = match (recipe.grid, recipe.spacing_mm) {
        (Some(size), _) => level.with_size(size),
        (None, Some(spacing)) => level.with_spacing(spacing),
        (None, None) => level,
    };
    // A grid smaller than a patch lies in the middle of one.
    let patch = recipe.patch();
    let size = [0, 1, 2].map(|axis| grid.size[axis].max(patch[axis]));
    let before = [0, 1, 2].map(|axis| -(((size[axis] - grid.size[axis]) / 2) as i64));
    (whole, grid.part(before, size), turn)
}

/// The same voxels with axes in another order and direction.
fn turned(source: &Grid, turn: Turn) -> Grid {
    let side = |axis: usize| source.size[2 - turn[axis].0];
    let step = |axis: usize| {
        let (own, backwards) = turn[axis];
        source.affine.step(own).map(|mm| if backwards { -mm } else { mm })
    };
    let mut first = [0.0; 3];
    for (own, backwards) in turn {
        first[own] = if backwards { source.size[2 - own] as f64 - 1.0 } else { 0.0 };
    }
    let affine = Affine::new([step(2), step(1), step(0)], source.affine.to_patient(first));
    Grid { size: [side(0), side(1), side(2)], affine }
}

/// For each tensor axis the source axis that runs closest to its direction, each once: the choice whose cosines have the largest sum
/// (the closest canonical orientation).
fn closest(affine: &Affine, directions: [(usize, f64); 3]) -> Turn {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let cosine = |own: usize, (patient, sign): (usize, f64)| {
        let step = affine.step(own);
        let length = step.iter().map(|mm| mm * mm).sum::<f64>().sqrt();
        if length > 0.0 { sign * step[patient] / length } else { 0.0 }
    };
    let fit = |order: &[usize; 3]| (0..3).map(|axis| cosine(order[axis], directions[axis]).abs()).sum::<f64>();
    let best = ORDERS.into_iter().max_by(|a, b| fit(a).total_cmp(&fit(b))).unwrap_or(ORDERS[0]);
    [0, 1, 2].map(|axis| (best[axis], cosine(best[axis], directions[axis]) < 0.0))
}

/// One channel's values; padding becomes 0.
fn scaled(mut volume: Volume, scaler: &Scaler) -> Volume {
    let padding = volume.padding.take();
    for (index, mut slice) in volume.values.axis_iter_mut(Axis(0)).enumerate() {
        let padding = padding.as_ref().map(|padding| padding.index_axis(Axis(0), index));
        let scaled = scaler.slice(slice.view(), padding);
        slice.assign(&scaled);
    }
    volume
}

fn resampled(
    volume: Volume,
    interpolation: Interpolation,
    (whole, turn): (&Grid, Turn),
    grid: &Grid,
    threads: usize,
) -> Result<Array3<f32>> {
    let even = volume.evened(threads)?;
    match interpolation {
        Interpolation::Linear => resample(even.view(), &volume.stack.affine, grid, 0.0, threads),
        // Where two voxels are equally near, the upper one of the tensor's axes is taken, as torch's `nearest-exact` does after turning.
        Interpolation::Nearest => {
            let mut turned = even.view().permuted_axes(turn.map(|(own, _)| 2 - own));
            for (axis, (_, backwards)) in turn.into_iter().enumerate() {
                if backwards {
                    turned.invert_axis(Axis(axis));
                }
            }
            resample_nearest(turned, &whole.affine, grid, 0.0, threads)
        }
    }
}

/// What a map in the order of the source (and at `affine`) says at the pixels of slice `slice` of `stack`.
///
/// Errors: as of `resample`.
pub(super) fn at_slice(map: &Array3<f32>, affine: &Affine, stack: &Stack, slice: usize) -> Result<Array3<f32>> {
    let [_, rows, columns] = stack.size;
    // Across the slice the map's own step: what is asked for is what it says there, not its mean over the way to the next slice.
    let steps = [stack.affine.step(0), stack.affine.step(1), affine.step(2)];
    let origin = stack.to_patient([0.0, 0.0, slice as f64]);
    let plane = Grid { size: [1, rows, columns], affine: Affine::new(steps, origin) };
    resample(map.view(), affine, &plane, 0.0, 1)
}
