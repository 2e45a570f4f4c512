//! How failures of disk, rows and leases are said: every message of this room in one place.
//!
//! The cause (SQLite's code, the system's error number) is logged here, once; it never reaches an error's text.
use crate::{
    error::{Code, Error, Subject},
    uid::Uid,
};

pub(super) fn storage_full() -> Error {
    Error::new(Code::StorageFull, "the disk took no more bytes; nothing of this object was kept")
}

pub(super) fn reserve_reached(free_bytes: u64, reserve_bytes: u64) -> Error {
    let (free, reserve) = (free_bytes >> 20, reserve_bytes >> 20);
    let detail = format!(
        "{free} MiB are free; {reserve} MiB are kept for finishing what was acknowledged (ledger.storage_free_bytes_min)"
    );
    Error::new(Code::StorageFull, detail)
}

pub(super) fn busy(what: &str, limit: u64, key: &str) -> Error {
    Error::new(Code::Busy, format!("{limit} {what} are waiting to become durable (ledger.{key})"))
}

pub(super) fn changes_waiting(limit: usize) -> Error {
    Error::new(Code::Busy, format!("{limit} changes are waiting to become durable"))
}

pub(super) fn closed() -> Error {
    Error::new(Code::ShuttingDown, "the ledger is closed")
}

pub(super) fn no_answer() -> Error {
    Error::internal("the ledger's writer gave no answer; nothing was changed")
}

pub(super) fn no_study(study: &Uid) -> Error {
    Error::new(Code::NotFound, "no such study").about(Subject::Study(study.to_string()))
}

pub(super) fn no_target(study: &Uid, model: &str) -> Error {
    let detail = format!("model {model} is not planned for this revision");
    Error::new(Code::NotFound, detail).about(Subject::Study(study.to_string()))
}

pub(super) fn patient_mismatch(sop_instance: &Uid) -> Error {
    Error::new(Code::PatientMismatch, "the study's other instances name another patient")
        .about(Subject::Instance(sop_instance.to_string()))
}

pub(super) fn lease_lost(study: &Uid) -> Error {
    Error::new(Code::Cancelled, "the lease on this work has passed to another run")
        .about(Subject::Study(study.to_string()))
}

pub(super) fn request_reused() -> Error {
    Error::new(Code::InvalidArgument, "this request id was used for another request")
        .about(Subject::Field("request_id".to_owned()))
}

pub(super) fn directory_in_use() -> Error {
    let detail = "another overread process uses this data directory; stop it, or give this one a directory of its own";
    Error::new(Code::AlreadyExists, detail).about(Subject::Field("ledger.dir".to_owned()))
}

pub(super) fn rows_missing() -> Error {
    let detail = "the data directory holds packs but no rows: put ledger.db back, or move the packs away";
    Error::internal(detail).about(Subject::Field("ledger.dir".to_owned()))
}

pub(super) fn packs_missing() -> Error {
    let detail = "the data directory holds rows but no packs: put the folder packs back";
    Error::internal(detail).about(Subject::Field("ledger.dir".to_owned()))
}

pub(super) fn schema_newer(found: u32, known: u32) -> Error {
    Error::internal(format!("the rows were written by a newer overread (schema {found}; this one knows {known})"))
}

pub(super) fn damaged(sop_instance: &Uid) -> Error {
    Error::internal(
        "the stored bytes are gone or no longer match their digest: restore them from a backup or send them again",
    )
    .about(Subject::Instance(sop_instance.to_string()))
}

/// What the system refused while `doing`.
pub(super) fn io(error: &std::io::Error, doing: &'static str) -> Error {
    use std::io::ErrorKind as Kind;
    if matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge) {
        return storage_full();
    }
    tracing::error!(doing, kind = ?error.kind(), os = ?error.raw_os_error(), "file operation failed");
    Error::internal(format!("{doing} failed"))
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            return storage_full();
        }
        let extended = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => failure.extended_code,
            other => {
                // A row that does not read back as what it was written as; the text names the column and types alone.
                tracing::error!(error = %other, "a row could not be read");
                0
            }
        };
        tracing::error!(sqlite = extended, "a statement on the rows failed");
        Error::internal("a statement on the rows failed")
    }
}
