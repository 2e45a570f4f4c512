//! What a model reads, what it refuses, and how its outputs become findings: the rules that a manifest states as numbers.
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::model::fields;

/// Which images or series the model reads; `""` in a list stands for an absent or empty attribute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// Modality (0008,0060).
    pub modality: Vec<String>,
    /// Body Part Examined (0018,0015); letter case does not matter. Absent: any.
    pub body_part: Option<Vec<String>>,
    /// View Position (0018,5101), of radiographs. Absent: any.
    pub view_position: Option<Vec<String>>,
    /// Youngest patient, years. A patient of unknown age passes: the card states it as a limit.
    pub age_years_min: Option<f32>,
    /// Oldest patient, years, inclusive of the whole last year.
    pub age_years_max: Option<f32>,
    /// Series: one of these is found in Series Description (0008,103E). Absent: any.
    pub description: Option<Vec<Pattern>>,
    /// Series: none of these is found in it.
    #[serde(default)]
    pub description_not: Vec<Pattern>,
    /// Series: the planes of the slices. Absent: any.
    pub orientation: Option<Vec<Orientation>>,
    /// Series: whether Contrast/Bolus Agent (0018,0010) must be there. Absent: it does not matter.
    pub contrast: Option<Contrast>,
    /// Series: what becomes of derived images (Image Type, value 1).
    #[serde(default)]
    pub derived: Derived,
    /// Series: fewest slices.
    pub slices_min: Option<usize>,
    /// Series: most slices that may be missing between the first and the last, as a share of those that should be there.
    #[serde(default, deserialize_with = "fields::some_share")]
    pub missing_max: Option<f64>,
    /// Series: `[least, most]` distance of slices, mm.
    #[serde(default, deserialize_with = "fields::some_range")]
    pub slice_spacing_mm: Option<[f64; 2]>,
}

impl Select {
    /// The first key that only series have, if one is there.
    pub(super) fn series_key(&self) -> Option<&'static str> {
        let keys = [
            ("description", self.description.is_some()),
            ("description_not", !self.description_not.is_empty()),
            ("orientation", self.orientation.is_some()),
            ("contrast", self.contrast.is_some()),
            ("derived", self.derived != Derived::Refuse),
            ("slices_min", self.slices_min.is_some()),
            ("missing_max", self.missing_max.is_some()),
            ("slice_spacing_mm", self.slice_spacing_mm.is_some()),
        ];
        keys.into_iter().find(|(_, there)| *there).map(|(key, _)| key)
    }
}

/// A regular expression, found anywhere, whatever the letter case.
#[derive(Debug, Clone)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// The expression.
    pub fn regex(&self) -> &regex::Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let built = regex::RegexBuilder::new(&text).case_insensitive(true).size_limit(1 << 20).build();
        built.map(Pattern).map_err(|_| D::Error::custom(format!("\"{text}\" is no regular expression")))
    }
}

/// The plane of a slice, by the body axis that its normal is closest to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Orientation {
    /// Normal from feet to head.
    Axial,
    /// Normal from front to back.
    Coronal,
    /// Normal from side to side.
    Sagittal,
}

/// Whether a contrast agent was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contrast {
    /// It was.
    With,
    /// It was not, as far as the header says.
    Without,
}

/// What becomes of derived images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Derived {
    /// A series of them is refused: `DerivedImage`.
    #[default]
    Refuse,
    /// They are read like originals.
    Read,
}

/// What of a mask counts.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskRule {
    /// A pixel or voxel of at least this probability is inside.
    #[serde(deserialize_with = "fields::share")]
    pub threshold: f32,
    /// A connected part of less volume does not count, mL.
    #[serde(deserialize_with = "fields::not_negative")]
    pub part_ml_min: f64,
    /// A connected part that reaches less far along the normal of the slices does not count, mm.
    #[serde(deserialize_with = "fields::not_negative")]
    pub part_mm_min: f64,
}

impl Default for MaskRule {
    fn default() -> MaskRule {
        MaskRule { threshold: 0.5, part_ml_min: 0.0, part_mm_min: 0.0 }
    }
}

/// How values of slices become one of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aggregate {
    /// Which value.
    pub rule: Rule,
    /// The number k of the rule; a series with fewer slices takes those that there are.
    #[serde(deserialize_with = "fields::count")]
    pub slices: usize,
    /// How many key slices are named at most.
    #[serde(deserialize_with = "fields::count")]
    pub key_slices: usize,
}

impl Default for Aggregate {
    fn default() -> Aggregate {
        Aggregate { rule: Rule::Highest, slices: 1, key_slices: 3 }
    }
}

/// Which value of its slices is the series'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The k-th highest.
    Highest,
    /// The highest that k neighbouring slices all reach.
    Run,
    /// The mean of the k highest.
    Mean,
}

/// Which boxes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoxRule {
    /// A box that shares more than this (intersection over union) with a better one of its label is dropped.
    #[serde(deserialize_with = "fields::share")]
    pub iou_max: f64,
    /// Boxes of a label that are kept at most.
    #[serde(deserialize_with = "fields::count")]
    pub count_max: usize,
}

impl Default for BoxRule {
    fn default() -> BoxRule {
        BoxRule { iou_max: 0.3, count_max: 100 }
    }
}

/// What is refused although `[select]` chose it. An absent rule refuses nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// Least distance of the 5 % and the 95 % quantile of the values after `intensity`. Less is nearly uniform: `QualityTooLow`.
    #[serde(default, deserialize_with = "fields::some_positive32")]
    pub spread_min: Option<f32>,
    /// Most by which the outer twentieth of the slices may be brighter than the rest, in the mean, after `intensity`.
    /// More is inverted: `QualityTooLow`.
    #[serde(default, deserialize_with = "fields::some_finite")]
    pub border_excess_max: Option<f32>,
    /// Strangeness: `OutOfDistribution`.
    pub ood: Option<Ood>,
}

/// A score of strangeness and its limit; a series has the median of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ood {
    /// Where the score comes from.
    pub by: OodScore,
    /// The highest that is read.
    #[serde(deserialize_with = "fields::finite")]
    pub max: f32,
}

/// Where a score of strangeness comes from; higher is stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OodScore {
    /// The network's output `ood`.
    Output,
    /// The energy of the logits, `-log(sum(exp(logit)))` (Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020).
    Energy,
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
