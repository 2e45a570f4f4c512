//! Images made here, of every depth and in every way of storing that an encoder can be had for: their values are known because
//! they were put in. And images of kinds that are refused.
use std::io::Write as _;

use overread::dicom::{Decoder, Instance};
use overread::error::{Code, Result};
use overread::pixel::{Stage, StageFrame, stage_frame};

use crate::support::dicom::part10;
use crate::support::page::check_section;

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const ENCAPSULATED: &str = "1.2.840.10008.1.2.1.98";
const DEFLATED_FRAME: &str = "1.2.840.10008.1.2.8.1";
const RLE: &str = "1.2.840.10008.1.2.5";

const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// A single-frame image.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) syntax: &'static str,
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    pub(crate) photometric: &'static str,
    pub(crate) samples: u16,
    pub(crate) allocated: u16,
    pub(crate) stored: u16,
    pub(crate) high_bit: u16,
    pub(crate) signed: bool,
    /// 0x0010 Pixel Data, 0x0008 Float Pixel Data.
    pub(crate) element: u16,
    /// One number a sample, as it stands in its cell, unused bits included.
    pub(crate) cells: Vec<u32>,
    /// Pixel Data is this codestream, and `cells` are what it is to give.
    pub(crate) codestream: Vec<u8>,
}

pub(crate) const PLAIN: Made = Made {
    syntax: EXPLICIT,
    rows: 3,
    columns: 5,
    photometric: "MONOCHROME2",
    samples: 1,
    allocated: 16,
    stored: 12,
    high_bit: 11,
    signed: false,
    element: 0x0010,
    cells: Vec::new(),
    codestream: Vec::new(),
};

/// One element; `value` is made of words in little endian if the VR is one of words.
fn element(syntax: &str, tag: (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if !value.len().is_multiple_of(2) {
        value.push(if matches!(vr, "UI" | "OB") { 0 } else { b' ' });
    }
    let big = syntax == BIG_ENDIAN;
    if big && matches!(vr, "US" | "OW") {
        value.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    }
    let word = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let long = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let length = value.len() as u32;
    let header = match (syntax == IMPLICIT, matches!(vr, "OB" | "OW" | "OF")) {
        (true, _) => long(length).to_vec(),
        (false, true) => [vr.as_bytes(), &[0, 0], &long(length)].concat(),
        (false, false) => [vr.as_bytes(), &word(length as u16)].concat(),
    };
    [&word(tag.0)[..], &word(tag.1), &header, &value].concat()
}

impl Made {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = |tag, vr: &str, value: &str| element(self.syntax, tag, vr, value.as_bytes());
        let word = |number: u16, value: u16| element(self.syntax, (0x0028, number), "US", &value.to_le_bytes());
        let dataset = [
            text((0x0008, 0x0016), "UI", SECONDARY_CAPTURE),
            text((0x0008, 0x0018), "UI", "2.25.1"),
            text((0x0020, 0x000D), "UI", "2.25.2"),
            text((0x0020, 0x000E), "UI", "2.25.3"),
            word(0x0002, self.samples),
            text((0x0028, 0x0004), "CS", self.photometric),
            word(0x0006, 0),
            word(0x0010, self.rows),
            word(0x0011, self.columns),
            word(0x0100, self.allocated),
            word(0x0101, self.stored),
            word(0x0102, self.high_bit),
            word(0x0103, u16::from(self.signed)),
            self.pixels(),
        ]
        .concat();
        let dataset = if self.syntax == DEFLATED { deflated(&dataset) } else { dataset };
        part10(self.syntax, SECONDARY_CAPTURE, "2.25.1", &dataset)
    }

    fn pixels(&self) -> Vec<u8> {
        let size = usize::from(self.allocated.div_ceil(8)).clamp(1, 4);
        let little: Vec<u8> = self.cells.iter().flat_map(|cell| cell.to_le_bytes()[..size].to_vec()).collect();
        let tag = (0x7FE0, self.element);
        match self.syntax {
            ENCAPSULATED => fragments(&little),
            DEFLATED_FRAME => fragments(&deflated(&little)),
            RLE => fragments(&run_lengths(&self.cells, size)),
            _ if !self.codestream.is_empty() => fragments(&self.codestream),
            BIG_ENDIAN if size == 4 => {
                // Whole samples are swapped, so the words of `element` stand the other way round.
                let words = self.cells.iter().flat_map(|cell| cell.rotate_left(16).to_le_bytes());
                element(self.syntax, tag, "OW", &words.collect::<Vec<u8>>())
            }
            _ if self.element == 0x0008 => element(self.syntax, tag, "OF", &little),
            _ => element(self.syntax, tag, if size == 1 { "OB" } else { "OW" }, &little),
        }
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(bytes).unwrap();
    deflate.finish().unwrap()
}

/// Encapsulated Pixel Data of one frame, with an empty offset table.
fn fragments(frame: &[u8]) -> Vec<u8> {
    let padded = frame.len().next_multiple_of(2);
    let mut out = [&[0xE0, 0x7F, 0x10, 0x00][..], b"OB", &[0, 0], &u32::MAX.to_le_bytes()].concat();
    out.extend([0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0x00, 0xE0]);
    out.extend((padded as u32).to_le_bytes());
    out.extend(frame);
    out.resize(out.len() + padded - frame.len(), 0);
    out.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    out
}

/// RLE Lossless of one sample a pixel (PS3.5 annex G): a segment a byte, the highest first, all literal runs.
fn run_lengths(cells: &[u32], size: usize) -> Vec<u8> {
    let mut header = vec![0u8; 64];
    header[0] = size as u8;
    let mut segments = Vec::new();
    for index in 0..size {
        header[4 + 4 * index..8 + 4 * index].copy_from_slice(&((64 + segments.len()) as u32).to_le_bytes());
        let plane = cells.iter().map(|cell| cell.to_le_bytes()[size - 1 - index]);
        segments.push(cells.len() as u8 - 1);
        segments.extend(plane);
        segments.resize(segments.len().next_multiple_of(2), 0);
    }
    [header, segments].concat()
}

pub(crate) fn stored_values(bytes: Vec<u8>) -> Result<Vec<i64>> {
    let instance = Instance::read(&bytes.into(), &overread::dicom::Limits::default())?;
    match stage_frame(&Decoder::in_process(), &instance, Stage::Stored, 0)? {
        StageFrame::Integers(values) => Ok(values),
        StageFrame::Numbers(_) | StageFrame::Bytes(_) => panic!("stored values of integers are integers"),
    }
}

/// Numbers that fill 32 bits and repeat from run to run.
pub(crate) fn noise() -> impl Iterator<Item = u32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as u32
    })
}

#[test]
fn every_depth_sign_and_high_bit_is_read_whatever_stands_in_the_unused_bits() {
    let mut noise = noise();
    let mut images = 0;
    for syntax in [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, ENCAPSULATED, DEFLATED_FRAME, RLE] {
        for (allocated, stored) in [8u16, 16, 32].into_iter().flat_map(|a| (1..=a).map(move |s| (a, s))) {
            for (high_bit, signed) in
                [(stored - 1, false), (stored - 1, true), (allocated - 1, false), (allocated - 1, true)]
            {
                let cells: Vec<u32> = noise.by_ref().take(15).map(|bits| bits >> (32 - allocated)).collect();
                let made = Made { syntax, allocated, stored, high_bit, signed, cells, ..PLAIN };
                let want: Vec<i64> = made.cells.iter().map(|cell| value(*cell, &made)).collect();
                let got = stored_values(made.bytes());
                assert_eq!(got, Ok(want), "{syntax}: {stored} of {allocated}, high bit {high_bit}, signed {signed}");
                images += 1;
            }
        }
    }
    assert_eq!(images, 7 * (8 + 16 + 32) * 4);
}

/// PS3.3 C.7.6.3.1, done here with division where the service shifts.
pub(crate) fn value(cell: u32, made: &Made) -> i64 {
    let below = 2i64.pow(u32::from(made.high_bit + 1 - made.stored));
    let range = 2i64.pow(u32::from(made.stored));
    let code = (i64::from(cell) / below).rem_euclid(range);
    if made.signed && code >= range / 2 { code - range } else { code }
}

/// Kinds of pixels that are refused whatever they hold: what the published page says, and an image of it.
fn refused_kinds() -> Vec<(&'static str, Made)> {
    let rgb = Made { photometric: "RGB", samples: 3, allocated: 8, stored: 8, high_bit: 7, ..PLAIN };
    let of_bits = |allocated, stored, high_bit| Made { allocated, stored, high_bit, ..PLAIN };
    let of_syntax = |syntax| Made { syntax, ..PLAIN };
    let colour = |photometric| Made { photometric, ..rgb.clone() };
    vec![
        ("Bits Allocated 4", of_bits(4, 4, 3)),
        ("Bits Allocated 12", of_bits(12, 12, 11)),
        ("Bits Allocated 24", of_bits(24, 24, 23)),
        ("Bits Allocated 64 in Pixel Data", of_bits(64, 64, 63)),
        ("Bits Stored 0", of_bits(16, 0, 0)),
        ("Bits Stored above Bits Allocated", of_bits(16, 17, 16)),
        ("High Bit below Bits Stored - 1", of_bits(16, 12, 10)),
        ("High Bit beyond Bits Allocated", of_bits(16, 12, 16)),
        ("two samples a pixel", Made { samples: 2, ..PLAIN }),
        ("four samples a pixel", Made { samples: 4, ..rgb.clone() }),
        ("one sample a pixel of RGB", Made { samples: 1, ..rgb.clone() }),
        ("three samples a pixel of MONOCHROME2", Made { samples: 3, ..PLAIN }),
        ("YBR_PARTIAL_422", colour("YBR_PARTIAL_422")),
        ("YBR_PARTIAL_420", colour("YBR_PARTIAL_420")),
        ("HSV, ARGB, CMYK (retired)", colour("HSV")),
        ("YBR_RCT or YBR_ICT, but no JPEG 2000", colour("YBR_RCT")),
        ("signed colour", Made { signed: true, ..rgb.clone() }),
        ("colour in Float Pixel Data", Made { element: 0x0008, allocated: 32, ..rgb.clone() }),
        ("JPEG 2000 Part 2 (.4.92, .4.93)", of_syntax("1.2.840.10008.1.2.4.92")),
        ("JPIP (.4.94, .4.95, .4.204, .4.205)", of_syntax("1.2.840.10008.1.2.4.94")),
        ("MPEG-2 (.4.100, .4.101)", of_syntax("1.2.840.10008.1.2.4.100")),
        ("MPEG-4 AVC (.4.102 to .4.106)", of_syntax("1.2.840.10008.1.2.4.102")),
        ("HEVC (.4.107, .4.108)", of_syntax("1.2.840.10008.1.2.4.107")),
        ("SMPTE ST 2110 (.7.1 to .7.3)", of_syntax("1.2.840.10008.1.2.7.1")),
        ("private transfer syntaxes", of_syntax("1.2.840.113619.5.2")),
    ]
}

#[test]
fn kinds_of_pixels_that_are_not_read_are_refused_and_the_page_says_how() {
    let mut table = String::from("| kind of pixels | answer |\n|---|---|\n");
    for (kind, mut made) in refused_kinds() {
        made.cells = vec![1; 15 * usize::from(made.samples)];
        let error = stored_values(made.bytes()).expect_err(kind);
        assert!(matches!(error.code, Code::PixelLayoutInvalid | Code::UnsupportedTransferSyntax), "{kind}: {error}");
        table += &format!("| {kind} | `{}` |\n", error.code.name());
    }
    check_section("docs/pixels.md", "refused", &table);
}
