//! The manifest of a model, `model.toml`: everything that a model folder says about itself, checked once when it is read.
//!
//! `models/README.md` documents the format for people who package models. After [`Manifest::parse`] nobody checks again.
mod check;
mod input;
mod label;
mod rules;
mod weights;

use serde::{Deserialize, de::DeserializeOwned};

use super::fields::{self, Name};
use crate::error::{Code, Error, Result, Subject};

pub use input::{
    Axes, Crop, Fit, ImageRecipe, Intensity, Interpolation, Neighbours, Of, Over, Recipe, SlicesRecipe, VolumeRecipe,
};
pub use label::{Calibration, CodedConcept, Label, OperatingPoint, Status};
pub use rules::{
    Aggregate, BoxRule, Contrast, Derived, MaskRule, Ood, OodScore, Orientation, Pattern, Quality, Refuse, Rule, Select,
};
pub(super) use weights::Placement;
pub use weights::{Activation, DigestedFile, Returned, Role, Slot, Weights};

/// The schema that this build reads.
const SCHEMA: &str = "overread.model/1";

/// `model.toml`. Field names are its keys; `input` has the keys of its kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest<I = Recipe> {
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
    /// Which images or series it reads.
    pub select: Select,
    /// Models that run first.
    #[serde(default)]
    pub requires: Requires,
    /// How its input is made.
    pub input: I,
    /// What is refused although it was selected (series).
    #[serde(default)]
    pub refuse: Refuse,
    /// What of a mask counts (segmentation of series).
    pub mask: Option<MaskRule>,
    /// Which boxes are kept (detection).
    pub boxes: Option<BoxRule>,
    /// How slices become a series (series).
    pub aggregate: Option<Aggregate>,
    /// Rules on the mask of a radiograph's segmentation: what is no image for the models that require it.
    pub quality: Option<Quality>,
    /// What it looks for, in the order of the channels of its main output.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// Which of these it is that a mask holds, in the order of the output `classes` (segmentation of series).
    #[serde(default)]
    pub classes: Vec<Label>,
    /// The example that the server runs at start.
    pub self_test: SelfTest,
}

/// What a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One projection radiograph.
    Radiograph,
    /// A series of parallel slices, one by one.
    Slices,
    /// A series of parallel slices, as one grid.
    Volume,
}

/// What a model's outputs mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// A chance for each label: output `logits`, and `maps` where the network has them.
    MultiLabel,
    /// One of several: as multi-label, and the chances sum to 1.
    MultiClass,
    /// Which pixels or voxels: output `mask`.
    Segmentation,
    /// Boxes: outputs `boxes` and `scores`.
    Detection,
}

/// Models that run first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// A segmentation model of the lungs: its `[quality]` rules decide whether the image is read at all.
    pub lungs: Option<Name>,
}

/// The example that the server runs at start. All arrays are float32 `.npy` files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// One sample of the input's shape. Absent: channel k, depth d (0 for images), row r, column c is
    /// `sin(0.05 r) * cos(0.03 c) + 0.002 (r - c) + 0.1 k + 0.05 d`, computed in float64.
    pub input: Option<DigestedFile>,
    /// The main output for that input; as flat list with only each `every`-th value where `every` is given.
    pub expect: DigestedFile,
    /// Keeps the example of a large output small: value 0, `every`, 2 `every`, ... in the order of memory.
    #[serde(default, deserialize_with = "fields::some_count")]
    pub every: Option<usize>,
    /// Largest difference that passes, over the largest expected value.
    #[serde(deserialize_with = "fields::positive")]
    pub tolerance: f32,
}

/// What must be known before the rest can be read.
#[derive(Deserialize)]
struct Head {
    kind: Kind,
}

impl Manifest {
    /// Reads the text of a `model.toml`.
    ///
    /// Errors: `ModelUnavailable`, with the line and the key that is wrong.
    pub fn parse(text: &str) -> Result<Manifest> {
        let manifest = match read::<Head>(text)?.kind {
            Kind::Radiograph => read::<Manifest<ImageRecipe>>(text)?.with_input(Recipe::Radiograph),
            Kind::Slices => read::<Manifest<SlicesRecipe>>(text)?.with_input(Recipe::Slices),
            Kind::Volume => read::<Manifest<VolumeRecipe>>(text)?.with_input(Recipe::Volume),
        };
        check::check(&manifest).map_err(|(key, what)| unavailable(format!("model.toml {key}: {what}")))?;
        Ok(manifest)
    }

    /// The recipe of a model that reads radiographs.
    pub fn image_recipe(&self) -> Option<&ImageRecipe> {
        match &self.input {
            Recipe::Radiograph(recipe) => Some(recipe),
            Recipe::Slices(_) | Recipe::Volume(_) => None,
        }
    }

    /// Lowest and highest value of the first window, HU: how to show what the model reads. `None`: it names no window.
    pub fn display_window(&self) -> Option<[f64; 2]> {
        let windows = match &self.input {
            Recipe::Radiograph(_) => return None,
            Recipe::Slices(recipe) => &recipe.windows,
            Recipe::Volume(recipe) => &recipe.windows,
        };
        let [level, width] = windows.first()?.map(f64::from);
        Some([level - width / 2.0, level + width / 2.0])
    }

    /// From which value on a heatmap's place is outlined: where the mask begins, else half of the scale.
    pub fn outline_at(&self) -> f32 {
        self.mask.unwrap_or_default().threshold
    }

    /// What makes probabilities of the main output.
    pub fn activation(&self) -> Activation {
        self.weights.activation.unwrap_or(match self.task {
            Task::MultiClass => Activation::Softmax,
            Task::MultiLabel | Task::Segmentation | Task::Detection => Activation::Sigmoid,
        })
    }
}

impl Task {
    /// The output that the self-test compares, and that `activation` is about.
    pub fn main_output(self) -> Role {
        match self {
            Task::MultiLabel | Task::MultiClass => Role::Logits,
            Task::Segmentation => Role::Mask,
            Task::Detection => Role::Scores,
        }
    }
}

impl<I> Manifest<I> {
    fn with_input<J>(self, wrap: impl FnOnce(I) -> J) -> Manifest<J> {
        Manifest {
            schema: self.schema,
            name: self.name,
            version: self.version,
            title: self.title,
            kind: self.kind,
            task: self.task,
            license: self.license,
            intended_use: self.intended_use,
            weights: self.weights,
            select: self.select,
            requires: self.requires,
            input: wrap(self.input),
            refuse: self.refuse,
            mask: self.mask,
            boxes: self.boxes,
            aggregate: self.aggregate,
            quality: self.quality,
            labels: self.labels,
            classes: self.classes,
            self_test: self.self_test,
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or(text).matches('\n').count();
        let key = text.lines().nth(line).unwrap_or("").split('=').next().unwrap_or("").trim();
        unavailable(format!("model.toml line {} ({key}): {}", line + 1, error.message()))
    })
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
        let text = include_str!("../../../tests/data/models/tiny-radiograph/model.toml");
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
        assert_eq!(manifest.input.shape(), [1, 64, 64]);
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
