//! Nothing acknowledged is lost to a torn tail: the power fails while the last record is being written.
//!
//! A data directory is made, and copied as it lies on the disk while its server runs. Then the last record of a pack, or
//! the last commit in SQLite's write-ahead log, is cut or filled with garbage from each of its bytes on, and the directory
//! is opened again, as after the crash. Opening never fails, all but the last instance are there, the last one is whole
//! or absent, and sending it again makes it whole.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]

mod made;

use std::{
    fs,
    path::{Path, PathBuf},
};

use made::{instance, keep};
use overread::{
    error::Code,
    ledger::{Config, Ledger, NewInstance, Receipt},
};
use tempfile::TempDir;

/// In memory where that is possible: the disk's own syncs are not what is tested here.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a directory")
}

/// What a crash leaves: a data directory and what was acknowledged of it, the last instance apart.
struct Wreck {
    dir: TempDir,
    earlier: Vec<NewInstance>,
    last: NewInstance,
    pack: PathBuf,
    /// Lengths of the last study's pack and of the write-ahead log before the last instance was stored.
    pack_before: u64,
    wal_before: u64,
}

#[derive(Clone, Copy)]
enum Tear {
    Cut,
    Garbage,
}

async fn wreck() -> Wreck {
    let (live, dir) = (directory(), directory());
    let (ledger, _) = Ledger::open(live.path(), &config()).expect("a new ledger");
    let earlier: Vec<_> =
        (1..=6).map(|n| instance(["1.2.10", "1.2.20"][n as usize % 2], n, &vec![n as u8; 90 + n as usize])).collect();
    for new in &earlier {
        assert_eq!(ledger.store(new.clone(), keep()).await, Ok(Receipt::Stored { revision: 1 }));
    }
    let pack = PathBuf::from("packs/1.2.20.pack");
    let length = |file: &Path| fs::metadata(live.path().join(file)).expect("there").len();
    let (pack_before, wal_before) = (length(&pack), length(Path::new("ledger.db-wal")));
    let last = instance("1.2.20", 99, &[0x5a; 200]);
    assert_eq!(ledger.store(last.clone(), keep()).await, Ok(Receipt::Stored { revision: 1 }));
    copy(live.path(), dir.path());
    Wreck { dir, earlier, last, pack, pack_before, wal_before }
}

fn config() -> Config {
    Config { storage_free_bytes_min: 0, ..Config::default() }
}

/// All but the shared-memory index of the log, which does not outlive a power cut.
fn copy(from: &Path, to: &Path) {
    for file in ["ledger.db", "ledger.db-wal"] {
        fs::copy(from.join(file), to.join(file)).expect("copied");
    }
    fs::create_dir_all(to.join("packs")).expect("made");
    for entry in fs::read_dir(from.join("packs")).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join("packs").join(entry.file_name())).expect("copied");
    }
}

impl Wreck {
    /// Tears `file` from byte `at` on, opens what is left, and gives whether the last instance survived.
    async fn check(&self, file: &Path, at: u64, tear: Tear) -> bool {
        let case = directory();
        copy(self.dir.path(), case.path());
        let mut bytes = fs::read(case.path().join(file)).expect("read");
        let at_index = usize::try_from(at).expect("small");
        match tear {
            Tear::Cut => bytes.truncate(at_index),
            Tear::Garbage => bytes[at_index..].iter_mut().for_each(|byte| *byte ^= 0xa5),
        }
        fs::write(case.path().join(file), bytes).expect("torn");

        let opened = Ledger::open(case.path(), &config());
        let (ledger, recovered) = opened.unwrap_or_else(|error| panic!("{} torn at {at}: {error}", file.display()));
        for new in &self.earlier {
            self.check_whole(&ledger, new).await;
        }
        let survived = self.find(&ledger, &self.last).await.is_some();
        let receipt = match survived {
            true => Receipt::Duplicate { revision: 1 },
            false => Receipt::Stored { revision: 1 },
        };
        assert_eq!(recovered.torn_instances > 0, self.refused(&ledger).await, "{recovered:?}");
        assert_eq!(ledger.store(self.last.clone(), keep()).await, Ok(receipt), "{} torn at {at}", file.display());
        self.check_whole(&ledger, &self.last).await;
        let events = ledger.events(0, None, 1000).await.expect("events");
        let gapless = events.iter().zip(1..).all(|(event, seq)| event.seq == seq);
        assert!(gapless, "{} torn at {at}: {events:?}", file.display());
        survived
    }

    async fn find(&self, ledger: &Ledger, new: &NewInstance) -> Option<overread::ledger::InstanceRow> {
        let rows = ledger.instances(&new.study, 1).await.expect("rows");
        rows.into_iter().find(|row| row.sop_instance == new.sop_instance)
    }

    async fn check_whole(&self, ledger: &Ledger, new: &NewInstance) {
        let row = self.find(ledger, new).await.expect("acknowledged, so it is there");
        assert_eq!(ledger.read(&row).await, Ok(new.bytes.clone()));
        let study = ledger.study(&new.study).await.expect("a row").expect("a study");
        let rows = ledger.instances(&new.study, 1).await.expect("rows");
        assert_eq!((study.instances as usize, study.bytes), (rows.len(), rows.iter().map(|row| row.length).sum()));
    }

    async fn refused(&self, ledger: &Ledger) -> bool {
        let refusals = ledger.refusals(&self.last.study).await.expect("rows");
        assert!(refusals.iter().all(|row| row.code == Code::Truncated));
        !refusals.is_empty()
    }
}

/// The disk lied: the row is durable, its bytes are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_torn_at_any_byte_of_its_last_record_costs_that_record_alone() {
    let wreck = wreck().await;
    let end = fs::metadata(wreck.dir.path().join(&wreck.pack)).expect("there").len();
    assert_eq!(end - wreck.pack_before, 48 + 200);
    for tear in [Tear::Cut, Tear::Garbage] {
        for at in wreck.pack_before..end {
            assert!(!wreck.check(&wreck.pack, at, tear).await, "a record torn at {at} passed as whole");
        }
    }
    assert!(wreck.check(&wreck.pack, end, Tear::Cut).await, "untorn");
}

/// The row is not durable; its bytes are, and go.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_torn_at_any_byte_of_its_last_frame_costs_the_last_commit_alone() {
    let wreck = wreck().await;
    let wal = Path::new("ledger.db-wal");
    let end = fs::metadata(wreck.dir.path().join(wal)).expect("there").len();
    let frame = 24 + 4096; // https://sqlite.org/fileformat2.html#walformat
    assert_eq!((end - wreck.wal_before) % frame, 0);
    // The last frame carries the commit mark. The frames before it, of the same commit, are sampled.
    let earlier = (wreck.wal_before..end - frame).step_by(509);
    for at in earlier.chain(end - frame..end) {
        assert!(!wreck.check(wal, at, Tear::Cut).await, "a commit torn at {at} passed as whole");
    }
    for at in (wreck.wal_before..end).step_by(101) {
        assert!(!wreck.check(wal, at, Tear::Garbage).await, "garbage from {at} on passed as whole");
    }
    assert!(wreck.check(wal, end, Tear::Cut).await, "untorn");
}

/// The crash came between the packs' sync and the rows' commit: whole records without rows, a pack without a study.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_without_rows_are_cut_and_their_room_is_given_back() {
    let wreck = wreck().await;
    let pack = wreck.dir.path().join(&wreck.pack);
    let orphan = wreck.dir.path().join("packs/1.2.30.pack");
    let whole = fs::read(&pack).expect("read");
    fs::write(&pack, [&whole[..], &whole[..]].concat()).expect("grown");
    fs::write(&orphan, &whole).expect("written");
    let (ledger, recovered) = Ledger::open(wreck.dir.path(), &config()).expect("opened");
    assert_eq!(recovered.torn_bytes, 2 * whole.len() as u64);
    assert_eq!(fs::read(&pack).expect("read"), whole);
    assert!(!orphan.exists());
    wreck.check_whole(&ledger, &wreck.last).await;
}
