//! The gRPC gate: `overread.v1` on a socket, and the client that the command line uses.
//!
//! In: calls.   Out: what the study room and the ledger say, as messages.
//! Does not know: how anything is done. It parses names and pages, puts chunks together, reads the event log on.
//! Invariants
//! - `tonic` and `prost` stay in here: `serve`, `Rooms` and `client` show none of their types.
//! - A response stream owns its work and ends it when its client goes away: nothing runs detached.
//! - Memory for what is received is bounded over all calls; every other queue has a bound too.
//! - No answer holds text of another library, a path or patient data: errors come from the closed code set.
mod config;
mod name;
mod page;
mod status;

mod budget;
mod call;
mod ending;
mod listen;
mod stream;

mod convert;
mod event;
mod explain;
mod receive;
mod series;

mod analysis;
mod finding;
mod heatmap;
mod model;
mod object;
mod once;
mod segmentation;
mod study;

mod serve;

pub mod client;

pub use config::Config;
pub use serve::{Rooms, serve};

/// The generated messages, client stubs and server traits of `proto/overread/v1`. Other rooms use [`client`].
#[allow(clippy::all, reason = "generated from the proto files, which are linted themselves")]
pub mod v1 {
    tonic::include_proto!("overread.v1");

    /// The encoded descriptors, as server reflection gives them.
    pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/overread.v1.bin"));
}
