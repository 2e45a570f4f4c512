//! The ledger's face: what other rooms call. Changes go to the writer's queue, queries to read-only connections.
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    error::{Error, Result},
    ledger::{
        Claim, Decide, Event, EventRow, InstanceRow, Micros, NewInstance, NewTarget, Receipt, Recovered, RefusalRow,
        ReportRow, StudyFilter, StudyRow, TargetRow, TargetState,
        artifact::Artifacts,
        fault, operation, pack,
        query::{self, Readers},
        recover, rows, work,
        writer::{Counters, Message, Operation, Turn, Writer},
    },
    uid::Uid,
};

/// Changes that may wait beside stores: analysis must not starve behind an upload.
const CHANGES_WAITING_MAX: usize = 4096;

/// Limits of the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Free bytes of the disk that storing instances leaves alone, so that what was acknowledged can be finished.
    pub storage_free_bytes_min: u64,
    /// Instances that may wait to become durable; one more is `Busy`.
    pub waiting_instances_max: u64,
    /// Their bytes; an instance larger than that is taken when nothing else waits.
    pub waiting_bytes_max: u64,
    /// Operations that one commit takes at most.
    pub batch_operations_max: usize,
    /// Bytes of instances after which a commit takes no more operations.
    pub batch_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            storage_free_bytes_min: 256 << 20,
            waiting_instances_max: 1024,
            waiting_bytes_max: 256 << 20,
            batch_operations_max: 256,
            batch_bytes_max: 64 << 20,
        }
    }
}

/// What the writer has done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Commits, one sync of the rows each.
    pub commits: u64,
    /// Operations in them.
    pub operations: u64,
    /// Instances that wait to become durable.
    pub waiting_instances: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

/// The durable truth in one data directory. Clones are handles on the same.
///
/// Cancel safety: a change that was begun is made whether or not its caller waits for the answer.
/// Every method may fail with `ShuttingDown` once the ledger is closed, and with `Internal`; methods that change may
/// fail with `Busy` when the queue is full, and with `StorageFull`. After an error nothing was changed.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    packs_dir: PathBuf,
    artifacts: Arc<Artifacts>,
    readers: Readers,
    queue: Option<SyncSender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    committed: watch::Receiver<u64>,
    counters: Arc<Counters>,
    waiting: Arc<Waiting>,
}

/// Instances that wait to become durable.
#[derive(Default)]
struct Waiting {
    instances: AtomicU64,
    bytes: AtomicU64,
}

/// An instance's place in the queue; given back when it is dropped.
struct Place {
    waiting: Arc<Waiting>,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.instances.fetch_sub(1, Ordering::AcqRel);
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Ledger {
    /// Opens a data directory (a new one is made), mends what a crash left behind, and starts the writer. Blocks.
    /// Errors: `AlreadyExists` when another process has it open; `Internal` when it cannot be read, or is newer.
    pub fn open(dir: &Path, config: &Config) -> Result<(Ledger, Recovered)> {
        let opened = recover::open(dir)?;
        let (artifacts, counters) = (Arc::new(opened.artifacts), Arc::new(Counters::default()));
        let (publish, committed) = watch::channel(rows::last_seq(&opened.conn)?);
        let parts = (opened.conn, opened.packs, Arc::clone(&artifacts));
        let writer = Writer::new(dir.to_owned(), config, parts, (publish, Arc::clone(&counters)), opened.lock);
        let instances_max = usize::try_from(config.waiting_instances_max).unwrap_or(CHANGES_WAITING_MAX);
        let (queue, operations) = sync_channel(instances_max.saturating_add(CHANGES_WAITING_MAX));
        let writer = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || writer.run(&operations))
            .map_err(|error| fault::io(&error, "starting the ledger's writer"))?;
        let shared = Shared {
            config: config.clone(),
            packs_dir: dir.join("packs"),
            artifacts,
            readers: Readers::new(dir.join("ledger.db")),
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            committed,
            counters,
            waiting: Arc::default(),
        };
        Ok((Ledger { shared: Arc::new(shared) }, opened.recovered))
    }

    /// Stores an instance: bytes to the study's pack, row, event and the decision's change, in one commit.
    ///
    /// `decide` is asked when the bytes are new and become the study's, not for duplicates and conflicts.
    /// Errors: `PatientMismatch`, `StorageFull`, `Busy`, or the decision's.
    pub async fn store(&self, new: NewInstance, decide: Decide) -> Result<Receipt> {
        let bytes = new.bytes.len() as u64;
        let place = self.take_place(bytes)?;
        let store = move |turn: &mut Turn<'_>| {
            // Freed with the bytes: what waits is what is held in memory.
            let _place = place;
            operation::store(turn, &new, decide)
        };
        self.change_rows(bytes, store).await
    }

    /// Records an object that was not taken. `decide` is asked when it names a study and was not refused before.
    pub async fn refuse(
        &self,
        study: Option<Uid>,
        sop_instance: Option<Uid>,
        error: &Error,
        decide: Decide,
    ) -> Result<()> {
        let error = error.clone();
        self.change_rows(0, move |turn| operation::refuse(turn, study.as_ref(), sop_instance.as_ref(), &error, decide))
            .await
    }

    /// Changes a study as decided and gives its new row.
    /// Errors: `NotFound` when there is none and the decision gives it no state, or the decision's.
    pub async fn change(&self, study: &Uid, decide: Decide) -> Result<StudyRow> {
        let study = study.clone();
        self.change_rows(0, move |turn| operation::change(turn, &study, decide)).await
    }

    /// Claims work that waits, lowest class first, then oldest, for `lease` microseconds. The attempt is durable first.
    pub async fn claim(&self, now: Micros, lease: Micros) -> Result<Option<Claim>> {
        self.change_rows(0, move |turn| work::claim(turn, now, lease)).await
    }

    /// Holds a claim until `until`. Errors: `Cancelled` when another run has it, `NotFound` when its study is gone.
    pub async fn renew(&self, claim: &Claim, until: Micros) -> Result<()> {
        let claim = claim.clone();
        self.change_rows(0, move |turn| work::renew(turn, &claim, until)).await
    }

    /// Gives a claim back, its attempt not counted. Errors: as [`Ledger::renew`].
    pub async fn release(&self, claim: &Claim) -> Result<()> {
        let claim = claim.clone();
        self.change_rows(0, move |turn| work::release(turn, &claim)).await
    }

    /// Writes the plan of the claim's revision; where one is there already, nothing changes and `decide` is not asked.
    /// Errors: as [`Ledger::renew`], or the decision's.
    pub async fn plan(&self, claim: &Claim, targets: Vec<NewTarget>, plan_json: String, decide: Decide) -> Result<()> {
        let claim = claim.clone();
        self.change_rows(0, move |turn| work::plan(turn, &claim, &targets, &plan_json, decide)).await
    }

    /// Marks a target as running and gives how often it was started, this time included. Errors: `NotFound`.
    pub async fn start_target(&self, study: &Uid, revision: u32, model: &str) -> Result<u32> {
        let (study, model) = (study.clone(), model.to_owned());
        self.change_rows(0, move |turn| work::start_target(turn, &study, revision, &model)).await
    }

    /// Writes where a target stands, and appends `events`. Errors: `NotFound`.
    pub async fn end_target(
        &self,
        study: &Uid,
        revision: u32,
        model: &str,
        state: TargetState,
        events: Vec<Event>,
    ) -> Result<()> {
        let (study, model) = (study.clone(), model.to_owned());
        self.change_rows(0, move |turn| work::end_target(turn, &study, revision, &model, (state, &events))).await
    }

    /// Appends events to a study's log and gives the number of the last one. Errors: `NotFound`.
    pub async fn append(&self, study: &Uid, revision: u32, events: Vec<Event>) -> Result<u64> {
        let study = study.clone();
        self.change_rows(0, move |turn| operation::append(turn, &study, revision, &events)).await
    }

    /// Writes the report of the claim's revision and ends its work. A revision has one report: where it is there already,
    /// nothing changes and `decide` is not asked. Errors: as [`Ledger::renew`], or the decision's.
    pub async fn report(&self, claim: &Claim, report_json: String, decide: Decide) -> Result<()> {
        let claim = claim.clone();
        self.change_rows(0, move |turn| work::report(turn, &claim, &report_json, decide)).await
    }

    /// Deletes a study: its rows in one commit, then its pack and the artifacts that no other study needs.
    /// Its events go too, but for a last `StudyDeleted`. Errors: `NotFound`.
    pub async fn delete(&self, study: &Uid) -> Result<()> {
        let study = study.clone();
        let (mut operation, answer) = Operation::new(0, move |turn: &mut Turn<'_>| operation::delete(turn, &study));
        operation.ends_batch = true;
        self.send(operation)?;
        answer.await.unwrap_or_else(|_| Err(fault::no_answer()))
    }

    /// Remembers the answer to a request id for a day. The first answer stays.
    pub async fn remember(&self, request_id: &str, method: &str, fingerprint: &[u8], response: Bytes) -> Result<()> {
        let (request_id, method, fingerprint) = (request_id.to_owned(), method.to_owned(), fingerprint.to_owned());
        self.change_rows(0, move |turn| operation::remember(turn, &method, &request_id, &fingerprint, &response)).await
    }

    /// The answer that was given to a request id. Errors: `InvalidArgument` when the id was used for another request.
    pub async fn recall(&self, request_id: &str, method: &str, fingerprint: &[u8]) -> Result<Option<Bytes>> {
        let (request_id, method, fingerprint) = (request_id.to_owned(), method.to_owned(), fingerprint.to_owned());
        self.ask(move |conn| Ok(query::recall(conn, &method, &request_id, &fingerprint)?.map(Bytes::from))).await
    }

    /// Makes derived bytes durable and gives their name, the SHA-256 in hex. They become a study's, and are deleted with
    /// it, once an event of it (`HeatmapMade`, `SegmentationMade`) names them. May use the disk's reserve. Errors: `StorageFull`.
    pub async fn put_artifact(&self, bytes: Bytes) -> Result<String> {
        let artifacts = Arc::clone(&self.shared.artifacts);
        blocking(move || artifacts.put(&bytes)).await
    }

    /// Derived bytes by name; `None` when there are none (any more): then they are to be made again.
    pub async fn artifact(&self, sha256: &str) -> Result<Option<Bytes>> {
        let (artifacts, name) = (Arc::clone(&self.shared.artifacts), sha256.to_owned());
        blocking(move || artifacts.get(&name)).await
    }

    /// A study's row.
    pub async fn study(&self, study: &Uid) -> Result<Option<StudyRow>> {
        let study = study.clone();
        self.ask(move |conn| rows::study(conn, &study)).await
    }

    /// Studies, newest first, at most `limit`.
    pub async fn studies(&self, filter: StudyFilter, limit: u32) -> Result<Vec<StudyRow>> {
        self.ask(move |conn| query::studies(conn, &filter, limit)).await
    }

    /// The instances of a revision, by series and SOP Instance UID.
    pub async fn instances(&self, study: &Uid, revision: u32) -> Result<Vec<InstanceRow>> {
        let study = study.clone();
        self.ask(move |conn| query::instances(conn, &study, revision)).await
    }

    /// Bytes that came under SOP Instance UIDs that were taken; [`Ledger::read`] reads them too.
    pub async fn conflicts(&self, study: &Uid) -> Result<Vec<InstanceRow>> {
        let study = study.clone();
        self.ask(move |conn| query::conflicts(conn, &study)).await
    }

    /// What was refused of a study, oldest first.
    pub async fn refusals(&self, study: &Uid) -> Result<Vec<RefusalRow>> {
        let study = study.clone();
        self.ask(move |conn| query::refusals(conn, &study)).await
    }

    /// The bytes of an instance as they came, digest checked. Errors: `NotFound` when the study is gone.
    pub async fn read(&self, row: &InstanceRow) -> Result<Bytes> {
        let (ledger, row) = (self.clone(), row.clone());
        blocking(move || ledger.read_blocking(&row)).await
    }

    /// As [`Ledger::read`], for threads that may block: a series is read by the threads that decode it.
    pub fn read_blocking(&self, row: &InstanceRow) -> Result<Bytes> {
        match pack::read(&self.shared.packs_dir, row)? {
            Some(object) => Ok(object),
            None => match self.shared.readers.ask(|conn| rows::study(conn, &row.study))? {
                Some(_) => Err(fault::damaged(&row.sop_instance)),
                None => Err(fault::no_study(&row.study)),
            },
        }
    }

    /// The targets of a revision, by model.
    pub async fn targets(&self, study: &Uid, revision: u32) -> Result<Vec<TargetRow>> {
        let study = study.clone();
        self.ask(move |conn| query::targets(conn, &study, revision)).await
    }

    /// How often the work of a revision was claimed and not given back; 0 when none waits.
    pub async fn attempts(&self, study: &Uid, revision: u32) -> Result<u32> {
        let study = study.clone();
        self.ask(move |conn| query::attempts(conn, &study, revision)).await
    }

    /// The plan of a revision as it was given.
    pub async fn plan_json(&self, study: &Uid, revision: u32) -> Result<Option<String>> {
        let study = study.clone();
        self.ask(move |conn| query::plan_json(conn, &study, revision)).await
    }

    /// The report of a revision, or the newest.
    pub async fn report_row(&self, study: &Uid, revision: Option<u32>) -> Result<Option<ReportRow>> {
        let study = study.clone();
        self.ask(move |conn| query::report(conn, &study, revision)).await
    }

    /// Events after the cursor, of all studies or of one, in order, at most `limit`.
    pub async fn events(&self, after_seq: u64, study: Option<&Uid>, limit: u32) -> Result<Vec<EventRow>> {
        let study = study.cloned();
        self.ask(move |conn| query::events(conn, after_seq, study.as_ref(), limit)).await
    }

    /// Number of the newest event; 0 before the first.
    pub async fn last_seq(&self) -> Result<u64> {
        self.ask(rows::last_seq).await
    }

    /// Tells the number of the newest event whenever it grows. A hint: the truth is in [`Ledger::events`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.committed.clone()
    }

    /// What the writer has done, and what waits.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        Stats {
            commits: shared.counters.commits.load(Ordering::Relaxed),
            operations: shared.counters.operations.load(Ordering::Relaxed),
            waiting_instances: shared.waiting.instances.load(Ordering::Relaxed),
            waiting_bytes: shared.waiting.bytes.load(Ordering::Relaxed),
        }
    }

    /// Makes all that has queued up durable, ends the writer and gives the data directory free. Other handles get
    /// `ShuttingDown` for every change from then on.
    pub async fn close(self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.readers.close();
            let writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let (Some(writer), Some(queue)) = (writer, &shared.queue) {
                // An error says that the writer has ended already.
                let _ended = queue.send(Message::Close);
                writer.join().map_err(|_| Error::internal("the ledger's writer ended by a panic"))?;
            }
            Ok(())
        })
        .await
    }

    /// A place in the queue for an instance. Errors: `Busy`.
    fn take_place(&self, bytes: u64) -> Result<Place> {
        let (shared, config) = (&self.shared, &self.shared.config);
        let instances = shared.waiting.instances.fetch_add(1, Ordering::AcqRel);
        let waiting = shared.waiting.bytes.fetch_add(bytes, Ordering::AcqRel);
        let place = Place { waiting: Arc::clone(&shared.waiting), bytes };
        if instances >= config.waiting_instances_max {
            return Err(fault::busy("instances", config.waiting_instances_max, "waiting_instances_max"));
        }
        if waiting > 0 && waiting.saturating_add(bytes) > config.waiting_bytes_max {
            return Err(fault::busy("bytes", config.waiting_bytes_max, "waiting_bytes_max"));
        }
        Ok(place)
    }

    async fn change_rows<T: Send + 'static>(
        &self,
        bytes: u64,
        run: impl FnOnce(&mut Turn<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (operation, answer) = Operation::new(bytes, run);
        self.send(operation)?;
        answer.await.unwrap_or_else(|_| Err(fault::no_answer()))
    }

    fn send(&self, operation: Operation) -> Result<()> {
        let queue = self.shared.queue.as_ref().ok_or_else(fault::closed)?;
        queue.try_send(Message::Operation(operation)).map_err(|error| match error {
            TrySendError::Full(_) => fault::changes_waiting(CHANGES_WAITING_MAX),
            TrySendError::Disconnected(_) => fault::closed(),
        })
    }

    async fn ask<T: Send + 'static>(&self, query: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.readers.ask(query)).await
    }
}

impl Drop for Shared {
    /// The last handle is gone: the writer finishes what has queued up and ends.
    fn drop(&mut self) {
        self.queue = None;
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the ledger's writer ended by a panic");
        }
    }
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|_| Err(Error::internal("a blocking read ended by a panic")))
}
