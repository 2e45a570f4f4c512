//! When a study counts as complete without anybody saying so.
use serde::{Deserialize, Serialize};

use crate::ledger::Micros;

/// The room's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A study that got nothing new for this long is sealed, seconds.
    pub quiet_period_s: u64,
}

impl Default for Config {
    fn default() -> Config {
        // Long enough for a modality's pause between two views, short beside a reader's wait; gates that know better seal at once.
        Config { quiet_period_s: 60 }
    }
}

impl Config {
    /// The quiet period in microseconds.
    pub fn quiet_us(&self) -> Micros {
        Micros::try_from(self.quiet_period_s).unwrap_or(Micros::MAX / 2_000_000).saturating_mul(1_000_000)
    }
}

/// The rule that sealed a study; recorded with it and shown by `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedBy {
    /// The caller of Analyze half-closed its stream.
    CallEnd,
    /// A peer whose rule says so released the association by which it sent.
    Release,
    /// SealStudy, or another explicit request.
    Request,
    /// Nothing new for the quiet period.
    QuietPeriod,
}

impl SealedBy {
    /// The word that is recorded.
    pub fn as_str(self) -> &'static str {
        match self {
            SealedBy::CallEnd => "call_end",
            SealedBy::Release => "association_release",
            SealedBy::Request => "request",
            SealedBy::QuietPeriod => "quiet_period",
        }
    }
}
