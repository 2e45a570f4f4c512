//! Typed events, and how they lie in the log: one row an event, the body as JSON.
//!
//! The JSON shapes are mirrors of the types: old rows stay readable when a type here grows.
use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Error, Result, Subject},
    ledger::Micros,
    uid::Uid,
};

/// Something that happened, durable with the change that it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what the variants' lines leave open")]
pub enum Event {
    /// An instance became part of the study.
    InstanceStored { sop_instance: Uid, series: Uid, bytes: u64 },
    /// Other bytes came under a SOP Instance UID that is stored already.
    InstanceConflict { sop_instance: Uid },
    /// An object was not taken.
    InstanceRefused { sop_instance: Option<Uid>, code: Code, detail: String },
    /// The revision is complete as far as is known.
    StudySealed { by: String },
    /// A model is to read so many instances of the revision.
    TargetPlanned { model: String, version: String, instances: u32 },
    /// Something is not read by a model (`None`: by any), and why.
    TargetNotAnalysed { model: Option<String>, code: Code, subject: Subject, detail: String },
    /// A model started on the revision, for the so-manieth time.
    TargetRunning { model: String, attempt: u32 },
    /// So many of all instances of a target are through `stage`.
    Progress { model: String, done: u32, total: u32, stage: String },
    /// A finding is made.
    FindingMade { finding_json: String },
    /// A heatmap of a finding is durable as an artifact; `key_image`: of which of its key images, from 1, where it has those.
    HeatmapMade { finding_uid: Uid, key_image: Option<u32>, sha256: String },
    /// The segmentation of a finding is durable as an artifact.
    SegmentationMade { finding_uid: Uid, sha256: String },
    /// The revision's report is made.
    Reported,
    /// Work on the revision stopped the process too often.
    Quarantined { detail: String },
    /// No instance of the study was taken.
    StudyRefused,
    /// The study and all that belongs to it is gone.
    StudyDeleted,
}

impl Event {
    /// The artifact that becomes the study's with this event.
    pub(super) fn artifact(&self) -> Option<&str> {
        match self {
            Event::HeatmapMade { sha256, .. } | Event::SegmentationMade { sha256, .. } => Some(sha256),
            Event::InstanceStored { .. }
            | Event::InstanceConflict { .. }
            | Event::InstanceRefused { .. }
            | Event::StudySealed { .. }
            | Event::TargetPlanned { .. }
            | Event::TargetNotAnalysed { .. }
            | Event::TargetRunning { .. }
            | Event::Progress { .. }
            | Event::FindingMade { .. }
            | Event::Reported
            | Event::Quarantined { .. }
            | Event::StudyRefused
            | Event::StudyDeleted => None,
        }
    }
}

/// An event in its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Place in the log, from 1, growing; the cursor.
    pub seq: u64,
    /// Study Instance UID; `None` for an object that named none.
    pub study: Option<Uid>,
    /// Revision that it belongs to; 0 where there is no study.
    pub revision: u32,
    /// When.
    pub at: Micros,
    /// What.
    pub event: Event,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Body {
    InstanceStored {
        sop_instance: String,
        series: String,
        bytes: u64,
    },
    InstanceConflict {
        sop_instance: String,
    },
    InstanceRefused {
        sop_instance: Option<String>,
        code: String,
        detail: String,
    },
    StudySealed {
        by: String,
    },
    TargetPlanned {
        model: String,
        version: String,
        instances: u32,
    },
    TargetNotAnalysed {
        model: Option<String>,
        code: String,
        subject: SubjectBody,
        detail: String,
    },
    TargetRunning {
        model: String,
        attempt: u32,
    },
    Progress {
        model: String,
        done: u32,
        total: u32,
        stage: String,
    },
    FindingMade {
        finding_json: String,
    },
    HeatmapMade {
        finding_uid: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_image: Option<u32>,
        sha256: String,
    },
    SegmentationMade {
        finding_uid: String,
        sha256: String,
    },
    Reported,
    Quarantined {
        detail: String,
    },
    StudyRefused,
    StudyDeleted,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
enum SubjectBody {
    None,
    Instance(String),
    Series(String),
    Study(String),
    Tag(u16, u16),
    Field(String),
    Model(String),
}

/// The body of the event's row.
pub(super) fn to_json(event: &Event) -> Result<String> {
    serde_json::to_string(&Body::from(event)).map_err(|_| Error::internal("an event could not be written as JSON"))
}

/// The event of a row's body.
pub(super) fn from_json(body: &str) -> Result<Event> {
    let body: Body = serde_json::from_str(body).map_err(|_| unreadable())?;
    body.event()
}

/// A subject as JSON text, for rows that keep one.
pub(super) fn subject_to_json(subject: &Subject) -> Result<String> {
    serde_json::to_string(&SubjectBody::from(subject)).map_err(|_| Error::internal("a subject could not be written"))
}

/// The subject of such a text.
pub(super) fn subject_from_json(text: &str) -> Result<Subject> {
    let body: SubjectBody = serde_json::from_str(text).map_err(|_| unreadable())?;
    Ok(body.into())
}

fn unreadable() -> Error {
    Error::internal("a row of the event log is not of a known shape")
}

fn code(name: &str) -> Result<Code> {
    Code::from_name(name).ok_or_else(unreadable)
}

impl From<&Event> for Body {
    fn from(event: &Event) -> Body {
        match event.clone() {
            Event::InstanceStored { sop_instance, series, bytes } => {
                Body::InstanceStored { sop_instance: sop_instance.to_string(), series: series.to_string(), bytes }
            }
            Event::InstanceConflict { sop_instance } => {
                Body::InstanceConflict { sop_instance: sop_instance.to_string() }
            }
            Event::InstanceRefused { sop_instance, code, detail } => Body::InstanceRefused {
                sop_instance: sop_instance.map(|uid| uid.to_string()),
                code: code.name().to_owned(),
                detail,
            },
            Event::StudySealed { by } => Body::StudySealed { by },
            Event::TargetPlanned { model, version, instances } => Body::TargetPlanned { model, version, instances },
            Event::TargetNotAnalysed { model, code, subject, detail } => {
                Body::TargetNotAnalysed { model, code: code.name().to_owned(), subject: (&subject).into(), detail }
            }
            Event::TargetRunning { model, attempt } => Body::TargetRunning { model, attempt },
            Event::Progress { model, done, total, stage } => Body::Progress { model, done, total, stage },
            Event::FindingMade { finding_json } => Body::FindingMade { finding_json },
            Event::HeatmapMade { finding_uid, key_image, sha256 } => {
                Body::HeatmapMade { finding_uid: finding_uid.to_string(), key_image, sha256 }
            }
            Event::SegmentationMade { finding_uid, sha256 } => {
                Body::SegmentationMade { finding_uid: finding_uid.to_string(), sha256 }
            }
            Event::Reported => Body::Reported,
            Event::Quarantined { detail } => Body::Quarantined { detail },
            Event::StudyRefused => Body::StudyRefused,
            Event::StudyDeleted => Body::StudyDeleted,
        }
    }
}

impl Body {
    fn event(self) -> Result<Event> {
        Ok(match self {
            Body::InstanceStored { sop_instance, series, bytes } => {
                Event::InstanceStored { sop_instance: Uid::parse(&sop_instance)?, series: Uid::parse(&series)?, bytes }
            }
            Body::InstanceConflict { sop_instance } => {
                Event::InstanceConflict { sop_instance: Uid::parse(&sop_instance)? }
            }
            Body::InstanceRefused { sop_instance, code: name, detail } => Event::InstanceRefused {
                sop_instance: sop_instance.as_deref().map(Uid::parse).transpose()?,
                code: code(&name)?,
                detail,
            },
            Body::StudySealed { by } => Event::StudySealed { by },
            Body::TargetPlanned { model, version, instances } => Event::TargetPlanned { model, version, instances },
            Body::TargetNotAnalysed { model, code: name, subject, detail } => {
                Event::TargetNotAnalysed { model, code: code(&name)?, subject: subject.into(), detail }
            }
            Body::TargetRunning { model, attempt } => Event::TargetRunning { model, attempt },
            Body::Progress { model, done, total, stage } => Event::Progress { model, done, total, stage },
            Body::FindingMade { finding_json } => Event::FindingMade { finding_json },
            Body::HeatmapMade { finding_uid, key_image, sha256 } => {
                Event::HeatmapMade { finding_uid: Uid::parse(&finding_uid)?, key_image, sha256 }
            }
            Body::SegmentationMade { finding_uid, sha256 } => {
                Event::SegmentationMade { finding_uid: Uid::parse(&finding_uid)?, sha256 }
            }
            Body::Reported => Event::Reported,
            Body::Quarantined { detail } => Event::Quarantined { detail },
            Body::StudyRefused => Event::StudyRefused,
            Body::StudyDeleted => Event::StudyDeleted,
        })
    }
}

impl From<&Subject> for SubjectBody {
    fn from(subject: &Subject) -> SubjectBody {
        match subject.clone() {
            Subject::None => SubjectBody::None,
            Subject::Instance(uid) => SubjectBody::Instance(uid),
            Subject::Series(uid) => SubjectBody::Series(uid),
            Subject::Study(uid) => SubjectBody::Study(uid),
            Subject::Tag(group, element) => SubjectBody::Tag(group, element),
            Subject::Field(name) => SubjectBody::Field(name),
            Subject::Model(name) => SubjectBody::Model(name),
        }
    }
}

impl From<SubjectBody> for Subject {
    fn from(body: SubjectBody) -> Subject {
        match body {
            SubjectBody::None => Subject::None,
            SubjectBody::Instance(uid) => Subject::Instance(uid),
            SubjectBody::Series(uid) => Subject::Series(uid),
            SubjectBody::Study(uid) => Subject::Study(uid),
            SubjectBody::Tag(group, element) => Subject::Tag(group, element),
            SubjectBody::Field(name) => Subject::Field(name),
            SubjectBody::Model(name) => Subject::Model(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).expect("a valid UID")
    }

    #[test]
    fn every_event_reads_back_as_it_was_written() {
        let subjects = [
            Subject::None,
            Subject::Instance("1.2".into()),
            Subject::Series("1.2".into()),
            Subject::Study("1.2".into()),
            Subject::Tag(0x0028, 0x0100),
            Subject::Field("a.b".into()),
            Subject::Model("m".into()),
        ];
        let mut events = vec![
            Event::InstanceStored { sop_instance: uid("1.2.3"), series: uid("1.2"), bytes: 1 << 40 },
            Event::InstanceConflict { sop_instance: uid("1.2.3") },
            Event::InstanceRefused { sop_instance: None, code: Code::NotDicom, detail: "\"quoted\"".into() },
            Event::InstanceRefused { sop_instance: Some(uid("1.2.3")), code: Code::Truncated, detail: String::new() },
            Event::StudySealed { by: "call".into() },
            Event::TargetPlanned { model: "m".into(), version: "1".into(), instances: 3 },
            Event::TargetRunning { model: "m".into(), attempt: 2 },
            Event::Progress { model: "m".into(), done: 1, total: 3, stage: "infer".into() },
            Event::FindingMade { finding_json: "{\"a\":1}".into() },
            Event::HeatmapMade { finding_uid: uid("2.25.7"), key_image: None, sha256: "ab".repeat(32) },
            Event::HeatmapMade { finding_uid: uid("2.25.7"), key_image: Some(2), sha256: "ab".repeat(32) },
            Event::SegmentationMade { finding_uid: uid("2.25.7"), sha256: "cd".repeat(32) },
            Event::Reported,
            Event::Quarantined { detail: "three times".into() },
            Event::StudyRefused,
            Event::StudyDeleted,
        ];
        for subject in subjects {
            let detail = subject.to_string();
            events.push(Event::TargetNotAnalysed { model: None, code: Code::WrongView, subject, detail });
        }
        for event in events {
            assert_eq!(from_json(&to_json(&event).expect("written")), Ok(event));
        }
    }

    /// Rows of the first version: a change of these shapes would make old logs unreadable.
    #[test]
    fn bodies_of_schema_1_stay_readable() {
        let body = r#"{"event":"target_not_analysed","model":"m","code":"WRONG_VIEW","subject":{"kind":"tag","name":[40,256]},"detail":"d"}"#;
        let event = from_json(body).expect("readable");
        let subject = Subject::Tag(0x28, 0x100);
        let want =
            Event::TargetNotAnalysed { model: Some("m".into()), code: Code::WrongView, subject, detail: "d".into() };
        assert_eq!(event, want);
        assert_eq!(to_json(&event).expect("written"), body);
        let body = r#"{"event":"heatmap_made","finding_uid":"2.25.7","sha256":"ab"}"#;
        let event = from_json(body).expect("readable");
        assert_eq!(event, Event::HeatmapMade { finding_uid: uid("2.25.7"), key_image: None, sha256: "ab".into() });
        assert_eq!(to_json(&event).expect("written"), body);
        assert!(from_json(r#"{"event":"unheard_of"}"#).is_err());
    }
}
