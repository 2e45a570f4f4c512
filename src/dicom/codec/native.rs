//! Uncompressed frames: in Pixel Data itself, one to a fragment, or deflated (PS3.5 section 8, A.4.11, A.4.13).
use crate::error::{Code, Error, Result};

use super::{Codec, Frame, Request, Samples};
use crate::dicom::part10::inflate_capped;
use crate::dicom::{Photometric, layout};

pub(super) struct Native;
pub(super) struct Deflated;

impl Codec for Native {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        unpack(request, request.bytes)
    }
}

impl Codec for Deflated {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        // A frame that inflates to more than its size is hostile: one even byte of padding is all that may follow.
        let expected = layout::frame_bits(request.header).div_ceil(8) + 1;
        let reader = flate2::read::DeflateDecoder::new(request.bytes);
        let bytes = inflate_capped(reader, expected.min(request.inflate_bytes_max))?;
        unpack(request, &bytes)
    }
}

/// Frame of a 1-bit image that starts `offset` bits into `bytes`, lowest bit first.
pub(super) fn bits(bytes: &[u8], offset: usize, count: usize) -> Result<Frame> {
    let bit = |at: usize| bytes.get(at / 8).map(|byte| u32::from(byte >> (at % 8) & 1));
    let samples = (offset..offset + count).map(bit).collect::<Option<Vec<u32>>>().ok_or_else(short)?;
    Ok(Frame { samples: Samples::Integers(samples), right_aligned: false, is_rgb: false })
}

fn short() -> Error {
    Error::new(Code::Truncated, "the frame holds fewer bytes than its size asks for")
}

fn unpack(request: &Request<'_>, bytes: &[u8]) -> Result<Frame> {
    let header = request.header;
    if header.bits_allocated == 1 {
        return bits(bytes, 0, header.frame_pixels());
    }
    let needed = (layout::frame_bits(header) / 8) as usize;
    let bytes = bytes.get(..needed).ok_or_else(short)?;
    let samples = match (header.bits_allocated, request.big_endian) {
        (8, _) => bytes.iter().map(|byte| u32::from(*byte)).collect(),
        (16, false) => cells(bytes, |cell| u32::from(u16::from_le_bytes(cell))),
        (16, true) => cells(bytes, |cell| u32::from(u16::from_be_bytes(cell))),
        (32, false) => cells(bytes, u32::from_le_bytes),
        (32, true) => cells(bytes, u32::from_be_bytes),
        _ => return Err(Error::new(Code::PixelLayoutInvalid, "no such Bits Allocated is read here")),
    };
    let samples = match header.photometric {
        Photometric::YbrFull422 | Photometric::YbrPartial422 => upsample_422(&samples),
        _ if header.samples == 3 && header.planar => interleave(&samples),
        _ => samples,
    };
    Ok(Frame { samples: Samples::Integers(samples), right_aligned: false, is_rgb: false })
}

fn cells<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).filter_map(|cell| cell.try_into().ok()).map(value).collect()
}

/// Float and Double Float Pixel Data (PS3.3 C.7.6.24, .25).
pub(super) fn floats(bytes: &[u8], double: bool, big_endian: bool) -> Frame {
    let values = match (double, big_endian) {
        (false, false) => cells(bytes, |cell| f64::from(f32::from_le_bytes(cell))),
        (false, true) => cells(bytes, |cell| f64::from(f32::from_be_bytes(cell))),
        (true, false) => cells(bytes, f64::from_le_bytes),
        (true, true) => cells(bytes, f64::from_be_bytes),
    };
    Frame { samples: Samples::Floats(values), right_aligned: true, is_rgb: false }
}

/// Y1 Y2 Cb Cr for each two pixels (PS3.3 C.7.6.3.1.2, YBR_FULL_422), chroma repeated.
fn upsample_422(samples: &[u32]) -> Vec<u32> {
    samples.chunks_exact(4).flat_map(|s| [s[0], s[2], s[3], s[1], s[2], s[3]]).collect()
}

/// Planes to pixels (Planar Configuration 1).
pub(super) fn interleave(samples: &[u32]) -> Vec<u32> {
    let plane = samples.len() / 3;
    (0..plane).flat_map(|i| [samples[i], samples[plane + i], samples[2 * plane + i]]).collect()
}
