//! Labels with a chance each: slice by slice and aggregated by the manifest's rule, or over the whole volume at once.
use ndarray::{Array3, Axis, Ix2, Ix3};

use super::{KeySlice, SeriesReading, Taken};
use crate::{
    error::Result,
    model::{
        aggregate::{key_slices, series_value},
        grid::{VolumeInput, at_slice},
        manifest::{Label, Manifest},
        reading::show,
        slices::{SliceInputs, whole_frame},
    },
};

/// Each slice has a chance of its own; the series has the one that the rule takes.
pub(super) fn slices(manifest: &Manifest, inputs: &SliceInputs, taken: &[Taken]) -> Vec<SeriesReading> {
    let aggregate = manifest.aggregate.unwrap_or_default();
    let read = |(channel, label): (usize, &Label)| {
        let logits: Vec<f32> =
            taken.iter().map(|taken| taken.sample.logits.get(channel).copied().unwrap_or(f32::NEG_INFINITY)).collect();
        let key = |index: usize| {
            let probability = label.probability(logits[index]);
            let map = taken[index].sample.maps.as_ref().map(|maps| maps.index_axis(Axis(0), channel));
            let map = map.and_then(|map| map.into_dimensionality::<Ix2>().ok());
            let map = map.map(|map| inputs.map_back(show(map, label.strength(probability)).view()));
            KeySlice { slice: inputs.slice(index), probability, map, place: inputs.place() }
        };
        let keys = key_slices(&logits, aggregate.key_slices).into_iter().map(key).collect();
        reading(label, label.probability(series_value(&aggregate, &logits)), keys)
    };
    manifest.labels.iter().enumerate().map(read).collect()
}

/// The one sample is the whole grid.
///
/// Errors: as of resampling.
pub(super) fn whole(manifest: &Manifest, input: &VolumeInput, taken: &[Taken]) -> Result<Vec<SeriesReading>> {
    let count = manifest.aggregate.unwrap_or_default().key_slices;
    let mut readings = Vec::new();
    for (channel, label) in manifest.labels.iter().enumerate() {
        let sample = &taken[0].sample;
        let probability = label.probability(sample.logits.get(channel).copied().unwrap_or(f32::NEG_INFINITY));
        let map = sample.maps.as_ref().map(|maps| maps.index_axis(Axis(0), channel).to_owned());
        let map = map.and_then(|map| map.into_dimensionality::<Ix3>().ok());
        let keys = match map {
            Some(map) => map_keys(map, input, label, probability, count)?,
            None => vec![bare_key(input, probability)],
        };
        readings.push(reading(label, probability, keys));
    }
    Ok(readings)
}

/// The slices on which the evidence is strongest, each with its plane of the map.
fn map_keys(
    map: Array3<f32>,
    input: &VolumeInput,
    label: &Label,
    probability: f32,
    count: usize,
) -> Result<Vec<KeySlice>> {
    // Flattened to two axes, a volume is shown as an image is: over its own maximum.
    let (depth, rows, columns) = map.dim();
    let flat = map.to_shape((depth, rows * columns)).map(|flat| show(flat.view(), label.strength(probability)));
    let shown = flat.ok().and_then(|flat| flat.into_shape_with_order((depth, rows, columns)).ok()).unwrap_or(map);
    let (shown, affine) = input.source_order(shown);
    let stack = input.stack();
    let [slices, source_rows, source_columns] = stack.size;
    let middle = [(source_columns as f64 - 1.0) / 2.0, (source_rows as f64 - 1.0) / 2.0];
    let Some(to_map) = affine.inverse() else { return Ok(vec![bare_key(input, probability)]) };
    let strongest: Vec<f32> = (0..slices)
        .map(|slice| {
            let [_, _, place] = to_map.to_patient(stack.to_patient([middle[0], middle[1], slice as f64]));
            let nearest = place.round().clamp(0.0, shown.shape()[0] as f64 - 1.0) as usize;
            shown.index_axis(Axis(0), nearest).iter().copied().fold(0.0, f32::max)
        })
        .collect();
    let key = |slice: usize| {
        let plane = at_slice(&shown, &affine, stack, slice)?;
        let place = whole_frame([source_rows, source_columns]);
        Ok(KeySlice { slice, probability, map: Some(plane.index_axis_move(Axis(0), 0)), place })
    };
    key_slices(&strongest, count).into_iter().map(key).collect()
}

/// Without a map there is nothing to prefer a slice by: the middle one.
fn bare_key(input: &VolumeInput, probability: f32) -> KeySlice {
    let [slices, rows, columns] = input.stack().size;
    KeySlice { slice: slices / 2, probability, map: None, place: whole_frame([rows, columns]) }
}

fn reading(label: &Label, probability: f32, key_slices: Vec<KeySlice>) -> SeriesReading {
    let outcome = label.outcome(probability);
    SeriesReading { label: label.clone(), probability, outcome, key_slices, mask: None, boxes: Vec::new() }
}
