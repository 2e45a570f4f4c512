//! The promise: what a peer stores is durable before it hears so, becomes findings, and every refusal has the status that tells it what to do.
use overread::{gate::grpc::client::Client, ledger::State, uid::Uid};

use crate::{
    address,
    peer::{Peer, Request},
    start,
    support::{dicom::cr, server::ServerProcess},
};

const SEAL: &str = r#"dimse.peers=[{calling="ABUSE", address="127.0.0.0/8", seal_on_release=true}]"#;

/// Waits until the study has a report.
pub async fn reported(server: &ServerProcess, study: &str) -> overread::finding::Report {
    let client = Client::connect(&server.url).await.expect("the server answers");
    let study = Uid::parse(study).expect("a UID");
    loop {
        let studies = client.studies().await.expect("studies are listed");
        let found = studies.iter().find(|listed| listed.study == study);
        if found.is_some_and(|listed| listed.state == State::Reported) {
            return client.report(&study, None).await.expect("the report is there");
        }
        // There is no event to wait for without a call of one's own; a test that never ends is stopped by its runner.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_study_that_is_released_becomes_findings_and_is_the_same_when_it_comes_again() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &[SEAL, "study.quiet_period_s=100000"]);
    let made = cr(300, 260, 5);
    let mut peer = Peer::accepted(address(&server));
    assert_eq!(peer.store(&made), "status 0000");
    assert_eq!(peer.release(), "release");
    let report = reported(&server, &made.study).await;
    assert!(report.findings.iter().any(|finding| finding.label == "bright"), "the model's label is missing");
    let mut again = Peer::accepted(address(&server));
    assert_eq!(again.store(&made), "status 0000");
    assert_eq!(again.release(), "release");
    let report = reported(&server, &made.study).await;
    assert_eq!(report.revision, 1, "a duplicate made a new revision");
    assert!(server.log().contains("by=\"association_release\""), "{}", server.log());
    assert!(server.terminate().success());
}

#[test]
fn other_bytes_under_the_same_uid_are_a_conflict_and_another_patient_is_refused() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &[]);
    let mut peer = Peer::accepted(address(&server));
    let mut made = cr(8, 8, 6);
    assert_eq!(peer.store(&made), "status 0000");
    made.pixels[0] ^= 1;
    assert_eq!(peer.store(&made), "status 0111");
    made.sop_instance = "2.25.77".to_owned();
    made.patient_id = "ANOTHER".to_owned();
    assert_eq!(peer.store(&made), "status C000");
    assert_eq!(peer.release(), "release");
}

#[test]
fn a_disk_that_is_full_to_its_reserve_is_a700_and_the_association_goes_on() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &["ledger.storage_free_bytes_min=4611686018427387904"]);
    let mut peer = Peer::accepted(address(&server));
    assert_eq!(peer.store(&cr(8, 8, 7)), "status A700");
    assert_eq!(peer.echo(), "status 0000");
}

#[test]
fn an_instance_above_the_limit_is_refused_and_passed_over() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &["dicom.instance_bytes_max=20000"]);
    let mut peer = Peer::accepted(address(&server));
    assert_eq!(peer.store(&cr(200, 200, 8)), "status C000");
    assert_eq!(peer.store(&cr(8, 8, 8)), "status 0000");
}

#[test]
fn memory_that_others_hold_is_a700_and_comes_back() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let limits = ["dicom.instance_bytes_max=262144", "dimse.transfer_bytes_max=262144", "dimse.transfer_wait_s=1"];
    let server = start(home.path(), &limits);
    let (mut holds, made) = (Peer::accepted(address(&server)), cr(300, 300, 9));
    let bytes = crate::peer::data_set(&made);
    holds.send(&crate::peer::data(1, 3, &crate::peer::command(1, crate::peer::CR, &made.sop_instance, true)));
    let (most, rest) = bytes.split_at(150_000);
    most.chunks(16_000).for_each(|part| holds.send(&crate::peer::data(1, 0, part)));
    // Read up to here: an answer of another association comes after what was sent before.
    assert_eq!(Peer::accepted(address(&server)).echo(), "status 0000");
    let mut other = Peer::accepted(address(&server));
    let heard = other.store(&cr(300, 300, 10));
    rest.chunks(16_000).enumerate().for_each(|(index, part)| {
        holds.send(&crate::peer::data(1, if (index + 1) * 16_000 >= rest.len() { 2 } else { 0 }, part));
    });
    let first = holds.hear();
    // Whichever of the two came second to the memory was refused for now; then there is room for both.
    assert!(["status 0000", "status A700"].contains(&heard.as_str()), "{heard}");
    assert!([heard, first].contains(&"status A700".to_owned()), "both fitted: the bound does not hold");
    assert_eq!(other.store(&cr(300, 300, 11)), "status 0000");
}

#[test]
fn who_is_not_in_the_rules_is_rejected() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &[r#"dimse.peers=[{calling="CT1"}, {calling="ABUSE", address="192.0.2.1"}]"#]);
    let (_, heard) = Peer::associate(address(&server), &Request::default());
    assert_eq!(heard, "reject 1 1 3");
    let (_, heard) =
        Peer::associate(address(&server), &Request { calling: *b"CT1             ", ..Request::default() });
    assert_eq!(heard, "accept");
}
