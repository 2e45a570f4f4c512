//! Analysis: a sealed study in, one report out.
//!
//! In: claims from the ledger.   Out: findings, heatmaps and segmentations as they arise, then one report a revision, all in the ledger.
//! Does not know: how a study came, where its results go.
//! Invariants
//! - Whatever goes wrong with an image or a volume becomes a coded entry of the report; only the ledger's own failures stop the work, and
//!   then the claim goes back.
//! - A target that was running when the process died `attempts_max` times is put aside, and the rest of its study goes on.
//! - Volumes in memory are bounded over all workers; of each, a fixed number of samples is on its way through the model.
mod flight;
mod image;
mod pipeline;
mod progress;
mod quarantine;
mod series;
mod target;
mod workers;

use serde::{Deserialize, Serialize};

pub use pipeline::Pipeline;
pub use workers::Workers;

/// The room's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Studies worked on at the same time; 0: as many as there are cores.
    pub workers: usize,
    /// How often the process may die over a target before the target is quarantined.
    pub attempts_max: u32,
    /// How long a claim holds without being renewed, seconds.
    pub lease_s: u64,
    /// Also report labels that did not pass the gate of their model card, marked as experimental.
    pub experimental: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { workers: 0, attempts_max: 3, lease_s: 600, experimental: false }
    }
}
