//! What goes into the ledger and what comes out: rows and decisions as plain values.
use bytes::Bytes;

use crate::{
    error::{Code, Result, Subject},
    ledger::Event,
    uid::Uid,
};

/// Microseconds since 1970-01-01 UTC.
pub type Micros = i64;

/// Where the current revision of a study stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Instances are still expected.
    Open,
    /// Complete as far as is known; to be planned.
    Sealed,
    /// Targets are known; to be analysed.
    Planned,
    /// Its report is made.
    Reported,
    /// No instance of it was taken.
    Refused,
    /// Work on it stopped the process too often.
    Quarantined,
}

impl State {
    /// All states, in the order of a study's life.
    pub const ALL: [State; 6] =
        [State::Open, State::Sealed, State::Planned, State::Reported, State::Refused, State::Quarantined];

    /// Lower-case name, as in rows and JSON.
    pub fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Sealed => "sealed",
            State::Planned => "planned",
            State::Reported => "reported",
            State::Refused => "refused",
            State::Quarantined => "quarantined",
        }
    }

    /// The state of that name, if there is one.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A study as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyRow {
    /// Place in the order of creation, from 1; the page token of [`StudyFilter::after`].
    pub seq: u64,
    /// Study Instance UID.
    pub study: Uid,
    /// Current revision, from 1.
    pub revision: u32,
    /// State of the current revision.
    pub state: State,
    /// Hexadecimal digest that tells patients apart; empty while no instance has named one.
    pub patient_key: String,
    /// Instances stored.
    pub instances: u32,
    /// Instances refused.
    pub refused: u32,
    /// Bytes of the stored instances.
    pub bytes: u64,
    /// When the row was made.
    pub created: Micros,
    /// When the row last changed; for an open study that is when its last instance came.
    pub updated: Micros,
    /// Who sealed the current revision (closed set of `study`).
    pub sealed_by: Option<String>,
}

/// Which studies to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct StudyFilter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those that changed at or after this time.
    pub updated_after: Option<Micros>,
    /// Only those that last changed before this time.
    pub updated_before: Option<Micros>,
    /// Only those older than this [`StudyRow::seq`]: the last one of the previous page.
    pub after: Option<u64>,
}

/// An instance to store.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID.
    pub series: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// SOP Class UID.
    pub sop_class: Uid,
    /// Transfer Syntax UID.
    pub transfer_syntax: Uid,
    /// Digest that tells patients apart; empty when the instance names none.
    pub patient_key: String,
    /// SHA-256 of `bytes`. Taken as given: reading checks against it.
    pub sha256: [u8; 32],
    /// The object exactly as it came.
    pub bytes: Bytes,
    /// The door it came by (closed set of `study`).
    pub source: String,
    /// What selection needs to know of the header, without patient data.
    pub header_json: String,
}

/// What became of a stored instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// New and durable, as part of this revision.
    Stored {
        /// Revision that it belongs to.
        revision: u32,
    },
    /// These bytes were here already, as part of this revision.
    Duplicate {
        /// Revision that they belong to.
        revision: u32,
    },
    /// Other bytes are stored under this SOP Instance UID. The first stay the study's; both are kept.
    Conflict,
}

/// A stored instance. Rows of conflicting bytes have the same shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Study Instance UID.
    pub study: Uid,
    /// Revision that it came with.
    pub revision: u32,
    /// Series Instance UID.
    pub series: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// SOP Class UID.
    pub sop_class: Uid,
    /// Transfer Syntax UID.
    pub transfer_syntax: Uid,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Where its record begins in the study's pack.
    pub offset: u64,
    /// Length of the bytes, without the record's head.
    pub length: u64,
    /// The door it came by.
    pub source: String,
    /// As given in [`NewInstance::header_json`].
    pub header_json: String,
    /// When it was stored.
    pub received: Micros,
}

/// An object that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalRow {
    /// SOP Instance UID, where it could be read.
    pub sop_instance: Option<Uid>,
    /// Why.
    pub code: Code,
    /// What it happened to.
    pub subject: Subject,
    /// For a person.
    pub detail: String,
    /// When.
    pub at: Micros,
}

/// A decision about a study: a pure function of its row (`None`: there is no such study yet).
/// It runs in the writer's thread inside the transaction: it must be quick and must not wait. An error changes nothing.
pub type Decide = Box<dyn FnOnce(Option<&StudyRow>) -> Result<Change> + Send>;

/// What a decision changes.
///
/// The ledger itself appends the events of rows that it makes (`InstanceStored`, `InstanceConflict`, `InstanceRefused`,
/// `TargetPlanned`, `TargetRunning`, `StudyDeleted`); events that say what a state means belong into `events`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// New state and revision; `None` keeps them. A revision never goes down.
    pub state: Option<(State, u32)>,
    /// Who sealed it; `None` keeps what is there, unless the revision grows.
    pub sealed_by: Option<String>,
    /// Appended after the ledger's own events, in this order.
    pub events: Vec<Event>,
    /// Work to be claimed. A revision has at most one; a second one only lowers its class number.
    pub work: Option<NewWork>,
}

/// Work to be claimed: the analysis of a study revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewWork {
    /// Revision of the study.
    pub revision: u32,
    /// 0 is claimed first.
    pub class: u8,
}

/// A lease on the work of a study revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Study Instance UID.
    pub study: Uid,
    /// Revision of the study.
    pub revision: u32,
    /// How often it was claimed and not released, this time included; durable before the claim is given out.
    pub attempt: u32,
    /// Class that it was queued in.
    pub class: u8,
    /// Grows with each claim: whoever holds an older one has lost the lease.
    pub token: u64,
}

/// A model that is to read a study revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTarget {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Digest of its weights.
    pub digest: String,
    /// SOP Instance UIDs that it reads.
    pub instances: Vec<Uid>,
}

/// Where a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// To be run.
    Planned,
    /// Being run, for the so-manieth time.
    Running(u32),
    /// Its findings are in the report.
    Done,
    /// It read nothing, and why.
    NotAnalysed(Code),
    /// It stopped the process too often.
    Quarantined,
}

/// A target as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// What was planned.
    pub target: NewTarget,
    /// Where it stands.
    pub state: TargetState,
    /// How often it was started.
    pub attempts: u32,
}

/// A report as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// Revision of the study.
    pub revision: u32,
    /// As given.
    pub report_json: String,
    /// When it became durable.
    pub at: Micros,
}
