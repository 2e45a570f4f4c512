//! Receiving instances: parts of a client stream are put together, given to intake in order, and answered by receipts.
//!
//! An instance is start, chunks, end; only a whole one reaches intake, so a client that vanishes leaves no half object.
//! What is wrong with one instance refuses that instance; what is wrong with the order of parts ends the call.
//! Memory: an instance's declared size is reserved in a budget that all calls share before its bytes are taken.
use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Request, Streaming};

use super::{
    budget::{Budget, Share},
    convert,
    ending::Ending,
    name::bad,
    status,
    stream::{Responses, client_gone},
    v1,
};
use crate::{
    error::{Code, Error, Result},
    study::{InstanceReceipt, Intake, Outcome, Source},
    uid::Uid,
};

/// Largest chunk, bytes.
pub(super) const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Whole instances of one call that wait for intake, beside the one that it works on.
const INSTANCES_WAITING_MAX: usize = 2;
/// Reserved at once for an instance; larger ones grow as their bytes come.
const RESERVE_BYTES_MAX: u64 = 64 << 20;

/// A part of a client stream, whichever call it came by.
pub(super) enum Part {
    Start { size_bytes: u64 },
    Chunk(Bytes),
    End { sha256: Bytes },
}

/// A message that carries a part; `None` when its oneof is not set.
pub(super) trait Carries {
    fn part(self) -> Option<Part>;
}

impl Carries for v1::AnalyzeRequest {
    fn part(self) -> Option<Part> {
        use v1::analyze_request::Part as P;
        Some(match self.part? {
            P::InstanceStart(start) => Part::Start { size_bytes: start.size_bytes },
            P::Chunk(chunk) => Part::Chunk(chunk),
            P::InstanceEnd(end) => Part::End { sha256: end.sha256 },
        })
    }
}

impl Carries for v1::StoreInstancesRequest {
    fn part(self) -> Option<Part> {
        use v1::store_instances_request::Part as P;
        Some(match self.part? {
            P::InstanceStart(start) => Part::Start { size_bytes: start.size_bytes },
            P::Chunk(chunk) => Part::Chunk(chunk),
            P::InstanceEnd(end) => Part::End { sha256: end.sha256 },
        })
    }
}

/// The client's stream, and how it ended.
pub(super) struct Incoming<M> {
    stream: Streaming<M>,
    ending: Ending,
}

impl<M> Incoming<M> {
    /// The request's stream.
    pub(super) fn of(request: Request<Streaming<M>>) -> Incoming<M> {
        let ending = request.extensions().get::<Ending>().cloned().unwrap_or_default();
        Incoming { stream: request.into_inner(), ending }
    }
}

/// An instance that has ended: its bytes, or why they are not taken. The share holds its memory until intake has answered.
enum Ended {
    /// The bytes and their SHA-256.
    Whole(Bytes, [u8; 32], Share),
    Refused(Error),
}

/// Where a call stands between two parts.
enum Assembly {
    Idle,
    Filling(Filling),
    /// The instance is refused already; the rest of it is passed over.
    Refusing(Error),
}

/// An instance whose bytes are coming.
struct Filling {
    size_bytes: u64,
    bytes: BytesMut,
    digest: Sha256,
    share: Share,
}

impl Assembly {
    /// Takes one part. `Err`: the order of parts is wrong, and the call ends.
    async fn take(&mut self, part: Part, budget: &Budget) -> Result<Option<Ended>> {
        match (std::mem::replace(self, Assembly::Idle), part) {
            (Assembly::Idle, Part::Start { size_bytes }) => {
                *self = match budget.reserve_instance(size_bytes).await {
                    Ok(share) => {
                        let (bytes, digest) = (BytesMut::new(), Sha256::new());
                        Assembly::Filling(Filling { size_bytes, bytes, digest, share })
                    }
                    Err(error) => Assembly::Refusing(error),
                };
                Ok(None)
            }
            (Assembly::Filling(_) | Assembly::Refusing(_), Part::Start { .. }) => {
                Err(bad("instance_start", "came before the end of the instance before"))
            }
            (Assembly::Idle, Part::Chunk(_)) => Err(bad("chunk", "came before an instance_start")),
            (_, Part::Chunk(chunk)) if chunk.len() > CHUNK_BYTES_MAX => {
                Err(bad("chunk", format!("holds {} bytes; the limit is {CHUNK_BYTES_MAX}", chunk.len())))
            }
            (Assembly::Filling(filling), Part::Chunk(chunk)) => {
                *self = filling.fill(&chunk).map_or_else(Assembly::Refusing, Assembly::Filling);
                Ok(None)
            }
            (Assembly::Refusing(error), Part::Chunk(_)) => {
                *self = Assembly::Refusing(error);
                Ok(None)
            }
            (Assembly::Idle, Part::End { .. }) => Err(bad("instance_end", "came before an instance_start")),
            (Assembly::Filling(filling), Part::End { sha256 }) => Ok(Some(filling.end(&sha256))),
            (Assembly::Refusing(error), Part::End { .. }) => Ok(Some(Ended::Refused(error))),
        }
    }

    /// The client half-closed. Within an instance that is no end: a client that goes away can look like it.
    fn close(self) -> Result<()> {
        match self {
            Assembly::Idle => Ok(()),
            Assembly::Filling(_) | Assembly::Refusing(_) => {
                Err(Error::new(Code::Truncated, "the call ended before the instance_end of its last instance"))
            }
        }
    }
}

impl Filling {
    fn fill(mut self, chunk: &[u8]) -> Result<Filling> {
        if self.bytes.len() as u64 + chunk.len() as u64 > self.size_bytes {
            let detail = format!("more bytes came than instance_start.size_bytes ({}) says", self.size_bytes);
            return Err(Error::new(Code::InvalidArgument, detail));
        }
        if self.bytes.is_empty() {
            // With the first byte and not with the start: a start alone costs nothing but budget.
            self.bytes.reserve(usize::try_from(self.size_bytes.min(RESERVE_BYTES_MAX)).unwrap_or(0));
        }
        self.bytes.extend_from_slice(chunk);
        self.digest.update(chunk);
        Ok(self)
    }

    fn end(self, sha256: &[u8]) -> Ended {
        if (self.bytes.len() as u64) < self.size_bytes {
            let detail = format!("{} of {} bytes came before instance_end", self.bytes.len(), self.size_bytes);
            return Ended::Refused(Error::new(Code::Truncated, detail));
        }
        let digest: [u8; 32] = self.digest.finalize().into();
        if digest != sha256 {
            let detail = "instance_end.sha256 is not the SHA-256 of the bytes that arrived: they changed on the way";
            return Ended::Refused(Error::new(Code::InvalidArgument, detail));
        }
        Ended::Whole(self.bytes.freeze(), digest, self.share)
    }
}

/// Receives instances until the client half-closes, gives them to intake one after the other, and sends a receipt for
/// each, as `answer` words it. Returns the studies that were sent to.
///
/// One after the other, because which of two patients or two contents came first must not be a matter of chance; the next
/// instance is received meanwhile. Errors: wrong order of parts, an end within an instance, an idle sender,
/// a broken connection.
/// Cancel safety: what has a receipt is durable, all else may be sent again.
pub(super) async fn receive<M: Carries, T>(
    parts: &mut Incoming<M>,
    budget: &Budget,
    intake: &Intake,
    responses: &Responses<T>,
    answer: fn(v1::InstanceReceipt) -> T,
) -> Result<BTreeSet<Uid>> {
    let (sender, mut ended) = mpsc::channel::<Ended>(INSTANCES_WAITING_MAX);
    let assemble = async {
        let sender = sender;
        let mut assembly = Assembly::Idle;
        while let Some(message) = next(parts, &assembly, budget).await? {
            let part = message.part().ok_or_else(|| bad("part", "must be set"))?;
            if let Some(ended) = assembly.take(part, budget).await? {
                sender.send(ended).await.map_err(|_| client_gone())?;
            }
        }
        assembly.close()
    };
    let take = async {
        let mut studies = BTreeSet::new();
        let mut index = 0;
        while let Some(ended) = ended.recv().await {
            let receipt = match ended {
                // The share lives as long as the bytes.
                Ended::Whole(bytes, sha256, _share) => intake.take(bytes, sha256, Source::Grpc, None).await,
                Ended::Refused(error) => {
                    InstanceReceipt { sop_instance: None, study: None, outcome: Outcome::Refused(error) }
                }
            };
            studies.extend(receipt.study.clone());
            responses.send(answer(convert::receipt(index, receipt))).await?;
            index += 1;
        }
        Ok(studies)
    };
    // Both to their ends: what has arrived whole is stored and answered even when the sender then breaks the order.
    let (assembled, taken): (Result<()>, Result<BTreeSet<Uid>>) = tokio::join!(assemble, take);
    let studies = taken?;
    assembled?;
    Ok(studies)
}

/// The next message. Between two instances a sender may be silent: it holds no memory then.
async fn next<M>(parts: &mut Incoming<M>, assembly: &Assembly, budget: &Budget) -> Result<Option<M>> {
    let message = match assembly {
        Assembly::Idle => Ok(parts.stream.message().await),
        Assembly::Filling(_) | Assembly::Refusing(_) => timeout(budget.idle(), parts.stream.message()).await,
    };
    match message {
        Ok(Ok(None)) if parts.ending.is_broken() => Err(client_gone()),
        Ok(Ok(message)) => Ok(message),
        Ok(Err(status)) => Err(status::error(&status)),
        Err(_) => {
            let detail = "nothing came from the client for too long (grpc.peer_idle_s)";
            Err(Error::new(Code::DeadlineExceeded, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::grpc::Config;

    fn budget(bytes: u64) -> Budget {
        let config = Config { transfer_bytes_max: bytes, transfer_wait_s: 0, ..Config::default() };
        Budget::new(&config, bytes)
    }

    fn end_of(bytes: &[u8]) -> Part {
        Part::End { sha256: Bytes::copy_from_slice(&Sha256::digest(bytes)) }
    }

    fn start(size_bytes: u64) -> Part {
        Part::Start { size_bytes }
    }

    fn chunk(bytes: &[u8]) -> Part {
        Part::Chunk(Bytes::copy_from_slice(bytes))
    }

    /// Feeds `parts`; says what became of the last one.
    async fn check(parts: Vec<Part>, want: &str) {
        let budget = budget(1 << 20);
        let mut assembly = Assembly::Idle;
        let mut last = Ok(None);
        for part in parts {
            assert!(last.is_ok(), "an earlier part ended the call");
            last = assembly.take(part, &budget).await;
        }
        let got = match last {
            Ok(None) => "waits".to_owned(),
            Ok(Some(Ended::Whole(bytes, ..))) => format!("whole {}", bytes.len()),
            Ok(Some(Ended::Refused(error))) => format!("refused {}", error.code),
            Err(error) => format!("ends the call: {}", error.subject),
        };
        assert_eq!(got, want);
    }

    #[tokio::test]
    async fn only_a_whole_instance_comes_out() {
        check(vec![start(4), chunk(b"ab"), chunk(b"cd"), end_of(b"abcd")], "whole 4").await;
        check(vec![start(4), chunk(b"ab")], "waits").await;
        check(vec![start(0), end_of(b"")], "whole 0").await;
        check(vec![start(4), chunk(b"ab"), end_of(b"ab")], "refused TRUNCATED").await;
        check(vec![start(2), chunk(b"abc"), chunk(b"d"), end_of(b"abcd")], "refused INVALID_ARGUMENT").await;
        check(vec![start(2), chunk(b"ab"), end_of(b"aX")], "refused INVALID_ARGUMENT").await;
        check(vec![start(u64::MAX), chunk(b"ab"), end_of(b"ab")], "refused TOO_LARGE").await;
    }

    #[tokio::test]
    async fn a_wrong_order_of_parts_ends_the_call() {
        check(vec![chunk(b"ab")], "ends the call: field chunk").await;
        check(vec![end_of(b"")], "ends the call: field instance_end").await;
        check(vec![start(1), start(1)], "ends the call: field instance_start").await;
        check(vec![start(1), chunk(&vec![0; CHUNK_BYTES_MAX + 1])], "ends the call: field chunk").await;
    }

    #[tokio::test]
    async fn memory_is_given_back_when_an_instance_ends() {
        let budget = budget(8192);
        let mut first = Assembly::Idle;
        first.take(start(8192), &budget).await.expect("a start");
        let mut second = Assembly::Idle;
        second.take(start(1), &budget).await.expect("a start");
        assert!(matches!(second, Assembly::Refusing(Error { code: Code::Busy, .. })));
        drop(first);
        let mut third = Assembly::Idle;
        third.take(start(8192), &budget).await.expect("a start");
        assert!(matches!(third, Assembly::Filling(_)));
    }
}
