//! Pixels: from stored integers to values that have a unit and a place.
//!
//! In: vetted `dicom::Instance`s.   Out: [`Image`] and [`Volume`] values for models, [`Stage`] values to inspect, and rendered PNGs.
//! Standard: Modality LUT (PS3.3 C.11.1), VOI LUT (C.11.2), Image Pixel (C.7.6.3).
//! Does not know: network, storage, models, the clock.
//! Invariants
//! - Downstream of a modality value nobody applies a slope, a sign or a mask again.
//! - Padding is told by stored values and kept as a mask.
//! - Voxels lead to millimetres in the patient by an [`Affine`], indices being those of voxel centres.
//! - Grid positions on a frame count from the outer edge of pixel 0; [`GridMap`] leads back to source pixels.
mod affine;
mod geometry;
mod image;
mod linear;
mod nifti;
pub mod render;
mod resample;
mod share;
mod stage;
mod stored;
mod value;
mod volume;

pub use affine::Affine;
pub use geometry::GridMap;
pub use image::{Image, image, windowed};
pub use nifti::{NIFTI_VOXELS_AT, NiftiType, nifti_header};
pub use resample::resize;
pub use stage::{Stage, StageFrame, Summary, stage_frame, summarise};
pub use volume::{
    DEFECTS, Defect, DefectRow, Grid, Rule, SliceSource, Stack, Stacks, VOLUME_BYTES_MAX, Volume, resample,
    resample_nearest, stacks, volume,
};
