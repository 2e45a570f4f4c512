//! How a client's stream ended: half-closed, or broken off.
//!
//! The transport hides it: a stream that its client reset reads as one that ended well. A study must not be sealed because
//! somebody's connection broke, so the request's body is watched below the transport's decoder.
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};

/// Whether the request's stream has broken off; a service finds it among the request's extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<AtomicBool>);

impl Ending {
    /// The client reset the stream, or its connection is gone.
    pub(super) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A service whose requests carry their [`Ending`].
#[derive(Clone)]
pub(super) struct Watched<S>(pub(super) S);

impl<S: NamedService> NamedService for Watched<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> S::Future {
        let ending = Ending::default();
        request.extensions_mut().insert(ending.clone());
        self.0.call(request.map(|body| Body::new(WatchedBody { body, ending })))
    }
}

struct WatchedBody {
    body: Body,
    ending: Ending,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.ending.0.store(true, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
