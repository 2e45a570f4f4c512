//! `StudyService`: studies stored, sealed, listed, watched, explained, deleted.
use tonic::{Request, Response, Status, Streaming};

use super::{
    call::{Closing, Deadline, unary},
    convert,
    event::{self, Reader},
    explain::explain,
    name::{self, bad},
    once::once,
    page::Page,
    receive::{Incoming, receive},
    serve::Gate,
    stream::{Driven, Responses},
    v1,
};
use crate::{
    error::{Code, Error, Result, Subject},
    ledger::{Ledger, StudyFilter, StudyRow},
    study::SealedBy,
    uid::Uid,
};

/// The service.
pub(super) struct Studies(pub(super) Gate);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::study_service_server::StudyService for Studies {
    type StoreInstancesStream = Driven<v1::StoreInstancesResponse>;
    type WatchStudyStream = Driven<v1::WatchStudyResponse>;

    async fn store_instances(
        &self,
        request: Request<Streaming<v1::StoreInstancesRequest>>,
    ) -> Answer<Self::StoreInstancesStream> {
        let deadline = Deadline::of(request.metadata());
        let parts = Incoming::of(request);
        self.0.stream(deadline, |gate, responses| async move { store(&gate, parts, responses).await })
    }

    async fn seal_study(&self, request: Request<v1::SealStudyRequest>) -> Answer<v1::SealStudyResponse> {
        unary(request, async |asked| {
            let study = name::study("name", &asked.name)?;
            let seal = async {
                let row = self.0.rooms.intake.seal(&study, SealedBy::Request).await?;
                Ok(v1::SealStudyResponse { study: Some(convert::study(&row)) })
            };
            once(&self.0.rooms.ledger, &asked.request_id, "SealStudy", &asked.name, seal).await
        })
        .await
    }

    async fn get_study(&self, request: Request<v1::GetStudyRequest>) -> Answer<v1::GetStudyResponse> {
        unary(request, async |asked| {
            let row = study_row(&self.0.rooms.ledger, &name::study("name", &asked.name)?).await?;
            Ok(v1::GetStudyResponse { study: Some(convert::study(&row)) })
        })
        .await
    }

    async fn list_studies(&self, request: Request<v1::ListStudiesRequest>) -> Answer<v1::ListStudiesResponse> {
        unary(request, async |asked| list(&self.0.rooms.ledger, asked).await).await
    }

    async fn watch_study(&self, request: Request<v1::WatchStudyRequest>) -> Answer<Self::WatchStudyStream> {
        let deadline = Deadline::of(request.metadata());
        let asked = request.into_inner();
        self.0.stream(deadline, |gate, responses| async move {
            let study = name::study("name", &asked.name)?;
            let after = event::after("cursor", &asked.cursor)?;
            let reader = Reader::new(&gate.rooms.ledger, study.clone(), after);
            gate.closing.bound(Closing::AT_ONCE, watch(study, reader, responses)).await
        })
    }

    async fn explain_study(&self, request: Request<v1::ExplainStudyRequest>) -> Answer<v1::ExplainStudyResponse> {
        unary(request, async |asked| {
            let name = name::study_or_revision("name", &asked.name)?;
            let row = study_row(&self.0.rooms.ledger, &name.study).await?;
            explain(&self.0.rooms.ledger, &row, revision_of(&row, name.revision)?).await
        })
        .await
    }

    async fn delete_study(&self, request: Request<v1::DeleteStudyRequest>) -> Answer<v1::DeleteStudyResponse> {
        unary(request, async |asked| {
            let study = name::study("name", &asked.name)?;
            let delete = async {
                self.0.rooms.ledger.delete(&study).await?;
                Ok(v1::DeleteStudyResponse {})
            };
            once(&self.0.rooms.ledger, &asked.request_id, "DeleteStudy", &asked.name, delete).await
        })
        .await
    }
}

/// The row of a study. Errors: `NotFound`.
pub(super) async fn study_row(ledger: &Ledger, study: &Uid) -> Result<StudyRow> {
    let missing = || Error::new(Code::NotFound, "no such study is here").about(Subject::Study(study.to_string()));
    ledger.study(study).await?.ok_or_else(missing)
}

/// The revision that was asked for, or the current one. Errors: `NotFound` for one that is yet to come.
pub(super) fn revision_of(row: &StudyRow, asked: Option<u32>) -> Result<u32> {
    match asked {
        Some(revision) if revision > row.revision => {
            let detail = format!("it has no revision {revision}; the newest is {}", row.revision);
            Err(Error::new(Code::NotFound, detail).about(Subject::Study(row.study.to_string())))
        }
        Some(revision) => Ok(revision),
        None => Ok(row.revision),
    }
}

async fn store(
    gate: &Gate,
    mut parts: Incoming<v1::StoreInstancesRequest>,
    responses: Responses<v1::StoreInstancesResponse>,
) -> Result<()> {
    let answer = |receipt| v1::StoreInstancesResponse { receipt: Some(receipt) };
    let received = receive(&mut parts, &gate.budget, &gate.rooms.intake, &responses, answer);
    gate.closing.bound(Closing::AT_ONCE, received).await.map(|_studies| ())
}

async fn watch(study: Uid, mut reader: Reader, responses: Responses<v1::WatchStudyResponse>) -> Result<()> {
    loop {
        for row in reader.next().await? {
            let event = Some(event::message(&study, row)?);
            responses.send(v1::WatchStudyResponse { event }).await?;
        }
    }
}

async fn list(ledger: &Ledger, asked: v1::ListStudiesRequest) -> Result<v1::ListStudiesResponse> {
    let filter = asked.filter.unwrap_or_default();
    let state = v1::StudyState::try_from(filter.state).map_err(|_| bad("filter.state", "is not a state"))?;
    let since = match &filter.updated_since {
        Some(time) => {
            let out_of_range = || bad("filter.updated_since", "is out of range");
            Some(convert::micros(time).ok_or_else(out_of_range)?)
        }
        None => None,
    };
    let page = Page::of(asked.page_size, &asked.page_token, format!("studies {state:?} {since:?}").as_bytes())?;
    let after = match &page.after {
        Some(key) => Some(key.parse().map_err(|_| bad("page_token", "is not a token that this server gave"))?),
        None => None,
    };
    let filter = StudyFilter { state: convert::state_of(state), updated_after: since, after, ..StudyFilter::default() };
    let mut rows = ledger.studies(filter, page.asked()).await?;
    let next_page_token = page.cut(&mut rows, |row| row.seq.to_string());
    Ok(v1::ListStudiesResponse { studies: rows.iter().map(convert::study).collect(), next_page_token })
}
