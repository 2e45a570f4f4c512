//! The listening socket with a bound on connections: beyond it new ones wait to be accepted.
use std::{
    io::{IoSlice, Result},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections as they are accepted, at most so many at once.
pub(super) struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// A place that waits for its connection.
    place: Option<OwnedSemaphorePermit>,
    waiting: Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, connections_max: usize) -> Limited {
        Limited { listener, places: Arc::new(Semaphore::new(connections_max)), place: None, waiting: None }
    }

    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<Option<OwnedSemaphorePermit>> {
        if let Some(place) = self.place.take() {
            return Poll::Ready(Some(place));
        }
        let places = Arc::clone(&self.places);
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async { places.acquire_owned().await.ok() }));
        let place = ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        Poll::Ready(place)
    }
}

impl Stream for Limited {
    type Item = Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Connection>>> {
        let Some(place) = ready!(self.poll_place(context)) else { return Poll::Ready(None) };
        match self.listener.poll_accept(context) {
            Poll::Ready(Ok((stream, _peer))) => {
                // Receipts are small, and their senders wait for them.
                let ready = stream.set_nodelay(true).map(|()| Connection { stream, _place: place });
                Poll::Ready(Some(ready))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Pending => {
                self.place = Some(place);
                Poll::Pending
            }
        }
    }
}

/// An accepted connection; its place is free again when it is dropped.
pub(super) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
