//! What a model looks for: each label with its code, its calibration, its threshold, and whether it passed the gate of its card.
use serde::Deserialize;

use crate::model::fields::{self, Name};

/// One thing that the model looks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Lower case letters, digits and `_`.
    pub name: Name,
    /// What it is, coded.
    pub code: CodedConcept,
    /// Its channel in the output that is read. Absent: its place in the list, and then the output has as many channels as labels.
    pub channel: Option<usize>,
    /// Whether it passed the gate of the model's card.
    pub status: Status,
    /// From logit to probability.
    pub calibration: Calibration,
    /// Where positive begins, on the calibrated probability.
    #[serde(deserialize_with = "fields::share")]
    pub threshold: f32,
    /// Band of probabilities that are called indeterminate: `low <= p < high`, `high` at most the threshold.
    #[serde(default, deserialize_with = "fields::band")]
    pub indeterminate: Option<[f32; 2]>,
    /// What was measured at the threshold.
    pub operating_point: Option<OperatingPoint>,
}

/// Whether a label passed the gate of the model's card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It did: reported.
    Finding,
    /// It did not: off unless it is asked for.
    Experimental,
}

/// Platt's calibration of a log-odds: `probability = 1 / (1 + exp(-(a * logit + b)))`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Slope, above 0.
    #[serde(deserialize_with = "fields::positive")]
    pub a: f32,
    /// Offset.
    #[serde(deserialize_with = "fields::finite")]
    pub b: f32,
}

/// A coded concept (PS3.16): Code Value, Coding Scheme Designator, Code Meaning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodedConcept {
    /// Code Value, for example `60046008`.
    pub value: String,
    /// Coding Scheme Designator, for example `SCT`.
    pub scheme: String,
    /// Code Meaning, for example `Pleural effusion`.
    pub meaning: String,
}

/// How the threshold was chosen: its sensitivity and specificity, each `0.0..=1.0`, as measured in the model card.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Share of the positives at or above the threshold.
    #[serde(deserialize_with = "fields::share")]
    pub sensitivity: f32,
    /// Share of the negatives below it.
    #[serde(deserialize_with = "fields::share")]
    pub specificity: f32,
}
