//! `AnalysisService`: images in, findings out, in one call.
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use super::{
    call::{Closing, Deadline},
    event::{self, Reader},
    receive::{Incoming, receive},
    serve::Gate,
    stream::{Driven, Responses},
    v1,
};
use crate::{
    error::{Code, Error, Result},
    ledger::Ledger,
    study::SealedBy,
    uid::Uid,
};

/// Studies of one call whose events are read at the same time: each is asked for after every commit.
const STUDIES_FOLLOWED_MAX: usize = 16;

/// The service.
pub(super) struct Analysis(pub(super) Gate);

type Piece = v1::analyze_response::Part;

#[tonic::async_trait]
impl v1::analysis_service_server::AnalysisService for Analysis {
    type AnalyzeStream = Driven<v1::AnalyzeResponse>;

    async fn analyze(
        &self,
        request: Request<Streaming<v1::AnalyzeRequest>>,
    ) -> std::result::Result<Response<Self::AnalyzeStream>, Status> {
        let deadline = Deadline::of(request.metadata());
        let parts = Incoming::of(request);
        self.0.stream(deadline, |gate, responses| async move { analyze(&gate, parts, responses).await })
    }
}

async fn analyze(
    gate: &Gate,
    mut parts: Incoming<v1::AnalyzeRequest>,
    responses: Responses<v1::AnalyzeResponse>,
) -> Result<()> {
    let answer = |receipt| v1::AnalyzeResponse { part: Some(Piece::Receipt(receipt)) };
    let received = receive(&mut parts, &gate.budget, &gate.rooms.intake, &responses, answer);
    let studies = gate.closing.bound(Closing::AT_ONCE, received).await?;
    let mut sealed = Vec::new();
    for study in studies {
        match gate.rooms.intake.seal(&study, SealedBy::CallEnd).await {
            Ok(row) => sealed.push((study, row.revision)),
            // Its instances were all refused before the ledger knew the study: the receipts have said why.
            Err(Error { code: Code::NotFound, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    gate.closing.bound(gate.drain, follow_all(&gate.rooms.ledger, sealed, &responses)).await
}

/// Sends the events of each revision until all have ended, a few studies beside each other.
async fn follow_all(
    ledger: &Ledger,
    revisions: Vec<(Uid, u32)>,
    responses: &Responses<v1::AnalyzeResponse>,
) -> Result<()> {
    let mut running = JoinSet::new();
    let mut left = revisions.into_iter();
    loop {
        while running.len() < STUDIES_FOLLOWED_MAX
            && let Some((study, revision)) = left.next()
        {
            running.spawn(follow(ledger.clone(), study, revision, responses.clone()));
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(ended) => ended.map_err(|_| Error::internal("following a study failed unexpectedly"))??,
        }
    }
}

/// Sends the events of a study's revision, past ones first, until one ends it.
async fn follow(ledger: Ledger, study: Uid, revision: u32, responses: Responses<v1::AnalyzeResponse>) -> Result<()> {
    let born = event::birth(&ledger, &study).await?;
    let mut reader = Reader::new(&ledger, study.clone(), born);
    loop {
        for row in reader.next().await? {
            let deleted = row.event == crate::ledger::Event::StudyDeleted;
            if !deleted && (row.revision != revision || event::is_of_instance(&row.event)) {
                continue;
            }
            let ends = event::ends_revision(&row.event);
            let part = Some(Piece::Event(event::message(&study, row)?));
            responses.send(v1::AnalyzeResponse { part }).await?;
            if ends {
                return Ok(());
            }
        }
    }
}
