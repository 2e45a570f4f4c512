//! Models as data: what a model folder says, which images it reads, how its input is made and its output read.
//!
//! In: `models/<name>/` and images.   Out: `Input` tensors with their grid, readings with calibrated probabilities.
//! Does not know: engines, devices, storage, DICOM network.
