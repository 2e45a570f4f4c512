//! `FindingService`: reports, findings, heatmaps and segmentations.
use tonic::{Request, Response, Status};

use super::{
    call::{Deadline, unary},
    convert, event,
    heatmap::{self, Drawn, Format, Shown},
    name::{self, FindingName, HeatmapName, StudyName, bad},
    page::Page,
    receive::CHUNK_BYTES_MAX,
    segmentation,
    serve::Gate,
    stream::{Driven, Responses},
    study::{revision_of, study_row},
    v1,
};
use crate::{
    error::{Code, Error, Result, Subject},
    finding::{self, Finding},
    ledger::{Event, Ledger},
    uid::Uid,
};

/// The service.
pub(super) struct Findings(pub(super) Gate);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::finding_service_server::FindingService for Findings {
    type GetHeatmapStream = Driven<v1::GetHeatmapResponse>;
    type GetSegmentationStream = Driven<v1::GetSegmentationResponse>;

    async fn get_report(&self, request: Request<v1::GetReportRequest>) -> Answer<v1::GetReportResponse> {
        unary(request, async |asked| {
            let StudyName { study, revision } = name::report("name", &asked.name)?;
            let ledger = &self.0.rooms.ledger;
            study_row(ledger, &study).await?;
            let row = ledger.report_row(&study, revision).await?.ok_or_else(|| no_report(&study))?;
            let report = finding::report_from_json(&row.report_json)?;
            Ok(v1::GetReportResponse { report: Some(convert::report(&report, row.at)) })
        })
        .await
    }

    async fn list_findings(&self, request: Request<v1::ListFindingsRequest>) -> Answer<v1::ListFindingsResponse> {
        unary(request, async |asked| list(&self.0.rooms.ledger, asked).await).await
    }

    async fn get_heatmap(&self, request: Request<v1::GetHeatmapRequest>) -> Answer<Self::GetHeatmapStream> {
        let deadline = Deadline::of(request.metadata());
        let asked = request.into_inner();
        self.0.stream(deadline, |gate, responses| async move { give_heatmap(&gate, asked, responses).await })
    }

    async fn get_segmentation(
        &self,
        request: Request<v1::GetSegmentationRequest>,
    ) -> Answer<Self::GetSegmentationStream> {
        let deadline = Deadline::of(request.metadata());
        let asked = request.into_inner();
        self.0.stream(deadline, |gate, responses| async move { give_segmentation(&gate, asked, responses).await })
    }
}

fn no_report(study: &Uid) -> Error {
    let detail = "its report is not complete yet; WatchStudy tells when it is";
    Error::new(Code::NotFound, detail).about(Subject::Study(study.to_string()))
}

/// The findings of a revision in the order of its report; those made so far while it runs.
async fn findings(ledger: &Ledger, study: &Uid, revision: u32) -> Result<Vec<Finding>> {
    if let Some(row) = ledger.report_row(study, Some(revision)).await? {
        return Ok(finding::report_from_json(&row.report_json)?.findings);
    }
    let mut findings: Vec<Finding> = Vec::new();
    for row in event::of_revision(ledger, study, revision).await? {
        if let Event::FindingMade { finding_json } = &row.event {
            let made = finding::finding_from_json(finding_json)?;
            // Work that was taken up again after a restart makes the same findings again.
            if findings.iter().all(|known| known.uid != made.uid) {
                findings.push(made);
            }
        }
    }
    Ok(findings)
}

async fn list(ledger: &Ledger, asked: v1::ListFindingsRequest) -> Result<v1::ListFindingsResponse> {
    let name = name::study_or_revision("parent", &asked.parent)?;
    let row = study_row(ledger, &name.study).await?;
    let revision = revision_of(&row, name.revision)?;
    let filter = asked.filter.unwrap_or_default();
    let outcome =
        v1::FindingOutcome::try_from(filter.outcome).map_err(|_| bad("filter.outcome", "is not an outcome"))?;
    let model = match filter.model.as_str() {
        "" => None,
        model => Some(name::model("filter.model", model)?.to_owned()),
    };
    let page = Page::of(asked.page_size, &asked.page_token, format!("{revision} {outcome:?} {model:?}").as_bytes())?;
    let mut all = findings(ledger, &name.study, revision).await?;
    if let Some(after) = &page.after {
        let known = all.iter().position(|finding| finding.uid.as_str() == after);
        let at = known.ok_or_else(|| bad("page_token", "is of findings that are gone"))?;
        all.drain(..=at);
    }
    all.retain(|finding| {
        let outcome_fits =
            outcome == v1::FindingOutcome::Unspecified || convert::finding_outcome(finding.outcome) == outcome;
        outcome_fits && model.as_ref().is_none_or(|model| finding.provenance.model == *model)
    });
    all.truncate(page.asked() as usize);
    let next_page_token = page.cut(&mut all, |finding| finding.uid.to_string());
    let findings = all.iter().map(|f| convert::finding(&name.study, revision, f)).collect();
    Ok(v1::ListFindingsResponse { findings, next_page_token })
}

/// One finding of a revision. Errors: `NotFound`, as for an artifact of it that is not there (yet).
async fn one(ledger: &Ledger, name: &FindingName) -> Result<Finding> {
    let all = findings(ledger, &name.study, name.revision).await?;
    all.into_iter().find(|known| known.uid == name.finding).ok_or_else(|| missing(name))
}

fn missing(name: &FindingName) -> Error {
    let detail = "there is no such finding, or what is asked for is not made yet";
    Error::new(Code::NotFound, detail).about(Subject::Study(name.study.to_string()))
}

async fn give_heatmap(
    gate: &Gate,
    asked: v1::GetHeatmapRequest,
    responses: Responses<v1::GetHeatmapResponse>,
) -> Result<()> {
    use v1::get_heatmap_response::Part;
    let HeatmapName { finding: name, key_image } = name::heatmap("name", &asked.name)?;
    let format = v1::HeatmapFormat::try_from(asked.format).map_err(|_| bad("format", "is not a format"))?;
    let format = Format::of(format).ok_or_else(|| bad("format", "must be set"))?;
    let found = one(&gate.rooms.ledger, &name).await?;
    let shown = Shown::of(&found, key_image).ok_or_else(|| missing(&name))?;
    let artifact = gate.rooms.ledger.artifact(&shown.digest).await?.ok_or_else(|| missing(&name))?;
    // The share lives as long as the bytes.
    let drawn = heatmap::draw(gate, &name, found, shown, artifact, format).await?;
    let Drawn { header, bytes, share: _share } = drawn;
    let send = |part| responses.send(v1::GetHeatmapResponse { part: Some(part) });
    send(Part::Header(header)).await?;
    let mut rest = bytes;
    while !rest.is_empty() {
        send(Part::Chunk(rest.split_to(rest.len().min(CHUNK_BYTES_MAX)))).await?;
    }
    Ok(())
}

async fn give_segmentation(
    gate: &Gate,
    asked: v1::GetSegmentationRequest,
    responses: Responses<v1::GetSegmentationResponse>,
) -> Result<()> {
    use v1::get_segmentation_response::Part;
    let name = name::segmentation("name", &asked.name)?;
    let format = v1::SegmentationFormat::try_from(asked.format).map_err(|_| bad("format", "is not a format"))?;
    let format = segmentation::Format::of(format).ok_or_else(|| bad("format", "must be set"))?;
    let of = one(&gate.rooms.ledger, &name).await?.of_series.ok_or_else(|| missing(&name))?;
    let digest = of.segmentation.as_ref().ok_or_else(|| missing(&name))?;
    let artifact = gate.rooms.ledger.artifact(digest).await?.ok_or_else(|| missing(&name))?;
    let written = segmentation::write(gate, &of, artifact, format).await?;
    let send = |part| responses.send(v1::GetSegmentationResponse { part: Some(part) });
    send(Part::Header(written.header)).await?;
    let mut rest = written.bytes;
    while !rest.is_empty() {
        send(Part::Chunk(rest.split_to(rest.len().min(CHUNK_BYTES_MAX)))).await?;
    }
    Ok(())
}
