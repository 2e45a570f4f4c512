//! Made images through codecs, of every depth and sign: coded here by the libraries' encoders, or elsewhere by those of OpenJPH and
//! libjxl (`codestreams/make.py`). What comes back is what was put in, or with loss what is near it, by two decoders where two are.
use std::io::Read as _;

use overread::dicom::{Decoders, Instance, Limits, Samples};

use crate::encode::{self, Plain};
use crate::made::{Made, PLAIN, noise, stored_values, value};

const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
const JPEG_EXTENDED: &str = "1.2.840.10008.1.2.4.51";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_LS_NEAR: &str = "1.2.840.10008.1.2.4.81";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
const JPEG_2000_LOSSY: &str = "1.2.840.10008.1.2.4.91";

const ROWS: u16 = 20;
const COLUMNS: u16 = 24;

/// Samples and sign of the images.
const KINDS: [(u16, bool); 3] = [(1, false), (1, true), (3, false)];

/// Codes of `stored` bits: flat parts, steps and noise, so that every mode of a coder is used.
fn drawn(noise: &mut impl Iterator<Item = u32>, stored: u16, samples: u16) -> Vec<u32> {
    let mask = u32::MAX >> (32 - u32::from(stored));
    let cell = |at: usize, bits: u32| match at / 160 % 3 {
        0 => mask / 3,
        1 => (at as u32).wrapping_mul(mask / 64 + 1) & mask,
        _ => bits & mask,
    };
    let count = usize::from(ROWS) * usize::from(COLUMNS) * usize::from(samples);
    (0..count).map(|at| cell(at, noise.next().unwrap())).collect()
}

/// An image whose codes are those of `cells`.
fn made(syntax: &'static str, [allocated, stored]: [u16; 2], (samples, signed): (u16, bool), cells: Vec<u32>) -> Made {
    let photometric = if samples == 1 { "MONOCHROME2" } else { "RGB" };
    let high_bit = stored - 1;
    Made {
        syntax,
        photometric,
        rows: ROWS,
        columns: COLUMNS,
        samples,
        allocated,
        stored,
        high_bit,
        signed,
        cells,
        ..PLAIN
    }
}

impl Made {
    fn coded(self, encode: impl Fn(&Plain<'_>) -> Vec<u8>) -> Made {
        let Made { rows, columns, samples, stored: bits, signed, ref cells, .. } = self;
        let codestream = encode(&Plain { rows, columns, samples, bits, signed, cells });
        Made { codestream, ..self }
    }

    fn name(&self) -> String {
        let Made { syntax, photometric, allocated, stored, signed, .. } = self;
        format!("{syntax}: {photometric}, {stored} of {allocated}, signed {signed}")
    }

    /// The largest difference of what is read to what was put in.
    fn error(&self) -> i64 {
        let want = self.cells.iter().map(|cell| value(*cell, self));
        let got = stored_values(self.bytes()).unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        assert_eq!(got.len(), self.cells.len(), "{}", self.name());
        want.zip(got).map(|(want, got)| (want - got).abs()).max().unwrap()
    }

    /// The same by the decoder in Rust, of codes; `None` if there is none for this kind.
    fn error_of_second(&self) -> Option<u32> {
        let instance = Instance::read(&self.bytes().into(), &Limits::default()).unwrap();
        let frame = instance.frame_with(0, Decoders::Rust).ok()?;
        let got = codes(&frame.samples, self.stored);
        assert_eq!(got.len(), self.cells.len(), "{}", self.name());
        self.cells.iter().zip(got).map(|(want, got)| want.abs_diff(got)).max()
    }
}

fn codes(samples: &Samples, stored: u16) -> Vec<u32> {
    let mask = u32::MAX >> (32 - u32::from(stored));
    match samples {
        Samples::Bits8(cells) => cells.iter().map(|cell| u32::from(*cell) & mask).collect(),
        Samples::Bits16(cells) => cells.iter().map(|cell| u32::from(*cell) & mask).collect(),
        Samples::Bits32(cells) => cells.iter().map(|cell| cell & mask).collect(),
        Samples::Floats(_) => panic!("codestreams hold whole numbers"),
    }
}

/// Bits Allocated 8 and 16 with each Bits Stored from `least`.
fn depths(least: u16) -> impl Iterator<Item = [u16; 2]> {
    [8u16, 16].into_iter().flat_map(move |allocated| (least..=allocated).map(move |stored| [allocated, stored]))
}

#[test]
fn without_loss_every_depth_and_sign_comes_back_by_two_decoders() {
    let mut noise = noise();
    let (mut images, mut by_both) = (0, 0);
    for (syntax, least) in [(JPEG_LOSSLESS, 2), (JPEG_LS, 2), (JPEG_2000, 1)] {
        let deep = (17..=24).map(|stored| [32, stored]).filter(|_| syntax == JPEG_2000);
        for (depth, kind) in depths(least).chain(deep).flat_map(|depth| KINDS.map(|kind| (depth, kind))) {
            let image = made(syntax, depth, kind, drawn(&mut noise, depth[1], kind.0)).coded(|plain| match syntax {
                JPEG_LOSSLESS => encode::jpeg_lossless(plain),
                JPEG_LS => encode::jpeg_ls(plain, 0),
                _ => encode::jpeg_2000(plain, false),
            });
            assert_eq!(image.error(), 0, "{}", image.name());
            images += 1;
            if let Some(error) = image.error_of_second() {
                assert_eq!(error, 0, "{}, the decoder in Rust", image.name());
                by_both += 1;
            }
        }
    }
    println!("{images} images of three codecs came back, {by_both} of them from a second decoder, too");
    assert_eq!((images, by_both), (3 * (7 + 15 + 7 + 15 + 8 + 16 + 8), 168));
}

/// Codes of a slope that keeps away from the ends of its range, which a lossy codestream deeper than Bits Stored could leave.
fn sloped(stored: u16, samples: u16) -> Vec<u32> {
    let mask = u32::MAX >> (32 - u32::from(stored));
    let margin = if stored < 4 { 0 } else { mask / 16 + 2 };
    let pixels = (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| u32::from(row + column)));
    pixels.flat_map(|at| std::iter::repeat_n(margin + (mask - 2 * margin) * at / 44, samples.into())).collect()
}

/// ISO/IEC 14495-1 4.1: no value is off by more than NEAR.
#[test]
fn near_lossless_no_value_of_any_depth_is_off_by_more_than_was_said() {
    let mut noise = noise();
    for (depth, kind) in depths(2).flat_map(|depth| KINDS.map(|kind| (depth, kind))) {
        let near = if depth[1] < 6 { 1 } else { 3 };
        // Signed codes are coded as they stand: an image that keeps away from where they wrap, for which 2 bits leave no room.
        let half = 1 << (depth[1] - 1);
        if kind.1 && depth[1] == 2 {
            continue;
        }
        let cells = drawn(&mut noise, depth[1], kind.0);
        let cells = cells.into_iter().map(|code| if kind.1 { code % half / 2 + near as u32 } else { code });
        let image = made(JPEG_LS_NEAR, depth, kind, cells.collect()).coded(|plain| encode::jpeg_ls(plain, near));
        assert!(image.error() <= near.into(), "{}: {}", image.name(), image.error());
        let second = image.error_of_second().unwrap_or_else(|| panic!("{}, the decoder in Rust", image.name()));
        assert!(second <= near as u32, "{}, the decoder in Rust: {second}", image.name());
    }
}

/// At the best quality, what comes back is near what was put in at every depth. The codestream of JPEG has 8 or 12 bits whatever Bits
/// Stored is, that of JPEG 2000 as many as are stored.
#[test]
fn with_loss_every_depth_comes_back_nearly_by_two_decoders() {
    let (mut images, mut by_both) = (0, 0);
    for (depth, kind) in depths(1).flat_map(|depth| KINDS.map(|kind| (depth, kind))) {
        let [allocated, stored] = depth;
        // Signed codes wrap in the middle of their range: half of it.
        let cells: Vec<u32> = sloped(stored, kind.0).iter().map(|code| if kind.1 { code / 2 } else { *code }).collect();
        let mut coded =
            vec![made(JPEG_2000_LOSSY, depth, kind, cells.clone()).coded(|plain| encode::jpeg_2000(plain, true))];
        if (allocated == 8 || stored > 8) && (4..=12).contains(&stored) {
            let syntax = if stored <= 8 { JPEG_BASELINE } else { JPEG_EXTENDED };
            let photometric = if kind.0 == 3 { "YBR_FULL" } else { "MONOCHROME2" };
            coded.push(Made { photometric, ..made(syntax, depth, kind, cells).coded(encode::jpeg_lossy) });
        }
        for image in coded {
            let limit = if image.syntax == JPEG_2000_LOSSY { 1 } else { 3 };
            // Of YCbCr the second decoder's samples are not yet colours.
            let second = if image.photometric == "YBR_FULL" { None } else { image.error_of_second() };
            assert!(image.error() <= limit, "{}: off by {}", image.name(), image.error());
            assert!(second.is_none_or(|error| i64::from(error) <= limit), "{}: {second:?}", image.name());
            images += 1;
            by_both += usize::from(second.is_some());
        }
    }
    println!("{images} images came back from lossy coding, {by_both} of them from a second decoder, too");
}

/// What `codestreams/make.py` wrote of an image.
#[derive(serde::Deserialize)]
struct Record {
    syntax: String,
    photometric: String,
    bits: u16,
    signed: bool,
    lossless: bool,
    coded: usize,
}

fn records() -> Vec<(Record, Made)> {
    let mut bytes = Vec::new();
    let packed = &include_bytes!("codestreams/made.bin")[..];
    flate2::read::DeflateDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let (mut rest, mut out) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let line = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let record: Record = serde_json::from_slice(&rest[..line]).unwrap();
        let samples = if record.photometric == "MONOCHROME2" { 1 } else { 3 };
        let (codestream, after) = rest[line + 1..].split_at(record.coded);
        let (codes, after) = after.split_at(usize::from(ROWS * COLUMNS * samples) * 2);
        rest = after;
        let cells = codes.chunks_exact(2).map(|code| u16::from_le_bytes([code[0], code[1]]).into()).collect();
        let syntax = overread::dicom::transfer_syntax(&record.syntax).unwrap().uid;
        let photometric: &'static str = record.photometric.clone().leak();
        let image = made(syntax, [16, record.bits], (samples, record.signed), cells);
        out.push((record, Made { photometric, codestream: codestream.to_vec(), ..image }));
    }
    out
}

/// HTJ2K and JPEG XL against the decoders of those who made the encoders: equal without loss; with loss, where right decoders round
/// differently, within a step, or two of 65,536.
#[test]
fn high_throughput_jpeg_2000_and_jpeg_xl_of_every_depth_are_read_as_their_own_decoders_read_them() {
    let mut images = 0;
    for (record, image) in records() {
        for allocated in if record.bits <= 8 { &[8, 16][..] } else { &[16] } {
            let image = Made { allocated: *allocated, ..image.clone() };
            let tolerance = if record.lossless { 0 } else { 1 + i64::from(record.bits / 16) };
            assert!(image.error() <= tolerance, "{}: off by {}", image.name(), image.error());
            images += 1;
        }
    }
    println!("{images} images of HTJ2K and JPEG XL came back");
}
