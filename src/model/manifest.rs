//! The manifest of a model, `model.toml`: everything that a model folder says about itself, checked once when it is read.
//!
//! `models/README.md` documents the format for people who package models. After [`Manifest::parse`] nobody checks again.
use serde::Deserialize;

use super::fields::{self, FileName, Name, Sha256};
use crate::error::{Code, Error, Result, Subject};

/// The schema that this build reads.
const SCHEMA: &str = "overread.model/1";

/// `model.toml`. Field names are its keys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    schema: String,
    /// Lower case letters, digits and `-`; the same as the folder's name.
    pub name: Name,
    /// Version of weights and manifest together, for example `1.0.0`.
    pub version: String,
    /// For a person.
    pub title: String,
    /// What the model reads.
    pub kind: Kind,
    /// What its outputs mean.
    pub task: Task,
    /// Licence of the weights.
    pub license: String,
    /// For a person.
    pub intended_use: String,
    /// The network.
    pub weights: Weights,
    /// Which images it reads.
    pub select: Select,
    /// Models that run first.
    #[serde(default)]
    pub requires: Requires,
    /// How its input is made.
    pub input: Recipe,
    /// Rules on the mask of a segmentation model (`task = "segmentation"`): what is no image for those that require it.
    pub quality: Option<Quality>,
    /// What it looks for, in the order of its logits (`task = "multi-label"`).
    #[serde(default)]
    pub labels: Vec<Label>,
    /// The example that the server runs at start.
    pub self_test: SelfTest,
}

/// What a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One projection radiograph.
    Radiograph,
}

/// What a model's outputs mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One logit and one activation map per label: outputs `logits` (N x L) and `maps` (N x L x h x w).
    MultiLabel,
    /// One mask: output `logits` (N x 1 x rows x columns of the input grid).
    Segmentation,
}

/// The TorchScript file and what it returns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// TorchScript file.
    pub file: FileName,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Names of the returned tensors, in order. One name: the file returns a tensor or a tuple of one.
    pub outputs: Vec<String>,
    /// Where `file` runs.
    #[serde(default)]
    pub device: Placement,
    /// The file for other devices, where `device = "cpu"`. Without it the model stays on the CPU.
    pub other: Option<DigestedFile>,
}

/// Where a TorchScript file runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// On every device.
    #[default]
    Any,
    /// On a CPU only: it holds operators that no other device has, as packed oneDNN weights are.
    Cpu,
}

/// A file of the model's folder and its digest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestedFile {
    /// The file.
    pub file: FileName,
    /// SHA-256 of the file.
    pub sha256: Sha256,
}

/// Which images the model reads; `""` in a list stands for an absent or empty attribute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// Modality (0008,0060).
    pub modality: Vec<String>,
    /// Body Part Examined (0018,0015); letter case does not matter. Absent: any.
    pub body_part: Option<Vec<String>>,
    /// View Position (0018,5101). Absent: any.
    pub view_position: Option<Vec<String>>,
    /// Youngest patient, years. A patient of unknown age passes: the card states it as a limit.
    pub age_years_min: Option<f32>,
    /// Oldest patient, years, inclusive of the whole last year.
    pub age_years_max: Option<f32>,
}

/// Models that run first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// A segmentation model of the lungs: its `[quality]` rules decide whether the image is read at all.
    pub lungs: Option<Name>,
}

/// From display values to the input tensor; `models/README.md` states each step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Longest side in pixels to which the whole image is reduced first; smaller images stay.
    #[serde(default, deserialize_with = "fields::side")]
    pub reduce: Option<usize>,
    /// Crop to the mask of a required model.
    pub crop: Option<Crop>,
    /// Quantiles that become 0 and 1.
    #[serde(default, deserialize_with = "fields::band")]
    pub contrast: Option<[f64; 2]>,
    /// Rows and columns of the input, pixels.
    #[serde(deserialize_with = "fields::size")]
    pub size: [usize; 2],
    /// How the view is fitted to `size`.
    pub fit: Fit,
    /// Subtracted from each value.
    #[serde(deserialize_with = "fields::finite")]
    pub mean: f32,
    /// Divides each value.
    #[serde(deserialize_with = "fields::positive")]
    pub std: f32,
}

/// The bounding box of a required model's mask, grown by `margin` of its width and height on each side.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Name of the required model.
    pub by: Name,
    /// Share of the box, `0.0..=1.0`.
    #[serde(deserialize_with = "fields::share")]
    pub margin: f64,
}

/// How a view is fitted to the input size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The longer side fits, the rest is 0, the view is in the middle.
    Letterbox,
    /// Both sides fit: the aspect ratio changes.
    Stretch,
}

/// One thing that the model looks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Lower case letters, digits and `_`.
    pub name: Name,
    /// What it is, coded.
    pub code: CodedConcept,
    /// Whether it passed the gate of the model's card.
    pub status: Status,
    /// From logit to probability.
    pub calibration: Calibration,
    /// Where positive begins, on the calibrated probability.
    #[serde(deserialize_with = "fields::share")]
    pub threshold: f32,
    /// Band of probabilities that are called indeterminate: `low <= p < high`, `high` at most the threshold.
    #[serde(default, deserialize_with = "fields::band")]
    pub indeterminate: Option<[f32; 2]>,
    /// What was measured at the threshold.
    pub operating_point: Option<OperatingPoint>,
}

/// Whether a label passed the gate of the model's card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It did: reported.
    Finding,
    /// It did not: off unless it is asked for.
    Experimental,
}

/// Platt's calibration: `probability = 1 / (1 + exp(-(a * logit + b)))`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Slope, above 0.
    #[serde(deserialize_with = "fields::positive")]
    pub a: f32,
    /// Offset.
    #[serde(deserialize_with = "fields::finite")]
    pub b: f32,
}

/// A coded concept (PS3.16): Code Value, Coding Scheme Designator, Code Meaning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodedConcept {
    /// Code Value, for example `60046008`.
    pub value: String,
    /// Coding Scheme Designator, for example `SCT`.
    pub scheme: String,
    /// Code Meaning, for example `Pleural effusion`.
    pub meaning: String,
}

/// How the threshold was chosen: its sensitivity and specificity, each `0.0..=1.0`, as measured in the model card.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Share of the positives at or above the threshold.
    #[serde(deserialize_with = "fields::share")]
    pub sensitivity: f32,
    /// Share of the negatives below it.
    #[serde(deserialize_with = "fields::share")]
    pub specificity: f32,
}

/// The example that the server runs at start. All arrays are float32 `.npy` files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// 1 x 1 x rows x columns as `[input] size` says. Absent: row r, column c is
    /// `sin(0.05 r) * cos(0.03 c) + 0.002 (r - c)`, computed in float64.
    pub input: Option<DigestedFile>,
    /// The first output for that input.
    pub expect: DigestedFile,
    /// Largest difference that passes, over the largest expected value.
    #[serde(deserialize_with = "fields::positive")]
    pub tolerance: f32,
}

/// Rules on a lung mask: each is `[lowest, highest]` of the measure of that name in `mask::Measures`, which defines it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// The second largest part is a field only from this share of the largest's area on.
    #[serde(deserialize_with = "fields::share")]
    pub second_field_min: f32,
    /// Broken: `WrongBodyPart`.
    pub area_share: [f64; 2],
    /// Broken: `WrongView`, as for all that follow but the last.
    pub fields: [f64; 2],
    /// See `Measures`.
    pub balance: [f64; 2],
    /// See `Measures`.
    pub apart_x: [f64; 2],
    /// See `Measures`.
    pub apart_y: [f64; 2],
    /// Middle of the box.
    pub center_x: [f64; 2],
    /// Middle of the box.
    pub center_y: [f64; 2],
    /// Width of the box.
    pub width: [f64; 2],
    /// Height of the box.
    pub height: [f64; 2],
    /// Broken: `QualityTooLow`.
    pub polarity: [f64; 2],
}

impl Manifest {
    /// Reads the text of a `model.toml`.
    ///
    /// Errors: `ModelUnavailable`, with the line and the key that is wrong.
    pub fn parse(text: &str) -> Result<Manifest> {
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or(text).matches('\n').count();
            let key = text.lines().nth(line).unwrap_or("").split('=').next().unwrap_or("").trim();
            unavailable(format!("model.toml line {} ({key}): {}", line + 1, error.message()))
        })?;
        manifest.check().map_err(|(key, what)| unavailable(format!("model.toml {key}: {what}")))?;
        Ok(manifest)
    }

    /// What single keys cannot say: (key, what is wrong).
    fn check(&self) -> std::result::Result<(), (String, String)> {
        let wrong = |key: &str, what: &str| Err((key.to_owned(), what.to_owned()));
        if self.schema != SCHEMA {
            return wrong("schema", "this build reads overread.model/1");
        }
        let (outputs, labels_fit, quality_fits) = match self.task {
            Task::MultiLabel => (["logits", "maps"].as_slice(), !self.labels.is_empty(), self.quality.is_none()),
            Task::Segmentation => (["logits"].as_slice(), self.labels.is_empty(), self.quality.is_some()),
        };
        if self.weights.outputs != outputs {
            return wrong("weights.outputs", "multi-label returns [\"logits\", \"maps\"], segmentation [\"logits\"]");
        }
        if !labels_fit {
            return wrong("labels", "multi-label has at least one [[labels]], segmentation none");
        }
        if !quality_fits {
            return wrong("quality", "a segmentation model has [quality], another has not");
        }
        if let Some(crop) = &self.input.crop
            && self.requires.lungs.as_ref() != Some(&crop.by)
        {
            return wrong("input.crop.by", "the model that crops must be named in [requires] lungs");
        }
        for (index, label) in self.labels.iter().enumerate() {
            if self.labels[..index].iter().any(|other| other.name == label.name) {
                return Err((format!("labels.{}", label.name), "is there twice".to_owned()));
            }
            if label.indeterminate.is_some_and(|[_, high]| high > label.threshold) {
                let what = "the band must lie below the threshold".to_owned();
                return Err((format!("labels.{}.indeterminate", label.name), what));
            }
        }
        Ok(())
    }
}

/// The refusal of a model's files; the registry adds the model's name.
pub(super) fn unavailable(detail: impl Into<String>) -> Error {
    Error::new(Code::ModelUnavailable, detail)
}

impl Error {
    /// The same outcome, about the model of that name.
    pub(crate) fn about_model(self, name: &str) -> Error {
        self.about(Subject::Model(name.to_owned()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::model) const LABEL: &str = r#"
name = "pleural_effusion"
code = { value = "60046008", scheme = "SCT", meaning = "Pleural effusion" }
status = "finding"
calibration = { a = 1.1, b = -0.3 }
threshold = 0.31
indeterminate = [0.25, 0.31]
operating_point = { sensitivity = 0.80, specificity = 0.74 }
"#;

    /// The test model's manifest with `from` replaced by `to`.
    fn changed(from: &str, to: &str) -> Result<Manifest> {
        let text = include_str!("../../tests/data/models/tiny-radiograph/model.toml");
        assert!(text.contains(from), "{from}");
        Manifest::parse(&text.replacen(from, to, 1))
    }

    #[track_caller]
    fn check_refused(from: &str, to: &str, named: &str) {
        let error = changed(from, to).expect_err("must be refused");
        assert_eq!(error.code, Code::ModelUnavailable);
        assert!(error.detail.contains(named), "{named:?} is not in {:?}", error.detail);
    }

    #[test]
    fn the_test_models_manifest_is_read() {
        let manifest = changed("size", "size").expect("valid");
        assert_eq!(manifest.labels[1].status, Status::Experimental);
        assert_eq!(manifest.input.size, [64, 64]);
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_key() {
        check_refused("overread.model/1", "overread.model/9", "schema");
        check_refused("size = [64, 64]", "size = [0, 64]", "(size)");
        check_refused("std = 0.25", "std = 0.0", "line 23 (std): must be above 0");
        check_refused("fit = ", "fitt = ", "unknown field `fitt`");
        check_refused("file = \"weights.pt\"", "file = \"../weights.pt\"", "(file)");
        check_refused("file = \"weights.pt\"", "file = \"/etc/passwd\"", "(file)");
        check_refused("sha256 = \"4c", "sha256 = \"4C", "(sha256)");
        check_refused("threshold = 0.3\n", "threshold = 1.3\n", "threshold");
        check_refused("indeterminate = [0.5, 0.6]", "indeterminate = [0.5, 0.7]", "labels.dark.indeterminate");
        check_refused("name = \"dark\"", "name = \"bright\"", "labels.bright");
        check_refused("[\"logits\", \"maps\"]", "[\"maps\"]", "weights.outputs");
        check_refused("fit = ", "crop = { by = \"chest-lungs\", margin = 0.1 }\nfit = ", "input.crop.by");
    }
}
