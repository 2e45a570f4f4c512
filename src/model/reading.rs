//! From a network's outputs to what it says: calibrated probability, outcome, and a map from 0 to 1 for each label.
use ndarray::{Array2, ArrayView2, ArrayViewD, Axis, Ix2};

use super::{
    manifest::{Label, Manifest},
    outputs::read_sample,
};
use crate::error::Result;

/// What the threshold says about a probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At or above the threshold.
    Positive,
    /// Below the threshold and outside the indeterminate band.
    Negative,
    /// Inside the indeterminate band of the label.
    Indeterminate,
}

/// One label on one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// The label, as the manifest describes it.
    pub label: &'a Label,
    /// Calibrated chance, `0.0..=1.0`.
    pub probability: f32,
    /// What the threshold says.
    pub outcome: Outcome,
    /// The activation map, `0.0..=1.0`, on the network's own grid, which covers the whole input. `None`: the network has none.
    pub map: Option<Array2<f32>>,
}

/// Reads one image's outputs: `get` gives the tensor of a role's name, with a first axis of 1. In the order of the labels.
///
/// Errors: `ModelUnavailable` when they are not what the manifest says.
pub fn read_labels<'a, 'o>(
    manifest: &'a Manifest,
    get: impl Fn(&str) -> Option<ArrayViewD<'o, f32>>,
) -> Result<Vec<Reading<'a>>> {
    let sample = read_sample(manifest, get)?;
    let read = |(index, (label, logit)): (usize, (&'a Label, &f32))| {
        let probability = label.probability(*logit);
        let map = sample.maps.as_ref().map(|maps| maps.index_axis(Axis(0), index));
        let map = map.and_then(|map| map.into_dimensionality::<Ix2>().ok());
        let map = map.map(|map| show(map, label.strength(probability)));
        Reading { label, probability, outcome: label.outcome(probability), map }
    };
    Ok(manifest.labels.iter().zip(&sample.logits).enumerate().map(read).collect())
}

impl Label {
    /// The calibrated probability of a log-odds.
    pub fn probability(&self, logit: f32) -> f32 {
        let z = f64::from(self.calibration.a) * f64::from(logit) + f64::from(self.calibration.b);
        (1.0 / (1.0 + (-z).exp())) as f32
    }

    /// What threshold and indeterminate band say about a probability.
    pub fn outcome(&self, probability: f32) -> Outcome {
        match self.indeterminate {
            _ if probability >= self.threshold => Outcome::Positive,
            Some([low, high]) if (low..high).contains(&probability) => Outcome::Indeterminate,
            Some(_) | None => Outcome::Negative,
        }
    }

    /// Names the values that turn a logit into an outcome: the first 16 hex digits of their SHA-256.
    pub fn calibration_id(&self) -> String {
        let band = self.indeterminate.unwrap_or([f32::NAN; 2]);
        let values = [self.calibration.a, self.calibration.b, self.threshold, band[0], band[1]];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
        let mut id = super::registry::sha256_hex(&bytes);
        id.truncate(16);
        id
    }

    /// How brightly a map of this label may glow: 0 at probability 0, one half at the threshold, 1 at probability 1, straight
    /// lines between. So a map's brightest place tells at a glance on which side of the threshold the label is, whatever the
    /// label's prevalence.
    pub(super) fn strength(&self, probability: f32) -> f32 {
        let (p, t) = (probability, self.threshold);
        if p < t { 0.5 * p / t } else { 0.5 + 0.5 * (p - t) / (1.0 - t).max(f32::EPSILON) }
    }
}

/// Evidence for the label over its own maximum, times `strength`; evidence against it is 0. All 0 when nothing speaks for it.
pub(super) fn show(map: ArrayView2<'_, f32>, strength: f32) -> Array2<f32> {
    let max = map.iter().copied().filter(|value| value.is_finite()).fold(0.0, f32::max);
    if max <= 0.0 {
        return Array2::zeros(map.raw_dim());
    }
    map.mapv(|value| if value > 0.0 { strength.min(1.0) * (value / max).min(1.0) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::model::manifest::{Calibration, tests::LABEL};

    fn label(threshold: f32, indeterminate: Option<[f32; 2]>) -> Label {
        let label: Label = toml::from_str(LABEL).expect("a valid label");
        Label { threshold, indeterminate, calibration: Calibration { a: 2.0, b: -1.0 }, ..label }
    }

    #[test]
    fn a_probability_is_platts() {
        assert_eq!(label(0.5, None).probability(0.5), 0.5);
        let p = label(0.5, None).probability(2.0);
        assert!((p - 0.952_574_1).abs() < 1e-6, "{p}");
    }

    #[test]
    fn the_threshold_is_positive_and_the_band_lies_below_it() {
        let outcomes = [0.1, 0.2, 0.29, 0.3].map(|p| label(0.3, Some([0.2, 0.3])).outcome(p));
        assert_eq!(outcomes, [Outcome::Negative, Outcome::Indeterminate, Outcome::Indeterminate, Outcome::Positive]);
        assert_eq!(label(0.3, None).outcome(0.29), Outcome::Negative);
    }

    #[test]
    fn a_map_glows_half_at_the_threshold_and_not_without_evidence() {
        let label = label(0.25, None);
        let map = arr2(&[[4.0, 2.0], [-3.0, 0.0]]);
        assert_eq!(show(map.view(), label.strength(0.25)), arr2(&[[0.5, 0.25], [0.0, 0.0]]));
        assert_eq!(show(map.view(), label.strength(1.0)), arr2(&[[1.0, 0.5], [0.0, 0.0]]));
        assert_eq!(show(map.view(), label.strength(0.05))[(0, 0)], 0.1);
        assert_eq!(show((-map.mapv(f32::abs)).view(), 1.0).sum(), 0.0);
    }

    #[test]
    fn another_calibration_has_another_id() {
        let ids =
            [label(0.3, None), label(0.31, None), label(0.3, Some([0.1, 0.3]))].map(|label| label.calibration_id());
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[0].len() == 16, "{ids:?}");
    }
}
