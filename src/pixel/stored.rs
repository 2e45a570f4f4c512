//! Stored values: what the cells of Pixel Data hold once unused bits and sign are dealt with (PS3.3 C.7.6.3.1).
use crate::dicom::{Header, Instance, Photometric, Samples};
use crate::error::Result;

/// One frame of stored values, row-major; three-sample pixels as R, G, B.
///
/// Invariant: bits outside Bits Stored and High Bit are gone; integers are kept as codes of Bits Stored bits and read as
/// values through [`StoredFrame::value`].
pub(super) struct StoredFrame {
    pub(super) samples: Samples,
    bits: u16,
    signed: bool,
}

impl StoredFrame {
    /// Decodes a frame. Errors: those of `Instance::frame`.
    pub(super) fn decode(instance: &Instance, frame_index: u32) -> Result<StoredFrame> {
        let header = instance.header();
        let frame = instance.frame(frame_index)?;
        let mut samples = frame.samples;
        if let Samples::Integers(cells) = &mut samples {
            let shift = if frame.right_aligned { 0 } else { header.high_bit + 1 - header.bits_stored };
            let mask = mask(header.bits_stored);
            if shift > 0 || header.bits_stored < header.bits_allocated || frame.right_aligned {
                for cell in cells.iter_mut() {
                    *cell = *cell >> shift & mask;
                }
            }
            if header.samples == 3 && !frame.is_rgb && is_ybr_full(header) {
                ybr_to_rgb(cells, header.bits_stored);
            }
        }
        Ok(StoredFrame { samples, bits: header.bits_stored, signed: header.signed })
    }

    /// The value that a code stands for: sign-extended from Bits Stored if Pixel Representation is 1.
    pub(super) fn value(&self, code: u32) -> i64 {
        let value = i64::from(code);
        let is_negative = self.signed && code >> (self.bits - 1) & 1 == 1;
        if is_negative { value - (1i64 << self.bits) } else { value }
    }

    /// How many codes there can be, if few enough for tables over all of them; `None` for floats and deep integers.
    pub(super) fn codes(&self) -> Option<u32> {
        let is_integer = matches!(self.samples, Samples::Integers(_));
        (is_integer && self.bits <= 16).then(|| 1 << self.bits)
    }
}

fn mask(bits: u16) -> u32 {
    u32::MAX >> (32 - u32::from(bits))
}

fn is_ybr_full(header: &Header) -> bool {
    matches!(header.photometric, Photometric::YbrFull | Photometric::YbrFull422)
}

/// PS3.3 C.7.6.3.1.2, in float64, rounded half up and clipped.
fn ybr_to_rgb(samples: &mut [u32], bits: u16) {
    let (half, top) = (f64::from(1u32 << (bits - 1)), f64::from(mask(bits)));
    let round = |x: f64| (x + 0.5).floor().clamp(0.0, top) as u32;
    for pixel in samples.chunks_exact_mut(3) {
        let (y, cb, cr) = (f64::from(pixel[0]), f64::from(pixel[1]) - half, f64::from(pixel[2]) - half);
        pixel[0] = round(y + 1.402 * cr);
        pixel[1] = round(y - 0.344136 * cb - 0.714136 * cr);
        pixel[2] = round(y + 1.772 * cb);
    }
}
