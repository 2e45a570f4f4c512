//! Promise: over a tilted CT, heatmaps, masks and points of the model's grid lie where a second implementation puts them: second.py,
//! which knows DICOM attributes, NumPy and SciPy, and none of our code.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test may fail where it stands")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use overread::{
    dicom::{Decoder, Header, Instance, Limits},
    finding::{Finding, Report},
    gate::grpc::client::{Client, HeatmapFormat, SegmentationFormat},
    model::{self, SeriesRead},
    pixel,
    uid::Uid,
};
use support::{
    corpus::{Tally, shared},
    ct::{Scan, scan},
    server,
};
use tokio::sync::mpsc;

/// Points of the model's grid: depth, row, column.
const POINTS: [[f64; 3]; 6] =
    [[0.0, 0.0, 0.0], [20.0, 0.0, 50.0], [3.25, 60.0, 1.5], [11.0, 30.5, 30.5], [22.0, 70.0, 60.0], [7.5, 12.0, 41.0]];
/// Millimetres and source voxels by which a point may differ: 9 digits are written.
const POINT_TOLERANCE: f64 = 1e-6;
/// Of a heatmap, whose largest value is 1: sums of float32 in another order.
const MAP_TOLERANCE: f32 = 1e-3;
/// Masks: voxels whose chance is within rounding of the threshold may fall on either side.
const DICE_MIN: f64 = 0.999;

/// A head under a gantry tilted by 20 degrees: the table moves along the patient, the slices are turned.
fn tilted() -> Scan {
    let (sin, cos) = 20.0f64.to_radians().sin_cos();
    Scan {
        directions: [1.0, 0.0, 0.0, 0.0, cos, -sin],
        table_mm: Some([0.0, 0.0, 5.0]),
        ball_mm: Some(([15.0, -9.0, 112.0], 14.0)),
        ..scan(1)
    }
}

/// The values that the models' window makes 0 and 1, HU.
struct Range(f64, f64);

/// What second.py says.
struct Second {
    order: Vec<String>,
    mask: Vec<u8>,
    maps: Vec<f32>,
    points: Vec<[f64; 6]>,
}

/// `None`: said why, and the test is over.
fn second(folder: &Path, range: &Range) -> Option<Second> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("third_party/venv/bin/python");
    let has_packages = Command::new(&python).args(["-c", "import numpy, pydicom, scipy"]).output();
    if !has_packages.is_ok_and(|output| output.status.success()) {
        Tally::skip("NumPy, SciPy and pydicom in third_party/venv (scripts/setup)");
        return None;
    }
    let out = tempfile::tempdir().expect("a temporary folder");
    let asked = out.path().join("asked.txt");
    let line = |point: &[f64; 3]| point.map(|v| v.to_string()).join(" ");
    fs::write(&asked, POINTS.iter().map(line).collect::<Vec<_>>().join("\n")).expect("written");
    let mut command = Command::new(python);
    command.arg(root.join("tests/tilt/second.py")).arg(folder).arg(out.path());
    let output = command.args([range.0.to_string(), range.1.to_string()]).arg(&asked).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |name: &str| fs::read_to_string(out.path().join(name)).expect("written by second.py");
    let numbers = |line: &str| line.split(' ').map(|v| v.parse().expect("a number")).collect::<Vec<f64>>();
    let maps = fs::read(out.path().join("maps.f32")).expect("written by second.py");
    Some(Second {
        order: text("order.txt").lines().map(str::to_owned).collect(),
        mask: fs::read(out.path().join("mask.u8")).expect("written by second.py"),
        maps: maps.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        points: text("points.txt").lines().map(|line| numbers(line).try_into().expect("six numbers")).collect(),
    })
}

/// The two test models with this body part and window, and no rule about small parts.
fn models(home: &Path, body_part: &str, range: &Range) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/series");
    for name in ["tiny-slices", "tiny-volume"] {
        let to = home.join("models").join(name);
        fs::create_dir_all(to.join("golden")).expect("a folder");
        for file in walkdir::WalkDir::new(from.join(name)).into_iter().filter_map(Result::ok) {
            if file.file_type().is_file() {
                fs::copy(file.path(), to.join(file.path().strip_prefix(from.join(name)).expect("inside")))
                    .expect("copied");
            }
        }
        let text = fs::read_to_string(to.join("model.toml")).expect("a manifest");
        let (level, width) = ((range.0 + range.1) / 2.0, range.1 - range.0);
        let text = text.replace("[\"CHEST\", \"\"]", &format!("[\"{body_part}\"]"));
        let text = text.replace("windows = [[40, 400]]", &format!("windows = [[{level}, {width}]]"));
        let text = text.replace("part_ml_min = 0.5\npart_mm_min = 6.0\n", "");
        fs::write(to.join("model.toml"), text).expect("written");
    }
    home.join("models")
}

/// The service's answer about the files of `folder`, and the server that holds it.
async fn served(home: &Path, folder: &Path, models: &Path) -> (server::ServerProcess, Client, Report) {
    let process = server::start(&home.join("data"), models, &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    let files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    let bytes: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).expect("readable")).collect();
    let instance = Instance::read(&bytes[0].clone().into(), &Limits::default()).expect("an image");
    let study: Uid = instance.header().study.clone();
    let (sender, receiver) = mpsc::channel(bytes.len());
    for file in bytes {
        sender.send(Bytes::from(file)).await.expect("there is room");
    }
    drop(sender);
    let mut analysis = client.analyze(receiver).await.expect("the call begins");
    while analysis.next().await.expect("the call goes on").is_some() {}
    let report = client.report(&study, None).await.expect("the report");
    (process, client, report)
}

fn finding<'a>(report: &'a Report, label: &str) -> &'a Finding {
    let found = report.findings.iter().find(|finding| finding.label == label);
    found.unwrap_or_else(|| panic!("no {label}: {:?}", report.not_analysed))
}

async fn check_mask(client: &Client, report: &Report, second: &Second) {
    let found = finding(report, "bright_body");
    let mask = client.segmentation(&report.study, report.revision, &found.uid, SegmentationFormat::Bytes).await;
    let mask = mask.expect("a segmentation");
    let order: Vec<String> = mask.sources.iter().map(|source| source.sop_instance.to_string()).collect();
    assert_eq!(order, second.order);
    assert_eq!(mask.bytes.len(), second.mask.len());
    let count = |bytes: &[u8]| bytes.iter().filter(|value| **value == 1).count() as f64;
    let both = mask.bytes.iter().zip(&second.mask).filter(|(a, b)| (**a, **b) == (1, 1)).count() as f64;
    let (ours, theirs) = (count(&mask.bytes), count(&second.mask));
    let dice = 2.0 * both / (ours + theirs);
    println!("mask: {ours} voxels, by SciPy {theirs}, Dice {dice:.4}");
    assert!(theirs > 200.0 && dice >= DICE_MIN, "{ours} voxels, by SciPy {theirs}, Dice {dice}");
}

/// Every key slice's heatmap, value by value, and in the picture the line around what is hot.
async fn check_maps(client: &Client, report: &Report, second: &Second) {
    let found = finding(report, "bright");
    let of = found.of_series.as_ref().expect("it is about a series");
    for (place, key) in (1..).zip(&of.key_slices) {
        let get = async |format| {
            client.key_heatmap(&report.study, report.revision, (&found.uid, place), format).await.expect("a heatmap")
        };
        let map = get(HeatmapFormat::Float32).await;
        let ours: Vec<f32> = map.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        // The threshold is one half: then a map's scale is the slice's own chance.
        let scale = key.probability;
        let plane = ours.len();
        let theirs = &second.maps[key.slice as usize * plane..][..plane];
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b * scale).abs()).fold(0.0, f32::max);
        println!("slice {}: chance {scale:.3}, worst difference {worst:e}", key.slice);
        assert!(worst <= MAP_TOLERANCE, "slice {}: {worst}", key.slice);
        let picture = get(HeatmapFormat::OverlayPng).await;
        let heat: Vec<f32> = theirs.iter().map(|value| value * scale).collect();
        check_line(&picture.bytes, &heat, (map.rows as usize, map.columns as usize));
    }
    let best = of.key_slices.first().expect("a key slice");
    assert!(second.maps[best.slice as usize * second.mask.len() / second.order.len()..].iter().any(|v| *v > 0.0));
}

/// The white line of an overlay runs along the edge of what is at least half hot, at the very pixels. Where there is no heat, the image
/// may be white by itself.
fn check_line(png: &[u8], heat: &[f32], (rows, columns): (usize, usize)) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("a frame");
    assert_eq!(info.width as usize, columns);
    let at = |row: usize, column: usize| heat[row.min(rows - 1) * columns + column.min(columns - 1)] >= 0.5;
    for row in 0..rows {
        for column in 0..columns {
            let neighbours = [
                (row.saturating_sub(1), column),
                (row + 1, column),
                (row, column.saturating_sub(1)),
                (row, column + 1),
            ];
            let edge = at(row, column) && !neighbours.iter().all(|(r, c)| at(*r, *c));
            let white = pixels[(row * columns + column) * 3..][..3] == [255; 3];
            let shown = heat[row * columns + column] >= 0.1;
            assert!(white == edge || (white && !shown), "row {row}, column {column}: white {white}, edge {edge}");
        }
    }
}

/// The points of the model's grid in the patient and in the source, by the library.
fn check_points(folder: &Path, models: &Path, second: &Second) {
    let read = |path: PathBuf| Instance::read(&fs::read(path).expect("readable").into(), &Limits::default());
    let instances: Vec<Arc<Instance>> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| Arc::new(read(entry.expect("a file").path()).expect("an image")))
        .collect();
    let headers: Vec<&Header> = instances.iter().map(|instance| instance.header()).collect();
    let stack = pixel::stacks(&headers).stacks.remove(0);
    let by_uid = |uid: &Uid| {
        let found = instances.iter().find(|instance| instance.header().sop_instance == *uid);
        Ok(Arc::clone(found.expect("an instance of the series")))
    };
    let volume = pixel::volume(&Decoder::in_process(), &stack, by_uid, 2).expect("a volume");
    let model = model::open(&models.join("tiny-volume")).expect("the test model");
    let read = SeriesRead::new(&model, volume, 2).expect("a readable volume");
    for (point, [x, y, z, slice, row, column]) in POINTS.iter().zip(&second.points) {
        let voxel = read.to_source(0, *point);
        let patient = stack.to_patient([voxel[2] - 0.5, voxel[1] - 0.5, voxel[0] - 0.5]);
        for (ours, theirs) in voxel.iter().chain(&patient).zip([slice, row, column, x, y, z]) {
            assert!((ours - theirs).abs() <= POINT_TOLERANCE, "{point:?}: {voxel:?} {patient:?}, by NumPy {theirs}");
        }
    }
}

async fn check(folder: &Path, body_part: &str, range: Range) {
    let Some(second) = second(folder, &range) else { return };
    let home = tempfile::tempdir().expect("a temporary folder");
    let models = models(home.path(), body_part, &range);
    check_points(folder, &models, &second);
    let (process, client, report) = served(home.path(), folder, &models).await;
    assert!(report.volumes[0].warnings.contains(&pixel::Defect::GantryTilt), "{:?}", report.volumes);
    check_mask(&client, &report, &second).await;
    check_maps(&client, &report, &second).await;
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_series_under_a_tilted_gantry() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, file) in tilted().files().into_iter().enumerate() {
        fs::write(folder.path().join(format!("{number}.dcm")), file).expect("written");
    }
    check(folder.path(), "CHEST", Range(-160.0, 240.0)).await;
}

/// A head phantom in a stereotactic frame under a real gantry; its localizer lies in the same folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_series_under_a_tilted_gantry() {
    let Some(corpus) = shared() else { return Tally::skip("the corpus with a tilted CT") };
    check(&corpus.join("dicom/series/ct_head_philips_tilt_localizer"), "BRAIN", Range(-800.0, 0.0)).await;
}
