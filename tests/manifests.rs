//! Promise: a manifest whose keys do not go together is refused, and the sentence says which key and what to write.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
use overread::{
    error::Code,
    model::{Manifest, Recipe},
};

const HEAD: &str = r#"
schema = "overread.model/1"
name = "made"
version = "1.0.0"
title = "Made for tests"
license = "Apache-2.0"
intended_use = "Tests only."
"#;
const LABEL: &str = r#"
[[labels]]
name = "one"
code = { value = "1", scheme = "99TEST", meaning = "One" }
status = "finding"
calibration = { a = 1.0, b = 0.0 }
threshold = 0.5
"#;

fn digest() -> String {
    "0".repeat(64)
}

/// A CT classifier over slices.
fn slices() -> String {
    format!(
        r#"{HEAD}kind = "slices"
task = "multi-label"
[weights]
file = "weights.pt"
sha256 = "{0}"
outputs = ["logits", "maps"]
[select]
modality = ["CT"]
description_not = ["bone"]
[input]
windows = [[40, 80], [80, 200]]
neighbours = {{ count = 1, step_mm = 5.0 }}
size = [256, 224]
fit = "letterbox"
mean = 0.5
std = 0.5
[aggregate]
rule = "run"
slices = 2
{LABEL}
[self_test]
expect = {{ file = "golden/x.npy", sha256 = "{0}" }}
tolerance = 1e-3
"#,
        digest()
    )
}

/// An MR segmenter over patches.
fn volume() -> String {
    format!(
        r#"{HEAD}kind = "volume"
task = "segmentation"
[weights]
file = "weights.pt"
sha256 = "{0}"
outputs = ["mask"]
activation = "softmax"
[select]
modality = ["MR"]
[input]
intensity = [{{ by = "quantile", low = 0.01, high = 0.99 }}, {{ by = "zscore", of = "foreground" }}]
axes = "RAS"
spacing_mm = [1.0, 1.0, 1.0]
patch = [64, 64, 96]
overlap = 0.5
mean = 0.0
std = 1.0
[mask]
part_ml_min = 1.0
{LABEL}channel = 1
[self_test]
expect = {{ file = "golden/x.npy", sha256 = "{0}" }}
tolerance = 1e-3
"#,
        digest()
    )
}

#[test]
fn shapes_follow_from_the_recipe() {
    let slices = Manifest::parse(&slices()).expect("valid");
    assert_eq!(slices.input.shape(), [6, 256, 224]);
    assert_eq!(slices.display_window(), Some([0.0, 80.0]));
    let volume = Manifest::parse(&volume()).expect("valid");
    assert_eq!(volume.input.shape(), [1, 64, 64, 96]);
    assert!(matches!(volume.input, Recipe::Volume(_)) && volume.display_window().is_none());
}

#[track_caller]
fn check_refused(text: &str, from: &str, to: &str, named: &str) {
    assert!(text.contains(from), "{from}");
    let error = Manifest::parse(&text.replacen(from, to, 1)).expect_err("must be refused");
    assert_eq!(error.code, Code::ModelUnavailable);
    assert!(error.detail.contains(named), "{named:?} is not in {:?}", error.detail);
}

#[test]
fn what_is_wrong_with_slices_is_named() {
    let check = |from: &str, to: &str, named: &str| check_refused(&slices(), from, to, named);
    check("[\"logits\", \"maps\"]", "[\"maps\"]", "this task reads \"logits\", and no output has that role");
    check("[\"logits\", \"maps\"]", "[\"logits\", \"mask\"]", "does not read \"mask\"");
    check("[\"logits\", \"maps\"]", "[\"logit\"]", "unknown variant `logit`");
    check("[\"logits\", \"maps\"]", "[\"logits\", \"logits\"]", "logits is there twice");
    check("[\"logits\", \"maps\"]", "{ logits = true }", "an index into the tuple or a key of the dictionary");
    check("[\"logits\", \"maps\"]", "[\"logits\", \"ood\"]", "refuse.ood");
    check("modality = [\"CT\"]", "modality = [\"CT\", \"MR\"]", "input.windows: are in HU");
    check("windows = [[40, 80], [80, 200]]", "", "input: say how values are scaled");
    check("windows = [[40, 80], [80, 200]]", "windows = [[40, 0]]", "the width above 0");
    check("size = [256, 224]", "size = [256, 224]\nchannels = 7", "the recipe makes 6");
    check("mean = 0.5", "mean = [0.5, 0.5]", "input.mean: one number, or one for each of the 6 channels");
    check("mean = 0.5", "mean = 0.5\ncontrast = [0.0, 1.0]", "unknown field `contrast`");
    check("description_not = [\"bone\"]", "description_not = [\"bone(\"]", "is no regular expression");
    check("description_not", "view_position = [\"AP\"]\ndescription_not", "select.view_position");
    check("rule = \"run\"", "rule = \"best\"", "unknown variant `best`");
    check(
        "[aggregate]",
        "[mask]\nthreshold = 0.5\n[aggregate]",
        "mask: is for kind slices or volume with task segmentation",
    );
    check("[aggregate]", "[boxes]\n[aggregate]", "boxes: is for task detection");
    check("task = \"multi-label\"", "task = \"detection\"", "this task reads \"boxes\"");
    check("description_not", "missing_max = 1.5\ndescription_not", "must be 0 to 1");
    check("step_mm = 5.0", "step_mm = 0.0", "a distance is 0.01 to 1000 mm");
}

#[test]
fn what_is_wrong_with_a_volume_is_named() {
    let check = |from: &str, to: &str, named: &str| check_refused(&volume(), from, to, named);
    check("axes = \"RAS\"", "axes = \"RAL\"", "three letters, one of R/L, one of A/P, one of S/I");
    check("patch = [64, 64, 96]\noverlap = 0.5", "", "input.patch: say what the network sees at a time");
    check("patch = [64, 64, 96]", "grid = [64, 64, 96]", "only one of the two");
    check("overlap = 0.5", "overlap = 1.0", "an overlap is 0 to 0.9");
    check("high = 0.99 }", "high = 0.99, over = \"slice\" }", "over = \"slice\" is for kind slices");
    check("low = 0.01", "low = 0.995", "low must be below high");
    check("{ by = \"zscore\", of = \"foreground\" }", "{ by = \"zscore\", mask = 1 }", "unknown field `mask`");
    check("[mask]", "[quality]\n[mask]", "quality");
    check("part_ml_min = 1.0", "part_ml_min = -1.0", "must be 0 or more");
    check("[\"mask\"]", "[\"mask\", \"classes\"]", "[[classes]] and the output \"classes\" go together");
    check("[mask]", "[aggregate]\nrule = \"run\"\n[mask]", "rule and slices are for kind slices");
    check("task = \"segmentation\"", "task = \"multi-label\"", "this task reads \"logits\"");
    check("kind = \"volume\"", "kind = \"cube\"", "unknown variant `cube`");
    check("modality = [\"MR\"]", "modality = [\"MR\"]\nmodalities = []", "unknown field `modalities`");
}
