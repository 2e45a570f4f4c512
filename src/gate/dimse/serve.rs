//! The listeners: a bounded number of associations, one task each, and an orderly end.
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    Config, Peers, Port,
    association::{self, turn_away_one_too_many},
    memory::Memory,
    port::Speech,
};
use crate::{
    dicom,
    network::{Limits, Quick},
    study::Intake,
};

/// Instances that this gate has in intake at once: more would wait there, and be refused where they could wait here.
const STORING_MAX: usize = 32;
/// Connections beyond the associations that are told so; any more are closed without a word.
const TURNED_AWAY_MAX: usize = 64;
/// After a connection could not be accepted (no file handles are left): others end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the gate asks.
pub struct Rooms {
    /// Takes instances, seals studies.
    pub intake: Intake,
    /// The limits that intake reads by.
    pub limits: dicom::Limits,
    /// Who may send.
    pub peers: Peers,
}

/// What every association holds.
pub(super) struct Gate {
    pub(super) intake: Intake,
    pub(super) peers: Peers,
    pub(super) memory: Memory,
    pub(super) storing: Semaphore,
    pub(super) limits: Limits,
    pub(super) artim: Duration,
    pub(super) idle: Duration,
    places: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

/// Serves associations on `ports` until `stopped` says true; then takes no more, lets messages that have begun end for `drain`
/// at most, and returns.
pub async fn serve(ports: Vec<Port>, rooms: Rooms, config: Config, stopped: watch::Receiver<bool>, drain: Duration) {
    let idle = Duration::from_secs(config.idle_s.max(1));
    let gate = Arc::new(Gate {
        memory: Memory::new(&config, rooms.limits.instance_bytes_max),
        intake: rooms.intake,
        peers: rooms.peers,
        storing: Semaphore::new(STORING_MAX),
        limits: Limits { pdu_bytes_max: config.pdu_bytes_max.max(PDU_BYTES_MIN), pdu_time: idle },
        artim: Duration::from_secs(config.association_s.max(1)),
        idle,
        places: Arc::new(Semaphore::new(config.associations_max)),
        turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
    });
    let mut listening = JoinSet::new();
    for port in ports {
        listening.spawn(listen(port, Arc::clone(&gate), stopped.clone(), drain));
    }
    while let Some(ended) = listening.join_next().await {
        log_panic(ended);
    }
}

async fn listen(port: Port, gate: Arc<Gate>, stopped: watch::Receiver<bool>, drain: Duration) {
    let Port { listener, speech } = port;
    let (mut tasks, mut stop) = (JoinSet::new(), stopped.clone());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => begin(stream, peer, &gate, &speech, &stopped, &mut tasks),
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // Tasks that have ended are taken out, so that the set does not grow.
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => log_panic(ended),
            () = begun(&mut stop) => break,
        }
    }
    drop(listener);
    let ended = timeout(drain, async {
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    });
    if ended.await.is_err() {
        // What was answered is durable; what was not is sent again.
        tasks.shutdown().await;
    }
}

/// Ends when the stop begins, or when nobody is left who could begin it.
pub(super) async fn begun(stopped: &mut watch::Receiver<bool>) {
    let _nobody_left = stopped.wait_for(|stopped| *stopped).await.is_err();
}

/// Less is no use to anybody: every fragment has six bytes of its own.
const PDU_BYTES_MIN: u32 = 4096;

fn begin(
    stream: TcpStream,
    peer: SocketAddr,
    gate: &Arc<Gate>,
    speech: &Speech,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    // A stream that cannot be set up is gone already.
    let Ok(stream) = Quick::new(stream) else { return };
    let Some(place) = Place::take(gate) else { return };
    let (gate, stopped, address) = (Arc::clone(gate), stopped.clone(), peer.ip().to_canonical());
    match speech.clone() {
        Speech::Plain => drop(tasks.spawn(place.serve(stream, address, gate, stopped))),
        Speech::Tls(tls) => drop(tasks.spawn(async move {
            match timeout(gate.artim, tls.accept(stream)).await {
                Ok(Some(stream)) => place.serve(stream, address, gate, stopped).await,
                Ok(None) | Err(_) => tracing::warn!(%address, "TLS handshake failed"),
            }
        })),
    }
}

/// What there is room for; given back when its connection ends.
enum Place {
    Association(OwnedSemaphorePermit),
    Rejection(OwnedSemaphorePermit),
}

impl Place {
    fn take(gate: &Gate) -> Option<Place> {
        let of = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        of(&gate.places).map(Place::Association).or_else(|| of(&gate.turned_away).map(Place::Rejection))
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: S,
        address: IpAddr,
        gate: Arc<Gate>,
        stopped: watch::Receiver<bool>,
    ) {
        match self {
            Place::Association(_held) => association::serve(stream, address, gate, stopped).await,
            Place::Rejection(_held) => turn_away_one_too_many(stream, address, gate).await,
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("an association ended by a panic; nothing acknowledged was lost");
    }
}
