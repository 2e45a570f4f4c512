//! What a decode worker costs: the same frame decoded in this process and in a worker, one after the other.
//!
//! `cargo bench --bench decode [-- FILE ...]`: DICOM files, of 2000 x 2000 pixels for figures to compare; the default are the
//! public test files. Times are of the fastest of interleaved rounds, and processor time (both processes) is the mean: on a
//! machine that does other things too, that one holds. A ratio of 1.1 means that a worker costs a tenth.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench talks to the terminal and may stop")]
use std::path::PathBuf;
use std::time::{Duration, Instant};

use overread::dicom::{DecodeConfig, Decoder, Instance, Limits};

const CASE: Duration = Duration::from_secs(6);
const ROUNDS_MIN: u32 = 7;

/// What one way of decoding took.
#[derive(Clone, Copy)]
struct Taken {
    fastest: Duration,
    processor: Duration,
    rounds: u32,
}

fn main() {
    // The service's own allocator settings: without them every frame would pay for fresh pages.
    overread::infer::prepare_process();
    let named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).map(PathBuf::from);
    let mut files: Vec<PathBuf> = named.collect();
    if files.is_empty() {
        let public = |name: &str| PathBuf::from("third_party/testdata").join(name);
        files = ["RG1_J2KR.dcm", "RG1_J2KI.dcm", "color3d_jpeg_baseline.dcm"].map(public).into();
    }
    let program = env!("CARGO_BIN_EXE_overread").into();
    let there = Decoder::new(&DecodeConfig { program, workers: 1, ..DecodeConfig::default() }).expect("a decoder");
    let begun = Instant::now();
    there.start().expect("a worker");
    println!("first worker ready after {:.0} ms", ms(begun.elapsed()));
    println!(
        "{:33} {:>14}  {:>10} {:>9} {:>6}  {:>13} {:>9} {:>6}",
        "transfer syntax", "rows x columns", "here ms", "worker ms", "ratio", "processor: ms", "worker ms", "ratio"
    );
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else {
            println!("{} is not here", file.display());
            continue;
        };
        let instance = Instance::read(&bytes.into(), &Limits::default()).expect("an image");
        let [here, there] = rounds(&instance, [&Decoder::in_process(), &there]);
        let (header, processor) = (instance.header(), |taken: Taken| ms(taken.processor) / f64::from(taken.rounds));
        println!(
            "{:33} {:>14}  {:>10.2} {:>9.2} {:>6.3}  {:>13.2} {:>9.2} {:>6.3}",
            instance.transfer_syntax().name,
            format!("{} x {}", header.rows, header.columns),
            ms(here.fastest),
            ms(there.fastest),
            there.fastest.as_secs_f64() / here.fastest.as_secs_f64(),
            processor(here),
            processor(there),
            processor(there) / processor(here),
        );
    }
}

fn rounds(instance: &Instance, decoders: [&Decoder; 2]) -> [Taken; 2] {
    let mut taken = [Taken { fastest: Duration::MAX, processor: Duration::ZERO, rounds: 0 }; 2];
    for decoder in decoders {
        decoder.frame(instance, 0).expect("a frame");
    }
    let begun = Instant::now();
    while begun.elapsed() < CASE || taken[0].rounds < ROUNDS_MIN {
        for (decoder, taken) in decoders.iter().zip(&mut taken) {
            let (processor, begun) = (processor_time(), Instant::now());
            let frame = decoder.frame(instance, 0).expect("a frame");
            taken.fastest = taken.fastest.min(begun.elapsed());
            taken.processor += processor_time() - processor;
            taken.rounds += 1;
            std::hint::black_box(frame.samples.len());
        }
    }
    taken
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
