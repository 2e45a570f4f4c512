//! Promise: the same image, model and version give the same finding, located where the network looked. Runs a made radiograph
//! through the test model, whose `bright` map is the brightness of the image.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::path::Path;

use ndarray::s;
use overread::{
    dicom::{Decoder, Instance, Limits},
    finding::{Finding, Heatmap, Outcome, Run, Source, assemble, finding_from_json, finding_to_json},
    infer::{Class, Config, DeviceChoice, Pool},
    model::{self, Model},
    pixel,
};
use support::dicom::cr;

/// Runs a film whose right lower quarter is bright, as stored by `change`, and returns the finding of `bright`.
fn read(model: &Model, frame_number: u32) -> (Finding, Heatmap) {
    let mut film = cr(96, 64, 1);
    for (index, pixel) in film.pixels.iter_mut().enumerate() {
        let (row, column) = (index / 64, index % 64);
        *pixel = if row >= 48 && column >= 32 { 4000 } else { 100 };
    }
    let instance = Instance::read(&film.bytes().into(), &Limits::default()).expect("an image");
    let image = pixel::image(&Decoder::in_process(), &instance, 0).expect("display values");
    let input = model::prepare(model.manifest.image_recipe().expect("a recipe"), image.values.view(), None);
    let config = Config { device: DeviceChoice::Cpu, lanes: 1, ..Config::default() };
    let (pool, refused) = Pool::start(&config, std::slice::from_ref(model)).expect("a pool");
    assert!(refused.is_empty(), "{refused:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(pool.infer(model.manifest.name.as_str(), input.tensor.clone(), Class::Stat));
    let (outputs, info) = answer.expect("outputs");
    let readings = model::read_labels(&model.manifest, |role| outputs.get(role)).expect("as the manifest says");
    let reading = readings.into_iter().next().expect("the first label");
    let header = instance.header();
    let source = Source { study: header.study.clone(), sop_instance: header.sop_instance.clone(), frame_number };
    let run = Run { device: info.device, inference_us: info.inference_us };
    let (finding, heatmap) = assemble(&source, model, reading, &input, &run);
    (finding, heatmap.expect("the test model has maps"))
}

fn tiny() -> Model {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny-radiograph");
    model::open(&dir).expect("the test model")
}

#[test]
fn a_finding_lies_where_the_network_looked() {
    let (finding, heatmap) = read(&tiny(), 1);
    assert_eq!((finding.label.as_str(), finding.outcome), ("bright", Outcome::Positive));
    let region = finding.region.expect("a positive finding has a region");
    // The bright quarter is x 32..64, y 48..96; the map's cells are 24 source pixels, letterboxed, so its edge is that fuzzy.
    for (name, got, want) in [("left", region.left, 32), ("top", region.top, 48), ("right", region.right, 64)] {
        assert!(got.abs_diff(want) <= 12, "{name}: {region:?}");
    }
    assert_eq!(region.bottom, 96);
    let values = heatmap.source_values();
    assert_eq!(values.dim(), (96, 64));
    let (inside, all) = (values.slice(s![48.., 32..]).sum(), values.sum());
    assert!(inside / all > 0.7, "{inside} of {all}");
    let max = values.iter().copied().fold(0.0, f32::max);
    assert!((0.5..=1.0).contains(&max), "a positive finding glows more than half: {max}");
}

#[test]
fn the_same_run_gives_the_same_finding_and_another_source_or_version_another_uid() {
    let model = tiny();
    let ((first, heatmap), (again, heatmap_again)) = (read(&model, 1), read(&model, 1));
    let untimed = |mut finding: Finding| {
        finding.provenance.inference_us = 0;
        finding
    };
    assert_eq!(untimed(first.clone()), untimed(again));
    assert_eq!(heatmap.to_bytes(), heatmap_again.to_bytes(), "bit for bit");
    let mut next = model.clone();
    next.manifest.version = "1.0.1".to_owned();
    let uids = [&first.uid, &read(&model, 2).0.uid, &read(&next, 1).0.uid].map(ToString::to_string);
    assert!(uids[0] != uids[1] && uids[0] != uids[2] && uids[1] != uids[2], "{uids:?}");
    let text = finding_to_json(&first).expect("written");
    assert_eq!(finding_from_json(&text), Ok(first));
}
