//! Masks: probabilities on the model's grid, the level at which a part that counts stands, and the mask at source pixels.
use ndarray::{Array3, Array4, ArrayView3, Axis, Ix4};

use super::{KeySlice, SeriesReading, Taken};
use crate::{
    error::{Error, Result},
    model::{
        aggregate::key_slices,
        grid::{VolumeInput, at_slice},
        manifest::{Activation, Label, Manifest, MaskRule},
        outputs::{log_odds, mask_probabilities, odds},
        parts::{Least, drop_small, highest_level},
        patches::Blend,
        slices::{SliceInputs, whole_frame},
    },
    pixel::Affine,
};

/// Masks of slices, one above the other; between slices that were not read it is interpolated.
pub(super) fn slices(manifest: &Manifest, inputs: &SliceInputs, mut taken: Vec<Taken>) -> Result<Vec<SeriesReading>> {
    let rule = manifest.mask.unwrap_or_default();
    let [rows, columns] = inputs.content_size();
    let mut maps = Array4::zeros((manifest.labels.len(), taken.len(), rows, columns));
    for (index, taken) in taken.iter_mut().enumerate() {
        let mask = taken.mask.take().filter(|mask| mask.dim() == (manifest.labels.len(), rows, columns));
        let mask = mask.ok_or_else(|| Error::internal("a mask has another size than its input"))?;
        maps.index_axis_mut(Axis(1), index).assign(&mask);
    }
    let least = least_of_slices(&rule, inputs, [rows, columns]);
    let mut readings = Vec::new();
    let mut area = vec![0.0f32; taken.len()];
    for (label, mut map) in manifest.labels.iter().zip(maps.outer_iter_mut()) {
        let level = highest_level(map.view(), least);
        drop_small(map.view_mut(), rule.threshold, least);
        let extent = Extent::of(map.view(), rule.threshold);
        area.iter_mut().zip(&extent.areas).for_each(|(all, own)| *all += own);
        let key = |index: usize| KeySlice {
            slice: inputs.slice(index),
            probability: label.probability(odds(extent.peaks[index])),
            map: Some(map.index_axis(Axis(0), index).to_owned()),
            place: inputs.whole_frame(),
        };
        let keys = extent.keys(manifest).into_iter().map(key).collect();
        let mask = extent.is_some().then(|| mask_of_slices(inputs, map.view(), rule.threshold));
        readings.push(reading(label, level, keys, mask.unwrap_or_else(|| nothing(inputs.volume().stack.size))));
    }
    if area.iter().any(|area| *area > 0.0) {
        readings.extend(classes(manifest, inputs, &taken, &area));
    }
    Ok(readings)
}

/// What a part must be in cells of the slices' grid.
fn least_of_slices(rule: &MaskRule, inputs: &SliceInputs, [rows, columns]: [usize; 2]) -> Least {
    let stack = &inputs.volume().stack;
    let positions = inputs.read_mm();
    let gaps = positions.len() as f64 - 1.0;
    // A single slice has a thickness only as far as its neighbours had one.
    let step_mm = match (positions.first(), positions.last()) {
        (Some(first), Some(last)) if last > first => (last - first) / gaps,
        _ => stack.spacing[0],
    };
    let side_mm = |source: usize, cells: usize, spacing: f64| source as f64 * spacing / cells as f64;
    let cell_mm2 = side_mm(stack.size[1], rows, stack.spacing[1]) * side_mm(stack.size[2], columns, stack.spacing[2]);
    Least::of(rule, cell_mm2 * step_mm, step_mm)
}

/// The mask at source pixels, slice by slice.
fn mask_of_slices(inputs: &SliceInputs, map: ArrayView3<'_, f32>, threshold: f32) -> Array3<bool> {
    let [slices, rows, columns] = inputs.volume().stack.size;
    let mut mask = Array3::from_elem((slices, rows, columns), false);
    for (slice, mut plane) in mask.outer_iter_mut().enumerate() {
        let (below, above, share) = inputs.between(slice);
        let (low, high) = (map.index_axis(Axis(0), below), map.index_axis(Axis(0), above));
        let blended = ndarray::Zip::from(low).and(high).map_collect(|low, high| low + (high - low) * share);
        if blended.iter().any(|value| *value >= threshold) {
            plane.assign(&inputs.at_source(blended.view()).mapv(|value| value >= threshold));
        }
    }
    mask
}

/// Which of the classes it is: the logits of the slices, each with the weight of what was segmented on it.
fn classes<'a>(
    manifest: &'a Manifest,
    inputs: &'a SliceInputs,
    taken: &[Taken],
    area: &[f32],
) -> impl Iterator<Item = SeriesReading> + use<'a> {
    let total: f32 = area.iter().sum();
    let mut logits = vec![0.0f32; manifest.classes.len()];
    for (taken, area) in taken.iter().zip(area) {
        logits.iter_mut().zip(&taken.sample.classes).for_each(|(sum, own)| *sum += own * area / total);
    }
    let channel = |(index, label): (usize, &Label)| label.channel.unwrap_or(index);
    let odds = log_odds(Activation::Softmax, &logits);
    let slices = key_slices(area, manifest.aggregate.unwrap_or_default().key_slices);
    manifest.classes.iter().enumerate().map(move |(index, label)| {
        let logit = odds.get(channel((index, label))).copied().unwrap_or(f32::NEG_INFINITY);
        let probability = label.probability(logit);
        let key = |index: &usize| KeySlice {
            slice: inputs.slice(*index),
            probability,
            map: None,
            place: inputs.whole_frame(),
        };
        let (outcome, key_slices) = (label.outcome(probability), slices.iter().map(key).collect());
        SeriesReading { label: label.clone(), probability, outcome, key_slices, mask: None, boxes: Vec::new() }
    })
}

/// The blended grid, brought to the source's axes and then to its pixels.
pub(super) fn volume(manifest: &Manifest, input: &VolumeInput, blend: Blend) -> Result<Vec<SeriesReading>> {
    let rule = manifest.mask.unwrap_or_default();
    let whole = blend.finish().ok_or_else(|| Error::internal("no patch of a series was taken"))?;
    let maps = mask_probabilities(manifest, whole.into_dyn()).into_dimensionality::<Ix4>();
    let mut maps = maps.map_err(|_| Error::internal("a blended mask has not four axes"))?;
    let mut readings = Vec::new();
    for (index, label) in manifest.labels.iter().enumerate() {
        // The last label takes the grid itself: one copy less.
        let own = match index + 1 == manifest.labels.len() {
            true => std::mem::take(&mut maps).index_axis_move(Axis(0), index),
            false => maps.index_axis(Axis(0), index).to_owned(),
        };
        let (map, affine) = input.source_order(own);
        readings.push(one_volume(manifest, &rule, label, input, (map, affine))?);
    }
    Ok(readings)
}

fn one_volume(
    manifest: &Manifest,
    rule: &MaskRule,
    label: &Label,
    input: &VolumeInput,
    (mut map, affine): (Array3<f32>, Affine),
) -> Result<SeriesReading> {
    let stack = input.stack();
    let [slices, rows, columns] = stack.size;
    let (voxel_mm3, step_mm) = (determinant(&affine), {
        let (normal, step) = (stack.normal(), affine.step(2));
        (0..3).map(|axis| normal[axis] * step[axis]).sum::<f64>().abs()
    });
    let least = Least::of(rule, voxel_mm3, step_mm);
    let level = highest_level(map.view(), least);
    drop_small(map.view_mut(), rule.threshold, least);
    let mut mask = Array3::from_elem((slices, rows, columns), false);
    let mut extent = Extent::default();
    for (slice, mut plane) in mask.outer_iter_mut().enumerate() {
        let at = at_slice(&map, &affine, stack, slice)?;
        let own = Extent::of(at.view(), rule.threshold);
        extent.areas.extend(own.areas);
        extent.peaks.extend(own.peaks);
        plane.zip_mut_with(&at.index_axis(Axis(0), 0), |inside, value| *inside = *value >= rule.threshold);
    }
    let key = |slice: usize| {
        let at = at_slice(&map, &affine, stack, slice)?;
        Ok(KeySlice {
            slice,
            probability: label.probability(odds(extent.peaks[slice])),
            map: Some(at.index_axis_move(Axis(0), 0)),
            place: whole_frame([rows, columns]),
        })
    };
    let keys = extent.keys(manifest).into_iter().map(key).collect::<Result<Vec<_>>>()?;
    Ok(reading(label, level, keys, mask))
}

/// How much of each slice is inside, and how sure its surest place is.
#[derive(Debug, Default)]
struct Extent {
    areas: Vec<f32>,
    peaks: Vec<f32>,
}

impl Extent {
    fn of(map: ArrayView3<'_, f32>, threshold: f32) -> Extent {
        let area =
            |plane: ndarray::ArrayView2<'_, f32>| plane.iter().filter(|value| **value >= threshold).count() as f32;
        let peak = |plane: ndarray::ArrayView2<'_, f32>| plane.iter().copied().fold(0.0, f32::max);
        Extent { areas: map.outer_iter().map(area).collect(), peaks: map.outer_iter().map(peak).collect() }
    }

    fn is_some(&self) -> bool {
        self.areas.iter().any(|area| *area > 0.0)
    }

    /// The slices with the largest areas; where nothing is inside, with the surest places.
    fn keys(&self, manifest: &Manifest) -> Vec<usize> {
        let by = if self.is_some() { &self.areas } else { &self.peaks };
        key_slices(by, manifest.aggregate.unwrap_or_default().key_slices)
    }
}

impl Least {
    fn of(rule: &MaskRule, voxel_mm3: f64, step_mm: f64) -> Least {
        // Sums of rounded steps must not fail a part that is exactly as large as asked.
        let number = |asked: f64, own: f64| if own > 0.0 { asked / own * (1.0 - 1e-9) } else { f64::INFINITY };
        let number = |asked: f64, own: f64| if asked == 0.0 { 0.0 } else { number(asked, own) };
        Least { voxels: number(rule.part_ml_min * 1000.0, voxel_mm3), slices: number(rule.part_mm_min, step_mm) }
    }
}

/// Volume of a voxel, mm3.
fn determinant(affine: &Affine) -> f64 {
    let [a, b, c] = [0, 1, 2].map(|axis| affine.step(axis));
    let cross = [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
    (a[0] * cross[0] + a[1] * cross[1] + a[2] * cross[2]).abs()
}

fn nothing([slices, rows, columns]: [usize; 3]) -> Array3<bool> {
    Array3::from_elem((slices, rows, columns), false)
}

fn reading(label: &Label, level: f32, key_slices: Vec<KeySlice>, mask: Array3<bool>) -> SeriesReading {
    let probability = label.probability(odds(level));
    let outcome = label.outcome(probability);
    SeriesReading { label: label.clone(), probability, outcome, key_slices, mask: Some(mask), boxes: Vec::new() }
}
