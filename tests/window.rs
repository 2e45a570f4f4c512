//! Promise: the sliding window's memory is bounded by a patch and the output, not by the number of patches.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
use std::{fs, path::PathBuf};

use ndarray::Array3;
use overread::{
    model::{Manifest, Model, SeriesRead},
    pixel::{Affine, SliceSource, Stack, Volume},
    uid::Uid,
};

const SIZE: [usize; 3] = [96, 160, 160];

fn model(overlap: f64) -> Model {
    let digest = "0".repeat(64);
    let text = format!(
        r#"
schema = "overread.model/1"
name = "identity"
version = "1.0.0"
title = "What is bright is inside"
kind = "volume"
task = "segmentation"
license = "Apache-2.0"
intended_use = "Tests only."
[weights]
file = "weights.pt"
sha256 = "{digest}"
outputs = ["mask"]
activation = "none"
[select]
modality = ["MR"]
[input]
intensity = [{{ by = "range", low = 0, high = 1 }}]
axes = "SPL"
patch = [32, 32, 32]
overlap = {overlap}
mean = 0.0
std = 1.0
[[labels]]
name = "bright"
code = {{ value = "1", scheme = "99TEST", meaning = "Bright" }}
status = "finding"
calibration = {{ a = 1.0, b = 0.0 }}
threshold = 0.5
[self_test]
expect = {{ file = "golden/self_test_mask.npy", sha256 = "{digest}" }}
tolerance = 1e-3
"#
    );
    Model { manifest: Manifest::parse(&text).expect("valid"), dir: PathBuf::new(), digest: String::new() }
}

fn volume() -> Volume {
    let [slices, rows, columns] = SIZE;
    let affine = Affine::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]);
    let name = |slice: usize| Uid::derive(&[b"window".as_slice(), &slice.to_le_bytes()]);
    let stack = Stack {
        series: Uid::derive(&[b"window".as_slice()]),
        sources: (0..slices).map(|slice| SliceSource { sop_instance: name(slice), frame_number: 1 }).collect(),
        size: SIZE,
        affine,
        spacing: [1.0; 3],
        origins: (0..slices).map(|slice| [0.0, 0.0, slice as f64]).collect(),
        warnings: Vec::new(),
    };
    let inside = |(k, j, i): (usize, usize, usize)| if k > 40 && j > 90 && i > 100 { 0.9 } else { 0.1 };
    Volume { stack, values: Array3::from_shape_fn((slices, rows, columns), inside), padding: None }
}

/// Peak resident bytes above those at the start, and the number of patches.
fn peak(overlap: f64) -> Option<(u64, usize)> {
    let resident = |key: &str| {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let mut read = SeriesRead::new(&model(overlap), volume(), 1).expect("a readable volume");
    fs::write("/proc/self/clear_refs", "5").ok()?;
    let before = resident("VmRSS:")?;
    for index in 0..read.count() {
        let input = read.input(index);
        read.take(index, |_| Some(input.view())).expect("as the manifest says");
    }
    let count = read.count();
    let after = resident("VmHWM:")?;
    assert!(read.finish().expect("readings")[0].probability > 0.5);
    Some((after.saturating_sub(before), count))
}

#[test]
fn more_patches_need_no_more_memory() {
    let output = SIZE.iter().product::<usize>() as u64 * 4;
    let (Some((few, apart)), Some((many, close))) = (peak(0.0), peak(0.75)) else {
        println!("SKIPPED more_patches_need_no_more_memory: /proc does not tell the peak of memory here");
        return;
    };
    println!("{apart} patches: {few} bytes, {close} patches: {many} bytes; the output has {output}");
    assert!(close > 20 * apart);
    // The output, a few patches, and what the allocator rounds up.
    let bound = output + 4 * 4 * 32 * 32 * 32 + (2 << 20);
    assert!(few <= bound && many <= bound, "{few} and {many}, more than {bound}");
}
