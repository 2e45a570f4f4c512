//! Promise: the service sees what training saw. The golden files beside each shipped model were made by models/golden.py, with
//! torch 2.11 and pydicom 3.0.2, from RG1_UNCI.dcm of the registry package pydicom-data 1.0.0, a PA chest radiograph.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test may fail where it stands")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ndarray::{Array3, Array4, ArrayD, ArrayViewD, Axis, IxDyn};
use overread::{
    dicom::{Decoder, Instance, Limits},
    finding::Heatmap,
    infer::{Class, Config, DeviceChoice, Outputs, Pool},
    model::{self, Input, Mask, Model, SeriesRead},
    pixel::{self, Image},
};
use support::corpus::{Tally, public};

fn models_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// A golden file: float32, C order, written by NumPy.
fn golden(model: &str, file: &str) -> ArrayD<f32> {
    let bytes = fs::read(models_dir().join(model).join("golden").join(file)).expect("a golden file");
    let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..header_end]).expect("a header");
    let sides = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).expect("a shape").0;
    let shape: Vec<usize> = sides.split(',').filter_map(|side| side.trim().parse().ok()).collect();
    let values = bytes[header_end..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), values).expect("as many values as its shape says")
}

/// The film that the golden files were made from.
fn radiograph() -> Option<Image> {
    let Some(path) = public("RG1_UNCI.dcm") else {
        Tally::skip("RG1_UNCI.dcm (scripts/setup fetches it)");
        return None;
    };
    let bytes = fs::read(path).expect("a readable file");
    let instance = Instance::read(&bytes.into(), &Limits::default()).expect("a DICOM image");
    Some(pixel::image(&Decoder::in_process(), &instance, 0).expect("display values"))
}

#[track_caller]
fn check_close(what: &str, got: ArrayViewD<'_, f32>, want: &ArrayD<f32>, limit: f32) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: worst difference {worst:e}, limit {limit:e}");
    assert!(worst <= limit, "{what}: {worst:e}, more than {limit:e}");
}

/// The shipped models and a pool that runs them; a model that fails its self-test fails the test.
fn shipped() -> (Vec<Model>, Pool) {
    let (models, refused) = model::discover(&models_dir());
    assert!(refused.is_empty(), "{refused:?}");
    let config = Config { device: DeviceChoice::Cpu, lanes: 1, ..Config::default() };
    let (pool, refused) = Pool::start(&config, &models).expect("a pool");
    assert!(refused.is_empty(), "{refused:?}");
    (models, pool)
}

fn named<'a>(models: &'a [Model], name: &str) -> Option<&'a Model> {
    models.iter().find(|model| model.manifest.name.as_str() == name)
}

fn run(pool: &Pool, model: &Model, input: &Array4<f32>) -> Outputs {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(pool.infer(model.manifest.name.as_str(), input.clone(), Class::Routine));
    answer.expect("outputs").0
}

fn output<D: ndarray::Dimension>(outputs: &Outputs, name: &str) -> ndarray::Array<f32, D> {
    let first = outputs.get(name).expect("a named output").index_axis_move(Axis(0), 0);
    first.to_owned().into_dimensionality().expect("the output's axes")
}

/// The lungs of `image`, with the input that they were read from.
fn lungs(pool: &Pool, lungs: &Model, image: &Image) -> (Input, Mask) {
    let recipe = lungs.manifest.image_recipe().expect("a radiograph's recipe");
    let input = model::prepare(recipe, image.values.view(), None);
    let logits: Array3<f32> = output(&run(pool, lungs, &input.tensor), "mask");
    let quality = lungs.manifest.quality.as_ref().expect("rules");
    let mask = model::read_mask(quality, [recipe.mean.of(0), recipe.std.of(0)], &input, logits.index_axis(Axis(0), 0));
    (input, mask.expect("logits on the input's grid"))
}

/// Largest difference of two input tensors. Display values agree to float32; the resampling sums float32 products in another
/// order than torch does: 1e-6 each time, twice (reduce, fit). Contrast then divides by the range of the view (0.5 here) and
/// normalising by std (0.25): 2e-6 / 0.125 = 1.6e-5. Seen: 7e-6.
const TENSOR_LIMIT: f32 = 2e-5;
/// The same weights and kernels on inputs that differ by TENSOR_LIMIT at most.
const OUTPUT_LIMIT: f32 = 1e-3;

#[test]
fn rust_makes_the_tensors_and_answers_that_training_made() {
    let Some(image) = radiograph() else { return };
    let (models, pool) = shipped();
    let small = pixel::resize(image.values.view(), 64, small_columns(&image));
    check_close("display, reduced to 64", small.into_dyn().view(), &golden("chest-lungs", "rg1_display_64.npy"), 2e-6);

    let lung_model = named(&models, "chest-lungs").expect("shipped");
    let (input, mask) = lungs(&pool, lung_model, &image);
    check_close(
        "chest-lungs input",
        input.tensor.view().into_dyn(),
        &golden("chest-lungs", "rg1_input.npy"),
        TENSOR_LIMIT,
    );
    let logits = run(&pool, lung_model, &input.tensor);
    check_close(
        "chest-lungs logits",
        logits.get("mask").expect("a mask"),
        &golden("chest-lungs", "rg1_logits.npy"),
        OUTPUT_LIMIT,
    );
    check_look(&mask);

    let Some(classifier) = named(&models, "chest-radiograph") else {
        Tally::skip("chest-radiograph is not installed in models/");
        return;
    };
    let recipe = classifier.manifest.image_recipe().expect("a radiograph's recipe");
    let input = model::prepare(recipe, image.values.view(), Some(&mask));
    check_close(
        "chest-radiograph input",
        input.tensor.view().into_dyn(),
        &golden("chest-radiograph", "rg1_input.npy"),
        TENSOR_LIMIT,
    );
    let outputs = run(&pool, classifier, &input.tensor);
    for (name, file) in [("logits", "rg1_logits.npy"), ("maps", "rg1_maps.npy")] {
        let got = outputs.get(name).expect("a named output");
        check_close(&format!("chest-radiograph {name}"), got, &golden("chest-radiograph", file), OUTPUT_LIMIT);
    }
}

/// One slice of MR_small.dcm (PyPI pydicom 3.0.2) through the recipe of a model of slices, beside models/pipeline.py and torch.
#[test]
fn rust_makes_the_slice_and_the_answers_that_training_made() {
    let Some(path) = public("pydicom/MR_small.dcm") else {
        return Tally::skip("MR_small.dcm (scripts/setup fetches it)");
    };
    let (models, pool) = shipped();
    let Some(model) = named(&models, "brain-mr") else { return Tally::skip("brain-mr is not installed in models/") };
    let bytes = fs::read(path).expect("a readable file");
    let instance = Arc::new(Instance::read(&bytes.into(), &Limits::default()).expect("a DICOM image"));
    let stack = pixel::stacks(&[instance.header()]).stacks.remove(0);
    let volume = pixel::volume(&Decoder::in_process(), &stack, |_| Ok(Arc::clone(&instance)), 1).expect("one slice");
    let input = SeriesRead::new(model, volume, 1).expect("a readable slice").input(0);
    check_close("brain-mr input", input.view(), &golden("brain-mr", "mr_small_input.npy"), TENSOR_LIMIT);
    let outputs = run(&pool, model, &input.into_dimensionality().expect("four axes"));
    for name in ["mask", "classes", "ood"] {
        let want = golden("brain-mr", &format!("mr_small_{name}.npy"));
        // Logits of some tens and squared distances: the limit is relative to the largest.
        let largest = want.iter().copied().map(f32::abs).fold(1.0, f32::max);
        let got = outputs.get(name).expect("a named output");
        check_close(&format!("brain-mr {name}"), got, &want, OUTPUT_LIMIT * largest);
    }
}

fn small_columns(image: &Image) -> usize {
    let (rows, columns) = image.values.dim();
    assert!(rows >= columns, "an upright film");
    (columns as f64 * 64.0 / rows as f64 + 0.5).floor() as usize
}

/// What the heatmaps are worth is measured over many films by models/chest-radiograph/heatmaps.py and stands in the card. Here:
/// other weights must give other maps, and a model whose maps do not point into radiologists' boxes more often than chance does, by
/// more than the interval, must say so in its card.
#[test]
fn heatmaps_follow_the_weights_and_the_card_says_whether_they_point() {
    let Ok(text) = fs::read_to_string(models_dir().join("chest-radiograph/metrics.json")) else {
        Tally::skip("chest-radiograph is not in models/");
        return;
    };
    let metrics: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let number = |path: &str| metrics["heatmaps"].pointer(path).and_then(serde_json::Value::as_f64).expect("a number");
    let unchanged = 1.0;
    for randomised in ["head", "last_stage_and_head", "everything"] {
        let correlation = number(&format!("/randomised_weights_rank_correlation/{randomised}"));
        assert!(correlation < 0.5 * unchanged, "with {randomised} random, maps still correlate by {correlation}");
    }
    let (lowest, chance) = (number("/pointing/fresh/accuracy_95/0"), number("/pointing/fresh/chance"));
    let points = lowest > chance && number("/pointing/fresh/excess_95/0") > 0.0;
    println!("pointing {} ({lowest} at least), chance {chance}", number("/pointing/fresh/accuracy"));
    let model = model::open(&models_dir().join("chest-radiograph")).expect("a model");
    let card = model.card().expect("a card");
    let warned = card.contains("The maps are not evidence of a place");
    assert_eq!(warned, !points, "pointing {lowest} at least, chance {chance}: the card says otherwise");
}

/// One film with rounded masses in both lungs: the whole way from its pixels to places on it. Heat is 0 to 1, lies in what the
/// classifier saw, and the share in the lungs is printed beside chance.
#[test]
fn heat_lies_in_what_the_classifier_saw() {
    let Some(image) = radiograph() else { return };
    let (models, pool) = shipped();
    let (Some(lung_model), Some(classifier)) = (named(&models, "chest-lungs"), named(&models, "chest-radiograph"))
    else {
        Tally::skip("chest-radiograph is not installed in models/");
        return;
    };
    let (_, mask) = lungs(&pool, lung_model, &image);
    let recipe = classifier.manifest.image_recipe().expect("a radiograph's recipe");
    let input = model::prepare(recipe, image.values.view(), Some(&mask));
    let outputs = run(&pool, classifier, &input.tensor);
    let readings = model::read_labels(&classifier.manifest, |role| outputs.get(role)).expect("as the manifest says");
    let [left, top, right, bottom] = mask.bounds().expect("two lungs");
    for reading in readings {
        let name = reading.label.name.as_str();
        let heatmap = Heatmap::of_input(reading.map.clone().expect("a map"), &input);
        let (inside, chance) = lung_shares(&heatmap, &mask);
        println!(
            "{name}: {:.3} {:?}, {inside:.3} of its heat in the lungs, chance {chance:.3}",
            reading.probability, reading.outcome
        );
        for ((row, column), value) in heatmap.sampled(LATTICE, LATTICE).indexed_iter() {
            assert!((0.0..=1.0).contains(value), "{name}: {value}");
            // The lungs' box, grown by the recipe's margin and rounded to pixels of a film of 128: 0.1 of its sides is beyond that.
            let [y, x] = [row, column].map(|index| (index as f64 + 0.5) / LATTICE as f64);
            let (grow_x, grow_y) = (0.1 * (right - left), 0.1 * (bottom - top));
            let seen = (left - grow_x..right + grow_x).contains(&x) && (top - grow_y..bottom + grow_y).contains(&y);
            assert!(*value == 0.0 || seen, "{name}: heat {value} at row {row}, column {column}");
        }
    }
}

/// Side of the lattice over the film on which heat is added up.
const LATTICE: usize = 256;

/// The share of the heat that lies in the lungs, and the lungs' share of what the network saw.
fn lung_shares(heatmap: &Heatmap, mask: &Mask) -> (f64, f64) {
    let values = heatmap.sampled(LATTICE, LATTICE);
    let [left, top, width, height] = heatmap.seen;
    let (mut heat, mut area) = ([0.0; 2], [0.0; 2]);
    for ((row, column), value) in values.indexed_iter() {
        let at = |index: usize, side: u32| (index as f64 + 0.5) * f64::from(side) / LATTICE as f64;
        let (y, x) = (at(row, heatmap.source_size[0]), at(column, heatmap.source_size[1]));
        if !(left..left + width).contains(&x) || !(top..top + height).contains(&y) {
            continue;
        }
        let [grid_row, grid_column] = mask.grid.to_grid([y, x]);
        let lung = mask.fields.get((grid_row as usize, grid_column as usize)).is_some_and(|lung| *lung);
        heat[usize::from(lung)] += f64::from(*value);
        area[usize::from(lung)] += 1.0;
    }
    (heat[1] / (heat[0] + heat[1]), area[1] / (area[0] + area[1]))
}

/// The mask's measures are those of models/lungs.py.
fn check_look(mask: &Mask) {
    let text = fs::read_to_string(models_dir().join("chest-lungs/golden/rg1_look.json")).expect("a golden file");
    let look: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let want = |key: &str| look["measures"][key].as_f64().expect("a number");
    let m = mask.measures.expect("two lungs");
    let measured = [
        ("fields", m.fields as f64),
        ("area_share", m.area_share),
        ("balance", m.balance),
        ("apart_x", m.apart_x),
        ("apart_y", m.apart_y),
        ("polarity", m.polarity),
    ];
    for (key, got) in measured {
        // A pixel of the mask's edge may flip where its logit is within OUTPUT_LIMIT of 0.
        assert!((got - want(key)).abs() < 1e-3, "{key}: {got}, not {}", want(key));
    }
    for (got, want) in m.bounds.iter().zip(look["box"].as_array().expect("a box")) {
        assert!((got - want.as_f64().expect("a number")).abs() < 1e-9, "box: {:?}", m.bounds);
    }
    assert!(look["refusal"].is_null());
}
