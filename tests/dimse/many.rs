//! The promise: a thousand associations may be open, one more is told to try again, and what they cost is bounded.
use crate::{
    address,
    peer::{Peer, Request},
    start,
    support::dicom::cr,
};

/// Resident memory that each idle association may add, bytes: its read buffer, its task, its negotiation.
const ASSOCIATION_BYTES_MAX: u64 = 48 << 10;

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line VmRSS");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10
}

/// This process holds the other ends.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised)
        .expect("the limit may be raised to its maximum");
}

#[test]
fn a_thousand_associations_are_open_and_one_more_is_told_to_try_again() {
    raise_file_limit();
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &["dimse.idle_s=600"]);
    let mut first = Peer::accepted(address(&server));
    assert_eq!(first.store(&cr(64, 64, 1)), "status 0000");
    let before = resident_bytes(server.pid());
    let mut peers: Vec<Peer> = (1..1000).map(|_| Peer::accepted(address(&server))).collect();
    peers.push(first);
    let each = resident_bytes(server.pid()).saturating_sub(before) / 999;
    println!("resident memory of an idle association: {each} bytes");
    assert!(each <= ASSOCIATION_BYTES_MAX, "{each} bytes");
    let (_, heard) = Peer::associate(address(&server), &Request::default());
    assert_eq!(heard, "reject 2 3 2");
    for (index, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.echo(), "status 0000", "association {index}");
    }
    drop(peers);
    // The server learns of the ends one after the other.
    while Peer::associate(address(&server), &Request::default()).1 != "accept" {}
    assert!(server.terminate().success());
}

#[test]
fn two_associations_that_send_one_uid_at_once_are_answered_once_stored_and_once_not() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = start(home.path(), &[]);
    let (mut one, mut other) = (Peer::accepted(address(&server)), Peer::accepted(address(&server)));
    let mut made = cr(64, 64, 2);
    one.send_store(&made);
    made.pixels[0] ^= 1;
    other.send_store(&made);
    let mut heard = [one.hear(), other.hear()];
    heard.sort();
    assert_eq!(heard, ["status 0000", "status 0111"]);
}
