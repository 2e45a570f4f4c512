//! What can be wrong with a series as a volume, and the one table that says what is done about it.
//!
//! docs/volumes.md shows the same rows; a test compares them.
use crate::error::Code;

/// What is done about a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The volume is analysed as it is; the warning stays with it.
    Warn,
    /// The same; models that read volumes get the slices resampled to even steps at right angles, models that read slices get them
    /// as they are.
    Resample,
    /// What does not belong together becomes a volume of its own.
    Split,
    /// The frames concerned are left out, with this code; the rest becomes a volume.
    LeaveOut(Code),
    /// The volume is not analysed, with this code.
    Refuse(Code),
}

/// Everything about a defect.
#[derive(Debug)]
pub struct Row {
    /// The defect itself.
    pub defect: Defect,
    /// Its name in JSON and in reports: lower snake case.
    pub name: &'static str,
    /// What is done about it.
    pub rule: Rule,
    /// How it is told, in a person's words.
    pub means: &'static str,
    /// Why this and nothing else is done.
    pub why: &'static str,
}

macro_rules! defects {
    ($($defect:ident $name:literal ($rule:expr) $means:literal $why:literal;)*) => {
        /// One of the closed set of things that make a series less than a plain volume. In the order of their names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect { $(#[doc = $means] $defect,)* }

        /// All defects, in the order of their names.
        pub const DEFECTS: &[Row] = &[$(Row {
            defect: Defect::$defect, name: $name, rule: $rule, means: $means, why: $why,
        },)*];
    };
}

defects! {
    DuplicatePositions "duplicate_positions" (Rule::LeaveOut(Code::GeometryInconsistent))
        "Several frames lie at one position, and nothing tells the copies apart."
        "The one with the lowest Instance Number stays; which of them is right cannot be known.";
    GantryTilt "gantry_tilt" (Rule::Resample)
        "The slices are shifted against each other: first to last is more than 1 % off the normal."
        "The affine keeps the shear, so every voxel stays where it was.";
    InconsistentSize "inconsistent_size" (Rule::Split)
        "Frames of one orientation differ in rows, columns, pixel spacing (by more than 1 %) or kind of object."
        "A volume has one grid.";
    Localizer "localizer" (Rule::LeaveOut(Code::WrongView))
        "A frame says LOCALIZER in its type."
        "It was made to plan the others.";
    MissingGeometry "missing_geometry" (Rule::LeaveOut(Code::GeometryInconsistent))
        "A frame lacks position, orientation or pixel spacing, or has one that cannot be true: directions that are no unit vectors at right angles, a spacing of 0."
        "Where it lies cannot be known.";
    MissingSlices "missing_slices" (Rule::Resample)
        "Gaps are whole multiples (within 5 %) of the smallest."
        "What was sent can still show something; that a finding is absent holds only for what was sent. A model that needs more says how many may be missing (`[select] missing_max`): beyond, `SLICES_MISSING`.";
    MixedOrientation "mixed_orientation" (Rule::Split)
        "Orientations differ: a direction cosine by more than 0.01."
        "Each orientation is a volume.";
    MultiAcquisition "multi_acquisition" (Rule::Split)
        "The same positions more than once, told apart by Acquisition Number."
        "Each acquisition is a volume.";
    MultiVolume "multi_volume" (Rule::Split)
        "The same positions more than once, told apart by echo time, diffusion b-value and direction, temporal position or image type."
        "Each echo, weighting, point in time or kind of image is a volume.";
    NonuniformSpacing "nonuniform_spacing" (Rule::Resample)
        "A gap is more than 5 % off the median, and the gaps are no whole multiples of the smallest."
        "Each slice keeps its true position.";
    NotAVolume "not_a_volume" (Rule::Refuse(Code::GeometryInconsistent))
        "All frames of an orientation lie at one position, as in bolus tracking or a three-plane localizer."
        "There is nothing to stack.";
    SingleSlice "single_slice" (Rule::Warn)
        "There is one slice."
        "How many slices it needs is a matter of the model.";
}

impl Defect {
    /// The row of this defect.
    pub fn row(self) -> &'static Row {
        &DEFECTS[self as usize]
    }

    /// Lower snake case, as in JSON, for example `missing_slices`.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_at_its_defects_place_and_names_are_in_order() {
        for (index, row) in DEFECTS.iter().enumerate() {
            assert_eq!(row.defect as usize, index, "{}", row.name);
        }
        assert!(DEFECTS.is_sorted_by_key(|row| row.name));
    }
}
