//! From a model's reading of an image or a series to a finding with a place and a provenance.
use super::{
    Finding, Heatmap, KeySlice, Made, Measured, OfSeries, Provenance, Quantity, Region, Segmentation,
    measure::measure_part, region::hot_region,
};
use ndarray::{Array3, Axis};

use crate::{
    model::{self, Found, Input, Label, Model, Outcome, Reading, SeriesReading, Status, parts},
    pixel::{SliceSource, Stack},
    uid::Uid,
};

/// Connected parts of a segmentation that are measured one by one, the largest first; the whole counts them all.
const PARTS_MEASURED_MAX: usize = 20;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Study Instance UID.
    pub study: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Frame, DICOM numbering from 1.
    pub frame_number: u32,
}

/// How it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Device, for example `cpu`.
    pub device: String,
    /// Duration of the model's run, microseconds; of a series, of all its runs together.
    pub inference_us: u64,
}

/// The finding of one label and its heatmap, if the model has maps. `heatmap` of the finding is `None` until the artifact is durable.
///
/// The UID is a function of study, instance, frame, model, version, weights and label alone: the same on every run, whatever
/// else the study holds by then.
pub fn assemble(
    source: &Source,
    model: &Model,
    reading: Reading<'_>,
    input: &Input,
    run: &Run,
) -> (Finding, Option<Heatmap>) {
    let heatmap = reading.map.map(|map| Heatmap::of_input(map, input));
    let image = (&source.sop_instance, source.frame_number);
    let said = (reading.label, reading.probability, reading.outcome);
    let finding = Finding {
        region: shown_region(reading.outcome, heatmap.as_ref()),
        ..finding(&source.study, &[image], model, said, run)
    };
    (finding, heatmap)
}

/// The finding of one label on the volume `stack`, with the artifacts that it will name.
///
/// Where the model has no map of a key slice, its mask is shown. The UID is a function of study, frames (in order), model, version,
/// weights and label alone.
pub fn assemble_series(study: &Uid, stack: &Stack, model: &Model, reading: SeriesReading, run: &Run) -> Made {
    let images: Vec<_> = stack.sources.iter().map(|source| (&source.sop_instance, source.frame_number)).collect();
    let said = (&reading.label, reading.probability, reading.outcome);
    let mut finding = finding(study, &images, model, said, run);
    let (mut key_slices, mut heatmaps) = (Vec::new(), Vec::new());
    for mut key in reading.key_slices {
        let Some(source) = stack.sources.get(key.slice) else { continue };
        let drawn = key.map.take().map(|values| Heatmap::at(values, &key.place));
        let drawn = drawn.or_else(|| of_mask(reading.mask.as_ref()?, key.slice));
        let region = match reading.outcome {
            Outcome::Positive | Outcome::Indeterminate => in_box(&reading.boxes, key.slice, stack),
            Outcome::Negative => None,
        };
        let region = region.or_else(|| shown_region(reading.outcome, drawn.as_ref()));
        heatmaps.extend(drawn.map(|drawn| (key_slices.len(), drawn)));
        key_slices.push(key_slice(&key, source, region));
    }
    if let Some(first) = key_slices.first() {
        finding.sop_instance = first.source.sop_instance.clone();
        finding.frame_number = first.source.frame_number;
        finding.region = first.region;
    }
    let segmented = reading.mask.as_ref().filter(|mask| mask.iter().any(|inside| *inside));
    let segmentation = segmented.map(|mask| Segmentation::of(mask.view(), &stack.affine));
    finding.of_series = Some(OfSeries {
        series: stack.series.clone(),
        sources: stack.sources.clone(),
        key_slices,
        measured: segmented.map_or_else(Vec::new, |mask| measured(&parts(mask.view()), stack)),
        segmentation: None,
    });
    Made { finding, heatmaps, segmentation }
}

/// The mask of a slice as a heatmap: 1 inside. `None` where nothing is.
fn of_mask(mask: &Array3<bool>, slice: usize) -> Option<Heatmap> {
    let plane = (slice < mask.len_of(Axis(0))).then(|| mask.index_axis(Axis(0), slice))?;
    let shows = plane.iter().any(|inside| *inside);
    shows.then(|| Heatmap::of_source(plane.mapv(|inside| f32::from(u8::from(inside)))))
}

/// The most probable box through a slice, in its pixels.
fn in_box(boxes: &[Found], slice: usize, stack: &Stack) -> Option<Region> {
    let middle = slice as f64 + 0.5;
    let through = boxes.iter().find(|found| (found.low[0]..found.high[0]).contains(&middle))?;
    let [_, rows, columns] = stack.size.map(|side| side as f64);
    // Within 0 and a 16-bit side: the casts lose nothing.
    let low = |edge: f64, side: f64| edge.floor().clamp(0.0, side - 1.0) as u32;
    let high = |edge: f64, side: f64| edge.ceil().clamp(1.0, side) as u32;
    let [_, top, left] = through.low;
    let [_, bottom, right] = through.high;
    Some(Region {
        left: low(left, columns),
        top: low(top, rows),
        right: high(right, columns),
        bottom: high(bottom, rows),
    })
}

fn key_slice(key: &model::KeySlice, source: &SliceSource, region: Option<Region>) -> KeySlice {
    KeySlice {
        slice: u32::try_from(key.slice).unwrap_or(u32::MAX),
        source: source.clone(),
        probability: key.probability,
        region,
        heatmap: None,
    }
}

/// Volume of the whole; volume, diameter and centroid of its largest parts.
fn measured(parts: &[model::Part], stack: &Stack) -> Vec<Measured> {
    let of_parts: Vec<_> = parts.iter().map(|part| measure_part(part, &stack.affine)).collect();
    let whole = of_parts.iter().map(|part| part.volume_ml).sum();
    let mut measured = vec![Measured { quantity: Quantity::Volume, part: 0, values: vec![whole] }];
    for (part, of_part) in (1..).zip(of_parts.iter().take(PARTS_MEASURED_MAX)) {
        let mut add = |quantity, values| measured.push(Measured { quantity, part, values });
        add(Quantity::Volume, vec![of_part.volume_ml]);
        add(Quantity::LongestAxialDiameter, vec![of_part.diameter_mm]);
        add(Quantity::Centroid, of_part.centroid_mm.to_vec());
    }
    measured
}

fn shown_region(outcome: Outcome, heatmap: Option<&Heatmap>) -> Option<Region> {
    match outcome {
        Outcome::Positive | Outcome::Indeterminate => heatmap.and_then(hot_region),
        Outcome::Negative => None,
    }
}

/// A finding on `images` (SOP Instance UID and frame number, at least one), which lies on the first of them and has no place yet.
fn finding(
    study: &Uid,
    images: &[(&Uid, u32)],
    model: &Model,
    (label, probability, outcome): (&Label, f32, Outcome),
    run: &Run,
) -> Finding {
    let manifest = &model.manifest;
    let frames: Vec<String> = images.iter().map(|(_, frame_number)| frame_number.to_string()).collect();
    let mut parts = vec![study.as_str()];
    parts.extend(images.iter().zip(&frames).flat_map(|((uid, _), frame)| [uid.as_str(), frame.as_str()]));
    parts.extend([manifest.name.as_str(), &manifest.version, &model.digest, label.name.as_str()]);
    let parts: Vec<&[u8]> = parts.into_iter().map(str::as_bytes).collect();
    let (sop_instance, frame_number) = images[0];
    Finding {
        uid: Uid::derive(&parts),
        label: label.name.to_string(),
        code: label.code.clone(),
        probability,
        threshold: label.threshold,
        operating_point: label.operating_point,
        outcome,
        experimental: label.status == Status::Experimental,
        sop_instance: sop_instance.clone(),
        frame_number,
        region: None,
        heatmap: None,
        of_series: None,
        provenance: Provenance {
            model: manifest.name.to_string(),
            version: manifest.version.clone(),
            weights_sha256: model.digest.clone(),
            calibration_id: label.calibration_id(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            device: run.device.clone(),
            inference_us: run.inference_us,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Affine;

    #[test]
    fn a_box_is_shown_on_the_slices_that_it_goes_through_and_stays_on_the_frame() {
        let stack = Stack {
            series: Uid::derive(&[b"series"]),
            sources: Vec::new(),
            size: [10, 40, 60],
            affine: Affine::IDENTITY,
            spacing: [1.0; 3],
            origins: Vec::new(),
            warnings: Vec::new(),
        };
        let found = |low, high, probability| Found { low, high, probability };
        let boxes = [found([2.0, 10.2, 20.7], [5.0, 20.1, 70.0], 0.9), found([0.0, 0.0, 0.0], [10.0, 5.0, 5.0], 0.4)];
        let first = Some(Region { left: 20, top: 10, right: 60, bottom: 21 });
        let second = Some(Region { left: 0, top: 0, right: 5, bottom: 5 });
        assert_eq!([1, 2, 4, 5].map(|slice| in_box(&boxes, slice, &stack)), [second, first, first, second]);
        assert_eq!(in_box(&boxes[..1], 9, &stack), None);
    }
}
