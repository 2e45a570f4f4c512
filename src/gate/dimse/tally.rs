//! What one association did, for its line in the log.
use std::time::Instant;

use crate::study::{InstanceReceipt, Outcome};

/// Counts of one association.
pub(super) struct Tally {
    began: Instant,
    echoes: u64,
    stored: u64,
    duplicates: u64,
    refused: u64,
    bytes: u64,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally { began: Instant::now(), echoes: 0, stored: 0, duplicates: 0, refused: 0, bytes: 0 }
    }

    pub(super) fn echo(&mut self) {
        self.echoes += 1;
    }

    pub(super) fn receipt(&mut self, receipt: &InstanceReceipt, bytes: u64) {
        match receipt.outcome {
            Outcome::Stored => {
                self.stored += 1;
                self.bytes += bytes;
            }
            Outcome::Duplicate => self.duplicates += 1,
            Outcome::Conflict | Outcome::Refused(_) => self.refused += 1,
        }
    }

    pub(super) fn refusal(&mut self) {
        self.refused += 1;
    }

    /// Says how it ended: a word. AE titles and addresses are not about patients.
    pub(super) fn log(&self, calling: &str, address: std::net::IpAddr, end: &str) {
        let Tally { began, echoes, stored, duplicates, refused, bytes } = self;
        let ms = began.elapsed().as_millis();
        if *refused > 0 || end != "released" {
            tracing::warn!(calling, %address, echoes, stored, duplicates, refused, bytes, ms, end, "association ended");
        } else {
            tracing::info!(calling, %address, echoes, stored, duplicates, refused, bytes, ms, end, "association ended");
        }
    }
}
