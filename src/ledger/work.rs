//! The operations on work that run in the writer: claims and leases, plans, targets, reports.
//!
//! A claim is counted durably before it is given out: if the process dies with it, the count stays, and whoever claims
//! next sees how often that happened.
use rusqlite::{OptionalExtension, params};

use crate::{
    error::Result,
    ledger::{
        Claim, Decide, Event, Micros, NewTarget, TargetState, fault,
        operation::{follow, put_study},
        rows,
        writer::Turn,
    },
    uid::Uid,
};

/// Claims the work of the lowest class, then the oldest, whose lease is free or ran out before `now`.
pub(super) fn claim(turn: &mut Turn<'_>, now: Micros, lease: Micros) -> Result<Option<Claim>> {
    let found = turn
        .conn
        .prepare_cached(
            "SELECT study, revision, attempt + 1, class, token + 1 FROM work
             WHERE lease_until IS NULL OR lease_until < ?1 ORDER BY class, created, study, revision LIMIT 1",
        )?
        .query_row([now], |row| {
            let (study, revision, attempt) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Claim { study, revision, attempt, class: row.get(3)?, token: row.get(4)? })
        })
        .optional()?;
    if let Some(claim) = &found {
        turn.conn
            .prepare_cached(
                "UPDATE work SET attempt = ?3, token = ?4, lease_until = ?5 WHERE study = ?1 AND revision = ?2",
            )?
            .execute(params![claim.study, claim.revision, claim.attempt, claim.token, now + lease])?;
    }
    Ok(found)
}

/// Errors: `Cancelled` when another run holds the lease, `NotFound` when the study is gone.
fn check_lease(turn: &Turn<'_>, claim: &Claim) -> Result<()> {
    let token: Option<u64> = turn
        .conn
        .prepare_cached("SELECT token FROM work WHERE study = ?1 AND revision = ?2")?
        .query_row(params![claim.study, claim.revision], |row| row.get(0))
        .optional()?;
    match token {
        Some(token) if token == claim.token => Ok(()),
        Some(_) => Err(fault::lease_lost(&claim.study)),
        None if rows::study(turn.conn, &claim.study)?.is_some() => Err(fault::lease_lost(&claim.study)),
        None => Err(fault::no_study(&claim.study)),
    }
}

/// Holds the lease until `until`.
pub(super) fn renew(turn: &Turn<'_>, claim: &Claim, until: Micros) -> Result<()> {
    check_lease(turn, claim)?;
    turn.conn
        .prepare_cached("UPDATE work SET lease_until = ?3 WHERE study = ?1 AND revision = ?2")?
        .execute(params![claim.study, claim.revision, until])?;
    Ok(())
}

/// Gives the work back. The attempt is not counted: it did not stop the process.
pub(super) fn release(turn: &Turn<'_>, claim: &Claim) -> Result<()> {
    check_lease(turn, claim)?;
    turn.conn
        .prepare_cached("UPDATE work SET lease_until = NULL, attempt = attempt - 1 WHERE study = ?1 AND revision = ?2")?
        .execute(params![claim.study, claim.revision])?;
    Ok(())
}

/// Writes the plan of a revision. One that is there stays: after a crash the work goes on by it.
pub(super) fn plan(
    turn: &mut Turn<'_>,
    claim: &Claim,
    targets: &[NewTarget],
    plan_json: &str,
    decide: Decide,
) -> Result<()> {
    check_lease(turn, claim)?;
    let (study, revision) = (&claim.study, claim.revision);
    let made = turn
        .conn
        .prepare_cached("INSERT OR IGNORE INTO plans(study, revision, body) VALUES(?1, ?2, ?3)")?
        .execute(params![study, revision, plan_json])?;
    if made == 0 {
        return Ok(());
    }
    for target in targets {
        let uids: Vec<&str> = target.instances.iter().map(Uid::as_str).collect();
        turn.conn
            .prepare_cached(
                "INSERT INTO targets(study, revision, model, version, digest, instances, state)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, 'planned')",
            )?
            .execute(params![study, revision, target.model, target.version, target.digest, uids.join(" ")])?;
        let instances = u32::try_from(target.instances.len()).unwrap_or(u32::MAX);
        let (model, version) = (target.model.clone(), target.version.clone());
        turn.event(Some(study), revision, &Event::TargetPlanned { model, version, instances })?;
    }
    decide_for(turn, claim, decide)
}

/// Counts a start of a target and gives the count.
pub(super) fn start_target(turn: &mut Turn<'_>, study: &Uid, revision: u32, model: &str) -> Result<u32> {
    let attempt: u32 = turn
        .conn
        .prepare_cached(
            "UPDATE targets SET state = 'running', code = NULL, attempts = attempts + 1
             WHERE study = ?1 AND revision = ?2 AND model = ?3 RETURNING attempts",
        )?
        .query_row(params![study, revision, model], |row| row.get(0))
        .optional()?
        .ok_or_else(|| fault::no_target(study, model))?;
    turn.event(Some(study), revision, &Event::TargetRunning { model: model.to_owned(), attempt })?;
    Ok(attempt)
}

/// Writes where a target ended, with the events of its end.
pub(super) fn end_target(
    turn: &mut Turn<'_>,
    study: &Uid,
    revision: u32,
    model: &str,
    (state, events): (TargetState, &[Event]),
) -> Result<()> {
    let (name, code) = rows::target_state(state);
    let ended = turn
        .conn
        .prepare_cached("UPDATE targets SET state = ?4, code = ?5 WHERE study = ?1 AND revision = ?2 AND model = ?3")?
        .execute(params![study, revision, model, name, code])?;
    if ended == 0 {
        return Err(fault::no_target(study, model));
    }
    for event in events {
        turn.event(Some(study), revision, event)?;
    }
    Ok(())
}

/// Writes the report of a revision and ends its work. A revision has one: a second call changes nothing.
pub(super) fn report(turn: &mut Turn<'_>, claim: &Claim, report_json: &str, decide: Decide) -> Result<()> {
    let (study, revision) = (&claim.study, claim.revision);
    let mut written = turn.conn.prepare_cached("SELECT 1 FROM reports WHERE study = ?1 AND revision = ?2")?;
    if written.exists(params![study, revision])? {
        return Ok(());
    }
    check_lease(turn, claim)?;
    turn.conn
        .prepare_cached("INSERT INTO reports(study, revision, body, at) VALUES(?1, ?2, ?3, ?4)")?
        .execute(params![study, revision, report_json, turn.now])?;
    turn.conn
        .prepare_cached("DELETE FROM work WHERE study = ?1 AND revision = ?2")?
        .execute(params![study, revision])?;
    decide_for(turn, claim, decide)
}

/// The decision's events belong to the claim's revision, which a late instance may have left behind.
fn decide_for(turn: &mut Turn<'_>, claim: &Claim, decide: Decide) -> Result<()> {
    let before = rows::study(turn.conn, &claim.study)?;
    let change = decide(before.as_ref())?;
    put_study(turn, &claim.study, before.as_ref(), &change, "")?;
    follow(turn, &claim.study, claim.revision, change)
}
