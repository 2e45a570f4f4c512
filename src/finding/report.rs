//! The report: all findings of a study revision, and a coded reason for everything that was not analysed.
use crate::{
    error::{Code, Subject},
    finding::Finding,
    pixel::{Defect, Stack},
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

/// A volume that a model read, and what is remarkable about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadVolume {
    /// Series Instance UID.
    pub series: Uid,
    /// Slices, rows, columns.
    pub size: [u32; 3],
    /// Between slices, rows, columns; mm.
    pub spacing: [f64; 3],
    /// Defects with which it was read all the same: whoever weighs a finding must know them.
    pub warnings: Vec<Defect>,
}

impl ReadVolume {
    /// Of a volume that is known from headers.
    pub fn of(stack: &Stack) -> ReadVolume {
        ReadVolume {
            series: stack.series.clone(),
            size: stack.size.map(|side| u32::try_from(side).unwrap_or(u32::MAX)),
            spacing: stack.spacing,
            warnings: stack.warnings.clone(),
        }
    }
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
    /// The volumes that were read, each once, in the order of the findings.
    pub volumes: Vec<ReadVolume>,
}
