//! The explanation of a study revision: what sealed it, how each model was weighed, and how the chosen ones got on.
use std::collections::BTreeMap;

use super::{convert, event, name, v1};
use crate::{
    error::{Result, Subject},
    ledger::{Event, Ledger, Micros, StudyRow},
    study::{self, Clause},
};

/// Explains revision `revision` of the study `row`.
pub(super) async fn explain(ledger: &Ledger, row: &StudyRow, revision: u32) -> Result<v1::ExplainStudyResponse> {
    let targets = ledger.targets(&row.study, revision).await?;
    let plan = match ledger.plan_json(&row.study, revision).await? {
        Some(json) => Some(study::plan_from_json(&json)?),
        None => None,
    };
    let told = Told::of(ledger, row, revision).await?;
    let refusals = ledger.refusals(&row.study).await?;
    let (code_version, clauses) = plan.map(|plan| (plan.code_version, plan.clauses)).unwrap_or_default();
    Ok(v1::ExplainStudyResponse {
        study: Some(convert::study(row)),
        revision,
        sealed_by: told.sealed_by,
        seal_time: told.sealed_at.map(convert::timestamp),
        choices: choices(&clauses),
        targets: targets.iter().map(convert::target).collect(),
        not_analysed: told.not_analysed,
        refusals: refusals.iter().map(convert::refusal).collect(),
        code_version,
    })
}

/// What only the event log remembers of a revision.
#[derive(Default)]
struct Told {
    sealed_by: String,
    sealed_at: Option<Micros>,
    not_analysed: Vec<v1::Reason>,
}

impl Told {
    async fn of(ledger: &Ledger, row: &StudyRow, revision: u32) -> Result<Told> {
        let mut told = Told::default();
        for row in event::of_revision(ledger, &row.study, revision).await? {
            if let Event::StudySealed { by } = row.event {
                told.sealed_by = by;
                told.sealed_at = Some(row.at);
            } else if let Event::TargetNotAnalysed { model, code, subject, detail } = row.event {
                let mut reason = convert::reason(code, &subject, &detail);
                if let Some(model) = model {
                    reason.detail = format!("{model}: {}", reason.detail);
                }
                // Work that was taken up again after a restart says the same again.
                if !told.not_analysed.contains(&reason) {
                    told.not_analysed.push(reason);
                }
            }
        }
        Ok(told)
    }
}

fn choices(clauses: &[Clause]) -> Vec<v1::ModelChoice> {
    let mut choices: BTreeMap<&str, v1::ModelChoice> = BTreeMap::new();
    for clause in clauses {
        let choice = choices.entry(&clause.model).or_insert_with(|| v1::ModelChoice {
            model: name::of_model(&clause.model),
            version: clause.version.clone(),
            weights_sha256: clause.digest.clone(),
            ..v1::ModelChoice::default()
        });
        match (clause.code, &clause.subject) {
            (Some(code), subject) => choice.rejections.push(convert::reason(code, subject, &clause.clause)),
            (None, Subject::Instance(uid)) => choice.sop_instance_uids.push(uid.clone()),
            (None, Subject::Series(uid)) => choice.series_instance_uids.push(uid.clone()),
            (None, Subject::None | Subject::Study(_) | Subject::Tag(..) | Subject::Field(_) | Subject::Model(_)) => {}
        }
    }
    choices.into_values().collect()
}
