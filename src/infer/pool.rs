//! The pool: the scheduler's shell. It owns the clock, the queue, one dispatcher thread and the lanes' threads.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use ndarray::{Array, Dimension};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    engine::{
        DeviceChoice,
        libtorch::{LibTorch, Target},
    },
    lane::{Batch, Sessions, Waiting},
    outputs::{Outputs, RunInfo},
    scheduler::{Class, Effect, Event, Lane, Limits, Sample, Scheduler},
};
use crate::{
    error::{Code, Error, Result},
    model::Model,
};

/// `[infer]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where models run: `auto`, `cpu` or `cuda`.
    pub device: DeviceChoice,
    /// Threads that run batches, each with one intra-op thread and its own copy of the weights. 0: one per core, on CUDA one.
    pub lanes: usize,
    /// Samples of a batch at most. 1 by default: on a CPU a batch gains a few percent, and results of batches of different
    /// size differ in the last digits (1e-6), so that the same image would not give the same report bit for bit.
    pub batch_samples_max: usize,
    /// Samples that may wait; beyond it callers get Busy.
    pub waiting_samples_max: usize,
    /// Bytes of input that may wait; beyond it callers get Busy.
    pub waiting_bytes_max: u64,
    /// Waiting time after which a Bulk sample is as good as a Routine one that arrives, milliseconds.
    pub ageing_ms: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            device: DeviceChoice::Auto,
            lanes: 0,
            batch_samples_max: 1,
            waiting_samples_max: 1024,
            waiting_bytes_max: 512 << 20,
            ageing_ms: 60_000,
        }
    }
}

/// Models that serve, behind a queue.
pub struct Pool {
    messages: SyncSender<Message>,
    served: BTreeMap<String, Served>,
    next_id: AtomicU64,
    stopping: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Clone, Copy)]
struct Served {
    index: usize,
    /// Channels, depth (1 for an image), rows, columns.
    shape: [usize; 4],
    /// Axes of an input: 4, or 5. A network of volumes may be asked about a grid of another size than its manifest's.
    axes: usize,
}

enum Message {
    Submit(Sample, Waiting),
    Cancel(u64),
    Idle(Lane),
    Stop,
}

impl Pool {
    /// Starts the lanes; on each, every model is loaded, warmed up and tested against its golden example.
    ///
    /// Blocks until all lanes are ready (seconds: call it off the async threads). Returns the pool and the models that do not
    /// serve, each with its reason; a model that requires one of those does not serve either.
    /// Errors: `ModelUnavailable` when CUDA is demanded and not there, `Internal` when threads cannot be started.
    pub fn start(config: &Config, models: &[Model]) -> Result<(Pool, Vec<(String, Error)>)> {
        let target = Target::choose(config.device)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = match config.lanes {
            0 if target.is_cpu() => cores,
            0 => 1,
            lanes => lanes.min(256),
        };
        let waiting = config.waiting_samples_max.clamp(1, 1 << 20);
        let limits = Limits {
            samples_max: waiting,
            bytes_max: config.waiting_bytes_max,
            batch_max: config.batch_samples_max.clamp(1, 64),
            ageing_us: config.ageing_ms.saturating_mul(1000),
        };
        // Room for every waiting sample and its withdrawal, and each lane's word.
        let (messages, inbox) = sync_channel(2 * waiting + lanes);
        let models: Arc<[Model]> = models.into();
        let mut started = Vec::new();
        for lane in 0..lanes {
            started.push(start_lane(Lane(lane), target, &models, limits.batch_max, messages.clone())?);
        }
        let (mut threads, mut to_lanes, mut failed) = (Vec::new(), Vec::new(), BTreeMap::new());
        for lane in started {
            let failures =
                lane.ready.recv().map_err(|_| Error::internal("an inference thread ended while it loaded models"))?;
            failed.extend(failures);
            threads.push(lane.thread);
            to_lanes.push(lane.batches);
        }
        let (served, refused) = split(&models, failed);
        let dispatcher =
            Dispatcher { scheduler: Scheduler::new(limits), waiting: BTreeMap::new(), to_lanes, began: Instant::now() };
        threads.insert(0, spawn("infer-dispatch", move || dispatcher.run(&inbox))?);
        tracing::info!(
            lanes,
            cpu = target.is_cpu(),
            models = served.len(),
            refused = refused.len(),
            "inference is ready"
        );
        let pool = Pool {
            messages,
            served,
            next_id: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            threads: Mutex::new(threads),
        };
        Ok((pool, refused))
    }

    /// Runs `input`, one sample (1 x channels x rows x columns, or 1 x channels x depth x rows x columns), through `model`.
    ///
    /// Cancel safe: dropping the future withdraws the sample if it still waits.
    /// Errors: `ModelUnavailable`, `Busy` when the queue is full, `ShuttingDown`, `DeviceLost`, `Internal`.
    pub async fn infer<D: Dimension>(
        &self,
        model: &str,
        input: Array<f32, D>,
        class: Class,
    ) -> Result<(Outputs, RunInfo)> {
        let unavailable = || Error::new(Code::ModelUnavailable, "the model does not serve").about_model(model);
        let served = *self.served.get(model).ok_or_else(unavailable)?;
        let shape = shape_of(input.shape().get(1..).unwrap_or_default());
        let sized = served.axes == 5 || shape == served.shape;
        if input.ndim() != served.axes || input.shape()[0] != 1 || shape[0] != served.shape[0] || !sized {
            return Err(Error::internal("an input of another shape than one sample of the model's"));
        }
        let input = input.into_dyn();
        let bytes = 4 * input.len() as u64;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let sample = Sample { id, model: served.index, shape, bytes, class };
        self.messages.try_send(Message::Submit(sample, Waiting { input, reply })).map_err(|error| match error {
            TrySendError::Full(_) => busy(),
            TrySendError::Disconnected(_) => self.gone(),
        })?;
        let mut withdrawal = Withdrawal { messages: &self.messages, id: Some(id) };
        let answer = answer.await;
        withdrawal.id = None;
        answer.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The models that serve, by name, sorted.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.served.keys().map(String::as_str)
    }

    /// Lets running batches end, gives waiting callers `ShuttingDown`, joins all threads. Blocks; harmless when repeated.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Disconnected: it has stopped already.
        drop(self.messages.send(Message::Stop));
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("an inference thread had ended with a panic");
            }
        }
    }

    fn gone(&self) -> Error {
        match self.stopping.load(Ordering::Acquire) {
            true => Error::new(Code::ShuttingDown, "inference has stopped"),
            false => Error::internal("an inference thread is gone"),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells the scheduler that a caller went away. If the queue has no room for the word, the lane finds out by itself.
struct Withdrawal<'a> {
    messages: &'a SyncSender<Message>,
    id: Option<u64>,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            drop(self.messages.try_send(Message::Cancel(id)));
        }
    }
}

struct StartedLane {
    batches: SyncSender<Batch>,
    ready: Receiver<Vec<(usize, Error)>>,
    thread: JoinHandle<()>,
}

fn start_lane(
    lane: Lane,
    target: Target,
    models: &Arc<[Model]>,
    batch_max: usize,
    messages: SyncSender<Message>,
) -> Result<StartedLane> {
    let (to_lane, batches) = sync_channel(1);
    let (loaded, ready) = sync_channel(1);
    let models = Arc::clone(models);
    let thread = spawn(&format!("infer-lane-{}", lane.0), move || {
        let mut engine = LibTorch::new(target);
        let sessions = Sessions::load(&mut engine, &models, batch_max);
        // Err: the start was given up, or the pool is gone; the next receive ends this thread.
        drop(loaded.send(sessions.failures()));
        sessions.serve(&batches, || drop(messages.send(Message::Idle(lane))));
    })?;
    Ok(StartedLane { batches: to_lane, ready, thread })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(body).map_err(|_| Error::internal("an inference thread could not be started"))
}

/// Which models serve, and which do not because they failed or because one that they require does not serve.
fn split(models: &[Model], failed: BTreeMap<usize, Error>) -> (BTreeMap<String, Served>, Vec<(String, Error)>) {
    let mut refused: BTreeMap<String, Error> = failed
        .into_iter()
        .filter_map(|(index, error)| Some((models.get(index)?.manifest.name.to_string(), error)))
        .collect();
    loop {
        let dependent = models.iter().find_map(|model| {
            let needed = model.manifest.requires.lungs.as_ref()?;
            let name = model.manifest.name.as_str();
            (refused.contains_key(needed.as_str()) && !refused.contains_key(name)).then_some((name, needed))
        });
        let Some((name, needed)) = dependent else { break };
        let error = Error::new(Code::ModelUnavailable, format!("requires model {needed}, which does not serve"));
        refused.insert(name.to_owned(), error.about_model(name));
    }
    let serves = |(index, model): (usize, &Model)| {
        let (name, shape) = (model.manifest.name.to_string(), model.manifest.input.shape());
        let served = Served { index, shape: shape_of(&shape), axes: 1 + shape.len() };
        (!refused.contains_key(&name)).then_some((name, served))
    };
    let served = models.iter().enumerate().filter_map(serves).collect();
    (served, refused.into_iter().collect())
}

/// Channels and two or three sides as channels, depth, rows, columns.
fn shape_of(sample: &[usize]) -> [usize; 4] {
    match *sample {
        [channels, rows, columns] => [channels, 1, rows, columns],
        [channels, depth, rows, columns] => [channels, depth, rows, columns],
        // No recipe makes it.
        _ => [0; 4],
    }
}

fn busy() -> Error {
    Error::new(Code::Busy, "the inference queue is full (infer.waiting_samples_max, infer.waiting_bytes_max)")
}

/// Owns the scheduler and the waiting inputs.
struct Dispatcher {
    scheduler: Scheduler,
    waiting: BTreeMap<u64, (usize, Waiting)>,
    to_lanes: Vec<SyncSender<Batch>>,
    began: Instant,
}

impl Dispatcher {
    fn run(mut self, inbox: &Receiver<Message>) {
        for lane in 0..self.to_lanes.len() {
            self.step(Event::LaneIdle(Lane(lane)));
        }
        while let Ok(message) = inbox.recv() {
            match message {
                Message::Submit(sample, waiting) => {
                    self.waiting.insert(sample.id, (sample.model, waiting));
                    self.step(Event::Arrived(sample));
                }
                Message::Cancel(id) => {
                    self.step(Event::Cancelled(id));
                    self.waiting.remove(&id);
                }
                Message::Idle(lane) => self.step(Event::LaneIdle(lane)),
                Message::Stop => break,
            }
        }
    }

    fn step(&mut self, event: Event) {
        let now_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        for effect in self.scheduler.step(now_us, event) {
            match effect {
                Effect::Refuse(id) => {
                    if let Some((_, waiting)) = self.waiting.remove(&id) {
                        drop(waiting.reply.send(Err(busy())));
                    }
                }
                Effect::Run(lane, ids) => self.hand_over(lane, &ids),
            }
        }
    }

    fn hand_over(&mut self, lane: Lane, ids: &[u64]) {
        let taken: Vec<(usize, Waiting)> = ids.iter().filter_map(|id| self.waiting.remove(id)).collect();
        let Some(&(model, _)) = taken.first() else { return };
        let samples = taken.into_iter().map(|(_, waiting)| waiting).collect();
        let sent = self.to_lanes.get(lane.0).map(|to_lane| to_lane.send(Batch { model, samples }));
        if !matches!(sent, Some(Ok(()))) {
            // The lane's thread is gone: dropping the batch tells its callers.
            tracing::error!(lane = lane.0, "an inference thread is gone");
        }
    }
}
