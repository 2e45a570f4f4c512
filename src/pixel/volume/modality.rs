//! Modality values of a slice as f32, written straight into the slice's place.
//!
//! The same numbers as those of `value`, rounded to f32: all whole numbers of up to 24 bits, so all HU, are exact.
use multiversion::multiversion;

use crate::dicom::{Cell, Decoder, Instance, Lut, Modality, Samples};
use crate::error::{Code, Error, Result, Subject};
use crate::pixel::stored::{Bits, StoredFrame, on_samples};
use crate::pixel::value::modality_value;

/// Where a slice is padding, if anywhere.
pub(super) type Padding = Option<Vec<bool>>;

/// Decodes a frame into `out`, rows x columns of the instance, which is grey.
///
/// Errors: those of decoding; `HeaderImplausible`.
pub(super) fn fill(decoder: &Decoder, instance: &Instance, frame_index: u32, out: &mut [f32]) -> Result<Padding> {
    let modality = instance.modality(frame_index)?;
    let frame = StoredFrame::decode(decoder, instance, frame_index)?;
    if frame.samples.len() != out.len() {
        return Err(Error::internal("a frame has another number of pixels than its header"));
    }
    if let Samples::Floats(values) = &frame.samples {
        return Ok(fill_floats(values, out));
    }
    let padding = instance.padding().unwrap_or(NO_PADDING);
    let line = match &modality {
        Modality::Identity => Line { slope: 1.0, intercept: 0.0, padding },
        Modality::Rescale { slope, intercept } => Line { slope: *slope, intercept: *intercept, padding },
        Modality::Lut(lut) => {
            on_samples!(&frame.samples, cells => fill_by_table(&frame, lut, cells, out), _floats => {});
            return Ok(mask(&frame, padding));
        }
    };
    if !line.fits() {
        let detail = "leads to values beyond all measure";
        return Err(Error::new(Code::HeaderImplausible, detail).about(Subject::Tag(0x0028, 0x1053)));
    }
    let has_padding = match &frame.samples {
        Samples::Bits8(cells) => fill_8(line, frame.bits(), cells, out),
        Samples::Bits16(cells) => fill_16(line, frame.bits(), cells, out),
        Samples::Bits32(cells) => fill_32(line, frame.bits(), cells, out),
        Samples::Floats(_) => false,
    };
    Ok(if has_padding { mask(&frame, padding) } else { None })
}

/// Values of no image.
const NO_PADDING: (i64, i64) = (i64::MAX, i64::MIN);

/// A rescale, and the stored values that are padding: from .0 to .1, both included.
#[derive(Clone, Copy)]
struct Line {
    slope: f64,
    intercept: f64,
    padding: (i64, i64),
}

impl Line {
    /// Whether every value is finite as f32.
    fn fits(self) -> bool {
        self.slope.abs() * f64::from(u32::MAX) + self.intercept.abs() < f64::from(f32::MAX)
    }

    /// Whether any cell is padding. Straight-line code: codes of up to 16 bits become vectors.
    #[inline(always)]
    fn fill<C: Cell>(self, bits: Bits, cells: &[C], out: &mut [f32]) -> bool {
        let clamp = |v: i64| v.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        let (low, high) = (clamp(self.padding.0), clamp(self.padding.1));
        let stored = |cell: &C| bits.biased_value(bits.code(*cell)) - bits.bias();
        let mut any = false;
        if let Some((slope, intercept)) = self.whole() {
            for (value, cell) in out.iter_mut().zip(cells) {
                let stored = stored(cell);
                any |= stored >= low && stored <= high;
                *value = (stored * slope + intercept) as f32;
            }
            return any;
        }
        for (value, cell) in out.iter_mut().zip(cells) {
            let stored = stored(cell);
            any |= stored >= low && stored <= high;
            *value = (f64::from(stored) * self.slope + self.intercept + 0.0) as f32;
        }
        any
    }

    /// Slope and intercept as whole numbers, if they are such, and so small that no value of 17 bits overflows: nearly all of CT. The
    /// values are then the same, since each is rounded once.
    fn whole(self) -> Option<(i32, i32)> {
        let fits = |number: f64, most: f64| (number.fract() == 0.0 && number.abs() <= most).then_some(number as i32);
        Some((fits(self.slope, 4096.0)?, fits(self.intercept, f64::from(1 << 24))?))
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn fill_8(line: Line, bits: Bits, cells: &[u8], out: &mut [f32]) -> bool {
    line.fill(bits, cells, out)
}

#[multiversion(targets("x86_64+avx2"))]
fn fill_16(line: Line, bits: Bits, cells: &[u16], out: &mut [f32]) -> bool {
    line.fill(bits, cells, out)
}

/// Unsigned values of 32 bits need i64.
fn fill_32(line: Line, bits: Bits, cells: &[u32], out: &mut [f32]) -> bool {
    let (low, high) = line.padding;
    let mut any = false;
    for (value, cell) in out.iter_mut().zip(cells) {
        let stored = bits.value(bits.code(*cell));
        any |= stored >= low && stored <= high;
        *value = (stored as f64 * line.slope + line.intercept + 0.0) as f32;
    }
    any
}

fn fill_by_table<C: Cell>(frame: &StoredFrame, lut: &Lut, cells: &[C], out: &mut [f32]) {
    let modality = Modality::Lut(lut.clone());
    for (value, cell) in out.iter_mut().zip(cells) {
        *value = modality_value(&modality, frame.value(frame.code(*cell))) as f32;
    }
}

/// What is no number, or too large to be one here, is padding.
fn fill_floats(values: &[f64], out: &mut [f32]) -> Padding {
    let mut any = false;
    let mut mask = vec![false; values.len()];
    for ((value, place), pads) in values.iter().zip(out).zip(&mut mask) {
        let narrow = (value + 0.0) as f32;
        *pads = !narrow.is_finite();
        *place = if *pads { 0.0 } else { narrow };
        any |= *pads;
    }
    any.then_some(mask)
}

fn mask(frame: &StoredFrame, (low, high): (i64, i64)) -> Padding {
    let mask: Vec<bool> = on_samples!(&frame.samples,
        cells => cells.iter().map(|cell| (low..=high).contains(&frame.value(frame.code(*cell)))).collect(),
        _floats => return None
    );
    mask.contains(&true).then_some(mask)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// `value` computes in f64 (PS3.3 C.11.1): the same, rounded once.
        #[test]
        fn a_filled_slice_has_the_values_of_the_standard(
            cells in prop::collection::vec(any::<u16>(), 1..200),
            (stored, shift, signed) in (2u16..=16).prop_flat_map(|b| (Just(b), 0..=16 - b, any::<bool>())),
            (slope, intercept) in (-20.0..20.0f64, -3000.0..3000.0f64),
            whole in any::<bool>(),
            (low, more) in (-40_000i64..70_000, 0i64..500),
        ) {
            let frame = StoredFrame::made(Samples::Bits16(cells.clone().into()), stored, shift, signed);
            let (slope, intercept) = if whole { (slope.round(), intercept.round()) } else { (slope, intercept) };
            let line = Line { slope, intercept, padding: (low, low + more) };
            let mut out = vec![0.0; cells.len()];
            let any = fill_16(line, frame.bits(), &cells, &mut out);
            let values = cells.iter().map(|cell| frame.value(frame.code(*cell)));
            prop_assert_eq!(any, values.clone().any(|v| (low..=low + more).contains(&v)));
            let modality = Modality::Rescale { slope, intercept };
            let want: Vec<f32> = values.map(|v| modality_value(&modality, v) as f32).collect();
            prop_assert_eq!(out, want);
        }
    }

    #[test]
    fn what_is_no_number_is_padding() {
        let mut out = [9.0; 4];
        let mask = fill_floats(&[1.5, f64::NAN, f64::INFINITY, -0.0], &mut out);
        assert_eq!(mask, Some(vec![false, true, true, false]));
        assert_eq!(out.map(f32::to_bits), [1.5f32, 0.0, 0.0, 0.0].map(f32::to_bits));
    }
}
