//! Core values as messages. Everything that the API says about a study, a finding or an outcome is worded here.
use super::{name, series, v1};
use crate::{
    error::{Code, Error, Subject},
    finding::{CodedConcept, Finding, NotAnalysed, OperatingPoint, Outcome, Region, Report},
    ledger::{Micros, RefusalRow, State, StudyRow, TargetRow, TargetState},
    study::{self, InstanceReceipt},
    uid::Uid,
};

/// A coded reason.
pub(super) fn reason(code: Code, about: &Subject, detail: &str) -> v1::Reason {
    v1::Reason {
        code: code_number(code),
        subject: subject(about),
        detail: detail.to_owned(),
        remedy: code.row().remedy.to_owned(),
    }
}

/// The API's number of a code: its place in the table, after UNSPECIFIED.
fn code_number(code: Code) -> i32 {
    code as i32 + 1
}

fn subject(about: &Subject) -> Option<v1::Subject> {
    use v1::subject::Subject as S;
    let subject = match about {
        Subject::None => return None,
        Subject::Instance(uid) => S::SopInstanceUid(uid.clone()),
        Subject::Series(uid) => S::SeriesInstanceUid(uid.clone()),
        Subject::Study(uid) => S::StudyInstanceUid(uid.clone()),
        Subject::Model(model) => S::Model(name::of_model(model)),
        Subject::Field(field) => S::Field(field.clone()),
        Subject::Tag(group, element) => {
            S::Tag(v1::AttributeTag { group: u32::from(*group), element: u32::from(*element) })
        }
    };
    Some(v1::Subject { subject: Some(subject) })
}

/// An error as a reason.
pub(super) fn reason_of(error: &Error) -> v1::Reason {
    reason(error.code, &error.subject, &error.detail)
}

/// Something that was not analysed, as a reason.
pub(super) fn not_analysed(item: &NotAnalysed) -> v1::Reason {
    reason(item.code, &item.subject, &item.detail)
}

/// A refusal on record, as a reason.
pub(super) fn refusal(row: &RefusalRow) -> v1::Reason {
    reason(row.code, &row.subject, &row.detail)
}

/// A receipt; `index` is the instance's place in the call.
pub(super) fn receipt(index: u64, receipt: InstanceReceipt) -> v1::InstanceReceipt {
    let (outcome, reason) = match &receipt.outcome {
        study::Outcome::Stored => (v1::ReceiptOutcome::Stored, None),
        study::Outcome::Duplicate => (v1::ReceiptOutcome::Duplicate, None),
        study::Outcome::Conflict => (v1::ReceiptOutcome::Conflict, Some(conflict(receipt.sop_instance.as_ref()))),
        study::Outcome::Refused(error) => (v1::ReceiptOutcome::Refused, Some(reason_of(error))),
    };
    let text = |uid: Option<Uid>| uid.map(|uid| uid.to_string()).unwrap_or_default();
    v1::InstanceReceipt {
        index,
        outcome: outcome.into(),
        sop_instance_uid: text(receipt.sop_instance),
        study_instance_uid: text(receipt.study),
        reason,
    }
}

fn conflict(sop_instance: Option<&Uid>) -> v1::Reason {
    let about = sop_instance.map_or(Subject::None, |uid| Subject::Instance(uid.to_string()));
    reason(Code::UidConflict, &about, "other bytes are stored under this UID; both are kept, the first are analysed")
}

/// A study.
pub(super) fn study(row: &StudyRow) -> v1::Study {
    v1::Study {
        name: name::of_study(&row.study),
        study_instance_uid: row.study.to_string(),
        revision: row.revision,
        state: study_state(row.state).into(),
        instance_count: row.instances,
        refused_count: row.refused,
        size_bytes: row.bytes,
        create_time: Some(timestamp(row.created)),
        update_time: Some(timestamp(row.updated)),
        sealed_by: row.sealed_by.clone().unwrap_or_default(),
    }
}

fn study_state(state: State) -> v1::StudyState {
    match state {
        State::Open => v1::StudyState::Open,
        State::Sealed => v1::StudyState::Sealed,
        State::Planned => v1::StudyState::Planned,
        State::Reported => v1::StudyState::Reported,
        State::Refused => v1::StudyState::Refused,
        State::Quarantined => v1::StudyState::Quarantined,
    }
}

/// The ledger's state of an API state; `None` for UNSPECIFIED.
pub(super) fn state_of(state: v1::StudyState) -> Option<State> {
    match state {
        v1::StudyState::Unspecified => None,
        v1::StudyState::Open => Some(State::Open),
        v1::StudyState::Sealed => Some(State::Sealed),
        v1::StudyState::Planned => Some(State::Planned),
        v1::StudyState::Reported => Some(State::Reported),
        v1::StudyState::Refused => Some(State::Refused),
        v1::StudyState::Quarantined => Some(State::Quarantined),
    }
}

/// A time.
pub(super) fn timestamp(at: Micros) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    prost_types::Timestamp { seconds: at.div_euclid(1_000_000), nanos }
}

/// Microseconds of a time, rounded up: "since" must not include what happened before it. `None`: out of range.
pub(super) fn micros(time: &prost_types::Timestamp) -> Option<Micros> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    time.seconds.checked_mul(1_000_000)?.checked_add((i64::from(time.nanos) + 999) / 1000)
}

/// A target.
pub(super) fn target(row: &TargetRow) -> v1::Target {
    let about = Subject::Model(row.target.model.clone());
    let (state, reason) = match row.state {
        TargetState::Planned => (v1::TargetState::Planned, None),
        TargetState::Running(_) => (v1::TargetState::Running, None),
        TargetState::Done => (v1::TargetState::Done, None),
        TargetState::NotAnalysed(code) => (v1::TargetState::NotAnalysed, Some(reason(code, &about, code.row().means))),
        TargetState::Quarantined => {
            let code = Code::Quarantined;
            (v1::TargetState::Quarantined, Some(reason(code, &about, code.row().means)))
        }
    };
    v1::Target {
        model: name::of_model(&row.target.model),
        version: row.target.version.clone(),
        weights_sha256: row.target.digest.clone(),
        state: state.into(),
        attempts: row.attempts,
        reason,
    }
}

/// A finding of `study` in `revision`. It names artifacts that may still be on their way.
pub(super) fn finding(study: &Uid, revision: u32, finding: &Finding) -> v1::Finding {
    let made = &finding.provenance;
    let of = finding.of_series.as_ref();
    let sources =
        of.map_or_else(|| vec![source(&finding.sop_instance, finding.frame_number)], |of| series::sources(&of.sources));
    let heatmap = finding.heatmap.as_ref().map(|_| name::of_heatmap(study, revision, &finding.uid));
    let segmentation = of.and_then(|of| of.segmentation.as_ref());
    let segmentation = segmentation.map(|_| name::of_segmentation(study, revision, &finding.uid));
    v1::Finding {
        name: name::of_finding(study, revision, &finding.uid),
        uid: finding.uid.to_string(),
        label: finding.label.clone(),
        code: Some(coded_concept(&finding.code)),
        probability: finding.probability,
        threshold: finding.threshold,
        operating_point: finding.operating_point.map(operating_point),
        outcome: finding_outcome(finding.outcome).into(),
        experimental: finding.experimental,
        sources,
        region: finding.region.map(region),
        heatmap: heatmap.unwrap_or_default(),
        provenance: Some(v1::Provenance {
            model: name::of_model(&made.model),
            version: made.version.clone(),
            weights_sha256: made.weights_sha256.clone(),
            calibration_id: made.calibration_id.clone(),
            code_version: made.code_version.clone(),
            device: made.device.clone(),
            inference_duration: Some(duration(made.inference_us)),
        }),
        series_instance_uid: of.map(|of| of.series.to_string()).unwrap_or_default(),
        key_images: of.map(|of| series::key_images(study, revision, &finding.uid, of)).unwrap_or_default(),
        measurements: of.map(series::measurements).unwrap_or_default(),
        segmentation: segmentation.unwrap_or_default(),
    }
}

/// A source image.
pub(super) fn source(sop_instance: &Uid, frame_number: u32) -> v1::SourceImage {
    v1::SourceImage { sop_instance_uid: sop_instance.to_string(), frame_numbers: vec![frame_number] }
}

/// A coded concept.
pub(super) fn coded_concept(code: &CodedConcept) -> v1::CodedConcept {
    v1::CodedConcept { value: code.value.clone(), scheme: code.scheme.clone(), meaning: code.meaning.clone() }
}

/// An operating point.
pub(super) fn operating_point(point: OperatingPoint) -> v1::OperatingPoint {
    v1::OperatingPoint { sensitivity: point.sensitivity, specificity: point.specificity }
}

/// What the threshold says.
pub(super) fn finding_outcome(outcome: Outcome) -> v1::FindingOutcome {
    match outcome {
        Outcome::Positive => v1::FindingOutcome::Positive,
        Outcome::Negative => v1::FindingOutcome::Negative,
        Outcome::Indeterminate => v1::FindingOutcome::Indeterminate,
    }
}

/// A region.
pub(super) fn region(region: Region) -> v1::Region {
    v1::Region { left: region.left, top: region.top, right: region.right, bottom: region.bottom }
}

fn duration(micros: u64) -> prost_types::Duration {
    let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(micros % 1_000_000 * 1000).unwrap_or(0) }
}

/// A report that became durable at `at`.
pub(super) fn report(report: &Report, at: Micros) -> v1::Report {
    let (study, revision) = (&report.study, report.revision);
    let findings = report.findings.iter().map(|f| finding(study, revision, f));
    v1::Report {
        name: name::of_report(study, revision),
        study_instance_uid: study.to_string(),
        revision,
        findings: findings.collect(),
        not_analysed: report.not_analysed.iter().map(not_analysed).collect(),
        create_time: Some(timestamp(at)),
        volumes: report.volumes.iter().map(series::volume).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TABLE;

    #[test]
    fn every_code_has_its_name_in_the_api() {
        for row in TABLE {
            let code = v1::Code::try_from(code_number(row.code)).expect("a code of the API");
            assert_eq!(code.as_str_name(), format!("CODE_{}", row.name));
        }
    }

    #[test]
    fn times_survive_to_the_microsecond_on_both_sides_of_1970() {
        for at in [0, 1, 1_700_000_000_123_456, -1, -1_000_001] {
            assert_eq!(micros(&timestamp(at)), Some(at), "{at}");
        }
        assert_eq!(micros(&prost_types::Timestamp { seconds: 1, nanos: 1 }), Some(1_000_001));
        assert_eq!(micros(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), None);
        assert_eq!(micros(&prost_types::Timestamp { seconds: 0, nanos: -1 }), None);
    }
}
