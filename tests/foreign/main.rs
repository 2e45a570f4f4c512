//! Promise: a network that nobody here made serves once a manifest describes it, and says what it says in Python.
//!
//! fetch.py makes each model's folder under third_party/foreign, from public packages and the corpus' recipes. Where it cannot (no
//! corpus, no registry, no Python with torch), the test says so and is skipped.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test may fail where it stands")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use ndarray::{Array3, ArrayD, Axis, IxDyn};
use overread::{
    infer::{Class, Config, DeviceChoice, Outputs, Pool},
    model::{self, Model, SeriesRead, SeriesReading},
    pixel::{Affine, Volume},
};
use support::{
    corpus::{Tally, shared},
    made_model::stack,
};

/// The packaged model of that name; made on the first call. `None`: said why, and the test is over.
fn folder(name: &str) -> Option<PathBuf> {
    let Some(corpus) = shared() else {
        Tally::skip("the corpus with the recipes of foreign models");
        return None;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (here, out) = (root.join("tests/foreign"), root.join("third_party/foreign"));
    // What was made from other text is made again.
    let text = |path: PathBuf| fs::read_to_string(path).expect("a text file");
    let stamp = text(here.join("fetch.py")) + &text(here.join(name).join("model.toml"));
    let stamp_file = out.join(name).join(".made-from");
    if fs::read_to_string(&stamp_file).is_ok_and(|made| made == stamp) {
        return Some(out.join(name));
    }
    let python = std::env::var("OVERREAD_TORCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = [here.join("fetch.py"), PathBuf::from(name), out.clone(), "--shared".into(), corpus];
    let made = Command::new(&python).args(script).output();
    match made {
        Ok(output) if output.status.success() => {
            fs::write(stamp_file, stamp).expect("written");
            Some(out.join(name))
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = said.lines().last().unwrap_or("no message").to_owned();
            Tally::skip(&format!(
                "{name}: fetch.py made nothing ({last}); OVERREAD_TORCH_PYTHON names a Python with torch"
            ));
            None
        }
        Err(_) => {
            Tally::skip(&format!("{name}: no Python to make it with (OVERREAD_TORCH_PYTHON)"));
            None
        }
    }
}

/// The model and a pool that runs it: the self-test has passed.
fn serving(folder: &Path) -> (Model, Pool) {
    let model = model::open(folder).expect("a model");
    let config = Config { device: DeviceChoice::Cpu, lanes: 1, ..Config::default() };
    let (pool, refused) = Pool::start(&config, std::slice::from_ref(&model)).expect("a pool");
    assert!(refused.is_empty(), "{refused:?}");
    (model, pool)
}

fn run(pool: &Pool, model: &Model, input: ArrayD<f32>) -> Outputs {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(pool.infer(model.manifest.name.as_str(), input, Class::Routine)).expect("outputs").0
}

fn npy(path: &Path) -> ArrayD<f32> {
    let bytes = fs::read(path).expect("a .npy file");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).expect("a header");
    let sides = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).expect("a shape").0;
    let shape: Vec<usize> = sides.split(',').filter_map(|side| side.trim().parse().ok()).collect();
    let values = bytes[end..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), values).expect("as many values as its shape says")
}

/// Runs each example and compares channel `channel` (all where `None`) of the main output; gives back what came out.
fn check_examples(folder: &Path, (model, pool): &(Model, Pool), channel: Option<usize>, limit: f32) -> Vec<Outputs> {
    let [inputs, expected] = ["input", "expected"].map(|name| npy(&folder.join(format!("examples/{name}.npy"))));
    let mut all = Vec::new();
    let mut worst = 0.0f32;
    for (input, want) in inputs.outer_iter().zip(expected.outer_iter()) {
        let outputs = run(pool, model, input.insert_axis(Axis(0)).to_owned());
        let got = outputs.get(model.manifest.task.main_output().name()).expect("the main output");
        let got = got.index_axis(Axis(0), 0);
        let got = channel.map_or_else(|| got.to_owned(), |channel| got.index_axis(Axis(0), channel).to_owned());
        assert_eq!(got.shape(), want.shape());
        worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
        all.push(outputs);
    }
    println!("{}: {} examples, worst difference {worst:e}, limit {limit:e}", model.manifest.name, all.len());
    assert!(!all.is_empty() && worst <= limit, "{worst:e}, more than {limit:e}");
    all
}

/// Tolerances are those of the corpus' READMEs: what float32 in another order of sums does to each network.
#[test]
fn efficientnet_with_three_channels_and_a_thousand_logits_without_maps() {
    let Some(folder) = folder("efficientnet-lite0") else { return };
    let serving = serving(&folder);
    let all = check_examples(&folder, &serving, None, 1e-3);
    // The first is a tiger cat: of the three labels that the manifest names, that one.
    let readings = model::read_labels(&serving.0.manifest, |role| all[0].get(role)).expect("as the manifest says");
    let best = readings.iter().max_by(|a, b| a.probability.total_cmp(&b.probability)).expect("a label");
    assert_eq!((best.label.name.as_str(), best.map.is_none()), ("tiger_cat", true));
    let total: f32 = readings.iter().map(|reading| reading.probability).sum();
    assert!(total < 1.0, "three of a thousand chances that sum to 1: {total}");
}

#[test]
fn phydcm_with_the_softmax_inside() {
    let Some(folder) = folder("phydcm-ct") else { return };
    let serving = serving(&folder);
    let expected = npy(&folder.join("examples/expected.npy"));
    for (outputs, want) in check_examples(&folder, &serving, None, 1e-4).iter().zip(expected.outer_iter()) {
        let readings = model::read_labels(&serving.0.manifest, |role| outputs.get(role)).expect("as the manifest says");
        // The label names channel 1; its probability is the network's own.
        assert!((readings[0].probability - want[1]).abs() < 2e-4, "{} {}", readings[0].probability, want[1]);
    }
}

#[test]
fn meshnet_with_logits_of_three_tissues() {
    let Some(folder) = folder("meshnet-tissue") else { return };
    let serving = serving(&folder);
    check_examples(&folder, &serving, None, 1e-3);
}

/// deepbet's second network: the one that sees the brain at full resolution. Loaded and run on its example; the box between the two is
/// its authors' step, and no rule of ours.
#[test]
fn deepbets_second_network_says_what_it_says_in_python() {
    let Some(folder) = folder("deepbet-fine") else { return };
    check_examples(&folder, &serving(&folder), Some(1), 2e-4);
}

/// The example, then the whole way of a volume: turned, scaled, resampled, run, and back to source voxels; beside deepbet's own steps
/// in torch.
#[test]
fn deepbet_saved_by_an_old_pytorch_finds_the_brain_of_a_real_t1_as_in_python() {
    let Some(folder) = folder("deepbet") else { return };
    let serving = serving(&folder);
    check_examples(&folder, &serving, Some(1), 2e-4);
    let (model, pool) = serving;
    let readings = read_t1(&model, &pool);
    check_mask(&readings[0], &folder.join("examples/t1_brain.u8"));
    let [key, ..] = readings[0].key_slices.as_slice() else { panic!("no key slice") };
    assert_eq!(key.map.as_ref().map(|map| map.dim()), Some((256, 256)));
    assert_eq!(readings[0].label.name.as_str(), "brain");
}

/// The whole way of a volume over the real T1.
fn read_t1(model: &Model, pool: &Pool) -> Vec<SeriesReading> {
    let t1 = shared().expect("a corpus").join("models/meshnet-tissue/t1.nii.gz");
    let mut read = SeriesRead::new(model, nifti(&t1), 2).expect("a readable volume");
    for index in 0..read.count() {
        let outputs = run(pool, model, read.input(index));
        read.take(index, |role| outputs.get(role)).expect("as the manifest says");
    }
    read.finish().expect("a reading")
}

/// The mask of a reading against the one that Python wrote.
fn check_mask(reading: &SeriesReading, file: &Path) {
    let mask = reading.mask.as_ref().expect("a mask");
    let want = fs::read(file).expect("what Python found");
    assert_eq!(mask.len(), want.len());
    let (mut both, mut ours, mut theirs) = (0.0, 0.0, 0.0);
    for (got, want) in mask.iter().zip(want.iter().map(|own| *own == 1)) {
        both += f64::from(u8::from(*got && want));
        ours += f64::from(u8::from(*got));
        theirs += f64::from(u8::from(want));
    }
    let dice = 2.0 * both / (ours + theirs);
    let name = &reading.label.name;
    println!("{name}: {:.0} mL, in Python {:.0} mL, Dice {dice:.4}", ours / 1000.0, theirs / 1000.0);
    assert!(theirs > 0.0 && dice >= 0.99, "{name}: {dice}");
}

/// A NIfTI-1 file of bytes with an sform, as a volume: array axis 2 are the slices, 1 the rows, 0 the columns; RAS becomes LPS.
fn nifti(path: &Path) -> Volume {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).expect("the T1");
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    let short = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let float = |at: usize| f64::from(f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    assert_eq!((short(40), short(70)), (3, 2), "three axes of bytes");
    let [columns, rows, slices] = [42, 44, 46].map(|at| usize::try_from(short(at)).expect("a side"));
    let row = |axis: usize, sign: f64| [0, 1, 2, 3].map(|column: usize| sign * float(280 + 16 * axis + 4 * column));
    let affine = Affine { rows: [row(0, -1.0), row(1, -1.0), row(2, 1.0)] };
    let start = float(108) as usize;
    let values = bytes[start..start + columns * rows * slices].iter().map(|byte| f32::from(*byte)).collect();
    Volume {
        stack: stack("t1", [slices, rows, columns], affine),
        values: Array3::from_shape_vec((slices, rows, columns), values).expect("as many"),
        padding: None,
    }
}
