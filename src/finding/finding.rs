//! One finding: a label on a source image or series with a calibrated probability, a place and a provenance.
use super::OfSeries;
use crate::{
    model::{CodedConcept, OperatingPoint, Outcome},
    uid::Uid,
};

/// A rectangle in source pixels: whole-pixel edges, `left <= x < right`, `top <= y < bottom`,
/// (0, 0) is the top left corner of the top left pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column inside.
    pub left: u32,
    /// First row inside.
    pub top: u32,
    /// First column outside on the right.
    pub right: u32,
    /// First row outside at the bottom.
    pub bottom: u32,
}

/// What made the finding: enough to make it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// SHA-256 of the weights, hexadecimal.
    pub weights_sha256: String,
    /// SHA-256 (first 16 hex digits) of the label's calibration and threshold values.
    pub calibration_id: String,
    /// Version of overread.
    pub code_version: String,
    /// Device that ran the model, for example `cpu`.
    pub device: String,
    /// Time of the model's run, microseconds; not part of the finding's identity.
    pub inference_us: u64,
}

/// A label on one source frame, or on the slices of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// A function of study, what was read (instances and frames), model, version, weights digest and label: the same on every
    /// run.
    pub uid: Uid,
    /// The model's label, snake case.
    pub label: String,
    /// The coded concept of the label.
    pub code: CodedConcept,
    /// Calibrated chance, `0.0..=1.0`.
    pub probability: f32,
    /// Where positive begins, on the probability.
    pub threshold: f32,
    /// Sensitivity and specificity at the threshold, where the card states them.
    pub operating_point: Option<OperatingPoint>,
    /// What the threshold says.
    pub outcome: Outcome,
    /// The label did not pass the gate of its model card; shown only where it was asked for.
    pub experimental: bool,
    /// SOP Instance that was read; of a series, that of the first key slice.
    pub sop_instance: Uid,
    /// Its frame, DICOM numbering from 1.
    pub frame_number: u32,
    /// Bounding region of the activation map's hot part, in source pixels of that frame; `None` for a negative finding.
    pub region: Option<Region>,
    /// Content digest (SHA-256, hexadecimal) of that frame's float32 heatmap artifact, once it is durable.
    pub heatmap: Option<String>,
    /// What a finding about a series has beyond one about an image.
    pub of_series: Option<OfSeries>,
    /// What made it.
    pub provenance: Provenance,
}
