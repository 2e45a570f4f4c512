//! DICOM TLS: connections of BCP 195's profile (PS3.15 B.9, B.10), with certificates on one side or on both.
//!
//! TLS 1.2 and 1.3 with forward secrecy and authenticated ciphers; older versions and plain connections are not accepted, and nothing falls back.
use std::{path::Path, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
    server::TlsStream,
};

use super::Config;
use crate::{
    error::{Code, Error, Result, Subject},
    network::Quick,
};

/// Certificates, read once at start.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Tls {
    /// Reads the files that the configuration names. Errors: `InvalidArgument` that names the key.
    pub(super) fn new(config: &Config) -> Result<Tls> {
        let chain = certificates(&config.tls_certificate, "dimse.tls_certificate")?;
        let key = PrivateKeyDer::from_pem_file(&config.tls_key)
            .map_err(|_| refuse("dimse.tls_key", "names no file with a private key in PEM"))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| Error::internal("the cryptography that was built in has no TLS 1.2 and 1.3"))?;
        let builder = match config.tls_clients.as_os_str().is_empty() {
            true => builder.with_no_client_auth(),
            false => builder.with_client_cert_verifier(clients(&config.tls_clients)?),
        };
        let server = builder
            .with_single_cert(chain, key)
            .map_err(|_| refuse("dimse.tls_key", "is not the key of the first certificate in dimse.tls_certificate"))?;
        Ok(Tls(TlsAcceptor::from(Arc::new(server))))
    }

    /// Shakes hands. `None`: the peer does not speak TLS, or has no certificate that holds; it was told by an alert.
    pub(super) async fn accept(&self, stream: Quick) -> Option<TlsStream<Quick>> {
        self.0.accept(stream).await.ok()
    }
}

/// Whose certificates are accepted.
fn clients(path: &Path) -> Result<Arc<dyn ClientCertVerifier>> {
    const KEY: &str = "dimse.tls_clients";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, KEY)? {
        roots
            .add(certificate)
            .map_err(|_| refuse(KEY, "holds a certificate that cannot be an authority (X.509 v3)"))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
        .build()
        .map_err(|_| refuse(KEY, "names no usable authority"))
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bad = || refuse(key, "names no file with certificates in PEM");
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|_| bad())?
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| bad())?;
    if found.is_empty() { Err(bad()) } else { Ok(found) }
}

fn refuse(key: &str, what: &str) -> Error {
    Error::new(Code::InvalidArgument, what.to_owned()).about(Subject::Field(key.to_owned()))
}
