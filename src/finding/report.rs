//! The report: all findings of a study revision, and a coded reason for everything that was not analysed.
use crate::{
    error::{Code, Subject},
    finding::Finding,
    uid::Uid,
};

/// Something that was not analysed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnalysed {
    /// One of the closed set.
    pub code: Code,
    /// Instance, series, study or model.
    pub subject: Subject,
    /// For a person.
    pub detail: String,
}

/// One per study revision. Every instance of the revision is in a finding or in `not_analysed`.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Study Instance UID.
    pub study: Uid,
    /// Revision of the study, from 1.
    pub revision: u32,
    /// All findings, in the order of models, images, labels.
    pub findings: Vec<Finding>,
    /// What was not analysed.
    pub not_analysed: Vec<NotAnalysed>,
}
