//! Pixels: from stored integers to values that have a unit and a place.
//!
//! In: a vetted `dicom::Instance`.   Out: [`Image`] values for display and for models, and rendered PNGs.
//! Standard: Modality LUT (PS3.3 C.11.1), VOI LUT (C.11.2), Image Pixel (C.7.6.3).
//! Does not know: network, storage, models, the clock.
mod geometry;
pub mod render;
mod resample;

pub use geometry::GridMap;
pub use resample::resize;
