//! Delivery: what was found, as DICOM objects that archives store and viewers show.
//!
//! In: a study revision with its report, from the ledger.   Out: [`Object`]s, each a whole Part 10 file.
//! Does not know: gates, how an object travels.
//! Invariants
//! - The same report and the same sources give the same objects, byte for byte, under the same UIDs: to send one twice is harmless.
//! - An object is made from values alone; it reads no clock.
mod desk;
mod format;
mod kind;
mod plan;

use bytes::Bytes;

pub use desk::{Desk, OUTLINE_AT, Opened, serving};
pub use format::{Material, Seen, write};
pub use kind::{KINDS, Kind, KindRow, PROFILES, Profile};
pub use plan::{Maker, Needs, Planned, plan};

use crate::uid::Uid;

/// A DICOM object to be stored or sent. It holds patient data and so has neither `Debug` nor `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Study Instance UID: that of the source.
    pub study: Uid,
    /// Series Instance UID: our own.
    pub series: Uid,
    /// Transfer syntax of the data set in `bytes`: Explicit VR Little Endian.
    pub transfer_syntax: Uid,
    /// The whole Part 10 file: preamble, file meta group, data set (PS3.10 section 7).
    pub bytes: Bytes,
}
