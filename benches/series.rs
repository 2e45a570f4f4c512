//! A CT of 324 slices of 512 x 512 from the sender's first byte to the report, through the real binary, and how much of that is the model.
//!
//! `cargo bench --bench series [-- SLICES]`. The models are the tests' own (a formula over each slice, a threshold over the volume), so that
//! what is left is everything but the model: ingest, headers, decoding, the volume, its tensors, heatmaps and mask, the report.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench talks to the terminal and may stop"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use overread::{
    gate::grpc::client::{Client, Event, Update},
    uid::Uid,
};
use support::{
    ct::{Scan, scan},
    server,
};
use tokio::sync::mpsc;

/// Beside the public figures of services that read a CT of this size: refs in docs/benchmarks.md.
const PUBLIC_S: [u64; 2] = [26, 48];

/// When each part of the way was over, from the sender's first byte.
#[derive(Default)]
struct Times {
    sealed: Duration,
    planned: Duration,
    finding: Duration,
    reported: Duration,
}

fn main() {
    let slices = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(324);
    let chest = Scan {
        slices,
        rows: 512,
        columns: 512,
        spacing_mm: [1.0, 0.7, 0.7],
        origin_mm: [-179.0, -179.0, -500.0],
        ball_mm: Some(([30.0, -20.0, -400.0], 15.0)),
        ..scan(324)
    };
    let files: Vec<Bytes> = chest.files().into_iter().map(Bytes::from).collect();
    let bytes: usize = files.iter().map(Bytes::len).sum();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for model in ["tiny-slices", "tiny-volume"] {
        runtime.block_on(run(&chest, &files, bytes, model));
    }
}

async fn run(chest: &Scan, files: &[Bytes], bytes: usize, model: &str) {
    let home = tempfile::tempdir().expect("a folder");
    let models = home.path().join("models");
    std::fs::create_dir(&models).expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/series").join(model);
    std::os::unix::fs::symlink(source, models.join(model)).expect("a link");
    let process = server::start(&home.path().join("data"), &models, &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    let before = peak_bytes(process.pid());
    let times = send(&client, files.to_vec()).await;
    let report = client.report(&Uid::parse(&chest.study).expect("a UID"), None).await.expect("a report");
    assert!(report.not_analysed.is_empty(), "{:?}", report.not_analysed);
    let peak = peak_bytes(process.pid());
    // Runs on several lanes overlap: the model took at most this long.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model_s = report.findings.first().map_or(0.0, |f| f.provenance.inference_us as f64 / 1e6);
    let of = |until: Duration, from: Duration| (until.saturating_sub(from)).as_secs_f64();
    let total = times.reported.as_secs_f64();
    println!(
        "{model}: {} slices of {} x {}, {} MB, {cores} cores: {total:.2} s in all\n  \
         ingest {:.2} s; headers and plan {:.2} s; decode, volume, tensors, model, readings {:.2} s; heatmaps, mask, report {:.2} s\n  \
         model itself {model_s:.2} s of one core's time; without it {:.2} s at most ({:.0} to {:.0} times less than {} to {} s)\n  \
         peak {} MB, {} MB before: {:.2} of the f32 volume ({} MB)",
        chest.slices,
        chest.rows,
        chest.columns,
        bytes >> 20,
        of(times.sealed, Duration::ZERO),
        of(times.planned, times.sealed),
        of(times.finding, times.planned),
        of(times.reported, times.finding),
        total - model_s / cores as f64,
        PUBLIC_S[0] as f64 / total,
        PUBLIC_S[1] as f64 / total,
        PUBLIC_S[0],
        PUBLIC_S[1],
        peak >> 20,
        before >> 20,
        (peak - before) as f64 / volume_bytes(chest) as f64,
        volume_bytes(chest) >> 20,
    );
    assert!(process.terminate().success());
}

fn volume_bytes(chest: &Scan) -> usize {
    4 * usize::from(chest.slices) * usize::from(chest.rows) * usize::from(chest.columns)
}

async fn send(client: &Client, files: Vec<Bytes>) -> Times {
    let (sender, receiver) = mpsc::channel(2);
    let began = Instant::now();
    let sending = tokio::spawn(async move {
        for file in files {
            sender.send(file).await.expect("the call takes it");
        }
    });
    let mut analysis = client.analyze(receiver).await.expect("the call begins");
    let mut times = Times::default();
    while let Some(update) = analysis.next().await.expect("the call goes on") {
        let now = began.elapsed();
        if let Update::Event(event) = update {
            match event.event {
                Event::Sealed { .. } => times.sealed = now,
                Event::TargetPlanned { .. } => times.planned = now,
                Event::Finding(_) => times.finding = now,
                Event::Reported => times.reported = now,
                Event::NotAnalysed { reason, .. } => panic!("{reason:?}"),
                Event::TargetStarted { .. }
                | Event::Progress { .. }
                | Event::Heatmap { .. }
                | Event::Segmentation { .. }
                | Event::Quarantined(_)
                | Event::Refused
                | Event::Deleted => {}
            }
        }
    }
    sending.await.expect("all was sent");
    times
}

/// Most memory that the process has held, as the kernel counts it.
fn peak_bytes(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") * 1024
}
