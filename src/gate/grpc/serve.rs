//! Composition of the gate: the rooms that it asks, the services on one socket, and an orderly end.
use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tonic::{
    Response, Status,
    transport::{Server, server::Router},
};
use tonic_health::ServingStatus;

use super::{
    Config,
    analysis::Analysis,
    budget::Budget,
    call::{Closing, Deadline},
    ending::Watched,
    finding::Findings,
    listen::Limited,
    model::{Models, ModelsView},
    object::Objects,
    status::said,
    stream::{Driven, Responses},
    study::Studies,
    v1,
};
use crate::{
    dicom::{self, DecodeMode, Decoder, Walls},
    error::{Code, Error, Result},
    ledger::Ledger,
    model::Model,
    study::Intake,
};

/// HTTP/2 flow control: measured at 1.1 to 1.7 GB/s on loopback, against 0.3 to 0.7 with the 64 KiB default.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Above a chunk's limit, so that a chunk that is too large is answered with its field and not by the transport.
pub(super) const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// A client machine that went down is noticed after the two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// After the drain, for the last answers to reach their clients.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the gate asks.
#[derive(Clone)]
pub struct Rooms {
    /// Takes instances, seals studies.
    pub intake: Intake,
    /// Rows, events, reports, artifacts.
    pub ledger: Ledger,
    /// The models that serve.
    pub models: Vec<Arc<Model>>,
    /// Models that were refused at start, by name.
    pub refused: Vec<(String, Error)>,
    /// The limits that intake reads by: larger instances are refused before their bytes are received.
    pub limits: dicom::Limits,
    /// Decodes the images that heatmaps are drawn over.
    pub decoder: Decoder,
}

/// What every service holds.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) rooms: Rooms,
    pub(super) models: Arc<ModelsView>,
    pub(super) budget: Budget,
    pub(super) closing: Closing,
    /// How long calls may go on after shutdown began.
    pub(super) drain: Duration,
    streams: Arc<Semaphore>,
}

impl Gate {
    /// Runs a streaming call: within its deadline, in one of the places that there are. Errors: `Busy`.
    pub(super) fn stream<T, F>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(Gate, Responses<T>) -> F,
    ) -> std::result::Result<Response<Driven<T>>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.streams).try_acquire_owned() else {
            let detail = "as many streams are open as this server allows (grpc.streams_max)";
            return Err(said(&Error::new(Code::Busy, detail)));
        };
        let driven = Driven::by(self.budget.idle(), |responses| {
            let work = work(self.clone(), responses);
            async move {
                let _place = place;
                deadline.bound(work).await
            }
        });
        Ok(Response::new(driven))
    }
}

/// Serves `overread.v1`, `grpc.health.v1` and server reflection on `listener` until `stopped` says true; then takes no
/// more instances, lets running calls end for `drain` at most, and returns.
///
/// Errors: `Internal` when the socket fails.
pub async fn serve(
    listener: TcpListener,
    rooms: Rooms,
    config: Config,
    stopped: watch::Receiver<bool>,
    drain: Duration,
) -> Result<()> {
    let models = Arc::new(ModelsView::new(&rooms.models, &rooms.refused));
    let gate = Gate {
        budget: Budget::new(&config, rooms.limits.instance_bytes_max),
        closing: Closing(stopped.clone()),
        drain,
        streams: Arc::new(Semaphore::new(config.streams_max)),
        rooms,
        models,
    };
    let (health, router) = router(gate, &config).await?;
    let closing = Closing(stopped);
    let server =
        router.serve_with_incoming_shutdown(Limited::new(listener, config.connections_max), closing.clone().begun());
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => return result.map_err(broken),
        () = closing.begun() => {}
    }
    health.set_service_status("", ServingStatus::NotServing).await;
    match tokio::time::timeout(drain + FAREWELL, server).await {
        Ok(result) => result.map_err(broken),
        // Calls that are left are cut: what was acknowledged is durable, and their clients can watch again.
        Err(_) => Ok(()),
    }
}

fn broken(_: tonic::transport::Error) -> Error {
    Error::internal("the gRPC socket failed")
}

async fn router(gate: Gate, config: &Config) -> Result<(tonic_health::server::HealthReporter, Router)> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<v1::analysis_service_server::AnalysisServiceServer<Analysis>>().await;
    health.set_serving::<v1::study_service_server::StudyServiceServer<Studies>>().await;
    health.set_serving::<v1::finding_service_server::FindingServiceServer<Findings>>().await;
    health.set_serving::<v1::object_service_server::ObjectServiceServer<Objects>>().await;
    health.set_serving::<v1::model_service_server::ModelServiceServer<Models>>().await;
    for (name, serves) in gate.models.health() {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status(name, status).await;
    }
    for (name, holds) in decode_health(&gate.rooms.decoder) {
        let status = if holds { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status(name, status).await;
    }
    let unreadable = |_| Error::internal("the API's descriptors cannot be read");
    let reflection = self::reflection().build_v1().map_err(unreadable)?;
    // Python's reflection client and older grpcurl ask for the alpha version.
    let reflection_alpha = self::reflection().build_v1alpha().map_err(unreadable)?;
    let analysis = v1::analysis_service_server::AnalysisServiceServer::new(Analysis(gate.clone()));
    let studies = v1::study_service_server::StudyServiceServer::new(Studies(gate.clone()));
    let findings = v1::finding_service_server::FindingServiceServer::new(Findings(gate.clone()));
    let objects = v1::object_service_server::ObjectServiceServer::new(Objects(gate.clone()));
    let models = v1::model_service_server::ModelServiceServer::new(Models(gate));
    let router = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(config.connection_calls_max)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .add_service(Watched(analysis.max_decoding_message_size(MESSAGE_BYTES_MAX)))
        .add_service(Watched(studies.max_decoding_message_size(MESSAGE_BYTES_MAX)))
        .add_service(objects.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(findings.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(models.max_decoding_message_size(MESSAGE_BYTES_MAX));
    Ok((health, router))
}

/// The names under which `grpc.health.v1` tells where frames are decoded, and behind which walls.
fn decode_health(decoder: &Decoder) -> [(&'static str, bool); 4] {
    let walls = decoder.walls().unwrap_or(Walls { seccomp: false, landlock: false });
    [
        ("decode/workers", decoder.mode() == DecodeMode::Workers),
        ("decode/in-process", decoder.mode() == DecodeMode::InProcess),
        ("decode/seccomp", walls.seccomp),
        ("decode/landlock", walls.landlock),
    ]
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
