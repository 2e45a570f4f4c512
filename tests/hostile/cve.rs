//! Classes of vulnerabilities that DICOM readers have had, by name: each with an input made for it.
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use overread::dicom::{Decoder, Instance, Limits};
use overread::error::Code;
use overread::pixel::{Stage, stage_frame};

use crate::support::dicom::{cr, element, element_header, item, part10};
use crate::{check_refused, read};

fn word(number: u16, value: u16) -> Vec<u8> {
    element(0x0028, number, "US", &value.to_le_bytes())
}

/// An image without the attributes that say its size: they are put in by `layout`.
fn sized(layout: &[Vec<u8>], pixels: &[u8]) -> Vec<u8> {
    let uid = |group, number, text: &str| element(group, number, "UI", text.as_bytes());
    let dataset = [
        uid(0x0008, 0x0016, "1.2.840.10008.5.1.4.1.1.7"),
        uid(0x0008, 0x0018, "2.25.1"),
        uid(0x0020, 0x000D, "2.25.2"),
        uid(0x0020, 0x000E, "2.25.3"),
        layout.concat(),
        element(0x7FE0, 0x0010, "OW", pixels),
    ];
    part10("1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.7", "2.25.1", &dataset.concat())
}

fn layout(photometric: &str, samples: u16, [rows, columns]: [u16; 2], bits: u16, frames: &str) -> Vec<Vec<u8>> {
    vec![
        word(0x0002, samples),
        element(0x0028, 0x0004, "CS", photometric.as_bytes()),
        element(0x0028, 0x0008, "IS", frames.as_bytes()),
        word(0x0010, rows),
        word(0x0011, columns),
        word(0x0100, bits),
        word(0x0101, bits),
        word(0x0102, bits - 1),
        word(0x0103, 0),
    ]
}

/// Products of these overflow 32 bits, or 64, and would come out small.
#[test]
fn integer_overflow_of_dimensions() {
    let size = [65_535, 65_535];
    for frames in ["1", "65537", "2147483647", "4294967295", "4294967296", "9223372036854775807"] {
        for (photometric, samples, bits) in [("MONOCHROME2", 1, 32), ("RGB", 3, 32), ("YBR_FULL_422", 3, 8)] {
            check_refused(sized(&layout(photometric, samples, size, bits, frames), &[0; 64]), Code::TooLarge);
        }
    }
    // 65536 x 65536 in 16 bits each; 2^32 frames of one pixel.
    check_refused(sized(&layout("MONOCHROME2", 1, [0, 0], 16, "1"), &[0; 64]), Code::HeaderImplausible);
    check_refused(sized(&layout("MONOCHROME2", 1, [1, 1], 8, "4294967296"), &[0; 64]), Code::TooLarge);
    check_refused(
        sized(&layout("MONOCHROME2", 1, [1, 1], 8, "999999999999999999999"), &[0; 64]),
        Code::HeaderImplausible,
    );
}

/// Indices beyond the table, tables shorter than they say, segments that refer to themselves or grow without end.
#[test]
fn palette_decoding() {
    let words = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let palette = |descriptor: [u16; 3], data_number: u16, data: &[u8]| {
        let mut attributes = layout("PALETTE COLOR", 1, [2, 2], 8, "1");
        for channel in 0..3 {
            attributes.push(element(0x0028, 0x1101 + channel, "US", &words(&descriptor)));
        }
        for channel in 0..3 {
            attributes.push(element(0x0028, data_number + channel, "OW", data));
        }
        let instance = read(sized(&attributes, &[0, 1, 128, 255])).unwrap();
        stage_frame(&Decoder::in_process(), &instance, Stage::Display, 0).map(|_| ()).map_err(|error| error.code)
    };
    let damaged = Err(Code::HeaderImplausible);
    let (plain, segmented) = (0x1201, 0x1221);
    assert_eq!(palette([2, 0, 16], plain, &words(&[7, 8])), Ok(()), "indices beyond the end take the last entry");
    assert_eq!(palette([0, 0, 16], plain, &words(&[7, 8])), Ok(()), "0 is 65,536 entries; two are there");
    assert_eq!(palette([65_535, 65_535, 8], plain, &[1, 2]), Ok(()), "a first index beyond all pixels");
    assert_eq!(palette([4, 0, 40], plain, &words(&[1; 4])), damaged, "entries of 40 bits");
    assert_eq!(palette([4, 0, 16], plain, &[]), damaged, "no entries");
    for segments in [
        vec![1, 5, 9],                  // linear, with nothing to start from
        vec![0, 9, 1],                  // discrete, longer than its data
        vec![0, 1, 7, 2, 1, 0, 0xFFFF], // indirect, far beyond the end
        vec![0, 1, 7, 2, 1, 3, 0],      // indirect, to itself
        vec![0, 1, 7, 2, 0xFFFF, 0, 0], // indirect, 65,535 segments
        vec![3, 1, 1],                  // no such operation
        [vec![0, 1, 7], [1, 0xFFFF, 9].repeat(64)].concat(),
    ] {
        assert_eq!(palette([256, 0, 16], segmented, &words(&segments)), damaged, "{segments:?}");
    }
}

#[test]
fn inflation_bomb() {
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

/// A length is never allocated before it is known to lie within the file, whatever the VR makes of it.
#[test]
fn allocation_by_a_length_of_any_vr() {
    for vr in ["OB", "OD", "OF", "OL", "OV", "OW", "SV", "UC", "UN", "UR", "UT", "UV"] {
        for length in [0x7FFF_FFFE, 0xFFFF_FFF0, 0xFFFF_FFFE] {
            for tag in [(0x0029, 0x1010), (0x0028, 0x1201), (0x0008, 0x0008)] {
                let mut image = cr(8, 8, 4);
                image.extra = element_header(tag.0, tag.1, vr, length);
                check_refused(image.bytes(), Code::Truncated);
            }
        }
    }
    // Numbers whose bytes do not add up, in an attribute that is read.
    let mut image = cr(8, 8, 4);
    for vr in ["US", "SS", "UL", "SL", "FL", "FD", "AT", "OB", "OD", "UN", "SQ"] {
        image.extra = element(0x0028, 0x0120, vr, &[]);
        assert!(read(image.bytes()).is_ok(), "an empty {vr}");
        image.extra = [element_header(0x0028, 0x0120, vr, 3), vec![1, 2, 3]].concat();
        // As a sequence it would be one without items; anything else is no number, and so no padding.
        let padding = read(image.bytes()).map(|instance| instance.padding()).map_err(|error| error.code);
        assert!(matches!(padding, Ok(None) | Err(Code::Truncated | Code::HeaderImplausible)), "{vr}: {padding:?}");
    }
}

/// Every cut of the file meta group, every length in it beyond the file, and its own group length.
#[test]
fn file_meta_group_out_of_bounds() {
    let whole = cr(8, 8, 6).bytes();
    for length in 128..400 {
        assert!(read(whole[..length].to_vec()).is_err(), "cut after {length} bytes");
    }
    let dataset = [cr(8, 8, 6).header(), element(0x7FE0, 0x0010, "OW", &[0; 128])].concat();
    let syntax = element(0x0002, 0x0010, "UI", b"1.2.840.10008.1.2.1");
    let file = |meta: &[u8]| [&[0; 128][..], b"DICM", meta, &dataset].concat();
    for length in [0, 1, 4999, 0x7FFF_FFFF, u32::MAX] {
        let group_length = element(0x0002, 0x0000, "UL", &length.to_le_bytes());
        assert!(read(file(&[group_length, syntax.clone()].concat())).is_ok(), "the group is read by its tags");
    }
    for (vr, length) in [("OB", u32::MAX), ("OB", 0xFFFF_FFFE), ("UN", 0x8000_0000), ("UI", 0xFFFF)] {
        let broken = [element_header(0x0002, 0x0001, vr, length), syntax.clone()].concat();
        check_refused(file(&broken), Code::Truncated);
    }
    check_refused(file(b"\x02\0\x01\0ZZ\xFF\xFF"), Code::HeaderImplausible);
}

/// Deeper than any parser's stack, in every way of nesting.
#[test]
fn nesting_without_end() {
    for (sequence, levels) in [(u32::MAX, 100_000), (0xFFFF_0000, 3)] {
        let mut image = cr(8, 8, 7);
        for _ in 0..levels {
            image.extra.extend(element_header(0x0040, 0xA730, "SQ", sequence));
            image.extra.extend(item(0xE000, sequence));
        }
        let error = read(image.bytes()).err().map(|error| error.code);
        assert!(matches!(error, Some(Code::TooLarge | Code::Truncated)), "{error:?}");
    }
}

/// The offset tables of encapsulated pixel data may point anywhere.
#[test]
fn offset_tables_that_point_anywhere() {
    let mut image = cr(8, 8, 8);
    image.transfer_syntax = "1.2.840.10008.1.2.1.98".into();
    let frame: Vec<u8> = image.pixels.iter().flat_map(|v| v.to_le_bytes()).collect();
    let two_frames = element(0x0028, 0x0008, "IS", b"2");
    let fragment = |bytes: &[u8]| [item(0xE000, bytes.len() as u32), bytes.to_vec()].concat();
    let read_both = |table: &[u8], extended: Vec<u8>| {
        let pixels =
            [fragment(table), fragment(&frame[..64]), fragment(&frame[64..]), fragment(&frame), item(0xE0DD, 0)];
        let header = [image.header(), two_frames.clone(), extended, element_header(0x7FE0, 0x0010, "OB", u32::MAX)];
        let dataset = [header.concat(), pixels.concat()].concat();
        let bytes = Bytes::from(part10(&image.transfer_syntax, &image.sop_class, &image.sop_instance, &dataset));
        let instance = Instance::read(&bytes, &Limits::default())?;
        let first = stage_frame(&Decoder::in_process(), &instance, Stage::Stored, 0)?;
        Ok::<bool, overread::error::Error>(first == stage_frame(&Decoder::in_process(), &instance, Stage::Stored, 1)?)
    };
    let longs = |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let very_longs = |values: &[u64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    assert_eq!(read_both(&longs(&[0, 144]), Vec::new()), Ok(true), "a table that is right is used");
    for table in
        [vec![], vec![0], vec![0, 1], vec![0, u32::MAX], vec![144, 0], vec![0, 0], vec![0, 72, 144], vec![u32::MAX; 2]]
    {
        let code = read_both(&longs(&table), Vec::new()).map_err(|error| error.code);
        assert_eq!(code, Err(Code::PixelLayoutInvalid), "{table:?}");
    }
    for (offsets, lengths) in
        [([0, u64::MAX], [128, 128]), ([0, 144], [u64::MAX, u64::MAX]), ([0, 1 << 63], [1 << 63, 0])]
    {
        let extended = [
            element(0x7FE0, 0x0001, "OV", &very_longs(&offsets)),
            element(0x7FE0, 0x0002, "OV", &very_longs(&lengths)),
        ];
        let code = read_both(&[], extended.concat()).map_err(|error| error.code);
        assert_eq!(code, Err(Code::PixelLayoutInvalid), "{offsets:?} {lengths:?}");
    }
}

/// `overread analyze` over a folder, with everything that it writes below `home`.
fn analyze(home: &Path, folder: &Path) -> serde_json::Value {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let mut command = Command::new(env!("CARGO_BIN_EXE_overread"));
    command
        .env("OVERREAD_MODELS", models)
        .env_remove("OVERREAD_SERVER")
        .env("TMPDIR", home.join("tmp"))
        .current_dir(home);
    command.arg("analyze").arg(folder).args(["--format", "json", "--out"]).arg(home.join("out"));
    let output = command.output().expect("the binary runs");
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said()))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A UID names files and folders in the service; one that is a path is refused, and nothing is written where it points.
#[test]
fn path_traversal_by_uid() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("in");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(home.path().join("tmp")).unwrap();
    let absolute = home.path().join("escape").to_string_lossy().into_owned();
    let evil = ["../../escape", "..\\..\\escape", "1.2/../../escape", "escape\0.2", &absolute, &"1.".repeat(100)];
    for (index, uid) in evil.iter().enumerate() {
        for (name, put) in [("instance", 0), ("study", 1), ("series", 2)] {
            let mut image = cr(90, 70, 900 + index as u64);
            *[&mut image.sop_instance, &mut image.study, &mut image.series][put] = (*uid).to_owned();
            std::fs::write(folder.join(format!("{name}-{index}.dcm")), image.bytes()).unwrap();
        }
    }
    let report = analyze(home.path(), &folder);
    let lines = report["instances"].as_array().unwrap();
    assert_eq!(lines.len(), evil.len() * 3);
    for line in lines {
        assert_eq!((&line["receipt"], &line["code"]), (&"refused".into(), &"HEADER_IMPLAUSIBLE".into()), "{line}");
    }
    let written: Vec<PathBuf> = files(home.path()).into_iter().filter(|path| !path.starts_with(&folder)).collect();
    assert!(written.iter().all(|path| !path.to_string_lossy().contains("escape")), "{written:?}");
}

/// Files are found by walking a folder; what a DICOMDIR refers to is never opened.
#[test]
fn path_traversal_by_dicomdir() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("in");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(home.path().join("tmp")).unwrap();
    let secret = cr(90, 70, 950);
    std::fs::write(home.path().join("SECRET"), secret.bytes()).unwrap();
    let directory = "1.2.840.10008.1.3.10";
    let record = |path: &str| {
        let content = element(0x0004, 0x1500, "CS", path.as_bytes());
        [item(0xE000, content.len() as u32), content].concat()
    };
    let records =
        [record("..\\SECRET"), record("../SECRET"), record(&home.path().join("SECRET").to_string_lossy())].concat();
    let dataset = [element_header(0x0004, 0x1220, "SQ", records.len() as u32), records].concat();
    std::fs::write(folder.join("DICOMDIR"), part10("1.2.840.10008.1.2.1", directory, "2.25.9", &dataset)).unwrap();
    let report = analyze(home.path(), &folder);
    let lines = report["instances"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{report}");
    assert_eq!((&lines[0]["receipt"], &lines[0]["code"]), (&"refused".into(), &"UNSUPPORTED_SOP_CLASS".into()));
    assert!(!report.to_string().contains(&secret.sop_instance));
}
