//! Promise: no input takes the process down or makes it invent pixels; each gets a value or a code.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]
#[path = "../support/mod.rs"]
mod support;

mod cve;
mod malformed;

use bytes::Bytes;
use overread::dicom::{Decoder, Instance, Limits, Modality, Voi, identify};
use overread::error::Code;
use overread::pixel::{Stage, StageFrame, stage_frame};
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

/// Found by mutation: a parser left the odd byte unread, took what followed for lengths, and allocated gigabytes.
#[test]
fn a_number_of_odd_length_is_no_number_and_leads_nobody_astray() {
    let image = cr(8, 8, 9);
    let odd_rows = [element_header(0x0028, 0x0010, "US", 1), vec![7]].concat();
    let header = image.header();
    let rows = element(0x0028, 0x0010, "US", &8u16.to_le_bytes());
    let at = header.windows(rows.len()).position(|window| window == rows).unwrap();
    let broken = [&header[..at], &odd_rows, &header[at + rows.len()..]].concat();
    let pixels = element(0x7FE0, 0x0010, "OW", &[0; 128]);
    let bytes = part10(&image.transfer_syntax, &image.sop_class, &image.sop_instance, &[broken, pixels].concat());
    check_refused(bytes, Code::HeaderImplausible);
    // Attributes that nobody reads cannot be wrong.
    for tag in [(0x0029, 0x1100), (0x0028, 0x1100)] {
        let mut image = image.clone();
        image.extra = [element_header(tag.0, tag.1, "US", 1), vec![7]].concat();
        assert!(read(image.bytes()).is_ok());
    }
}

#[test]
fn an_attribute_with_two_values_has_none() {
    let mut image = cr(8, 8, 12);
    image.extra = element(0x0028, 0x0010, "US", &16u16.to_le_bytes());
    check_refused(image.bytes(), Code::HeaderImplausible);
    image.extra = element(0x0028, 0x0010, "US", &8u16.to_le_bytes());
    assert!(read(image.bytes()).is_ok(), "the same value twice is the same value");
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

    // Within sequences of known VR, as archives write that know one tag and not the other.
    let nested = [element_header(0x5200, 0x9229, "SQ", u32::MAX), item(0xE000, u32::MAX)].concat();
    let end = [item(0xE00D, 0), item(0xE0DD, 0)].concat();
    let rescale = [implicit(0x0028, 0x1052, b"-5"), implicit(0x0028, 0x1053, b"2 ")].concat();
    image.extra = [nested, unknown_sequence(0x0028, 0x9145, &rescale), end].concat();
    let modality = read(image.bytes()).unwrap().modality(0).unwrap();
    assert_eq!(modality, Modality::Rescale { slope: 2.0, intercept: -5.0 });
}

/// Some writers state a length and write the delimiter, too, within the length or behind it.
#[test]
fn a_delimiter_that_repeats_what_a_length_has_told_is_no_contradiction() {
    let table =
        [element(0x0028, 0x3002, "US", &[3, 0, 0, 0, 16, 0]), element(0x0028, 0x3006, "US", &[9, 0, 8, 0, 7, 0])];
    let table = table.concat();
    let sequence =
        |length: usize, content: &[u8]| [&element_header(0x0028, 0x3010, "SQ", length as u32), content].concat();
    let one_item = [item(0xE000, table.len() as u32), table.clone()].concat();
    let within = [one_item.clone(), item(0xE0DD, 0)].concat();
    let item_within = [item(0xE000, table.len() as u32 + 8), table.clone(), item(0xE00D, 0)].concat();
    let item_behind = [one_item.clone(), item(0xE00D, 0)].concat();
    let mut image = cr(8, 8, 13);
    for extra in [
        sequence(one_item.len(), &one_item),
        sequence(within.len(), &within),
        sequence(item_within.len(), &item_within),
        sequence(item_behind.len(), &item_behind),
        [sequence(one_item.len(), &one_item), item(0xE0DD, 0)].concat(),
    ] {
        image.extra = extra;
        let Voi::Lut(lut) = read(image.bytes()).unwrap().voi(0).unwrap() else { panic!("the VOI LUT is gone") };
        assert_eq!(lut.entries, [9, 8, 7]);
    }
    // In the middle it would cut off what the length says is there.
    let early = [item(0xE000, table.len() as u32 + 8), item(0xE00D, 0), table].concat();
    image.extra = sequence(early.len(), &early);
    check_refused(image.bytes(), Code::HeaderImplausible);
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

/// What is looked at with `inspect`, and neither stored nor analysed; what stays refused there, too.
#[test]
fn an_image_of_no_study_can_be_looked_at_and_one_with_broken_names_cannot() {
    let image = cr(8, 8, 14);
    let without = |tags: &[(u16, u16)], put: Vec<u8>| {
        let mut header = image.header();
        for (group, number) in tags {
            let head = [group.to_le_bytes(), number.to_le_bytes(), *b"UI"].concat();
            let at = header.windows(6).position(|window| window == head).unwrap();
            let length = usize::from(u16::from_le_bytes([header[at + 6], header[at + 7]]));
            header.drain(at..at + 8 + length);
        }
        let pixels: Vec<u8> = image.pixels.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dataset = [put, header, element(0x7FE0, 0x0010, "OW", &pixels)].concat();
        Bytes::from(part10(&image.transfer_syntax, &image.sop_class, &image.sop_instance, &dataset))
    };
    let uid = |group, number, text: &str| element(group, number, "UI", text.as_bytes());
    let (instance, study, series) = ((0x0008, 0x0018), (0x0020, 0x000D), (0x0020, 0x000E));
    let long = "1.".repeat(40) + "1";
    let shown = [
        without(&[study, series], Vec::new()),
        without(&[instance, study, series], Vec::new()),
        without(&[study], uid(0x0020, 0x000D, "")),
        without(&[instance], uid(0x0008, 0x0018, &long)),
    ];
    for bytes in shown {
        let viewed = Instance::view(&bytes, &Limits::default()).unwrap();
        assert_eq!(viewed.refusal.map(|refusal| refusal.code), Some(Code::HeaderImplausible));
        let StageFrame::Integers(values) =
            stage_frame(&Decoder::in_process(), &viewed.instance, Stage::Stored, 0).unwrap()
        else {
            panic!("stored values are integers");
        };
        assert!(values.iter().zip(&image.pixels).all(|(a, b)| *a == i64::from(*b)));
        check_refused(bytes.to_vec(), Code::HeaderImplausible);
    }
    let refused = [
        without(&[study], Vec::new()),
        without(&[series], Vec::new()),
        without(&[instance], Vec::new()),
        without(&[instance], uid(0x0008, 0x0018, "")),
        without(&[instance], uid(0x0008, 0x0018, "../../etc/passwd")),
        without(&[study], uid(0x0020, 0x000D, "no.uid")),
    ];
    for bytes in refused {
        let error = Instance::view(&bytes, &Limits::default()).err().map(|error| error.code);
        assert_eq!(error, Some(Code::HeaderImplausible));
    }
}
