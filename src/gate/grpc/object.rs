//! `ObjectService`: result objects of a study revision, made one by one as the client takes them.
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    call::Deadline,
    name::{self, StudyName, bad},
    receive::CHUNK_BYTES_MAX,
    serve::Gate,
    stream::{Driven, Responses},
    v1,
};
use crate::{
    deliver::{Desk, Kind, Object, Planned, Profile},
    error::Result,
};

/// The service.
pub(super) struct Objects(pub(super) Gate);

#[tonic::async_trait]
impl v1::object_service_server::ObjectService for Objects {
    type GetObjectsStream = Driven<v1::GetObjectsResponse>;

    async fn get_objects(
        &self,
        request: Request<v1::GetObjectsRequest>,
    ) -> std::result::Result<Response<Self::GetObjectsStream>, Status> {
        let deadline = Deadline::of(request.metadata());
        let asked = request.into_inner();
        self.0.stream(deadline, |gate, responses| async move { give(&gate, asked, responses).await })
    }
}

async fn give(gate: &Gate, asked: v1::GetObjectsRequest, responses: Responses<v1::GetObjectsResponse>) -> Result<()> {
    use v1::get_objects_response::Part;
    let StudyName { study, revision } = name::study_or_revision("parent", &asked.parent)?;
    let profile = v1::RenderProfile::try_from(asked.profile).map_err(|_| bad("profile", "is not a profile"))?;
    let profile = self::profile(profile).ok_or_else(|| bad("profile", "must be set"))?;
    let rooms = &gate.rooms;
    let desk = Desk {
        ledger: rooms.ledger.clone(),
        limits: rooms.limits.clone(),
        decoder: rooms.decoder.clone(),
        models: rooms.models.clone(),
    };
    let opened = Arc::new(desk.open(&study, revision).await?);
    let send = |part| responses.send(v1::GetObjectsResponse { part: Some(part) });
    for planned in opened.plan(profile) {
        // The share lives as long as the bytes.
        let _share = gate.budget.reserve(opened.bytes(&planned)).await?;
        let object = Arc::clone(&opened).make(planned.clone()).await?;
        send(Part::Header(header(&planned, &object))).await?;
        let mut rest = object.bytes;
        while !rest.is_empty() {
            send(Part::Chunk(rest.split_to(rest.len().min(CHUNK_BYTES_MAX)))).await?;
        }
    }
    Ok(())
}

/// `None` for UNSPECIFIED.
fn profile(profile: v1::RenderProfile) -> Option<Profile> {
    match profile {
        v1::RenderProfile::Unspecified => None,
        v1::RenderProfile::Ohif => Some(Profile::Ohif),
        v1::RenderProfile::Weasis => Some(Profile::Weasis),
        v1::RenderProfile::ClassicPacs => Some(Profile::ClassicPacs),
        v1::RenderProfile::Archive => Some(Profile::Archive),
        v1::RenderProfile::All => Some(Profile::All),
    }
}

fn header(planned: &Planned, object: &Object) -> v1::ObjectHeader {
    let kind = match planned.kind {
        Kind::Report => v1::ObjectKind::Report,
        Kind::NotAnalysed => v1::ObjectKind::NotAnalysed,
        Kind::Segmentation => v1::ObjectKind::Segmentation,
        Kind::ParametricMap => v1::ObjectKind::ParametricMap,
        Kind::Picture => v1::ObjectKind::Picture,
        Kind::Presentation => v1::ObjectKind::Presentation,
        Kind::KeyObjects => v1::ObjectKind::KeyObjects,
    };
    let speaks_for_a_model = !planned.maker.weights_sha256.is_empty();
    v1::ObjectHeader {
        kind: kind.into(),
        sop_class_uid: object.sop_class.to_string(),
        sop_instance_uid: object.sop_instance.to_string(),
        series_instance_uid: object.series.to_string(),
        transfer_syntax_uid: object.transfer_syntax.to_string(),
        model: if speaks_for_a_model { name::of_model(&planned.maker.model) } else { String::new() },
        instance_number: planned.instance_number,
        size_bytes: object.bytes.len() as u64,
    }
}
