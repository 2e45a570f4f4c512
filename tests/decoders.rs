//! Promise: which decoder is taken changes how long a frame takes, not its samples; and none makes samples up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use overread::dicom::{Decoders, Frame, Instance, Limits, Samples};
use overread::error::Code;
use support::corpus::{Tally, Verdict, rows, shared};

type Row = BTreeMap<String, String>;

/// Frames looked at of each file: the rest is coded alike.
const FRAMES: u32 = 4;

fn read(bytes: Vec<u8>) -> overread::error::Result<Instance> {
    Instance::read(&Bytes::from(bytes), &Limits::default())
}

fn open(path: &Path) -> overread::error::Result<Instance> {
    read(std::fs::read(path).unwrap())
}

/// Right-aligned samples as numbers; the cells of a signed image hold the sign in their highest bit.
fn numbers(frame: &Frame, signed: bool) -> Vec<f64> {
    match &frame.samples {
        Samples::Bits8(cells) => {
            cells.iter().map(|cell| if signed { f64::from(cell.cast_signed()) } else { f64::from(*cell) }).collect()
        }
        Samples::Bits16(cells) => {
            cells.iter().map(|cell| if signed { f64::from(cell.cast_signed()) } else { f64::from(*cell) }).collect()
        }
        Samples::Bits32(cells) => {
            cells.iter().map(|cell| if signed { f64::from(cell.cast_signed()) } else { f64::from(*cell) }).collect()
        }
        Samples::Floats(values) => values.clone(),
    }
}

fn worst_difference(a: &Frame, b: &Frame, signed: bool) -> f64 {
    let (a, b) = (numbers(a, signed), numbers(b, signed));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn decoders_written_in_rust_give_the_samples_of_the_fastest() {
    if !cfg!(feature = "native-codecs") {
        return Tally::skip("this build has only the decoders written in Rust");
    }
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let corpus = shared.join("dicom/corpus");
    let mut tally = Tally::default();
    for row in rows(&corpus.join("manifest.csv")) {
        let Ok(instance) = open(&corpus.join(&row["path"])) else { continue };
        for index in 0..instance.header().frames.min(FRAMES) {
            if let Ok(fastest) = instance.frame(index) {
                tally.add(instance.transfer_syntax().name, &row["path"], compare(&row, &instance, index, &fastest));
            }
        }
    }
    tally.finish();
}

fn compare(row: &Row, instance: &Instance, index: u32, fastest: &Frame) -> Verdict {
    let only_native = ["HTJ2K", "JPEG Extended 12-bit", "JPEG Spectral", "JPEG Full"];
    let frame = match instance.frame_with(index, Decoders::Rust) {
        Ok(frame) => frame,
        Err(error) if error.code == Code::UnsupportedTransferSyntax => {
            let name = instance.transfer_syntax().name;
            return match only_native.iter().any(|syntax| name.starts_with(syntax)) {
                true => Verdict::Refused(error.code),
                false => Verdict::Wrong(format!("{error}")),
            };
        }
        Err(error) => return Verdict::Wrong(format!("{error}")),
    };
    if frame.samples == fastest.samples {
        return Verdict::Right;
    }
    let limit: f64 = if row["lossy"] == "yes" { row["tolerance_stored"].parse().unwrap() } else { 0.0 };
    match worst_difference(&frame, fastest, instance.header().signed) {
        worst if worst <= limit => Verdict::WithinTolerance,
        worst => Verdict::Wrong(format!("frame {}: worst difference {worst}, limit {limit}", index + 1)),
    }
}

/// The fastest decoders are held to this in `tests/hostile.rs`.
#[test]
fn decoders_written_in_rust_make_no_samples_up_either() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let folder = shared.join("dicom/malformed");
    let mut tally = Tally::default();
    for row in rows(&folder.join("malformed.csv")) {
        let Ok(instance) = open(&folder.join(&row["path"])) else { continue };
        let may_read = row["expect"].starts_with("ok") || row["also_ok"].split(';').any(|word| word.starts_with("ok"));
        let verdict = match instance.frame_with(0, Decoders::Rust) {
            Err(error) => Verdict::Refused(error.code),
            Ok(_) if may_read => Verdict::Right,
            // What is wrong with it may be elsewhere than in its pixels.
            Ok(frame) if instance.frame(0).is_ok_and(|fastest| fastest.samples == frame.samples) => Verdict::Right,
            Ok(_) => Verdict::Wrong(format!("read; expected {}", row["expect"])),
        };
        tally.add(&row["expect"], &row["path"], verdict);
    }
    tally.finish();
}

/// The file with the last end-of-image marker of its pixel data overwritten by padding.
fn without_end_of_image(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(2).rposition(|pair| pair == [0xFF, 0xD9]).unwrap();
    bytes[at..at + 2].fill(0);
    bytes
}

#[test]
fn a_whole_scan_without_its_end_marker_is_read_and_a_cut_one_is_not() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let corpus = shared.join("dicom/corpus/ct");
    for name in ["ctimage_jpeg_baseline.dcm", "ctimage_jpeg_lossless_p14.dcm"] {
        let whole = open(&corpus.join(name)).unwrap().frame(0).unwrap();
        let bytes = without_end_of_image(&corpus.join(name));
        assert_eq!(read(bytes.clone()).unwrap().frame(0).unwrap().samples, whole.samples, "{name}");
        // The end of the scan overwritten too: its last samples are gone.
        let mut cut = bytes;
        let last = cut
            .iter()
            .rposition(|byte| *byte != 0 && *byte != 0xDD && *byte != 0xE0 && *byte != 0xFE && *byte != 0xFF)
            .unwrap();
        cut[last - 64..=last].fill(0);
        let error = read(cut).unwrap().frame(0).err();
        assert!(error.is_some(), "{name}: samples were made up");
    }
    // Later scans of a progressive codestream refine the earlier ones: the marker alone tells that none is missing.
    let bytes = without_end_of_image(&corpus.join("ctimage_jpeg_full_progression.dcm"));
    assert_eq!(read(bytes).unwrap().frame(0).err().map(|error| error.code), Some(Code::DecodeFailed));
}
