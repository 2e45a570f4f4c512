//! What networks say of a series, by task: each chance is the one that a formula gives, each place the one in the source.
use ndarray::{Array4, ArrayD, Axis, IxDyn};
use overread::{
    error::Code,
    model::{Outcome, SeriesReading},
    pixel::{Affine, Volume},
};

use super::{
    SLICES, affine, axial, ball, brightness, read,
    support::made_model::{manifest, model},
    tilted,
};

fn numbers(shape: &[usize], values: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many values as the shape says")
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let all: f32 = logits.iter().map(|logit| logit.exp()).sum();
    logits.iter().map(|logit| logit.exp() / all).collect()
}

#[track_caller]
fn check_chances(readings: &[SeriesReading], want: &[(&str, f32)]) {
    let got: Vec<&str> = readings.iter().map(|reading| reading.label.name.as_str()).collect();
    assert_eq!(got, want.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (reading, (name, chance)) in readings.iter().zip(want) {
        assert!((reading.probability - chance).abs() < 1e-5, "{name}: {}, not {chance}", reading.probability);
    }
}

/// `[[section]]` of a label with that name, which reads that channel.
fn label(section: &str, name: &str, channel: usize) -> String {
    format!(
        "[[{section}]]\nname = \"{name}\"\ncode = {{ value = \"2\", scheme = \"99TEST\", meaning = \"Made\" }}\n\
         status = \"finding\"\ncalibration = {{ a = 1.0, b = 0.0 }}\nthreshold = 0.5\nchannel = {channel}\n"
    )
}

/// A classifier of slices whose only label, `ball`, reads channel 0.
fn classifier(task: &str, more: &str) -> String {
    let text = manifest("slices", SLICES, more).replace("segmentation", task).replace("[\"mask\"]", "[\"logits\"]");
    text.replace("activation = \"none\"\n", "")
        .replace("threshold = 0.5\n[self_test]", "threshold = 0.5\nchannel = 0\n[self_test]")
}

#[test]
fn of_several_classes_the_chances_are_those_of_one_softmax_over_all_channels() {
    // Four channels, of which the manifest names three; the second slice is the surest of channel 2.
    let said = [[0.5, 1.0, -1.0, 0.0], [-2.0, 0.3, 3.0, 1.0], [0.1, 0.2, 0.3, 0.4]];
    let text = classifier("multi-class", &(label("labels", "third", 2) + &label("labels", "fourth", 3)));
    let volume = axial([3, 32, 32], [1.0, 1.0, 2.0]);
    let (mut read, inputs) = read(&model(&text), volume);
    for (index, _) in inputs.iter().enumerate() {
        let logits = numbers(&[1, 4], said[index].to_vec());
        read.take(index, |_| Some(logits.view())).expect("as the manifest says");
    }
    // The rule takes the best slice of each label by itself.
    let best = |channel: usize| said.iter().map(|logits| softmax(logits)[channel]).fold(0.0, f32::max);
    let readings = read.finish().expect("readings");
    check_chances(&readings, &[("ball", best(0)), ("third", best(2)), ("fourth", best(3))]);
    assert_eq!((readings[1].outcome, readings[1].key_slices[0].slice), (Outcome::Positive, 1));
}

#[test]
fn what_a_mask_holds_is_judged_by_its_slices_with_the_weight_of_what_lies_on_them() {
    let text = manifest("slices", SLICES, &(label("classes", "round", 0) + &label("classes", "flat", 1)));
    let text = text.replace("[\"mask\"]", "[\"mask\", \"classes\"]");
    let volume = axial([16, 32, 32], [1.0, 1.0, 2.0]);
    let readings = |shown: Volume| {
        let (mut read, inputs) = read(&model(&text), shown);
        let area = |input: &ArrayD<f32>| input.iter().filter(|value| **value >= 0.5).count() as f32;
        let all: f32 = inputs.iter().map(area).sum();
        let mut mean = [0.0; 2];
        for (index, input) in inputs.iter().enumerate() {
            // Empty slices shout for the other class: nothing lies on them, so they have no say.
            let said = if area(input) > 0.0 { [index as f32 / 8.0, 0.2] } else { [-50.0, 50.0] };
            (0..2).for_each(|class| mean[class] += said[class] * area(input) / all);
            let classes = numbers(&[1, 2], said.to_vec());
            let get = |role: &str| Some(if role == "classes" { classes.view() } else { input.view() });
            read.take(index, get).expect("as the manifest says");
        }
        (read.finish().expect("readings"), softmax(&mean))
    };
    let (found, want) = readings(volume.clone());
    assert_eq!(found.len(), 3);
    check_chances(&found[1..], &[("round", want[0]), ("flat", want[1])]);
    assert!(found[1].mask.is_none() && found[1].key_slices[0].slice.abs_diff(8) <= 1);
    let (found, _) = readings(Volume { values: volume.values.mapv(|_| 0.0), ..volume });
    assert_eq!(found.len(), 1, "where nothing is segmented there is nothing to name");
}

#[test]
fn neighbours_are_channels_from_the_feet_on_whichever_way_the_slices_run() {
    let input = format!("{SLICES}\nneighbours = {{ count = 1, step_mm = 4.0 }}\nchannels = 6");
    let text = manifest("slices", &input, "").replace("high = 1", "high = 100");
    for signs in [[1.0, 1.0], [1.0, -1.0]] {
        let affine = affine([0, 1, 2], signs, [1.0, 1.0, 2.0], [0.0; 2]);
        let mut volume = ball([9, 32, 32], affine, affine.to_patient([16.0, 16.0, 4.0]), 5.0);
        // Every voxel says how high it lies, in mm.
        let height = |slice: usize| affine.to_patient([0.0, 0.0, slice as f64])[2] as f32 - 380.0;
        volume.values.axis_iter_mut(Axis(0)).enumerate().for_each(|(slice, mut plane)| plane.fill(height(slice)));
        let (_, inputs) = read(&model(&text), volume);
        let channels = |slice: usize| (0..6).map(|channel| inputs[slice][[0, channel, 16, 16]]).collect::<Vec<_>>();
        let step = |slice: usize, mm: f32| (height(slice) + mm) / 100.0;
        let near = |got: &[f32], want: [f32; 3]| got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6);
        let middle = channels(4);
        assert!(near(&middle, [step(4, -4.0), step(4, 0.0), step(4, 4.0)]), "{middle:?}");
        assert_eq!(middle[..3], middle[3..], "the three are repeated to six");
        // At the end the nearest that there is stands in for a neighbour that is not.
        let (end, own) = (channels(0), step(0, 0.0));
        let want = if signs[1] > 0.0 { [own, own, step(0, 4.0)] } else { [step(0, -4.0), own, own] };
        assert!(near(&end, want), "{end:?}");
    }
}

#[test]
fn strangeness_by_energy_is_judged_before_any_finding() {
    let outcome = |most: f32, logits: [f32; 2]| {
        let more = format!("{}[refuse]\nood = {{ by = \"energy\", max = {most} }}", label("labels", "other", 1));
        let (mut read, inputs) = read(&model(&classifier("multi-label", &more)), axial([5, 32, 32], [1.0, 1.0, 2.0]));
        for (index, _) in inputs.iter().enumerate() {
            // Two of five slices are strange in any series: the median decides.
            let logits = numbers(&[1, 2], if index < 2 { vec![-90.0, -90.0] } else { logits.to_vec() });
            read.take(index, |_| Some(logits.view())).expect("as the manifest says");
        }
        read.finish().map(|readings| readings.len()).map_err(|error| (error.code, error.detail))
    };
    let energy = -(1.0f32.exp() + 0.5f32.exp()).ln();
    assert_eq!(outcome(energy + 0.01, [1.0, 0.5]), Ok(2));
    let refused = (Code::OutOfDistribution, format!("strangeness is {energy:.3}; refuse.ood allows -2"));
    assert_eq!(outcome(-2.0, [1.0, 0.5]), Err(refused));
}

/// Slices whose rows and columns the view swaps and reverses.
fn turned() -> Volume {
    let affine = affine([1, 0, 2], [-1.0, -1.0], [1.0, 1.5, 3.0], [0.05, -0.05]);
    let size = [18, 28, 32];
    let center = affine.to_patient([9.0, 16.0, 9.0]);
    ball(size, affine, center, 9.0)
}

#[test]
fn maps_and_boxes_of_a_turned_slice_lie_where_the_source_is_bright() {
    let volume = turned();
    let bright = |slice: usize| {
        let plane = volume.values.index_axis(Axis(0), slice).to_owned();
        brightness(&plane.insert_axis(Axis(0)).insert_axis(Axis(0)).into_dyn()).0
    };
    let text = manifest("slices", SLICES, "[aggregate]\nrule = \"mean\"\nslices = 3\nkey_slices = 2");
    let text = text.replace("segmentation", "multi-label").replace("[\"mask\"]", "[\"logits\", \"maps\"]");
    let (mut read, inputs) = read(&model(&text.replace("activation = \"none\"", "")), volume.clone());
    for (index, input) in inputs.iter().enumerate() {
        let logit = ArrayD::from_elem(IxDyn(&[1, 1]), brightness(input).1 as f32 / 100.0);
        read.take(index, |role| Some(if role == "logits" { logit.view() } else { input.view() })).expect("as said");
    }
    let reading = read.finish().expect("readings").remove(0);
    let [first, second] = reading.key_slices.as_slice() else { panic!("{:?}", reading.key_slices) };
    assert!(first.slice.abs_diff(9) <= 1 && first.slice.abs_diff(second.slice) > 1);
    let map = first.map.as_ref().expect("a map");
    let [left, top, width, height] = first.place.rectangle;
    let middle = brightness(&map.clone().insert_axis(Axis(0)).insert_axis(Axis(0)).into_dyn()).0;
    let at = [top + middle[1] * height / map.nrows() as f64, left + middle[2] * width / map.ncols() as f64];
    let want = bright(first.slice);
    assert!((at[0] - want[1]).abs() < 0.5 && (at[1] - want[2]).abs() < 0.5, "{at:?} {want:?}");
}

#[test]
fn boxes_of_slices_come_back_as_boxes_of_source_voxels() {
    let volume = turned();
    let text = manifest("slices", SLICES, "").replace("segmentation", "detection");
    let (mut read, inputs) = read(&model(&text.replace("[\"mask\"]", "[\"boxes\", \"scores\"]")), volume.clone());
    for (index, input) in inputs.iter().enumerate() {
        let (middle, total) = brightness(input);
        let [_, row, column] = if total > 0.0 { middle } else { [0.0, 16.0, 16.0] }.map(|v| v as f32);
        // x0 y0 x1 y1; twice, the second a little aside and less sure.
        let corners = [column - 4.0, row - 2.0, column + 4.0, row + 2.0];
        let boxes = [corners, corners.map(|v| v + 0.5)].concat();
        let boxes = ArrayD::from_shape_vec(IxDyn(&[1, 2, 4]), boxes).expect("two boxes");
        let sure = if total > 100.0 { 0.9 } else { 0.1 };
        let scores = ArrayD::from_shape_vec(IxDyn(&[1, 2, 1]), vec![sure, sure - 0.05]).expect("two scores");
        read.take(index, |role| Some(if role == "boxes" { boxes.view() } else { scores.view() })).expect("as said");
    }
    let reading = read.finish().expect("readings").remove(0);
    assert!(!reading.boxes.is_empty() && (reading.probability - 0.9).abs() < 1e-6 && reading.mask.is_none());
    for found in &reading.boxes {
        assert!((found.high[0] - found.low[0] - 1.0).abs() < 1e-9, "one slice thick: {found:?}");
        let plane = volume.values.index_axis(Axis(0), found.low[0] as usize).to_owned();
        let (want, _) = brightness(&plane.insert_axis(Axis(0)).insert_axis(Axis(0)).into_dyn());
        for axis in [1, 2] {
            let middle = (found.low[axis] + found.high[axis]) / 2.0;
            assert!((middle - want[axis]).abs() < 0.3, "{found:?} {want:?}");
        }
        // The view's columns are the source's rows here: the long side of the box lies along them.
        let side = |axis: usize, mm: f64| (found.high[axis] - found.low[axis]) * mm;
        assert!(side(1, 1.5) > 1.5 * side(2, 1.0), "{found:?}");
    }
}

/// Slices of a gantry that is tilted by about 20 degrees, and a ball.
fn tilted_ball() -> (Volume, [f64; 3], f64) {
    let affine: Affine = tilted(affine([0, 1, 2], [1.0, 1.0], [1.5, 1.5, 3.0], [0.0, 0.1]), [0.0, 0.36]);
    let center = affine.to_patient([14.0, 22.0, 9.0]);
    (ball([18, 36, 32], affine, center, 9.0), center, 9.0)
}

/// The first voxel (slice, row, column) from which on, and the one up to which, `values` are at least half.
fn extent(values: ndarray::ArrayView3<'_, f32>) -> Option<([usize; 3], [usize; 3])> {
    let inside = || values.indexed_iter().filter(|(_, value)| **value >= 0.5).map(|((k, j, i), _)| [k, j, i]);
    let edge = |axis: usize, of: fn(usize, usize) -> usize| inside().map(|at| at[axis]).reduce(of);
    let low = [edge(0, usize::min)?, edge(1, usize::min)?, edge(2, usize::min)?];
    Some((low, [0, 1, 2].map(|axis| edge(axis, usize::max).unwrap_or(0) + 1)))
}

#[test]
fn boxes_of_overlapping_patches_become_one_around_what_they_mean_in_a_tilted_series() {
    let (volume, center, radius) = tilted_ball();
    let text =
        manifest("volume", "axes = \"SPL\"\nspacing_mm = [1.5, 1.5, 1.5]\npatch = [24, 24, 24]\noverlap = 0.75", "");
    let text = text.replace("segmentation", "detection").replace("[\"mask\"]", "[\"boxes\", \"scores\"]");
    let (mut read, inputs) = read(&model(&text), volume.clone());
    let mut whole = 0;
    for (index, input) in inputs.iter().enumerate() {
        let values = input.view().into_shape_with_order([24, 24, 24]).expect("one channel");
        let found = extent(values).filter(|(low, high)| (0..3).all(|axis| low[axis] > 0 && high[axis] < 24));
        whole += usize::from(found.is_some());
        // Only those who see all of it are sure. x0 y0 z0 x1 y1 z1.
        let (corners, sure) = match found {
            Some(([z, y, x], [d, r, c])) => ([x, y, z, c, r, d].map(|edge| edge as f32), 0.9),
            None => ([0.0, 0.0, 0.0, 4.0, 4.0, 4.0], 0.1),
        };
        let (boxes, scores) = (numbers(&[1, 1, 6], corners.to_vec()), numbers(&[1, 1, 1], vec![sure]));
        read.take(index, |role| Some(if role == "boxes" { boxes.view() } else { scores.view() })).expect("as said");
    }
    assert!(whole > 3, "{whole} patches show the whole ball");
    let reading = read.finish().expect("readings").remove(0);
    let [found] = reading.boxes.as_slice() else { panic!("{} boxes of {whole} patches", reading.boxes.len()) };
    // In source voxels the upright box is sheared: the box around it holds all of the ball, and the tilt's share more in rows.
    let (low, high) = extent(volume.values.view()).expect("a ball");
    for axis in 0..3 {
        let (before, after) = (low[axis] as f64 - found.low[axis], found.high[axis] - high[axis] as f64);
        let spare = if axis == 1 { 2.0 * radius * 0.36 / 1.5 + 2.0 } else { 1.5 };
        assert!(
            before > -1.5 && after > -1.5 && before < spare && after < spare,
            "axis {axis}: {found:?}, {low:?} {high:?}"
        );
    }
    let middle = [0, 1, 2].map(|axis| (found.low[axis] + found.high[axis]) / 2.0 - 0.5);
    let point = volume.stack.to_patient([middle[2], middle[1], middle[0]]);
    assert!((0..3).all(|axis| (point[axis] - center[axis]).abs() < 1.5), "{point:?}, not {center:?}");
    assert!(reading.key_slices[0].slice.abs_diff(9) <= 1, "{:?}", reading.key_slices);
}

#[test]
fn a_map_of_a_whole_tilted_series_lies_where_the_source_is_bright() {
    let (volume, ..) = tilted_ball();
    let text = manifest("volume", "axes = \"RAS\"\ngrid = [32, 36, 40]", "").replace("segmentation", "multi-label");
    let text = text.replace("[\"mask\"]", "[\"logits\", \"maps\"]").replace("activation = \"none\"\n", "");
    let (mut read, inputs) = read(&model(&text), volume.clone());
    let [input] = inputs.as_slice() else { panic!("one grid, {} inputs", inputs.len()) };
    // The network's own grid is coarser than its input: each cell is the mean of 4 x 4 x 4.
    let of = input.view().into_shape_with_order([32, 36, 40]).expect("one channel");
    let maps = Array4::from_shape_fn((1, 8, 9, 10), |(_, k, j, i)| {
        of.slice(ndarray::s![4 * k..4 * k + 4, 4 * j..4 * j + 4, 4 * i..4 * i + 4]).mean().unwrap_or(0.0)
    });
    let (maps, logit) = (maps.insert_axis(Axis(0)).into_dyn(), numbers(&[1, 1], vec![2.0]));
    read.take(0, |role| Some(if role == "logits" { logit.view() } else { maps.view() })).expect("as said");
    let reading = read.finish().expect("readings").remove(0);
    assert!((reading.probability - 1.0 / (1.0 + (-2.0f32).exp())).abs() < 1e-6);
    let key = &reading.key_slices[0];
    assert!(key.slice.abs_diff(9) <= 2, "{}", key.slice);
    let plane = |plane: ndarray::Array2<f32>| brightness(&plane.insert_axis(Axis(0)).insert_axis(Axis(0)).into_dyn()).0;
    let got = plane(key.map.clone().expect("a map"));
    let want = plane(volume.values.index_axis(Axis(0), key.slice).to_owned());
    // A cell is about 5 source pixels wide, and the ball's middle need not be that of a cell.
    assert!((got[1] - want[1]).abs() < 1.5 && (got[2] - want[2]).abs() < 1.5, "{got:?}, not {want:?}");
}
