//! What a run gives: the network's tensors by name, and where and how long it ran.
use ndarray::{ArrayD, ArrayViewD, Axis};

/// Named tensors, float32, each by the role that the manifest gives it; the first axis is the sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs(pub(super) Vec<(String, ArrayD<f32>)>);

impl Outputs {
    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<ArrayViewD<'_, f32>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, array)| array.view())
    }

    /// Whether every value is finite: a calibrated NaN would pass for a negative.
    pub(super) fn is_finite(&self) -> bool {
        self.0.iter().all(|(_, array)| array.iter().all(|value| value.is_finite()))
    }

    /// The outputs of sample `index` alone, with a first axis of 1. Every tensor must have that many samples.
    pub(super) fn of_sample(&self, index: usize) -> Outputs {
        let one = |array: &ArrayD<f32>| array.index_axis(Axis(0), index).insert_axis(Axis(0)).to_owned();
        Outputs(self.0.iter().map(|(name, array)| (name.clone(), one(array))).collect())
    }
}

/// Where and how long a sample ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// `cpu`, or `cuda:0`.
    pub device: String,
    /// Duration of the batch's run, microseconds.
    pub inference_us: u64,
    /// Samples in the batch.
    pub batch: usize,
}
