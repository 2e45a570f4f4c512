//! The writer: one thread that takes what has queued up, writes it, syncs once, and then answers all.
//!
//! An operation runs inside a savepoint of the batch's transaction: one that fails leaves no trace and does not touch
//! its neighbours. Only when the commit itself fails do all of a batch fail, and then the packs are cut back.
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
};

use rusqlite::{Connection, params};
use tokio::sync::{oneshot, watch};

use crate::{
    error::Result,
    ledger::{Config, Event, Micros, artifact::Artifacts, clock, fault, pack::Packs, rows},
    uid::Uid,
};

/// What the queue carries.
pub(super) enum Message {
    /// To be done with the next commit.
    Operation(Operation),
    /// To be answered once all before it is durable and the thread is about to end.
    Close,
}

/// One caller's change, and the way to answer it.
pub(super) struct Operation {
    /// Bytes that it brings, for the size of a batch.
    pub(super) bytes: u64,
    /// It must see its files unlinked before anything else is written.
    pub(super) ends_batch: bool,
    run: Box<dyn FnOnce(&mut Turn<'_>) -> Settled + Send>,
}

/// Tells the caller; given the outcome of the commit.
type Answer = Box<dyn FnOnce(&Result<()>)>;

/// An operation that has run and waits for the commit.
struct Settled {
    keep: bool,
    answer: Answer,
}

impl Operation {
    /// `run` is answered with its own outcome once that is durable, or with the error of the commit.
    pub(super) fn new<T: Send + 'static>(
        bytes: u64,
        run: impl FnOnce(&mut Turn<'_>) -> Result<T> + Send + 'static,
    ) -> (Operation, oneshot::Receiver<Result<T>>) {
        let (answer, answered) = oneshot::channel();
        let run = move |turn: &mut Turn<'_>| {
            let outcome = run(turn);
            let keep = outcome.is_ok();
            let answer = move |commit: &Result<()>| {
                // A caller that has gone away needs no answer; what it asked for is durable all the same.
                let _gone = answer.send(outcome.and_then(|value| commit.clone().map(|()| value)));
            };
            Settled { keep, answer: Box::new(answer) }
        };
        (Operation { bytes, ends_batch: false, run: Box::new(run) }, answered)
    }
}

/// What an operation may use while it runs.
pub(super) struct Turn<'a> {
    /// Inside the batch's transaction.
    pub(super) conn: &'a Connection,
    /// Appends are synced before the commit.
    pub(super) packs: &'a mut Packs,
    /// The same for all of the batch.
    pub(super) now: Micros,
    room: &'a mut Room,
    after: &'a mut After,
}

/// Bytes that the disk has left above the reserve; asked once a batch.
struct Room {
    dir: PathBuf,
    reserve: u64,
    left: Option<u64>,
}

/// What is to be done once the commit is durable.
#[derive(Default)]
struct After {
    named: Vec<String>,
    trash: Vec<Trash>,
}

/// A file whose rows are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trash {
    Pack(Uid),
    Artifact(String),
}

impl Trash {
    /// Kind and name, as they lie in columns.
    pub(super) fn columns(&self) -> (&'static str, &str) {
        match self {
            Trash::Pack(study) => ("pack", study.as_str()),
            Trash::Artifact(name) => ("artifact", name),
        }
    }
}

impl Turn<'_> {
    /// Errors: `StorageFull` when `bytes` more would reach into the reserve.
    pub(super) fn take_room(&mut self, bytes: u64) -> Result<()> {
        self.room.take(bytes)
    }

    /// Appends to the log.
    pub(super) fn event(&mut self, study: Option<&Uid>, revision: u32, event: &Event) -> Result<()> {
        rows::append_event(self.conn, study, revision, self.now, event)?;
        self.after.named.extend(event.artifact().map(str::to_owned));
        Ok(())
    }

    /// Unlinks a file once the deletion of its rows is durable; a crash in between is made up for at the next start.
    pub(super) fn throw_away(&mut self, trash: Trash) -> Result<()> {
        self.conn.execute("INSERT OR IGNORE INTO trash(kind, name) VALUES(?1, ?2)", trash.columns())?;
        self.after.trash.push(trash);
        Ok(())
    }
}

impl Room {
    fn take(&mut self, bytes: u64) -> Result<()> {
        let left = match self.left {
            Some(left) => left,
            None => {
                let disk = rustix::fs::statvfs(&self.dir)
                    .map_err(|error| fault::io(&error.into(), "asking for the disk's free space"))?;
                disk.f_bavail.saturating_mul(disk.f_frsize)
            }
        };
        match left.checked_sub(bytes).filter(|rest| *rest >= self.reserve) {
            Some(rest) => {
                self.left = Some(rest);
                Ok(())
            }
            None => {
                self.left = Some(left);
                Err(fault::reserve_reached(left, self.reserve))
            }
        }
    }
}

/// Counted since the start; read without waiting for the writer.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) operations: AtomicU64,
}

/// The thread's state.
pub(super) struct Writer {
    conn: Connection,
    packs: Packs,
    artifacts: Arc<Artifacts>,
    room: Room,
    operations_max: usize,
    bytes_max: u64,
    committed: watch::Sender<u64>,
    counters: Arc<Counters>,
    /// Held for the thread's life: the data directory has one writer.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        dir: PathBuf,
        config: &Config,
        (conn, packs, artifacts): (Connection, Packs, Arc<Artifacts>),
        (committed, counters): (watch::Sender<u64>, Arc<Counters>),
        lock: File,
    ) -> Writer {
        Writer {
            conn,
            packs,
            artifacts,
            room: Room { dir, reserve: config.storage_free_bytes_min, left: None },
            operations_max: config.batch_operations_max.max(1),
            bytes_max: config.batch_bytes_max,
            committed,
            counters,
            _lock: lock,
        }
    }

    /// Works until told to close, or until nobody can ask any more.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        let mut open = true;
        while open {
            let Ok(first) = queue.recv() else { break };
            let (mut batch, mut bytes, mut next) = (Vec::new(), 0, Some(first));
            while let Some(message) = next.take() {
                match message {
                    Message::Close => open = false,
                    Message::Operation(operation) => {
                        bytes += operation.bytes;
                        let full = batch.len() + 1 >= self.operations_max || bytes >= self.bytes_max;
                        let last = operation.ends_batch;
                        batch.push(operation);
                        if !full && !last {
                            next = queue.try_recv().ok();
                        }
                    }
                }
            }
            self.commit(batch);
        }
        // Best effort: what stays in the WAL is read from there at the next start.
        if let Err(error) = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(sqlite = ?error.sqlite_error_code(), "the last checkpoint did not run");
        }
    }

    fn commit(&mut self, batch: Vec<Operation>) {
        let count = batch.len() as u64;
        let (mut settled, mut after) = (Vec::with_capacity(batch.len()), After::default());
        let mut outcome = self.write(batch, &mut settled, &mut after);
        if outcome.is_ok() {
            self.packs.committed();
            after.named.iter().for_each(|name| self.artifacts.named(name));
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
            self.counters.operations.fetch_add(count, Ordering::Relaxed);
            self.empty_trash(&after.trash);
            self.publish();
        } else {
            if !self.conn.is_autocommit()
                && let Err(error) = self.conn.execute_batch("ROLLBACK")
            {
                outcome = Err(error.into());
            }
            self.packs.rolled_back();
        }
        for Settled { answer, .. } in settled {
            answer(&outcome);
        }
    }

    fn write(&mut self, batch: Vec<Operation>, settled: &mut Vec<Settled>, after: &mut After) -> Result<()> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        self.room.left = None;
        let mut turn =
            Turn { conn: &self.conn, packs: &mut self.packs, now: clock::now(), room: &mut self.room, after };
        for operation in batch {
            turn.conn.prepare_cached("SAVEPOINT operation")?.execute([])?;
            let (named, trash) = (turn.after.named.len(), turn.after.trash.len());
            // Decisions are others' code: one that panics must not take the ledger down. Its caller finds no answer.
            let outcome = catch_unwind(AssertUnwindSafe(|| (operation.run)(&mut turn))).ok();
            let keep = outcome.as_ref().is_some_and(|settled| settled.keep);
            settled.extend(outcome);
            if turn.conn.is_autocommit() {
                // A full disk can make SQLite roll the whole transaction back.
                return Err(fault::storage_full());
            }
            if !keep {
                turn.after.named.truncate(named);
                turn.after.trash.truncate(trash);
                turn.conn.prepare_cached("ROLLBACK TO operation")?.execute([])?;
            }
            turn.conn.prepare_cached("RELEASE operation")?.execute([])?;
        }
        self.packs.sync()?;
        self.conn.execute_batch("COMMIT")?;
        Ok(())
    }

    fn empty_trash(&mut self, trash: &[Trash]) {
        for item in trash {
            if let Err(error) = empty(&self.conn, &mut self.packs, &self.artifacts, item) {
                tracing::warn!(code = %error.code, "a deleted file is still there; it will be unlinked at the next start");
            }
        }
    }

    fn publish(&self) {
        match rows::last_seq(&self.conn) {
            Ok(seq) => {
                self.committed.send_replace(seq);
            }
            // A hint alone: readers find the events all the same.
            Err(error) => tracing::warn!(code = %error.code, "the newest event's number could not be read"),
        }
    }
}

/// Unlinks one file whose rows are gone, then forgets it.
pub(super) fn empty(conn: &Connection, packs: &mut Packs, artifacts: &Artifacts, trash: &Trash) -> Result<()> {
    let unlinked = match trash {
        Trash::Pack(study) => packs.remove(study),
        Trash::Artifact(name) => artifacts.remove(name),
    };
    unlinked.map_err(|error| fault::io(&error, "unlinking a deleted file"))?;
    let (kind, name) = trash.columns();
    conn.execute("DELETE FROM trash WHERE kind = ?1 AND name = ?2", params![kind, name])?;
    Ok(())
}
