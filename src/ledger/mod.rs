//! The ledger: the one durable truth. Rows in SQLite, source bytes in one pack a study, derived bytes by content.
//!
//! In: instances as they came, decisions about studies, events, reports.   Out: receipts, rows, the event log, bytes.
//! Does not know: what a study means. Decisions come in as functions of its row ([`Decide`]) and run inside the
//! writer's transaction, so that nothing can change between the reading and the writing.
//! Invariants
//! - Nothing is answered before its bytes and its row are synced.
//! - Every state change appends to the event log in the same transaction. A sequence number, once seen, has none
//!   below it that appears later: a reader with a cursor misses nothing.
//! - One thread writes. What has queued up while it was syncing is committed together with one sync.
//! - Bytes in a pack beyond the end that the study's row states were never acknowledged: they are written over, and
//!   cut at the next start.
mod clock;
mod entry;
mod event;
mod fault;

mod artifact;
mod pack;
mod rows;
mod schema;

mod operation;
mod work;
mod writer;

mod query;
mod recover;

#[expect(clippy::module_inception, reason = "the room and its main noun have one name")]
mod ledger;

pub use clock::now;
pub use entry::{
    Change, Claim, Decide, InstanceRow, Micros, NewInstance, NewTarget, NewWork, Receipt, RefusalRow, ReportRow, State,
    StudyFilter, StudyRow, TargetRow, TargetState,
};
pub use event::{Event, EventRow};
pub use ledger::{Config, Ledger, Stats};
pub use recover::Recovered;
