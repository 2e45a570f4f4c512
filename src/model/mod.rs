//! Models as data: what a model folder says, which images it reads, how its input is made and its output read.
//!
//! In: `models/<name>/`, images and volumes.   Out: input tensors with their way back to source pixels, readings with calibrated
//! probabilities, masks and boxes in source geometry.
//! Does not know: engines, devices, storage, DICOM network.
//! Invariants
//! - A [`Manifest`] and a [`Model`] are checked where they are made; nobody checks again.
//! - Only [`Label::probability`] turns a logit into a probability: an uncalibrated number cannot be shown.
mod aggregate;
mod boxes;
mod fields;
mod grid;
mod install;
mod intensity;
mod manifest;
mod mask;
mod npy;
mod outputs;
mod parts;
mod patches;
mod reading;
mod recipe;
mod refuse;
mod registry;
mod select;
mod series;
mod slices;
mod view;

pub use boxes::Found;
pub use fields::{Name, PerChannel};
pub use install::{Existing, Installed, find, install};
pub use manifest::{
    Activation, Aggregate, Axes, BoxRule, Calibration, CodedConcept, Contrast, Crop, Derived, DigestedFile, Fit,
    ImageRecipe, Intensity, Interpolation, Kind, Label, Manifest, MaskRule, Neighbours, Of, Ood, OodScore,
    OperatingPoint, Orientation, Over, Pattern, Quality, Recipe, Refuse, Requires, Returned, Role, Rule, Select,
    SelfTest, SlicesRecipe, Slot, Status, Task, VolumeRecipe, Weights,
};
pub(crate) use mask::connected_part;
pub use mask::{Mask, Measures, judge, read_mask};
pub use outputs::check_outputs;
pub use parts::{Part, parts};
pub use reading::{Outcome, Reading, read_labels};
pub use recipe::{Input, prepare};
pub(crate) use registry::words;
pub use registry::{DeviceKind, Model, discover, models_dir, open};
pub use select::{Rejection, select, select_stack};
pub use series::{KeySlice, SeriesRead, SeriesReading};
pub use slices::Place;
