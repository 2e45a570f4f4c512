//! The life of one association: request, messages, end.
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use super::{
    offer,
    peers::Granted,
    serve::{Gate, begun},
    status::{Misuse, Status},
    tally::Tally,
};
use crate::{
    network::{Accepted, Associate, Command, Connection, Context, Fault, Field, Fragment, Heard, Reject, VERIFICATION},
    study::SealedBy,
    uid::Uid,
};

/// Studies of one association that are sealed by its release; those beyond wait for the quiet period.
const STUDIES_MAX: usize = 10_000;

/// An association that stands.
pub(super) struct Association<S> {
    pub(super) connection: Connection<S>,
    pub(super) gate: Arc<Gate>,
    pub(super) tally: Tally,
    contexts: Vec<Context>,
    granted: Granted,
    studies: BTreeSet<Uid>,
}

/// Serves one connection to its end. Never fails: what goes wrong is told to the peer, and logged here.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    address: IpAddr,
    gate: Arc<Gate>,
    stopped: watch::Receiver<bool>,
) {
    let mut connection = Connection::new(stream, gate.limits);
    let mut stop = stopped.clone();
    let requested = tokio::select! {
        requested = requested(&mut connection, &gate) => requested,
        () = begun(&mut stop) => Err(Fault::Ours),
    };
    let (request, granted) = match requested {
        Ok(Ok(request)) => match gate.peers.admit(&request, address) {
            Ok(granted) => (request, granted),
            Err(reject) => return turn_away(connection, reject, address, Some(&request)).await,
        },
        Ok(Err(reject)) => return turn_away(connection, reject, address, None).await,
        Err(fault) => {
            tracing::debug!(%address, end = fault.name(), "no association");
            return connection.abort(fault.abort()).await;
        }
    };
    let accepted =
        Accepted { answers: offer::answers(&request), pdu_bytes_max: gate.limits.pdu_bytes_max, roles: Vec::new() };
    connection.set_peer_pdu_bytes_max(request.pdu_bytes_max);
    let contexts = accepted.contexts(&request);
    let (tally, studies) = (Tally::new(), BTreeSet::new());
    let mut association = Association { connection, gate, tally, contexts, granted, studies };
    let ended = association.run(&accepted.encode(&request), stopped).await;
    let Association { connection, tally, .. } = association;
    tally.log(&request.calling, address, ended.map_or_else(Fault::name, |()| "released"));
    match ended {
        Ok(()) => connection.close().await,
        Err(fault) => connection.abort(fault.abort()).await,
    }
}

/// Answers a connection for which there is no place.
pub(super) async fn turn_away_one_too_many<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    address: IpAddr,
    gate: Arc<Gate>,
) {
    let mut connection = Connection::new(stream, gate.limits);
    match requested(&mut connection, &gate).await {
        Ok(request) => turn_away(connection, Reject::LimitExceeded, address, request.as_ref().ok()).await,
        Err(fault) => connection.abort(fault.abort()).await,
    }
}

async fn requested<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    gate: &Gate,
) -> Result<Result<Associate, Reject>, Fault> {
    match timeout(gate.artim, connection.hear(gate.artim)).await {
        Ok(Ok(Heard::Associate(request))) => Ok(request),
        Ok(Ok(
            Heard::Accepted(_)
            | Heard::Rejected(_)
            | Heard::Fragment(_)
            | Heard::ReleaseRequest
            | Heard::ReleaseResponse,
        )) => Err(Fault::Unexpected),
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Fault::Silence),
    }
}

async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<S>,
    reject: Reject,
    address: IpAddr,
    request: Option<&Associate>,
) {
    let [result, source, reason] = reject.numbers();
    let titles = request.map(|request| (request.calling.as_str(), request.called.as_str()));
    let (calling, called) = titles.unwrap_or_default();
    tracing::warn!(%address, calling, called, result, source, reason, "association rejected");
    // It may be gone already: then there is nobody to tell.
    let _heard = connection.say(&reject.encode()).await;
    connection.close().await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Association<S> {
    /// Accepts, then takes messages until the peer releases, or until the gate stops between two of them.
    async fn run(&mut self, acceptance: &[u8], mut stopped: watch::Receiver<bool>) -> Result<(), Fault> {
        self.connection.say(acceptance).await?;
        loop {
            let heard = tokio::select! {
                heard = self.connection.hear(self.gate.idle) => heard?,
                () = begun(&mut stopped) => return Err(Fault::Ours),
            };
            match heard {
                Heard::Fragment(first) => self.message(first).await?,
                Heard::ReleaseRequest => {
                    self.seal().await;
                    return self.connection.say_release_response().await;
                }
                Heard::Associate(_) | Heard::Accepted(_) | Heard::Rejected(_) | Heard::ReleaseResponse => {
                    return Err(Fault::Unexpected);
                }
            }
        }
    }

    async fn message(&mut self, first: Fragment) -> Result<(), Fault> {
        let context = self.contexts.iter().find(|context| context.id == first.context).cloned();
        let context = context.ok_or(Fault::Invalid)?;
        let command = self.connection.read_command(first, self.gate.idle).await?;
        match command.field {
            Field::StoreRequest => self.store(&context, &command).await,
            Field::EchoRequest => self.echo(&context, &command).await,
            // There is nothing to cancel: every operation here is answered before the next is read.
            Field::CancelRequest => Ok(()),
            Field::StoreResponse | Field::EchoResponse => Err(Fault::Unexpected),
            Field::Other(_) if command.field.is_response() => Err(Fault::Unexpected),
            Field::Other(_) => {
                self.skip_data_set(context.id, &command).await?;
                self.respond(context.id, &command, Status::of_misuse(Misuse::Operation)).await
            }
        }
    }

    async fn echo(&mut self, context: &Context, command: &Command) -> Result<(), Fault> {
        self.skip_data_set(context.id, command).await?;
        self.tally.echo();
        let status = match context.abstract_syntax.as_str() {
            VERIFICATION => Status::SUCCESS,
            _ => Status::of_misuse(Misuse::SopClass),
        };
        self.respond(context.id, command, status).await
    }

    async fn respond(&mut self, context: u8, command: &Command, status: Status) -> Result<(), Fault> {
        self.connection.say_command(context, &command.respond(status.number, status.comment)).await
    }

    /// Notes a study to seal at release, if this peer's rule says so.
    pub(super) fn remember(&mut self, study: Uid) {
        if self.granted.seal_on_release && self.studies.len() < STUDIES_MAX {
            self.studies.insert(study);
        }
    }

    async fn seal(&mut self) {
        for study in std::mem::take(&mut self.studies) {
            match self.gate.intake.seal(&study, SealedBy::Release).await {
                Ok(_) => tracing::info!(%study, by = SealedBy::Release.as_str(), "study sealed"),
                // The quiet period seals it later.
                Err(error) => tracing::warn!(%study, code = %error.code, "study not sealed"),
            }
        }
    }
}
