//! One sample's outputs, typed: each tensor has the shape that its role and the manifest demand, and values are log-odds.
//!
//! What the shapes must be is said once, here, in sentences for whoever packages a model; the self-test asks at start.
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Slice};

use super::{
    manifest::{Activation, Label, Manifest, OodScore, Role, unavailable},
    registry::words,
};
use crate::error::Result;

/// Probabilities nearer to 0 or 1 than this count as this: a logarithm must be finite.
const CERTAIN: f32 = 1e-6;

/// What a network says about one sample. What the manifest does not read is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    /// Log-odds of each label, before calibration.
    pub(super) logits: Vec<f32>,
    /// Labels x grid: evidence.
    pub(super) maps: Option<ArrayD<f32>>,
    /// Channels x the input's grid, as the network gave it.
    pub(super) mask: Option<ArrayD<f32>>,
    /// Logits of the classes.
    pub(super) classes: Vec<f32>,
    /// Boxes with the log-odds of each label.
    pub(super) boxes: Vec<(Corners, Vec<f32>)>,
    /// How strange the sample is, where the manifest asks.
    pub(super) ood: Option<f32>,
}

/// Low and high corner on the input's grid, in the order of the tensor's axes: depth (0 to 1 for an image), row, column. Edges of
/// pixels, counted from the outer edge of the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Corners {
    pub(super) low: [f64; 3],
    pub(super) high: [f64; 3],
}

/// Whether one sample's outputs have the shapes that the manifest demands; `get` gives the tensor of a role's name.
///
/// Errors: `ModelUnavailable`, with what is wrong and what would be right.
pub fn check_outputs<'o>(manifest: &Manifest, get: impl Fn(&str) -> Option<ArrayViewD<'o, f32>>) -> Result<()> {
    read_sample(manifest, get).map(|_| ())
}

/// Reads one sample's outputs. Errors: `ModelUnavailable`, as for [`check_outputs`].
pub(super) fn read_sample<'o>(
    manifest: &Manifest,
    get: impl Fn(&str) -> Option<ArrayViewD<'o, f32>>,
) -> Result<Sample> {
    let reader = Reader { manifest, get };
    let returned = &manifest.weights.outputs;
    let mut sample = Sample::default();
    if returned.has(Role::Logits) {
        let raw = reader.labels(Role::Logits, &[])?;
        let raw: Vec<f32> = raw.iter().copied().collect();
        let energy = manifest.refuse.ood.filter(|ood| ood.by == OodScore::Energy);
        sample.ood = energy.map(|_| -log_sum_exp(raw.iter().copied()));
        sample.logits = reader.picked(&log_odds(manifest.activation(), &raw));
    }
    if returned.has(Role::Maps) {
        let maps = reader.labels(Role::Maps, &vec![None; reader.sides().len()])?;
        let views: Vec<_> = reader.channels().map(|channel| maps.index_axis(Axis(0), channel)).collect();
        sample.maps = ndarray::stack(Axis(0), &views).ok();
    }
    if returned.has(Role::Mask) {
        let sides: Vec<Option<usize>> = reader.sides().iter().copied().map(Some).collect();
        sample.mask = Some(reader.labels(Role::Mask, &sides)?.to_owned());
    }
    if returned.has(Role::Classes) {
        let (classes, wanted) = (manifest.classes.len(), "the number of [[classes]]");
        let values = reader.tensor(Role::Classes, &[Some(classes)], wanted)?;
        sample.classes = values.iter().copied().collect();
    }
    if returned.has(Role::Boxes) {
        sample.boxes = reader.boxes()?;
    }
    if returned.has(Role::Ood) {
        let values = (reader.get)(Role::Ood.name()).ok_or_else(|| reader.missing(Role::Ood))?;
        let (Some(value), 1) = (values.first(), values.len()) else {
            return Err(unavailable(format!("the output \"ood\" is {}; it must be N or N x 1", words(values.shape()))));
        };
        sample.ood = Some(*value);
    }
    Ok(sample)
}

struct Reader<'m, G> {
    manifest: &'m Manifest,
    get: G,
}

impl<'o, G: Fn(&str) -> Option<ArrayViewD<'o, f32>>> Reader<'_, G> {
    /// Sides of the input, without channels.
    fn sides(&self) -> Vec<usize> {
        self.manifest.input.shape()[1..].to_vec()
    }

    /// The channel of each label in the main output. A radiograph's mask has one channel and no label.
    fn channels(&self) -> impl Iterator<Item = usize> {
        self.manifest.labels.iter().enumerate().map(|(index, label)| label.channel.unwrap_or(index))
    }

    /// The labels' own values among those of all channels.
    fn picked(&self, values: &[f32]) -> Vec<f32> {
        self.channels().filter_map(|channel| values.get(channel).copied()).collect()
    }

    fn missing(&self, role: Role) -> crate::error::Error {
        unavailable(format!("the network returns no \"{role}\""))
    }

    /// The tensor of that role without its first axis: one sample, then channels of labels, then `sides` (`None`: any).
    fn labels(&self, role: Role, sides: &[Option<usize>]) -> Result<ArrayViewD<'o, f32>> {
        let named = self.manifest.labels.iter().filter_map(|label: &Label| label.channel).max();
        let exact = named.is_none().then_some(self.manifest.labels.len().max(1));
        let what = "the number of [[labels]] (or each label says its channel)";
        let values = self.tensor(role, &[&[exact], sides].concat(), what)?;
        if let Some(highest) = named.filter(|highest| *highest >= values.shape()[0]) {
            let channels = values.shape()[0];
            return Err(unavailable(format!(
                "\"{role}\" has {channels} channels, from 0; a label names channel {highest}"
            )));
        }
        Ok(values)
    }

    /// The tensor of that role without its first axis, which must be 1. `None`: any length.
    fn tensor(&self, role: Role, sides: &[Option<usize>], first: &str) -> Result<ArrayViewD<'o, f32>> {
        let values = (self.get)(role.name()).ok_or_else(|| self.missing(role))?;
        let fits = values.shape().first() == Some(&1)
            && values.ndim() == 1 + sides.len()
            && values.shape()[1..].iter().zip(sides).all(|(is, want)| want.is_none_or(|want| *is == want) && *is > 0);
        if fits {
            return Ok(values.index_axis_move(Axis(0), 0));
        }
        let side = |side: &Option<usize>| side.map_or("any".to_owned(), |side| side.to_string());
        let wanted: Vec<String> = sides.iter().map(side).collect();
        let (is, wanted) = (words(values.shape()), wanted.join(" x "));
        Err(unavailable(format!("the output \"{role}\" is {is}; it must be N x {wanted}, the first of these {first}")))
    }

    fn boxes(&self) -> Result<Vec<(Corners, Vec<f32>)>> {
        let sides = self.sides().len();
        let boxes = self.tensor(Role::Boxes, &[None, Some(2 * sides)], "the number of boxes")?;
        let count = boxes.shape()[0];
        let scores = self.tensor(Role::Scores, &[Some(count), None], "the number of boxes")?;
        let highest = self.channels().max().unwrap_or(0);
        if scores.shape()[1] <= highest {
            let channels = scores.shape()[1];
            return Err(unavailable(format!("\"scores\" has {channels} channels; [[labels]] need {}", highest + 1)));
        }
        let read = |index: usize| {
            let corner = |from: usize| {
                let mut low = [0.0; 3];
                // x, y, z of the box are column, row, depth: the tensor's axes from the last.
                for axis in 0..sides {
                    low[2 - axis] = f64::from(boxes[[index, from + axis].as_slice()]);
                }
                low
            };
            let (low, mut high) = (corner(0), corner(sides));
            if sides == 2 {
                high[0] = 1.0;
            }
            let raw: Vec<f32> = scores.index_axis(Axis(0), index).iter().copied().collect();
            (Corners { low, high }, self.picked(&log_odds(self.manifest.activation(), &raw)))
        };
        Ok((0..count).map(read).collect())
    }
}

/// Log-odds of each channel's probability: those of a sigmoid are its argument.
pub(super) fn log_odds(activation: Activation, values: &[f32]) -> Vec<f32> {
    match activation {
        Activation::Sigmoid => values.to_vec(),
        Activation::Softmax => {
            // p / (1 - p) of a softmax is the exponential over the sum of the others'.
            let others =
                |own: usize| values.iter().enumerate().filter(move |(index, _)| *index != own).map(|(_, v)| *v);
            values.iter().enumerate().map(|(index, value)| value - log_sum_exp(others(index))).collect()
        }
        Activation::None => values.iter().map(|p| odds(*p)).collect(),
    }
}

/// The log-odds of a probability.
pub(super) fn odds(probability: f32) -> f32 {
    let p = probability.clamp(CERTAIN, 1.0 - CERTAIN);
    (p / (1.0 - p)).ln()
}

/// `log(sum(exp(x)))` without overflow.
fn log_sum_exp(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let max = values.clone().fold(f32::NEG_INFINITY, f32::max);
    // One channel alone has no others: its softmax is 1.
    if max == f32::NEG_INFINITY {
        -(1.0 / CERTAIN).ln()
    } else {
        max + values.map(|value| (value - max).exp()).sum::<f32>().ln()
    }
}

/// Probabilities of the labels' channels, from a mask as the network gave it: labels x grid.
pub(super) fn mask_probabilities(manifest: &Manifest, mut mask: ArrayD<f32>) -> ArrayD<f32> {
    match manifest.activation() {
        Activation::Sigmoid => mask.mapv_inplace(|value| 1.0 / (1.0 + (-value).exp())),
        Activation::Softmax => mask.lanes_mut(Axis(0)).into_iter().for_each(|mut lane| {
            let max = lane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            lane.mapv_inplace(|value| (value - max).exp());
            let sum = lane.sum();
            lane.mapv_inplace(|value| value / sum);
        }),
        Activation::None => {}
    }
    let channels: Vec<usize> =
        manifest.labels.iter().enumerate().map(|(index, label)| label.channel.unwrap_or(index)).collect();
    if channels.iter().copied().eq(0..mask.shape()[0]) {
        return mask;
    }
    let views: Vec<_> =
        channels.iter().map(|channel| mask.slice_axis(Axis(0), Slice::from(*channel..*channel + 1))).collect();
    ndarray::concatenate(Axis(0), &views).unwrap_or_else(|_| ArrayD::zeros(IxDyn(&[0])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_are_those_of_the_activations_probability() {
        let values = [0.3f32, -1.2, 2.0];
        let sum: f32 = values.iter().map(|v| v.exp()).sum();
        for (index, got) in log_odds(Activation::Softmax, &values).into_iter().enumerate() {
            let p = values[index].exp() / sum;
            assert!((1.0 / (1.0 + (-got).exp()) - p).abs() < 1e-6, "{index}");
        }
        assert_eq!(log_odds(Activation::Sigmoid, &values), values);
        assert!((log_odds(Activation::None, &[0.25])[0] - (0.25f32 / 0.75).ln()).abs() < 1e-6);
        // Neither certainty nor a single channel gives an infinity.
        assert!(log_odds(Activation::None, &[0.0, 1.0]).iter().all(|v| v.is_finite()));
        assert!(log_odds(Activation::Softmax, &[5.0]).iter().all(|v| v.is_finite()));
        assert!(log_odds(Activation::Softmax, &[900.0, -900.0]).iter().all(|v| v.is_finite()));
    }
}
