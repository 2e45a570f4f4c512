//! Models that exist as a manifest alone, for what needs no network: the test says what the network says. And stacks to read with them.
use std::path::PathBuf;

use overread::{
    model::{Manifest, Model},
    pixel::{Affine, SliceSource, Stack},
    uid::Uid,
};

/// A manifest whose network takes one channel and gives a mask of chances. `input`: keys of `[input]`; `more`: further sections.
pub fn manifest(kind: &str, input: &str, more: &str) -> String {
    format!(
        r#"
schema = "overread.model/1"
name = "identity"
version = "1.0.0"
title = "What is bright is inside"
kind = "{kind}"
task = "segmentation"
license = "Apache-2.0"
intended_use = "Tests only."
[weights]
file = "weights.pt"
sha256 = "{0}"
outputs = ["mask"]
activation = "none"
[select]
modality = ["MR"]
[input]
intensity = [{{ by = "range", low = 0, high = 1 }}]
mean = 0.0
std = 1.0
{input}
[[labels]]
name = "ball"
code = {{ value = "1", scheme = "99TEST", meaning = "Ball" }}
status = "finding"
calibration = {{ a = 1.0, b = 0.0 }}
threshold = 0.5
[self_test]
expect = {{ file = "golden/self_test_mask.npy", sha256 = "{0}" }}
tolerance = 1e-3
{more}
"#,
        "0".repeat(64)
    )
}

/// The model of a manifest; its weights are never opened.
pub fn model(text: &str) -> Model {
    let manifest = Manifest::parse(text).unwrap_or_else(|error| panic!("{error}"));
    Model { manifest, dir: PathBuf::new(), digest: String::new() }
}

/// A stack of `size` slices, rows and columns at `affine`, without a defect; UIDs are made from `name`.
pub fn stack(name: &str, size: [usize; 3], affine: Affine) -> Stack {
    let [column_mm, row_mm, slice_mm] = affine.spacing();
    let instance = |slice: usize| Uid::derive(&[name.as_bytes(), &slice.to_le_bytes()]);
    Stack {
        series: Uid::derive(&[name.as_bytes()]),
        sources: (0..size[0]).map(|slice| SliceSource { sop_instance: instance(slice), frame_number: 1 }).collect(),
        size,
        affine,
        spacing: [slice_mm, row_mm, column_mm],
        origins: (0..size[0]).map(|slice| affine.to_patient([0.0, 0.0, slice as f64])).collect(),
        warnings: Vec::new(),
    }
}
