//! What storing costs beside its floor: one append and one fdatasync on the same disk, measured around each case.
//!
//! `cargo bench --bench ledger [-- DIRECTORY]`: the directory says which disk; the default is the system's temporary one.
//! A ratio above 1 is what group commit wins: several stores share the syncs of one commit.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench talks to the terminal and may stop")]

#[path = "../tests/made/mod.rs"]
mod made;

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use overread::ledger::{Config, Ledger, Receipt};

const CASE: Duration = Duration::from_secs(2);

/// How clients spread over studies.
#[derive(Debug, Clone, Copy)]
enum Spread {
    OneStudy,
    StudyEach,
    NewStudyEachTime,
}

fn main() {
    let dir = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let dir = dir.map_or_else(std::env::temp_dir, Into::into);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("clients  object KiB  studies             stores/s  commits/s  stores/commit  floor/s  stores per floor");
    for (clients, kib, spread) in [
        (1, 4, Spread::OneStudy),
        (16, 4, Spread::OneStudy),
        (16, 4, Spread::StudyEach),
        (1, 4, Spread::NewStudyEachTime),
        (16, 4, Spread::NewStudyEachTime),
        (1, 512, Spread::StudyEach),
        (16, 512, Spread::StudyEach),
    ] {
        let before = floor(&dir, kib << 10);
        let (stores, commits) = runtime.block_on(stores(&dir, clients, kib << 10, spread));
        let floor = (before + floor(&dir, kib << 10)) / 2.0;
        println!(
            "{clients:7}  {kib:10}  {:18}  {stores:8.0}  {commits:9.0}  {:13.1}  {floor:7.0}  {:16.2}",
            format!("{spread:?}"),
            stores / commits,
            stores / floor
        );
    }
}

/// Appends with one fdatasync each, a second.
fn floor(dir: &Path, bytes: usize) -> f64 {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let (mut file, object) = (File::create(dir.path().join("floor")).expect("a file"), vec![7u8; bytes]);
    rate(CASE / 4, || {
        file.write_all(&object).and_then(|()| file.sync_data()).expect("appended");
    })
}

fn rate(time: Duration, mut once: impl FnMut()) -> f64 {
    let (start, mut count) = (Instant::now(), 0u32);
    while start.elapsed() < time {
        once();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Stores and commits a second.
async fn stores(dir: &Path, clients: u32, bytes: usize, spread: Spread) -> (f64, f64) {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let (ledger, _) = Ledger::open(dir.path(), &Config::default()).expect("a ledger");
    let (start, commits) = (Instant::now(), ledger.stats().commits);
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let (mut count, mut object) = (0u32, vec![client as u8; bytes]);
                while start.elapsed() < CASE {
                    count += 1;
                    object[..4].copy_from_slice(&count.to_le_bytes());
                    let (study, number) = match spread {
                        Spread::OneStudy => ("1.2.1".to_owned(), client * 1_000_000 + count),
                        Spread::StudyEach => (format!("1.2.{client}"), count),
                        Spread::NewStudyEachTime => (format!("1.2.{client}.{count}"), 1),
                    };
                    let receipt = ledger.store(made::instance(&study, number, &object), made::keep()).await;
                    assert_eq!(receipt, Ok(Receipt::Stored { revision: 1 }));
                }
                count
            })
        })
        .collect();
    let mut stored = 0;
    for client in clients {
        stored += client.await.expect("ran");
    }
    let seconds = start.elapsed().as_secs_f64();
    (f64::from(stored) / seconds, (ledger.stats().commits - commits) as f64 / seconds)
}
