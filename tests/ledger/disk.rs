//! A full disk: what does not fit is refused, what was acknowledged stays, and room that is made is used.
use std::{path::Path, process::Command};

use bytes::Bytes;
use overread::{
    error::Code,
    ledger::{Config, Event, Ledger, NewInstance, Receipt, State},
};
use tempfile::TempDir;

use crate::{
    STORED, check_whole, config, ledger,
    made::{instance, keep},
    open, seal, uid,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_of_the_disk_is_left_to_what_was_acknowledged() {
    let (dir, ledger) = ledger();
    assert_eq!(ledger.store(instance("1.2.1", 1, b"x"), keep()).await, STORED);
    ledger.close().await.expect("closed");
    let (ledger, _) =
        Ledger::open(dir.path(), &Config { storage_free_bytes_min: u64::MAX >> 1, ..config() }).expect("opened");
    let full = ledger.store(instance("1.2.1", 2, b"y"), keep()).await.expect_err("no room");
    assert_eq!((full.code, full.detail.contains("ledger.storage_free_bytes_min")), (Code::StorageFull, true), "{full}");
    assert_eq!(ledger.change(&uid("1.2.1"), seal(1, 0)).await.map(|row| row.state), Ok(State::Sealed));
    assert!(ledger.put_artifact(Bytes::from_static(b"a heatmap")).await.is_ok());
}

/// A small disk of its own, unmounted when dropped; `None` where that is not allowed.
struct Disk(TempDir);

impl Disk {
    fn of_mib(size: u32) -> Option<Disk> {
        let dir = TempDir::new().expect("a directory");
        let options = format!("size={size}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Disk(dir))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_half_written_stays_and_room_made_is_used() {
    let Some(disk) = Disk::of_mib(4) else {
        return skip("on_a_full_disk_nothing_half_written_stays_and_room_made_is_used: mount of a tmpfs");
    };
    let (data, ballast) = (disk.0.path().join("data"), disk.0.path().join("ballast"));
    let ledger = open(&data);
    std::fs::write(&ballast, vec![1; 1 << 20]).expect("ballast");
    let (mut stored, mut n) = (Vec::new(), 0);
    let refused = loop {
        n += 1;
        let new = instance(&format!("1.2.{}", n % 3 + 1), n, &vec![n as u8; 150_000]);
        match ledger.store(new.clone(), keep()).await {
            Ok(receipt) => assert_eq!(receipt, Receipt::Stored { revision: 1 }),
            Err(error) => break (new, error),
        }
        stored.push(new);
    };
    assert!(stored.len() > 5, "{}", stored.len());
    assert_eq!(refused.1.code, Code::StorageFull, "{}", refused.1);
    check_nothing_half_written(&ledger, &data, &stored, &refused.0).await;
    // To the last byte: now not even rows can be committed.
    std::fs::write(disk.0.path().join("more ballast"), vec![1; 4 << 20]).expect_err("full");
    let mut full = Ok(());
    for _ in 0..100 {
        let note = Event::Quarantined { detail: "x".repeat(4000) };
        full = ledger.append(&uid("1.2.1"), 1, vec![note]).await.map(drop);
        if full.is_err() {
            break;
        }
    }
    assert_eq!(full.map_err(|error| error.code), Err(Code::StorageFull));
    assert_eq!(ledger.put_artifact(vec![1; 9000].into()).await.map_err(|error| error.code), Err(Code::StorageFull));
    check_nothing_half_written(&ledger, &data, &stored, &refused.0).await;

    std::fs::remove_file(&ballast).expect("room made");
    std::fs::remove_file(disk.0.path().join("more ballast")).expect("room made");
    assert_eq!(ledger.store(refused.0.clone(), keep()).await, STORED);
    stored.push(refused.0);
    drop(ledger);
    let (ledger, recovered) = Ledger::open(&data, &config()).expect("opened");
    assert_eq!((recovered.torn_bytes, recovered.torn_instances), (0, 0));
    for new in &stored {
        check_whole(&ledger, new).await;
    }
}

async fn check_nothing_half_written(ledger: &Ledger, data: &Path, stored: &[NewInstance], refused: &NewInstance) {
    for new in stored {
        check_whole(ledger, new).await;
    }
    let rows = ledger.instances(&refused.study, 1).await.expect("rows");
    assert!(rows.iter().all(|row| row.sop_instance != refused.sop_instance));
    let held: u64 = std::fs::read_dir(data.join("packs"))
        .expect("packs")
        .map(|entry| entry.expect("an entry").metadata().expect("there").len())
        .sum();
    assert_eq!(held, stored.iter().map(|new| 48 + new.bytes.len() as u64).sum::<u64>());
}

/// Says by name what was not tested, for the count at the end of all tests.
fn skip(what: &str) {
    use std::io::Write;
    let line = format!("SKIPPED {what}\n");
    eprint!("{line}");
    if let Some(list) = std::env::var_os("OVERREAD_SKIPS") {
        let list = std::fs::OpenOptions::new().append(true).create(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of what was skipped");
    }
}
