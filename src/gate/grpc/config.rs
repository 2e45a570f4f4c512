//! Limits of the gRPC gate. Every one has a unit, and a code for when it is reached.
use serde::{Deserialize, Serialize};

/// The gate's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory for instances that are being received, all calls together, bytes. A call waits for its share; beyond
    /// `receive_wait_s` its instance is refused with `BUSY`. Never less than the largest instance.
    pub receive_bytes_max: u64,
    /// How long an instance waits for memory, seconds.
    pub receive_wait_s: u64,
    /// How long a sender may say nothing in the middle of an instance, seconds; then the call ends with `DEADLINE_EXCEEDED`.
    pub sender_idle_s: u64,
    /// Streaming calls (Analyze, StoreInstances, WatchStudy, GetHeatmap) at once; beyond it `BUSY`.
    pub streams_max: usize,
    /// Calls at once on one connection; beyond it they wait at the client.
    pub connection_calls_max: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            receive_bytes_max: 2 << 30,
            receive_wait_s: 30,
            sender_idle_s: 60,
            streams_max: 256,
            connection_calls_max: 64,
        }
    }
}
