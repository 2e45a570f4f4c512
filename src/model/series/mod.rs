//! One reading of a series: its inputs, what the network says about each, and in the end a reading for each label, in source geometry.
mod classified;
mod detected;
mod segmented;

use ndarray::{Array2, Array3, ArrayD, ArrayViewD, Ix4};

use super::{
    boxes::Found,
    grid::VolumeInput,
    intensity::Scaler,
    manifest::{Label, Manifest, Recipe, Task},
    outputs::{Sample, mask_probabilities, read_sample},
    patches::Blend,
    reading::Outcome,
    refuse::{judge_strangeness, judge_values},
    registry::Model,
    slices::{Place, SliceInputs},
};
use crate::{
    error::{Error, Result},
    pixel::Volume,
};

/// A reading of a series that is under way. It owns the manifest and what it needs of the volume.
#[derive(Debug)]
pub struct SeriesRead {
    manifest: Manifest,
    way: Way,
    taken: Vec<Taken>,
}

/// How the series becomes inputs.
#[derive(Debug)]
enum Way {
    Slices(Box<SliceInputs>),
    Volume(Box<VolumeInput>, Box<Blend>),
}

/// What a sample said, as far as it is kept.
#[derive(Debug, Default)]
struct Taken {
    sample: Sample,
    /// Labels x what shows the slice, in the source's orientation: probabilities.
    mask: Option<Array3<f32>>,
}

/// What a model says about a series for one label.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesReading {
    /// Of the manifest's labels, or of its classes: then there is neither mask nor map.
    pub label: Label,
    /// Calibrated chance of the series, `0.0..=1.0`.
    pub probability: f32,
    /// What the threshold says.
    pub outcome: Outcome,
    /// The slices to look at, the strongest first.
    pub key_slices: Vec<KeySlice>,
    /// What is inside, slices x rows x columns of the source (segmentation).
    pub mask: Option<Array3<bool>>,
    /// The boxes that were kept, the most probable first (detection).
    pub boxes: Vec<Found>,
}

/// A slice to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySlice {
    /// Its index in the stack.
    pub slice: usize,
    /// Calibrated chance of the slice alone, `0.0..=1.0`.
    pub probability: f32,
    /// Where in the slice, `0.0..=1.0`, on the grid that `place` describes.
    pub map: Option<Array2<f32>>,
    /// Where the map lies.
    pub place: Place,
}

impl SeriesRead {
    /// Takes the statistics of the volume that the recipe asks for, and for a model of kind `volume` resamples it on `threads` threads;
    /// then its values are gone.
    ///
    /// Errors: `QualityTooLow` by the rules of `[refuse]`; those of resampling; `Internal` for a model of radiographs.
    pub fn new(model: &Model, volume: Volume, threads: usize) -> Result<SeriesRead> {
        let manifest = model.manifest.clone();
        let other = || Error::internal("a model of radiographs was asked to read a series");
        let (windows, steps) = match &manifest.input {
            Recipe::Radiograph(_) => return Err(other()),
            Recipe::Slices(recipe) => (&recipe.windows, &recipe.intensity),
            Recipe::Volume(recipe) => (&recipe.windows, &recipe.intensity),
        };
        let scalers = Scaler::of(windows, steps, &volume);
        judge_values(&manifest.refuse, scalers.first().ok_or_else(other)?, &volume)?;
        let way = match &manifest.input {
            Recipe::Radiograph(_) => return Err(other()),
            Recipe::Slices(recipe) => Way::Slices(Box::new(SliceInputs::new(recipe, scalers, volume))),
            Recipe::Volume(recipe) => {
                let input = VolumeInput::new(recipe, &scalers, volume, threads)?;
                let blend = Blend::new(input.patches().clone());
                Way::Volume(Box::new(input), Box::new(blend))
            }
        };
        Ok(SeriesRead { manifest, way, taken: Vec::new() })
    }

    /// How many samples it takes: slices or patches.
    pub fn count(&self) -> usize {
        match &self.way {
            Way::Slices(slices) => slices.count(),
            Way::Volume(volume, _) => volume.patches().count(),
        }
    }

    /// The tensor of sample `index`, below `count`: 1 x channels x rows x columns, or 1 x channels x depth x rows x columns.
    pub fn input(&self, index: usize) -> ArrayD<f32> {
        match &self.way {
            Way::Slices(slices) => slices.input(index),
            Way::Volume(volume, _) => volume.input(index),
        }
    }

    /// A point on the grid of sample `index` (depth, row, column; from the outer edges) in source voxels (slice, row, column; likewise).
    pub fn to_source(&self, index: usize, point: [f64; 3]) -> [f64; 3] {
        match &self.way {
            Way::Slices(slices) => slices.to_source(index, point),
            Way::Volume(volume, _) => volume.to_source(index, point),
        }
    }

    /// The way back: a point in source voxels on the grid of sample `index`. `None` where the grid has no extent along an axis.
    pub fn to_grid(&self, index: usize, point: [f64; 3]) -> Option<[f64; 3]> {
        match &self.way {
            Way::Slices(slices) => Some(slices.to_grid(index, point)),
            Way::Volume(volume, _) => volume.to_grid(index, point),
        }
    }

    /// Takes what the network said about sample `index`; `get` gives the tensor of a role's name. Samples come in order, each once.
    ///
    /// Errors: `ModelUnavailable` when the outputs are not what the manifest says; `Internal` out of order.
    pub fn take<'o>(&mut self, index: usize, get: impl Fn(&str) -> Option<ArrayViewD<'o, f32>>) -> Result<()> {
        if index != self.taken.len() {
            return Err(Error::internal("the samples of a series came out of order"));
        }
        let mut sample = read_sample(&self.manifest, get)?;
        let mut taken = Taken::default();
        if let Some(mask) = sample.mask.take() {
            match &mut self.way {
                Way::Slices(slices) => taken.mask = slices.content_back(&mask_probabilities(&self.manifest, mask)),
                Way::Volume(_, blend) => {
                    let mask = mask.view().into_dimensionality::<Ix4>().ok();
                    let added = mask.and_then(|mask| blend.add(index, mask));
                    added.ok_or_else(|| Error::internal("patches of one series differ in shape"))?;
                }
            }
        }
        taken.sample = sample;
        self.taken.push(taken);
        Ok(())
    }

    /// A reading for each label, in the manifest's order; where something was segmented, one for each class too.
    ///
    /// Errors: `OutOfDistribution` by the rule of `[refuse]`; `Internal` before all samples were taken.
    pub fn finish(self) -> Result<Vec<SeriesReading>> {
        if self.taken.len() != self.count() || self.taken.is_empty() {
            return Err(Error::internal("a series was finished before all of its samples were taken"));
        }
        let strangeness: Vec<f32> = self.taken.iter().filter_map(|taken| taken.sample.ood).collect();
        judge_strangeness(&self.manifest.refuse, strangeness)?;
        let SeriesRead { manifest, way, taken } = self;
        match (manifest.task, way) {
            (Task::MultiLabel | Task::MultiClass, Way::Slices(slices)) => {
                Ok(classified::slices(&manifest, &slices, &taken))
            }
            (Task::MultiLabel | Task::MultiClass, Way::Volume(volume, _)) => {
                classified::whole(&manifest, &volume, &taken)
            }
            (Task::Segmentation, Way::Slices(slices)) => segmented::slices(&manifest, &slices, taken),
            (Task::Segmentation, Way::Volume(volume, blend)) => segmented::volume(&manifest, &volume, *blend),
            (Task::Detection, way) => Ok(detected::boxes(&manifest, &way, &taken)),
        }
    }
}
