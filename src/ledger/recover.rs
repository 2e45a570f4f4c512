//! Start: takes the lock, brings the tables up to date, and mends what a crash left behind.
//!
//! In this order, so that a crash in the middle of recovery is recovered from by the next one:
//! 1. Rows whose bytes are torn become refusals. That takes a disk that lied about a sync: packs are synced before rows
//!    are committed, so only the newest records can be hit, and only those are read; of all others the length is checked.
//! 2. Packs are cut to the end that their rows state; packs without rows are unlinked.
//! 3. Files whose rows were deleted are unlinked.
//! 4. Leases are voided: whoever held one is dead, for this process has the lock.
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
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
    if schema::version(&conn)? == 0 && std::fs::read_dir(&packs_dir).map_err(io)?.next().is_some() {
        // Going on would unlink every pack for want of its rows.
        return Err(fault::rows_missing());
    }
    schema::migrate(&mut conn)?;
    let artifacts = Artifacts::open(dir.join("artifacts")).map_err(io)?;
    pack::sync_dir(dir).map_err(io)?;

    let mut packs = pack::Packs::new(packs_dir.clone());
    let torn_instances = drop_torn(&mut conn, &packs_dir)?;
    let torn_bytes = cut_packs(&conn, &packs_dir)?;
    empty_trash(&conn, &mut packs, &artifacts)?;
    conn.execute("UPDATE work SET lease_until = NULL WHERE lease_until IS NOT NULL", [])?;
    let studies_resumed = conn.query_row("SELECT count(*) FROM work", [], |row| row.get(0))?;
    let recovered = Recovered { torn_bytes, torn_instances, studies_resumed };
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
    let mut torn = too_short(conn, packs_dir)?;
    torn.extend(newest_damaged(conn, packs_dir)?);
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

/// Rows by their sequence number: one that is found twice is dropped once.
type Torn = BTreeMap<u64, InstanceRow>;

/// Rows that reach beyond the end of their pack's file.
fn too_short(conn: &Connection, packs_dir: &Path) -> Result<Torn> {
    let mut torn = Torn::new();
    let mut studies = conn.prepare("SELECT study, pack_end FROM studies WHERE pack_end > 0")?;
    let mut beyond = conn.prepare(&format!(
        "SELECT {}, seq FROM instances WHERE study = ?1 AND pack_offset + length + ?2 > ?3",
        rows::INSTANCE_COLUMNS
    ))?;
    let ends = studies.query_map([], |row| Ok((row.get::<_, Uid>(0)?, row.get::<_, u64>(1)?)))?;
    for end in ends {
        let (study, end) = end?;
        let held = std::fs::metadata(pack::path(packs_dir, &study)).map_or(0, |file| file.len());
        if held < end {
            let found = beyond.query_map(params![study, pack::HEAD_BYTES, held], numbered_row)?;
            torn.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
        }
    }
    Ok(torn)
}

/// The newest rows, where head or digest of the record is not as written.
fn newest_damaged(conn: &Connection, packs_dir: &Path) -> Result<Torn> {
    let mut newest =
        conn.prepare(&format!("SELECT {}, seq FROM instances ORDER BY seq DESC LIMIT ?1", rows::INSTANCE_COLUMNS))?;
    let (mut torn, mut bytes) = (Torn::new(), 0);
    for found in newest.query_map([NEWEST_RECORDS_MAX], numbered_row)? {
        let (seq, row) = found?;
        bytes += row.length;
        if bytes > NEWEST_BYTES_MAX {
            break;
        }
        let whole = File::open(pack::path(packs_dir, &row.study))
            .is_ok_and(|file| pack::record(&file, row.offset, row.length, &row.sha256).is_some());
        if !whole {
            torn.insert(seq, row);
        }
    }
    Ok(torn)
}

fn numbered_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, InstanceRow)> {
    Ok((row.get("seq")?, rows::instance_row(row)?))
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
