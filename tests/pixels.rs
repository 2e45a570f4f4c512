//! Promise: stored, modality and display values of an image are those that the standard defines, or it is refused with a code.
//!
//! Expected values: `dicom/corpus/manifest.csv` of the shared corpus, made by a pipeline of its own (`make/values.py` there)
//! and compared with other decoders. Lossy files: worst difference to a reference decode, as the manifest states it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use overread::dicom::{Decoder, Instance, Limits};
use overread::error::{Code, Error, Result};
use overread::pixel::{Stage, StageFrame, Summary, image, stage_frame, summarise};
use support::corpus::{Tally, Verdict, public, rows, shared};

type Row = BTreeMap<String, String>;

fn open(path: &Path) -> Result<Instance> {
    Instance::read(&Bytes::from(std::fs::read(path).unwrap()), &Limits::default())
}

fn all_frames(instance: &Instance, stage: Stage) -> Result<Summary> {
    summarise((0..instance.header().frames).map(|index| stage_frame(&Decoder::in_process(), instance, stage, index)))
}

fn numbers(frame: &StageFrame) -> Vec<f64> {
    match frame {
        StageFrame::Integers(values) => values.iter().map(|v| *v as f64).collect(),
        StageFrame::Numbers(values) => values.clone(),
        StageFrame::Bytes(values) => values.iter().map(|v| f64::from(*v)).collect(),
    }
}

#[test]
fn values_are_those_of_a_second_decoder() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let corpus = shared.join("dicom/corpus");
    let signatures: serde_json::Value =
        serde_json::from_slice(&std::fs::read(corpus.join("signatures.json")).unwrap()).unwrap();
    let mut tally = Tally::default();
    for row in rows(&corpus.join("manifest.csv")) {
        let verdict = check(&corpus, &row, &signatures);
        tally.add(&format!("{:.56}", row["transfer_syntax"]), &row["path"], verdict);
    }
    tally.finish();
}

/// Large public files that the corpus only describes; scripts/setup takes them from a registry package.
#[test]
fn public_files_hold_the_values_of_a_second_decoder() {
    let Some(shared) = shared() else {
        return Tally::skip("the shared corpus, which has the expected values, is not here");
    };
    let mut tally = Tally::default();
    for row in rows(&shared.join("dicom/external.csv")) {
        let name = row["path"].rsplit('/').next().unwrap();
        let Some(path) = public(name) else {
            return Tally::skip("public test files are not here; scripts/setup fetches them");
        };
        let verdict = match open(&path) {
            Ok(_) if row["lossy"] == "yes" => continue,
            Ok(instance) => check_exact(&row, &instance),
            Err(error) => Verdict::Wrong(format!("refused: {error}")),
        };
        tally.add(&format!("{:.56}", row["transfer_syntax"]), &row["path"], verdict);
    }
    tally.finish();
}

fn check(corpus: &Path, row: &Row, signatures: &serde_json::Value) -> Verdict {
    let expects_values = row["expect"] == "values";
    match open(&corpus.join(&row["path"])) {
        Err(error) if !expects_values || may_refuse(row, &error) => Verdict::Refused,
        Err(error) => Verdict::Wrong(format!("refused: {error}")),
        Ok(_) if row["stored_all_sha256"].is_empty() => Verdict::Wrong("read; there is nothing to read".into()),
        Ok(instance) if row["lossy"] == "yes" => check_lossy(corpus, row, &instance, signatures),
        Ok(instance) => check_exact(row, &instance),
    }
}

/// The only reasons not to read an image of the corpus: JPEG XL has no decoder in this build, and nine files lack the UIDs that
/// make an object part of a study.
fn may_refuse(row: &Row, error: &Error) -> bool {
    let jpeg_xl = row["transfer_syntax_uid"].starts_with("1.2.840.10008.1.2.4.11");
    let unnamed = ["(0008,0018)", "(0020,000D)"].iter().any(|tag| error.to_string().contains(tag));
    match error.code {
        Code::UnsupportedTransferSyntax => jpeg_xl,
        Code::HeaderImplausible => unnamed && !row["path"].starts_with("cr_dx"),
        _ => false,
    }
}

fn check_exact(row: &Row, instance: &Instance) -> Verdict {
    let mut verdict = Verdict::Right;
    for (stage, name) in [(Stage::Stored, "stored"), (Stage::Modality, "modality"), (Stage::Display, "display")] {
        let want = &row[&format!("{name}_all_sha256")];
        if want.is_empty() {
            continue;
        }
        let got = match all_frames(instance, stage) {
            Ok(summary) => summary,
            Err(error) => return Verdict::Wrong(format!("{name}: {error}")),
        };
        if got.sha256 == *want {
            continue;
        }
        let tolerance: f64 =
            row[&format!("tolerance_{}", if name == "modality" { "stored" } else { name })].parse().unwrap();
        let close = |key: &str, got: Option<f64>| {
            let want: f64 = row[&format!("{name}_all_{key}")].parse().unwrap();
            (got.unwrap() - want).abs() <= tolerance
        };
        if tolerance == 0.0 || !(close("min", got.min) && close("max", got.max) && close("mean", got.mean)) {
            return Verdict::Wrong(format!("{name}: {got:?} instead of {want}"));
        }
        verdict = Verdict::WithinTolerance;
    }
    verdict
}

fn check_lossy(corpus: &Path, row: &Row, instance: &Instance, signatures: &serde_json::Value) -> Verdict {
    let tolerance: f64 = row["tolerance_stored"].parse().unwrap();
    let frame = match stage_frame(&Decoder::in_process(), instance, Stage::Stored, 0) {
        Ok(frame) => numbers(&frame),
        Err(error) => return Verdict::Wrong(format!("stored: {error}")),
    };
    let (got, want) = match row["reference"].as_str() {
        "" => (blocks(instance, &frame), flat(&signatures[&row["path"]])),
        png => (frame, read_png(&corpus.join(png), instance.header().signed)),
    };
    let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if got.len() != want.len() || worst > tolerance {
        return Verdict::Wrong(format!("stored: {} values, worst difference {worst}, limit {tolerance}", got.len()));
    }
    match all_frames(instance, Stage::Display) {
        Ok(summary) => {
            let (want, limit): (f64, f64) =
                (row["display_all_mean"].parse().unwrap(), row["tolerance_display"].parse().unwrap());
            match (summary.mean.unwrap() - want).abs() <= limit {
                true => Verdict::WithinTolerance,
                false => Verdict::Wrong(format!("display: mean {:?} instead of {want}", summary.mean)),
            }
        }
        Err(error) => Verdict::Wrong(format!("display: {error}")),
    }
}

/// Means of 16 x 16 blocks, per sample, as `signatures.json` has them.
fn blocks(instance: &Instance, frame: &[f64]) -> Vec<f64> {
    let header = instance.header();
    let (rows, columns, samples) = (usize::from(header.rows), usize::from(header.columns), usize::from(header.samples));
    let mut means = Vec::new();
    for (block_row, block_column) in (0..16).flat_map(|a| (0..16).map(move |b| (a, b))) {
        for sample in 0..samples {
            let (mut sum, mut count) = (0.0, 0.0);
            for row in block_row * rows / 16..(block_row + 1) * rows / 16 {
                for column in block_column * columns / 16..(block_column + 1) * columns / 16 {
                    sum += frame[(row * columns + column) * samples + sample];
                    count += 1.0;
                }
            }
            means.push(sum / count);
        }
    }
    means
}

fn flat(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => number.as_f64().into_iter().collect(),
    }
}

fn read_png(path: &Path, signed: bool) -> Vec<f64> {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let offset = if signed { 32768.0 } else { 0.0 };
    match info.bit_depth {
        png::BitDepth::Sixteen => {
            bytes.chunks_exact(2).map(|b| f64::from(u16::from_be_bytes([b[0], b[1]])) - offset).collect()
        }
        _ => bytes.iter().map(|b| f64::from(*b) - offset).collect(),
    }
}

/// Each pair holds the same pixels, as its publisher (pydicom) made them: uncompressed, and written another way without loss.
#[test]
fn twins_hold_the_same_stored_values() {
    let pairs = [
        ("emri_small.dcm", "emri_small_RLE.dcm"),
        ("emri_small.dcm", "emri_small_jpeg_ls_lossless.dcm"),
        ("emri_small.dcm", "emri_small_jpeg_2k_lossless.dcm"),
        ("emri_small.dcm", "emri_small_big_endian.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
        ("OBXXXX1A_2frame.dcm", "OBXXXX1A_rle_2frame.dcm"),
        ("SC_rgb_16bit.dcm", "SC_rgb_expb_16bit.dcm"),
    ];
    let mut tally = Tally::default();
    for (plain, compressed) in pairs {
        let (Some(plain_path), Some(path)) = (public(plain), public(compressed)) else {
            return Tally::skip("public test files are not here; scripts/setup fetches them");
        };
        let stored = |path: &Path| open(path).and_then(|instance| all_frames(&instance, Stage::Stored));
        let verdict = match (stored(&plain_path), stored(&path)) {
            (Ok(a), Ok(b)) if a == b => Verdict::Right,
            (a, b) => Verdict::Wrong(format!("{a:?} {b:?}")),
        };
        tally.add("twins", compressed, verdict);
    }
    tally.finish();
}

#[test]
fn an_image_for_models_is_the_display_stage_before_rounding() {
    let cr = support::dicom::cr(64, 48, 11);
    let check = |bytes: Vec<u8>| {
        let instance = Instance::read(&Bytes::from(bytes), &Limits::default()).unwrap();
        let shown = numbers(&stage_frame(&Decoder::in_process(), &instance, Stage::Display, 0).unwrap());
        let image = image(&Decoder::in_process(), &instance, 0).unwrap();
        assert_eq!((image.values.dim(), image.frame_number), ((64, 48), 1));
        for (value, byte) in image.values.iter().zip(&shown) {
            assert!((f64::from(*value) * 255.0 - byte).abs() <= 0.5 + 1e-4, "{value} {byte}");
        }
        image
    };
    let bright = check(cr.bytes());
    let mut inverted = cr.clone();
    inverted.photometric = "MONOCHROME1".into();
    let dark = check(inverted.bytes());
    for (a, b) in bright.values.iter().zip(&dark.values) {
        assert!((a + b - 1.0).abs() < 1e-6, "MONOCHROME1 is the other way round");
    }
}
