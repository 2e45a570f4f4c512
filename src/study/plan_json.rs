//! The plan as it is kept in the ledger: for `explain`, which models were weighed on what, and by which clause; for the work itself,
//! which volumes each target reads.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Error, Result, Subject},
    study::{Clause, Plan, VolumeName},
    uid::Uid,
};

/// What is kept of a plan beside the ledger's rows of its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Version of overread that planned.
    pub code_version: String,
    /// Every decision.
    pub clauses: Vec<Clause>,
    /// What models that read series read, by model.
    pub volumes: BTreeMap<String, Vec<VolumeName>>,
}

#[derive(Serialize, Deserialize)]
struct RecordJson {
    code_version: String,
    clauses: Vec<ClauseJson>,
    #[serde(default)]
    volumes: BTreeMap<String, Vec<VolumeJson>>,
}

#[derive(Serialize, Deserialize)]
struct VolumeJson {
    series: String,
    index: usize,
}

#[derive(Serialize, Deserialize)]
struct ClauseJson {
    model: String,
    version: String,
    digest: String,
    /// One of the two is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    series: Option<String>,
    code: Option<String>,
    clause: String,
}

/// The plan as JSON, without what the ledger's own rows hold.
pub fn plan_to_json(plan: &Plan) -> String {
    let clauses = plan.clauses.iter().map(ClauseJson::from).collect();
    let name = |volume: &VolumeName| VolumeJson { series: volume.series.to_string(), index: volume.index };
    let of_series = plan.targets.iter().filter(|target| !target.volumes.is_empty());
    let volumes = of_series.map(|target| (target.model.clone(), target.volumes.iter().map(name).collect())).collect();
    serde_json::json!(RecordJson { code_version: env!("CARGO_PKG_VERSION").to_owned(), clauses, volumes }).to_string()
}

impl From<&Clause> for ClauseJson {
    fn from(clause: &Clause) -> ClauseJson {
        let (instance, series) = match &clause.subject {
            Subject::Instance(uid) => (Some(uid.clone()), None),
            Subject::Series(uid) => (None, Some(uid.clone())),
            Subject::None | Subject::Study(_) | Subject::Tag(..) | Subject::Field(_) | Subject::Model(_) => {
                (None, None)
            }
        };
        ClauseJson {
            model: clause.model.clone(),
            version: clause.version.clone(),
            digest: clause.digest.clone(),
            instance,
            series,
            code: clause.code.map(|code| code.name().to_owned()),
            clause: clause.clause.clone(),
        }
    }
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
        let subject = match (clause.instance, clause.series) {
            (Some(uid), _) => Subject::Instance(uid),
            (None, Some(uid)) => Subject::Series(uid),
            (None, None) => return Err(unreadable()),
        };
        let ClauseJson { model, version, digest, clause, .. } = clause;
        Ok(Clause { model, version, digest, subject, code, clause })
    };
    let clauses = record.clauses.into_iter().map(clause).collect::<Result<_>>()?;
    let mut volumes = BTreeMap::new();
    for (model, names) in record.volumes {
        let name = |volume: VolumeJson| Ok(VolumeName { series: Uid::parse(&volume.series)?, index: volume.index });
        volumes.insert(model, names.into_iter().map(name).collect::<Result<_>>()?);
    }
    Ok(PlanRecord { code_version: record.code_version, clauses, volumes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Target;

    #[test]
    fn what_was_planned_can_be_explained_and_gone_on_with_later() {
        let uid = Uid::derive(&[b"x"]);
        let clause = |subject, code| Clause {
            model: "chest-radiograph".to_owned(),
            version: "2.0.0".to_owned(),
            digest: "ab".repeat(32),
            subject,
            code,
            clause: "modality is CR".to_owned(),
        };
        let target = Target {
            model: "head-ct".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "cd".repeat(32),
            instances: vec![uid.clone()],
            volumes: vec![VolumeName { series: uid.clone(), index: 1 }],
        };
        let plan = Plan {
            clauses: vec![
                clause(Subject::Instance(uid.to_string()), None),
                clause(Subject::Series(uid.to_string()), Some(Code::WrongView)),
            ],
            targets: vec![target.clone()],
            not_analysed: Vec::new(),
        };
        let record = plan_from_json(&plan_to_json(&plan)).expect("reads what it wrote");
        assert_eq!(record.clauses, plan.clauses);
        assert_eq!(record.volumes.get("head-ct"), Some(&target.volumes));
        assert_eq!(plan_from_json("{}").map_err(|error| error.code), Err(Code::Internal));
    }

    /// A row of the first version: work that it planned goes on after an upgrade.
    #[test]
    fn a_plan_without_volumes_stays_readable() {
        let text = r#"{"code_version":"0.1.0","clauses":[{"model":"m","version":"1","digest":"d","instance":"1.2","code":null,"clause":"c"}]}"#;
        let record = plan_from_json(text).expect("readable");
        assert_eq!(record.clauses[0].subject, Subject::Instance("1.2".to_owned()));
        assert!(record.volumes.is_empty());
    }
}
