//! Promise: no input takes the process down or makes it invent pixels; each gets a value or a code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use bytes::Bytes;
use overread::dicom::{Decoder, Instance, Limits, Voi, identify};
use overread::error::Code;
use overread::pixel::{Image, Stage, StageFrame, image, stage_frame, summarise};
use support::corpus::{Tally, Verdict, rows, shared};
use support::dicom::{Cr, cr, element, element_header, item, part10};

fn read(bytes: Vec<u8>) -> Result<Instance, overread::error::Error> {
    Instance::read(&Bytes::from(bytes), &Limits::default())
}

/// An object with `header` changed and `pixels` in place of its own.
fn with_pixels(image: &Cr, pixels: &[u8]) -> Vec<u8> {
    let dataset = [image.header(), element(0x7FE0, 0x0010, "OW", pixels)].concat();
    part10(&image.transfer_syntax, &image.sop_class, &image.sop_instance, &dataset)
}

#[track_caller]
fn check_refused(bytes: Vec<u8>, code: Code) {
    match read(bytes) {
        Ok(_) => panic!("accepted; expected {code}"),
        Err(error) => assert_eq!(error.code, code, "{error}"),
    }
}

#[test]
fn a_generated_chest_image_is_read_with_its_header() {
    let image = cr(96, 80, 7);
    let instance = read(image.bytes()).unwrap();
    let header = instance.header();
    assert_eq!((header.rows, header.columns, header.frames, header.samples), (96, 80, 1, 1));
    assert_eq!((header.bits_allocated, header.bits_stored, header.high_bit), (16, 12, 11));
    assert_eq!((header.sop_instance.as_str(), header.study.as_str()), (&*image.sop_instance, &*image.study));
    assert_eq!((&*header.modality, &*header.body_part, &*header.view_position), ("CR", "CHEST", "PA"));
    assert_eq!((header.age_years, header.sex), (Some(45.0), Some('F')));
    assert_eq!(header.patient_key.len(), 64);
    assert!(!header.patient_key.contains("GENERATED"));
}

#[test]
fn an_absurd_size_is_refused_before_anything_is_allocated() {
    let mut image = cr(8, 8, 1);
    (image.rows, image.columns) = (65535, 65535);
    check_refused(image.bytes(), Code::TooLarge);
}

#[test]
fn a_refusal_names_the_instance_whenever_its_uid_could_be_read() {
    let mut image = cr(8, 8, 2);
    image.sop_class = "1.2.840.10008.5.1.4.1.1.88.11".into();
    let bytes = image.bytes();
    let error = read(bytes.clone()).err().unwrap();
    assert_eq!(error.code, Code::UnsupportedSopClass);
    assert_eq!(error.subject, overread::error::Subject::Instance(image.sop_instance.clone()));
    let identity = identify(&Bytes::from(bytes), &Limits::default());
    assert_eq!(identity.study.unwrap().as_str(), image.study);
}

#[test]
fn nesting_65_deep_is_refused_and_64_is_read() {
    let nested = |depth: usize| {
        let mut image = cr(8, 8, 3);
        for _ in 0..depth {
            image.extra.extend(element_header(0x0040, 0xA730, "SQ", u32::MAX));
            image.extra.extend(item(0xE000, u32::MAX));
        }
        for _ in 0..depth {
            image.extra.extend(item(0xE00D, 0));
            image.extra.extend(item(0xE0DD, 0));
        }
        image.bytes()
    };
    assert!(read(nested(64)).is_ok());
    check_refused(nested(65), Code::TooLarge);
}

#[test]
fn a_length_beyond_the_file_is_refused_before_anything_is_allocated() {
    for (vr, length) in [("OB", 0xFFFF_FFF0), ("UN", 0x7FFF_FFFE), ("UT", 0xFFFF_FFFE)] {
        let mut image = cr(8, 8, 4);
        image.extra = element_header(0x0029, 0x1010, vr, length);
        check_refused(image.bytes(), Code::Truncated);
    }
}

/// Found by mutation: the parser left the odd byte unread, took what followed for lengths, and allocated gigabytes.
#[test]
fn a_number_of_odd_length_is_refused_before_the_parser_loses_its_place() {
    let mut image = cr(8, 8, 9);
    image.extra = [element_header(0x0028, 0x1100, "US", 1), vec![7]].concat();
    check_refused(image.bytes(), Code::HeaderImplausible);
    // Attributes that nobody reads never reach the parser.
    image.extra = [element_header(0x0029, 0x1100, "US", 1), vec![7]].concat();
    assert!(read(image.bytes()).is_ok());
}

/// An element in implicit VR, as it stands within a sequence of VR UN.
fn implicit(group: u16, number: u16, value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    [&group.to_le_bytes()[..], &number.to_le_bytes(), &length, value].concat()
}

/// A sequence of one item, written as UN of undefined length (CP-246), as archives do that do not know the tag.
fn unknown_sequence(group: u16, number: u16, content: &[u8]) -> Vec<u8> {
    let start = [element_header(group, number, "UN", u32::MAX), item(0xE000, u32::MAX)].concat();
    [&start[..], content, &item(0xE00D, 0), &item(0xE0DD, 0)].concat()
}

/// Found by mutation: the parser read such items as explicit VR and allocated what their text said as lengths.
#[test]
fn a_sequence_of_unknown_vr_is_read_as_what_it_is() {
    let mut image = cr(8, 8, 10);
    let words = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let table = [implicit(0x0028, 0x3002, &words(&[3, 0, 16])), implicit(0x0028, 0x3006, &words(&[9, 8, 7]))].concat();
    image.extra = unknown_sequence(0x0028, 0x3010, &table);
    let instance = read(image.bytes()).unwrap();
    let Voi::Lut(lut) = instance.voi(0).unwrap() else { panic!("the VOI LUT is gone") };
    assert_eq!((lut.first, lut.bits, lut.entries), (0, 16, vec![9, 8, 7]));

    let nested = [element_header(0x5200, 0x9229, "SQ", u32::MAX), item(0xE000, u32::MAX)].concat();
    let end = [item(0xE00D, 0), item(0xE0DD, 0)].concat();
    image.extra = [nested, unknown_sequence(0x0028, 0x9145, &implicit(0x0028, 0x1053, b"2 ")), end].concat();
    check_refused(image.bytes(), Code::HeaderImplausible);
}

#[test]
fn a_deflate_bomb_costs_no_more_than_the_limit() {
    use std::io::Write;
    let image = cr(8, 8, 5);
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflate.write_all(&image.header()).unwrap();
    deflate.write_all(&element_header(0x7FE0, 0x0010, "OW", 512 << 20)).unwrap();
    for _ in 0..512 {
        deflate.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = part10("1.2.840.10008.1.2.1.99", &image.sop_class, &image.sop_instance, &deflate.finish().unwrap());
    assert!(bomb.len() < 1 << 20);
    check_refused(bomb, Code::TooLarge);
}

#[test]
fn too_few_pixels_are_refused_never_filled_up() {
    let image = cr(8, 8, 6);
    check_refused(with_pixels(&image, &[0; 126]), Code::Truncated);
    check_refused(with_pixels(&image, &[]), Code::NoPixelData);
}

#[test]
fn every_cut_of_a_file_is_a_code() {
    let whole = cr(8, 8, 8).bytes();
    for length in 0..whole.len() {
        let error = read(whole[..length].to_vec()).err();
        assert!(error.is_some(), "cut after {length} of {} bytes was accepted", whole.len());
    }
}

/// The corpus' verdict words, and the codes here that say the same.
fn codes_of(verdict: &str) -> &'static [Code] {
    use Code::{
        DecodeFailed, HeaderImplausible, NoPixelData, NotDicom, PixelLayoutInvalid, TooLarge, Truncated,
        UnsupportedSopClass, UnsupportedTransferSyntax,
    };
    match verdict {
        "not_dicom" => &[NotDicom],
        "truncated" => &[Truncated],
        "bad_length" => &[Truncated, HeaderImplausible],
        "too_deep" | "inflate_limit" | "absurd_size" => &[TooLarge],
        "bad_header" | "invalid_uid" => &[HeaderImplausible],
        "inconsistent_header" => &[HeaderImplausible, PixelLayoutInvalid],
        "unsupported_bits" => &[PixelLayoutInvalid],
        "unsupported_sop_class" => &[UnsupportedSopClass],
        "not_analysed" => &[UnsupportedSopClass, NoPixelData],
        "unsupported_transfer_syntax" => &[UnsupportedTransferSyntax],
        "no_pixel_data" => &[NoPixelData],
        "bad_encapsulation" => &[PixelLayoutInvalid, Truncated],
        "decode_failed" => &[DecodeFailed],
        other => panic!("the corpus has a new verdict: {other}"),
    }
}

/// Most memory that this process has held, as the kernel counts it.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// Reads all frames through all three stages.
fn look_at(bytes: Vec<u8>) -> Result<String, overread::error::Error> {
    let instance = read(bytes)?;
    let stored = summarise(
        (0..instance.header().frames).map(|i| stage_frame(&Decoder::in_process(), &instance, Stage::Stored, i)),
    )?;
    if instance.header().photometric.is_monochrome() {
        let modality = stage_frame(&Decoder::in_process(), &instance, Stage::Modality, 0)?;
        let StageFrame::Numbers(values) = modality else { panic!("modality values are numbers") };
        assert!(values.iter().all(|v| v.is_finite()), "a modality value is not finite");
        let image = image(&Decoder::in_process(), &instance, 0)?;
        assert!(image.values.iter().all(|v| (0.0..=1.0).contains(v)), "a display value is outside 0 to 1");
    }
    stage_frame(&Decoder::in_process(), &instance, Stage::Display, 0)?;
    Ok(stored.sha256)
}

#[test]
fn malformed_files_get_the_verdict_that_the_corpus_gives_them() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let folder = shared.join("dicom/malformed");
    let mut tally = Tally::default();
    for row in rows(&folder.join("malformed.csv")) {
        let bytes = std::fs::read(folder.join(&row["path"])).unwrap();
        let verdicts = || row["also_ok"].split(';').chain([&*row["expect"]]).filter(|word| !word.is_empty());
        let may_read = verdicts().any(|word| word.starts_with("ok"));
        let verdict = match look_at(bytes) {
            Ok(sha256) if may_read && (row["stored_sha256"].is_empty() || row["stored_sha256"] == sha256) => {
                Verdict::Right
            }
            Ok(_) if may_read => Verdict::Wrong("read to other values than it holds".into()),
            Ok(_) => Verdict::Wrong(format!("read; expected {}", row["expect"])),
            Err(error)
                if verdicts()
                    .filter(|word| !word.starts_with("ok"))
                    .any(|word| codes_of(word).contains(&error.code)) =>
            {
                Verdict::Refused
            }
            Err(error) => Verdict::Wrong(format!("{error}; expected {} {}", row["expect"], row["also_ok"])),
        };
        tally.add(&row["expect"], &row["path"], verdict);
    }
    tally.finish();
    // The largest: the 256 MiB inflate limit, in vectors that double, in two tests at a time. A file among these asks for 8 GiB, another inflates to 1.1.
    let peak = peak_memory_bytes();
    assert!(peak < 3 << 29, "{peak} bytes at the peak");
}

/// The picture that a model would see of the first frame.
fn picture(bytes: Vec<u8>) -> Result<Image, overread::error::Error> {
    image(&Decoder::in_process(), &read(bytes)?, 0)
}

/// Small steps from real files: any byte may be wrong, any byte may be the last.
#[test]
fn cut_and_mutated_radiographs_end_in_a_value_or_a_code() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let mut tally = Tally::default();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for entry in std::fs::read_dir(shared.join("dicom/corpus/cr_dx")).unwrap() {
        let whole = std::fs::read(entry.unwrap().path()).unwrap();
        // Big files cost a decode a try; what matters is in headers and at the start of codestreams.
        let tries = if whole.len() > 400_000 { 2 } else { 24 };
        for _ in 0..tries {
            let length = next(whole.len());
            let cut = picture(whole[..length].to_vec());
            let verdict = match cut {
                Ok(_) => Verdict::Wrong(format!("read although cut after {length} of {} bytes", whole.len())),
                Err(_) => Verdict::Refused,
            };
            tally.add("cut", "cr_dx", verdict);
            let mut mutated = whole.clone();
            let reach = if next(2) == 0 { whole.len() } else { whole.len().min(4096) };
            for _ in 0..1 + next(8) {
                mutated[next(reach)] = next(256) as u8;
            }
            tally.add("mutated", "cr_dx", if picture(mutated).is_ok() { Verdict::Right } else { Verdict::Refused });
        }
    }
    tally.finish();
}
