//! The promise: whatever was acknowledged survives a power cut, ends in exactly one report, and keeps its UIDs.
//!
//! The real server is killed with SIGKILL again and again, each time after a random number of things that it said to its
//! clients; it is started again over the same folder, and at the end every receipt that any client ever got is checked.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use overread::{
    error::{Code, Subject},
    finding::Report,
    gate::grpc::client::{Client, Event, Outcome, Update},
    ledger::{self, Ledger, State},
    uid::Uid,
};
use sha2::{Digest, Sha256};
use support::{dicom::cr, server};
use tokio::sync::mpsc;

const STUDIES: usize = 24;
const INSTANCES: usize = 3;
const KILLS: usize = 20;
/// More deaths than the test can cause: quarantine has a test of its own below.
const NO_QUARANTINE: &str = "analysis.attempts_max=1000";

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models")
}

/// A study of small radiographs, the same on every call.
fn study(number: usize) -> Vec<Bytes> {
    let instance = |index: usize| {
        let mut made = cr(40, 48, (number * 100 + index) as u64);
        made.study = Uid::derive(&[b"crash study", &number.to_le_bytes()]).as_str().to_owned();
        made.series = Uid::derive(&[b"crash series", &number.to_le_bytes()]).as_str().to_owned();
        made.sop_instance = Uid::derive(&[b"crash", &number.to_le_bytes(), &index.to_le_bytes()]).as_str().to_owned();
        made.patient_id = format!("CRASH-{number}");
        Bytes::from(made.bytes())
    };
    (0..INSTANCES).map(instance).collect()
}

/// What clients were told: SOP Instance UID to SHA-256 of the bytes that a receipt covers.
type Acknowledged = BTreeMap<Uid, [u8; 32]>;

/// xorshift64*: the order of kills is random, and its seed is printed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// Sends studies until the server goes away or all are sent; counts down `fuse` with everything that the server says.
async fn client(url: String, numbers: Vec<usize>, fuse: Arc<AtomicUsize>, blown: mpsc::Sender<()>) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let Ok(client) = Client::connect(&url).await else { return acknowledged };
    for number in numbers {
        let instances = study(number);
        let (sender, receiver) = mpsc::channel(1);
        let to_send = instances.clone();
        let sending = tokio::spawn(async move {
            for bytes in to_send {
                if sender.send(bytes).await.is_err() {
                    return;
                }
            }
        });
        let Ok(mut analysis) = client.analyze(receiver).await else { return acknowledged };
        while let Ok(Some(update)) = analysis.next().await {
            if let Update::Receipt(receipt) = &update {
                assert!(matches!(receipt.outcome, Outcome::Stored | Outcome::Duplicate), "{receipt:?}");
                let uid = receipt.sop_instance.clone().expect("a stored instance has a UID");
                acknowledged.insert(uid, Sha256::digest(&instances[receipt.index as usize]).into());
            }
            if fuse.fetch_sub(1, Ordering::SeqCst) == 1 {
                blown.send(()).await.expect("the test waits for the fuse");
            }
        }
        sending.abort();
    }
    acknowledged
}

/// One life of the server: three clients send, each its third of the studies from `first` on, and after `said` things said it
/// is killed, mid-sentence.
async fn live_and_die(data: &Path, first: usize, said: usize) -> Acknowledged {
    let process = server::start(data, &models(), &[NO_QUARANTINE, "log.level=warn"]);
    let (blown, mut wait_blown) = mpsc::channel(1);
    let fuse = Arc::new(AtomicUsize::new(said));
    let third = |n: usize| (0..STUDIES).map(|at| (first + at) % STUDIES).skip(n).step_by(3).collect::<Vec<_>>();
    let clients: Vec<_> =
        (0..3).map(|n| tokio::spawn(client(process.url.clone(), third(n), Arc::clone(&fuse), blown.clone()))).collect();
    drop(blown);
    // `None`: every client ended before the fuse did; then it is killed while idle.
    let _fuse = wait_blown.recv().await;
    process.kill();
    let mut acknowledged = Acknowledged::new();
    for client in clients {
        acknowledged.extend(client.await.expect("a client ends in order"));
    }
    acknowledged
}

/// Sends every study in one undisturbed life and gives the reports.
async fn reports_of_all(data: &Path) -> BTreeMap<Uid, Report> {
    let process = server::start(data, &models(), &[NO_QUARANTINE, "log.level=warn"]);
    let (blown, mut never) = mpsc::channel(1);
    client(process.url.clone(), (0..STUDIES).collect(), Arc::new(AtomicUsize::new(usize::MAX)), blown).await;
    assert!(never.recv().await.is_none());
    let client = Client::connect(&process.url).await.expect("the server answers");
    let mut reports = BTreeMap::new();
    for listed in client.studies().await.expect("studies are listed") {
        assert_eq!(listed.state, State::Reported, "{listed:?}");
        let report = client.report(&listed.study, None).await.expect("the report is there");
        reports.insert(listed.study, report);
    }
    assert!(process.terminate().success());
    reports
}

fn identities(report: &Report) -> BTreeSet<(Uid, String, u32)> {
    report.findings.iter().map(|f| (f.uid.clone(), f.label.clone(), f.probability.to_bits())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_sigkill_and_every_study_is_reported_once() {
    let seed = std::env::var("OVERREAD_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5EED_0001);
    println!("OVERREAD_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let mut acknowledged = Acknowledged::new();
    for _ in 0..KILLS {
        acknowledged.extend(live_and_die(&data, random.below(STUDIES), 1 + random.below(90)).await);
    }
    let reports = reports_of_all(&data).await;
    assert_eq!(reports.len(), STUDIES);

    let undisturbed = tempfile::tempdir().expect("a temporary folder");
    let expected = reports_of_all(&undisturbed.path().join("data")).await;
    for (study, report) in &reports {
        assert_eq!(identities(report), identities(&expected[study]), "the findings of {study} changed");
    }
    check_ledger(&data, &acknowledged).await;
}

/// Looks into the folder itself: bytes of every receipt, one report a revision.
async fn check_ledger(data: &Path, acknowledged: &Acknowledged) {
    assert!(acknowledged.len() > STUDIES, "the clients got too few receipts to prove anything");
    let (ledger, _) = Ledger::open(data, &ledger::Config::default()).expect("the ledger opens");
    let mut kept = Acknowledged::new();
    let mut ends: BTreeMap<(Uid, u32), usize> = BTreeMap::new();
    for row in ledger.studies(ledger::StudyFilter::default(), 1000).await.expect("studies are listed") {
        for instance in ledger.instances(&row.study, row.revision).await.expect("instances are listed") {
            let bytes = ledger.read(&instance).await.expect("the bytes are there");
            kept.insert(instance.sop_instance, Sha256::digest(&bytes).into());
        }
        for event in ledger.events(0, Some(&row.study), 100_000).await.expect("events are listed") {
            if event.event == ledger::Event::Reported {
                *ends.entry((row.study.clone(), event.revision)).or_default() += 1;
            }
        }
        for revision in 1..=row.revision {
            let report = ledger.report_row(&row.study, Some(revision)).await.expect("reports are read");
            let sealed = ends.contains_key(&(row.study.clone(), revision));
            assert_eq!(report.is_some(), sealed, "study {} revision {revision}", row.study);
        }
        assert!(ends.contains_key(&(row.study.clone(), row.revision)), "study {} has no report", row.study);
    }
    assert!(ends.values().all(|count| *count == 1), "{ends:?}");
    for (uid, sha256) in acknowledged {
        assert_eq!(kept.get(uid), Some(sha256), "instance {uid} was acknowledged and is lost or changed");
    }
    ledger.close().await.expect("the ledger closes");
}

/// Copies the model folders that the quarantine test needs side by side.
fn models_with_a_stuck_one(home: &Path) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let models = home.join("models");
    for (from, name) in [("models", "tiny-radiograph"), ("stuck", "tiny-stuck")] {
        for entry in walkdir::WalkDir::new(tests.join(from).join(name)) {
            let entry = entry.expect("the model folder is read");
            let to = models.join(name).join(entry.path().strip_prefix(tests.join(from).join(name)).expect("below it"));
            if entry.file_type().is_dir() {
                std::fs::create_dir_all(to).expect("a folder is made");
            } else {
                std::fs::copy(entry.path(), to).expect("a file is copied");
            }
        }
    }
    models
}

const WHITE_SEED: u64 = 7;

/// The image over which `tiny-stuck` never ends.
fn white_image() -> Bytes {
    let mut white = cr(40, 48, WHITE_SEED);
    white.pixels.fill(4000);
    white.pixels[0] = 0;
    Bytes::from(white.bytes())
}

/// Sends one image and reads what is said of its study until `wanted` is.
async fn until(url: &str, image: Bytes, wanted: impl Fn(&Event) -> bool) {
    let client = Client::connect(url).await.expect("the server answers");
    let (sender, receiver) = mpsc::channel(1);
    sender.send(image).await.expect("there is room for one");
    drop(sender);
    let mut analysis = client.analyze(receiver).await.expect("the call begins");
    while let Some(update) = analysis.next().await.expect("the call goes on") {
        match update {
            Update::Event(event) if wanted(&event.event) => return,
            Update::Event(_) | Update::Receipt(_) => {}
        }
    }
    panic!("the study ended without what was waited for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_took_the_process_down_too_often_is_quarantined_and_the_rest_is_reported() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (data, models) = (home.path().join("data"), models_with_a_stuck_one(home.path()));
    let image = white_image();
    let sets = ["analysis.attempts_max=2", "infer.lanes=2", "server.drain_s=1"];
    for life in 1..=2 {
        let process = server::start(&data, &models, &sets);
        let running = |event: &Event| matches!(event, Event::TargetStarted { model, attempt } if model == "tiny-stuck" && *attempt == life);
        until(&process.url, image.clone(), running).await;
        process.kill();
    }
    let process = server::start(&data, &models, &sets);
    until(&process.url, image.clone(), |event| *event == Event::Reported).await;
    let client = Client::connect(&process.url).await.expect("the server answers");
    let study = Uid::parse(&cr(1, 1, WHITE_SEED).study).expect("a valid UID");
    let report = client.report(&study, None).await.expect("the report is there");
    assert!(report.findings.iter().all(|f| f.provenance.model == "tiny-radiograph") && !report.findings.is_empty());
    let put_aside: Vec<_> = report.not_analysed.iter().map(|entry| (entry.code, entry.subject.clone())).collect();
    assert_eq!(put_aside, [(Code::Quarantined, Subject::Model("tiny-stuck".to_owned()))]);
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_never_ends_does_not_keep_the_service_from_stopping() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stuck");
    let process = server::start(&home.path().join("data"), &models, &["server.drain_s=1"]);
    until(&process.url, white_image(), |event| matches!(event, Event::TargetStarted { .. })).await;
    assert!(process.terminate().success());
}
