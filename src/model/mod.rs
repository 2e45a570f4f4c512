//! Models as data: what a model folder says, which images it reads, how its input is made and its output read.
//!
//! In: `models/<name>/` and images.   Out: `Input` tensors with their grid, readings with calibrated probabilities.
//! Does not know: engines, devices, storage, DICOM network.
//! Invariants
//! - A [`Manifest`] and a [`Model`] are checked where they are made; nobody checks again.
//! - Only [`Label::probability`] turns a logit into a probability: an uncalibrated number cannot be shown.
mod fields;
mod install;
mod manifest;
mod mask;
mod npy;
mod reading;
mod recipe;
mod registry;
mod select;

pub use fields::Name;
pub use install::{Existing, Installed, find, install};
pub use manifest::{
    Calibration, CodedConcept, Crop, Fit, Kind, Label, Manifest, OperatingPoint, Quality, Recipe, Requires, Select,
    Status, Task,
};
pub(crate) use mask::connected_part;
pub use mask::{Mask, Measures, judge, read_mask};
pub use reading::{Outcome, Reading, read_labels};
pub use recipe::{Input, prepare};
pub use registry::{DeviceKind, Model, discover, models_dir, open};
pub use select::{Rejection, select};
