//! The client of `overread.v1` that the command line uses: plain values in and out, none of the transport's types.
//!
//! In: a server's URL and instances.   Out: receipts, events, reports, heatmaps, segmentations as the core's own types.
//! What a newer server says beyond this build's knowledge is passed over or read as its nearest known value.
mod objects;
mod read;
mod upload;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{name, series, serve::MESSAGE_BYTES_MAX, status, v1};
use crate::{
    error::{Code, Error, Result, Subject},
    finding::{Finding, NotAnalysed, Report},
    ledger::State,
    pixel::{Affine, SliceSource},
    uid::Uid,
};
pub use objects::{ResultObject, ResultObjects};
use upload::Upload;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// A server that names a larger heatmap is not believed: 64 megapixels of float32.
const HEATMAP_BYTES_MAX: u64 = 256 << 20;
/// The same of a segmentation: 8192 slices of 512 x 512.
const SEGMENTATION_BYTES_MAX: u64 = 2 << 30;

/// A connection to a server. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
}

/// What became of one instance of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Place in the call, from 0.
    pub index: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// SOP Instance UID, where it could be read.
    pub sop_instance: Option<Uid>,
    /// Study Instance UID, where it could be read.
    pub study: Option<Uid>,
}

/// What became of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken and durable.
    Stored,
    /// The same bytes were durable already.
    Duplicate,
    /// Another object of the same UID is stored; both are kept.
    Conflict(Error),
    /// Not taken.
    Refused(Error),
}

/// Something that Analyze says.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// What became of an instance.
    Receipt(Receipt),
    /// Something happened to a study of the call.
    Event(StudyEvent),
}

/// An event of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyEvent {
    /// Study Instance UID.
    pub study: Uid,
    /// Revision, from 1.
    pub revision: u32,
    /// What happened.
    pub event: Event,
}

/// What happens to a study after its instances have come.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields say what the variants' lines leave open")]
pub enum Event {
    /// The revision was sealed.
    Sealed { by: String },
    /// A model was chosen.
    TargetPlanned { model: String, version: String, instances: u32 },
    /// Something is not analysed: by one model, or by any.
    NotAnalysed { model: Option<String>, reason: NotAnalysed },
    /// A model began, for the so-manieth time.
    TargetStarted { model: String, attempt: u32 },
    /// A model got on.
    Progress { model: String, done: u32, total: u32 },
    /// A finding was made.
    Finding(Box<Finding>),
    /// A heatmap can be fetched.
    Heatmap { name: String },
    /// A segmentation can be fetched.
    Segmentation { name: String },
    /// The report is complete: the last event of a revision.
    Reported,
    /// The revision was put aside: its last event.
    Quarantined(NotAnalysed),
    /// No instance was taken: the last event of a revision.
    Refused,
    /// The study was deleted.
    Deleted,
}

/// A study as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Study {
    /// Study Instance UID.
    pub study: Uid,
    /// Current revision, from 1.
    pub revision: u32,
    /// State of the current revision.
    pub state: State,
    /// Instances stored.
    pub instances: u32,
    /// Instances refused.
    pub refused: u32,
    /// What sealed it.
    pub sealed_by: Option<String>,
}

/// Why a study revision was treated as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The study as it is now.
    pub study: Study,
    /// The revision that is explained.
    pub revision: u32,
    /// What sealed it; `None` while it is open.
    pub sealed_by: Option<String>,
    /// Every model as it was weighed.
    pub choices: Vec<Choice>,
    /// The chosen models and how they got on.
    pub targets: Vec<Target>,
    /// Instances that no model reads.
    pub not_analysed: Vec<NotAnalysed>,
    /// Instances that were refused.
    pub refusals: Vec<NotAnalysed>,
}

/// A model as it was weighed.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Model name.
    pub model: String,
    /// Model version; empty where it was not chosen.
    pub version: String,
    /// Instances that it reads.
    pub instances: Vec<String>,
    /// Series that it reads as volumes, once for each volume.
    pub series: Vec<String>,
    /// Instances that it does not read, by which clause.
    pub rejections: Vec<NotAnalysed>,
}

/// A chosen model and how it got on.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// SHA-256 of its weights.
    pub digest: String,
    /// Where it stands, in lower case.
    pub state: &'static str,
    /// How often it was started.
    pub attempts: u32,
    /// Why, where it was not analysed.
    pub reason: Option<NotAnalysed>,
}

/// How a heatmap is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeatmapFormat {
    /// PNG: the map in colour over the source image.
    OverlayPng,
    /// PNG, 8-bit grey: the map alone.
    MapPng,
    /// Float32, little endian, rows x columns of the source image, `0.0..=1.0`.
    Float32,
}

/// A heatmap in source-image geometry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heatmap {
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// As the format says.
    pub bytes: Bytes,
}

/// How a segmentation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentationFormat {
    /// A NIfTI-1 file.
    Nifti,
    /// A byte a voxel, 0 or 1, slices by rows by columns of the source series.
    Bytes,
}

/// A segmentation in the geometry of its source series.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// Slices, rows, columns.
    pub size: [u32; 3],
    /// The frames of the slices, in their order.
    pub sources: Vec<SliceSource>,
    /// From (column, row, slice) to patient coordinates in mm, LPS.
    pub affine: Affine,
    /// As the format says.
    pub bytes: Bytes,
}

impl Client {
    /// Connects to `url`, for example `http://127.0.0.1:7410`.
    ///
    /// Errors: `InvalidArgument` for what is no URL; `ShuttingDown` when nobody answers there.
    pub async fn connect(url: &str) -> Result<Client> {
        let no_url = |_| {
            let detail = "must be a URL such as http://127.0.0.1:7410";
            Error::new(Code::InvalidArgument, detail).about(Subject::Field("server".to_owned()))
        };
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(no_url)?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .tcp_nodelay(true);
        let nobody = |_| Error::new(Code::ShuttingDown, format!("no server answers at {url}"));
        Ok(Client { channel: endpoint.connect().await.map_err(nobody)? })
    }

    /// Sends instances as they come through `instances` until its sender is dropped, which seals their studies. Receipts
    /// and events come back meanwhile: read them, or the server stops taking.
    pub async fn analyze(&self, instances: mpsc::Receiver<Bytes>) -> Result<Analysis> {
        let mut stub = v1::analysis_service_client::AnalysisServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answers = stub.analyze(Upload::new(instances)).await.map_err(failed)?;
        Ok(Analysis { answers: answers.into_inner() })
    }

    /// The report of a study: of `revision`, or the newest. Errors: `NotFound` until it is complete.
    pub async fn report(&self, study: &Uid, revision: Option<u32>) -> Result<Report> {
        let name = match revision {
            Some(revision) => name::of_report(study, revision),
            None => format!("{}/report", name::of_study(study)),
        };
        let mut stub = self.findings();
        let answer = stub.get_report(v1::GetReportRequest { name }).await.map_err(failed)?;
        read::report(answer.into_inner().report.ok_or_else(read::incomplete)?)
    }

    /// The heatmap of a finding, of a series that of its first key slice. Errors: `NotFound` where there is none (yet).
    pub async fn heatmap(&self, study: &Uid, revision: u32, finding: &Uid, format: HeatmapFormat) -> Result<Heatmap> {
        self.fetch_heatmap(name::of_heatmap(study, revision, finding), format).await
    }

    /// The heatmap of a key slice, counted from 1 in the finding's order. Errors: `NotFound` where there is none (yet).
    pub async fn key_heatmap(
        &self,
        study: &Uid,
        revision: u32,
        (finding, key_image): (&Uid, u32),
        format: HeatmapFormat,
    ) -> Result<Heatmap> {
        self.fetch_heatmap(name::of_key_heatmap(study, revision, finding, key_image), format).await
    }

    async fn fetch_heatmap(&self, name: String, format: HeatmapFormat) -> Result<Heatmap> {
        use v1::get_heatmap_response::Part;
        let format = match format {
            HeatmapFormat::OverlayPng => v1::HeatmapFormat::OverlayPng,
            HeatmapFormat::MapPng => v1::HeatmapFormat::MapPng,
            HeatmapFormat::Float32 => v1::HeatmapFormat::Float32,
        };
        let mut stub = self.findings();
        let asked = v1::GetHeatmapRequest { name, format: format.into() };
        let mut parts = stub.get_heatmap(asked).await.map_err(failed)?.into_inner();
        let Some(Part::Header(header)) = next(&mut parts).await?.and_then(|message| message.part) else {
            return Err(read::incomplete());
        };
        let mut body = Body::of(header.size_bytes, HEATMAP_BYTES_MAX)?;
        while let Some(message) = next(&mut parts).await? {
            if let Some(Part::Chunk(chunk)) = message.part {
                body.push(&chunk)?;
            }
        }
        Ok(Heatmap { rows: header.rows, columns: header.columns, bytes: body.whole()? })
    }

    /// The segmentation of a finding. Errors: `NotFound` where there is none (yet).
    pub async fn segmentation(
        &self,
        study: &Uid,
        revision: u32,
        finding: &Uid,
        format: SegmentationFormat,
    ) -> Result<Segmentation> {
        use v1::get_segmentation_response::Part;
        let format = match format {
            SegmentationFormat::Nifti => v1::SegmentationFormat::Nifti,
            SegmentationFormat::Bytes => v1::SegmentationFormat::Bytes,
        };
        let name = name::of_segmentation(study, revision, finding);
        let asked = v1::GetSegmentationRequest { name, format: format.into() };
        let mut stub = self.findings();
        let mut parts = stub.get_segmentation(asked).await.map_err(failed)?.into_inner();
        let Some(Part::Header(header)) = next(&mut parts).await?.and_then(|message| message.part) else {
            return Err(read::incomplete());
        };
        let mut body = Body::of(header.size_bytes, SEGMENTATION_BYTES_MAX)?;
        while let Some(message) = next(&mut parts).await? {
            if let Some(Part::Chunk(chunk)) = message.part {
                body.push(&chunk)?;
            }
        }
        let sources = series::read_sources(&header.sources).ok_or_else(read::incomplete)?;
        let (size, affine) = ([header.slices, header.rows, header.columns], read::affine(&header.affine)?);
        Ok(Segmentation { size, sources, affine, bytes: body.whole()? })
    }

    /// All studies, newest first, page by page until the last.
    pub async fn studies(&self) -> Result<Vec<Study>> {
        let mut stub = self.study_stub();
        let mut studies = Vec::new();
        let mut asked = v1::ListStudiesRequest { page_size: 1000, ..Default::default() };
        loop {
            let page = stub.list_studies(asked.clone()).await.map_err(failed)?.into_inner();
            for study in page.studies {
                studies.push(read::study(study)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(studies);
            }
            asked.page_token = page.next_page_token;
        }
    }

    /// Why a study was treated as it was, in `revision` or in the current one. Errors: `NotFound`.
    pub async fn explain(&self, study: &Uid, revision: Option<u32>) -> Result<Explanation> {
        let name = match revision {
            Some(revision) => format!("{}/revisions/{revision}", name::of_study(study)),
            None => name::of_study(study),
        };
        let mut stub = self.study_stub();
        let answer = stub.explain_study(v1::ExplainStudyRequest { name }).await.map_err(failed)?;
        read::explanation(answer.into_inner())
    }

    fn findings(&self) -> v1::finding_service_client::FindingServiceClient<Channel> {
        // A report of many findings may be larger than a chunk.
        v1::finding_service_client::FindingServiceClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    fn study_stub(&self) -> v1::study_service_client::StudyServiceClient<Channel> {
        v1::study_service_client::StudyServiceClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }
}

/// Largest single answer that is taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The answers of an Analyze call. Dropped early, the call ends: what has a receipt is kept.
pub struct Analysis {
    answers: Streaming<v1::AnalyzeResponse>,
}

impl Analysis {
    /// The next receipt or event; `None` when every study of the call has ended.
    pub async fn next(&mut self) -> Result<Option<Update>> {
        while let Some(message) = next(&mut self.answers).await? {
            if let Some(update) = message.part.map(read::update).transpose()?.flatten() {
                return Ok(Some(update));
            }
        }
        Ok(None)
    }
}

/// Bytes that come in chunks; never more than were announced.
struct Body {
    bytes: BytesMut,
    announced: u64,
}

impl Body {
    /// Errors: `TooLarge`.
    fn of(announced: u64, bytes_max: u64) -> Result<Body> {
        if announced > bytes_max {
            return Err(Error::new(Code::TooLarge, "what was asked for is larger than this client takes"));
        }
        Ok(Body { bytes: BytesMut::new(), announced })
    }

    fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() as u64 > self.announced { Err(read::incomplete()) } else { Ok(()) }
    }

    fn whole(self) -> Result<Bytes> {
        if self.bytes.len() as u64 == self.announced { Ok(self.bytes.freeze()) } else { Err(read::incomplete()) }
    }
}

async fn next<M>(messages: &mut Streaming<M>) -> Result<Option<M>> {
    messages.message().await.map_err(failed)
}

fn failed(status: Status) -> Error {
    status::error(&status)
}
