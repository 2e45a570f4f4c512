//! The promise: the peers that hospitals have can send: DCMTK's tools, and pynetdicom.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use overread::{
    dicom::{Instance, Limits},
    ledger::{self, Ledger},
};

use crate::{
    port, start,
    storing::reported,
    support::{corpus, dicom::cr},
};

const SEAL: &str = "dimse.peers=[{seal_on_release=true}]";

/// Whether a program is installed; else says what is skipped.
pub fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        corpus::Tally::skip(&format!("{program} is not installed (Debian: dcmtk)"));
    }
    found
}

/// DCMTK's tool, told to give up: its own times have no end.
fn dcmtk(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(["-to", "10", "-ta", "20", "-td", "60", "-aec", "OVERREAD"]).args(args);
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dcmtk_echoes_and_stores_and_the_study_becomes_findings() {
    if !has("echoscu") || !has("storescu") {
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &[SEAL, "study.quiet_period_s=100000"]);
    let echo = dcmtk("echoscu", &["127.0.0.1", port(&server)]);
    assert!(echo.status.success(), "{}", text(&echo));
    let (made, file) = (cr(300, 260, 21), home.path().join("image.dcm"));
    std::fs::write(&file, made.bytes()).expect("a file");
    let file = file.to_str().expect("a path");
    let stored = dcmtk("storescu", &["-v", "127.0.0.1", port(&server), file]);
    assert!(stored.status.success() && text(&stored).contains("(Success)"), "{}", text(&stored));
    let report = reported(&server, &made.study).await;
    assert!(report.findings.iter().any(|finding| finding.label == "bright"));
    let wrong = Command::new("echoscu").args(["-aec", "NOBODY", "127.0.0.1", port(&server)]).output().expect("echoscu");
    assert!(text(&wrong).contains("Called AE Title Not Recognized"), "{}", text(&wrong));
    assert!(!server.log().contains("Generated^Person"));
    assert!(server.terminate().success());
}

/// What storescu is told so that it proposes a transfer syntax: it has no word for the others.
const PROPOSE: &[(&str, &str)] = &[
    ("1.2.840.10008.1.2", "-xi"),
    ("1.2.840.10008.1.2.1", "-xe"),
    ("1.2.840.10008.1.2.2", "-xb"),
    ("1.2.840.10008.1.2.1.99", "-xd"),
    ("1.2.840.10008.1.2.5", "-xr"),
    ("1.2.840.10008.1.2.4.50", "-xy"),
    ("1.2.840.10008.1.2.4.51", "-xx"),
    ("1.2.840.10008.1.2.4.70", "-xs"),
    ("1.2.840.10008.1.2.4.80", "-xt"),
    ("1.2.840.10008.1.2.4.81", "-xu"),
    ("1.2.840.10008.1.2.4.90", "-xv"),
    ("1.2.840.10008.1.2.4.91", "-xw"),
];

/// One public file of each transfer syntax that storescu proposes and `Instance::read` takes.
fn one_of_each(folder: &Path) -> BTreeMap<&'static str, PathBuf> {
    let (mut found, mut uids) = (BTreeMap::new(), BTreeSet::new());
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let path = entry.expect("an entry").into_path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let Ok(instance) = Instance::read(&bytes.into(), &Limits::default()) else { continue };
        let syntax = instance.transfer_syntax().uid;
        // Some are one image in several transfer syntaxes: under one UID that would be a conflict.
        let first = uids.insert(instance.header().sop_instance.clone());
        if first && PROPOSE.iter().any(|(uid, _)| *uid == syntax) {
            found.entry(syntax).or_insert(path);
        }
    }
    found
}

/// Each file as it is: the server must accept its transfer syntax, and keep it.
async fn stores_as_it_is(folder: &Path, syntaxes_min: usize) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &[]);
    let files = one_of_each(folder);
    assert!(files.len() >= syntaxes_min, "files of only {:?}", files.keys());
    for (syntax, file) in &files {
        let (_, propose) = PROPOSE.iter().find(|(uid, _)| uid == syntax).expect("a row");
        let file = file.to_str().expect("a path");
        let stored = dcmtk("storescu", &["-v", "-R", propose, "127.0.0.1", port(&server), file]);
        assert!(stored.status.success() && text(&stored).contains("(Success)"), "{syntax}: {}", text(&stored));
    }
    assert!(server.terminate().success());
    let (ledger, _) = Ledger::open(&home.path().join("data"), &ledger::Config::default()).expect("the ledger opens");
    let mut kept = BTreeSet::new();
    for row in ledger.studies(ledger::StudyFilter::default(), 1000).await.expect("studies are listed") {
        for instance in ledger.instances(&row.study, row.revision).await.expect("instances are listed") {
            let bytes = ledger.read(&instance).await.expect("the bytes are there");
            kept.insert(Instance::read(&bytes, &Limits::default()).expect("it reads again").transfer_syntax().uid);
        }
    }
    assert_eq!(kept, files.keys().copied().collect(), "another transfer syntax than was sent");
    println!("stored as they are: {kept:?}");
    ledger.close().await.expect("the ledger closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dcmtk_stores_compressed_files_as_they_are() {
    if !has("storescu") {
        return;
    }
    match corpus::public("RG1_UNCI.dcm").and_then(|file| file.parent().map(Path::to_owned)) {
        Some(folder) => stores_as_it_is(&folder, 8).await,
        None => corpus::Tally::skip("public test data (scripts/setup)"),
    }
}

#[test]
fn pynetdicom_stores_and_hears_the_comment_of_a_refusal() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/venv/bin/python");
    let can = Command::new(&python).args(["-c", "import pynetdicom"]).output().is_ok_and(|run| run.status.success());
    if !can {
        return corpus::Tally::skip("pynetdicom is not in third_party/venv (scripts/setup)");
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &[]);
    let mut made = cr(64, 64, 22);
    std::fs::write(home.path().join("a.dcm"), made.bytes()).expect("a file");
    made.pixels[0] ^= 1;
    std::fs::write(home.path().join("b.dcm"), made.bytes()).expect("a file");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dimse/store.py");
    let run = Command::new(&python).arg(script).arg(port(&server)).arg(home.path()).output().expect("Python runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["echo 0000", "a.dcm 0000 -", "b.dcm 0111 UID_CONFLICT", "released"],
        "{}",
        text(&run)
    );
}
