//! Request ids: a change that is asked for twice with one id is made once, and answered twice with the same answer.
use prost::Message;
use sha2::{Digest, Sha256};

use super::name::bad;
use crate::{
    error::{Error, Result},
    ledger::Ledger,
};

const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Runs `work` for a request, or gives the answer that was given for the same `request_id` before.
///
/// `method` and `fingerprint` (the request's other fields) tell requests apart. Errors are not remembered: they changed
/// nothing, and the caller may try again with the same id. Errors: `InvalidArgument` when the id was used for another
/// request; those of `work` and the ledger.
pub(super) async fn once<A: Message + Default>(
    ledger: &Ledger,
    request_id: &str,
    method: &str,
    fingerprint: &str,
    work: impl Future<Output = Result<A>>,
) -> Result<A> {
    if request_id.is_empty() {
        return work.await;
    }
    let valid = |c: char| c.is_ascii_graphic();
    if request_id.len() > REQUEST_ID_LENGTH_MAX || !request_id.chars().all(valid) {
        return Err(bad("request_id", "must be 1 to 64 visible ASCII characters"));
    }
    let fingerprint = Sha256::digest(fingerprint.as_bytes());
    if let Some(known) = ledger.recall(request_id, method, &fingerprint).await? {
        return A::decode(known).map_err(|_| Error::internal("a remembered answer cannot be read"));
    }
    let answer = work.await?;
    ledger.remember(request_id, method, &fingerprint, answer.encode_to_vec().into()).await?;
    Ok(answer)
}
