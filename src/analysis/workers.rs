//! Workers: tasks that claim sealed studies and hand them to the pipeline, until told to stop.
use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::analysis::Pipeline;

/// A claim may also come due without an event (a lease that ran out): look this often.
const IDLE_LOOK: Duration = Duration::from_secs(5);
/// After a failure of the ledger (disk full, say): wait, then try again, longer each time up to the last.
const BACKOFF_S: [u64; 5] = [1, 2, 5, 10, 30];

/// Running workers.
pub struct Workers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// Starts `count` workers.
    pub fn start(pipeline: &Arc<Pipeline>, count: usize) -> Workers {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..count.max(1) {
            tasks.spawn(run(Arc::clone(pipeline), stopped.clone()));
        }
        Workers { tasks, stop }
    }

    /// Takes no more work, lets what runs end at its next image, and gives back what is left. Waits at most `bound`.
    pub async fn stop(mut self, bound: Duration) {
        // Receivers live in the tasks: without any the tasks have ended already.
        let _no_receiver = self.stop.send(true);
        let ended = tokio::time::timeout(bound, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("work was still running at the end of the drain time; it resumes at the next start");
        }
    }
}

async fn run(pipeline: Arc<Pipeline>, mut stop: watch::Receiver<bool>) {
    let mut committed = pipeline.ledger().subscribe();
    let mut failures = 0usize;
    while !*stop.borrow() {
        committed.mark_unchanged();
        let outcome = match pipeline.claim().await {
            Ok(Some(claim)) => pipeline.work(claim, &stop).await.map(|()| true),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        let pause = match outcome {
            Ok(true) => {
                failures = 0;
                continue;
            }
            Ok(false) => IDLE_LOOK,
            Err(error) => {
                tracing::error!(code = %error.code, detail = error.detail, "study put back, trying again later");
                let wait = BACKOFF_S[failures.min(BACKOFF_S.len() - 1)];
                failures += 1;
                // The event that woke us is not what we wait for now.
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(wait)) => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = committed.changed() => {}
            _ = stop.changed() => {}
        }
    }
}
