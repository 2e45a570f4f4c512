//! The event log as the API tells it: reading on from a cursor, and each event as a message.
use tokio::sync::watch;

use super::{
    convert,
    name::{self, bad},
    v1,
};
use crate::{
    error::{Code, Error, Result, Subject},
    finding,
    ledger::{Event, EventRow, Ledger},
    uid::Uid,
};

/// Events read at once.
const EVENTS_READ_MAX: u32 = 256;

/// A reader of one study's events. It waits for what is still to come; what it has given it does not give again.
pub(super) struct Reader {
    ledger: Ledger,
    study: Uid,
    after: u64,
    committed: watch::Receiver<u64>,
}

impl Reader {
    /// Reads the events of `study` after the place `after` (0: from the first one on).
    pub(super) fn new(ledger: &Ledger, study: Uid, after: u64) -> Reader {
        Reader { ledger: ledger.clone(), study, after, committed: ledger.subscribe() }
    }

    /// The next events, at least one: waits for them. Errors: those of the ledger; `ShuttingDown` when it is closed.
    /// Cancel safety: dropped while it waits, nothing is skipped.
    pub(super) async fn next(&mut self) -> Result<Vec<EventRow>> {
        loop {
            // Marked as seen before the query: a commit that comes in between wakes the wait below.
            self.committed.borrow_and_update();
            let rows = self.ledger.events(self.after, Some(&self.study), EVENTS_READ_MAX).await?;
            if let Some(last) = rows.last() {
                self.after = last.seq;
                return Ok(rows);
            }
            let closed = |_| Error::new(Code::ShuttingDown, "the server is shutting down");
            self.committed.changed().await.map_err(closed)?;
        }
    }
}

/// Where the life of a study begins in the log: after its last deletion (0 when it never was deleted).
pub(super) async fn birth(ledger: &Ledger, study: &Uid) -> Result<u64> {
    let (mut after, mut birth) = (0, 0);
    loop {
        let rows = ledger.events(after, Some(study), EVENTS_READ_MAX).await?;
        let Some(last) = rows.last() else { return Ok(birth) };
        after = last.seq;
        birth = rows.iter().rev().find(|row| row.event == Event::StudyDeleted).map_or(birth, |row| row.seq);
    }
}

/// The events of a revision so far.
pub(super) async fn of_revision(ledger: &Ledger, study: &Uid, revision: u32) -> Result<Vec<EventRow>> {
    let (mut after, mut events) = (birth(ledger, study).await?, Vec::new());
    loop {
        let rows = ledger.events(after, Some(study), EVENTS_READ_MAX).await?;
        let Some(last) = rows.last() else { return Ok(events) };
        after = last.seq;
        events.extend(rows.into_iter().filter(|row| row.revision == revision));
    }
}

/// The cursor of an event, and back.
fn cursor(seq: u64) -> String {
    seq.to_string()
}

/// Reads a cursor; empty is the beginning.
pub(super) fn after(field: &str, cursor: &str) -> Result<u64> {
    match cursor {
        "" => Ok(0),
        text => text.parse().map_err(|_| bad(field, "is not a cursor that this server gave")),
    }
}

/// Whether an event ends its revision.
pub(super) fn ends_revision(event: &Event) -> bool {
    match event {
        Event::Reported | Event::Quarantined { .. } | Event::StudyRefused | Event::StudyDeleted => true,
        Event::InstanceStored { .. }
        | Event::InstanceConflict { .. }
        | Event::InstanceRefused { .. }
        | Event::StudySealed { .. }
        | Event::TargetPlanned { .. }
        | Event::TargetNotAnalysed { .. }
        | Event::TargetRunning { .. }
        | Event::Progress { .. }
        | Event::FindingMade { .. }
        | Event::HeatmapMade { .. }
        | Event::SegmentationMade { .. } => false,
    }
}

/// Whether an event is about a single instance, which receipts tell.
pub(super) fn is_of_instance(event: &Event) -> bool {
    matches!(event, Event::InstanceStored { .. } | Event::InstanceConflict { .. } | Event::InstanceRefused { .. })
}

/// An event of `study` as a message.
pub(super) fn message(study: &Uid, row: EventRow) -> Result<v1::Event> {
    Ok(v1::Event {
        cursor: cursor(row.seq),
        study: name::of_study(study),
        revision: row.revision,
        time: Some(convert::timestamp(row.at)),
        body: Some(body(study, row.revision, row.event)?),
    })
}

fn body(study: &Uid, revision: u32, event: Event) -> Result<v1::event::Body> {
    use v1::event::Body as B;
    Ok(match event {
        Event::InstanceStored { sop_instance, series, bytes } => B::InstanceStored(v1::InstanceStored {
            sop_instance_uid: sop_instance.to_string(),
            series_instance_uid: series.to_string(),
            size_bytes: bytes,
        }),
        Event::InstanceConflict { sop_instance } => {
            B::InstanceConflicted(v1::InstanceConflicted { sop_instance_uid: sop_instance.to_string() })
        }
        Event::InstanceRefused { sop_instance, code, detail } => {
            let about = sop_instance.map_or(Subject::None, |uid| Subject::Instance(uid.to_string()));
            B::InstanceRefused(v1::InstanceRefused { reason: Some(convert::reason(code, &about, &detail)) })
        }
        Event::StudySealed { by } => B::StudySealed(v1::StudySealed { sealed_by: by }),
        Event::TargetPlanned { model, version, instances } => {
            B::TargetPlanned(v1::TargetPlanned { model: name::of_model(&model), version, instance_count: instances })
        }
        Event::TargetNotAnalysed { model, code, subject, detail } => B::TargetNotAnalysed(v1::TargetNotAnalysed {
            model: model.as_deref().map(name::of_model).unwrap_or_default(),
            reason: Some(convert::reason(code, &subject, &detail)),
        }),
        Event::TargetRunning { model, attempt } => {
            B::TargetStarted(v1::TargetStarted { model: name::of_model(&model), attempt })
        }
        Event::Progress { model, done, total, stage } => {
            B::ProgressMade(v1::ProgressMade { model: name::of_model(&model), done, total, stage })
        }
        Event::FindingMade { finding_json } => {
            let finding = finding::finding_from_json(&finding_json)?;
            // The references are there before the artifacts are: HeatmapMade and SegmentationMade follow.
            B::FindingMade(v1::FindingMade { finding: Some(convert::finding(study, revision, &finding)) })
        }
        Event::HeatmapMade { finding_uid, key_image, sha256: _ } => {
            let heatmap = match key_image {
                Some(place) => name::of_key_heatmap(study, revision, &finding_uid, place),
                None => name::of_heatmap(study, revision, &finding_uid),
            };
            B::HeatmapCompleted(v1::HeatmapCompleted { heatmap })
        }
        Event::SegmentationMade { finding_uid, sha256: _ } => B::SegmentationCompleted(v1::SegmentationCompleted {
            segmentation: name::of_segmentation(study, revision, &finding_uid),
        }),
        Event::Reported => B::ReportCompleted(v1::ReportCompleted { report: name::of_report(study, revision) }),
        Event::Quarantined { detail } => {
            let about = Subject::Study(study.to_string());
            let reason = convert::reason(Code::Quarantined, &about, &detail);
            B::StudyQuarantined(v1::StudyQuarantined { reason: Some(reason) })
        }
        Event::StudyRefused => B::StudyRefused(v1::StudyRefused {}),
        Event::StudyDeleted => B::StudyDeleted(v1::StudyDeleted {}),
    })
}
