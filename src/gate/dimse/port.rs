//! The gate's ports: where they listen, and whether by TLS.
use tokio::net::TcpListener;

use super::{Config, tls::Tls};
use crate::error::Result;

/// What a port speaks.
#[derive(Clone)]
pub(super) enum Speech {
    Plain,
    Tls(Tls),
}

/// A port of the gate, bound before anything else starts.
pub struct Port {
    pub(super) listener: TcpListener,
    pub(super) speech: Speech,
}

impl Port {
    /// A port for plain associations.
    pub fn plain(listener: TcpListener) -> Port {
        Port { listener, speech: Speech::Plain }
    }

    /// A port for associations over TLS. Errors: `InvalidArgument` that names the key.
    pub fn tls(listener: TcpListener, config: &Config) -> Result<Port> {
        Ok(Port { listener, speech: Speech::Tls(Tls::new(config)?) })
    }
}
