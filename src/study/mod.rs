//! Studies: intake of instances, sealing, and the plan of which models read which images.
//!
//! In: bytes from a gate.   Out: receipts; sealed studies in the ledger; plans.
//! Does not know: gRPC, tensors.
//! Invariants
//! - `Intake::take` is the one way in: every gate calls it.
//! - Whether a study may change state is decided by `state::step` alone, inside the ledger's transaction.
mod intake;
mod plan;
mod plan_json;
mod seal;
mod state;

pub use intake::{InstanceReceipt, Intake, Named, Outcome, Source};
pub use plan::{Clause, Plan, Target, VolumeName, plan};
pub use plan_json::{PlanRecord, plan_from_json, plan_to_json};
pub use seal::{Config, SealedBy};
pub use state::{Effect, Event, on_event, step};
