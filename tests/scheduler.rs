//! Promise: batching is fair and bounded. A simulator drives the scheduler with random arrivals, withdrawals and lanes of
//! random speed, and checks its invariants from outside. A failure prints the seed; put it into `SEEDS` and it is a test.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
use std::collections::{BTreeMap, BTreeSet};

use overread::infer::{Class, Effect, Event, Lane, Limits, Sample, Scheduler};

/// Seeds that once failed, or that walk an interesting path.
const SEEDS: &[u64] = &[1, 7, 2026];

/// xorshift64*: the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// What the world outside knows.
struct World {
    seed: u64,
    now_us: u64,
    limits: Limits,
    scheduler: Scheduler,
    waiting: BTreeMap<u64, (u64, Sample)>,
    /// Lane -> when its batch ends.
    running: BTreeMap<Lane, u64>,
    left: BTreeSet<u64>,
    largest_batch: usize,
    refused: u64,
    longest_wait_us: BTreeMap<Class, u64>,
}

impl World {
    fn new(seed: u64, random: &mut Random) -> World {
        let limits = Limits {
            samples_max: 1 + random.below(64) as usize,
            bytes_max: 1000 + random.below(100_000),
            batch_max: 1 + random.below(8) as usize,
            ageing_us: random.below(50_000),
        };
        World {
            seed,
            now_us: 0,
            limits,
            scheduler: Scheduler::new(limits),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            left: BTreeSet::new(),
            largest_batch: 0,
            refused: 0,
            longest_wait_us: BTreeMap::new(),
        }
    }

    fn tell(&mut self, event: Event, random: &mut Random) {
        if let Event::Arrived(sample) = event {
            self.waiting.insert(sample.id, (self.now_us, sample));
        }
        if let Event::Cancelled(id) = event {
            self.waiting.remove(&id);
        }
        for effect in self.scheduler.step(self.now_us, event) {
            match effect {
                Effect::Refuse(id) => self.check_refusal(id, event),
                Effect::Run(lane, batch) => {
                    self.check_batch(lane, &batch);
                    self.running.insert(lane, self.now_us + 1 + random.below(5_000));
                }
            }
        }
        assert_eq!(self.scheduler.waiting(), self.waiting.len(), "seed {}", self.seed);
    }

    fn check_refusal(&mut self, id: u64, event: Event) {
        let Some((_, sample)) = self.waiting.remove(&id) else { panic!("seed {}: refused {id} twice", self.seed) };
        assert!(matches!(event, Event::Arrived(arrived) if arrived.id == id), "seed {}: refused late", self.seed);
        let bytes: u64 = self.waiting.values().map(|(_, sample)| sample.bytes).sum();
        let full = self.waiting.len() >= self.limits.samples_max || bytes + sample.bytes > self.limits.bytes_max;
        assert!(full, "seed {}: refused though there was room", self.seed);
        self.refused += 1;
    }

    fn check_batch(&mut self, lane: Lane, batch: &[u64]) {
        let seed = self.seed;
        assert!(!self.running.contains_key(&lane), "seed {seed}: lane {lane:?} was busy");
        assert!((1..=self.limits.batch_max).contains(&batch.len()), "seed {seed}: a batch of {}", batch.len());
        let stat_waits = self.waiting.values().any(|(_, sample)| sample.class == Class::Stat);
        let head =
            batch.first().and_then(|id| self.waiting.get(id)).map(|(arrived_us, sample)| (*arrived_us, sample.class));
        let mut kinds = BTreeSet::new();
        for id in batch {
            assert!(self.left.insert(*id), "seed {seed}: {id} left twice");
            let Some((arrived_us, sample)) = self.waiting.remove(id) else { panic!("seed {seed}: {id} did not wait") };
            kinds.insert((sample.model, sample.shape, sample.class == Class::Stat));
            let longest = self.longest_wait_us.entry(sample.class).or_default();
            *longest = (*longest).max(self.now_us - arrived_us);
        }
        assert_eq!(kinds.len(), 1, "seed {seed}: a batch of {kinds:?}");
        let is_stat = kinds.iter().any(|(_, _, stat)| *stat);
        assert_eq!(is_stat, stat_waits, "seed {seed}: a STAT sample waits for at most one batch");
        self.largest_batch = self.largest_batch.max(batch.len());
        // Ageing: no Bulk sample is passed over for a Routine one that came more than `ageing_us` later.
        if let Some(routine_us) = head.filter(|(_, class)| *class == Class::Routine).map(|(arrived_us, _)| arrived_us) {
            let starved = self.waiting.values().find(|(arrived_us, sample)| {
                sample.class == Class::Bulk && arrived_us + self.limits.ageing_us < routine_us
            });
            assert!(starved.is_none(), "seed {seed}: {starved:?} starves behind Routine of {routine_us} us");
        }
    }

    fn end_due_batches(&mut self, random: &mut Random) {
        let due: Vec<Lane> =
            self.running.iter().filter(|(_, end)| **end <= self.now_us).map(|(lane, _)| *lane).collect();
        for lane in due {
            self.running.remove(&lane);
            self.tell(Event::LaneIdle(lane), random);
        }
    }
}

fn simulate(seed: u64, events: u64) -> World {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut world = World::new(seed, &mut random);
    for lane in 0..1 + random.below(4) as usize {
        world.tell(Event::LaneIdle(Lane(lane)), &mut random);
    }
    let pace_us = 1 + random.below(4_000);
    let mut next_id = 0;
    for _ in 0..events {
        world.now_us += random.below(pace_us);
        world.end_due_batches(&mut random);
        if random.below(8) == 0 {
            // Often one that already left or never was: harmless.
            let id = random.below(next_id + 2);
            world.tell(Event::Cancelled(id), &mut random);
            continue;
        }
        let sample = Sample {
            id: next_id,
            model: random.below(3) as usize,
            shape: [1, 1, 64 * (1 + random.below(2) as usize), 64],
            bytes: 1 + random.below(2_000),
            class: [Class::Stat, Class::Routine, Class::Routine, Class::Bulk][random.below(4) as usize],
        };
        next_id += 1;
        world.tell(Event::Arrived(sample), &mut random);
    }
    // Everything that waits leaves once arrivals stop.
    while let Some(end) = world.running.values().min().copied() {
        world.now_us = world.now_us.max(end);
        world.end_due_batches(&mut random);
    }
    assert!(world.waiting.is_empty(), "seed {seed}: {} samples never left", world.waiting.len());
    world
}

#[test]
fn a_sample_leaves_once_in_a_batch_of_its_kind_and_stat_waits_for_one_batch() {
    let fresh = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let seeds = SEEDS.iter().copied().chain(0..80).chain([fresh]);
    let worlds: Vec<World> = seeds.map(|seed| simulate(seed, 1_500)).collect();
    // The simulator must have walked the paths that it checks.
    assert!(worlds.iter().any(|world| world.largest_batch > 1) && worlds.iter().any(|world| world.refused > 0));
    let longest = |class| worlds.iter().filter_map(|world| world.longest_wait_us.get(&class)).max().copied();
    println!(
        "longest waits, us: stat {:?}, routine {:?}, bulk {:?}",
        longest(Class::Stat),
        longest(Class::Routine),
        longest(Class::Bulk)
    );
}

#[test]
fn a_full_queue_refuses_and_keeps_what_waits() {
    let limits = Limits { samples_max: 2, bytes_max: 100, batch_max: 4, ageing_us: 0 };
    let sample = |id, bytes| Sample { id, model: 0, shape: [1, 1, 8, 8], bytes, class: Class::Routine };
    let mut scheduler = Scheduler::new(limits);
    assert_eq!(scheduler.step(0, Event::Arrived(sample(1, 60))), []);
    assert_eq!(scheduler.step(1, Event::Arrived(sample(2, 41))), [Effect::Refuse(2)], "by bytes");
    assert_eq!(scheduler.step(2, Event::Arrived(sample(3, 40))), []);
    assert_eq!(scheduler.step(3, Event::Arrived(sample(4, 0))), [Effect::Refuse(4)], "by samples");
    assert_eq!(scheduler.step(4, Event::Cancelled(1)), []);
    assert_eq!(scheduler.step(5, Event::LaneIdle(Lane(0))), [Effect::Run(Lane(0), vec![3])]);
}

#[test]
fn stat_goes_first_alone_and_bulk_ages() {
    let limits = Limits { samples_max: 9, bytes_max: 900, batch_max: 4, ageing_us: 1_000 };
    let sample = |id, class| Event::Arrived(Sample { id, model: 0, shape: [1, 1, 8, 8], bytes: 1, class });
    let mut scheduler = Scheduler::new(Limits { batch_max: 1, ..limits });
    for (now, id, class) in
        [(0, 1, Class::Bulk), (10, 2, Class::Routine), (20, 3, Class::Stat), (1_500, 4, Class::Routine)]
    {
        scheduler.step(now, sample(id, class));
    }
    let order: Vec<_> = (0..4).flat_map(|lane| scheduler.step(2_000, Event::LaneIdle(Lane(lane)))).collect();
    assert_eq!(order, [(0, 3), (1, 2), (2, 1), (3, 4)].map(|(lane, id)| Effect::Run(Lane(lane), vec![id])));

    let mut scheduler = Scheduler::new(limits);
    for (id, class) in [(1, Class::Routine), (2, Class::Stat), (3, Class::Stat)] {
        scheduler.step(0, sample(id, class));
    }
    assert_eq!(scheduler.step(1, Event::LaneIdle(Lane(0))), [Effect::Run(Lane(0), vec![2, 3])]);
}
