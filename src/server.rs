//! Composition: builds the rooms in order, starts them, and stops them without losing anything.
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    analysis::{Pipeline, Workers},
    config::Config,
    dicom::Decoder,
    error::{Code, Error, Result, Subject},
    gate::{
        dimse,
        grpc::{self, Rooms},
    },
    infer::Pool,
    ledger::{self, Ledger, State, StudyFilter},
    model::{self, Model},
    study::{self, Intake, SealedBy},
};

/// A server that runs.
pub struct Server {
    /// Where the gRPC API listens.
    pub address: SocketAddr,
    /// Where DICOM ports listen: plain, then TLS.
    pub dicom_addresses: Vec<SocketAddr>,
    ledger: Ledger,
    workers: Workers,
    gate: JoinHandle<Result<()>>,
    dimse: Option<JoinHandle<()>>,
    sealer: JoinHandle<()>,
    stop: watch::Sender<bool>,
    drain: Duration,
}

impl Server {
    /// Starts a server: opens the ledger, loads the models, resumes what was sealed, then listens.
    ///
    /// Errors: `InvalidArgument` for an address or folder that cannot be used; those of the ledger. A model that fails its checks
    /// is logged and left out; the others serve.
    pub async fn start(config: Config) -> Result<Server> {
        raise_file_limit();
        let (listener, address) = listen(&config.server.listen, "server.listen").await?;
        let dicom = DicomPorts::open(&config.dimse).await?;
        let decoder = Decoder::new(&config.decode)?;
        let ledger = open_ledger(&config)?;
        let starting = decoder.clone();
        let starting = tokio::task::spawn_blocking(move || starting.start());
        let (models, mut refused) = model::discover(&models_dir(&config));
        let infer_config = config.infer.clone();
        let loading =
            tokio::task::spawn_blocking(move || Pool::start(&infer_config, &models).map(|done| (done, models)));
        let ((pool, failed), models) =
            loading.await.map_err(|_| Error::internal("loading the models failed unexpectedly"))??;
        let models: Vec<Arc<Model>> = serving(models, &failed);
        refused.extend(failed);
        for (name, error) in &refused {
            tracing::error!(model = name, code = %error.code, detail = error.detail, "model refused");
        }
        for model in &models {
            let manifest = &model.manifest;
            tracing::info!(model = %manifest.name, version = manifest.version, digest = model.digest, "model serves");
        }
        starting.await.map_err(|_| Error::internal("starting a decode worker failed unexpectedly"))??;
        let (stop, stopped) = watch::channel(false);
        let intake = Intake::new(ledger.clone(), config.dicom.clone());
        let workers = worker_count(config.analysis.workers);
        let (limits, analysis) = (config.dicom.clone(), config.analysis.clone());
        let pipeline = Pipeline::new(ledger.clone(), models.clone(), decoder.clone(), pool, limits, analysis);
        let workers = Workers::start(&Arc::new(pipeline), workers);
        let sealer = tokio::spawn(seal_quiet(ledger.clone(), intake.clone(), config.study.clone(), stopped.clone()));
        let rooms = Rooms { ledger: ledger.clone(), intake, models, refused, limits: config.dicom.clone(), decoder };
        let drain = Duration::from_secs(config.server.drain_s);
        let dicom_addresses = dicom.addresses.clone();
        let dimse = dicom.serve(&rooms, &config, stopped.clone(), drain);
        let gate = tokio::spawn(grpc::serve(listener, rooms, config.grpc.clone(), stopped, drain));
        tracing::info!(%address, decode = config.decode.mode.name(), "serving");
        Ok(Server { address, dicom_addresses, ledger, workers, gate, dimse, sealer, stop, drain })
    }

    /// Takes nothing new, lets running calls and images end within the drain time, and makes everything durable.
    pub async fn stop(self) -> Result<()> {
        tracing::info!("stopping");
        // Without a receiver everything has ended already.
        let _no_receiver = self.stop.send(true);
        let dimse = async {
            if let Some(dimse) = self.dimse {
                dimse.await.unwrap_or_else(|_| tracing::error!("the DICOM gate ended by a panic"));
            }
        };
        let (_workers, gate, ()) = tokio::join!(self.workers.stop(self.drain), self.gate, dimse);
        if let Err(error) = gate.unwrap_or_else(|_| Err(Error::internal("the gRPC gate ended by a panic"))) {
            tracing::error!(code = %error.code, detail = error.detail, "the gRPC gate did not end in order");
        }
        self.sealer.abort();
        self.ledger.close().await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// The configured folder of models, or where they are found without one.
fn models_dir(config: &Config) -> PathBuf {
    let chosen = &config.server.models_dir;
    model::models_dir((!chosen.as_os_str().is_empty()).then_some(chosen))
}

fn open_ledger(config: &Config) -> Result<Ledger> {
    let data_dir = || Subject::Field("server.data_dir".to_owned());
    let (ledger, recovered) = Ledger::open(&config.server.data_dir, &config.ledger).map_err(|e| e.about(data_dir()))?;
    let (torn_bytes, resumed) = (recovered.torn_bytes, recovered.studies_resumed);
    tracing::info!(torn_bytes, resumed, "ledger open");
    if recovered.torn_instances > 0 || recovered.short_packs > 0 {
        let (torn_instances, short_packs) = (recovered.torn_instances, recovered.short_packs);
        tracing::error!(torn_instances, short_packs, "stored bytes are missing or damaged: see docs/operations.md");
    }
    Ok(ledger)
}

/// Each connection is a file handle; a process is usually born with leave for 1,024, and may take more.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).is_err() {
        tracing::warn!(limit = limit.current, "the limit of open files cannot be raised");
    }
}

/// The DICOM ports, bound before anything else starts: one that is taken is said at once.
struct DicomPorts {
    ports: Vec<dimse::Port>,
    addresses: Vec<SocketAddr>,
    peers: dimse::Peers,
}

impl DicomPorts {
    async fn open(config: &dimse::Config) -> Result<DicomPorts> {
        let (mut ports, mut addresses) = (Vec::new(), Vec::new());
        let peers = dimse::Peers::new(config)?;
        if !config.listen.is_empty() {
            let (listener, address) = listen(&config.listen, "dimse.listen").await?;
            ports.push(dimse::Port::plain(listener));
            addresses.push(address);
        }
        if !config.tls_listen.is_empty() {
            let (listener, address) = listen(&config.tls_listen, "dimse.tls_listen").await?;
            ports.push(dimse::Port::tls(listener, config)?);
            addresses.push(address);
        }
        Ok(DicomPorts { ports, addresses, peers })
    }

    /// `None` without ports.
    fn serve(
        self,
        rooms: &Rooms,
        config: &Config,
        stopped: watch::Receiver<bool>,
        drain: Duration,
    ) -> Option<JoinHandle<()>> {
        for address in &self.addresses {
            tracing::info!(%address, title = config.dimse.title, "serving DICOM");
        }
        let rooms = dimse::Rooms { intake: rooms.intake.clone(), limits: config.dicom.clone(), peers: self.peers };
        let serve = dimse::serve(self.ports, rooms, config.dimse.clone(), stopped, drain);
        (!self.addresses.is_empty()).then(|| tokio::spawn(serve))
    }
}

async fn listen(address: &str, key: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|e| {
        let detail = format!("{address} cannot be listened on ({}); choose another address or port", e.kind());
        Error::new(Code::InvalidArgument, detail).about(Subject::Field(key.to_owned()))
    })?;
    let bound = listener.local_addr().map_err(|_| Error::internal("the listening address is not known"))?;
    Ok((listener, bound))
}

fn serving(models: Vec<Model>, failed: &[(String, Error)]) -> Vec<Arc<Model>> {
    let works = |model: &Model| !failed.iter().any(|(name, _)| name == model.manifest.name.as_str());
    models.into_iter().filter(works).map(Arc::new).collect()
}

fn worker_count(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// As many as one look at the quiet studies takes; the next look takes the next.
const STUDIES_LOOKED_AT: u32 = 1000;

fn quiet(config: &study::Config) -> StudyFilter {
    StudyFilter {
        state: Some(State::Open),
        updated_before: Some(ledger::now() - config.quiet_us()),
        ..StudyFilter::default()
    }
}

/// Seals studies that got nothing new for the quiet period.
async fn seal_quiet(ledger: Ledger, intake: Intake, config: study::Config, mut stop: watch::Receiver<bool>) {
    let look = Duration::from_secs((config.quiet_period_s / 4).clamp(1, 15));
    loop {
        tokio::select! {
            () = tokio::time::sleep(look) => {}
            _ = stop.changed() => return,
        }
        let open = match ledger.studies(quiet(&config), STUDIES_LOOKED_AT).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(code = %error.code, "open studies not listed");
                continue;
            }
        };
        for row in &open {
            match intake.seal(&row.study, SealedBy::QuietPeriod).await {
                Ok(_) => tracing::info!(study = %row.study, by = "quiet_period", "study sealed"),
                Err(error) => tracing::warn!(study = %row.study, code = %error.code, "study not sealed"),
            }
        }
    }
}
