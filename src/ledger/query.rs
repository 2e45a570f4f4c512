//! Queries: read-only connections beside the writer. Each sees all that was committed before it was asked.
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, params, params_from_iter};

use crate::{
    error::{Code, Result},
    ledger::{EventRow, InstanceRow, RefusalRow, ReportRow, StudyFilter, StudyRow, TargetRow, event, fault, rows},
    uid::Uid,
};

/// Read-only connections that wait for their next use.
const IDLE_MAX: usize = 8;

/// The connections that queries borrow.
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Readers {
        Readers { file, idle: Mutex::default() }
    }

    /// Runs a query on a connection of its own. Blocks.
    pub(super) fn ask<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open(&self.file)?,
        };
        let answer = query(&conn)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(conn);
        }
        Ok(answer)
    }

    /// Closes those that wait.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn open(file: &PathBuf) -> Result<Connection> {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(conn)
}

/// Newest first.
pub(super) fn studies(conn: &Connection, filter: &StudyFilter, limit: u32) -> Result<Vec<StudyRow>> {
    let mut sql = format!("SELECT {} FROM studies WHERE true", rows::STUDY_COLUMNS);
    let mut values: Vec<&dyn ToSql> = Vec::new();
    let mut clause = |condition: &str, value| {
        sql.push_str(condition);
        values.push(value);
    };
    filter.state.as_ref().into_iter().for_each(|state| clause(" AND state = ?", state));
    filter.updated_after.as_ref().into_iter().for_each(|at| clause(" AND updated >= ?", at));
    filter.updated_before.as_ref().into_iter().for_each(|at| clause(" AND updated < ?", at));
    filter.after.as_ref().into_iter().for_each(|seq| clause(" AND seq < ?", seq));
    clause(" ORDER BY seq DESC LIMIT ?", &limit);
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(values), rows::study_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The instances of a revision are all that came up to it, by series and SOP Instance UID: the order of arrival leaves
/// no trace.
pub(super) fn instances(conn: &Connection, study: &Uid, revision: u32) -> Result<Vec<InstanceRow>> {
    let sql = format!(
        "SELECT {} FROM instances WHERE study = ?1 AND revision <= ?2 AND conflict = 0 ORDER BY series, sop_instance",
        rows::INSTANCE_COLUMNS
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params![study, revision], rows::instance_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The bytes that came under UIDs that were taken, oldest first.
pub(super) fn conflicts(conn: &Connection, study: &Uid) -> Result<Vec<InstanceRow>> {
    let sql =
        format!("SELECT {} FROM instances WHERE study = ?1 AND conflict = 1 ORDER BY seq", rows::INSTANCE_COLUMNS);
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map([study], rows::instance_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Oldest first.
pub(super) fn refusals(conn: &Connection, study: &Uid) -> Result<Vec<RefusalRow>> {
    let mut statement = conn
        .prepare_cached("SELECT sop_instance, code, subject, detail, at FROM refusals WHERE study = ?1 ORDER BY seq")?;
    let found = statement
        .query_map([study], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?, row.get(4)?)))?;
    let mut refusals = Vec::new();
    for row in found {
        let (sop_instance, code, subject, detail, at): (Option<Uid>, Code, String, String, i64) = row?;
        refusals.push(RefusalRow { sop_instance, code, subject: event::subject_from_json(&subject)?, detail, at });
    }
    Ok(refusals)
}

/// By model.
pub(super) fn targets(conn: &Connection, study: &Uid, revision: u32) -> Result<Vec<TargetRow>> {
    let sql = format!("SELECT {} FROM targets WHERE study = ?1 AND revision = ?2 ORDER BY model", rows::TARGET_COLUMNS);
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params![study, revision], rows::target_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn plan_json(conn: &Connection, study: &Uid, revision: u32) -> Result<Option<String>> {
    let mut statement = conn.prepare_cached("SELECT body FROM plans WHERE study = ?1 AND revision = ?2")?;
    Ok(statement.query_row(params![study, revision], |row| row.get(0)).optional()?)
}

/// Claims of the revision's work that were not released; 0 when none waits.
pub(super) fn attempts(conn: &Connection, study: &Uid, revision: u32) -> Result<u32> {
    let mut statement = conn.prepare_cached("SELECT attempt FROM work WHERE study = ?1 AND revision = ?2")?;
    Ok(statement.query_row(params![study, revision], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// The newest report, or that of a revision.
pub(super) fn report(conn: &Connection, study: &Uid, revision: Option<u32>) -> Result<Option<ReportRow>> {
    let mut statement = conn.prepare_cached(
        "SELECT revision, body, at FROM reports WHERE study = ?1 AND revision = coalesce(?2, revision)
         ORDER BY revision DESC LIMIT 1",
    )?;
    let row = statement.query_row(params![study, revision], |row| {
        Ok(ReportRow { revision: row.get(0)?, report_json: row.get(1)?, at: row.get(2)? })
    });
    Ok(row.optional()?)
}

/// What follows the cursor, of all studies or of one, in order.
pub(super) fn events(conn: &Connection, after_seq: u64, study: Option<&Uid>, limit: u32) -> Result<Vec<EventRow>> {
    let columns = "SELECT seq, study, revision, at, body FROM events WHERE";
    let mut events = Vec::new();
    let mut take = |row: &rusqlite::Row<'_>| -> Result<()> {
        let event = event::from_json(&row.get::<_, String>(4)?)?;
        let (seq, study, revision, at) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        events.push(EventRow { seq, study, revision, at, event });
        Ok(())
    };
    let (sql, values): (String, Vec<&dyn ToSql>) = match &study {
        Some(study) => {
            (format!("{columns} study = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"), vec![study, &after_seq, &limit])
        }
        None => (format!("{columns} seq > ?1 ORDER BY seq LIMIT ?2"), vec![&after_seq, &limit]),
    };
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    while let Some(row) = found.next()? {
        take(row)?;
    }
    Ok(events)
}

/// The remembered answer to a request id. Errors: `InvalidArgument` when it was used for another request.
pub(super) fn recall(conn: &Connection, method: &str, request_id: &str, fingerprint: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut statement =
        conn.prepare_cached("SELECT fingerprint, response FROM requests WHERE method = ?1 AND request_id = ?2")?;
    let found: Option<(Vec<u8>, Vec<u8>)> =
        statement.query_row([method, request_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match found {
        Some((known, response)) if known == fingerprint => Ok(Some(response)),
        Some(_) => Err(fault::request_reused()),
        None => Ok(None),
    }
}
