//! What every call shares: the caller's deadline, and its end when the server shuts down.
use std::{future::Future, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::status::said;
use crate::error::{Code, Error, Result};

/// Our answer must be under way before the transport's own, which has the wrong status (CANCELLED).
const ANSWER_MARGIN: Duration = Duration::from_millis(5);

/// When the caller stops waiting: its `grpc-timeout`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// Reads the header (gRPC over HTTP/2: at most 8 digits and a unit). One that cannot be read is no deadline.
    pub(super) fn of(metadata: &MetadataMap) -> Deadline {
        let text = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
        let timeout = text.and_then(parse_timeout);
        Deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout.saturating_sub(ANSWER_MARGIN))))
    }

    /// `work`, or `DeadlineExceeded` when the caller's time runs out first; `work` is then dropped.
    pub(super) async fn bound<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Deadline(Some(at)) = self else { return work.await };
        match timeout_at(at, work).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::new(Code::DeadlineExceeded, "the caller's time ran out; what was acknowledged is kept"))
            }
        }
    }
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = (digits.len() <= 8).then(|| digits.parse().ok())??;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// Answers a call of one request and one response, within the caller's deadline.
pub(super) async fn unary<Q, A, F>(
    request: Request<Q>,
    work: impl FnOnce(Q) -> F,
) -> std::result::Result<Response<A>, Status>
where
    F: Future<Output = Result<A>>,
{
    let deadline = Deadline::of(request.metadata());
    deadline.bound(work(request.into_inner())).await.map(Response::new).map_err(|error| said(&error))
}

/// Whether the server is shutting down; streams end by it.
#[derive(Debug, Clone)]
pub(super) struct Closing(pub(super) watch::Receiver<bool>);

impl Closing {
    /// The grace of calls that can be taken up again without loss.
    pub(super) const AT_ONCE: Duration = Duration::ZERO;

    /// Returns when shutdown begins.
    pub(super) async fn begun(mut self) {
        // An error means that the sender is gone: the server is.
        let _gone = self.0.wait_for(|closing| *closing).await;
    }

    /// `work`, or `ShuttingDown` once the server has been shutting down for `grace`.
    pub(super) async fn bound<T>(&self, grace: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        let closed = async {
            self.clone().begun().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            result = work => result,
            () = closed => Err(Error::new(Code::ShuttingDown, "the server is shutting down; what was acknowledged is kept")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(parse_timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "5", "5s", "123456789S", "-5S", "5é"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_deadline_is_answered_by_us() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "50m".parse().expect("a header value"));
        let deadline = Deadline::of(&metadata);
        let answer = deadline.bound(std::future::pending::<Result<()>>()).await;
        assert_eq!(answer.map_err(|error| error.code), Err(Code::DeadlineExceeded));
    }
}
