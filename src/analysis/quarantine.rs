//! Quarantine: what to put aside when a study took the process down again and again. Pure.
use crate::ledger::{TargetRow, TargetState};

/// What an attempt may still run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything.
    Run,
    /// Everything but these models: each was running when the process died.
    RunWithout(Vec<String>),
    /// Nothing: the process died before any target ran, so the study itself is the cause.
    PutAside,
}

/// `attempt` counts from 1 and includes this one; `targets` are those left by the attempt before.
pub(super) fn judge(attempt: u32, attempts_max: u32, targets: &[TargetRow]) -> Verdict {
    let named = |wanted: fn(&TargetState) -> bool| -> Vec<String> {
        targets.iter().filter(|target| wanted(&target.state)).map(|target| target.target.model.clone()).collect()
    };
    let mut aside = named(|state| matches!(state, TargetState::Quarantined));
    if attempt > attempts_max {
        let running = named(|state| matches!(state, TargetState::Running(_)));
        // Each round of attempts that ends in a death puts one more thing aside; when nothing was running, all of it.
        if running.is_empty() {
            return Verdict::PutAside;
        }
        aside.extend(running);
    }
    if aside.is_empty() { Verdict::Run } else { Verdict::RunWithout(aside) }
}
