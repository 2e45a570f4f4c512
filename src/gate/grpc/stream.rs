//! Response streams: the work of a call beside its connection, and what it sends.
//!
//! The work is a task of its own, so that its deadline and its idle limits hold even while the client takes nothing; the
//! stream owns it and ends it when the client goes away. Nothing runs detached.
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::Stream;
use tonic::Status;

use super::status::said;
use crate::error::{Code, Error, Result};

/// Messages that wait for the connection: enough to keep it busy, few enough not to count.
const RESPONSES_WAITING_MAX: usize = 16;

/// What a call's work sends to its client.
#[derive(Debug)]
pub(super) struct Responses<T> {
    sender: mpsc::Sender<T>,
    idle: Duration,
}

impl<T> Clone for Responses<T> {
    fn clone(&self) -> Responses<T> {
        Responses { sender: self.sender.clone(), idle: self.idle }
    }
}

impl<T> Responses<T> {
    /// Sends as fast as the client takes. Errors: `Cancelled` when it has gone, `DeadlineExceeded` when it takes nothing for
    /// too long.
    pub(super) async fn send(&self, response: T) -> Result<()> {
        match timeout(self.idle, self.sender.send(response)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(client_gone()),
            Err(_) => {
                let detail = "the client took nothing for too long (grpc.peer_idle_s)";
                Err(Error::new(Code::DeadlineExceeded, detail))
            }
        }
    }
}

/// The end of work whose client has gone.
pub(super) fn client_gone() -> Error {
    Error::new(Code::Cancelled, "the client has gone")
}

/// A response stream and the task that makes its messages. Dropped, it ends the task.
pub(super) struct Driven<T> {
    responses: mpsc::Receiver<T>,
    work: Option<JoinHandle<Result<()>>>,
}

impl<T: Send + 'static> Driven<T> {
    /// Runs `work`; its error, if any, is the stream's last item. `idle`: how long the client may take nothing.
    pub(super) fn by<F>(idle: Duration, work: impl FnOnce(Responses<T>) -> F) -> Driven<T>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, responses) = mpsc::channel(RESPONSES_WAITING_MAX);
        Driven { responses, work: Some(tokio::spawn(work(Responses { sender, idle }))) }
    }
}

impl<T> Stream for Driven<T> {
    type Item = std::result::Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The work's sender goes with it: what is still waiting is given out before its outcome.
        if let Some(response) = std::task::ready!(self.responses.poll_recv(context)) {
            return Poll::Ready(Some(Ok(response)));
        }
        let Some(work) = &mut self.work else { return Poll::Ready(None) };
        let outcome = std::task::ready!(Pin::new(work).poll(context));
        self.work = None;
        let panicked = |_| Err(Error::internal("the call's work failed unexpectedly"));
        Poll::Ready(outcome.unwrap_or_else(panicked).err().map(|error| Err(said(&error))))
    }
}

impl<T> Drop for Driven<T> {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn everything_sent_arrives_before_the_error() {
        let mut stream = Driven::by(IDLE, |responses| async move {
            for number in 0..100 {
                responses.send(number).await?;
            }
            Err(Error::new(Code::Busy, "enough"))
        });
        for number in 0..100 {
            assert_eq!(stream.next().await.map(|item| item.ok()), Some(Some(number)));
        }
        let end = stream.next().await.expect("an item").expect_err("the error");
        assert_eq!(end.code(), tonic::Code::ResourceExhausted);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_internal_and_says_nothing_of_itself() {
        let mut stream: Driven<()> = Driven::by(IDLE, |_responses| async { panic!("patient 12345") });
        let end = stream.next().await.expect("an item").expect_err("the error");
        assert_eq!(end.code(), tonic::Code::Internal);
        assert!(!end.message().contains("12345"));
    }

    #[tokio::test]
    async fn work_ends_when_its_stream_is_dropped_or_takes_nothing() {
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let stream: Driven<()> = Driven::by(IDLE, |_responses| async move {
            let _alive = alive;
            std::future::pending().await
        });
        drop(stream);
        assert_eq!(ended.recv().await, None);
        let mut stream = Driven::by(Duration::from_millis(10), |responses| async move {
            loop {
                responses.send(()).await?;
            }
        });
        let work = stream.work.take().expect("the work");
        assert_eq!(work.await.expect("it ends").map_err(|error| error.code), Err(Code::DeadlineExceeded));
    }
}
