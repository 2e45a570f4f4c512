//! Promise: no input takes the process down or makes it invent pixels; each gets a value or a code.
mod support;

use bytes::Bytes;
use overread::dicom::{Instance, Limits, identify};
use overread::error::Code;
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
