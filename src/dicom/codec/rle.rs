//! RLE Lossless (PS3.5 annex G), ours because it must be strict: a segment gives exactly a plane of bytes or the frame is refused.
use crate::error::Result;

use super::{Cell, Codec, Frame, Request, damaged, native};

pub(super) struct Rle;

const HEADER_BYTES: usize = 64;

impl Codec for Rle {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let header = request.header;
        let one_bit = header.bits_allocated == 1;
        let sample_bytes = usize::from(header.bits_allocated.div_ceil(8));
        let plane = if one_bit { header.frame_pixels().div_ceil(8) } else { header.frame_pixels() };
        let segments = segments(request.bytes, sample_bytes * usize::from(header.samples))?;
        if one_bit {
            return native::bits(&unpack(segments[0], plane)?, 0, header.frame_pixels());
        }
        // A run of 128 takes two bytes: a shorter segment cannot fill its plane, and gets no memory for it.
        if segments.iter().any(|segment| segment.len() * 64 < plane) {
            return Err(damaged("an RLE segment ends early"));
        }
        let mut planes = segments.iter().map(|segment| unpack(segment, plane)).collect::<Result<Vec<_>>>()?;
        let samples = match (sample_bytes, &mut planes[..]) {
            (1, [grey]) => u8::samples(std::mem::take(grey)),
            // The usual radiograph, in one pass that the compiler vectorises.
            (2, [high, low]) => {
                u16::samples(high.iter().zip(&*low).map(|(high, low)| u16::from_be_bytes([*high, *low])).collect())
            }
            (1, planes) => u8::samples(gather(planes, 1)),
            (2, planes) => u16::samples(gather(planes, 2)),
            (_, planes) => u32::samples(gather(planes, sample_bytes)),
        };
        Ok(Frame { samples, right_aligned: false, is_rgb: false })
    }
}

/// Puts the planes of bytes together to pixels. Of each sample the most significant byte comes first (G.2).
fn gather<C: Cell>(planes: &[Vec<u8>], sample_bytes: usize) -> Vec<C> {
    let (count, plane) = (planes.len() / sample_bytes, planes[0].len());
    let mut cells = vec![C::default(); plane * count];
    for (index, bytes) in planes.iter().enumerate() {
        let (sample, shift) = (index / sample_bytes, 8 * (sample_bytes - 1 - index % sample_bytes));
        for (cell, byte) in cells.iter_mut().skip(sample).step_by(count).zip(bytes) {
            *cell = C::of(cell.code() | u32::from(*byte) << shift);
        }
    }
    cells
}

/// The segments by the header's offsets (G.5), which must ascend within the frame.
fn segments(bytes: &[u8], expected: usize) -> Result<Vec<&[u8]>> {
    let long = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let count = long(0).ok_or_else(|| damaged("the RLE header is cut"))?;
    if count != expected || count > 15 {
        return Err(damaged(format!("the RLE header has {count} segments; the image needs {expected}")));
    }
    let mut offsets: Vec<usize> = (1..=count).filter_map(|i| long(i * 4)).collect();
    offsets.push(bytes.len());
    let valid = offsets.len() == count + 1 && offsets[0] >= HEADER_BYTES && offsets.windows(2).all(|w| w[0] < w[1]);
    match valid {
        true => Ok(offsets.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()),
        false => Err(damaged("the RLE header points outside the frame")),
    }
}

/// Most runs are short: they are copied as a whole of this many bytes, and what is too much is overwritten by the next.
const CHUNK: usize = 16;

/// PackBits (G.3.1) of one segment; exactly `length` bytes come out.
fn unpack(mut segment: &[u8], length: usize) -> Result<Vec<u8>> {
    let early = || damaged("an RLE segment ends early");
    let mut out = vec![0; length + CHUNK];
    let mut at = 0;
    while at < length {
        let (&control, rest) = segment.split_first().ok_or_else(early)?;
        let (count, taken) = match control {
            0..=127 => (usize::from(control) + 1, usize::from(control) + 1),
            128 => (0, 0),
            129..=255 => (257 - usize::from(control), 1),
        };
        if at + count > length {
            return Err(damaged("an RLE segment holds more than a plane"));
        }
        let bytes = rest.get(..taken).ok_or_else(early)?;
        match (control, rest.first_chunk::<CHUNK>()) {
            (0..=127, Some(chunk)) if count <= CHUNK => out[at..at + CHUNK].copy_from_slice(chunk),
            (0..=127, _) => out[at..at + count].copy_from_slice(bytes),
            (128, _) => {}
            (129..=255, _) if count <= CHUNK => out[at..at + CHUNK].copy_from_slice(&[bytes[0]; CHUNK]),
            (129..=255, _) => out[at..at + count].fill(bytes[0]),
        }
        at += count;
        segment = &rest[taken..];
    }
    out.truncate(length);
    Ok(out)
}
