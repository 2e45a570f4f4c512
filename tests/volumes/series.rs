//! The series of the corpus and public multi-frame files: order, geometry, warnings, values, what is left out; by the library and by the
//! command line.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use overread::dicom::{Decoder, Header, Instance, Limits};
use overread::pixel::{Stack, Stacks, stacks, volume};
use overread::uid::Uid;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::corpus::{Tally, Verdict, public, rows, shared};

type Row = BTreeMap<String, String>;
/// UID and frame of each slice, in order.
type Order = Vec<(String, u32)>;

/// What the corpus says of a series.
struct Expected {
    volumes: Vec<(Row, Order)>,
    /// UID and role of what is in no volume.
    left_out: BTreeMap<String, String>,
}

fn expected(folder: &Path) -> BTreeMap<String, Expected> {
    let frames = rows(&folder.join("series.csv"));
    let mut series: BTreeMap<String, Expected> = BTreeMap::new();
    for row in rows(&folder.join("volumes.csv")) {
        let of_volume = |frame: &&Row| {
            frame["series"] == row["series"] && frame["role"] == "slice" && frame["volume"] == row["volume"]
        };
        let mut slices: Vec<&Row> = frames.iter().filter(of_volume).collect();
        slices.sort_by_key(|frame| frame["order"].parse::<u32>().unwrap());
        let order = slices.iter().map(|f| (f["sop_instance_uid"].clone(), f["frame"].parse::<u32>().unwrap() + 1));
        let left_out = frames.iter().filter(|frame| frame["series"] == row["series"] && frame["role"] != "slice");
        let left_out = left_out.map(|frame| (frame["sop_instance_uid"].clone(), frame["role"].clone()));
        let entry = series.entry(row["series"].clone());
        let entry = entry.or_insert_with(|| Expected { volumes: Vec::new(), left_out: left_out.collect() });
        entry.volumes.push((row.clone(), order.collect()));
    }
    series
}

fn code_of(role: &str) -> &'static str {
    match role {
        "localizer" => "WRONG_VIEW",
        "duplicate" | "no_geometry" => "GEOMETRY_INCONSISTENT",
        other => panic!("the corpus has a new role: {other}"),
    }
}

fn numbers(text: &str) -> Vec<f64> {
    text.split(' ').map(|v| v.parse().unwrap()).collect()
}

/// The corpus writes nine digits.
fn near(got: &[f64], want: &[f64]) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs() + 1e-9)
}

fn spacing(row: &Row) -> Vec<f64> {
    ["spacing_slice", "spacing_row", "spacing_col"].map(|key| row[key].parse().unwrap()).to_vec()
}

fn shape(row: &Row) -> [usize; 3] {
    ["slices", "rows", "cols"].map(|key| row[key].parse().unwrap())
}

fn warnings(row: &Row) -> Vec<&str> {
    row["warnings"].split(';').filter(|word| !word.is_empty()).collect()
}

/// `Err` says what differs.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: {got:?}, not {want:?}")) }
}

fn close(what: &str, got: &[f64], want: &[f64]) -> Result<(), String> {
    if near(got, want) { Ok(()) } else { Err(format!("{what}: {got:?}, not {want:?}")) }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn open(path: &Path) -> Instance {
    Instance::read(&std::fs::read(path).unwrap().into(), &Limits::default()).unwrap()
}

fn stacked(files: &[PathBuf]) -> (Stacks, BTreeMap<Uid, PathBuf>) {
    let headers: Vec<Header> = files.iter().map(|path| open(path).header().clone()).collect();
    let known = headers.iter().map(|header| header.sop_instance.clone()).zip(files.iter().cloned()).collect();
    (stacks(&headers.iter().collect::<Vec<_>>()), known)
}

fn check_stack(stack: &Stack, of_series: &[&str], row: &Row, order: &Order) -> Result<(), String> {
    let got: Order = stack.sources.iter().map(|s| (s.sop_instance.as_str().to_owned(), s.frame_number)).collect();
    same("order", &got, order)?;
    same("shape", stack.size, shape(row))?;
    close("spacing", &stack.spacing, &spacing(row))?;
    close("affine", &stack.affine.matrix(), &numbers(&row["affine"]))?;
    same("warnings", of_series.to_vec(), warnings(row))
}

/// HU and MR values of the corpus are whole numbers, which f32 holds: their hash as f64 is that of the corpus.
fn check_values(stack: &Stack, known: &BTreeMap<Uid, PathBuf>, row: &Row) -> Result<(), String> {
    let read = |uid: &Uid| Ok(Arc::new(open(&known[uid])));
    let volume = volume(&Decoder::in_process(), stack, read, 2).map_err(|error| error.to_string())?;
    let mut hash = Sha256::new();
    volume.values.iter().for_each(|v| hash.update(f64::from(*v).to_le_bytes()));
    let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    same("sha256", sha256.as_str(), row["volume_sha256"].as_str())
}

fn check_series(folder: &Path, expected: &Expected) -> Result<(), String> {
    let (sorted, known) = stacked(&files(folder));
    same("volumes", sorted.stacks.len(), expected.volumes.len())?;
    let of_series: Vec<&str> = sorted.warnings().iter().map(|defect| defect.name()).collect();
    for (stack, (row, order)) in sorted.stacks.iter().zip(&expected.volumes) {
        check_stack(stack, &of_series, row, order)?;
        check_values(stack, &known, row)?;
    }
    let got = sorted.left_out.iter().map(|(source, code)| (source.sop_instance.as_str(), code.name()));
    let want = expected.left_out.iter().map(|(uid, role)| (uid.as_str(), code_of(role)));
    same("left out", got.collect::<BTreeSet<_>>(), want.collect())
}

#[test]
fn every_series_of_the_corpus_is_the_volume_that_it_is() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let folder = shared.join("dicom/series");
    let mut tally = Tally::default();
    for (name, expected) in expected(&folder) {
        let verdict = check_series(&folder.join(&name), &expected).map_or_else(Verdict::Wrong, |()| Verdict::Right);
        tally.add("library", &name, verdict);
    }
    tally.finish();
}

fn inspect(path: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_overread"))
        .args(["inspect", "--stage", "volume", "--json"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

fn check_printed(printed: &Value, expected: &Expected) -> Result<(), String> {
    let volumes = printed["volumes"].as_array().unwrap();
    same("volumes", volumes.len(), expected.volumes.len())?;
    for (got, (row, order)) in volumes.iter().zip(&expected.volumes) {
        same("order", words(&got["order"]), order.iter().map(|(uid, _)| uid.as_str()).collect())?;
        let frames: Vec<f64> = order.iter().map(|(_, frame)| f64::from(*frame)).collect();
        same("frames", list(&got["frames"]), frames)?;
        same("shape", list(&got["shape"]), shape(row).map(|side| side as f64).to_vec())?;
        close("spacing", &list(&got["spacing"]), &spacing(row))?;
        close("affine", &list(&got["affine"]), &numbers(&row["affine"]))?;
        same("warnings", words(&got["warnings"]), warnings(row))?;
        same("sha256", got["sha256"].as_str(), Some(row["volume_sha256"].as_str()))?;
        for (key, column) in [("min", "modality_min"), ("max", "modality_max"), ("mean", "modality_mean")] {
            let want: f64 = row[column].parse().unwrap();
            let got = got[key].as_f64().unwrap();
            // The mean is a sum in another order.
            let limit = if key == "mean" { 1e-9 * want.abs() } else { 0.0 };
            if (got - want).abs() > limit {
                return Err(format!("{key}: {got}, not {want}"));
            }
        }
    }
    let got = printed["left_out"].as_array().unwrap().iter();
    let got = got.map(|entry| (entry["sop_instance_uid"].as_str().unwrap(), entry["code"].as_str().unwrap()));
    let want = expected.left_out.iter().map(|(uid, role)| (uid.as_str(), code_of(role)));
    same("left out", got.collect::<BTreeSet<_>>(), want.collect())
}

#[test]
fn the_command_line_prints_every_series_of_the_corpus() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let folder = shared.join("dicom/series");
    let mut tally = Tally::default();
    for (name, expected) in expected(&folder) {
        let verdict = check_printed(&inspect(&folder.join(&name)), &expected);
        tally.add("command line", &name, verdict.map_or_else(Verdict::Wrong, |()| Verdict::Right));
    }
    tally.finish();
}

/// Several series below one folder: each volume and each frame that is left out stands under its own series.
#[test]
fn series_of_one_folder_do_not_mix() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let names = ["mr_enhanced_siemens", "mr_enhanced_siemens_single", "ct_bolus_tracking"];
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        for file in files(&shared.join("dicom/series").join(name)) {
            std::fs::copy(&file, folder.path().join(format!("{name}-{}", file.file_name().unwrap().to_string_lossy())))
                .unwrap();
        }
    }
    std::fs::write(folder.path().join("notes.txt"), "no image").unwrap();
    let printed = inspect(folder.path());
    let volumes = printed["volumes"].as_array().unwrap();
    let series: BTreeSet<&str> = volumes.iter().map(|v| v["series_instance_uid"].as_str().unwrap()).collect();
    assert_eq!((volumes.len(), series.len()), (3, 3));
    // Multi-frame and single-frame sources of the same pixels.
    let hashes: BTreeSet<&str> = volumes.iter().map(|v| v["sha256"].as_str().unwrap()).collect();
    assert_eq!(hashes.len(), 2);
    let codes: Vec<&str> =
        printed["left_out"].as_array().unwrap().iter().map(|v| v["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["NOT_DICOM", "GEOMETRY_INCONSISTENT", "GEOMETRY_INCONSISTENT", "GEOMETRY_INCONSISTENT"]);
}

/// Golden: attributes as pydicom 3.0.2 shows them. A row that runs to the right makes the normal point to the feet, so that the second
/// frame (z = -149) comes first.
#[test]
fn a_public_multi_frame_ct_lies_where_its_functional_groups_say() {
    let Some(path) = public("eCT_Supplemental.dcm") else {
        return Tally::skip("public test files are not here; scripts/setup fetches them");
    };
    let (sorted, known) = stacked(&[path]);
    let [stack] = &sorted.stacks[..] else { panic!("{:?}", sorted.left_out) };
    let frames: Vec<u32> = stack.sources.iter().map(|source| source.frame_number).collect();
    assert_eq!((frames, stack.size, stack.spacing), (vec![2, 1], [2, 512, 512], [10.0, 0.388672, 0.388672]));
    let rows = [[-0.388672, 0.0, 0.0, 99.5], [0.0, 0.388672, 0.0, -301.5], [0.0, 0.0, -10.0, -149.0]];
    assert_eq!(stack.affine.rows, rows);
    assert!(stack.warnings.is_empty());
    let volume = volume(&Decoder::in_process(), stack, |uid: &Uid| Ok(Arc::new(open(&known[uid]))), 2).unwrap();
    assert_eq!(volume.values.dim(), (2, 512, 512));
}

/// Ten frames, and no word of where they lie.
#[test]
fn a_public_multi_frame_mr_without_functional_groups_is_left_out() {
    let Some(path) = public("emri_small.dcm") else {
        return Tally::skip("public test files are not here; scripts/setup fetches them");
    };
    let (sorted, _) = stacked(&[path]);
    let codes: Vec<&str> = sorted.left_out.iter().map(|(_, code)| code.name()).collect();
    assert_eq!((sorted.stacks.len(), codes), (0, vec!["GEOMETRY_INCONSISTENT"]));
}
