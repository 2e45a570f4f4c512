//! The seam to what runs networks: load a model's weights to a device, run a batch of one shape.
//!
//! An engine and its sessions live on one lane's thread and never leave it.
pub(super) mod libtorch;

use ndarray::ArrayViewD;
use serde::{Deserialize, Serialize};

use super::outputs::Outputs;
use crate::{error::Result, model::Model};

/// Where models run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A CUDA device where its libraries and a card are there, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device; without one the start fails.
    Cuda,
}

/// What runs networks.
pub(super) trait Engine {
    /// Loads the weights; the digest is checked on the bytes that are loaded.
    ///
    /// Errors: `ModelUnavailable`.
    fn load(&mut self, model: &Model) -> Result<Box<dyn Session>>;
}

/// A loaded model.
pub(super) trait Session {
    /// Runs a batch: N x channels x rows x columns, or N x channels x depth x rows x columns. Every output has N as its first axis.
    ///
    /// Errors: `Internal` when the network fails on it, `DeviceLost` when the device is gone.
    fn run(&mut self, batch: ArrayViewD<'_, f32>) -> Result<Outputs>;

    /// `cpu`, or `cuda:0`.
    fn device(&self) -> &str;
}
