//! Messages as core values. A message that lacks what this build needs is `Internal`: the server is not one of ours.
use super::{Choice, Event, Explanation, Outcome, Receipt, Study, StudyEvent, Target, Update};
use crate::{
    error::{Code, Error, Result, Subject, TABLE},
    finding::{
        self, CodedConcept, Finding, KeySlice, NotAnalysed, OfSeries, OperatingPoint, Provenance, Region, Report,
    },
    gate::grpc::{series, v1},
    ledger::State,
    pixel::{Affine, SliceSource},
    uid::Uid,
};

/// The answer of a server that does not keep the API.
pub(super) fn incomplete() -> Error {
    Error::internal("the server's answer lacks something that this client needs; is it an overread server?")
}

fn uid(text: &str) -> Result<Uid> {
    Uid::parse(text).map_err(|_| incomplete())
}

fn uid_if_any(text: &str) -> Result<Option<Uid>> {
    if text.is_empty() { Ok(None) } else { uid(text).map(Some) }
}

/// A code of a newer server reads as Internal.
fn code(number: i32) -> Code {
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    index.and_then(|index| TABLE.get(index)).map_or(Code::Internal, |row| row.code)
}

fn bare<'a>(name: &'a str, collection: &str) -> &'a str {
    name.strip_prefix(collection).unwrap_or(name)
}

fn model_name(name: &str) -> String {
    bare(name, "models/").to_owned()
}

fn subject(subject: Option<v1::Subject>) -> Subject {
    use v1::subject::Subject as S;
    match subject.and_then(|subject| subject.subject) {
        None => Subject::None,
        Some(S::SopInstanceUid(uid)) => Subject::Instance(uid),
        Some(S::SeriesInstanceUid(uid)) => Subject::Series(uid),
        Some(S::StudyInstanceUid(uid)) => Subject::Study(uid),
        Some(S::Model(name)) => Subject::Model(model_name(&name)),
        Some(S::Field(field)) => Subject::Field(field),
        Some(S::Tag(tag)) => match (u16::try_from(tag.group), u16::try_from(tag.element)) {
            (Ok(group), Ok(element)) => Subject::Tag(group, element),
            (Ok(_) | Err(_), _) => Subject::None,
        },
    }
}

fn error(reason: Option<v1::Reason>) -> Error {
    let reason = reason.unwrap_or_default();
    Error { code: code(reason.code), subject: subject(reason.subject), detail: reason.detail }
}

fn not_analysed(reason: v1::Reason) -> NotAnalysed {
    let Error { code, subject, detail } = error(Some(reason));
    NotAnalysed { code, subject, detail }
}

/// A piece of Analyze's answer; `None` for what this build does not know.
pub(super) fn update(part: v1::analyze_response::Part) -> Result<Option<Update>> {
    use v1::analyze_response::Part as P;
    Ok(match part {
        P::Receipt(receipt) => Some(Update::Receipt(self::receipt(receipt)?)),
        P::Event(event) => study_event(event)?.map(Update::Event),
    })
}

fn receipt(receipt: v1::InstanceReceipt) -> Result<Receipt> {
    let outcome = match receipt.outcome() {
        v1::ReceiptOutcome::Stored => Outcome::Stored,
        v1::ReceiptOutcome::Duplicate => Outcome::Duplicate,
        v1::ReceiptOutcome::Conflict => Outcome::Conflict(error(receipt.reason)),
        v1::ReceiptOutcome::Refused => Outcome::Refused(error(receipt.reason)),
        v1::ReceiptOutcome::Unspecified => return Err(incomplete()),
    };
    Ok(Receipt {
        index: receipt.index,
        outcome,
        sop_instance: uid_if_any(&receipt.sop_instance_uid)?,
        study: uid_if_any(&receipt.study_instance_uid)?,
    })
}

fn study_event(event: v1::Event) -> Result<Option<StudyEvent>> {
    let study = uid(bare(&event.study, "studies/"))?;
    let revision = event.revision;
    let Some(body) = event.body.map(body).transpose()?.flatten() else { return Ok(None) };
    Ok(Some(StudyEvent { study, revision, event: body }))
}

fn body(body: v1::event::Body) -> Result<Option<Event>> {
    use v1::event::Body as B;
    Ok(Some(match body {
        B::InstanceStored(_) | B::InstanceConflicted(_) | B::InstanceRefused(_) => return Ok(None),
        B::StudySealed(sealed) => Event::Sealed { by: sealed.sealed_by },
        B::TargetPlanned(target) => Event::TargetPlanned {
            model: model_name(&target.model),
            version: target.version,
            instances: target.instance_count,
        },
        B::TargetNotAnalysed(target) => Event::NotAnalysed {
            model: (!target.model.is_empty()).then(|| model_name(&target.model)),
            reason: not_analysed(target.reason.unwrap_or_default()),
        },
        B::TargetStarted(target) => Event::TargetStarted { model: model_name(&target.model), attempt: target.attempt },
        B::ProgressMade(made) => Event::Progress { model: model_name(&made.model), done: made.done, total: made.total },
        B::FindingMade(made) => Event::Finding(Box::new(finding(made.finding.ok_or_else(incomplete)?)?)),
        B::HeatmapCompleted(completed) => Event::Heatmap { name: completed.heatmap },
        B::SegmentationCompleted(completed) => Event::Segmentation { name: completed.segmentation },
        B::ReportCompleted(_) => Event::Reported,
        B::StudyQuarantined(aside) => Event::Quarantined(not_analysed(aside.reason.unwrap_or_default())),
        B::StudyRefused(_) => Event::Refused,
        B::StudyDeleted(_) => Event::Deleted,
    }))
}

fn finding(message: v1::Finding) -> Result<Finding> {
    let outcome = match message.outcome() {
        v1::FindingOutcome::Positive => finding::Outcome::Positive,
        v1::FindingOutcome::Negative => finding::Outcome::Negative,
        v1::FindingOutcome::Indeterminate => finding::Outcome::Indeterminate,
        v1::FindingOutcome::Unspecified => return Err(incomplete()),
    };
    let of_series = of_series(&message)?;
    let own = match of_series.as_ref().and_then(|of| of.key_slices.first()) {
        Some(key) => Some(key.source.clone()),
        None => message.sources.first().map(source).transpose()?,
    };
    let own = own.ok_or_else(incomplete)?;
    let code = message.code.ok_or_else(incomplete)?;
    let made = message.provenance.ok_or_else(incomplete)?;
    Ok(Finding {
        uid: uid(&message.uid)?,
        label: message.label,
        code: CodedConcept { value: code.value, scheme: code.scheme, meaning: code.meaning },
        probability: message.probability,
        threshold: message.threshold,
        operating_point: message
            .operating_point
            .map(|point| OperatingPoint { sensitivity: point.sensitivity, specificity: point.specificity }),
        outcome,
        experimental: message.experimental,
        sop_instance: own.sop_instance,
        frame_number: own.frame_number,
        region: message.region.map(region),
        heatmap: (!message.heatmap.is_empty()).then_some(message.heatmap),
        of_series,
        provenance: Provenance {
            model: model_name(&made.model),
            version: made.version,
            weights_sha256: made.weights_sha256,
            calibration_id: made.calibration_id,
            code_version: made.code_version,
            device: made.device,
            inference_us: micros(made.inference_duration.unwrap_or_default()),
        },
    })
}

/// The part about a series. Names of artifacts are their resource names.
fn of_series(message: &v1::Finding) -> Result<Option<OfSeries>> {
    let Some(series) = uid_if_any(&message.series_instance_uid)? else { return Ok(None) };
    Ok(Some(OfSeries {
        series,
        sources: series::read_sources(&message.sources).ok_or_else(incomplete)?,
        key_slices: message.key_images.iter().map(key_slice).collect::<Result<_>>()?,
        measured: series::read_measurements(message.measurements.clone()),
        segmentation: (!message.segmentation.is_empty()).then(|| message.segmentation.clone()),
    }))
}

fn key_slice(message: &v1::KeyImage) -> Result<KeySlice> {
    Ok(KeySlice {
        slice: message.slice.saturating_sub(1),
        source: source(message.source.as_ref().ok_or_else(incomplete)?)?,
        probability: message.probability,
        region: message.region.map(region),
        heatmap: (!message.heatmap.is_empty()).then(|| message.heatmap.clone()),
    })
}

fn source(message: &v1::SourceImage) -> Result<SliceSource> {
    let frame_number = message.frame_numbers.first().copied().unwrap_or(1);
    Ok(SliceSource { sop_instance: uid(&message.sop_instance_uid)?, frame_number })
}

fn region(message: v1::Region) -> Region {
    Region { left: message.left, top: message.top, right: message.right, bottom: message.bottom }
}

/// 16 numbers, row by row, the last row 0 0 0 1.
pub(super) fn affine(numbers: &[f64]) -> Result<Affine> {
    let (rows, last) = numbers.as_chunks::<4>();
    match rows {
        [x, y, z, [0.0, 0.0, 0.0, 1.0]] if last.is_empty() => Ok(Affine { rows: [*x, *y, *z] }),
        _ => Err(incomplete()),
    }
}

fn micros(duration: prost_types::Duration) -> u64 {
    let seconds = u64::try_from(duration.seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(duration.nanos).unwrap_or(0) / 1000)
}

/// A report; the heatmap of a finding is its resource name.
pub(super) fn report(message: v1::Report) -> Result<Report> {
    Ok(Report {
        study: uid(&message.study_instance_uid)?,
        revision: message.revision,
        findings: message.findings.into_iter().map(finding).collect::<Result<_>>()?,
        not_analysed: message.not_analysed.into_iter().map(not_analysed).collect(),
        volumes: message
            .volumes
            .iter()
            .map(|v| series::read_volume(v).ok_or_else(incomplete))
            .collect::<Result<_>>()?,
    })
}

/// A study.
pub(super) fn study(message: v1::Study) -> Result<Study> {
    let state = match message.state() {
        v1::StudyState::Open => State::Open,
        v1::StudyState::Sealed => State::Sealed,
        v1::StudyState::Planned => State::Planned,
        v1::StudyState::Reported => State::Reported,
        v1::StudyState::Refused => State::Refused,
        v1::StudyState::Quarantined => State::Quarantined,
        v1::StudyState::Unspecified => return Err(incomplete()),
    };
    Ok(Study {
        study: uid(&message.study_instance_uid)?,
        revision: message.revision,
        state,
        instances: message.instance_count,
        refused: message.refused_count,
        sealed_by: (!message.sealed_by.is_empty()).then_some(message.sealed_by),
    })
}

/// An explanation.
pub(super) fn explanation(message: v1::ExplainStudyResponse) -> Result<Explanation> {
    Ok(Explanation {
        study: study(message.study.ok_or_else(incomplete)?)?,
        revision: message.revision,
        sealed_by: (!message.sealed_by.is_empty()).then_some(message.sealed_by),
        choices: message.choices.into_iter().map(choice).collect(),
        targets: message.targets.into_iter().map(target).collect(),
        not_analysed: message.not_analysed.into_iter().map(not_analysed).collect(),
        refusals: message.refusals.into_iter().map(not_analysed).collect(),
    })
}

fn choice(message: v1::ModelChoice) -> Choice {
    Choice {
        model: model_name(&message.model),
        version: message.version,
        instances: message.sop_instance_uids,
        series: message.series_instance_uids,
        rejections: message.rejections.into_iter().map(not_analysed).collect(),
    }
}

fn target(message: v1::Target) -> Target {
    let state = match message.state() {
        v1::TargetState::Unspecified => "unknown",
        v1::TargetState::Planned => "planned",
        v1::TargetState::Running => "running",
        v1::TargetState::Done => "done",
        v1::TargetState::NotAnalysed => "not analysed",
        v1::TargetState::Quarantined => "quarantined",
    };
    Target {
        model: model_name(&message.model),
        version: message.version,
        digest: message.weights_sha256,
        state,
        attempts: message.attempts,
        reason: message.reason.map(not_analysed),
    }
}
