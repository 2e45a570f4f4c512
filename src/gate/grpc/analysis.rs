//! `AnalysisService`: images in, findings out, in one call.
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use super::{
    call::{Closing, Deadline, Driven, Responses, client_gone},
    event::{self, Reader},
    receive::receive,
    serve::Gate,
    status::said,
    v1,
};
use crate::{
    error::{Code, Error, Result},
    ledger::Ledger,
    study::SealedBy,
    uid::Uid,
};

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
        let place = self.0.stream_place().map_err(|error| said(&error))?;
        let (deadline, gate, parts) = (Deadline::of(request.metadata()), self.0.clone(), request.into_inner());
        Ok(Response::new(Driven::by(|responses| async move {
            let _place = place;
            deadline.bound(analyze(&gate, parts, responses)).await
        })))
    }
}

async fn analyze(
    gate: &Gate,
    mut parts: Streaming<v1::AnalyzeRequest>,
    responses: Responses<v1::AnalyzeResponse>,
) -> Result<()> {
    let answer = |receipt| v1::AnalyzeResponse { part: Some(Piece::Receipt(receipt)) };
    let received = receive(&mut parts, &gate.budget, &gate.rooms.intake, &responses, answer);
    let studies = gate.closing.bound(Closing::AT_ONCE, received).await?;
    let mut ends = JoinSet::new();
    for study in studies {
        let row = match gate.rooms.intake.seal(&study, SealedBy::CallEnd).await {
            Ok(row) => row,
            // Its instances were all refused before the study was known to the ledger: the receipts have said why.
            Err(Error { code: Code::NotFound, .. }) => continue,
            Err(error) => return Err(error),
        };
        ends.spawn(follow(gate.rooms.ledger.clone(), study, row.revision, responses.clone()));
    }
    let ended = async {
        while let Some(followed) = ends.join_next().await {
            followed.map_err(|_| Error::internal("following a study failed unexpectedly"))??;
        }
        Ok(())
    };
    gate.closing.bound(gate.drain, ended).await
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
            responses.send(v1::AnalyzeResponse { part }).await.map_err(client_gone)?;
            if ends {
                return Ok(());
            }
        }
    }
}
