//! The DICOM port's promises, through a real socket: the whole server with the test model, raw bytes where a peer misbehaves, and
//! DCMTK and pynetdicom as the peers that hospitals have.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test may fail where it stands"
)]
#[path = "../support/mod.rs"]
mod support;

mod peer;

mod abuse;
mod crash;
mod many;
mod storing;
mod tls;
mod tools;

use std::path::{Path, PathBuf};

use support::server::{self, ServerProcess};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models")
}

/// A server with a plain DICOM port on a free port of loopback, over `home/data`.
fn start(home: &Path, sets: &[&str]) -> ServerProcess {
    let sets: Vec<&str> = ["dimse.listen=127.0.0.1:0"].into_iter().chain(sets.iter().copied()).collect();
    server::start(&home.join("data"), &models(), &sets)
}

fn address(server: &ServerProcess) -> &str {
    server.dicom.as_deref().expect("the DICOM port is open")
}

fn port(server: &ServerProcess) -> &str {
    address(server).rsplit(':').next().expect("a port")
}
