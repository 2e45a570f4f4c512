//! Decoding and the value pipeline, in CPU time: by transfer syntax, for a CT slice and a radiograph.
//!
//! `make bench-peers` makes the inputs in target/bench-pixels and compares with others; `cargo bench --bench pixels` then
//! measures what is ours. CPU time leaves out what other processes on the machine take, but not what they do to caches.
//! Within the clock: from a vetted instance in memory to a frame of samples, its buffer allocated anew each time.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench talks to the terminal and may stop"
)]

mod alone;
mod series;
mod worker;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use overread::dicom::{Decoder, Decoders, Instance, Limits};

/// CPU time of the process: some decoders start threads.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time()
    }
    fn end(&self, start: Duration) -> Duration {
        cpu_time() - start
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn inputs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench-pixels")
}

fn open(path: &std::path::Path) -> Instance {
    let bytes = Bytes::from(std::fs::read(path).expect("an input that benches/peers/inputs.py made"));
    Instance::read(&bytes, &Limits::default()).expect("a readable input")
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().position(|arg| arg == "--worker" || arg == "--series") {
        Some(at) if args[at] == "--worker" => return worker::run(args.get(at + 1).map_or("", String::as_str)),
        Some(_) => return series::run(&inputs().join("series")),
        None => {}
    }
    if !inputs().join("series").exists() {
        println!("there are no inputs in {}; make bench-peers makes them", inputs().display());
        return;
    }
    // As the service does: else every frame's pages would be faulted in anew.
    overread::infer::prepare_process();
    let mut criterion = Criterion::default().with_measurement(CpuTime).sample_size(10).configure_from_args();
    decoding(&mut criterion);
    pipeline(&mut criterion);
    criterion.final_summary();
    series::in_a_process();
}

/// Every input, by both sets of decoders.
fn decoding(criterion: &mut Criterion<CpuTime>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(inputs())
        .expect("a folder of inputs")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dcm"))
        .collect();
    paths.sort();
    for path in paths {
        let instance = open(&path);
        let header = instance.header();
        let bytes = header.frame_pixels() as u64 * u64::from(header.bits_allocated / 8);
        for decoders in [Decoders::Fastest, Decoders::Rust] {
            if instance.frame_with(0, decoders).is_err() {
                continue;
            }
            let mut group = criterion.benchmark_group(format!("decode {decoders:?}"));
            group.throughput(Throughput::Bytes(bytes));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            group.bench_function(name, |bencher| bencher.iter(|| black_box(instance.frame_with(0, decoders))));
        }
    }
}

/// Native frames to display values (two bytes a pixel in, four out), beside copies of as many bytes as go in and as come out.
fn pipeline(criterion: &mut Criterion<CpuTime>) {
    for name in ["ct_native", "cr_native"] {
        let instance = open(&inputs().join(format!("{name}.dcm")));
        let pixels = instance.header().frame_pixels();
        let mut group = criterion.benchmark_group("values");
        group.throughput(Throughput::Elements(pixels as u64));
        for (what, bytes) in [("stored", 2 * pixels), ("display", 4 * pixels)] {
            let (from, mut to) = (vec![7u8; bytes], vec![0u8; bytes]);
            group.bench_function(format!("{name} copy of {what} values"), |bencher| {
                bencher.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
            });
        }
        group.bench_function(format!("{name} to display values"), |bencher| {
            bencher.iter(|| black_box(overread::pixel::image(&Decoder::in_process(), &instance, 0)));
        });
    }
}
