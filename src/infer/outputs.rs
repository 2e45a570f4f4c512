//! What a run gives: the network's tensors by name, and where and how long it ran.
use ndarray::{ArrayD, ArrayViewD, Axis};

/// Named tensors, float32, in the order of the manifest's `outputs`; the first axis is the sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs(pub(super) Vec<(String, ArrayD<f32>)>);

impl Outputs {
    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<ArrayViewD<'_, f32>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, array)| array.view())
    }

    /// The first tensor.
    pub(super) fn first(&self) -> Option<ArrayViewD<'_, f32>> {
        self.0.first().map(|(_, array)| array.view())
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
