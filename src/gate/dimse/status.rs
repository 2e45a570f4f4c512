//! Statuses of responses (PS3.7 annex C, PS3.4 B.2.3): those of the code set, and the few that are about the message alone.
use std::collections::BTreeMap;

use crate::{
    error::{Code, Error, Family, Row, TABLE},
    study::{InstanceReceipt, Outcome},
};

/// A status and, unless it is success, a comment for the sender's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) number: u16,
    pub(super) comment: Option<String>,
}

/// What can be wrong with a message, whatever it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misuse {
    /// The SOP Instance UID of the command is not a UID.
    InstanceUid,
    /// The SOP Class of the command is not that of its presentation context.
    SopClass,
    /// An operation that this gate does not have.
    Operation,
    /// A C-STORE without a data set.
    NoDataSet,
}

/// Every status that a response may have, with who says it: names of codes, and what is wrong with a message. For the conformance statement.
pub fn statuses() -> BTreeMap<u16, Vec<String>> {
    let mut all = BTreeMap::from([(0, vec!["stored durably, now or before".to_owned()])]);
    let said = |row: &&Row| matches!(row.family, Family::Refused | Family::Service);
    for row in TABLE.iter().filter(said).filter(|row| row.code != Code::Cancelled) {
        all.entry(row.dimse).or_default().push(row.name.to_owned());
    }
    for misuse in [Misuse::InstanceUid, Misuse::SopClass, Misuse::Operation, Misuse::NoDataSet] {
        let (number, comment) = misuse.row();
        all.entry(number).or_default().push(comment.to_owned());
    }
    all
}

impl Misuse {
    fn row(self) -> (u16, &'static str) {
        match self {
            Misuse::InstanceUid => (0x0117, "Affected SOP Instance UID is not a UID"),
            Misuse::SopClass => (0x0122, "SOP Class is not that of the presentation context"),
            Misuse::Operation => (0x0211, "this operation is not supported"),
            Misuse::NoDataSet => (0x0212, "C-STORE came without a data set"),
        }
    }
}

impl Status {
    pub(super) const SUCCESS: Status = Status { number: 0, comment: None };

    pub(super) fn of_misuse(misuse: Misuse) -> Status {
        let (number, comment) = misuse.row();
        Status { number, comment: Some(comment.to_owned()) }
    }

    pub(super) fn of_error(error: &Error) -> Status {
        Status { number: error.code.row().dimse, comment: Some(format!("{}: {}", error.code, error.detail)) }
    }

    pub(super) fn of_receipt(receipt: &InstanceReceipt) -> Status {
        match &receipt.outcome {
            Outcome::Stored | Outcome::Duplicate => Status::SUCCESS,
            Outcome::Conflict => {
                Status::of_error(&Error::new(Code::UidConflict, "this UID is taken by an object of other bytes"))
            }
            Outcome::Refused(error) => Status::of_error(error),
        }
    }
}
