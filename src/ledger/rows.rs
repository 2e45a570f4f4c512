//! Rows: how values lie in columns, and the statements that more than one file needs.
use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};

use crate::{
    error::{Code, Result},
    ledger::{
        Event, InstanceRow, Micros, NewInstance, NewTarget, State, StudyRow, TargetRow, TargetState, artifact, event,
    },
    uid::Uid,
};

impl ToSql for Uid {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Uid {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Uid> {
        Uid::parse(value.as_str()?).map_err(|_| FromSqlError::InvalidType)
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<State> {
        State::from_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Code {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Code {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Code> {
        Code::from_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

pub(super) const STUDY_COLUMNS: &str =
    "seq, study, revision, state, patient_key, instances, refused, bytes, created, updated, sealed_by";

pub(super) fn study_row(row: &Row<'_>) -> rusqlite::Result<StudyRow> {
    Ok(StudyRow {
        seq: row.get(0)?,
        study: row.get(1)?,
        revision: row.get(2)?,
        state: row.get(3)?,
        patient_key: row.get(4)?,
        instances: row.get(5)?,
        refused: row.get(6)?,
        bytes: row.get(7)?,
        created: row.get(8)?,
        updated: row.get(9)?,
        sealed_by: row.get(10)?,
    })
}

/// The row of a study, if there is one.
pub(super) fn study(conn: &Connection, study: &Uid) -> Result<Option<StudyRow>> {
    let mut statement = conn.prepare_cached(&format!("SELECT {STUDY_COLUMNS} FROM studies WHERE study = ?1"))?;
    Ok(statement.query_row([study], study_row).optional()?)
}

pub(super) const INSTANCE_COLUMNS: &str = "study, revision, series, sop_instance, sop_class, transfer_syntax, sha256, \
     pack_offset, length, source, header_json, received";

pub(super) fn instance_row(row: &Row<'_>) -> rusqlite::Result<InstanceRow> {
    Ok(InstanceRow {
        study: row.get(0)?,
        revision: row.get(1)?,
        series: row.get(2)?,
        sop_instance: row.get(3)?,
        sop_class: row.get(4)?,
        transfer_syntax: row.get(5)?,
        sha256: row.get(6)?,
        offset: row.get(7)?,
        length: row.get(8)?,
        source: row.get(9)?,
        header_json: row.get(10)?,
        received: row.get(11)?,
    })
}

/// A new instance, or (`conflict`) other bytes under a UID that is there.
pub(super) fn insert_instance(
    conn: &Connection,
    new: &NewInstance,
    conflict: bool,
    revision: u32,
    offset: u64,
    now: Micros,
) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO instances(study, revision, conflict, series, sop_instance, sop_class, transfer_syntax, sha256,
         pack_offset, length, source, header_json, received) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
    )?
    .execute(params![
        new.study,
        revision,
        conflict,
        new.series,
        new.sop_instance,
        new.sop_class,
        new.transfer_syntax,
        new.sha256,
        offset,
        new.bytes.len(),
        new.source,
        new.header_json,
        now
    ])?;
    Ok(())
}

pub(super) const TARGET_COLUMNS: &str = "model, version, digest, instances, state, code, attempts";

/// A target; its instances lie in one column, separated by spaces.
pub(super) fn target_row(row: &Row<'_>) -> rusqlite::Result<TargetRow> {
    let attempts = row.get(6)?;
    let invalid = || rusqlite::Error::InvalidColumnType(4, "state".to_owned(), rusqlite::types::Type::Text);
    let state = match row.get::<_, String>(4)?.as_str() {
        "planned" => TargetState::Planned,
        "running" => TargetState::Running(attempts),
        "done" => TargetState::Done,
        "not_analysed" => TargetState::NotAnalysed(row.get(5)?),
        "quarantined" => TargetState::Quarantined,
        _unknown => return Err(invalid()),
    };
    let instances = row.get::<_, String>(3)?;
    let instances = instances.split_ascii_whitespace().map(Uid::parse).collect::<Result<_>>().map_err(|_| invalid())?;
    let target = NewTarget { model: row.get(0)?, version: row.get(1)?, digest: row.get(2)?, instances };
    Ok(TargetRow { target, state, attempts })
}

/// The name of a target's state and its code, as they lie in columns.
pub(super) fn target_state(state: TargetState) -> (&'static str, Option<Code>) {
    match state {
        TargetState::Planned => ("planned", None),
        TargetState::Running(_) => ("running", None),
        TargetState::Done => ("done", None),
        TargetState::NotAnalysed(code) => ("not_analysed", Some(code)),
        TargetState::Quarantined => ("quarantined", None),
    }
}

/// Appends to the log; an artifact that the event names becomes the study's.
pub(super) fn append_event(
    conn: &Connection,
    study: Option<&Uid>,
    revision: u32,
    now: Micros,
    event: &Event,
) -> Result<()> {
    conn.prepare_cached("INSERT INTO events(study, revision, at, body) VALUES(?1, ?2, ?3, ?4)")?.execute(params![
        study,
        revision,
        now,
        event::to_json(event)?
    ])?;
    if let (Some(sha256), Some(study)) = (event.artifact(), study) {
        artifact::check_name(sha256)?;
        conn.prepare_cached("INSERT OR IGNORE INTO artifacts(sha256, study) VALUES(?1, ?2)")?
            .execute(params![sha256, study])?;
    }
    Ok(())
}

/// Number of the newest event; 0 before the first.
pub(super) fn last_seq(conn: &Connection) -> Result<u64> {
    Ok(conn.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?)
}
