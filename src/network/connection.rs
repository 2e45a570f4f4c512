//! One connection: reads PDUs and fragments within limits and times, and writes each PDU at once.
use std::time::Duration;

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Abort, Accepted, Associate, Command, Fault, Reject,
    pdu::{self, ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, HEAD_BYTES, P_DATA, RELEASE_RP, RELEASE_RQ},
};

/// Before a fragment's bytes: its length, its context, its flags (PS3.8 9.3.5.1, annex E).
const FRAGMENT_HEAD_BYTES: u32 = 6;
const FLAG_COMMAND: u8 = 1;
const FLAG_LAST: u8 = 2;
/// Small reads (heads, commands) are taken from here; fragments of data sets go past it. 1,000 associations hold 8 MiB.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// 128 contexts of 20 transfer syntaxes each are 70 KiB.
const ASSOCIATE_BYTES_MAX: u32 = 256 << 10;
/// A command set of ours is below 400 bytes; PS3.7 bounds the values of theirs.
const COMMAND_BYTES_MAX: usize = 64 << 10;
/// How much of what a peer goes on sending is read, and how long, so that it can hear why it was aborted.
const FAREWELL_BYTES_MAX: u64 = 4 << 20;
const FAREWELL: Duration = Duration::from_secs(2);

/// What a connection allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest P-DATA body that is read, bytes.
    pub pdu_bytes_max: u32,
    /// How long a PDU that has begun may take to come, or one of ours to be taken.
    pub pdu_time: Duration,
}

/// The head of a fragment; its bytes come next, by [`Connection::read_fragment`] or [`Connection::skip_fragment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Presentation context.
    pub context: u8,
    /// Of a command set, not of a data set.
    pub command: bool,
    /// The last one of its message part.
    pub last: bool,
    /// Its length.
    pub bytes: u32,
}

/// What a peer said.
#[derive(Debug)]
pub enum Heard {
    /// A request for an association, or why it is rejected whoever asks.
    Associate(Result<Associate, Reject>),
    /// Ours was accepted.
    Accepted(Accepted),
    /// Ours was rejected: result, source, reason.
    Rejected([u8; 3]),
    /// A fragment begins.
    Fragment(Fragment),
    /// The peer wants to end.
    ReleaseRequest,
    /// The peer agrees to end.
    ReleaseResponse,
}

/// A connection to a peer. After a [`Fault`] only [`Connection::abort`] makes sense.
pub struct Connection<S> {
    stream: BufReader<S>,
    limits: Limits,
    /// What the peer takes at once; set when the association stands.
    peer_pdu_bytes_max: u32,
    /// Not yet read of the P-DATA PDU, and of the fragment in it.
    pdu_left: u32,
    fragment_left: u32,
    /// When the PDU that is being read must have come.
    until: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection on which nothing was said yet.
    pub fn new(stream: S, limits: Limits) -> Connection<S> {
        Connection {
            stream: BufReader::with_capacity(READ_BUFFER_BYTES, stream),
            limits,
            peer_pdu_bytes_max: 0,
            pdu_left: 0,
            fragment_left: 0,
            until: Instant::now(),
        }
    }

    /// Sets what the peer takes at once, as its side of the association says; 0: any.
    pub fn set_peer_pdu_bytes_max(&mut self, bytes: u32) {
        self.peer_pdu_bytes_max = bytes;
    }

    /// The next thing that the peer says; its first byte must come within `wait`.
    ///
    /// The fragment before must have been read or skipped. Errors: as [`Fault`] says; an abort by the peer is one.
    /// Cancel safety: none. A caller that stops waiting ends the association.
    pub async fn hear(&mut self, wait: Duration) -> Result<Heard, Fault> {
        if self.pdu_left == 0 {
            let (kind, length) = self.read_head(wait).await?;
            if kind != P_DATA {
                return self.read_control(kind, length).await;
            }
            if length < FRAGMENT_HEAD_BYTES || length > self.limits.pdu_bytes_max {
                return Err(Fault::Invalid);
            }
            self.pdu_left = length;
        }
        self.read_fragment_head().await.map(Heard::Fragment)
    }

    /// Appends the bytes of the fragment that was heard last.
    pub async fn read_fragment(&mut self, into: &mut BytesMut) -> Result<(), Fault> {
        into.reserve(self.fragment_left as usize);
        let mut rest = (&mut self.stream).take(u64::from(self.fragment_left));
        while rest.limit() > 0 {
            match timeout_at(self.until, rest.read_buf(into)).await {
                Ok(Ok(0) | Err(_)) => return Err(Fault::Gone),
                Ok(Ok(_)) => {}
                Err(_) => return Err(Fault::Silence),
            }
        }
        self.fragment_left = 0;
        Ok(())
    }

    /// Passes over the bytes of the fragment that was heard last.
    pub async fn skip_fragment(&mut self) -> Result<(), Fault> {
        let mut rest = (&mut self.stream).take(u64::from(self.fragment_left));
        let skipped = timeout_at(self.until, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
        match skipped {
            Ok(Ok(bytes)) if bytes == u64::from(self.fragment_left) => {}
            Ok(_) => return Err(Fault::Gone),
            Err(_) => return Err(Fault::Silence),
        }
        self.fragment_left = 0;
        Ok(())
    }

    /// Reads a command set whose first fragment is `first`; its others must follow within `wait` each.
    ///
    /// Errors: `Invalid` for a command set of more than 64 KiB, or one that does not read; `Unexpected` when something else comes between.
    pub async fn read_command(&mut self, first: Fragment, wait: Duration) -> Result<Command, Fault> {
        let (mut fragment, mut bytes) = (first, BytesMut::new());
        loop {
            if !fragment.command || fragment.context != first.context {
                return Err(Fault::Unexpected);
            }
            if bytes.len() + fragment.bytes as usize > COMMAND_BYTES_MAX {
                return Err(Fault::Invalid);
            }
            self.read_fragment(&mut bytes).await?;
            if fragment.last {
                return Command::decode(&bytes).ok_or(Fault::Invalid);
            }
            let Heard::Fragment(next) = self.hear(wait).await? else { return Err(Fault::Unexpected) };
            fragment = next;
        }
    }

    /// Writes a whole PDU.
    pub async fn say(&mut self, pdu: &[u8]) -> Result<(), Fault> {
        let stream = self.stream.get_mut();
        let write = async {
            stream.write_all(pdu).await?;
            stream.flush().await
        };
        match timeout(self.limits.pdu_time, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Fault::Gone),
            Err(_) => Err(Fault::Silence),
        }
    }

    /// Writes a command set.
    pub async fn say_command(&mut self, context: u8, command: &Command) -> Result<(), Fault> {
        self.say_part(context, &command.encode(), FLAG_COMMAND).await
    }

    /// Writes a data set.
    pub async fn say_data_set(&mut self, context: u8, bytes: &[u8]) -> Result<(), Fault> {
        self.say_part(context, bytes, 0).await
    }

    /// Asks for the end of the association.
    pub async fn say_release_request(&mut self) -> Result<(), Fault> {
        self.say(&pdu::short(RELEASE_RQ, [0; 4])).await
    }

    /// Agrees to the end of the association.
    pub async fn say_release_response(&mut self) -> Result<(), Fault> {
        self.say(&pdu::short(RELEASE_RP, [0; 4])).await
    }

    /// Says why, if it can still be heard, and closes.
    pub async fn abort(mut self, abort: Option<Abort>) {
        if let Some(abort) = abort {
            // It may be gone already: then there is nobody to tell.
            let _heard = timeout(FAREWELL, self.say(&abort.encode())).await;
        }
        self.close().await;
    }

    /// Closes in order: a socket that is closed over unread bytes resets, and the peer would not hear the last PDU.
    pub async fn close(mut self) {
        let farewell = async {
            if self.stream.get_mut().shutdown().await.is_ok() {
                let mut rest = (&mut self.stream).take(FAREWELL_BYTES_MAX);
                let _read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
            }
        };
        let _closed_by_the_peer = timeout(FAREWELL, farewell).await;
    }

    async fn say_part(&mut self, context: u8, bytes: &[u8], flags: u8) -> Result<(), Fault> {
        let most = match self.peer_pdu_bytes_max {
            0 => self.limits.pdu_bytes_max,
            theirs => theirs.min(self.limits.pdu_bytes_max),
        };
        let most = most.saturating_sub(FRAGMENT_HEAD_BYTES).max(1) as usize;
        let mut pdu = Vec::with_capacity(bytes.len().min(most) + HEAD_BYTES + FRAGMENT_HEAD_BYTES as usize);
        let mut rest = bytes;
        loop {
            let (part, after) = rest.split_at(rest.len().min(most));
            let last = if after.is_empty() { FLAG_LAST } else { 0 };
            // Shorter than `most`, which is a u32.
            let length = u32::try_from(part.len()).map_err(|_| Fault::Ours)?;
            pdu.clear();
            pdu.extend([P_DATA, 0]);
            pdu.extend((length + FRAGMENT_HEAD_BYTES).to_be_bytes());
            pdu.extend((length + FRAGMENT_HEAD_BYTES - 4).to_be_bytes());
            pdu.extend([context, flags | last]);
            pdu.extend(part);
            self.say(&pdu).await?;
            if after.is_empty() {
                return Ok(());
            }
            rest = after;
        }
    }

    /// Type and length of the next PDU.
    async fn read_head(&mut self, wait: Duration) -> Result<(u8, u32), Fault> {
        let mut head = [0; HEAD_BYTES];
        self.until = Instant::now() + wait;
        self.read_exact(&mut head[..1]).await?;
        self.until = Instant::now() + self.limits.pdu_time;
        self.read_exact(&mut head[1..]).await?;
        Ok((head[0], u32::from_be_bytes([head[2], head[3], head[4], head[5]])))
    }

    async fn read_fragment_head(&mut self) -> Result<Fragment, Fault> {
        if self.pdu_left < FRAGMENT_HEAD_BYTES {
            return Err(Fault::Invalid);
        }
        let mut head = [0; FRAGMENT_HEAD_BYTES as usize];
        self.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        // The length counts context and flags.
        let (Some(bytes), Some(left)) = (length.checked_sub(2), self.pdu_left.checked_sub(length.saturating_add(4)))
        else {
            return Err(Fault::Invalid);
        };
        (self.pdu_left, self.fragment_left) = (left, bytes);
        let flags = head[5];
        Ok(Fragment { context: head[4], command: flags & FLAG_COMMAND != 0, last: flags & FLAG_LAST != 0, bytes })
    }

    /// The PDUs that carry no message.
    async fn read_control(&mut self, kind: u8, length: u32) -> Result<Heard, Fault> {
        let bytes_max = match kind {
            ASSOCIATE_RQ | ASSOCIATE_AC => ASSOCIATE_BYTES_MAX,
            // Four bytes each; a peer that adds some is still understood.
            ASSOCIATE_RJ | RELEASE_RQ | RELEASE_RP | ABORT => 1024,
            _ => return Err(Fault::Unrecognized),
        };
        if length > bytes_max || length < 4 {
            return Err(Fault::Invalid);
        }
        self.fragment_left = length;
        let mut body = BytesMut::new();
        self.read_fragment(&mut body).await?;
        match kind {
            ASSOCIATE_RQ => Associate::decode(&body).map(Heard::Associate),
            ASSOCIATE_AC => Accepted::decode(&body).map(Heard::Accepted),
            ASSOCIATE_RJ => Ok(Heard::Rejected([body[1], body[2], body[3]])),
            RELEASE_RQ => Ok(Heard::ReleaseRequest),
            RELEASE_RP => Ok(Heard::ReleaseResponse),
            _ => Err(Fault::Aborted(Abort { source: body[2], reason: body[3] })),
        }
    }

    async fn read_exact(&mut self, into: &mut [u8]) -> Result<(), Fault> {
        match timeout_at(self.until, self.stream.read_exact(into)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Fault::Gone),
            Err(_) => Err(Fault::Silence),
        }
    }
}
