//! Volumes: the slices of a CT or MR series stacked where they lie in the patient.
//!
//! In: headers of one series, then its instances.   Out: [`Stack`]s (order, geometry, defects), then [`Volume`]s of modality values.
//! Standard: Image Plane (PS3.3 C.7.6.2), multi-frame functional groups (C.7.6.16), Frame of Reference (C.7.4.1).
//! Invariants
//! - Order and place come from Image Position and Image Orientation (Patient) alone, and are the same for multi-frame and
//!   single-frame sources.
//! - Every frame of a series is in exactly one volume, or is left out with a code.
//! - A voxel leads to its SOP Instance, frame and pixel, and back.
mod defect;
mod group;
mod load;
mod modality;
mod order;
mod pages;
mod resample;
mod stack;
mod taps;

pub use defect::{DEFECTS, Defect, Row as DefectRow, Rule};
pub use group::stacks;
pub use load::{VOLUME_BYTES_MAX, Volume, volume};
pub use resample::{Grid, resample, resample_nearest};
pub use stack::{SliceSource, Stack, Stacks};
