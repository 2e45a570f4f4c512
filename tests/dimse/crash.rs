//! The promise: whatever a peer was told is stored survives SIGKILL, and what it was not told it can send again.
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
};

use overread::{
    ledger::{self, Ledger},
    uid::Uid,
};

use crate::{
    address,
    peer::Peer,
    start,
    support::dicom::{Cr, cr},
};

const LIVES: usize = 6;
const PEERS: u64 = 4;
/// Answers of one life, all peers together, after which the server is killed.
const ANSWERS: [usize; LIVES] = [1, 9, 23, 4, 40, 15];

fn image(peer: u64, number: u64) -> Cr {
    let mut made = cr(40, 48, peer * 1000 + number);
    made.study = format!("2.25.9{peer}");
    made.patient_id = format!("CRASH-{peer}");
    made
}

/// Sends the images of one peer from `from` on until the server is gone; gives the numbers that were acknowledged.
fn send(to: &str, peer: u64, from: u64, answers: &AtomicUsize, enough: &std::sync::mpsc::SyncSender<()>) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let mut association = Peer::accepted(to);
    for number in from.. {
        if association.store(&image(peer, number)) != "status 0000" {
            return acknowledged;
        }
        acknowledged.push(number);
        if answers.fetch_sub(1, Ordering::SeqCst) == 1 {
            enough.send(()).expect("the test waits");
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_any_kill_and_the_rest_can_be_sent_again() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut acknowledged: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); PEERS as usize];
    for life in ANSWERS {
        let server = start(home.path(), &["log.level=error"]);
        let (answers, (enough, wait)) = (Arc::new(AtomicUsize::new(life)), sync_channel(1));
        let to = address(&server).to_owned();
        let peers: Vec<_> = (0..PEERS)
            .map(|peer| {
                let (to, answers, enough) = (to.clone(), Arc::clone(&answers), enough.clone());
                // From the last one that was acknowledged: that one again, then what may have been lost.
                let from = acknowledged[peer as usize].last().copied().unwrap_or(0);
                std::thread::spawn(move || send(&to, peer, from, &answers, &enough))
            })
            .collect();
        wait.recv().expect("the peers go on until the kill");
        server.kill();
        for (peer, thread) in peers.into_iter().enumerate() {
            acknowledged[peer].extend(thread.join().expect("a peer ends in order"));
        }
    }
    let (ledger, _) = Ledger::open(&home.path().join("data"), &ledger::Config::default()).expect("the ledger opens");
    let mut kept = BTreeSet::new();
    for row in ledger.studies(ledger::StudyFilter::default(), 1000).await.expect("studies are listed") {
        for instance in ledger.instances(&row.study, row.revision).await.expect("instances are listed") {
            ledger.read(&instance).await.expect("the bytes are those of the digest");
            assert!(kept.insert(instance.sop_instance.clone()), "{} is there twice", instance.sop_instance);
        }
    }
    let told: usize = acknowledged.iter().map(BTreeSet::len).sum();
    assert!(told >= ANSWERS.iter().sum::<usize>() / 2, "too few answers ({told}) to prove anything");
    for (peer, numbers) in acknowledged.iter().enumerate() {
        for number in numbers {
            let uid = Uid::parse(&image(peer as u64, *number).sop_instance).expect("a UID");
            assert!(kept.contains(&uid), "{uid} was acknowledged and is lost");
        }
    }
    ledger.close().await.expect("the ledger closes");
}

#[test]
fn a_kill_between_the_last_fragment_and_the_response_loses_nothing_that_is_sent_again() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let made = cr(40, 48, 1);
    for _ in 0..3 {
        let server = start(home.path(), &["log.level=error"]);
        let mut peer = Peer::accepted(address(&server));
        peer.send_store(&made);
        server.kill();
    }
    let server = start(home.path(), &[]);
    let mut peer = Peer::accepted(address(&server));
    assert_eq!(peer.store(&made), "status 0000", "the same bytes are no conflict, stored or not");
}
