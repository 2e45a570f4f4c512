//! The pool: which worker decodes which frame, first come, first served.
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::Config;
use super::message::{Ending, Walls};
use super::nursery::Nursery;
use super::worker::{Lost, Unborn, Worker};
use crate::dicom::codec::{Frame, Request};
use crate::error::{Code, Error, Result};

/// Frames that may wait for a worker; more get `Busy`.
const WAITING_FRAMES_MAX: usize = 1024;
/// Workers at most, whatever is configured.
const WORKERS_MAX: usize = 256;

/// Workers, and who waits for one.
pub(super) struct Pool {
    program: PathBuf,
    workers_max: usize,
    seconds_max: u64,
    nursery: Mutex<Option<Nursery>>,
    desk: Mutex<Desk>,
    walls: OnceLock<Walls>,
}

/// Somebody waits only while all places are taken.
#[derive(Default)]
struct Desk {
    /// The worker that was used last is used next: its memory is warm.
    idle: Vec<Worker>,
    /// Workers that there are, idle or not, and those that are being started.
    places_taken: usize,
    waiting: VecDeque<SyncSender<Turn>>,
}

/// What somebody gets who wants to decode.
enum Turn {
    Worker(Worker),
    /// The place of a worker that is yet to be started.
    Place,
}

impl Pool {
    pub(super) fn new(config: &Config) -> Pool {
        let workers_max = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        Pool {
            program: config.program.clone(),
            workers_max: workers_max.min(WORKERS_MAX),
            seconds_max: config.seconds_max,
            nursery: Mutex::new(None),
            desk: Mutex::default(),
            walls: OnceLock::new(),
        }
    }

    /// Makes sure that a worker can be started.
    pub(super) fn start(&self) -> Result<Walls> {
        let worker = self.take()?;
        let walls = worker.walls;
        self.give_back(worker);
        Ok(walls)
    }

    /// Decodes a frame in a worker.
    pub(super) fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        // A worker may be lost through no fault of the frame: with its nursery. Once, that is made good.
        for _ in 0..2 {
            let mut worker = self.take()?;
            match worker.decode(request, self.seconds_max) {
                Ok(outcome) => {
                    self.give_back(worker);
                    return outcome;
                }
                Err(lost) => {
                    if let Some(ending) = self.bury(worker) {
                        return Err(self.verdict(lost, ending, request.syntax_uid));
                    }
                }
            }
        }
        Err(Error::internal("the decode workers were killed twice while they had this frame"))
    }

    /// What stands around the workers, once there was one.
    pub(super) fn walls(&self) -> Option<Walls> {
        self.walls.get().copied()
    }

    /// A worker for the caller: an idle one, else a new one, else the next that is free.
    fn take(&self) -> Result<Worker> {
        let turn = {
            let mut desk = self.desk();
            match desk.idle.pop() {
                Some(worker) => Ok(Turn::Worker(worker)),
                None if desk.places_taken < self.workers_max => {
                    desk.places_taken += 1;
                    Ok(Turn::Place)
                }
                None if desk.waiting.len() < WAITING_FRAMES_MAX => {
                    let (sender, receiver) = sync_channel(1);
                    desk.waiting.push_back(sender);
                    Err(receiver)
                }
                None => {
                    return Err(Error::new(Code::Busy, "too many frames wait for a decode worker (decode.workers)"));
                }
            }
        };
        let gone = |_| Error::internal("the decode workers are gone");
        match turn.or_else(|receiver| receiver.recv().map_err(gone))? {
            Turn::Worker(worker) => Ok(worker),
            Turn::Place => self.hire().inspect_err(|_| self.vacate()),
        }
    }

    fn give_back(&self, worker: Worker) {
        let mut desk = self.desk();
        match desk.waiting.pop_front() {
            // Who waits has room for one turn, and stays until it comes.
            Some(next) => drop(next.send(Turn::Worker(worker))),
            None => desk.idle.push(worker),
        }
    }

    /// A place is free: for the next who waits, or for whoever comes.
    fn vacate(&self) {
        let mut desk = self.desk();
        match desk.waiting.pop_front() {
            Some(next) => drop(next.send(Turn::Place)),
            None => desk.places_taken -= 1,
        }
    }

    /// A new worker, from a new nursery if the old one does not answer.
    fn hire(&self) -> Result<Worker> {
        let mut nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..2 {
            if nursery.is_none() {
                *nursery = Nursery::open(&self.program);
            }
            match nursery.as_ref().map_or(Err(Unborn::NoNursery), Worker::from) {
                Ok(worker) => {
                    self.tell_walls(worker.walls);
                    return Ok(worker);
                }
                Err(Unborn::NoNursery) => *nursery = None,
                Err(Unborn::NoMeans) => break,
            }
        }
        Err(Error::internal(
            "no decode worker can be started; for a trusted archive, decode.mode = in-process does without",
        ))
    }

    /// Says once what stands around the workers, and what this kernel lacks.
    fn tell_walls(&self, walls: Walls) {
        if self.walls.set(walls).is_err() {
            return;
        }
        let Walls { seccomp, landlock } = walls;
        tracing::info!(workers_max = self.workers_max, seccomp, landlock, "decode workers are ready");
        if !seccomp || !landlock {
            tracing::warn!(seccomp, landlock, "this kernel lacks a wall around decode workers: see docs/operations.md");
        }
    }

    /// Ends a worker and frees its place. `None`: the nursery is gone, and took the worker with it.
    fn bury(&self, worker: Worker) -> Option<Ending> {
        let mut nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        let own = nursery.as_ref().filter(|nursery| nursery.pid() == worker.nursery);
        let ending = own.map(|nursery| nursery.end(worker.pid));
        if ending == Some(None) {
            *nursery = None;
        }
        drop(nursery);
        if ending.flatten().is_none() {
            self.dismiss_idle(worker.nursery);
        }
        drop(worker);
        self.vacate();
        ending.flatten()
    }

    /// Idle workers of a nursery that is gone are gone, too.
    fn dismiss_idle(&self, nursery: u32) {
        let mut desk = self.desk();
        let before = desk.idle.len();
        desk.idle.retain(|worker| worker.nursery != nursery);
        // Nobody waits: some were idle, or there is nothing to free.
        desk.places_taken -= before - desk.idle.len();
    }

    /// The code of a frame that cost its worker.
    fn verdict(&self, lost: Lost, ending: Ending, syntax_uid: &str) -> Error {
        let error = verdict(lost, ending, self.seconds_max);
        let (signal, status) = (ending.signal, ending.status);
        tracing::warn!(code = %error.code, ?lost, signal, status, transfer_syntax = syntax_uid, "decode worker replaced");
        error
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to say of the frame.
fn verdict(lost: Lost, ending: Ending, seconds_max: u64) -> Error {
    let overdue = || {
        let detail = format!("decoding took longer than {seconds_max} s (decode.seconds_max)");
        Error::new(Code::DecodeTimeout, detail)
    };
    match (lost, ending.signal) {
        (Lost::Overdue, _) | (Lost::Gone, Some(libc::SIGXCPU)) => overdue(),
        (Lost::Gone, _) => {
            Error::new(Code::DecodeFailed, "the decoder crashed on the codestream, or ran out of memory")
        }
        (Lost::Untrue, _) => Error::new(Code::DecodeFailed, "the decoder gave samples that cannot be right"),
    }
}
