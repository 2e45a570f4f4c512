//! The memory that all associations share for data sets that are being received.
use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Config;
use crate::error::{Code, Error, Result};

/// The budget counts in this unit, since a semaphore counts in u32.
const UNIT_BYTES: u64 = 64 << 10;

/// Memory in use, bounded over all associations.
#[derive(Clone)]
pub(super) struct Memory {
    units: Arc<Semaphore>,
    wait: Duration,
    instance_bytes_max: u64,
}

/// What one data set holds of it; given back when it is dropped.
#[derive(Default)]
pub(super) struct Share {
    permit: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// `instance_bytes_max`: the largest instance that intake takes.
    pub(super) fn new(config: &Config, instance_bytes_max: u64) -> Memory {
        let bytes = config.transfer_bytes_max.max(instance_bytes_max);
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        Memory {
            units: Arc::new(Semaphore::new(units as usize)),
            wait: Duration::from_secs(config.transfer_wait_s),
            instance_bytes_max,
        }
    }

    /// Makes room in `buffer` for `more` bytes, which `share` pays for. Errors: `TooLarge`, `Busy`.
    pub(super) async fn make_room(&self, buffer: &mut BytesMut, more: u32, share: &mut Share) -> Result<()> {
        let needed = buffer.len() as u64 + u64::from(more);
        if needed > self.instance_bytes_max {
            let limit = self.instance_bytes_max;
            return Err(Error::new(Code::TooLarge, format!("above {limit} bytes (dicom.instance_bytes_max)")));
        }
        let capacity = buffer.capacity() as u64;
        if needed <= capacity {
            return Ok(());
        }
        let grown = needed.max(capacity.saturating_mul(2)).min(self.instance_bytes_max);
        self.grow(share, grown.div_ceil(UNIT_BYTES)).await?;
        let room = usize::try_from(grown).map_err(|_| Error::internal("a limit is beyond this machine's memory"))?;
        buffer.reserve(room - buffer.len());
        Ok(())
    }

    async fn grow(&self, share: &mut Share, units: u64) -> Result<()> {
        let held = share.permit.as_ref().map_or(0, |permit| permit.num_permits() as u64);
        let Ok(missing) = u32::try_from(units.saturating_sub(held)) else {
            return Err(Error::internal("an instance asks for more memory than is counted"));
        };
        match timeout(self.wait, Arc::clone(&self.units).acquire_many_owned(missing)).await {
            Ok(Ok(permit)) => {
                match &mut share.permit {
                    Some(held) => held.merge(permit),
                    None => share.permit = Some(permit),
                }
                Ok(())
            }
            Ok(Err(_)) | Err(_) => {
                Err(Error::new(Code::Busy, "others hold all memory for transfers (dimse.transfer_bytes_max)"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_bounded_over_all_and_given_back() {
        let config = Config { transfer_bytes_max: 4 * UNIT_BYTES, transfer_wait_s: 0, ..Config::default() };
        let memory = Memory::new(&config, 4 * UNIT_BYTES);
        let unit = 64 << 10;
        let (mut one, mut one_share) = (BytesMut::new(), Share::default());
        memory.make_room(&mut one, 3 * unit, &mut one_share).await.expect("there is room");
        let (mut other, mut other_share) = (BytesMut::new(), Share::default());
        memory.make_room(&mut other, unit, &mut other_share).await.expect("there is room");
        other.extend_from_slice(&vec![0; other.capacity()]);
        let full = memory.make_room(&mut other, 1, &mut other_share).await.expect_err("there is none");
        assert_eq!(full.code, Code::Busy);
        drop((one, one_share));
        memory.make_room(&mut other, 1, &mut other_share).await.expect("there is room again");
        let large = memory.make_room(&mut other, 4 * unit, &mut other_share).await.expect_err("too large for one");
        assert_eq!(large.code, Code::TooLarge);
    }
}
