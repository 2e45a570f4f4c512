//! A series to a volume, and a volume to another grid, in CPU time; and the worker that benches/peers/volumes.py compares with SimpleITK.
//!
//! `scripts/bench-peers volumes` makes the inputs in target/bench-volumes and compares; `cargo bench --bench volumes` then measures
//! what is ours, on one thread and on as many as there are cores. Within the clock of `load`: from files (in the page cache) to f32
//! values: opening, parsing, sorting, decoding. Of `resample`: from values to values.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench talks to the terminal and may stop"
)]
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use overread::dicom::{Decoder, Instance, Limits};
use overread::pixel::{Volume, stacks, volume};
use overread::uid::Uid;

/// A visit goes on until it has lasted this long.
const VISIT: Duration = Duration::from_millis(300);
const CALLS_MIN: usize = 3;

fn main() {
    overread::infer::prepare_process();
    if std::env::args().any(|arg| arg == "--worker") {
        return work();
    }
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-volumes");
    if !inputs.exists() {
        println!("there are no inputs in {}; scripts/bench-peers volumes makes them", inputs.display());
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in [1, cores] {
        for series in ["native", "jpeg_lossless"] {
            let folder = inputs.join(series);
            let (time, size) = timed(|| load(&folder, threads).stack.size);
            println!("load {series:14} {threads} threads  {:8.1} ms  {size:?}", time.as_secs_f64() * 1e3);
        }
        let source = load(&inputs.join("native"), threads);
        for spacing in ["1 1 1", "0.5 0.5 0.5", "2 2 2", "3 1.5 1.5"] {
            let (time, size) = timed(|| resampled(&source, spacing, threads));
            println!("resample to {spacing:11} {threads} threads  {:8.1} ms  {size:?}", time.as_secs_f64() * 1e3);
        }
    }
}

fn timed<T>(call: impl Fn() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = call();
    (start.elapsed(), value)
}

/// A line `load FOLDER` or `resample FOLDER SLICE_MM ROW_MM COLUMN_MM` (`smoothed` is the same: it tells
/// SimpleITK to antialias) comes in, CPU nanoseconds go out. One thread.
fn work() {
    let mut held: Option<(PathBuf, Volume)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let (task, rest) = line.split_once(' ').expect("a task and a folder");
        let (folder, spacing) = rest.split_once(' ').unwrap_or((rest, ""));
        let folder = Path::new(folder);
        let nanoseconds = match task {
            "load" => visit(|| load(folder, 1).stack.size),
            "resample" | "smoothed" => {
                let source = match held.take() {
                    Some((path, source)) if path == folder => source,
                    _ => load(folder, 1),
                };
                let (_, source) = held.insert((folder.to_owned(), source));
                visit(|| resampled(source, spacing, 1))
            }
            other => panic!("no task is called {other}"),
        };
        println!("{nanoseconds}");
        std::io::stdout().flush().expect("the answer is read");
    }
}

fn visit<T>(call: impl Fn() -> T) -> u128 {
    let start = cpu_time();
    let mut times = Vec::new();
    while times.len() < CALLS_MIN || cpu_time() - start < VISIT {
        let before = cpu_time();
        std::hint::black_box(call());
        times.push((cpu_time() - before).as_nanos());
    }
    times.sort_unstable();
    times[times.len() / 4]
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn open(path: &Path) -> Instance {
    let bytes = std::fs::read(path).expect("an input that benches/peers/series.py made");
    Instance::read(&bytes.into(), &Limits::default()).expect("a readable input")
}

/// Each file is read once and held until the volume is there.
fn load(folder: &Path, threads: usize) -> Volume {
    let files = std::fs::read_dir(folder).expect("a series").map(|entry| entry.expect("an entry").path());
    let instances = files.map(|path| Arc::new(open(&path)));
    let held: BTreeMap<Uid, Arc<Instance>> =
        instances.map(|instance| (instance.header().sop_instance.clone(), instance)).collect();
    let sorted = stacks(&held.values().map(|instance| instance.header()).collect::<Vec<_>>());
    let read = |uid: &Uid| Ok(Arc::clone(&held[uid]));
    volume(&Decoder::in_process(), &sorted.stacks[0], read, threads).expect("a volume")
}

fn resampled(source: &Volume, spacing: &str, threads: usize) -> [usize; 3] {
    let numbers: Vec<f64> = spacing.split(' ').map(|mm| mm.parse().expect("millimetres")).collect();
    let grid = source.stack.grid().with_spacing(numbers.try_into().expect("three spacings"));
    std::hint::black_box(source.resample(&grid, -1024.0, threads).expect("a volume"));
    grid.size
}
