//! From values to the input tensor: the recipe of each kind. `models/README.md` states each step.
use serde::Deserialize;

use crate::model::fields::{self, Name, PerChannel};

/// How the input is made, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Recipe {
    /// From the display values of one image.
    Radiograph(ImageRecipe),
    /// From the modality values of a series, slice by slice.
    Slices(SlicesRecipe),
    /// From the modality values of a series, as one grid.
    Volume(VolumeRecipe),
}

/// From display values to the input tensor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecipe {
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
    /// Channels: the grey image is repeated.
    #[serde(default = "one_channel", deserialize_with = "fields::channels")]
    pub channels: usize,
    /// Subtracted from each value.
    pub mean: PerChannel,
    /// Divides each value.
    #[serde(deserialize_with = "fields::divisors")]
    pub std: PerChannel,
}

/// From the modality values of a series to one input tensor a slice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicesRecipe {
    /// Level and width in HU; each becomes a channel.
    #[serde(default, deserialize_with = "fields::windows")]
    pub windows: Vec<[f32; 2]>,
    /// Steps that bring values to the range that the network knows.
    #[serde(default)]
    pub intensity: Vec<Intensity>,
    /// Neighbouring slices as further channels.
    pub neighbours: Option<Neighbours>,
    /// Channels in all, after repeating those that there are. Absent: those that there are.
    #[serde(default, deserialize_with = "fields::some_channels")]
    pub channels: Option<usize>,
    /// Where slices lie closer than this, only those nearest to a lattice of this step are read, mm.
    #[serde(default, deserialize_with = "fields::some_positive")]
    pub step_mm: Option<f64>,
    /// Rows and columns of the input, pixels.
    #[serde(deserialize_with = "fields::size")]
    pub size: [usize; 2],
    /// How a slice is fitted to `size`; a letterbox keeps proportions in mm.
    pub fit: Fit,
    /// Subtracted from each value.
    pub mean: PerChannel,
    /// Divides each value.
    #[serde(deserialize_with = "fields::divisors")]
    pub std: PerChannel,
}

/// From the modality values of a series to a grid, whole or in patches.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeRecipe {
    /// Level and width in HU; each becomes a channel.
    #[serde(default, deserialize_with = "fields::windows")]
    pub windows: Vec<[f32; 2]>,
    /// Steps that bring values to the range that the network knows; statistics are those of the series.
    #[serde(default)]
    pub intensity: Vec<Intensity>,
    /// Channels in all, after repeating those that there are. Absent: those that there are.
    #[serde(default, deserialize_with = "fields::some_channels")]
    pub channels: Option<usize>,
    /// Where the tensor's three axes lead.
    pub axes: Axes,
    /// Distance of grid points along the tensor's axes, mm. Absent: the series' own.
    #[serde(default, deserialize_with = "fields::some_spacing")]
    pub spacing_mm: Option<[f64; 3]>,
    /// Size of the grid to which the whole series is stretched. Not together with `spacing_mm`.
    #[serde(default, deserialize_with = "fields::some_grid")]
    pub grid: Option<[usize; 3]>,
    /// How values between source voxels are made.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Size of what the network sees at a time. Absent: `grid`.
    #[serde(default, deserialize_with = "fields::some_grid")]
    pub patch: Option<[usize; 3]>,
    /// Share of a patch that it has in common with the next, `0.0..0.9`.
    #[serde(default, deserialize_with = "fields::overlap")]
    pub overlap: Option<f64>,
    /// Subtracted from each value.
    pub mean: PerChannel,
    /// Divides each value.
    #[serde(deserialize_with = "fields::divisors")]
    pub std: PerChannel,
}

/// One step on values; each works on what the step before gave.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Intensity {
    /// `low` becomes 0 and `high` 1; what is outside is clipped.
    Range {
        /// Becomes 0.
        low: f32,
        /// Becomes 1; above `low`.
        high: f32,
    },
    /// The quantile `low` becomes 0 and the quantile `high` 1; what is outside is clipped.
    Quantile {
        /// Share of the values, `0.0..=1.0`.
        #[serde(deserialize_with = "fields::share")]
        low: f64,
        /// Share of the values, above `low`.
        #[serde(deserialize_with = "fields::share")]
        high: f64,
        /// Of which values.
        #[serde(default)]
        over: Over,
        /// Of which values.
        #[serde(default)]
        of: Of,
    },
    /// Less the mean, over the standard deviation (of the population).
    Zscore {
        /// Of which values.
        #[serde(default)]
        over: Over,
        /// Of which values.
        #[serde(default)]
        of: Of,
    },
}

/// Whose statistics a step uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// Those of the whole series.
    #[default]
    Series,
    /// Each slice its own.
    Slice,
}

/// Which values count in statistics. Padding never does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// All.
    #[default]
    All,
    /// Those above the mean of all: in MR, what is not air (the mask of TorchIO's `ZNormalization.mean`).
    Foreground,
}

/// Slices before and after as further channels.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// How many on each side, 1 to 8.
    #[serde(deserialize_with = "fields::neighbour_count")]
    pub count: usize,
    /// Their distance, mm: the nearest slice is taken, at the ends the last.
    #[serde(deserialize_with = "fields::positive_mm")]
    pub step_mm: f64,
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

/// How values between source voxels are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Linear along each axis, antialiased where the grid is coarser.
    #[default]
    Linear,
    /// The voxel in which the grid point lies.
    Nearest,
}

/// Where the three axes of a tensor (depth, rows, columns) lead: a letter each, of `RLAPSI`, each direction of the body once.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Axes([(usize, f64); 3]);

impl Axes {
    /// For each tensor axis: the patient axis (0 x to the left, 1 y to the back, 2 z to the head) and the sign along it.
    pub fn directions(self) -> [(usize, f64); 3] {
        self.0
    }
}

impl TryFrom<String> for Axes {
    type Error = String;

    fn try_from(text: String) -> Result<Axes, String> {
        let direction = |letter: char| match letter {
            'L' => Some((0, 1.0)),
            'R' => Some((0, -1.0)),
            'P' => Some((1, 1.0)),
            'A' => Some((1, -1.0)),
            'S' => Some((2, 1.0)),
            'I' => Some((2, -1.0)),
            _ => None,
        };
        let found: Vec<(usize, f64)> = text.chars().map_while(direction).collect();
        let axes: Option<[(usize, f64); 3]> = found.try_into().ok().filter(|_| text.chars().count() == 3);
        let each_once = |axes: &[(usize, f64); 3]| (0..3).all(|axis| axes.iter().any(|(own, _)| *own == axis));
        axes.filter(each_once).map(Axes).ok_or_else(|| {
            "three letters, one of R/L, one of A/P, one of S/I: where depth, rows and columns of the tensor lead"
                .to_owned()
        })
    }
}

fn one_channel() -> usize {
    1
}

impl Recipe {
    /// Channels and spatial sides of one sample: 2 or 3 sides.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Recipe::Radiograph(recipe) => [&[recipe.channels], recipe.size.as_slice()].concat(),
            Recipe::Slices(recipe) => [&[recipe.channels()], recipe.size.as_slice()].concat(),
            Recipe::Volume(recipe) => [&[recipe.channels()], recipe.patch().as_slice()].concat(),
        }
    }
}

impl SlicesRecipe {
    /// Channels before repeating: offsets x windows.
    pub(in crate::model) fn own_channels(&self) -> usize {
        let offsets = self.neighbours.map_or(1, |neighbours| 2 * neighbours.count + 1);
        offsets * self.windows.len().max(1)
    }

    /// Channels of the tensor.
    pub fn channels(&self) -> usize {
        self.channels.unwrap_or_else(|| self.own_channels())
    }
}

impl VolumeRecipe {
    /// Channels before repeating.
    pub(in crate::model) fn own_channels(&self) -> usize {
        self.windows.len().max(1)
    }

    /// Channels of the tensor.
    pub fn channels(&self) -> usize {
        self.channels.unwrap_or_else(|| self.own_channels())
    }

    /// What the network sees at a time; the check of the manifest sees to it that one of the two is there.
    pub fn patch(&self) -> [usize; 3] {
        self.patch.or(self.grid).unwrap_or([1; 3])
    }
}
