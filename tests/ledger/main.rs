//! The ledger's promises, through its door: commits in groups, nothing answered before it is durable, nothing lost.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test may fail where it stands")]

mod disk;
#[path = "../made/mod.rs"]
mod made;

use std::{path::Path, sync::mpsc::SyncSender};

use bytes::Bytes;
use made::{instance, keep};
use overread::{
    error::{Code, Error, Subject},
    ledger::{
        Change, Config, Decide, Event, Ledger, NewInstance, NewTarget, NewWork, Receipt, State, StudyFilter,
        TargetState,
    },
    uid::Uid,
};
use tempfile::TempDir;

const STORED: Result<Receipt, Error> = Ok(Receipt::Stored { revision: 1 });

fn config() -> Config {
    Config { storage_free_bytes_min: 0, ..Config::default() }
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(dir, &config()).expect("opened").0
}

fn ledger() -> (TempDir, Ledger) {
    let dir = TempDir::new().expect("a directory");
    let ledger = open(dir.path());
    (dir, ledger)
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("valid")
}

fn change(change: Change) -> Decide {
    Box::new(move |_| Ok(change))
}

/// Seals revision `revision` and queues its work in `class`.
fn seal(revision: u32, class: u8) -> Decide {
    change(Change {
        state: Some((State::Sealed, revision)),
        sealed_by: Some("call".into()),
        events: vec![Event::StudySealed { by: "call".into() }],
        work: Some(NewWork { revision, class }),
    })
}

/// A decision that holds the writer until the other end sends or is dropped.
fn hold() -> (Decide, SyncSender<()>) {
    let (release, released) = std::sync::mpsc::sync_channel(1);
    let decide = Box::new(move |_: Option<&_>| {
        let _dropped_is_as_good = released.recv();
        Ok(Change::default())
    });
    (decide, release)
}

/// Stores all at once, behind a commit that is held until all have queued up.
async fn store_together(ledger: &Ledger, all: Vec<(NewInstance, Decide)>) -> Vec<Result<Receipt, Error>> {
    let (decide, release) = hold();
    let first = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.store(instance("1.2.999", 1, b"first"), decide).await }
    });
    while ledger.stats().waiting_instances < 1 {
        tokio::task::yield_now().await;
    }
    let count = all.len() as u64;
    let stores: Vec<_> = all
        .into_iter()
        .map(|(new, decide)| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.store(new, decide).await })
        })
        .collect();
    while ledger.stats().waiting_instances < 1 + count {
        tokio::task::yield_now().await;
    }
    drop(release);
    assert_eq!(first.await.expect("ran"), STORED);
    let mut receipts = Vec::new();
    for store in stores {
        receipts.push(store.await.expect("ran"));
    }
    receipts
}

async fn check_whole(ledger: &Ledger, new: &NewInstance) {
    let rows = ledger.instances(&new.study, u32::MAX).await.expect("rows");
    let row = rows.iter().find(|row| row.sop_instance == new.sop_instance).expect("stored, so it is there");
    assert_eq!(ledger.read(row).await.as_ref(), Ok(&new.bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_queues_up_during_a_commit_is_committed_with_one_sync() {
    let (_dir, ledger) = ledger();
    let all: Vec<_> =
        (0..64).map(|n| instance(&format!("1.2.{}", 10 + n % 16), n, format!("object {n}").as_bytes())).collect();
    let receipts = store_together(&ledger, all.iter().map(|new| (new.clone(), keep())).collect()).await;
    assert!(receipts.iter().all(|receipt| *receipt == STORED), "{receipts:?}");
    assert_eq!((ledger.stats().commits, ledger.stats().operations), (2, 65));
    for new in &all {
        check_whole(&ledger, new).await;
    }
}

/// Each receipt is checked against another connection, which sees nothing but what is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_comes_only_after_its_commit_and_the_log_has_no_gaps_for_a_reader_beside_it() {
    let (_dir, ledger) = ledger();
    let stores: Vec<_> = (0..16u32)
        .map(|client| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for n in 0..12 {
                    let new = instance(&format!("1.2.{}", 100 + client), n, &vec![client as u8; 5000]);
                    assert_eq!(ledger.store(new.clone(), keep()).await, STORED);
                    check_whole(&ledger, &new).await;
                    let wrong = Box::new(|_: Option<&_>| Err(Error::new(Code::Cancelled, "changed its mind")));
                    let other = instance(&format!("1.2.{}", 100 + client), 50 + n, b"not wanted");
                    assert_eq!(ledger.store(other, wrong).await.map_err(|error| error.code), Err(Code::Cancelled));
                }
            })
        })
        .collect();
    let (mut hint, mut cursor) = (ledger.subscribe(), 0);
    while cursor < 16 * 12 {
        let events = ledger.events(cursor, None, 7).await.expect("events");
        for event in &events {
            assert_eq!(event.seq, cursor + 1);
            assert!(matches!(event.event, Event::InstanceStored { bytes: 5000, .. }));
            cursor = event.seq;
        }
        if events.is_empty() {
            hint.wait_for(|seq| *seq > cursor).await.expect("the writer lives");
        }
    }
    for store in stores {
        store.await.expect("ran");
    }
    assert_eq!(ledger.events(cursor, None, 7).await, Ok(vec![]));
    assert_eq!(ledger.last_seq().await, Ok(cursor));
    assert_eq!(ledger.events(0, Some(&uid("1.2.103")), 100).await.expect("events").len(), 12);
    assert!(ledger.stats().commits < ledger.stats().operations, "{:?}", ledger.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_fails_leaves_no_trace_and_does_not_touch_its_neighbours() {
    let (dir, ledger) = ledger();
    let refuse: Decide = Box::new(|_| Err(Error::new(Code::Cancelled, "no")));
    let panic: Decide = Box::new(|_| panic!("a broken decision"));
    let all = vec![
        (instance("1.2.1", 1, b"good"), keep()),
        (instance("1.2.1", 2, b"decided against"), refuse),
        (instance("1.2.1", 3, b"good too"), keep()),
        (instance("1.2.2", 4, b"panics"), panic),
        (instance("1.2.1", 5, b"good as well"), keep()),
    ];
    let codes: Vec<_> = store_together(&ledger, all).await.into_iter().map(|r| r.map_err(|e| e.code)).collect();
    let stored = Ok(Receipt::Stored { revision: 1 });
    assert_eq!(codes, [stored, Err(Code::Cancelled), stored, Err(Code::Internal), stored]);
    assert_eq!(ledger.study(&uid("1.2.2")).await, Ok(None));
    assert!(!dir.path().join("packs/1.2.2.pack").exists());
    for (n, object) in [(1, &b"good"[..]), (3, b"good too"), (5, b"good as well")] {
        check_whole(&ledger, &instance("1.2.1", n, object)).await;
    }
    assert_eq!(ledger.last_seq().await, Ok(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_a_duplicate_and_other_bytes_a_conflict_that_loses_neither() {
    let (_dir, ledger) = ledger();
    let first = instance("1.2.1", 1, b"first");
    assert_eq!(ledger.store(first.clone(), keep()).await, STORED);
    let never: fn() -> Decide = || Box::new(|_| panic!("not asked for what does not become the study's"));
    assert_eq!(ledger.store(first.clone(), never()).await, Ok(Receipt::Duplicate { revision: 1 }));
    let other = instance("1.2.1", 1, b"other");
    // The same UID in another study is no less a conflict.
    let elsewhere = NewInstance { study: uid("1.2.2"), ..instance("1.2.1", 1, b"elsewhere") };
    for _ in 0..2 {
        assert_eq!(ledger.store(other.clone(), never()).await, Ok(Receipt::Conflict));
        assert_eq!(ledger.store(elsewhere.clone(), never()).await, Ok(Receipt::Conflict));
    }
    check_whole(&ledger, &first).await;
    for (study, new) in [("1.2.1", &other), ("1.2.2", &elsewhere)] {
        let kept = ledger.conflicts(&uid(study)).await.expect("rows");
        assert_eq!(kept.len(), 1, "sent twice, kept once");
        assert_eq!(ledger.read(&kept[0]).await.as_ref(), Ok(&new.bytes));
    }
    let study = ledger.study(&first.study).await.expect("a row").expect("a study");
    assert_eq!((study.instances, study.bytes), (1, 5));
    let events: Vec<_> = ledger.events(0, None, 9).await.expect("events").into_iter().map(|row| row.event).collect();
    let conflict = Event::InstanceConflict { sop_instance: first.sop_instance.clone() };
    assert_eq!(events[1..], [conflict.clone(), conflict]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_patients_do_not_share_a_study() {
    let (_dir, ledger) = ledger();
    let of = |n, key: &str| NewInstance { patient_key: key.into(), ..instance("1.2.1", n, key.as_bytes()) };
    assert_eq!(ledger.store(of(1, ""), keep()).await, STORED);
    assert_eq!(ledger.store(of(2, "aa"), keep()).await, STORED);
    let refused = ledger.store(of(3, "bb"), keep()).await.expect_err("another patient");
    assert_eq!((refused.code, refused.subject), (Code::PatientMismatch, Subject::Instance("1.2.1.1.3".into())));
    assert_eq!(ledger.store(of(4, "aa"), keep()).await, STORED);
    let study = ledger.study(&uid("1.2.1")).await.expect("a row").expect("a study");
    assert_eq!((study.instances, study.patient_key.as_str()), (3, "aa"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_recorded_once_and_makes_its_study_visible() {
    let (_dir, ledger) = ledger();
    let error = Error::new(Code::NoPixelData, "a report").about(Subject::Instance("1.2.1.1.7".into()));
    for _ in 0..2 {
        let (study, instance) = (Some(uid("1.2.1")), Some(uid("1.2.1.1.7")));
        assert_eq!(ledger.refuse(study, instance, &error, keep()).await, Ok(()));
    }
    let no_dicom = Error::new(Code::NotDicom, "no preamble");
    assert_eq!(ledger.refuse(None, None, &no_dicom, keep()).await, Ok(()));
    let refusals = ledger.refusals(&uid("1.2.1")).await.expect("rows");
    assert_eq!(refusals.len(), 1);
    assert_eq!((refusals[0].code, &refusals[0].subject), (error.code, &error.subject));
    let study = ledger.study(&uid("1.2.1")).await.expect("a row").expect("a study");
    assert_eq!((study.instances, study.refused, study.state), (0, 1, State::Open));
    let events = ledger.events(0, None, 9).await.expect("events");
    assert_eq!(events.iter().map(|row| row.study.clone()).collect::<Vec<_>>(), [Some(uid("1.2.1")), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_go_by_class_then_age_and_one_that_ran_out_is_claimed_again() {
    let (_dir, ledger) = ledger();
    for (n, class) in [(1, 1), (2, 1), (3, 0)] {
        let study = format!("1.2.{n}");
        assert_eq!(ledger.store(instance(&study, n, b"x"), keep()).await, STORED);
        ledger.change(&uid(&study), seal(1, class)).await.expect("sealed");
    }
    let mut order = Vec::new();
    while let Some(claim) = ledger.claim(1_000, 500).await.expect("claimed") {
        order.push((claim.study.to_string(), claim.attempt));
    }
    assert_eq!(order, [("1.2.3".into(), 1), ("1.2.1".into(), 1), ("1.2.2".into(), 1)]);
    assert_eq!(ledger.claim(1_500, 500).await, Ok(None), "held until 1500, that included");
    let again = ledger.claim(1_501, 500).await.expect("claimed").expect("ran out");
    assert_eq!((again.study.as_str(), again.attempt), ("1.2.3", 2));
    assert_eq!(ledger.renew(&again, 9_000).await, Ok(()));
    let stale = overread::ledger::Claim { token: again.token - 1, ..again.clone() };
    for lost in [
        ledger.renew(&stale, 9_999).await,
        ledger.release(&stale).await,
        ledger.plan(&stale, vec![], "{}".into(), keep()).await,
        ledger.report(&stale, "{}".into(), keep()).await,
    ] {
        assert_eq!(lost.map_err(|error| error.code), Err(Code::Cancelled));
    }
    assert_eq!(ledger.release(&again).await, Ok(()));
    let after = ledger.claim(1_501, 500).await.expect("claimed").expect("given back");
    assert_eq!((after.study.as_str(), after.attempt), ("1.2.3", 2), "giving back is not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_the_process_did_not_survive_are_counted_over_restarts() {
    let dir = TempDir::new().expect("a directory");
    let study = uid("1.2.1");
    let ledger = open(dir.path());
    assert_eq!(ledger.store(instance("1.2.1", 1, b"x"), keep()).await, STORED);
    ledger.change(&study, seal(1, 0)).await.expect("sealed");
    drop(ledger);
    for attempt in 1..=3 {
        let (ledger, recovered) = Ledger::open(dir.path(), &config()).expect("opened");
        assert_eq!(recovered.studies_resumed, 1);
        let claim = ledger.claim(0, i64::MAX).await.expect("claimed").expect("the dead process's lease is void");
        assert_eq!(claim.attempt, attempt);
        if attempt == 1 {
            let instances = vec![uid("1.2.1.1.1")];
            let (model, version, digest) = ("m".to_owned(), "1".to_owned(), "d".to_owned());
            let target = NewTarget { model, version, digest, instances };
            assert_eq!(ledger.plan(&claim, vec![target], "by m".into(), planned()).await, Ok(()));
        } else {
            let nothing: Decide = Box::new(|_| panic!("the plan stays"));
            assert_eq!(ledger.plan(&claim, vec![], "another".into(), nothing).await, Ok(()));
        }
        assert_eq!(ledger.start_target(&study, 1, "m").await, Ok(attempt));
    }
    let ledger = open(dir.path());
    assert_eq!(ledger.attempts(&study, 1).await, Ok(3));
    assert_eq!(ledger.plan_json(&study, 1).await, Ok(Some("by m".into())));
    let targets = ledger.targets(&study, 1).await.expect("rows");
    assert_eq!((targets.len(), targets[0].state, targets[0].attempts), (1, TargetState::Running(3), 3));

    let claim = ledger.claim(0, 1).await.expect("claimed").expect("work");
    let end = TargetState::NotAnalysed(Code::WrongView);
    assert_eq!(ledger.end_target(&study, 1, "m", end, vec![]).await, Ok(()));
    assert_eq!(ledger.targets(&study, 1).await.expect("rows")[0].state, end);
    let missing = ledger.start_target(&study, 1, "another").await;
    assert_eq!(missing.map_err(|error| error.code), Err(Code::NotFound));
    let quarantine = change(Change {
        state: Some((State::Quarantined, 1)),
        events: vec![Event::Quarantined { detail: "4".into() }],
        ..Change::default()
    });
    assert_eq!(ledger.report(&claim, "{}".into(), quarantine).await, Ok(()));
    drop(ledger);
    let (ledger, recovered) = Ledger::open(dir.path(), &config()).expect("opened");
    assert_eq!(recovered.studies_resumed, 0);
    assert_eq!(ledger.claim(0, 1).await, Ok(None));
    let row = ledger.study(&study).await.expect("a row").expect("a study");
    assert_eq!((row.state, row.sealed_by.as_deref()), (State::Quarantined, Some("call")));
}

fn planned() -> Decide {
    change(Change { state: Some((State::Planned, 1)), ..Change::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_has_one_report_and_a_late_instance_belongs_to_the_next() {
    let (_dir, ledger) = ledger();
    let study = uid("1.2.1");
    assert_eq!(ledger.store(instance("1.2.1", 1, b"x"), keep()).await, STORED);
    ledger.change(&study, seal(1, 0)).await.expect("sealed");
    let claim = ledger.claim(0, 1).await.expect("claimed").expect("work");
    let late = change(Change { state: Some((State::Open, 2)), ..Change::default() });
    assert_eq!(ledger.store(instance("1.2.1", 2, b"late"), late).await, Ok(Receipt::Stored { revision: 2 }));
    let reported = || change(Change { events: vec![Event::Reported], ..Change::default() });
    assert_eq!(ledger.report(&claim, "first".into(), reported()).await, Ok(()));
    assert_eq!(ledger.report(&claim, "second".into(), reported()).await, Ok(()));
    let row = ledger.report_row(&study, None).await.expect("a row").expect("a report");
    assert_eq!((row.revision, row.report_json.as_str()), (1, "first"));
    let reports: Vec<_> = ledger.events(0, Some(&study), 99).await.expect("events");
    let reports: Vec<_> = reports.iter().filter(|row| row.event == Event::Reported).collect();
    assert_eq!((reports.len(), reports[0].revision), (1, 1), "once, and of the claim's revision");
    let row = ledger.study(&study).await.expect("a row").expect("a study");
    assert_eq!((row.state, row.revision, row.sealed_by), (State::Open, 2, None));
    for (revision, count) in [(1, 1), (2, 2)] {
        assert_eq!(ledger.instances(&study, revision).await.expect("rows").len(), count);
    }
    let down = change(Change { state: Some((State::Sealed, 1)), ..Change::default() });
    assert_eq!(ledger.change(&study, down).await.map_err(|error| error.code), Err(Code::Internal));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_study_leaves_nothing_of_it_and_nothing_else_is_hurt() {
    let (dir, ledger) = ledger();
    let shared = ledger.put_artifact(Bytes::from_static(b"the same in both")).await.expect("put");
    let own = ledger.put_artifact(Bytes::from_static(b"of the first alone")).await.expect("put");
    for (n, names) in [(1, vec![&shared, &own]), (2, vec![&shared])] {
        let study = format!("1.2.{n}");
        assert_eq!(ledger.store(instance(&study, n, b"x"), keep()).await, STORED);
        let made = |sha256: &String| Event::HeatmapMade {
            finding_uid: uid("2.25.1"),
            key_image: None,
            sha256: sha256.clone(),
        };
        ledger.append(&uid(&study), 1, names.into_iter().map(made).collect()).await.expect("appended");
    }
    let (first, second) = (uid("1.2.1"), uid("1.2.2"));
    let row = ledger.instances(&first, 1).await.expect("rows").remove(0);
    assert_eq!(ledger.delete(&first).await, Ok(()));
    assert_eq!(ledger.study(&first).await, Ok(None));
    assert!(!dir.path().join("packs/1.2.1.pack").exists());
    assert_eq!(ledger.artifact(&own).await, Ok(None));
    assert!(ledger.artifact(&shared).await.expect("read").is_some(), "the second study needs it");
    let events = ledger.events(0, Some(&first), 99).await.expect("events");
    assert_eq!(events.iter().map(|row| &row.event).collect::<Vec<_>>(), [&Event::StudyDeleted]);
    for gone in [
        ledger.delete(&first).await,
        ledger.read(&row).await.map(drop),
        ledger.append(&first, 1, vec![]).await.map(drop),
        ledger.change(&first, keep()).await.map(drop),
    ] {
        assert_eq!(gone.map_err(|error| error.code), Err(Code::NotFound));
    }
    let again = instance("1.2.1", 1, b"x");
    assert_eq!(ledger.store(again.clone(), keep()).await, STORED, "it may come again");
    check_whole(&ledger, &again).await;
    assert_eq!(ledger.delete(&second).await, Ok(()));
    assert_eq!(ledger.artifact(&shared).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_queues_behind_a_deletion_keeps_its_bytes() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.store(instance("1.2.1", 1, b"old"), keep()).await, STORED);
    let (decide, release) = hold();
    let spawn = |ledger: Ledger, new, decide| tokio::spawn(async move { ledger.store(new, decide).await });
    let first = spawn(ledger.clone(), instance("1.2.2", 1, b"holds the writer"), decide);
    while ledger.stats().waiting_instances < 1 {
        tokio::task::yield_now().await;
    }
    // Polled in this order: both are in the queue before the writer goes on.
    let study = uid("1.2.1");
    let (delete, new) = (ledger.delete(&study), instance("1.2.1", 2, b"new"));
    let (deleted, stored, _) = tokio::join!(delete, ledger.store(new.clone(), keep()), async { drop(release) });
    assert_eq!((deleted, stored, first.await.expect("ran")), (Ok(()), STORED, STORED));
    check_whole(&ledger, &new).await;
    assert_eq!(ledger.study(&study).await.expect("a row").map(|row| row.instances), Some(1));
}

/// A deletion whose crash came between its commit and its unlinking.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_cut_short_is_finished_at_the_next_start() {
    let (dir, ledger) = ledger();
    let artifacts = [
        ledger.put_artifact(Bytes::from_static(b"gone")).await.expect("put"),
        ledger.put_artifact(Bytes::from_static(b"needed again")).await.expect("put"),
    ];
    assert_eq!(ledger.store(instance("1.2.2", 1, b"x"), keep()).await, STORED);
    let event = Event::HeatmapMade { finding_uid: uid("2.25.1"), key_image: None, sha256: artifacts[1].clone() };
    ledger.append(&uid("1.2.2"), 1, vec![event]).await.expect("appended");
    ledger.close().await.expect("closed");
    let rows = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("rows");
    for (kind, name) in [("pack", "1.2.1"), ("artifact", &artifacts[0]), ("artifact", &artifacts[1])] {
        rows.execute("INSERT INTO trash VALUES(?1, ?2)", [kind, name]).expect("inserted");
    }
    drop(rows);
    std::fs::write(dir.path().join("packs/1.2.1.pack"), b"not yet unlinked").expect("written");
    let ledger = open(dir.path());
    assert!(!dir.path().join("packs/1.2.1.pack").exists());
    assert_eq!(ledger.artifact(&artifacts[0]).await, Ok(None));
    assert!(ledger.artifact(&artifacts[1]).await.expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_gives_its_first_answer_to_the_same_request_alone() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.recall("r", "Delete", b"print").await, Ok(None));
    for answer in [&b"first"[..], b"second"] {
        ledger.remember("r", "Delete", b"print", Bytes::from_static(answer)).await.expect("remembered");
    }
    assert_eq!(ledger.recall("r", "Delete", b"print").await, Ok(Some(Bytes::from_static(b"first"))));
    assert_eq!(ledger.recall("r", "Seal", b"print").await, Ok(None));
    let reused = ledger.recall("r", "Delete", b"other").await;
    assert_eq!(reused.map_err(|error| error.code), Err(Code::InvalidArgument));
}

#[tokio::test(flavor = "multi_thread")]
async fn studies_are_listed_newest_first_by_pages_and_filters() {
    let (_dir, ledger) = ledger();
    for n in 1..=5 {
        assert_eq!(ledger.store(instance(&format!("1.2.{n}"), n, b"x"), keep()).await, STORED);
    }
    ledger.change(&uid("1.2.2"), seal(1, 0)).await.expect("sealed");
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.studies(StudyFilter { after, ..StudyFilter::default() }, 2).await.expect("rows");
        let Some(last) = page.last() else { break };
        after = Some(last.seq);
        pages.push(page.iter().map(|row| row.study.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec!["1.2.5", "1.2.4"], vec!["1.2.3", "1.2.2"], vec!["1.2.1"]]);
    let sealed = StudyFilter { state: Some(State::Sealed), ..StudyFilter::default() };
    let sealed = ledger.studies(sealed, 9).await.expect("rows");
    assert_eq!(sealed.len(), 1);
    let (updated, all) = (sealed[0].updated, StudyFilter::default());
    let since = StudyFilter { updated_after: Some(updated), ..all.clone() };
    assert_eq!(ledger.studies(since, 9).await.expect("rows").first().map(|row| &row.study), Some(&sealed[0].study));
    let before = StudyFilter { updated_before: Some(updated), ..all };
    assert_eq!(ledger.studies(before, 9).await.expect("rows").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_says_busy_and_keeps_nothing() {
    let dir = TempDir::new().expect("a directory");
    let limits = Config { waiting_instances_max: 2, waiting_bytes_max: 100, ..config() };
    let (ledger, _) = Ledger::open(dir.path(), &limits).expect("opened");
    let (decide, release) = hold();
    let held = instance("1.2.1", 1, &[1; 500]);
    let first = tokio::spawn({
        let (ledger, held) = (ledger.clone(), held.clone());
        async move { ledger.store(held, decide).await }
    });
    while ledger.stats().waiting_instances < 1 {
        tokio::task::yield_now().await;
    }
    let many = ledger.store(instance("1.2.1", 2, b"one byte is too many"), keep()).await.expect_err("bytes");
    assert_eq!((many.code, many.detail.contains("ledger.waiting_bytes_max")), (Code::Busy, true), "{many}");
    drop(release);
    assert_eq!(first.await.expect("ran"), STORED, "larger than the limit, but nothing else waited");
    check_whole(&ledger, &held).await;
    assert_eq!(ledger.store(instance("1.2.1", 2, b"again"), keep()).await, STORED);
    assert_eq!((ledger.stats().waiting_instances, ledger.stats().waiting_bytes), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_server_and_is_given_free_by_closing() {
    let (dir, ledger) = ledger();
    let second = Ledger::open(dir.path(), &config()).map(drop).expect_err("in use");
    assert_eq!((second.code, second.subject), (Code::AlreadyExists, Subject::Field("ledger.dir".into())));
    let other = ledger.clone();
    assert_eq!(ledger.store(instance("1.2.1", 1, b"x"), keep()).await, STORED);
    ledger.close().await.expect("closed");
    let late = other.store(instance("1.2.1", 2, b"y"), keep()).await;
    assert_eq!(late.map_err(|error| error.code), Err(Code::ShuttingDown));
    check_whole(&open(dir.path()), &instance("1.2.1", 1, b"x")).await;
}

/// Half a data directory is an administrator's slip, not a crash: nothing of the other half is thrown away.
#[tokio::test(flavor = "multi_thread")]
async fn rows_without_packs_and_packs_without_rows_are_left_as_they_are() {
    let (dir, ledger) = ledger();
    let new = instance("1.2.1", 1, b"x");
    assert_eq!(ledger.store(new.clone(), keep()).await, STORED);
    ledger.close().await.expect("closed");
    for half in ["ledger.db", "packs"] {
        let (there, away) = (dir.path().join(half), dir.path().join("away"));
        std::fs::rename(&there, &away).expect("moved");
        let error = Ledger::open(dir.path(), &config()).map(drop).expect_err("half of it");
        assert_eq!(error.subject, Subject::Field("ledger.dir".into()), "{error}");
        // What the refused start made anew.
        if there.is_dir() { std::fs::remove_dir(&there) } else { std::fs::remove_file(&there) }.expect("empty");
        std::fs::rename(&away, &there).expect("moved back");
    }
    check_whole(&open(dir.path()), &new).await;
}

/// Rows are dropped for want of their bytes only where a crash explains it: among the newest.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_lost_long_after_its_crash_could_have_torn_it_keeps_its_rows_for_its_return() {
    let (dir, ledger) = ledger();
    let old = instance("1.2.1", 1, b"old");
    assert_eq!(ledger.store(old.clone(), keep()).await, STORED);
    let newer = (0..256).map(|n| (instance("1.2.2", n, &n.to_le_bytes()), keep())).collect();
    assert!(store_together(&ledger, newer).await.iter().all(|receipt| *receipt == STORED));
    drop(ledger);
    let (pack, away) = (dir.path().join("packs/1.2.1.pack"), dir.path().join("away"));
    std::fs::rename(&pack, &away).expect("lost");
    let (ledger, recovered) = Ledger::open(dir.path(), &config()).expect("opened");
    assert_eq!((recovered.short_packs, recovered.torn_instances), (1, 0));
    let row = ledger.instances(&old.study, 1).await.expect("rows").remove(0);
    assert_eq!(ledger.read(&row).await.map_err(|error| error.code), Err(Code::Internal));
    std::fs::rename(&away, &pack).expect("restored");
    check_whole(&ledger, &old).await;
}
