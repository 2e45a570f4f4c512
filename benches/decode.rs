//! What a decode worker costs: the same frame decoded in this process and in a worker, one after the other.
//!
//! `cargo bench --bench decode [-- FILE ...]`: DICOM files; the default are those of 2000 x 2000 pixels that `make bench-peers`
//! makes in target/bench-pixels/square. Wall time and processor time (of both processes) of a frame, as medians of interleaved
//! rounds; the ratio is taken within the round, with its quartiles. A ratio of 1.1 means that a worker costs a tenth.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench talks to the terminal and may stop")]
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use overread::dicom::{DecodeConfig, Decoder, Instance, Limits};

const CASE: Duration = Duration::from_secs(6);
const ROUNDS_MIN: usize = 9;

/// What one way of decoding took, a round each: wall time, and processor time of this process and all below it; milliseconds.
#[derive(Default)]
struct Taken {
    wall: Vec<f64>,
    processor: Vec<f64>,
}

fn main() -> ExitCode {
    // The service's own allocator settings: without them every frame would pay for fresh pages.
    overread::infer::prepare_process();
    // Its own worker: in another program, the same decoder may be laid out otherwise, which is worth a tenth either way.
    if std::env::args().nth(1).is_some_and(|arg| arg == "decode-worker") {
        return overread::dicom::run_worker();
    }
    let named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).map(PathBuf::from);
    let mut files: Vec<PathBuf> = named.collect();
    if files.is_empty() {
        files = squares();
    }
    let program = "/proc/self/exe".into();
    let there = Decoder::new(&DecodeConfig { program, workers: 1, ..DecodeConfig::default() }).expect("a decoder");
    let begun = Instant::now();
    there.start().expect("a worker");
    println!("first worker ready after {:.0} ms", ms(begun.elapsed()));
    println!(
        "{:22} {:>14} {:>6}  {:>9} {:>22}  {:>13} {:>22}",
        "file", "rows x columns", "rounds", "wall: ms", "with a worker", "processor: ms", "with a worker"
    );
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else {
            println!("{} is not here", file.display());
            continue;
        };
        let instance = Instance::read(&bytes.into(), &Limits::default()).expect("an image");
        let [here, there] = rounds(&instance, [&Decoder::in_process(), &there]);
        let header = instance.header();
        println!(
            "{:22} {:>14} {:>6}  {:>9.2} {:>22}  {:>13.2} {:>22}",
            file.file_stem().unwrap_or_default().to_string_lossy(),
            format!("{} x {}", header.rows, header.columns),
            here.wall.len(),
            quartiles(&here.wall)[1],
            ratios(&here.wall, &there.wall),
            quartiles(&here.processor)[1],
            ratios(&here.processor, &there.processor),
        );
    }
    ExitCode::SUCCESS
}

/// The inputs that `benches/peers/inputs.py` makes.
fn squares() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench-pixels/square");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("there are no inputs in {}; make bench-peers makes them", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn rounds(instance: &Instance, decoders: [&Decoder; 2]) -> [Taken; 2] {
    let mut taken = [Taken::default(), Taken::default()];
    for decoder in decoders {
        decoder.frame(instance, 0).expect("a frame");
    }
    let begun = Instant::now();
    while begun.elapsed() < CASE || taken[0].wall.len() < ROUNDS_MIN {
        for (decoder, taken) in decoders.iter().zip(&mut taken) {
            let (processor, begun) = (processor_time(), Instant::now());
            let frame = decoder.frame(instance, 0).expect("a frame");
            taken.wall.push(ms(begun.elapsed()));
            taken.processor.push(ms(processor_time() - processor));
            std::hint::black_box(frame.samples.len());
        }
    }
    taken
}

fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}

fn ratios(here: &[f64], there: &[f64]) -> String {
    let ratios: Vec<f64> = here.iter().zip(there).map(|(here, there)| there / here).collect();
    let [low, middle, high] = quartiles(&ratios);
    format!("{middle:.3} ({low:.3}-{high:.3})")
}

/// Processor time of this process and of all below it. Those sleep when it is asked, so that their scheduler statistics are whole.
fn processor_time() -> Duration {
    let own = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let own = Duration::new(own.tv_sec.unsigned_abs(), u32::try_from(own.tv_nsec).expect("below a second"));
    let children = |pid: u32| {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    let nurseries = children(std::process::id());
    let family: Vec<u32> = nurseries.iter().copied().chain(nurseries.iter().copied().flat_map(children)).collect();
    let nanoseconds = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        stat.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0)
    };
    own + Duration::from_nanos(family.iter().map(nanoseconds).sum())
}

fn ms(time: Duration) -> f64 {
    1000.0 * time.as_secs_f64()
}
