//! Uncompressed frames: in Pixel Data itself, one to a fragment, or deflated (PS3.5 section 8, A.4.11, A.4.13).
use crate::error::{Code, Error, Result};

use bytemuck::Pod;
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use super::{Cell, Cells, Codec, Frame, Request, Samples};
use crate::dicom::Photometric;
use crate::dicom::layout::FrameHeader;

pub(super) struct Native;
pub(super) struct Deflated;

impl Codec for Native {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        unpack(request, request.bytes)
    }
}

impl Codec for Deflated {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        unpack(request, &inflate(request)?)
    }
}

/// A frame that inflates to more than its size is hostile: one even byte of padding is all that may follow.
fn inflate(request: &Request<'_>) -> Result<Vec<u8>> {
    let limit = (request.header.frame_bits().div_ceil(8) + 1).min(request.inflate_bytes_max) as usize;
    // Room for one byte too many tells a bomb from a frame. The pages are the system's until they are written.
    let mut out = Vec::with_capacity(limit + 1);
    let status = Decompress::new(false).decompress_vec(request.bytes, &mut out, FlushDecompress::Finish);
    match status {
        Ok(_) if out.len() > limit => {
            Err(Error::new(Code::TooLarge, format!("the frame inflates to more than {limit} bytes")))
        }
        Ok(Status::StreamEnd) => Ok(out),
        Ok(Status::Ok | Status::BufError) => Err(Error::new(Code::Truncated, "the deflated bytes end early")),
        Err(_) => Err(Error::new(Code::DecodeFailed, "the deflated bytes are damaged")),
    }
}

/// Frame of a 1-bit image that starts `offset` bits into `bytes`, lowest bit first.
pub(super) fn bits(bytes: &[u8], offset: usize, count: usize) -> Result<Frame> {
    let bit = |at: usize| bytes.get(at / 8).map(|byte| byte >> (at % 8) & 1);
    let samples = (offset..offset + count).map(bit).collect::<Option<Vec<u8>>>().ok_or_else(short)?;
    Ok(Frame { samples: u8::samples(samples), right_aligned: false, is_rgb: false })
}

fn short() -> Error {
    Error::new(Code::Truncated, "the frame holds fewer bytes than its size asks for")
}

fn unpack(request: &Request<'_>, bytes: &[u8]) -> Result<Frame> {
    let header = request.header;
    if header.bits_allocated == 1 {
        return bits(bytes, 0, header.frame_pixels());
    }
    let needed = (header.frame_bits() / 8) as usize;
    let bytes = bytes.get(..needed).ok_or_else(short)?;
    let samples = match (header.bits_allocated, request.big_endian) {
        (8, _) => arranged(header, bytes.to_vec()),
        (16, false) => arranged(header, cells(bytes, u16::from_le)),
        (16, true) => arranged(header, cells(bytes, u16::from_be)),
        (32, false) => arranged(header, cells(bytes, u32::from_le)),
        (32, true) => arranged(header, cells(bytes, u32::from_be)),
        _ => return Err(Error::new(Code::PixelLayoutInvalid, "no such Bits Allocated is read here")),
    };
    Ok(Frame { samples, right_aligned: false, is_rgb: false })
}

/// The frame where it lies, if its cells are in the machine's byte order and in the order of pixels. `bytes` are as many as its size
/// asks for. `None`: it must be unpacked.
pub(super) fn in_place(request: &Request<'_>, bytes: &Bytes) -> Option<Frame> {
    let header = request.header;
    let in_order = header.photometric != Photometric::YbrFull422 && !(header.samples == 3 && header.planar);
    let native_order = header.bits_allocated == 8 || request.big_endian == cfg!(target_endian = "big");
    if !in_order || !native_order {
        return None;
    }
    let samples = match header.bits_allocated {
        8 => Samples::Bits8(Cells::in_place(bytes)?),
        16 => Samples::Bits16(Cells::in_place(bytes)?),
        32 => Samples::Bits32(Cells::in_place(bytes)?),
        _ => return None,
    };
    Some(Frame { samples, right_aligned: false, is_rgb: false })
}

/// Cells in pixel order, whatever the order in which they are stored.
fn arranged<C: Cell>(header: &FrameHeader, cells: Vec<C>) -> Samples {
    C::samples(match header.photometric {
        Photometric::YbrFull422 => upsample_422(&cells),
        _ if header.samples == 3 && header.planar => interleave(&cells),
        _ => cells,
    })
}

/// One copy, and on the way the byte order: nothing to turn where the file's is the machine's.
pub(super) fn cells<T: Pod>(bytes: &[u8], ordered: impl Fn(T) -> T) -> Vec<T> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(cells) => cells.iter().map(|cell| ordered(*cell)).collect(),
        // Elements stand at even places, not always at those that cells of 4 and 8 bytes need.
        Err(_) => bytes.chunks_exact(size_of::<T>()).map(|cell| ordered(bytemuck::pod_read_unaligned(cell))).collect(),
    }
}

/// Float and Double Float Pixel Data (PS3.3 C.7.6.24, .25).
pub(super) fn floats(bytes: &[u8], double: bool, big_endian: bool) -> Frame {
    let values = match (double, big_endian) {
        (false, false) => cells(bytes, u32::from_le).into_iter().map(|bits| f64::from(f32::from_bits(bits))).collect(),
        (false, true) => cells(bytes, u32::from_be).into_iter().map(|bits| f64::from(f32::from_bits(bits))).collect(),
        (true, false) => cells(bytes, u64::from_le).into_iter().map(f64::from_bits).collect(),
        (true, true) => cells(bytes, u64::from_be).into_iter().map(f64::from_bits).collect(),
    };
    Frame { samples: Samples::Floats(values), right_aligned: true, is_rgb: false }
}

/// Y1 Y2 Cb Cr for each two pixels (PS3.3 C.7.6.3.1.2, YBR_FULL_422), chroma repeated.
fn upsample_422<C: Cell>(samples: &[C]) -> Vec<C> {
    samples.chunks_exact(4).flat_map(|s| [s[0], s[2], s[3], s[1], s[2], s[3]]).collect()
}

/// Planes to pixels (Planar Configuration 1).
pub(super) fn interleave<C: Cell>(samples: &[C]) -> Vec<C> {
    let plane = samples.len() / 3;
    (0..plane).flat_map(|i| [samples[i], samples[plane + i], samples[2 * plane + i]]).collect()
}
