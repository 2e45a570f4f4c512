//! Promise: whatever the orientation, the spacing and the recipe, a place of a series is found again on the model's grid, and what a
//! network says there comes back to that place. The "network" is the identity: it says that what is bright is inside.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod said;
#[path = "../support/mod.rs"]
mod support;

use ndarray::{Array3, ArrayD, IxDyn};
use overread::{
    error::Code,
    model::{Model, Outcome, SeriesRead, SeriesReading},
    pixel::{Affine, Defect, Volume},
};
use proptest::prelude::*;
use support::made_model::{manifest, model, stack};

/// A stack of that affine, its voxels 0 but for a ball of `radius_mm` around `center` (LPS mm), where they are 1.
fn ball(size: [usize; 3], affine: Affine, center: [f64; 3], radius_mm: f64) -> Volume {
    let mut stack = stack("ball", size, affine);
    let (way, normal) = (affine.step(2), stack.normal());
    let along = (0..3).map(|axis| normal[axis] * way[axis]).sum::<f64>();
    assert!(along > 0.0, "slices are ordered along the normal");
    if along < 0.9999 * way.iter().map(|mm| mm * mm).sum::<f64>().sqrt() {
        stack.warnings.push(Defect::GantryTilt);
    }
    stack.spacing[0] = along;
    let inside = |(k, j, i): (usize, usize, usize)| {
        let at = affine.to_patient([i as f64, j as f64, k as f64]);
        let distance = (0..3).map(|axis| (at[axis] - center[axis]).powi(2)).sum::<f64>().sqrt();
        // A soft edge, half inside at the radius: resampling then moves nothing.
        (0.5 + (radius_mm - distance) / 4.0).clamp(0.0, 1.0) as f32
    };
    Volume { stack, values: Array3::from_shape_fn(size, inside), padding: None }
}

/// Steps along the body axes in that order and those directions, turned by a little; the third one right-handed.
fn affine(order: [usize; 3], signs: [f64; 2], spacing: [f64; 3], turn: [f64; 2]) -> Affine {
    let mut steps = [[0.0; 3]; 3];
    for (step, sign) in [0, 1].into_iter().zip(signs) {
        steps[step][order[step]] = sign;
    }
    let [a, b, _] = steps;
    steps[2] = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let rotate = |[x, y, z]: [f64; 3]| {
        let ((s, c), (t, d)) = (turn[0].sin_cos(), turn[1].sin_cos());
        let (x, y) = (c * x - s * y, s * x + c * y);
        [x, d * y - t * z, t * y + d * z]
    };
    let step = |axis: usize| rotate(steps[axis]).map(|v| v * spacing[axis]);
    Affine::new([step(0), step(1), step(2)], [-31.0, 12.5, 400.0])
}

/// Runs the identity over all samples.
fn read(model: &Model, volume: Volume) -> (SeriesRead, Vec<ArrayD<f32>>) {
    let read = SeriesRead::new(model, volume, 2).expect("a readable volume");
    let inputs = (0..read.count()).map(|index| read.input(index)).collect();
    (read, inputs)
}

fn finish(mut read: SeriesRead, inputs: &[ArrayD<f32>]) -> Vec<SeriesReading> {
    for (index, input) in inputs.iter().enumerate() {
        read.take(index, |role| (role == "mask").then(|| input.view())).expect("as the manifest says");
    }
    read.finish().expect("readings")
}

/// Where the brightness of a sample lies (mean, from the outer edges) and how much there is.
fn brightness(input: &ArrayD<f32>) -> ([f64; 3], f64) {
    let (mut total, mut sum) = (0.0, [0.0; 3]);
    for (at, value) in input.indexed_iter() {
        let sides = &ndarray::Dimension::slice(&at)[2..];
        let place = if sides.len() == 2 { [0, sides[0], sides[1]] } else { [sides[0], sides[1], sides[2]] };
        total += f64::from(*value);
        (0..3).for_each(|axis| sum[axis] += f64::from(*value) * (place[axis] as f64 + 0.5));
    }
    (sum.map(|sum| sum / total), total)
}

fn dice(a: &Array3<bool>, b: &Array3<bool>) -> f64 {
    let count = |mask: &Array3<bool>| mask.iter().filter(|inside| **inside).count() as f64;
    let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count() as f64;
    2.0 * both / (count(a) + count(b)).max(1.0)
}

fn orders() -> impl Strategy<Value = [usize; 3]> {
    prop::sample::select(vec![[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0], [2, 1, 0]])
}

fn geometry() -> impl Strategy<Value = ([usize; 3], Affine)> {
    let sign = || prop::sample::select(vec![-1.0, 1.0]);
    let turn = || -0.35..0.35f64;
    let spacing = [0.8..2.5f64, 0.8..2.5, 1.0..4.0];
    let size = [14..22usize, 20..34, 20..34];
    let tilt = prop::sample::select(vec![[0.0, 0.0], [0.0, 0.0], [0.0, 0.35], [-0.25, 0.1]]);
    (orders(), [sign(), sign()], spacing, [turn(), turn()], size, tilt)
        .prop_map(|(order, signs, spacing, turn, size, tilt)| (size, tilted(affine(order, signs, spacing, turn), tilt)))
}

/// The same slices, each shifted against the one before by these parts of their distance along columns and rows: a tilted gantry.
fn tilted(affine: Affine, tilt: [f64; 2]) -> Affine {
    let [column, row, mut way] = [0, 1, 2].map(|axis| affine.step(axis));
    let [column_mm, row_mm, slice_mm] = affine.spacing();
    for axis in 0..3 {
        way[axis] += slice_mm * (tilt[0] * column[axis] / column_mm + tilt[1] * row[axis] / row_mm);
    }
    Affine::new([column, row, way], affine.origin())
}

/// The middle of the grid and a radius that leaves a margin.
fn middle([slices, rows, columns]: [usize; 3], affine: &Affine) -> ([f64; 3], f64) {
    let center = affine.to_patient([columns as f64 * 0.45, rows as f64 * 0.55, slices as f64 * 0.5]);
    let spacing = affine.spacing();
    let reach = (0..3).map(|axis| [columns, rows, slices][axis] as f64 * spacing[axis]).fold(f64::INFINITY, f64::min);
    (center, reach * 0.3)
}

#[track_caller]
fn there_and_back(read: &SeriesRead, points: &[[f64; 3]]) -> Result<(), TestCaseError> {
    for index in [0, read.count() - 1] {
        for point in points {
            let grid = read.to_grid(index, *point).expect("a grid with extent");
            let back = read.to_source(index, grid);
            for axis in 0..3 {
                prop_assert!((back[axis] - point[axis]).abs() < 1e-6, "{point:?} came back as {back:?}");
            }
        }
    }
    Ok(())
}

/// The inside of the source against the mask that came back. The smallest balls have a radius of three voxels of a grid that blurs
/// them: a layer of the surface is a fifth of them then.
fn check_mask(volume: &Volume, readings: &[SeriesReading]) -> Result<(), TestCaseError> {
    let [reading] = readings else { panic!("one label, one reading") };
    let mask = reading.mask.as_ref().expect("a mask");
    let dice = dice(&volume.values.mapv(|value| value >= 0.5), mask);
    prop_assert!(dice >= 0.8, "Dice {dice}");
    prop_assert_eq!(reading.outcome, Outcome::Positive);
    let slices: Vec<f64> = reading.key_slices.iter().map(|key| key.slice as f64).collect();
    let full = |slice: &f64| volume.values.index_axis(ndarray::Axis(0), *slice as usize).iter().any(|v| *v >= 0.5);
    prop_assert!(!slices.is_empty() && full(&slices[0]), "{slices:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_place_in_a_slice_is_found_again(
        (size, affine) in geometry(),
        fit in prop::sample::select(vec!["letterbox", "stretch"]),
        grid in [30..60usize, 30..60],
        points in prop::collection::vec([-5.0..40.0f64, -5.0..40.0, -5.0..40.0], 4),
    ) {
        let input = format!("size = [{}, {}]\nfit = \"{fit}\"", grid[0], grid[1]);
        let model = model(&manifest("slices", &input, ""));
        let (center, radius) = middle(size, &affine);
        let volume = ball(size, affine, center, radius);
        let (read, inputs) = read(&model, volume.clone());
        there_and_back(&read, &points)?;
        for (index, input) in inputs.iter().enumerate() {
            let source = volume.values.index_axis(ndarray::Axis(0), index).to_owned();
            let (want, bright) = brightness(&source.insert_axis(ndarray::Axis(0)).insert_axis(ndarray::Axis(0)).into_dyn());
            if bright < 20.0 {
                continue;
            }
            let got = read.to_source(index, brightness(input).0);
            prop_assert!((got[1] - want[1]).abs() < 0.3 && (got[2] - want[2]).abs() < 0.3, "{got:?} {want:?}");
        }
        check_mask(&volume, &finish(read, &inputs))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_place_in_a_volume_is_found_again(
        (size, affine) in geometry(),
        axes in prop::sample::select(vec!["RAS", "SPL", "LIA", "ASR", "PIR", "LPS"]),
        resampling in prop::sample::select(vec!["", "spacing_mm = [1.5, 1.2, 1.4]", "grid = [40, 44, 36]"]),
        patch in prop::sample::select(vec!["", "patch = [24, 20, 28]\noverlap = 0.4", "patch = [64, 64, 64]"]),
        points in prop::collection::vec([-5.0..40.0f64, -5.0..40.0, -5.0..40.0], 4),
    ) {
        prop_assume!(!patch.is_empty() || resampling.starts_with("grid"));
        let model = model(&manifest("volume", &format!("axes = \"{axes}\"\n{resampling}\n{patch}"), ""));
        let (center, radius) = middle(size, &affine);
        let volume = ball(size, affine, center, radius);
        let (read, inputs) = read(&model, volume.clone());
        there_and_back(&read, &points)?;
        if let [input] = inputs.as_slice() {
            let (want, _) = brightness(&volume.values.clone().into_shape_with_order(IxDyn(&[1, 1, size[0], size[1], size[2]])).expect("axes"));
            let got = read.to_source(0, brightness(input).0);
            prop_assert!((0..3).all(|axis| (got[axis] - want[axis]).abs() < 0.5), "{got:?} {want:?}");
        }
        check_mask(&volume, &finish(read, &inputs))?;
    }
}

fn axial(size: [usize; 3], spacing: [f64; 3]) -> Volume {
    let affine = affine([0, 1, 2], [1.0, 1.0], spacing, [0.0; 2]);
    let (center, radius) = middle(size, &affine);
    ball(size, affine, center, radius)
}

const SLICES: &str = "size = [32, 32]\nfit = \"letterbox\"";

#[test]
fn parts_that_are_too_small_do_not_count() {
    let volume = axial([16, 32, 32], [1.0, 1.0, 2.0]);
    let inside = volume.values.iter().filter(|value| **value >= 0.5).count() as f64 * 2.0 / 1000.0;
    let outcome = |least: f64, extent: f64| {
        let rule = format!("[mask]\npart_ml_min = {least}\npart_mm_min = {extent}");
        let (read, inputs) = read(&model(&manifest("slices", SLICES, &rule)), volume.clone());
        let reading = finish(read, &inputs).remove(0);
        (reading.outcome, reading.mask.is_some_and(|mask| mask.iter().any(|inside| *inside)))
    };
    assert_eq!(outcome(inside * 0.9, 0.0), (Outcome::Positive, true));
    assert_eq!(outcome(inside * 1.1, 0.0), (Outcome::Negative, false));
    assert_eq!(outcome(0.0, 10.0), (Outcome::Positive, true));
    assert_eq!(outcome(0.0, 31.0), (Outcome::Negative, false));
}

#[test]
fn thin_slices_are_read_at_the_step_and_the_mask_fills_what_lies_between() {
    let volume = axial([60, 32, 32], [1.0, 1.0, 0.5]);
    let model = model(&manifest("slices", &format!("{SLICES}\nstep_mm = 2.0"), ""));
    let (read, inputs) = read(&model, volume.clone());
    assert_eq!(inputs.len(), 15);
    let readings = finish(read, &inputs);
    let dice = dice(&volume.values.mapv(|value| value >= 0.5), readings[0].mask.as_ref().expect("a mask"));
    assert!(dice > 0.95, "{dice}");
}

#[test]
fn flat_inverted_and_strange_series_are_refused_with_a_code() {
    let refuse = "[refuse]\nspread_min = 0.05\nborder_excess_max = 0.1\nood = { by = \"output\", max = 2.0 }";
    let text = manifest("slices", SLICES, refuse).replace("[\"mask\"]", "[\"mask\", \"ood\"]");
    let model = model(&text);
    let volume = axial([16, 32, 32], [1.0, 1.0, 2.0]);
    let code = |values: Array3<f32>| {
        let changed = Volume { values, ..volume.clone() };
        SeriesRead::new(&model, changed, 1).err().map(|error| (error.code, error.detail))
    };
    let (found, detail) = code(volume.values.mapv(|value| 0.5 + value * 0.01)).expect("flat");
    assert!(found == Code::QualityTooLow && detail.contains("spread_min"), "{detail}");
    let (found, detail) = code(volume.values.mapv(|value| 1.0 - value)).expect("inverted");
    assert!(found == Code::QualityTooLow && detail.contains("border_excess_max"), "{detail}");
    let outcome = |strangeness: fn(usize) -> f32| {
        let (mut read, inputs) = read(&model, volume.clone());
        for (index, input) in inputs.iter().enumerate() {
            let ood = ArrayD::from_elem(IxDyn(&[1]), strangeness(index));
            let get = |role: &str| if role == "ood" { Some(ood.view()) } else { Some(input.view()) };
            read.take(index, get).expect("as the manifest says");
        }
        read.finish().map_err(|error| error.code)
    };
    // The median counts: a few strange slices at the ends are every series'.
    assert!(outcome(|index| if index < 7 { 9.0 } else { 1.0 }).is_ok());
    assert_eq!(outcome(|index| if index < 9 { 9.0 } else { 1.0 }), Err(Code::OutOfDistribution));
}
