//! The promise: a radiograph walks the whole path through the real binary, and nothing that names a patient leaves a trace.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::path::Path;

use bytes::Bytes;
use overread::{
    error::{Code, Subject},
    finding::Outcome,
    gate::grpc::client::{self, Client, Event, HeatmapFormat, Update},
    ledger::State,
    uid::Uid,
};
use support::{
    dicom::{Cr, cr},
    server,
};
use tokio::sync::mpsc;

/// What must not be found anywhere but in the packs, which hold the source bytes.
const SECRETS: [&str; 3] = ["Secretive", "HIDDEN-ID-77", "19610203"];

fn models() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models")
}

fn radiograph(seed: u64, patient_id: &str) -> Cr {
    let mut made = cr(300, 260, seed);
    made.study = "2.25.4711".to_owned();
    made.patient_id = patient_id.to_owned();
    made.patient_name = "Secretive^Person".to_owned();
    made.extra = support::dicom::element(0x0010, 0x0030, "DA", b"19610203");
    made
}

async fn analyze(client: &Client, instances: Vec<Bytes>) -> Vec<Update> {
    let (sender, receiver) = mpsc::channel(instances.len().max(1));
    for instance in instances {
        sender.send(instance).await.expect("there is room");
    }
    drop(sender);
    let mut analysis = client.analyze(receiver).await.expect("the call begins");
    let mut updates = Vec::new();
    while let Some(update) = analysis.next().await.expect("the call goes on") {
        updates.push(update);
    }
    updates
}

fn place(updates: &[Update], wanted: impl Fn(&Event) -> bool) -> Option<usize> {
    updates.iter().position(|update| matches!(update, Update::Event(event) if wanted(&event.event)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_radiograph_becomes_findings_with_heatmaps_and_leaves_no_name_behind() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let process = server::start(&data, &models(), &["log.level=trace", "analysis.experimental=true"]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    let good = Bytes::from(radiograph(1, SECRETS[1]).bytes());
    let mut report_object = radiograph(2, SECRETS[1]);
    report_object.sop_class = "1.2.840.10008.5.1.4.1.1.88.33".to_owned();
    let whole = Bytes::from(radiograph(4, SECRETS[1]).bytes());
    let cut = whole.slice(..whole.len() / 2);
    // Half of the good one, too: it comes whole as well, so nothing of it is lost.
    let made_good = good.slice(..good.len() / 2);
    let other_patient = Bytes::from(radiograph(3, "SOMEBODY-ELSE").bytes());
    let no_dicom = Bytes::from_static(b"no DICOM");
    let sent = vec![good.clone(), Bytes::from(report_object.bytes()), cut, other_patient, no_dicom, made_good];
    let updates = analyze(&client, sent).await;

    let codes: Vec<_> = updates
        .iter()
        .filter_map(|update| match update {
            Update::Receipt(receipt) => Some(match &receipt.outcome {
                client::Outcome::Stored => None,
                client::Outcome::Duplicate => panic!("nothing was sent twice"),
                client::Outcome::Conflict(error) | client::Outcome::Refused(error) => Some(error.code),
            }),
            Update::Event(_) => None,
        })
        .collect();
    let wanted = [Code::UnsupportedSopClass, Code::Truncated, Code::PatientMismatch, Code::NotDicom, Code::Truncated];
    assert_eq!(codes[0], None);
    assert_eq!(codes[1..].iter().map(|code| code.expect("refused")).collect::<Vec<_>>(), wanted);

    // In the order of the path; the first finding comes before the last heatmap.
    let sealed = place(&updates, |event| matches!(event, Event::Sealed { .. })).expect("sealed");
    let planned = place(&updates, |event| matches!(event, Event::TargetPlanned { .. })).expect("planned");
    let first_finding = place(&updates, |event| matches!(event, Event::Finding(_))).expect("a finding");
    let last_heatmap = updates
        .iter()
        .rposition(|update| matches!(update, Update::Event(event) if matches!(event.event, Event::Heatmap { .. })))
        .expect("a heatmap");
    let reported = place(&updates, |event| *event == Event::Reported).expect("reported");
    assert!(sealed < planned && planned < first_finding && first_finding < last_heatmap && last_heatmap < reported);
    assert_eq!(reported, updates.len() - 1);

    let study = Uid::parse("2.25.4711").expect("a UID");
    let report = client.report(&study, None).await.expect("the report");
    assert_eq!(report.findings.len(), 2);
    assert_eq!(report.findings.iter().map(|f| f.experimental).collect::<Vec<_>>(), [false, true]);
    let reasons: Vec<_> = report.not_analysed.iter().map(|entry| entry.code).collect();
    assert_eq!(reasons, [Code::UnsupportedSopClass, Code::Truncated, Code::PatientMismatch]);
    check_heatmaps(&client, &report).await;
    assert_eq!(client.studies().await.expect("listed")[0].state, State::Reported);

    // Sent again: the same answer at once, from what is known.
    let again = analyze(&client, vec![good]).await;
    assert!(
        matches!(&again[0], Update::Receipt(receipt) if receipt.outcome == client::Outcome::Duplicate),
        "{again:?}"
    );
    assert_eq!(place(&again, |event| *event == Event::Reported), Some(again.len() - 1));
    assert_eq!(client.report(&study, None).await.expect("the report"), report);

    let log = process.log();
    assert!(process.terminate().success());
    check_silence(&log, home.path());
}

async fn check_heatmaps(client: &Client, report: &overread::finding::Report) {
    for finding in &report.findings {
        let map =
            client.heatmap(&report.study, report.revision, &finding.uid, HeatmapFormat::Float32).await.expect("a map");
        assert_eq!((map.rows, map.columns, map.bytes.len()), (300, 260, 300 * 260 * 4));
        let values: Vec<f32> =
            map.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        let overlay = client.heatmap(&report.study, report.revision, &finding.uid, HeatmapFormat::OverlayPng).await;
        assert!(overlay.expect("an overlay").bytes.starts_with(b"\x89PNG"));
        assert_eq!(finding.region.is_some(), finding.outcome != Outcome::Negative, "{finding:?}");
    }
}

/// No line above `info` but those that this test causes, and no secret in the log, in file names, or in rows.
fn check_silence(log: &str, home: &Path) {
    assert!(log.contains("study reported"), "the log is empty");
    for line in log.lines() {
        assert!(!line.contains(" WARN ") && !line.contains(" ERROR "), "unexpected in the log: {line}");
    }
    let check = |what: &str, text: &[u8]| {
        for secret in SECRETS {
            let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{what} holds {secret}");
        }
    };
    check("the log", log.as_bytes());
    let mut looked_into = 0;
    for entry in walkdir::WalkDir::new(home) {
        let entry = entry.expect("the folder is read");
        check("a file name", entry.path().as_os_str().as_encoded_bytes());
        let is_pack = entry.path().extension().is_some_and(|extension| extension == "pack");
        if entry.file_type().is_file() && !is_pack {
            looked_into += 1;
            check(&entry.path().display().to_string(), &std::fs::read(entry.path()).expect("a file is read"));
        }
    }
    assert!(looked_into > 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_model_reads_is_said_with_the_clause() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let process = server::start(&home.path().join("data"), &models(), &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    let mut scan = radiograph(9, "X");
    scan.modality = "MG".to_owned();
    analyze(&client, vec![Bytes::from(scan.bytes())]).await;
    let study = Uid::parse("2.25.4711").expect("a UID");
    let report = client.report(&study, None).await.expect("the report");
    assert!(report.findings.is_empty());
    assert_eq!(report.not_analysed.len(), 1);
    assert_eq!(report.not_analysed[0].code, Code::NoModelApplies);
    assert_eq!(report.not_analysed[0].subject, Subject::Instance(scan.sop_instance));
    let explanation = client.explain(&study, None).await.expect("an explanation");
    assert_eq!(explanation.sealed_by.as_deref(), Some("call_end"));
    let rejection = &explanation.choices[0].rejections[0];
    assert_eq!(rejection.code, Code::WrongModality);
    assert!(rejection.detail.contains("select.modality"), "{}", rejection.detail);
    assert!(process.terminate().success());
}
