//! Promise: stored, modality and display values of an image are those that the standard defines, or it is refused with a code.
//!
//! Expected values: `dicom/corpus/manifest.csv`, `dicom/external.csv` and `dicom/series/series.csv` of the shared corpus, made by a
//! pipeline of its own (`make/values.py` there) and compared with other decoders. What was proven is published in docs/pixels.md.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail where it stands")]
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "native-codecs")]
mod coded;
#[cfg(feature = "native-codecs")]
mod encode;
mod expected;
mod header;
mod made;
mod proof;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use overread::dicom::{Decoder, Instance, Limits, Viewed};
use overread::error::{Code, Error, Result};
use overread::pixel::{Stage, image, stage_frame, summarise};

use expected::{References, Row, STAGES, all_frames, numbers};
use proof::{Kind, Proof, codes_of_reason};
use support::corpus::{Tally, Verdict, public, rows, shared};
use support::page::check_section;

fn view(path: &Path) -> Result<Viewed> {
    Instance::view(&Bytes::from(std::fs::read(path).unwrap()), &Limits::default())
}

/// Disputed rows of the corpus: other readers give other values. What we give, and why.
const DISPUTED: &[(&str, &str)] = &[
    (
        "ct/d_bits12_highbit13.dcm",
        "High Bit says where the bits lie (PS3.5 8.1.1): shifted down by two, then masked. Some readers mask only.",
    ),
    ("ct/d_bits12_highbit15.dcm", "Left-aligned: shifted down by four. Some readers ignore High Bit."),
    ("ct/d_bits12_highbit15_signed.dcm", "The same, then sign-extended from the highest stored bit."),
    (
        "other_image/rtdose_big_endian.dcm",
        "Samples of 32 bits are big-endian as wholes (PS3.5 7.3); some readers swap the bytes of each 16-bit word instead.",
    ),
];

#[test]
fn every_value_is_that_of_a_second_decoder_and_the_published_table_says_so() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let corpus = shared.join("dicom/corpus");
    let mut files: Vec<(Row, PathBuf)> = Vec::new();
    for row in rows(&corpus.join("manifest.csv")) {
        let path = corpus.join(&row["path"]);
        files.push((row, path));
    }
    for row in rows(&shared.join("dicom/external.csv")) {
        let Some(path) = public(row["path"].rsplit('/').next().unwrap()) else {
            return Tally::skip("public test files are not here; scripts/setup fetches them");
        };
        files.push((row, path));
    }
    let references = References::of(&corpus);
    let mut proof = Proof::default();
    for ((row, _), (kind, verdict)) in
        files.iter().zip(in_parallel(&files, |(row, path)| judge(&references, row, path)))
    {
        let features: Vec<&str> = row["features"].split(';').filter(|feature| !feature.is_empty()).collect();
        proof.add(kind, reason(row).unwrap_or(""), &features, &row["path"], verdict);
    }
    add_series(&mut proof, &shared.join("dicom/series"));
    let (kinds, without) = (proof.kinds_table(), proof.without_table());
    proof.finish();
    check_section("docs/pixels.md", "proven", &kinds);
    check_section("docs/pixels.md", "without pixels", &without);
    check_section("docs/pixels.md", "disputed", &disputed_table(&rows(&corpus.join("manifest.csv"))));
}

/// What `of` makes of each item, in the order of the items; one thread a core.
fn in_parallel<Item: Sync, Found: Send>(items: &[Item], of: impl Fn(&Item) -> Found + Sync) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((index, item)) = items.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = of(item);
                    found.lock().unwrap().push((index, one));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, one)| one).collect()
}

/// Why the corpus says that an object is not analysed.
fn reason(row: &Row) -> Option<&str> {
    row["expect"].strip_prefix("not_analysed:")
}

fn judge(references: &References, row: &Row, path: &Path) -> (Option<Kind>, Verdict) {
    let kind = Kind::of_row(row).filter(|_| !row["stored_all_sha256"].is_empty());
    let verdict = match (view(path), reason(row)) {
        (Err(error), Some(reason)) if kind.is_none() => match codes_of_reason(reason).contains(&error.code) {
            true => Verdict::Refused(error.code),
            false => Verdict::Wrong(format!("{error}; it is {reason}")),
        },
        (Err(error), _) if is_not_decoded(row, &error) => Verdict::Refused(error.code),
        (Err(error), _) => Verdict::Wrong(format!("refused: {error}")),
        (Ok(_), _) if kind.is_none() => Verdict::Wrong("read; there is nothing to read".into()),
        (Ok(viewed), Some(_)) if viewed.refusal.is_none() => Verdict::Wrong("would be analysed".into()),
        (Ok(viewed), _) => references.check(row, &viewed.instance),
    };
    (kind, verdict)
}

/// The only reason not to read pixels of the corpus: a transfer syntax that is not in the service's table.
fn is_not_decoded(row: &Row, error: &Error) -> bool {
    let is_in_table = overread::dicom::transfer_syntax(&row["transfer_syntax_uid"]).is_some();
    error.code == Code::UnsupportedTransferSyntax && !is_in_table
}

/// Each line is one frame; all are lossless.
fn add_series(proof: &mut Proof, folder: &Path) {
    let frames = rows(&folder.join("series.csv"));
    let path = |row: &Row| format!("{}/{}", row["series"], row["file"]);
    let judged = in_parallel(&frames, |row| {
        let Viewed { instance, refusal, .. } = view(&folder.join(path(row))).unwrap();
        let frame_index: u32 = row["frame"].parse().unwrap();
        let differs = STAGES.iter().find(|(stage, name)| {
            let frame = stage_frame(&Decoder::in_process(), &instance, *stage, frame_index);
            summarise([frame].into_iter()).unwrap().sha256 != row[&format!("{name}_sha256")]
        });
        let verdict = match (differs, refusal) {
            (Some((_, name)), _) => Verdict::Wrong(format!("frame {frame_index}: {name}")),
            (None, Some(refusal)) => Verdict::Wrong(refusal.to_string()),
            (None, None) => Verdict::Right,
        };
        (Kind::of(instance.header()), verdict)
    });
    for (row, (kind, verdict)) in frames.iter().zip(judged) {
        proof.add(Some(kind), "", &["series"], &path(row), verdict);
    }
}

fn disputed_table(rows: &[Row]) -> String {
    let mut out = String::from("| file | ours | others |\n|---|---|---|\n");
    for row in rows.iter().filter(|row| row["confidence"] == "disputed") {
        let ours = DISPUTED.iter().find(|(path, _)| *path == row["path"]);
        let (path, ours) = ours.unwrap_or_else(|| panic!("{} is disputed, and has no reason here", row["path"]));
        writeln!(out, "| {path} | {ours} | {} |", row["decoders"].replace(';', ", ")).unwrap();
    }
    out
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
        let stored = |path: &Path| view(path).and_then(|viewed| all_frames(&viewed.instance, Stage::Stored));
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
