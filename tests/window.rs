//! Promise: the sliding window's memory is bounded by a patch and the output, not by the number of patches.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::fs;

use ndarray::Array3;
use overread::{
    model::{Model, SeriesRead},
    pixel::{Affine, Volume},
};
use support::{
    corpus::Tally,
    made_model::{manifest, model, stack},
};

const SIZE: [usize; 3] = [96, 160, 160];

fn identity(overlap: f64) -> Model {
    model(&manifest("volume", &format!("axes = \"SPL\"\npatch = [32, 32, 32]\noverlap = {overlap}"), ""))
}

fn volume() -> Volume {
    let affine = Affine::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]);
    let inside = |(k, j, i): (usize, usize, usize)| if k > 40 && j > 90 && i > 100 { 0.9 } else { 0.1 };
    Volume { stack: stack("window", SIZE, affine), values: Array3::from_shape_fn(SIZE, inside), padding: None }
}

/// Peak resident bytes above those at the start, and the number of patches.
fn peak(overlap: f64) -> Option<(u64, usize)> {
    let resident = |key: &str| {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let mut read = SeriesRead::new(&identity(overlap), volume(), 1).expect("a readable volume");
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
        Tally::skip("/proc tells the peak of memory");
        return;
    };
    println!("{apart} patches: {few} bytes, {close} patches: {many} bytes; the output has {output}");
    assert!(close > 20 * apart);
    // The output, a few patches, and what the allocator rounds up.
    let bound = output + 4 * 4 * 32 * 32 * 32 + (2 << 20);
    assert!(few <= bound && many <= bound, "{few} and {many}, more than {bound}");
}
