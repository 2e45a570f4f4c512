//! The one place where the wall clock comes into the ledger.
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ledger::Micros;

/// Microseconds since 1970-01-01 UTC; 0 on a clock set before that.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}
