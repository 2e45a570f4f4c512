//! Inference: tensors in, tensors out, on lanes that pull work from a scheduler.
//!
//! In: a model's input tensor and a class.   Out: [`Outputs`], the network's tensors by name, still on the model's grid.
//! Does not know: DICOM, storage, what a label means.
//! Invariants
//! - Waiting samples and bytes are bounded; beyond the bound a caller gets `Busy` and nothing was kept.
//! - A batch has one model and one shape. A STAT sample waits for at most one batch.
//! - A model serves only after its self-test passed on every lane; one that fails is refused, the others serve.
//! - `tch` types live and die inside `engine/libtorch`, on one lane's thread.
mod engine;
mod lane;
mod outputs;
mod pool;
mod process;
mod scheduler;

pub use engine::DeviceChoice;
pub use outputs::{Outputs, RunInfo};
pub use pool::{Config, Pool};
pub use process::prepare_process;
pub use scheduler::{Class, Effect, Event, Lane, Limits, Sample, Scheduler};
