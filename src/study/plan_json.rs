//! The plan as it is kept in the ledger, for `explain`: which models were weighed on which instances, and by which clause.
use serde::{Deserialize, Serialize};

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

#[derive(Serialize, Deserialize)]
struct RecordJson {
    code_version: String,
    clauses: Vec<ClauseJson>,
}

#[derive(Serialize, Deserialize)]
struct ClauseJson {
    model: String,
    version: String,
    digest: String,
    instance: String,
    code: Option<String>,
    clause: String,
}

/// The plan's decisions as JSON.
pub fn plan_to_json(plan: &Plan) -> String {
    let clause = |clause: &Clause| ClauseJson {
        model: clause.model.clone(),
        version: clause.version.clone(),
        digest: clause.digest.clone(),
        instance: clause.instance.as_str().to_owned(),
        code: clause.code.map(|code| code.name().to_owned()),
        clause: clause.clause.clone(),
    };
    let clauses = plan.clauses.iter().map(clause).collect();
    serde_json::json!(RecordJson { code_version: env!("CARGO_PKG_VERSION").to_owned(), clauses }).to_string()
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
        let ClauseJson { model, version, digest, instance, clause, .. } = clause;
        Ok(Clause { model, version, digest, instance: Uid::parse(&instance)?, code, clause })
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
            version: "2.0.0".to_owned(),
            digest: "ab".repeat(32),
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
