//! A TCP connection that answers and is answered at once.
use std::{
    io::Result,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A TCP stream without Nagle's delay, whose reads acknowledge at once.
///
/// Many senders leave Nagle on and write the head and the body of a PDU apart: the body then waits for our acknowledgement of the head, which
/// the kernel delays by 40 ms. Measured: 21 images/s with the delay, 337 without.
pub struct Quick(TcpStream);

impl Quick {
    /// Sets the stream up.
    pub fn new(stream: TcpStream) -> Result<Quick> {
        stream.set_nodelay(true)?;
        Ok(Quick(stream))
    }
}

impl AsyncRead for Quick {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        // The kernel clears it by itself, hence before each read. Where it cannot be set, reads are only slower.
        let _slower = rustix::net::sockopt::set_tcp_quickack(&self.0, true);
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Quick {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
