//! The operations on a study that run in the writer: storing, refusing, changing, deleting.
use rusqlite::{OptionalExtension, params};

use crate::{
    error::{Error, Result},
    ledger::{
        Change, Decide, Event, NewInstance, NewWork, Receipt, State, StudyRow, event, fault, pack, rows,
        writer::{Trash, Turn},
    },
    uid::Uid,
};

/// Refusals of objects that name no study, and their events, are kept up to this number; the oldest go first.
const UNNAMED_REFUSALS_MAX: u64 = 10_000;
/// How long the answer to a request id is remembered.
const REQUEST_MEMORY_US: i64 = 24 * 3600 * 1_000_000;

/// Stores an instance. `decide` is asked only when the bytes are new and become the study's.
pub(super) fn store(turn: &mut Turn<'_>, new: &NewInstance, decide: Decide) -> Result<Receipt> {
    if let Some(receipt) = known(turn, new)? {
        return Ok(receipt);
    }
    let before = rows::study(turn.conn, &new.study)?;
    check_patient(before.as_ref(), new)?;
    let length = new.bytes.len() as u64;
    turn.take_room(pack::HEAD_BYTES + length)?;
    let conflict = turn
        .conn
        .prepare_cached("SELECT 1 FROM instances WHERE sop_instance = ?1 AND conflict = 0")?
        .exists([&new.sop_instance])?;
    let change = if conflict { Change::default() } else { decide(before.as_ref())? };

    let revision = put_study(turn, &new.study, before.as_ref(), &change, &new.patient_key)?;
    let end: u64 = turn
        .conn
        .prepare_cached("SELECT pack_end FROM studies WHERE study = ?1")?
        .query_row([&new.study], |row| row.get(0))?;
    rows::insert_instance(turn.conn, new, conflict, revision, end, turn.now)?;
    let kept = u64::from(!conflict);
    turn.conn
        .prepare_cached(
            "UPDATE studies SET instances = instances + ?2, bytes = bytes + ?3, pack_end = ?4 WHERE study = ?1",
        )?
        .execute(params![new.study, kept, kept * length, end + pack::HEAD_BYTES + length])?;
    let (sop_instance, series) = (new.sop_instance.clone(), new.series.clone());
    let event = match conflict {
        true => Event::InstanceConflict { sop_instance },
        false => Event::InstanceStored { sop_instance, series, bytes: length },
    };
    turn.event(Some(&new.study), revision, &event)?;
    follow(turn, &new.study, revision, change)?;
    // Last: nothing can fail after it, so that a record in the pack and its row come and go together.
    turn.packs.append(&new.study, end, &new.bytes, &new.sha256)?;
    Ok(if conflict { Receipt::Conflict } else { Receipt::Stored { revision } })
}

/// The receipt of bytes that are here already.
fn known(turn: &Turn<'_>, new: &NewInstance) -> Result<Option<Receipt>> {
    let receipt = turn
        .conn
        .prepare_cached("SELECT revision, conflict FROM instances WHERE sop_instance = ?1 AND sha256 = ?2")?
        .query_row(params![new.sop_instance, new.sha256], |row| {
            Ok(if row.get(1)? { Receipt::Conflict } else { Receipt::Duplicate { revision: row.get(0)? } })
        })
        .optional()?;
    Ok(receipt)
}

/// An object that names no patient goes with any; two that name different ones do not go together.
fn check_patient(before: Option<&StudyRow>, new: &NewInstance) -> Result<()> {
    let known = before.map_or("", |row| row.patient_key.as_str());
    if known.is_empty() || new.patient_key.is_empty() || known == new.patient_key {
        return Ok(());
    }
    Err(fault::patient_mismatch(&new.sop_instance))
}

/// Records a refusal; the same one, sent again, leaves no second trace.
pub(super) fn refuse(
    turn: &mut Turn<'_>,
    study: Option<&Uid>,
    sop_instance: Option<&Uid>,
    error: &Error,
    decide: Decide,
) -> Result<()> {
    if let (Some(study), Some(sop_instance)) = (study, sop_instance) {
        let mut again = turn.conn.prepare_cached(
            "SELECT 1 FROM refusals WHERE study = ?1 AND sop_instance = ?2 AND code = ?3 AND detail = ?4",
        )?;
        if again.exists(params![study, sop_instance, error.code, error.detail])? {
            return Ok(());
        }
    }
    let (mut revision, mut change) = (0, Change::default());
    if let Some(study) = study {
        let before = rows::study(turn.conn, study)?;
        change = decide(before.as_ref())?;
        revision = put_study(turn, study, before.as_ref(), &change, "")?;
        turn.conn.prepare_cached("UPDATE studies SET refused = refused + 1 WHERE study = ?1")?.execute([study])?;
    }
    turn.conn
        .prepare_cached(
            "INSERT INTO refusals(study, sop_instance, code, subject, detail, at) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            study,
            sop_instance,
            error.code,
            event::subject_to_json(&error.subject)?,
            error.detail,
            turn.now
        ])?;
    let (code, detail) = (error.code, error.detail.clone());
    turn.event(study, revision, &Event::InstanceRefused { sop_instance: sop_instance.cloned(), code, detail })?;
    match study {
        Some(study) => follow(turn, study, revision, change),
        None => prune_unnamed(turn),
    }
}

fn prune_unnamed(turn: &Turn<'_>) -> Result<()> {
    for table in ["refusals", "events"] {
        let sql = format!(
            "DELETE FROM {table} WHERE study IS NULL AND seq <= (SELECT max(seq) FROM {table} WHERE study IS NULL) - ?1"
        );
        turn.conn.prepare_cached(&sql)?.execute([UNNAMED_REFUSALS_MAX])?;
    }
    Ok(())
}

/// Changes a study. Errors: the decision's own; `NotFound` when there is no study and none was decided.
pub(super) fn change(turn: &mut Turn<'_>, study: &Uid, decide: Decide) -> Result<StudyRow> {
    let before = rows::study(turn.conn, study)?;
    let change = decide(before.as_ref())?;
    if before.is_none() && change.state.is_none() {
        return Err(fault::no_study(study));
    }
    let revision = put_study(turn, study, before.as_ref(), &change, "")?;
    follow(turn, study, revision, change)?;
    rows::study(turn.conn, study)?.ok_or_else(|| fault::no_study(study))
}

/// Writes the study's row (a new one is open, at revision 1, unless decided otherwise) and gives its revision.
pub(super) fn put_study(
    turn: &Turn<'_>,
    study: &Uid,
    before: Option<&StudyRow>,
    change: &Change,
    patient_key: &str,
) -> Result<u32> {
    let (state, revision) =
        change.state.unwrap_or_else(|| before.map_or((State::Open, 1), |row| (row.state, row.revision)));
    let grows = before.is_some_and(|row| revision > row.revision);
    if revision == 0 || before.is_some_and(|row| revision < row.revision) {
        return Err(Error::internal("a study's revision would have gone down"));
    }
    turn.conn
        .prepare_cached(
            "INSERT INTO studies(study, revision, state, patient_key, created, updated, sealed_by)
             VALUES(?1, ?2, ?3, ?4, ?5, ?5, ?6) ON CONFLICT(study) DO UPDATE SET
             revision = ?2, state = ?3, patient_key = iif(patient_key = '', ?4, patient_key), updated = ?5,
             sealed_by = iif(?7, ?6, coalesce(?6, sealed_by))",
        )?
        .execute(params![study, revision, state, patient_key, turn.now, change.sealed_by, grows])?;
    Ok(revision)
}

/// Appends a decision's events and queues its work.
pub(super) fn follow(turn: &mut Turn<'_>, study: &Uid, revision: u32, change: Change) -> Result<()> {
    for event in &change.events {
        turn.event(Some(study), revision, event)?;
    }
    if let Some(NewWork { revision, class }) = change.work {
        turn.conn
            .prepare_cached(
                "INSERT INTO work(study, revision, class, created) VALUES(?1, ?2, ?3, ?4)
                 ON CONFLICT(study, revision) DO UPDATE SET class = min(class, excluded.class)",
            )?
            .execute(params![study, revision, class, turn.now])?;
    }
    Ok(())
}

/// Appends events to a study's log. Errors: `NotFound` once it is deleted, so that work on it ends.
pub(super) fn append(turn: &mut Turn<'_>, study: &Uid, revision: u32, events: &[Event]) -> Result<u64> {
    rows::study(turn.conn, study)?.ok_or_else(|| fault::no_study(study))?;
    for event in events {
        turn.event(Some(study), revision, event)?;
    }
    rows::last_seq(turn.conn)
}

/// Deletes a study's rows; its files go once that is durable. Its events go too, but for the one that says so.
pub(super) fn delete(turn: &mut Turn<'_>, study: &Uid) -> Result<()> {
    let row = rows::study(turn.conn, study)?.ok_or_else(|| fault::no_study(study))?;
    let last_of: Vec<String> = turn
        .conn
        .prepare_cached(
            "SELECT sha256 FROM artifacts AS a WHERE study = ?1
             AND NOT EXISTS(SELECT 1 FROM artifacts WHERE sha256 = a.sha256 AND study <> ?1)",
        )?
        .query_map([study], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in ["artifacts", "instances", "refusals", "work", "plans", "targets", "reports", "events", "studies"] {
        turn.conn.execute(&format!("DELETE FROM {table} WHERE study = ?1"), [study])?;
    }
    turn.event(Some(study), row.revision, &Event::StudyDeleted)?;
    turn.throw_away(Trash::Pack(study.clone()))?;
    for name in last_of {
        turn.throw_away(Trash::Artifact(name))?;
    }
    Ok(())
}

/// Remembers the answer to a request id; the first answer stays.
pub(super) fn remember(
    turn: &Turn<'_>,
    method: &str,
    request_id: &str,
    fingerprint: &[u8],
    response: &[u8],
) -> Result<()> {
    turn.conn.execute("DELETE FROM requests WHERE at < ?1", [turn.now - REQUEST_MEMORY_US])?;
    turn.conn.execute(
        "INSERT OR IGNORE INTO requests(method, request_id, fingerprint, response, at) VALUES(?1, ?2, ?3, ?4, ?5)",
        params![method, request_id, fingerprint, response, turn.now],
    )?;
    Ok(())
}
