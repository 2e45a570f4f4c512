//! The DICOM gate: Verification and Storage as a provider (PS3.4 annexes A and B), on ports of its own, plain and by TLS.
//!
//! In: associations.   Out: instances to the study room's intake, statuses from the closed code set.
//! Does not know: PDUs and command sets as bytes (`network`), what an instance holds, how it is kept.
//! Invariants
//! - Success is said only after intake has said that the instance is durable; a warning is never said, as senders count it as success.
//! - One task an association, in a bounded number of them; memory for data sets is bounded over all associations.
//! - Whatever a peer does ends in a status, a rejection, an abort or a close within the configured times.
//! - What will pass is refused as transient (A700, 2,3,x), what will not as permanent.
mod address;
mod association;
mod config;
mod memory;
mod offer;
mod peers;
mod port;
mod serve;
mod status;
mod store;
mod tally;
mod tls;

pub use config::{Config, Peer};
pub use peers::Peers;
pub use port::Port;
pub use serve::{Rooms, serve};
pub use status::statuses;
