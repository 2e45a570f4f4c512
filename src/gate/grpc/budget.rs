//! The memory that all calls share for what they receive and send.
use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Config;
use crate::error::{Code, Error, Result};

/// The budget counts in this unit, since a semaphore counts in u32.
const UNIT_BYTES: u64 = 4096;

/// A share of the budget; given back when it is dropped.
pub(super) type Share = OwnedSemaphorePermit;

/// Memory in use, bounded over all calls, and how long a call waits for its share.
#[derive(Clone)]
pub(super) struct Budget {
    units: Arc<Semaphore>,
    units_max: u32,
    wait: Duration,
    idle: Duration,
    instance_bytes_max: u64,
}

impl Budget {
    /// `instance_bytes_max`: the largest instance that intake takes.
    pub(super) fn new(config: &Config, instance_bytes_max: u64) -> Budget {
        let bytes = config.transfer_bytes_max.max(instance_bytes_max);
        let units_max = u32::try_from(units(bytes)).unwrap_or(u32::MAX);
        Budget {
            units: Arc::new(Semaphore::new(units_max as usize)),
            units_max,
            wait: Duration::from_secs(config.transfer_wait_s),
            idle: Duration::from_secs(config.peer_idle_s),
            instance_bytes_max,
        }
    }

    /// How long a client may neither send nor take.
    pub(super) fn idle(&self) -> Duration {
        self.idle
    }

    /// A share for an instance. Errors: `TooLarge`, `Busy`.
    pub(super) async fn reserve_instance(&self, size_bytes: u64) -> Result<Share> {
        if size_bytes > self.instance_bytes_max {
            let limit = self.instance_bytes_max;
            let detail =
                format!("instance_start.size_bytes is {size_bytes}; the limit is {limit} (dicom.instance_bytes_max)");
            return Err(Error::new(Code::TooLarge, detail));
        }
        self.reserve(size_bytes).await
    }

    /// A share of `bytes`, or of all there is. Errors: `Busy`.
    pub(super) async fn reserve(&self, bytes: u64) -> Result<Share> {
        let units = u32::try_from(units(bytes)).unwrap_or(u32::MAX).min(self.units_max);
        match timeout(self.wait, Arc::clone(&self.units).acquire_many_owned(units)).await {
            Ok(Ok(share)) => Ok(share),
            Ok(Err(_)) | Err(_) => {
                let detail = "other calls hold all memory for transfers (grpc.transfer_bytes_max)";
                Err(Error::new(Code::Busy, detail))
            }
        }
    }
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT_BYTES).max(1)
}
