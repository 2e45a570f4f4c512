//! The tables, and how a database of an older version is brought up to date.
use rusqlite::Connection;

use crate::{error::Result, ledger::fault};

/// One entry a version; `user_version` counts those applied. An entry, once released, is never edited.
const MIGRATIONS: &[&str] = &["
CREATE TABLE studies(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, state TEXT NOT NULL,
  patient_key TEXT NOT NULL, instances INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0, pack_end INTEGER NOT NULL DEFAULT 0,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, sealed_by TEXT) STRICT;
CREATE INDEX studies_by_state ON studies(state, updated);

-- conflict 0: the study's instance of that UID; 1: other bytes that came under the same UID later.
CREATE TABLE instances(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT NOT NULL REFERENCES studies(study), revision INTEGER NOT NULL,
  conflict INTEGER NOT NULL, series TEXT NOT NULL, sop_instance TEXT NOT NULL, sop_class TEXT NOT NULL,
  transfer_syntax TEXT NOT NULL, sha256 BLOB NOT NULL, pack_offset INTEGER NOT NULL, length INTEGER NOT NULL,
  source TEXT NOT NULL, header_json TEXT NOT NULL, received INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX instances_of_uid ON instances(sop_instance) WHERE conflict = 0;
CREATE UNIQUE INDEX instances_of_bytes ON instances(sop_instance, sha256);
CREATE INDEX instances_of_study ON instances(study, revision);

CREATE TABLE refusals(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT REFERENCES studies(study), sop_instance TEXT, code TEXT NOT NULL,
  subject TEXT NOT NULL, detail TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX refusals_of_study ON refusals(study, sop_instance);

-- attempt: claims that were not released; token: all claims.
CREATE TABLE work(
  study TEXT NOT NULL REFERENCES studies(study), revision INTEGER NOT NULL, class INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0, token INTEGER NOT NULL DEFAULT 0, lease_until INTEGER, created INTEGER NOT NULL,
  PRIMARY KEY(study, revision)) STRICT, WITHOUT ROWID;
CREATE INDEX work_by_class ON work(class, created);

CREATE TABLE plans(
  study TEXT NOT NULL REFERENCES studies(study), revision INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY(study, revision)) STRICT, WITHOUT ROWID;
CREATE TABLE targets(
  study TEXT NOT NULL REFERENCES studies(study), revision INTEGER NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
  digest TEXT NOT NULL, instances TEXT NOT NULL, state TEXT NOT NULL, code TEXT, attempts INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(study, revision, model)) STRICT, WITHOUT ROWID;
CREATE TABLE reports(
  study TEXT NOT NULL REFERENCES studies(study), revision INTEGER NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(study, revision)) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number is never given twice, not even after its row is deleted.
CREATE TABLE events(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT, revision INTEGER NOT NULL, at INTEGER NOT NULL,
  body TEXT NOT NULL) STRICT;
CREATE INDEX events_of_study ON events(study, seq);

-- Which studies need an artifact; files to unlink once the deletion of their rows is durable.
CREATE TABLE artifacts(sha256 TEXT NOT NULL, study TEXT NOT NULL REFERENCES studies(study),
  PRIMARY KEY(sha256, study)) STRICT, WITHOUT ROWID;
CREATE INDEX artifacts_of_study ON artifacts(study);
CREATE TABLE trash(kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY(kind, name)) STRICT, WITHOUT ROWID;

CREATE TABLE requests(
  method TEXT NOT NULL, request_id TEXT NOT NULL, fingerprint BLOB NOT NULL, response BLOB NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(method, request_id)) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_age ON requests(at);
"];

/// Version of the tables in this database; 0 for a new one.
pub(super) fn version(conn: &Connection) -> Result<u32> {
    Ok(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Applies what is missing, each version in a transaction of its own.
/// Errors: `Internal` when the database was written by a newer version.
pub(super) fn migrate(conn: &mut Connection) -> Result<()> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found = version(conn)?;
    if found > known {
        return Err(fault::schema_newer(found, known));
    }
    for (target, script) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = conn.transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", target)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_changes_nothing_and_a_newer_database_is_not_touched() {
        let mut conn = Connection::open_in_memory().expect("SQLite");
        migrate(&mut conn).expect("new");
        migrate(&mut conn).expect("again");
        assert_eq!(version(&conn), Ok(1));
        conn.pragma_update(None, "user_version", 99).expect("pragma");
        assert!(migrate(&mut conn).is_err());
        assert_eq!(version(&conn), Ok(99));
    }
}
