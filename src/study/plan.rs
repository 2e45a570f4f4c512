//! The plan: which models read which images and volumes of a sealed study, and a coded reason for all that none reads. Pure.
mod series;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    dicom::Header,
    error::{Code, Subject},
    finding::NotAnalysed,
    model::{Kind, Model},
    uid::Uid,
};
use series::{Series, Weighed};

/// One model and what it will read.
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
    /// Of a model that reads series: the volumes that hold them, in the order of Series Instance UIDs.
    pub volumes: Vec<VolumeName>,
}

/// A volume of a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeName {
    /// Series Instance UID.
    pub series: Uid,
    /// Place among the volumes of the series, as `pixel::stacks` orders them.
    pub index: usize,
}

/// Why one model does or does not read something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// SHA-256 of its weights.
    pub digest: String,
    /// An instance; a series where it was weighed as a whole, or where the same holds for all of its images.
    pub subject: Subject,
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
    /// Images that no model reads, with the reason: said once for a series where it is the same for all of them.
    pub not_analysed: Vec<NotAnalysed>,
    /// Every decision, for `explain`.
    pub clauses: Vec<Clause>,
}

/// Plans a study. `headers` come in any order; the result depends on their set alone.
///
/// Models that only serve others (no labels of their own) are not planned; they run where a planned model requires them.
pub fn plan(models: &[&Model], headers: &[&Header]) -> Plan {
    let models: Vec<&Model> = models.iter().copied().filter(|model| !model.manifest.labels.is_empty()).collect();
    let reads_series = models.iter().any(|model| model.manifest.kind != Kind::Radiograph);
    let mut series: Vec<Series<'_>> =
        by_series(headers).into_values().map(|headers| Series::new(headers, reads_series)).collect();
    let mut plan = Plan::default();
    for model in models {
        let mut draft = Draft { model, instances: BTreeSet::new(), volumes: Vec::new() };
        for series in &mut series {
            let weighed = match model.manifest.kind {
                Kind::Radiograph => series.weigh_images(&model.manifest.select),
                Kind::Slices | Kind::Volume => series.weigh_volumes(&model.manifest.select),
            };
            plan.clauses
                .extend(weighed.clauses.iter().map(|(subject, code, clause)| draft.clause(subject, *code, clause)));
            draft.take(weighed);
        }
        plan.targets.extend(draft.target());
    }
    plan.not_analysed = series.iter().flat_map(Series::unread).collect();
    plan
}

/// Headers by Series Instance UID, in each the order of SOP Instance UIDs.
fn by_series<'a>(headers: &[&'a Header]) -> BTreeMap<&'a Uid, Vec<&'a Header>> {
    let mut by_series: BTreeMap<&Uid, Vec<&Header>> = BTreeMap::new();
    headers.iter().for_each(|header| by_series.entry(&header.series).or_default().push(header));
    by_series.values_mut().for_each(|headers| headers.sort_by(|a, b| a.sop_instance.cmp(&b.sop_instance)));
    by_series
}

/// What a model reads, as far as series were weighed.
struct Draft<'a> {
    model: &'a Model,
    instances: BTreeSet<Uid>,
    volumes: Vec<VolumeName>,
}

impl Draft<'_> {
    fn take(&mut self, weighed: Weighed) {
        self.instances.extend(weighed.instances);
        self.volumes.extend(weighed.volumes);
    }

    fn clause(&self, subject: &Subject, code: Option<Code>, clause: &str) -> Clause {
        Clause {
            model: self.model.manifest.name.as_str().to_owned(),
            version: self.model.manifest.version.clone(),
            digest: self.model.digest.clone(),
            subject: subject.clone(),
            code,
            clause: clause.to_owned(),
        }
    }

    /// `None`: it reads nothing.
    fn target(self) -> Option<Target> {
        let manifest = &self.model.manifest;
        (!self.instances.is_empty()).then(|| Target {
            model: manifest.name.as_str().to_owned(),
            version: manifest.version.clone(),
            digest: self.model.digest.clone(),
            instances: self.instances.into_iter().collect(),
            volumes: self.volumes,
        })
    }
}
