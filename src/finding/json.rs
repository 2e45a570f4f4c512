//! Findings and reports as JSON, schema `overread.report/1`: the study part of `overread analyze --format json`, and the form
//! in which the ledger keeps them. Mirrors of our types, so that a change of ours cannot change the schema by accident.
use serde::{Deserialize, Serialize};

use super::{
    CodedConcept, Finding, NotAnalysed, OfSeries, OperatingPoint, Outcome, Provenance, Region, Report,
    json_series::{OfSeriesJson, VolumeJson},
};
use crate::{
    error::{Code, Error, Result, Subject},
    uid::Uid,
};

/// A study with its report, as `analyze --format json` prints it. Keys may be added, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StudyJson {
    study_instance_uid: String,
    revision: u32,
    state: String,
    findings: Vec<FindingJson>,
    not_analysed: Vec<NotAnalysedJson>,
    #[serde(default)]
    volumes: Vec<VolumeJson>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FindingJson {
    uid: String,
    label: String,
    code: CodeJson,
    probability: f32,
    threshold: f32,
    operating_point: Option<OperatingPointJson>,
    outcome: OutcomeJson,
    experimental: bool,
    model: ModelJson,
    sop_instance_uids: Vec<String>,
    frame_number: u32,
    region: Option<RegionJson>,
    heatmap: Option<String>,
    calibration_id: String,
    code_version: String,
    device: String,
    inference_us: u64,
    #[serde(flatten)]
    of_series: OfSeriesJson,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CodeJson {
    value: String,
    scheme: String,
    meaning: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ModelJson {
    name: String,
    version: String,
    digest: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OperatingPointJson {
    sensitivity: f32,
    specificity: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RegionJson {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutcomeJson {
    Positive,
    Negative,
    Indeterminate,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct NotAnalysedJson {
    code: String,
    subject: String,
    detail: String,
}

/// The finding as one line of JSON.
pub fn finding_to_json(finding: &Finding) -> Result<String> {
    write(&FindingJson::from(finding))
}

/// Reads a finding back. Errors: `Internal`, since only we write it.
pub fn finding_from_json(text: &str) -> Result<Finding> {
    read::<FindingJson>(text)?.try_into()
}

/// The report as one line of JSON; its `state` is `reported`.
pub fn report_to_json(report: &Report) -> Result<String> {
    write(&StudyJson {
        study_instance_uid: report.study.to_string(),
        revision: report.revision,
        state: "reported".to_owned(),
        findings: report.findings.iter().map(FindingJson::from).collect(),
        not_analysed: report.not_analysed.iter().map(NotAnalysedJson::from).collect(),
        volumes: report.volumes.iter().map(VolumeJson::from).collect(),
    })
}

/// Reads a report back. Errors: `Internal`, since only we write it.
pub fn report_from_json(text: &str) -> Result<Report> {
    let json: StudyJson = read(text)?;
    Ok(Report {
        study: uid(&json.study_instance_uid)?,
        revision: json.revision,
        findings: json.findings.into_iter().map(Finding::try_from).collect::<Result<_>>()?,
        not_analysed: json.not_analysed.into_iter().map(NotAnalysed::try_from).collect::<Result<_>>()?,
        volumes: json.volumes.into_iter().map(VolumeJson::read).collect::<Result<_>>()?,
    })
}

fn write(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|_| Error::internal("a report could not be written as JSON"))
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| Error::internal("stored JSON is not what we write"))
}

/// Errors: `Internal`, since only we write it.
pub(super) fn uid(text: &str) -> Result<Uid> {
    Uid::parse(text).map_err(|_| Error::internal("stored JSON holds something else in place of a UID"))
}

impl From<Region> for RegionJson {
    fn from(region: Region) -> RegionJson {
        RegionJson { left: region.left, top: region.top, right: region.right, bottom: region.bottom }
    }
}

impl RegionJson {
    pub(super) fn read(self) -> Region {
        Region { left: self.left, top: self.top, right: self.right, bottom: self.bottom }
    }
}

/// The SOP Instances that were read, each once, in the order in which they were.
fn instances(finding: &Finding) -> Vec<String> {
    let Some(of) = &finding.of_series else { return vec![finding.sop_instance.to_string()] };
    let mut uids: Vec<String> = of.sources.iter().map(|source| source.sop_instance.to_string()).collect();
    uids.dedup();
    uids
}

/// The SOP Instance on which the finding lies. `None`: it names none, or several without a series.
fn own_image(uids: &[String], of_series: Option<&OfSeries>) -> Option<Uid> {
    match (of_series, uids) {
        (Some(of), _) => {
            let first = of.key_slices.first().map(|key| &key.source).or(of.sources.first());
            first.map(|source| source.sop_instance.clone())
        }
        (None, [only]) => Uid::parse(only).ok(),
        (None, _) => None,
    }
}

impl From<&Finding> for FindingJson {
    fn from(finding: &Finding) -> FindingJson {
        let made_by = &finding.provenance;
        FindingJson {
            uid: finding.uid.to_string(),
            label: finding.label.clone(),
            code: CodeJson {
                value: finding.code.value.clone(),
                scheme: finding.code.scheme.clone(),
                meaning: finding.code.meaning.clone(),
            },
            probability: finding.probability,
            threshold: finding.threshold,
            operating_point: finding
                .operating_point
                .map(|at| OperatingPointJson { sensitivity: at.sensitivity, specificity: at.specificity }),
            outcome: match finding.outcome {
                Outcome::Positive => OutcomeJson::Positive,
                Outcome::Negative => OutcomeJson::Negative,
                Outcome::Indeterminate => OutcomeJson::Indeterminate,
            },
            experimental: finding.experimental,
            model: ModelJson {
                name: made_by.model.clone(),
                version: made_by.version.clone(),
                digest: made_by.weights_sha256.clone(),
            },
            sop_instance_uids: instances(finding),
            frame_number: finding.frame_number,
            region: finding.region.map(RegionJson::from),
            heatmap: finding.heatmap.clone(),
            calibration_id: made_by.calibration_id.clone(),
            code_version: made_by.code_version.clone(),
            device: made_by.device.clone(),
            inference_us: made_by.inference_us,
            of_series: finding.of_series.as_ref().into(),
        }
    }
}

impl TryFrom<FindingJson> for Finding {
    type Error = Error;

    fn try_from(json: FindingJson) -> Result<Finding> {
        let of_series = json.of_series.read()?;
        let nowhere = || Error::internal("a stored finding does not say on which image it lies");
        let sop_instance = own_image(&json.sop_instance_uids, of_series.as_ref()).ok_or_else(nowhere)?;
        Ok(Finding {
            uid: uid(&json.uid)?,
            label: json.label,
            code: CodedConcept { value: json.code.value, scheme: json.code.scheme, meaning: json.code.meaning },
            probability: json.probability,
            threshold: json.threshold,
            operating_point: json
                .operating_point
                .map(|at| OperatingPoint { sensitivity: at.sensitivity, specificity: at.specificity }),
            outcome: match json.outcome {
                OutcomeJson::Positive => Outcome::Positive,
                OutcomeJson::Negative => Outcome::Negative,
                OutcomeJson::Indeterminate => Outcome::Indeterminate,
            },
            experimental: json.experimental,
            sop_instance,
            frame_number: json.frame_number,
            region: json.region.map(RegionJson::read),
            heatmap: json.heatmap,
            of_series,
            provenance: Provenance {
                model: json.model.name,
                version: json.model.version,
                weights_sha256: json.model.digest,
                calibration_id: json.calibration_id,
                code_version: json.code_version,
                device: json.device,
                inference_us: json.inference_us,
            },
        })
    }
}

impl From<&NotAnalysed> for NotAnalysedJson {
    fn from(not: &NotAnalysed) -> NotAnalysedJson {
        NotAnalysedJson {
            code: not.code.name().to_owned(),
            subject: not.subject.to_string(),
            detail: not.detail.clone(),
        }
    }
}

impl TryFrom<NotAnalysedJson> for NotAnalysed {
    type Error = Error;

    fn try_from(json: NotAnalysedJson) -> Result<NotAnalysed> {
        let code = Code::from_name(&json.code).ok_or_else(|| Error::internal("a stored code is not of the set"))?;
        let subject = subject(&json.subject).ok_or_else(|| Error::internal("a stored subject is not one"))?;
        Ok(NotAnalysed { code, subject, detail: json.detail })
    }
}

/// The inverse of `Subject`'s `Display`.
fn subject(text: &str) -> Option<Subject> {
    if text.is_empty() {
        return Some(Subject::None);
    }
    let (kind, name) = text.split_once(' ')?;
    let owned = name.to_owned();
    match kind {
        "instance" => Some(Subject::Instance(owned)),
        "series" => Some(Subject::Series(owned)),
        "study" => Some(Subject::Study(owned)),
        "field" => Some(Subject::Field(owned)),
        "model" => Some(Subject::Model(owned)),
        "attribute" => {
            let (group, element) = name.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
            let number = |text| u16::from_str_radix(text, 16).ok();
            Some(Subject::Tag(number(group)?, number(element)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::{KeySlice, Measured, Quantity, ReadVolume},
        pixel::{DEFECTS, SliceSource},
    };

    fn finding() -> Finding {
        Finding {
            uid: Uid::derive(&[b"finding"]),
            label: "mass".to_owned(),
            code: CodedConcept { value: "4147007".to_owned(), scheme: "SCT".to_owned(), meaning: "Mass".to_owned() },
            probability: 0.1 + 0.2,
            threshold: f32::MIN_POSITIVE,
            operating_point: Some(OperatingPoint { sensitivity: 0.8, specificity: 1.0 / 3.0 }),
            outcome: Outcome::Indeterminate,
            experimental: true,
            sop_instance: Uid::derive(&[b"instance"]),
            frame_number: 1,
            region: Some(Region { left: 1, top: 2, right: 3, bottom: 4 }),
            heatmap: Some("ab".repeat(32)),
            of_series: None,
            provenance: Provenance {
                model: "chest-radiograph".to_owned(),
                version: "1.0.0".to_owned(),
                weights_sha256: "cd".repeat(32),
                calibration_id: "0123456789abcdef".to_owned(),
                code_version: "0.1.0".to_owned(),
                device: "cpu".to_owned(),
                inference_us: 12_345,
            },
        }
    }

    /// Two single-frame slices and one of another instance between them, the last one being the key slice.
    fn of_series() -> Finding {
        let source = |name: &[u8], frame_number| SliceSource { sop_instance: Uid::derive(&[name]), frame_number };
        let sources = vec![source(b"a", 2), source(b"a", 1), source(b"b", 1)];
        let key = KeySlice {
            slice: 2,
            source: sources[2].clone(),
            probability: 1.0 / 7.0,
            region: Some(Region { left: 1, top: 2, right: 3, bottom: 4 }),
            heatmap: Some("ab".repeat(32)),
        };
        let measured = vec![
            Measured { quantity: Quantity::Volume, part: 0, values: vec![12.3] },
            Measured { quantity: Quantity::Centroid, part: 1, values: vec![0.1, -1.0 / 3.0, 1e-9] },
        ];
        let segmentation = Some("ef".repeat(32));
        let series = Uid::derive(&[b"series"]);
        let of = OfSeries { series, sources, key_slices: vec![key.clone()], measured, segmentation };
        Finding { sop_instance: key.source.sop_instance, of_series: Some(of), ..finding() }
    }

    fn report() -> Report {
        let bare = Finding {
            region: None,
            heatmap: None,
            operating_point: None,
            outcome: Outcome::Negative,
            experimental: false,
            ..finding()
        };
        let subjects = [
            Subject::None,
            Subject::Instance("1.2".to_owned()),
            Subject::Series("1.3".to_owned()),
            Subject::Study("1.4".to_owned()),
            Subject::Tag(0x0028, 0x0010),
            Subject::Field("infer.lanes".to_owned()),
            Subject::Model("chest-lungs".to_owned()),
        ];
        let not = |subject| NotAnalysed { code: Code::WrongView, subject, detail: "lateral: \"LL\"".to_owned() };
        Report {
            study: Uid::derive(&[b"study"]),
            revision: 2,
            findings: vec![finding(), bare, of_series()],
            not_analysed: subjects.into_iter().map(not).collect(),
            volumes: vec![ReadVolume {
                series: Uid::derive(&[b"series"]),
                size: [3, 512, 256],
                spacing: [1.0 / 3.0, 0.5, 0.25],
                warnings: DEFECTS.iter().map(|row| row.defect).collect(),
            }],
        }
    }

    #[test]
    fn a_report_survives_json_bit_for_bit() {
        let text = report_to_json(&report()).expect("written");
        assert_eq!(report_from_json(&text), Ok(report()));
        let text = finding_to_json(&finding()).expect("written");
        assert_eq!(finding_from_json(&text), Ok(finding()));
    }

    #[test]
    fn the_keys_that_outside_checks_read_are_there() {
        let text = report_to_json(&report()).expect("written");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let first = &value["findings"][0];
        assert_eq!(value["state"], "reported");
        assert_eq!(value["not_analysed"][1]["code"], "WRONG_VIEW");
        assert_eq!(value["not_analysed"][1]["subject"], "instance 1.2");
        assert_eq!(first["outcome"], "indeterminate");
        assert_eq!(first["code"]["scheme"], "SCT");
        assert_eq!(first["region"]["bottom"], 4);
        for key in ["label", "probability", "threshold", "model", "sop_instance_uids", "heatmap"] {
            assert!(!first[key].is_null(), "{key}");
        }
        let third = &value["findings"][2];
        assert_eq!(third["sop_instance_uids"].as_array().map(Vec::len), Some(2));
        assert_eq!(third["key_images"][0]["slice"], 3);
        assert_eq!(third["measurements"][0]["unit"], "mL");
        assert_eq!(third["sources"][0]["frame_numbers"], serde_json::json!([2, 1]));
        for key in ["name", "version", "digest"] {
            assert!(first["model"][key].is_string(), "model.{key}");
        }
    }
}
