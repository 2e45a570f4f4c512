//! The plan as it is kept in the ledger, for `explain`: which models were weighed on which instances, and by which clause.
use serde::Deserialize;

use crate::{
    error::{Code, Error, Result},
    study::{Clause, Plan},
    uid::Uid,
};

/// What `explain` knows of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Version of overread that planned.
    pub code_version: String,
    /// Every decision.
    pub clauses: Vec<Clause>,
}

#[derive(Deserialize)]
struct RecordJson {
    code_version: String,
    clauses: Vec<ClauseJson>,
}

#[derive(Deserialize)]
struct ClauseJson {
    model: String,
    instance: String,
    code: Option<String>,
    clause: String,
}

/// The plan's decisions as JSON.
pub fn plan_to_json(plan: &Plan) -> String {
    let clauses: Vec<_> = plan.clauses.iter().map(clause_to_json).collect();
    serde_json::json!({ "code_version": env!("CARGO_PKG_VERSION"), "clauses": clauses }).to_string()
}

fn clause_to_json(clause: &Clause) -> serde_json::Value {
    serde_json::json!({
        "model": clause.model, "instance": clause.instance.as_str(), "code": clause.code.map(Code::name), "clause": clause.clause,
    })
}

/// Reads what [`plan_to_json`] wrote. Errors: `Internal` when it is not that.
pub fn plan_from_json(json: &str) -> Result<PlanRecord> {
    let unreadable = || Error::internal("a stored plan cannot be read");
    let record: RecordJson = serde_json::from_str(json).map_err(|_| unreadable())?;
    let clause = |clause: ClauseJson| -> Result<Clause> {
        let code = match clause.code {
            Some(name) => Some(Code::from_name(&name).ok_or_else(unreadable)?),
            None => None,
        };
        Ok(Clause { model: clause.model, instance: Uid::parse(&clause.instance)?, code, clause: clause.clause })
    };
    let clauses = record.clauses.into_iter().map(clause).collect::<Result<_>>()?;
    Ok(PlanRecord { code_version: record.code_version, clauses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_planned_can_be_explained_later() {
        let clause = |code| Clause {
            model: "chest-radiograph".to_owned(),
            instance: Uid::derive(&[b"x"]),
            code,
            clause: "modality is CR".to_owned(),
        };
        let plan = Plan { clauses: vec![clause(None), clause(Some(Code::WrongView))], ..Plan::default() };
        let record = plan_from_json(&plan_to_json(&plan)).expect("reads what it wrote");
        assert_eq!(record.clauses, plan.clauses);
        assert_eq!(plan_from_json("{}").map_err(|error| error.code), Err(Code::Internal));
    }
}
