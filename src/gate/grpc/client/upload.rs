//! The request stream of an upload: instances cut into start, chunks and end as the connection takes them.
use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::Stream;

use crate::gate::grpc::{
    receive::CHUNK_BYTES_MAX,
    v1::{AnalyzeRequest, InstanceEnd, InstanceStart, analyze_request::Part},
};

/// Ends when the sender of `instances` is dropped.
pub(super) struct Upload {
    instances: mpsc::Receiver<Bytes>,
    /// What is left of the instance at hand, and the digest of what has gone.
    current: Option<(Bytes, Sha256)>,
}

impl Upload {
    pub(super) fn new(instances: mpsc::Receiver<Bytes>) -> Upload {
        Upload { instances, current: None }
    }
}

impl Stream for Upload {
    type Item = AnalyzeRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AnalyzeRequest>> {
        let part = match self.current.take() {
            None => match self.instances.poll_recv(context) {
                Poll::Ready(Some(bytes)) => {
                    let size_bytes = bytes.len() as u64;
                    self.current = Some((bytes, Sha256::new()));
                    Part::InstanceStart(InstanceStart { size_bytes })
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            },
            Some((rest, digest)) if rest.is_empty() => {
                Part::InstanceEnd(InstanceEnd { sha256: Bytes::copy_from_slice(&digest.finalize()) })
            }
            Some((mut rest, mut digest)) => {
                let chunk = rest.split_to(rest.len().min(CHUNK_BYTES_MAX));
                digest.update(&chunk);
                self.current = Some((rest, digest));
                Part::Chunk(chunk)
            }
        };
        Poll::Ready(Some(AnalyzeRequest { part: Some(part) }))
    }
}
