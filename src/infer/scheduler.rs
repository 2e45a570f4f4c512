//! Which samples run next: a pure state machine over events and a clock that is handed in.
//!
//! Lanes pull: an idle lane takes a batch the moment something waits, so there is no timer and a batch never waits to fill.
//! Batches form by themselves under load, when samples have queued behind busy lanes.
use std::collections::BTreeSet;

/// How urgent a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Before everything else. It starves the others only if STAT work alone fills all lanes.
    Stat,
    /// The normal flow of a day.
    Routine,
    /// Whatever can wait; after `ageing_us` it competes with Routine as an equal.
    Bulk,
}

/// A lane, by number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(pub usize);

/// One input that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Unique among the waiting.
    pub id: u64,
    /// Model, by its index in the pool.
    pub model: usize,
    /// Channels, depth (1 for an image), rows, columns.
    pub shape: [usize; 4],
    /// Size of the input.
    pub bytes: u64,
    /// How urgent.
    pub class: Class,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A caller handed a sample in.
    Arrived(Sample),
    /// The caller of that sample is gone. Harmless when the sample already runs.
    Cancelled(u64),
    /// The lane has nothing to do.
    LaneIdle(Lane),
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The lane, which was idle, runs these samples as one batch.
    Run(Lane, Vec<u64>),
    /// The sample finds the queue full.
    Refuse(u64),
}

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples that may wait.
    pub samples_max: usize,
    /// Bytes of input that may wait.
    pub bytes_max: u64,
    /// Samples of a batch.
    pub batch_max: usize,
    /// Waiting time after which Bulk is as good as Routine that arrives now.
    pub ageing_us: u64,
}

/// The state: what waits, and which lanes are idle.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    /// In order of arrival, with the time of arrival. Bounded by `samples_max`, so that a scan is cheap.
    waiting: Vec<(u64, Sample)>,
    waiting_bytes: u64,
    idle: BTreeSet<Lane>,
}

impl Scheduler {
    /// Nothing waits, no lane is idle yet.
    pub fn new(limits: Limits) -> Scheduler {
        Scheduler { limits, waiting: Vec::new(), waiting_bytes: 0, idle: BTreeSet::new() }
    }

    /// Takes one event and says what follows. Reads no clock, starts nothing, cannot fail. `now_us` never goes back.
    ///
    /// Invariants (asserted here, hunted by the simulator in tests/scheduler.rs): a sample leaves exactly once; a batch has
    /// one model and one shape; waiting samples and bytes stay within the limits; a STAT sample waits for at most one batch.
    pub fn step(&mut self, now_us: u64, event: Event) -> Vec<Effect> {
        let effects = match event {
            Event::Arrived(sample) => self.admit(now_us, sample),
            Event::Cancelled(id) => {
                self.take(|sample| sample.id == id, 1);
                Vec::new()
            }
            Event::LaneIdle(lane) => {
                self.idle.insert(lane);
                self.fill().into_iter().collect()
            }
        };
        debug_assert!(self.waiting.len() <= self.limits.samples_max && self.waiting_bytes <= self.limits.bytes_max);
        debug_assert!(self.waiting.is_empty() || self.idle.is_empty(), "an idle lane beside waiting samples");
        effects
    }

    /// Samples that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn admit(&mut self, now_us: u64, sample: Sample) -> Vec<Effect> {
        let full = self.waiting.len() >= self.limits.samples_max
            || self.waiting_bytes.saturating_add(sample.bytes) > self.limits.bytes_max;
        if full {
            return vec![Effect::Refuse(sample.id)];
        }
        self.waiting.push((now_us, sample));
        self.waiting_bytes += sample.bytes;
        self.fill().into_iter().collect()
    }

    /// Gives the first idle lane the best batch that waits.
    fn fill(&mut self) -> Option<Effect> {
        let lane = *self.idle.first()?;
        let ageing_us = self.limits.ageing_us;
        // STAT before all; Routine and Bulk by arrival, Bulk as if it had come later. Equal: the earlier.
        let rank = |(arrived_us, sample): &(u64, Sample)| match sample.class {
            Class::Stat => (0, *arrived_us),
            Class::Routine => (1, *arrived_us),
            Class::Bulk => (1, arrived_us.saturating_add(ageing_us)),
        };
        let (_, first) = *self.waiting.iter().min_by_key(|waiting| rank(waiting))?;
        // A STAT batch takes no other class along: it would only run longer.
        let fits = |sample: &Sample| {
            sample.model == first.model
                && sample.shape == first.shape
                && (sample.class == Class::Stat) == (first.class == Class::Stat)
        };
        let mut batch = self.take(|sample| sample.id == first.id, 1);
        batch.extend(self.take(fits, self.limits.batch_max.saturating_sub(1)));
        self.idle.remove(&lane);
        Some(Effect::Run(lane, batch))
    }

    /// Removes the first `count` waiting samples that `wanted` names, oldest first.
    fn take(&mut self, wanted: impl Fn(&Sample) -> bool, count: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        let bytes = &mut self.waiting_bytes;
        self.waiting.retain(|(_, sample)| {
            let leaves = taken.len() < count && wanted(sample);
            if leaves {
                taken.push(sample.id);
                *bytes -= sample.bytes;
            }
            !leaves
        });
        taken
    }
}
