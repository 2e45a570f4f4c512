//! The plan: which models read which instances of a sealed study, and a coded reason for all that none reads. Pure.
use crate::{
    dicom::Header,
    error::{Code, Subject},
    finding::NotAnalysed,
    model::{self, Model},
    uid::Uid,
};

/// One model and the instances that it will read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// SHA-256 of its weights.
    pub digest: String,
    /// SOP Instances in the order of their UIDs.
    pub instances: Vec<Uid>,
}

/// Why one model does or does not read one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// SHA-256 of its weights.
    pub digest: String,
    /// SOP Instance.
    pub instance: Uid,
    /// `None`: chosen.
    pub code: Option<Code>,
    /// The clause of the manifest that decided, in words without patient data.
    pub clause: String,
}

/// What will be done with a study revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Models with what they read, in the order of model names.
    pub targets: Vec<Target>,
    /// Instances that no model reads, with the reason.
    pub not_analysed: Vec<NotAnalysed>,
    /// Every decision, for `explain`.
    pub clauses: Vec<Clause>,
}

/// Plans a study. `headers` come in any order; the result depends on their set alone.
///
/// Models that only serve others (no labels of their own) are not planned; they run where a planned model requires them.
pub fn plan(models: &[&Model], headers: &[&Header]) -> Plan {
    let mut headers: Vec<_> = headers.to_vec();
    headers.sort_by(|a, b| a.sop_instance.cmp(&b.sop_instance));
    let mut plan = Plan::default();
    let mut rejections: Vec<Vec<model::Rejection>> = vec![Vec::new(); headers.len()];
    let mut chosen = vec![false; headers.len()];
    for model in models.iter().filter(|model| !model.manifest.labels.is_empty()) {
        let mut instances = Vec::new();
        for (index, header) in headers.iter().enumerate() {
            let (code, clause) = match model::select(&model.manifest.select, header) {
                Ok(()) => {
                    chosen[index] = true;
                    instances.push(header.sop_instance.clone());
                    (None, "every clause of [select] holds".to_owned())
                }
                Err(rejection) => {
                    let said = (Some(rejection.code), rejection.clause.clone());
                    rejections[index].push(rejection);
                    said
                }
            };
            plan.clauses.push(Clause {
                model: model.manifest.name.as_str().to_owned(),
                version: model.manifest.version.clone(),
                digest: model.digest.clone(),
                instance: header.sop_instance.clone(),
                code,
                clause,
            });
        }
        if !instances.is_empty() {
            plan.targets.push(Target {
                model: model.manifest.name.as_str().to_owned(),
                version: model.manifest.version.clone(),
                digest: model.digest.clone(),
                instances,
            });
        }
    }
    for ((header, rejections), chosen) in headers.iter().zip(&rejections).zip(&chosen) {
        if !chosen {
            plan.not_analysed.push(unread(header, rejections));
        }
    }
    plan
}

/// The reason for an instance that no model reads: the most telling of the models' rejections.
///
/// A model of another modality says nothing about the image, so its word counts only where nobody has a better one.
fn unread(header: &Header, rejections: &[model::Rejection]) -> NotAnalysed {
    let subject = Subject::Instance(header.sop_instance.as_str().to_owned());
    match rejections.iter().find(|rejection| rejection.code != Code::WrongModality) {
        Some(rejection) => NotAnalysed { code: rejection.code, subject, detail: rejection.clause.clone() },
        None => {
            let detail = format!("no installed model reads modality {}", modality_word(header));
            NotAnalysed { code: Code::NoModelApplies, subject, detail }
        }
    }
}

/// Modality is a Code String of the sender's: shown only when it is one of the standard's shape (PS3.5 6.2, CS).
fn modality_word(header: &Header) -> &str {
    let word = header.modality.as_str();
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    if !word.is_empty() && word.len() <= 16 && word.bytes().all(plain) { word } else { "(none given)" }
}
