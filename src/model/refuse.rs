//! Input quality control of series: flat and inverted values, and strangeness. The numbers stand in the manifest, `[refuse]`.
use ndarray::{Axis, s};

use super::{
    intensity::{Scaler, quantiles},
    manifest::Refuse,
};
use crate::{
    error::{Code, Error, Result},
    pixel::Volume,
};

/// The quantiles between which values must spread.
const SPREAD: [f64; 2] = [0.05, 0.95];
/// The share of a slice's sides that is its border.
const BORDER_SHARE: f64 = 0.05;

/// Whether the scaled values of a series (first channel) are such that a network can say something about them.
///
/// Errors: `QualityTooLow`; the detail names the rule, what it allows and what was measured.
pub(super) fn judge_values(rules: &Refuse, scaler: &Scaler, volume: &Volume) -> Result<()> {
    if let Some(least) = rules.spread_min {
        let [low, high] = quantiles(&|| scaler.values(volume), SPREAD);
        if high - low < f64::from(least) {
            let detail =
                format!("the values spread over {:.4}; refuse.spread_min is {least}: nearly uniform", high - low);
            return Err(Error::new(Code::QualityTooLow, detail));
        }
    }
    if let Some(most) = rules.border_excess_max {
        let excess = border_excess(scaler, volume);
        if excess > f64::from(most) {
            let detail = format!(
                "the border is {excess:.3} brighter than the rest; refuse.border_excess_max is {most}: inverted, perhaps"
            );
            return Err(Error::new(Code::QualityTooLow, detail));
        }
    }
    Ok(())
}

/// Mean of the borders of all slices less the mean of the rest.
fn border_excess(scaler: &Scaler, volume: &Volume) -> f64 {
    let (mut all, mut inner) = ((0.0, 0.0), (0.0, 0.0));
    for (index, slice) in volume.values.axis_iter(Axis(0)).enumerate() {
        let padding = volume.padding.as_ref().map(|padding| padding.index_axis(Axis(0), index));
        let scaled = scaler.slice(slice, padding);
        let (rows, columns) = scaled.dim();
        let border = |side: usize| ((side as f64 * BORDER_SHARE).ceil() as usize).min(side / 2);
        let (r, c) = (border(rows), border(columns));
        let add = |(sum, count): (f64, f64), part: ndarray::ArrayView2<'_, f32>| {
            (sum + part.iter().map(|value| f64::from(*value)).sum::<f64>(), count + part.len() as f64)
        };
        all = add(all, scaled.view());
        inner = add(inner, scaled.slice(s![r..rows - r, c..columns - c]));
    }
    let mean = |(sum, count): (f64, f64)| if count > 0.0 { sum / count } else { 0.0 };
    mean((all.0 - inner.0, all.1 - inner.1)) - mean(inner)
}

/// Whether the series is one of those that the model knows: the median of its samples' strangeness.
///
/// Errors: `OutOfDistribution`.
pub(super) fn judge_strangeness(rules: &Refuse, scores: Vec<f32>) -> Result<()> {
    let Some(rule) = rules.ood else { return Ok(()) };
    let [median, _] = quantiles(&|| scores.iter().copied(), [0.5, 0.5]);
    if median <= f64::from(rule.max) {
        return Ok(());
    }
    let detail = format!("strangeness is {median:.3}; refuse.ood allows {}", rule.max);
    Err(Error::new(Code::OutOfDistribution, detail))
}
