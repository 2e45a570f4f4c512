//! While a target runs: the lease is held, watchers are told, and a wish to stop is seen.
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Pipeline;
use crate::{
    error::Result,
    ledger::{Claim, Event},
};

/// How often watchers are told of small steps; each is a commit.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A target that runs.
pub(super) struct Progress<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) claim: &'a Claim,
    pub(super) model: &'a str,
    pub(super) stop: &'a watch::Receiver<bool>,
    told: Option<Instant>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        claim: &'a Claim,
        model: &'a str,
        stop: &'a watch::Receiver<bool>,
    ) -> Self {
        Progress { pipeline, claim, model, stop, told: None }
    }

    /// Renews the lease and says that `done` of `total` steps of `stage` are through: at once for the first and the last step, every
    /// second in between. `false`: told to stop. Errors: those of the ledger.
    pub(super) async fn tell(&mut self, done: usize, total: usize, stage: &str) -> Result<bool> {
        if *self.stop.borrow() {
            return Ok(false);
        }
        let is_due = self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if !is_due && done < total {
            return Ok(true);
        }
        self.told = Some(Instant::now());
        self.pipeline.renew(self.claim).await?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (model, stage) = (self.model.to_owned(), stage.to_owned());
        let event = Event::Progress { model, done: count(done), total: count(total), stage };
        self.pipeline.append(self.claim, vec![event]).await?;
        Ok(true)
    }
}
