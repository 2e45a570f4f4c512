//! The plan: which models read which instances of a sealed study, and a coded reason for all that none reads. Pure.
use crate::{error::Code, finding::NotAnalysed, uid::Uid};

/// One model and the instances that it will read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// SHA-256 of its weights.
    pub digest: String,
    /// SOP Instances in the order of their UIDs.
    pub instances: Vec<Uid>,
}

/// Why one model does or does not read one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Model name.
    pub model: String,
    /// SOP Instance.
    pub instance: Uid,
    /// `None`: chosen.
    pub code: Option<Code>,
    /// The clause of the manifest that decided, in words without patient data.
    pub clause: String,
}

/// What will be done with a study revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Models with what they read, in the order of model names.
    pub targets: Vec<Target>,
    /// Instances that no model reads, with the reason.
    pub not_analysed: Vec<NotAnalysed>,
    /// Every decision, for `explain`.
    pub clauses: Vec<Clause>,
}
