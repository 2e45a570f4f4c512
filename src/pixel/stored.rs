//! Stored values: what the cells of Pixel Data hold once unused bits and sign are dealt with (PS3.3 C.7.6.3.1).
use crate::dicom::{Cell, Decoder, Header, Instance, Photometric, Samples};
use crate::error::{Code, Error, Result};

/// One expression for whole-number samples, whatever the width of their cells, and one for floats.
macro_rules! on_samples {
    ($samples:expr, $cells:ident => $integers:expr, $values:ident => $floats:expr) => {
        match $samples {
            $crate::dicom::Samples::Bits8($cells) => $integers,
            $crate::dicom::Samples::Bits16($cells) => $integers,
            $crate::dicom::Samples::Bits32($cells) => $integers,
            $crate::dicom::Samples::Floats($values) => $floats,
        }
    };
}
pub(super) use on_samples;

/// One frame of stored values, row-major; three-sample pixels as R, G, B.
///
/// Integers stay in their cells and are read through [`StoredFrame::code`] and [`StoredFrame::value`] only, which drop the bits
/// outside Bits Stored and High Bit: a pass over the frame less than cleaning the cells first.
pub(super) struct StoredFrame {
    pub(super) samples: Samples,
    bits: Bits,
}

/// Where the bits of a value lie in its cell.
#[derive(Clone, Copy)]
pub(super) struct Bits {
    stored: u16,
    shift: u32,
    mask: u32,
    /// The sign bit of a code, 0 if unsigned.
    sign: u32,
}

impl Bits {
    fn of(header: &Header, right_aligned: bool) -> Bits {
        if header.bits_stored > 32 {
            // Double Float Pixel Data: its values are no codes.
            return Bits::new(32, 0, false);
        }
        let shift = if right_aligned { 0 } else { header.high_bit + 1 - header.bits_stored };
        Bits::new(header.bits_stored, shift, header.signed)
    }

    fn new(stored: u16, shift: u16, signed: bool) -> Bits {
        let mask = u32::MAX >> (32 - u32::from(stored));
        let sign = if signed { 1 << (stored - 1) } else { 0 };
        Bits { stored, shift: u32::from(shift), mask, sign }
    }

    /// The Bits Stored bits of a cell.
    #[inline(always)]
    pub(super) fn code<C: Cell>(self, cell: C) -> u32 {
        cell.code() >> self.shift & self.mask
    }

    /// The value that a code stands for: sign-extended from Bits Stored if Pixel Representation is 1.
    #[inline(always)]
    pub(super) fn value(self, code: u32) -> i64 {
        i64::from(code ^ self.sign) - i64::from(self.sign)
    }

    /// The value plus [`Bits::bias`], for codes of at most 31 bits: an operation less than the value.
    #[inline(always)]
    pub(super) fn biased_value(self, code: u32) -> i32 {
        (code ^ self.sign).cast_signed()
    }

    /// What `biased_value` adds.
    pub(super) fn bias(self) -> i32 {
        self.sign.cast_signed()
    }
}

impl StoredFrame {
    /// Decodes a frame. Errors: those of `Decoder::frame`; `PixelLayoutInvalid` if nobody can tell which colours it holds.
    pub(super) fn decode(decoder: &Decoder, instance: &Instance, frame_index: u32) -> Result<StoredFrame> {
        let header = instance.header();
        let frame = decoder.frame(instance, frame_index)?;
        let bits = Bits::of(header, frame.right_aligned);
        let states_transform = matches!(header.photometric, Photometric::YbrIct | Photometric::YbrRct);
        if states_transform && !frame.is_rgb {
            let detail = "the header states a colour transform, the codestream has none";
            return Err(Error::new(Code::PixelLayoutInvalid, detail));
        }
        let mut samples = frame.samples;
        if header.samples == 3 && !frame.is_rgb && is_ybr_full(header) {
            samples =
                on_samples!(samples, cells => ybr_to_rgb(cells.into_vec(), bits), floats => Samples::Floats(floats));
        }
        Ok(StoredFrame { samples, bits })
    }

    /// A frame of these cells, for tests.
    #[cfg(test)]
    pub(super) fn made(samples: Samples, stored: u16, shift: u16, signed: bool) -> StoredFrame {
        StoredFrame { samples, bits: Bits::new(stored, shift, signed) }
    }

    /// How to read cells in a loop.
    pub(super) fn bits(&self) -> Bits {
        self.bits
    }

    /// The code of a cell.
    pub(super) fn code<C: Cell>(&self, cell: C) -> u32 {
        self.bits.code(cell)
    }

    /// The value of a code.
    pub(super) fn value(&self, code: u32) -> i64 {
        self.bits.value(code)
    }

    /// How many codes there can be, if few enough for tables over all of them; `None` for floats and deep integers.
    pub(super) fn codes(&self) -> Option<u32> {
        let is_integer = !matches!(self.samples, Samples::Floats(_));
        (is_integer && self.bits.stored <= 16).then(|| 1 << self.bits.stored)
    }
}

fn is_ybr_full(header: &Header) -> bool {
    matches!(header.photometric, Photometric::YbrFull | Photometric::YbrFull422)
}

/// PS3.3 C.7.6.3.1.2, in float64, rounded half up and clipped.
fn ybr_to_rgb<C: Cell>(mut samples: Vec<C>, bits: Bits) -> Samples {
    let (half, top) = (f64::from(1u32 << (bits.stored - 1)), f64::from(bits.mask));
    let round = |x: f64| C::of(((x + 0.5).floor().clamp(0.0, top) as u32) << bits.shift);
    for pixel in samples.chunks_exact_mut(3) {
        let [y, cb, cr] = [(0, 0.0), (1, half), (2, half)].map(|(at, zero)| f64::from(bits.code(pixel[at])) - zero);
        pixel[0] = round(y + 1.402 * cr);
        pixel[1] = round(y - 0.344136 * cb - 0.714136 * cr);
        pixel[2] = round(y + 1.772 * cb);
    }
    C::samples(samples)
}
