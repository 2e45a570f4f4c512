//! Start: takes the lock, brings the tables up to date, and mends what a crash left behind.
//!
//! In this order, so that a crash in the middle of recovery is recovered from by the next one:
//! 1. Rows whose bytes are torn become refusals. That takes a disk that lied about a sync: packs are synced before rows
//!    are committed. Only the newest records can be hit so, and only those are read. Older bytes that are missing are no
//!    crash's work: their rows stay as they are for the day when the packs are restored.
//! 2. Packs are cut to the end that their rows state; packs without rows are unlinked.
//! 3. Files whose rows were deleted are unlinked.
//! 4. Leases are voided: whoever held one is dead, for this process has the lock.
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, params};

use crate::{
    error::{Code, Result, Subject},
    ledger::{
        Event, InstanceRow,
        artifact::{Artifacts, make_dir},
        clock, event, fault, pack, rows, schema, writer,
    },
    uid::Uid,
};

/// Records whose digest is checked at start: the newest, up to this number and these bytes.
const NEWEST_RECORDS_MAX: u32 = 256;
const NEWEST_BYTES_MAX: u64 = 256 << 20;

/// What a start found and mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes cut from packs: appended, never acknowledged.
    pub torn_bytes: u64,
    /// Acknowledged instances whose bytes are gone; each is a refusal (`Truncated`) now, and may be sent again.
    pub torn_instances: u32,
    /// Packs that are shorter than their rows say, by more than a crash explains: restore them from a backup.
    pub short_packs: u32,
    /// Study revisions whose analysis goes on.
    pub studies_resumed: u32,
}

/// The opened parts of a data directory.
pub(super) struct Opened {
    pub(super) conn: Connection,
    pub(super) packs: pack::Packs,
    pub(super) artifacts: Artifacts,
    pub(super) lock: File,
    pub(super) recovered: Recovered,
}

/// Opens a data directory, or makes a new one.
/// Errors: `AlreadyExists` when another process has it; `Internal` when its rows are missing or newer than this version.
pub(super) fn open(dir: &Path) -> Result<Opened> {
    let io = |error: std::io::Error| fault::io(&error, "opening the data directory");
    let packs_dir = dir.join("packs");
    make_dir(&packs_dir).map_err(io)?;
    let lock = lock(dir)?;
    let mut conn = connect(dir)?;
    let no_packs = std::fs::read_dir(&packs_dir).map_err(io)?.next().is_none();
    if schema::version(&conn)? == 0 && !no_packs {
        // Going on would unlink every pack for want of its rows.
        return Err(fault::rows_missing());
    }
    schema::migrate(&mut conn)?;
    if no_packs && conn.prepare("SELECT 1 FROM studies WHERE pack_end > 0")?.exists([])? {
        // Going on would drop the newest rows for want of their bytes.
        return Err(fault::packs_missing());
    }
    let artifacts = Artifacts::open(dir.join("artifacts")).map_err(io)?;
    pack::sync_dir(dir).map_err(io)?;

    let mut packs = pack::Packs::new(packs_dir.clone());
    let torn_instances = drop_torn(&mut conn, &packs_dir)?;
    let (torn_bytes, short_packs) = (cut_packs(&conn, &packs_dir)?, short_packs(&conn, &packs_dir)?);
    empty_trash(&conn, &mut packs, &artifacts)?;
    conn.execute("UPDATE work SET lease_until = NULL WHERE lease_until IS NOT NULL", [])?;
    let studies_resumed = conn.query_row("SELECT count(*) FROM work", [], |row| row.get(0))?;
    let recovered = Recovered { torn_bytes, torn_instances, short_packs, studies_resumed };
    Ok(Opened { conn, packs, artifacts, lock, recovered })
}

fn lock(dir: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock"));
    let lock = lock.map_err(|error| fault::io(&error, "opening the data directory's lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(fault::directory_in_use()),
        Err(TryLockError::Error(error)) => Err(fault::io(&error, "locking the data directory")),
    }
}

fn connect(dir: &Path) -> Result<Connection> {
    let conn = Connection::open(dir.join("ledger.db"))?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // FULL: NORMAL would lose the last commits on a power cut, after they were acknowledged.
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Turns instances whose bytes are not there into refusals.
fn drop_torn(conn: &mut Connection, packs_dir: &Path) -> Result<u32> {
    let torn = newest_damaged(conn, packs_dir)?;
    if torn.is_empty() {
        return Ok(0);
    }
    let now = clock::now();
    let transaction = conn.transaction()?;
    for (seq, row) in &torn {
        let conflict: bool =
            transaction
                .query_row("DELETE FROM instances WHERE seq = ?1 RETURNING conflict", [seq], |row| row.get(0))?;
        let (kept, bytes) = if conflict { (0, 0) } else { (1, row.length) };
        transaction.execute(
            "UPDATE studies SET instances = instances - ?2, bytes = bytes - ?3, refused = refused + 1, pack_end =
             (SELECT coalesce(max(pack_offset + length + ?4), 0) FROM instances WHERE study = ?1) WHERE study = ?1",
            params![row.study, kept, bytes, pack::HEAD_BYTES],
        )?;
        let detail = "the disk lost its bytes after they were stored; send it again".to_owned();
        let subject = event::subject_to_json(&Subject::Instance(row.sop_instance.to_string()))?;
        transaction.execute(
            "INSERT INTO refusals(study, sop_instance, code, subject, detail, at) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            params![row.study, row.sop_instance, Code::Truncated, subject, detail, now],
        )?;
        let sop_instance = Some(row.sop_instance.clone());
        let event = Event::InstanceRefused { sop_instance, code: Code::Truncated, detail };
        rows::append_event(&transaction, Some(&row.study), row.revision, now, &event)?;
        tracing::error!(study = %row.study, instance = %row.sop_instance, "stored bytes are lost; it must be sent again");
    }
    transaction.commit()?;
    Ok(u32::try_from(torn.len()).unwrap_or(u32::MAX))
}

/// The newest rows, where head or digest of the record is not as written, with their sequence numbers.
/// Errors: what could not be read is not judged, and ends the start.
fn newest_damaged(conn: &Connection, packs_dir: &Path) -> Result<Vec<(u64, InstanceRow)>> {
    let mut newest =
        conn.prepare(&format!("SELECT {}, seq FROM instances ORDER BY seq DESC LIMIT ?1", rows::INSTANCE_COLUMNS))?;
    let found = newest.query_map([NEWEST_RECORDS_MAX], |row| Ok((row.get("seq")?, rows::instance_row(row)?)))?;
    let (mut torn, mut bytes) = (Vec::new(), 0);
    for row in found {
        let (seq, row) = row?;
        if bytes > NEWEST_BYTES_MAX {
            break;
        }
        bytes += row.length;
        let object = match File::open(pack::path(packs_dir, &row.study)) {
            Ok(file) => pack::record(&file, &row),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        if object.map_err(|error| fault::io(&error, "reading a pack"))?.is_none() {
            torn.push((seq, row));
        }
    }
    Ok(torn)
}

/// Counts packs that are shorter than their rows say, once the torn rows are dropped.
fn short_packs(conn: &Connection, packs_dir: &Path) -> Result<u32> {
    let mut ends = conn.prepare("SELECT study, pack_end FROM studies WHERE pack_end > 0")?;
    let mut short = 0;
    for end in ends.query_map([], |row| Ok((row.get::<_, Uid>(0)?, row.get::<_, u64>(1)?)))? {
        let (study, end) = end?;
        let held = std::fs::metadata(pack::path(packs_dir, &study)).map_or(0, |file| file.len());
        short += u32::from(held < end);
    }
    if short > 0 {
        tracing::error!(packs = short, "packs are shorter than their rows say: restore them from a backup");
    }
    Ok(short)
}

/// Cuts what was never acknowledged, and gives the number of bytes.
fn cut_packs(conn: &Connection, packs_dir: &Path) -> Result<u64> {
    let io = |error: std::io::Error| fault::io(&error, "cutting a pack");
    let mut end_of = conn.prepare("SELECT coalesce(max(pack_end), 0) FROM studies WHERE study = ?1")?;
    let mut cut = 0;
    for entry in std::fs::read_dir(packs_dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        // Not ours, not touched.
        let Some(study) = entry.file_name().to_str().and_then(pack::study_of) else { continue };
        let held = entry.metadata().map_err(io)?.len();
        let end: u64 = end_of.query_row([&study], |row| row.get(0))?;
        if end == 0 {
            pack::remove_if_there(&entry.path()).map_err(io)?;
        } else if held > end {
            let file = OpenOptions::new().write(true).open(entry.path()).map_err(io)?;
            file.set_len(end).and_then(|()| file.sync_all()).map_err(io)?;
        }
        cut += held.saturating_sub(end);
    }
    Ok(cut)
}

/// Unlinks what was deleted shortly before a crash, unless another study came to need it.
fn empty_trash(conn: &Connection, packs: &mut pack::Packs, artifacts: &Artifacts) -> Result<()> {
    let needed = "DELETE FROM trash WHERE (kind = 'artifact' AND name IN (SELECT sha256 FROM artifacts))
         OR (kind = 'pack' AND name IN (SELECT study FROM studies))";
    conn.execute(needed, [])?;
    let mut names = conn.prepare("SELECT kind, name FROM trash")?;
    let names = names.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for name in names.collect::<rusqlite::Result<Vec<_>>>()? {
        let trash = match (name.0.as_str(), name.1) {
            ("pack", study) => writer::Trash::Pack(Uid::parse(&study)?),
            (_artifact, name) => writer::Trash::Artifact(name),
        };
        writer::empty(conn, packs, artifacts, &trash)?;
    }
    Ok(())
}
