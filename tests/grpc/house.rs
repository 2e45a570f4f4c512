//! A server of its own for each test, and the few calls that most tests make.
use bytes::Bytes;
use overread::{
    config::Config,
    gate::grpc::{
        client::{Analysis, Client, Receipt, StudyEvent, Update},
        v1,
    },
    server::Server,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tonic::transport::Channel;

/// A running server with the test model and an empty data directory.
pub(crate) struct House {
    pub(crate) server: Server,
    _data: TempDir,
}

/// Everything that an Analyze call said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) events: Vec<StudyEvent>,
}

impl House {
    pub(crate) async fn open() -> House {
        House::open_with(|_| {}).await
    }

    /// With `change` to the configuration.
    pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> House {
        let data = tempfile::tempdir().expect("a data directory");
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".to_owned();
        config.server.data_dir = data.path().to_owned();
        config.server.models_dir = "tests/data/models".into();
        config.decode.program = env!("CARGO_BIN_EXE_overread").into();
        change(&mut config);
        House { server: Server::start(config).await.expect("the server starts"), _data: data }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.url()).await.expect("a connection")
    }

    /// A bare channel, for calls that our client would not make.
    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(self.url()).expect("a URL").connect().await.expect("a connection")
    }

    pub(crate) async fn studies(&self) -> v1::study_service_client::StudyServiceClient<Channel> {
        v1::study_service_client::StudyServiceClient::new(self.channel().await)
    }

    /// Sends `objects` in one Analyze call and reads it to its end.
    pub(crate) async fn analyze(&self, objects: Vec<Vec<u8>>) -> Said {
        let (sender, instances) = mpsc::channel(objects.len().max(1));
        for object in objects {
            sender.send(Bytes::from(object)).await.expect("the call takes it");
        }
        drop(sender);
        let analysis = self.client().await.analyze(instances).await.expect("the call begins");
        read_all(analysis).await
    }
}

pub(crate) async fn read_all(mut analysis: Analysis) -> Said {
    let mut said = Said::default();
    while let Some(update) = analysis.next().await.expect("the call goes on") {
        match update {
            Update::Receipt(receipt) => said.receipts.push(receipt),
            Update::Event(event) => said.events.push(event),
        }
    }
    said
}

/// The parts of one instance, cut into chunks of `chunk_bytes`.
pub(crate) fn parts(object: &[u8], chunk_bytes: usize) -> Vec<v1::analyze_request::Part> {
    use v1::analyze_request::Part;
    let mut parts = vec![Part::InstanceStart(v1::InstanceStart { size_bytes: object.len() as u64 })];
    parts.extend(object.chunks(chunk_bytes).map(|chunk| Part::Chunk(Bytes::copy_from_slice(chunk))));
    let sha256 = Bytes::copy_from_slice(&Sha256::digest(object));
    parts.push(Part::InstanceEnd(v1::InstanceEnd { sha256 }));
    parts
}

/// The requests of raw parts.
pub(crate) fn requests(parts: Vec<v1::analyze_request::Part>) -> Vec<v1::AnalyzeRequest> {
    parts.into_iter().map(|part| v1::AnalyzeRequest { part: Some(part) }).collect()
}
