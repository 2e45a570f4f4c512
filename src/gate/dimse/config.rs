//! What the DICOM gate is told: where it listens, who may send, and its limits, each with a unit and an answer for when it is reached.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The gate's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the DICOM port, for example `0.0.0.0:11112`; port 0 takes a free one. Empty: no DICOM gate.
    pub listen: String,
    /// Address of the DICOM port that speaks TLS, for example `0.0.0.0:2762`. Empty: none.
    pub tls_listen: String,
    /// PEM file of our certificate, and of those between it and its authority.
    pub tls_certificate: PathBuf,
    /// PEM file of its private key.
    pub tls_key: PathBuf,
    /// PEM file of the authorities whose certificates callers must have. Empty: callers need none.
    pub tls_clients: PathBuf,
    /// AE title that callers must call; another one is rejected (1,1,7).
    pub title: String,
    /// Associations at once; one more is rejected as transient (2,3,2).
    pub associations_max: usize,
    /// How long a connection may take until its association request is there (PS3.8 timer ARTIM), seconds; then it is closed.
    pub association_s: u64,
    /// Silence between two messages, or time for one PDU to come or to be taken, seconds; then the association is aborted.
    pub idle_s: u64,
    /// The largest P-DATA PDU that callers are offered, bytes; a longer one is aborted.
    pub pdu_bytes_max: u32,
    /// Memory for data sets that are being received, all associations together, bytes. Never less than the largest instance.
    pub transfer_bytes_max: u64,
    /// How long an association waits for that memory, seconds; then its instance gets A700.
    pub transfer_wait_s: u64,
    /// Who may send; the first entry that fits holds. Empty: everybody.
    pub peers: Vec<Peer>,
}

/// One who may send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// Its calling AE title; `*`: any.
    pub calling: String,
    /// Its IP address, or a network such as `10.1.0.0/16`; empty: any.
    pub address: String,
    /// Its studies are complete when it releases the association: they are analysed at once, and not after the quiet period.
    pub seal_on_release: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: String::new(),
            tls_listen: String::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            tls_clients: PathBuf::new(),
            title: "OVERREAD".to_owned(),
            associations_max: 1000,
            association_s: 30,
            idle_s: 60,
            pdu_bytes_max: 128 << 10,
            transfer_bytes_max: 1 << 30,
            transfer_wait_s: 20,
            peers: Vec::new(),
        }
    }
}

impl Default for Peer {
    fn default() -> Peer {
        Peer { calling: "*".to_owned(), address: String::new(), seal_on_release: false }
    }
}
