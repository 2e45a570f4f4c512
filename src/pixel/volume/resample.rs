//! Resampling of volumes: onto any grid in the patient, trilinear and antialiased where it shrinks; nearest for masks.
//!
//! A grid whose axes are those of the source (in any order and direction) takes the separable way: slice by slice of the target,
//! all in cache, by as many threads as wanted. Any other one is gathered voxel by voxel, after the source was shrunk along its own
//! axes where the target is coarser.
use ndarray::{Array3, ArrayView3, Axis, CowArray, Ix3};

use crate::error::{Code, Error, Result};
use crate::pixel::affine::{Affine, cross, dot, length, minus};
use crate::pixel::share::share;

use super::load::{VOLUME_BYTES_MAX, Volume};
use super::pages::filled;
use super::taps::{Taps, blend};

/// Voxels in the patient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Slices, rows, columns; each at least 1.
    pub size: [usize; 3],
    /// Voxel (column, row, slice) to LPS mm.
    pub affine: Affine,
}

impl Grid {
    /// The same box (outer edges) in another number of slices, rows and columns, each at least 1.
    pub fn with_size(&self, size: [usize; 3]) -> Grid {
        let ratio = |axis: usize| self.size[2 - axis] as f64 / size[2 - axis].max(1) as f64;
        self.regrid(size.map(|side| side.max(1)), [ratio(0), ratio(1), ratio(2)])
    }

    /// Exactly `spacing` mm between slices, rows and columns (each above 0), as many as come nearest to the same box, centred in it.
    /// An axis without a step of its own (one slice) stays as it is.
    pub fn with_spacing(&self, spacing: [f64; 3]) -> Grid {
        let own = self.affine.spacing();
        let ratio = |axis: usize| if own[axis] > 0.0 { spacing[2 - axis] / own[axis] } else { 1.0 };
        let count = |axis: usize| ((self.size[2 - axis] as f64 / ratio(axis)).round() as usize).max(1);
        self.regrid([count(2), count(1), count(0)], [ratio(0), ratio(1), ratio(2)])
    }

    /// The box at right angles around this one, in whole voxels: columns and rows as they are, slices one behind the other along their
    /// normal. Of a tilted gantry's grid it undoes the shear; any other grid stays as it is.
    pub fn level(&self) -> Grid {
        let [column, row, slice] = [0, 1, 2].map(|axis| self.affine.step(axis));
        let across = cross(column, row);
        let (long, area) = (length(across), dot(across, across));
        if area == 0.0 || slice == [0.0; 3] {
            return *self;
        }
        let normal = across.map(|v| v / long);
        let along = normal.map(|v| v * dot(slice, normal));
        // What is left of the step lies in the plane of the slice: so many columns and rows (Cramer's rule).
        let aside = minus(slice, along);
        let each = [dot(cross(aside, row), across) / area, dot(cross(column, aside), across) / area];
        let [slices, rows, columns] = self.size;
        let all = each.map(|part| part * (slices as f64 - 1.0));
        // Shifts that are rounding alone add no voxels.
        let more = all.map(|part| if part.abs() < 1e-6 { 0 } else { part.abs().ceil() as usize });
        let first = |axis: usize| if all[axis] < 0.0 { -(more[axis] as f64) } else { 0.0 };
        let origin = self.affine.to_patient([first(0), first(1), 0.0]);
        Grid { size: [slices, rows + more[1], columns + more[0]], affine: Affine::new([column, row, along], origin) }
    }

    /// `size` voxels (slices, rows, columns) of this grid from voxel `first` (slice, row, column) on, which may lie outside.
    pub fn part(&self, first: [i64; 3], size: [usize; 3]) -> Grid {
        let origin = self.affine.to_patient([first[2] as f64, first[1] as f64, first[0] as f64]);
        Grid { size, affine: Affine::new([0, 1, 2].map(|axis| self.affine.step(axis)), origin) }
    }

    /// `ratio`: own steps to one new step along columns, rows, slices. The boxes have one centre.
    fn regrid(&self, size: [usize; 3], ratio: [f64; 3]) -> Grid {
        let first = |axis: usize| {
            let (own, new) = (self.size[2 - axis] as f64, size[2 - axis] as f64);
            (own - 1.0) / 2.0 - ratio[axis] * (new - 1.0) / 2.0
        };
        let origin = self.affine.to_patient([first(0), first(1), first(2)]);
        let step = |axis: usize| self.affine.step(axis).map(|v| v * ratio[axis]);
        Grid { size, affine: Affine::new([step(0), step(1), step(2)], origin) }
    }

    fn check(&self) -> Result<()> {
        let bytes = self.size.iter().fold(4, |bytes: u64, side| bytes.saturating_mul(*side as u64));
        if bytes <= VOLUME_BYTES_MAX {
            return Ok(());
        }
        let detail = format!("a grid of {:?} voxels is {bytes} bytes; the limit is {VOLUME_BYTES_MAX}", self.size);
        Err(Error::new(Code::TooLarge, detail))
    }
}

impl Volume {
    /// The volume with even steps between its slices: those of the stack's affine. What lies between two slices is on the line from
    /// one to the other. Borrowed where the steps are even already.
    ///
    /// Errors: `TooLarge`.
    pub fn evened(&self, threads: usize) -> Result<CowArray<'_, f32, Ix3>> {
        let grid = self.stack.grid();
        let Some(knots) = self.stack.uneven_slices() else { return Ok(self.values.view().into()) };
        grid.check()?;
        let taps = Taps::between(&knots, (0..grid.size[0]).map(|slice| slice as f64));
        let values = self.values.as_standard_layout();
        let mut out = filled(grid.size, 0.0);
        share(
            out.axis_iter_mut(Axis(0)).enumerate(),
            threads,
            || (),
            |(), (slice, mut out)| {
                if let (Some((first, weights)), Some(out)) = (taps.of_target(slice), out.as_slice_mut()) {
                    let planes = values.axis_iter(Axis(0)).skip(first).take(weights.len());
                    let planes: Vec<_> = planes.map(|plane| plane.to_slice().unwrap_or_default()).collect();
                    blend(planes.into_iter(), weights, out);
                }
            },
        );
        Ok(out.into())
    }

    /// The volume on another grid; as [`resample`], uneven slices at their true places.
    ///
    /// Errors: `TooLarge`; `GeometryInconsistent` for a single slice.
    pub fn resample(&self, to: &Grid, outside: f32, threads: usize) -> Result<Array3<f32>> {
        resample(self.evened(threads)?.view(), &self.stack.affine, to, outside, threads)
    }
}

/// `values` (slices, rows, columns at `from`) at the voxels of `to`: trilinear; along an axis that becomes coarser the triangle is as
/// wide as the new step (antialiasing), its weights brought to a sum of 1 at the ends.
///
/// Within half a voxel of the outermost centres the outermost values go on; beyond is `outside`. No NaN: one would spread. Same grid,
/// same values. Cost: a few operations a target voxel and source sample; memory: the result, and per thread one source slice.
/// Errors: `TooLarge` for a grid above `VOLUME_BYTES_MAX`; `GeometryInconsistent` where `from` has no inverse.
pub fn resample(
    values: ArrayView3<'_, f32>,
    from: &Affine,
    to: &Grid,
    outside: f32,
    threads: usize,
) -> Result<Array3<f32>> {
    let map = way(from, to)?;
    if let Some(axes) = aligned(&map, to.size) {
        return Ok(separable(values, &map, axes, to.size, outside, threads));
    }
    // How far apart the target's voxels are along each source axis, the other two held: where that is more than one, what lies between
    // must count, too. A shear is no distance: of a tilted series brought level, nothing is blurred by the tilt.
    let apart = |back: Affine| [0, 1, 2].map(|axis| 1.0 / length(back.step(axis)));
    // A grid of one slice need not have a step across: then the way that its steps go counts.
    let coarser = map.inverse().map_or_else(|| map.rows.map(|[a, b, c, _]| length([a, b, c])), apart);
    let coarser = coarser.map(|ratio| ratio.max(1.0));
    if coarser.iter().all(|ratio| *ratio <= 1.0 + 1e-6) {
        return Ok(gather(values, &map, to.size, outside, threads));
    }
    let (slices, rows, columns) = values.dim();
    let shrunk = |side: usize, ratio: f64| ((side as f64 / ratio).ceil() as usize).max(1);
    let size = [shrunk(slices, coarser[2]), shrunk(rows, coarser[1]), shrunk(columns, coarser[0])];
    let grid = Grid { size: [slices, rows, columns], affine: *from }.with_size(size);
    let small = resample(values, from, &grid, outside, threads)?;
    Ok(gather(small.view(), &way(&grid.affine, to)?, to.size, outside, threads))
}

/// `values` (a mask, labels) at the voxels of `to`: each that of the nearest voxel, the upper one of two; beyond half a voxel `outside`.
///
/// Errors: as of [`resample`].
pub fn resample_nearest<T: Copy + Send + Sync>(
    values: ArrayView3<'_, T>,
    from: &Affine,
    to: &Grid,
    outside: T,
    threads: usize,
) -> Result<Array3<T>> {
    let map = way(from, to)?;
    let mut out = Array3::from_elem(to.size, outside);
    share(
        out.axis_iter_mut(Axis(0)).enumerate(),
        threads,
        || (),
        |(), (slice, mut plane)| {
            for (row, mut line) in plane.axis_iter_mut(Axis(0)).enumerate() {
                let start = map.to_patient([0.0, row as f64, slice as f64]);
                let step = map.step(0);
                for (column, value) in line.iter_mut().enumerate() {
                    let at = [0, 1, 2].map(|axis| (start[axis] + column as f64 * step[axis] + 0.5).floor());
                    // Below 0, the cast would make a 0 of it.
                    if at.iter().all(|v| *v >= 0.0)
                        && let Some(found) = values.get([at[2] as usize, at[1] as usize, at[0] as usize])
                    {
                        *value = *found;
                    }
                }
            }
        },
    );
    Ok(out)
}

/// From indices of `to` to indices at `from`.
fn way(from: &Affine, to: &Grid) -> Result<Affine> {
    to.check()?;
    let single = || Error::new(Code::GeometryInconsistent, "a single slice has no volume to be resampled");
    Ok(from.inverse().ok_or_else(single)?.after(&to.affine))
}

/// Drift of an index over the whole target that is no turn of the axes but rounding.
const DRIFT_MAX: f64 = 1e-3;

/// For each target axis (column, row, slice) the source axis that it runs along; `None` if it runs along none.
fn aligned(map: &Affine, size: [usize; 3]) -> Option<[usize; 3]> {
    let drift = |source: usize, target: usize| map.rows[source][target].abs() * (size[2 - target].max(2) - 1) as f64;
    let along = |target: usize| (0..3).max_by(|a, b| drift(*a, target).total_cmp(&drift(*b, target)));
    let axes = [along(0)?, along(1)?, along(2)?];
    let is_straight = |target: usize| (0..3).all(|source| source == axes[target] || drift(source, target) < DRIFT_MAX);
    let is_each_once = axes[0] != axes[1] && axes[1] != axes[2] && axes[0] != axes[2];
    (is_each_once && (0..3).all(is_straight)).then_some(axes)
}

fn separable(
    values: ArrayView3<'_, f32>,
    map: &Affine,
    axes: [usize; 3],
    size: [usize; 3],
    outside: f32,
    threads: usize,
) -> Array3<f32> {
    let turned = values.permuted_axes([2 - axes[2], 2 - axes[1], 2 - axes[0]]);
    let turned = turned.as_standard_layout();
    let taps = |target: usize| {
        let row = map.rows[axes[target]];
        let centers = (0..size[2 - target]).map(|index| row[target] * index as f64 + row[3]);
        Taps::triangle(turned.shape()[2 - target], centers, row[target])
    };
    let [x, y, z] = [taps(0), taps(1), taps(2)];
    let ((top, bottom), (left, right)) = (y.span(), x.span());
    let width = right - left;
    let buffers = || (vec![0.0; (bottom - top) * width], vec![0.0; width]);
    let mut out = filled(size, outside);
    share(out.axis_iter_mut(Axis(0)).enumerate(), threads, buffers, |(plane, line), (slice, mut out)| {
        let Some((first, weights)) = z.of_target(slice) else { return };
        let source = |slice: usize, row: usize| {
            let plane = turned.index_axis(Axis(0), slice);
            let line = plane.index_axis_move(Axis(0), row).to_slice().unwrap_or_default();
            line.get(left..right).unwrap_or_default()
        };
        for (row, line) in (top..bottom).zip(plane.chunks_exact_mut(width.max(1))) {
            blend((first..).map(|slice| source(slice, row)), weights, line);
        }
        for (row, mut out) in out.axis_iter_mut(Axis(0)).enumerate() {
            let (Some((first, weights)), Some(out)) = (y.of_target(row), out.as_slice_mut()) else { continue };
            blend(plane.chunks_exact(width.max(1)).skip(first - top), weights, line);
            x.apply(line, left, out, outside);
        }
    });
    out
}

/// Trilinear, voxel by voxel, along any direction.
fn gather(values: ArrayView3<'_, f32>, map: &Affine, size: [usize; 3], outside: f32, threads: usize) -> Array3<f32> {
    let source = values.as_standard_layout();
    let (slices, rows, columns) = source.dim();
    let samples = source.as_slice().unwrap_or_default();
    let sides = [columns, rows, slices];
    let strides = [1, columns, columns * rows];
    let mut out = filled(size, outside);
    share(
        out.axis_iter_mut(Axis(0)).enumerate(),
        threads,
        || (),
        |(), (slice, mut plane)| {
            for (row, mut line) in plane.axis_iter_mut(Axis(0)).enumerate() {
                let (start, step) = (map.to_patient([0.0, row as f64, slice as f64]), map.step(0));
                for (column, value) in line.iter_mut().enumerate() {
                    let at = [0, 1, 2].map(|axis| start[axis] + column as f64 * step[axis]);
                    if (0..3).all(|axis| at[axis] >= -0.5 - 1e-6 && at[axis] <= sides[axis] as f64 - 0.5 + 1e-6) {
                        *value = trilinear(samples, sides, strides, at);
                    }
                }
            }
        },
    );
    out
}

#[inline(always)]
fn trilinear(samples: &[f32], sides: [usize; 3], strides: [usize; 3], at: [f64; 3]) -> f32 {
    let mut base = 0;
    let mut part = [0.0f32; 3];
    let mut next = [0; 3];
    for axis in 0..3 {
        let last = sides[axis] - 1;
        let clamped = at[axis].clamp(0.0, last as f64);
        let below = (clamped as usize).min(last.saturating_sub(1));
        base += below * strides[axis];
        part[axis] = (clamped - below as f64) as f32;
        next[axis] = if last == 0 { 0 } else { strides[axis] };
    }
    let mix = |a: f32, b: f32, part: f32| a + (b - a) * part;
    let pair = |offset: usize| mix(samples[base + offset], samples[base + offset + next[0]], part[0]);
    let face = |offset: usize| mix(pair(offset), pair(offset + next[1]), part[1]);
    mix(face(0), face(next[2]), part[2])
}
