//! Limits of the gRPC gate. Every one has a unit, and a code for when it is reached.
use serde::{Deserialize, Serialize};

/// The gate's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory for instances that are being received and heatmaps that are being sent, all calls together, bytes. A call waits
    /// for its share; after `transfer_wait_s` it gets `BUSY`. Never less than the largest instance.
    pub transfer_bytes_max: u64,
    /// How long a call waits for memory, seconds.
    pub transfer_wait_s: u64,
    /// How long a client may say nothing in the middle of an instance, or take nothing of what it is sent, seconds; then its
    /// call ends with `DEADLINE_EXCEEDED`.
    pub peer_idle_s: u64,
    /// Streaming calls (Analyze, StoreInstances, WatchStudy, GetHeatmap) at once; beyond it `BUSY`.
    pub streams_max: usize,
    /// Connections at once; beyond it new ones wait to be accepted.
    pub connections_max: usize,
    /// Calls at once on one connection; beyond it they wait at the client.
    pub connection_calls_max: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            transfer_bytes_max: 2 << 30,
            transfer_wait_s: 30,
            peer_idle_s: 60,
            streams_max: 256,
            connections_max: 256,
            connection_calls_max: 64,
        }
    }
}
