//! The promise: a CT series walks the whole path through the real binary, and what is found lies where it is in the patient: key
//! slices by SOP Instance, heatmaps in source pixels, a mask in source geometry with its measures.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may fail where it stands")]
mod bad;
#[path = "../support/mod.rs"]
mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use overread::{
    error::Code,
    finding::{Finding, OfSeries, Outcome, Quantity, Report},
    gate::grpc::client::{Client, Event, HeatmapFormat, Segmentation, SegmentationFormat, Update},
    pixel::Defect,
    uid::Uid,
};
use serde_json::Value;
use support::{
    ct::{Scan, scan},
    server,
};
use tokio::sync::mpsc;

/// Left, posterior, superior, and radius; mm. On slices 5 to 9 of 12, which lie at 125, 130, ..., 145 mm.
const BALL: ([f64; 3], f64) = ([15.0, -9.0, 136.0], 14.0);

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/series")
}

fn with_ball(seed: u64) -> Scan {
    Scan { ball_mm: Some(BALL), ..scan(seed) }
}

async fn analyze(client: &Client, files: Vec<Vec<u8>>) -> Vec<Update> {
    let (sender, receiver) = mpsc::channel(files.len().max(1));
    for file in files {
        sender.send(Bytes::from(file)).await.expect("there is room");
    }
    drop(sender);
    let mut analysis = client.analyze(receiver).await.expect("the call begins");
    let mut updates = Vec::new();
    while let Some(update) = analysis.next().await.expect("the call goes on") {
        updates.push(update);
    }
    updates
}

async fn report(client: &Client, study: &str) -> Report {
    client.report(&Uid::parse(study).unwrap(), None).await.expect("the report")
}

fn finding<'a>(report: &'a Report, label: &str) -> (&'a Finding, &'a OfSeries) {
    let found = report.findings.iter().find(|finding| finding.label == label);
    let found = found.unwrap_or_else(|| panic!("no {label} in {report:?}"));
    (found, found.of_series.as_ref().expect("it is about a series"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_in_a_series_lies_where_it_is_in_the_patient() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let process = server::start(&home.path().join("data"), &models(), &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    let chest = with_ball(1);
    let updates = analyze(&client, chest.files()).await;
    let report = report(&client, &chest.study).await;
    assert_eq!(report.not_analysed, []);
    let labels: Vec<&str> = report.findings.iter().map(|finding| finding.label.as_str()).collect();
    assert_eq!(labels, ["bright", "bright_body"]);

    // The volume that was read, once for both models.
    assert_eq!(report.volumes.len(), 1);
    assert_eq!((report.volumes[0].series.as_str(), report.volumes[0].size), (chest.series.as_str(), [12, 64, 64]));
    assert_eq!((report.volumes[0].spacing, &report.volumes[0].warnings), ([5.0, 2.0, 2.0], &Vec::new()));

    check_key_slices(&client, &chest, &report).await;
    check_segmentation(&client, &chest, &report).await;
    check_events(&updates, &report);
    assert!(process.terminate().success());
    let log = process_log(home.path());
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
}

fn process_log(home: &Path) -> String {
    std::fs::read_to_string(home.join("server.log")).expect("a log")
}

/// Every source slice is named in its order; the key slices are among those that the ball is on, and their maps are bright there.
async fn check_key_slices(client: &Client, chest: &Scan, report: &Report) {
    for label in ["bright", "bright_body"] {
        let (found, of) = finding(report, label);
        assert_eq!((found.outcome, of.series.as_str()), (Outcome::Positive, chest.series.as_str()));
        let sources: Vec<_> = of.sources.iter().map(|source| source.sop_instance.to_string()).collect();
        let wanted: Vec<_> = (0..12).map(|index| chest.slice(index).sop_instance).collect();
        assert_eq!(sources, wanted, "{label}: the order is that of positions");
        assert_eq!(of.key_slices.len(), 3, "{label}");
        assert_eq!((&found.sop_instance, found.frame_number), (&of.key_slices[0].source.sop_instance, 1));
        for (place, key) in (1..).zip(&of.key_slices) {
            assert!((5..=9).contains(&key.slice), "{label}: {key:?}");
            assert_eq!(key.source, of.sources[key.slice as usize]);
            let map = client
                .key_heatmap(&report.study, report.revision, (&found.uid, place), HeatmapFormat::Float32)
                .await
                .unwrap_or_else(|error| panic!("{label} {place}: {error}"));
            check_map(&map.bytes, (map.rows, map.columns), place == 1);
            let region = key.region.expect("a positive finding has a region");
            let (column, row) = ball_pixel();
            assert!(
                (region.left..region.right).contains(&column) && (region.top..region.bottom).contains(&row),
                "{key:?}"
            );
        }
        let own = client.heatmap(&report.study, report.revision, &found.uid, HeatmapFormat::OverlayPng).await;
        assert!(own.expect("an overlay").bytes.starts_with(b"\x89PNG"));
        let beyond = client.key_heatmap(&report.study, 1, (&found.uid, 4), HeatmapFormat::MapPng).await;
        assert_eq!(beyond.map_err(|error| error.code), Err(Code::NotFound));
    }
}

/// Column and row of the ball's centre.
fn ball_pixel() -> (u32, u32) {
    let at = |mm: f64| ((mm + 63.0) / 2.0).round() as u32;
    (at(BALL.0[0]), at(BALL.0[1]))
}

/// The hottest pixel of the map lies on the ball; `best`: of the first key slice, which is positive by itself.
fn check_map(bytes: &[u8], size: (u32, u32), best: bool) {
    assert_eq!(size, (64, 64));
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    let (hottest, max) = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("pixels");
    let (column, row) = ball_pixel();
    let off = ((hottest % 64) as f64 - f64::from(column)).hypot((hottest / 64) as f64 - f64::from(row));
    // The coarse model's cells are 8 pixels wide.
    assert!(off <= 8.0, "the hottest pixel is {off} pixels from the ball");
    assert!(*max > 0.0 && (*max >= 0.5 || !best), "the map's maximum is {max}");
}

/// The mask is the ball, voxel by voxel in source geometry, and its measures are the ball's.
async fn check_segmentation(client: &Client, chest: &Scan, report: &Report) {
    let (found, of) = finding(report, "bright_body");
    let get = async |format| {
        client.segmentation(&report.study, report.revision, &found.uid, format).await.expect("a segmentation")
    };
    let mask = get(SegmentationFormat::Bytes).await;
    assert_eq!((mask.size, mask.bytes.len(), &mask.sources), ([12, 64, 64], 12 * 64 * 64, &of.sources));
    let (inside, wrong) = compare(&mask);
    // Only voxels at the surface may differ: the model's grid is finer than the slices, and interpolates.
    assert!(inside > 100 && wrong == 0, "{wrong} of {inside} voxels are off the ball by more than a voxel");

    let voxel_ml = 5.0 * 2.0 * 2.0 / 1000.0;
    let count = mask.bytes.iter().filter(|value| **value == 1).count() as f64;
    let volume = of.leading(Quantity::Volume).expect("a volume");
    assert!((volume - count * voxel_ml).abs() < 1e-6, "{volume} mL of {count} voxels");
    let ball_ml = 4.0 / 3.0 * std::f64::consts::PI * BALL.1.powi(3) / 1000.0;
    assert!((volume / ball_ml - 1.0).abs() < 0.25, "{volume} mL, the ball has {ball_ml}");
    let diameter = of.leading(Quantity::LongestAxialDiameter).expect("a diameter");
    assert!((diameter - 2.0 * BALL.1).abs() < 5.0, "{diameter} mm");
    let centroid = of.measured.iter().find(|measured| measured.quantity == Quantity::Centroid).expect("a centroid");
    for (got, want) in centroid.values.iter().zip(BALL.0) {
        assert!((got - want).abs() < 2.5, "{:?}", centroid.values);
    }

    let nifti = get(SegmentationFormat::Nifti).await;
    assert_eq!(nifti.bytes.len(), 352 + 12 * 64 * 64);
    assert_eq!(&nifti.bytes[352..], &mask.bytes[..]);
    let sides: Vec<u16> =
        (42..48).step_by(2).map(|at| u16::from_le_bytes([nifti.bytes[at], nifti.bytes[at + 1]])).collect();
    assert_eq!(sides, [64, 64, 12]);
    let [x, y, z] = chest.origin_mm;
    assert_eq!(mask.affine.to_patient([0.0; 3]), [x, y, z]);
    assert_eq!(mask.affine.to_patient([0.0, 0.0, 11.0]), [x, y, z + 55.0]);
}

/// Voxels of the mask, and how many of them, or of the ball, lie more than a voxel from the other's surface.
fn compare(mask: &Segmentation) -> (usize, usize) {
    let (mut inside, mut wrong) = (0, 0);
    for (at, value) in mask.bytes.iter().enumerate() {
        let voxel = [at % 64, at / 64 % 64, at / 4096].map(|index| index as f64);
        let point = mask.affine.to_patient(voxel);
        let from_centre = (0..3).map(|axis| (point[axis] - BALL.0[axis]).powi(2)).sum::<f64>().sqrt();
        inside += usize::from(*value == 1);
        // A voxel is 5 mm high.
        wrong += usize::from(match value {
            1 => from_centre > BALL.1 + 5.0,
            _ => from_centre < BALL.1 - 5.0,
        });
    }
    (inside, wrong)
}

/// Findings are told before their artifacts, and each artifact that the report names was told.
fn check_events(updates: &[Update], report: &Report) {
    let events: Vec<&Event> = updates
        .iter()
        .filter_map(|update| match update {
            Update::Event(event) => Some(&event.event),
            Update::Receipt(_) => None,
        })
        .collect();
    let first = |wanted: &dyn Fn(&Event) -> bool| events.iter().position(|event| wanted(event));
    let told = |name: &str| {
        events.iter().any(
            |event| matches!(event, Event::Heatmap { name: told } | Event::Segmentation { name: told } if told == name),
        )
    };
    for found in &report.findings {
        let of = found.of_series.as_ref().expect("it is about a series");
        for name in of.key_slices.iter().filter_map(|key| key.heatmap.as_ref()).chain(&of.segmentation) {
            assert!(told(name), "{name} is not in {events:?}");
        }
    }
    let finding = first(&|event| matches!(event, Event::Finding(_))).expect("a finding");
    let heatmap = first(&|event| matches!(event, Event::Heatmap { .. })).expect("a heatmap");
    assert!(finding < heatmap);
    assert_eq!(events.last(), Some(&&Event::Reported));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_series_gives_the_same_findings_whatever_the_order_in_which_it_comes() {
    let chest = with_ball(2);
    let mut reports = Vec::new();
    for reversed in [false, true] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let process = server::start(&home.path().join("data"), &models(), &["analysis.experimental=true"]);
        let client = Client::connect(&process.url).await.expect("the server answers");
        let mut files = chest.files();
        if reversed {
            files.reverse();
        }
        analyze(&client, files).await;
        let mut report = report(&client, &chest.study).await;
        report.findings.iter_mut().for_each(|finding| finding.provenance.inference_us = 0);
        reports.push(report);
        assert!(process.terminate().success());
    }
    assert_eq!(reports[0].findings.len(), 3);
    assert_eq!(reports[0], reports[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_with_defects_is_read_with_a_warning_and_one_that_breaks_is_said_once() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let process = server::start(&home.path().join("data"), &models(), &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    let gappy = with_ball(3);
    let mut files: Vec<_> = (0..12).filter(|index| *index != 2).map(|index| gappy.slice(index).bytes()).collect();
    // In the same study, a series one slice of which cannot be decoded: RLE without its header.
    let mut broken = Scan { series: "2.25.999".to_owned(), ..with_ball(3) };
    broken.ball_mm = None;
    files.extend((0..11).map(|index| broken.slice(index).bytes()));
    files.push(undecodable(&broken, 11));
    analyze(&client, files).await;
    let report = report(&client, &gappy.study).await;
    assert_eq!(report.findings.len(), 2, "{:?}", report.not_analysed);
    assert_eq!(report.volumes[0].warnings, [Defect::MissingSlices]);
    assert_eq!(report.volumes.len(), 1);
    let said: Vec<_> = report.not_analysed.iter().map(|entry| (entry.code, entry.subject.to_string())).collect();
    // One for each of the two models that were to read it.
    assert_eq!(said, vec![(Code::DecodeFailed, "series 2.25.999".to_owned()); 2]);
    assert!(report.not_analysed[0].detail.contains("instance 2.25.999.12"), "{}", report.not_analysed[0].detail);
    assert!(process.terminate().success());
}

fn undecodable(scan: &Scan, index: u16) -> Vec<u8> {
    use support::dicom::{element_header, item, part10};
    let made = scan.slice(index);
    let mut dataset = made.header();
    dataset.extend(element_header(0x7FE0, 0x0010, "OB", u32::MAX));
    dataset.extend([item(0xE000, 0), item(0xE000, 2), vec![0, 0], item(0xE0DD, 0)].concat());
    part10("1.2.840.10008.1.2.5", &made.sop_class, &made.sop_instance, &dataset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_that_a_crash_cut_off_is_read_again_as_it_was_planned() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let chest = with_ball(5);
    let process = server::start(&data, &models(), &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    let (sender, receiver) = mpsc::channel(12);
    for file in chest.files() {
        sender.send(Bytes::from(file)).await.expect("there is room");
    }
    drop(sender);
    let mut analysis = client.analyze(receiver).await.expect("the call begins");
    while let Some(update) = analysis.next().await.expect("the call goes on") {
        if matches!(update, Update::Event(event) if matches!(event.event, Event::TargetStarted { .. })) {
            break;
        }
    }
    process.kill();

    let process = server::start(&data, &models(), &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    // Sent again: nothing is stored twice, and the call ends with the report.
    analyze(&client, chest.files()).await;
    let report = report(&client, &chest.study).await;
    assert_eq!(report.not_analysed, []);
    let labels: Vec<&str> = report.findings.iter().map(|finding| finding.label.as_str()).collect();
    assert_eq!((labels, report.volumes.len()), (vec!["bright", "bright_body"], 1));
    check_segmentation(&client, &chest, &report).await;
    assert!(process.terminate().success());
}

#[test]
fn the_command_line_shows_key_slices_and_measures_and_writes_a_picture_of_each() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (input, pictures) = (home.path().join("in"), home.path().join("pictures"));
    std::fs::create_dir(&input).expect("a folder");
    let chest = with_ball(4);
    for (number, file) in chest.files().into_iter().enumerate() {
        std::fs::write(input.join(format!("{number}.dcm")), file).expect("written");
    }
    let run = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overread"));
        command.arg("analyze").arg(&input).args(["--format", format]).arg("--overlays").arg(&pictures);
        let output = command.env("OVERREAD_MODELS", models()).env_remove("OVERREAD_SERVER").output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let table = run("table");
    for words in ["bright body", "series 1, 12 slices; look at ", " mL in all: ", " mm at (", "5.00 mm apart"] {
        assert!(table.contains(words), "{words:?} is not in\n{table}");
    }
    let value: Value = serde_json::from_str(&run("json")).expect("JSON");
    let found = &value["studies"][0]["findings"];
    assert_eq!(value["studies"][0]["volumes"][0]["shape"], serde_json::json!([12, 64, 64]));
    for finding in found.as_array().expect("findings") {
        let overlays = finding["overlays"].as_array().expect("overlays");
        assert_eq!(overlays.len(), finding["key_images"].as_array().expect("key images").len());
        for path in overlays {
            let path = path.as_str().expect("a path");
            assert!(path.contains("-series-1-slice-0"), "{path}");
            assert!(std::fs::read(path).expect("it is there").starts_with(b"\x89PNG"));
        }
    }
}
