//! A volume before its pixels: which frames, in which order, where. And the way from its voxels to source pixels and back.
use std::collections::BTreeSet;

use crate::error::Code;
use crate::pixel::affine::{Affine, dot, minus, plus};
use crate::uid::Uid;

use super::defect::{Defect, Rule};
use super::resample::Grid;

/// A frame of a SOP Instance that a slice came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SliceSource {
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// The frame, from 1.
    pub frame_number: u32,
}

/// One volume of a series, known from headers alone: no pixels yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// Series Instance UID.
    pub series: Uid,
    /// Where each slice comes from, in order along the normal (row x column direction). At least one.
    pub sources: Vec<SliceSource>,
    /// Slices, rows, columns; each at least 1.
    pub size: [usize; 3],
    /// Voxel (column, row, slice) to LPS mm. The third step is from first to last slice at the median gap, so it holds the shear of a
    /// tilted gantry; it is zero where there is one slice.
    pub affine: Affine,
    /// Between slices (median gap along the normal, 0 if there is one slice), rows, columns; mm.
    pub spacing: [f64; 3],
    /// Centre of the first pixel of each slice, LPS mm: where the slices are not even, these and not the affine say where they lie.
    pub origins: Vec<[f64; 3]>,
    /// What is wrong with it, in the order of names.
    pub warnings: Vec<Defect>,
}

/// What a series holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stacks {
    /// The largest orientation first; within it by echo time, b-value, acquisition or what else tells volumes apart.
    pub stacks: Vec<Stack>,
    /// Frames that are in no volume, and why, in the order of their UIDs. One entry may stand for all further frames of its instance:
    /// where they lie is not said one by one.
    pub left_out: Vec<(SliceSource, Code)>,
}

impl Stacks {
    /// All that is wrong with any volume of the series, in the order of names.
    pub fn warnings(&self) -> Vec<Defect> {
        let all: BTreeSet<Defect> = self.stacks.iter().flat_map(|stack| stack.warnings.iter().copied()).collect();
        all.into_iter().collect()
    }
}

impl Stack {
    /// Why it must not be analysed, if so: the code of its first defect whose rule refuses.
    pub fn refusal(&self) -> Option<Code> {
        self.warnings.iter().find_map(|defect| match defect.row().rule {
            Rule::Refuse(code) => Some(code),
            Rule::Warn | Rule::Resample | Rule::Split | Rule::LeaveOut(_) => None,
        })
    }

    /// Its voxels with even steps between slices: the affine, and as many slices as reach from the first to the last.
    pub fn grid(&self) -> Grid {
        let slices = self.uneven_slices().and_then(|places| places.last().map(|last| last.round() as usize + 1));
        let [own, rows, columns] = self.size;
        Grid { size: [slices.unwrap_or(own), rows, columns], affine: self.affine }
    }

    /// Where each slice lies, counted in even steps from the first; `None` where that is its index.
    pub(super) fn uneven_slices(&self) -> Option<Vec<f64>> {
        let is_uneven = |defect: &Defect| matches!(defect, Defect::MissingSlices | Defect::NonuniformSpacing);
        let normal = self.normal();
        let place = |origin: &[f64; 3]| dot(normal, minus(*origin, self.origins[0])) / self.spacing[0];
        self.warnings.iter().any(is_uneven).then(|| self.origins.iter().map(place).collect())
    }

    /// How many slices are missing between the first and the last; 0 without the defect `MissingSlices`.
    pub fn missing(&self) -> usize {
        let whole = if self.warnings.contains(&Defect::MissingSlices) { self.grid().size[0] } else { self.size[0] };
        whole.saturating_sub(self.size[0])
    }

    /// Bytes of its values as f32.
    pub fn bytes(&self) -> u64 {
        self.size.iter().fold(4, |bytes: u64, side| bytes.saturating_mul(*side as u64))
    }

    /// Unit vector across the slices: row x column direction.
    pub fn normal(&self) -> [f64; 3] {
        super::order::normal([self.affine.step(0), self.affine.step(1)])
    }

    /// Where a voxel (column, row, slice; fractions allowed) lies, LPS mm: between slices on the line from one to the next, beyond the
    /// ends at the step of the affine.
    pub fn to_patient(&self, voxel: [f64; 3]) -> [f64; 3] {
        let origin = self.origin_at(voxel[2]);
        plus(plus(origin, voxel[0], self.affine.step(0)), voxel[1], self.affine.step(1))
    }

    /// The voxel (column, row, slice; fractions) at a point, LPS mm: the way back from `to_patient`. With a single slice it is that
    /// of the point's foot on the slice.
    pub fn to_voxel(&self, point: [f64; 3]) -> [f64; 3] {
        let slice = self.slice_at(dot(self.normal(), point));
        let [row, column] = [self.affine.step(0), self.affine.step(1)];
        let inside = minus(point, self.origin_at(slice));
        // The directions may be a hundredth off the right angle: both indices at once, not one by one.
        let (rr, rc, cc) = (dot(row, row), dot(row, column), dot(column, column));
        let (r, c) = (dot(inside, row), dot(inside, column));
        let determinant = rr * cc - rc * rc;
        [(r * cc - c * rc) / determinant, (c * rr - r * rc) / determinant, slice]
    }

    /// Where the pixel of a voxel (column, row, slice) is: the frame, its row and its column. `None` outside.
    pub fn source_of(&self, voxel: [usize; 3]) -> Option<(&SliceSource, usize, usize)> {
        let [column, row, slice] = voxel;
        let is_inside = column < self.size[2] && row < self.size[1];
        self.sources.get(slice).filter(|_| is_inside).map(|source| (source, row, column))
    }

    /// The voxel (column, row, slice) of a source pixel. `None` where the frame is not in this volume, or the pixel not in the frame.
    pub fn voxel_of(&self, source: &SliceSource, row: usize, column: usize) -> Option<[usize; 3]> {
        let slice = self.sources.iter().position(|other| other == source)?;
        (row < self.size[1] && column < self.size[2]).then_some([column, row, slice])
    }

    fn origin_at(&self, slice: f64) -> [f64; 3] {
        let last = self.origins.len() - 1;
        let below = (slice.floor().max(0.0) as usize).min(last.saturating_sub(1));
        match slice {
            slice if slice < 0.0 => plus(self.origins[0], slice, self.affine.step(2)),
            slice if slice >= last as f64 => plus(self.origins[last], slice - last as f64, self.affine.step(2)),
            slice => {
                plus(self.origins[below], slice - below as f64, minus(self.origins[below + 1], self.origins[below]))
            }
        }
    }

    /// The slice index (a fraction) of a position along the normal, in mm.
    fn slice_at(&self, position_mm: f64) -> f64 {
        let normal = self.normal();
        let at = |index: usize| dot(normal, self.origins[index]);
        let last = self.origins.len() - 1;
        let gap_mm = self.spacing[0];
        match position_mm {
            _ if last == 0 => 0.0,
            position if position < at(0) => (position - at(0)) / gap_mm,
            position if position >= at(last) => last as f64 + (position - at(last)) / gap_mm,
            position => {
                let above = (1..last).find(|index| at(*index) > position).unwrap_or(last);
                let below = above - 1;
                below as f64 + (position - at(below)) / (at(above) - at(below))
            }
        }
    }
}
