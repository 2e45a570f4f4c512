//! Boxes of all samples in source voxels, those that mean the same thing merged.
use super::{KeySlice, SeriesReading, Taken, Way};
use crate::model::{
    aggregate::key_slices,
    boxes::{Found, suppress},
    manifest::{Label, Manifest},
    slices::whole_frame,
};

/// For each label the boxes from its lowest outcome that is not negative on; the series has the chance of the best of all.
pub(super) fn boxes(manifest: &Manifest, way: &Way, taken: &[Taken]) -> Vec<SeriesReading> {
    let rule = manifest.boxes.unwrap_or_default();
    let [slices, rows, columns] = match way {
        Way::Slices(inputs) => inputs.volume().stack.size,
        Way::Volume(input, _) => input.stack().size,
    };
    let place = whole_frame([rows, columns]);
    let read = |(channel, label): (usize, &Label)| {
        let least = label.indeterminate.map_or(label.threshold, |[low, _]| low);
        let mut probability = 0.0f32;
        let mut found = Vec::new();
        for (index, taken) in taken.iter().enumerate() {
            for (corners, logits) in &taken.sample.boxes {
                let own = label.probability(logits.get(channel).copied().unwrap_or(f32::NEG_INFINITY));
                probability = probability.max(own);
                if own >= least {
                    let corners = corners.through(|point| match way {
                        Way::Slices(inputs) => inputs.to_source(index, point),
                        Way::Volume(input, _) => input.to_source(index, point),
                    });
                    found.push(Found { low: corners.low, high: corners.high, probability: own });
                }
            }
        }
        let boxes = suppress(found, rule);
        let mut best = vec![0.0f32; slices];
        for found in &boxes {
            let middle = ((found.low[0] + found.high[0]) / 2.0).clamp(0.0, slices as f64 - 1.0) as usize;
            best[middle] = best[middle].max(found.probability);
        }
        let key = |slice: usize| KeySlice { slice, probability: best[slice], map: None, place };
        let key_slices =
            key_slices(&best, manifest.aggregate.unwrap_or_default().key_slices).into_iter().map(key).collect();
        let outcome = label.outcome(probability);
        SeriesReading { label: label.clone(), probability, outcome, key_slices, mask: None, boxes }
    };
    manifest.labels.iter().enumerate().map(read).collect()
}
