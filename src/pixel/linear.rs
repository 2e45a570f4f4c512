//! Display values where everything between cell and screen is one straight line: integers, a rescale, a linear window.
//!
//! That is nearly every CT, MR and radiograph. One pass from cells to values, in vectors, at the speed of the memory; the tables
//! of `image` give the same values within the rounding of f32 and take what does not fit here.
#![allow(unsafe_code)]
use std::mem::MaybeUninit;

use multiversion::multiversion;

use crate::dicom::{Cell, Function, Modality, Samples, Voi};

use super::stored::{Bits, StoredFrame, on_samples};

/// Display value of a stored value v: `(v - origin) * step + offset`, clipped to 0..1. Around `origin` the value leaves black, so
/// that the subtraction is exact and nothing large cancels.
#[derive(Clone, Copy)]
pub(super) struct Line {
    origin: i32,
    step: f32,
    offset: f32,
    /// 1 for MONOCHROME1, which shows 1 - y, else 0.
    inverted: bool,
    /// Stored values from .0 to .1 are padding and shown black; an empty range if there is none.
    padding: (i32, i32),
}

/// Values of no image.
const NO_PADDING: (i32, i32) = (i32::MAX, i32::MIN);

impl Line {
    /// The line of a frame, or `None` if it has none: floats, deep integers, tables, sigmoids, steps, no window.
    pub(super) fn of(
        frame: &StoredFrame,
        modality: &Modality,
        voi: &Voi,
        padding: Option<(i64, i64)>,
        inverted: bool,
    ) -> Option<Line> {
        frame.codes()?;
        let (slope, intercept) = match modality {
            Modality::Identity => (1.0, 0.0),
            Modality::Rescale { slope, intercept } => (*slope, *intercept),
            Modality::Lut(_) => return None,
        };
        let Voi::Window(window) = voi else { return None };
        // PS3.3 C.11.2.1.2.1 and C.11.2.1.3.2 without their clipping: (x - center) / width + 0.5.
        let (center, width) = match window.function {
            Function::Linear => (window.center - 0.5, window.width - 1.0),
            Function::LinearExact => (window.center, window.width),
            Function::Sigmoid => return None,
        };
        let step = slope / width;
        let black = (center - width / 2.0 - intercept) / slope;
        // A window narrower than one stored value, a slope of 0, or numbers beyond any image are left to the tables.
        let usable = width > 0.0 && step.is_normal() && step.abs() <= 1.0 && black.abs() < 1e9;
        let bound = |v: i64| i32::try_from(v).ok();
        let padding = match padding {
            Some((low, high)) => (bound(low)?, bound(high)?),
            None => NO_PADDING,
        };
        let origin = black.floor();
        let offset = (origin - black) * step;
        usable.then_some(Line { origin: origin as i32, step: step as f32, offset: offset as f32, inverted, padding })
    }

    /// Display values of the frame, and where it is padding, if anywhere.
    pub(super) fn paint(self, frame: &StoredFrame) -> (Vec<f32>, Option<Vec<bool>>) {
        let bits = frame.bits();
        let count = frame.samples.len();
        let mut values = Vec::with_capacity(count);
        let unset = &mut values.spare_capacity_mut()[..count];
        let has_padding = match &frame.samples {
            Samples::Bits8(cells) => paint_8(self, bits, cells, unset),
            Samples::Bits16(cells) => paint_16(self, bits, cells, unset),
            Samples::Bits32(cells) => self.paint_cells(bits, cells, unset),
            // `of` gives floats no line.
            Samples::Floats(_) => return (vec![0.0; count], None),
        };
        // SAFETY: there are as many values as cells, and every arm that comes here has set one for each.
        // WHY: zeroing them first would be a pass over twice the bytes of the frame.
        unsafe { values.set_len(count) };
        let mask = has_padding.then(|| {
            on_samples!(&frame.samples,
                cells => cells.iter().map(|cell| self.pads(bits.value(bits.code(*cell)))).collect(),
                _floats => Vec::new()
            )
        });
        (values, mask)
    }

    fn pads(self, stored: i64) -> bool {
        (i64::from(self.padding.0)..=i64::from(self.padding.1)).contains(&stored)
    }

    /// Sets each value; whether any cell is padding.
    #[inline(always)]
    fn paint_cells<C: Cell>(self, bits: Bits, cells: &[C], values: &mut [MaybeUninit<f32>]) -> bool {
        let line = Biased::new(self, bits);
        let above_origin = |stored: i32| (f64::from(stored) - f64::from(self.origin)) as f32;
        let black = |stored: i32| above_origin(stored) * line.step + line.offset <= 0.0;
        match self.padding {
            (low, high) if low > high => {
                line.fill::<C, false>(cells, values);
                false
            }
            // Padding mostly lies where the line is black anyway, as both its ends then are.
            (low, high) if black(low) && black(high) => {
                line.fill::<C, false>(cells, values);
                line.pads_any(cells)
            }
            (_, _) => {
                line.fill::<C, true>(cells, values);
                line.pads_any(cells)
            }
        }
    }
}

/// A line as the loops want it, where each operation counts: on values plus `Bits::bias`, with the inversion in it.
#[derive(Clone, Copy)]
struct Biased {
    bits: Bits,
    origin: i32,
    step: f32,
    offset: f32,
    padding: (i32, i32),
}

/// Cells looked at before it is asked whether one of them was found.
const FOUND_EVERY: usize = 4096;

impl Biased {
    #[inline(always)]
    fn new(line: Line, bits: Bits) -> Biased {
        let bias = bits.bias();
        let (step, offset) = if line.inverted { (-line.step, 1.0 - line.offset) } else { (line.step, line.offset) };
        let padding = (line.padding.0.saturating_add(bias), line.padding.1.saturating_add(bias));
        Biased { bits, origin: line.origin + bias, step, offset, padding }
    }

    #[inline(always)]
    fn pads(self, biased: i32) -> bool {
        biased >= self.padding.0 && biased <= self.padding.1
    }

    /// Straight-line code: every branch here is a select.
    #[inline(always)]
    fn fill<C: Cell, const MASKED: bool>(self, cells: &[C], values: &mut [MaybeUninit<f32>]) {
        for (value, cell) in values.iter_mut().zip(cells) {
            let biased = self.bits.biased_value(self.bits.code(*cell));
            let y = (biased - self.origin) as f32 * self.step + self.offset;
            value.write(if MASKED && self.pads(biased) { 0.0 } else { y.clamp(0.0, 1.0) });
        }
    }

    #[inline(always)]
    fn pads_any<C: Cell>(self, cells: &[C]) -> bool {
        let pads = |cell: &C| self.pads(self.bits.biased_value(self.bits.code(*cell)));
        cells.chunks(FOUND_EVERY).any(|chunk| chunk.iter().fold(false, |any, cell| any | pads(cell)))
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn paint_8(line: Line, bits: Bits, cells: &[u8], values: &mut [MaybeUninit<f32>]) -> bool {
    line.paint_cells(bits, cells, values)
}

#[multiversion(targets("x86_64+avx2"))]
fn paint_16(line: Line, bits: Bits, cells: &[u16], values: &mut [MaybeUninit<f32>]) -> bool {
    line.paint_cells(bits, cells, values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dicom::Window;
    use crate::pixel::value::{Shade, modality_value};

    fn windows() -> impl Strategy<Value = Window> {
        let function = prop_oneof![Just(Function::Linear), Just(Function::LinearExact)];
        (-3000.0..70_000.0f64, 1.5..70_000.0f64, function).prop_map(|(center, width, function)| Window {
            center,
            width,
            function,
        })
    }

    proptest! {
        /// The line is a faster way to the values of the standard's equations (PS3.3 C.11.2.1.2), which `value` computes in f64:
        /// they agree within four units in the last place of an f32 of 1.
        #[test]
        fn the_line_gives_the_values_of_the_equations(
            cells in prop::collection::vec(any::<u16>(), 1..200),
            (stored, shift, signed) in (2u16..=16).prop_flat_map(|b| (Just(b), 0..=16 - b, any::<bool>())),
            slope in prop_oneof![Just(1.0), 0.001..20.0f64, -20.0..-0.001f64],
            intercept in -3000.0..3000.0f64,
            window in windows(),
            inverted in any::<bool>(),
            padding in prop::option::of((-40_000i64..70_000, 0i64..500)),
        ) {
            let frame = StoredFrame::made(Samples::Bits16(cells.clone().into()), stored, shift, signed);
            let modality = Modality::Rescale { slope, intercept };
            let padding = padding.map(|(low, more)| (low, low + more));
            let Some(line) = Line::of(&frame, &modality, &Voi::Window(window), padding, inverted) else {
                return Err(TestCaseError::reject("no line"));
            };
            let (values, mask) = line.paint(&frame);
            let shade = Shade::Window(window);
            for (index, cell) in cells.iter().enumerate() {
                let value = frame.value(frame.code(*cell));
                let pads = padding.is_some_and(|(low, high)| (low..=high).contains(&value));
                prop_assert_eq!(mask.as_ref().is_some_and(|mask| mask[index]), pads);
                let y = shade.apply(modality_value(&modality, value), 1.0).clamp(0.0, 1.0);
                let want = if pads { 0.0 } else if inverted { 1.0 - y } else { y };
                prop_assert!((f64::from(values[index]) - want).abs() < 4.8e-7, "{} for {want}", values[index]);
            }
        }
    }

    #[test]
    fn what_is_no_line_is_left_to_the_tables() {
        let frame = StoredFrame::made(Samples::Bits16(vec![1].into()), 12, 0, false);
        let window = |width, function| Voi::Window(Window { center: 40.0, width, function });
        let line = |slope, voi: &Voi| {
            Line::of(&frame, &Modality::Rescale { slope, intercept: 0.0 }, voi, None, false).is_some()
        };
        assert!(line(1.0, &window(400.0, Function::Linear)));
        assert!(!line(1.0, &window(1.0, Function::Linear)), "a step");
        assert!(!line(0.0, &window(400.0, Function::Linear)), "a constant");
        assert!(!line(1.0, &window(400.0, Function::Sigmoid)));
        assert!(!line(1.0, &window(f64::NAN, Function::Linear)));
        assert!(!line(1.0, &Voi::None));
        let floats = StoredFrame::made(Samples::Floats(vec![1.0]), 32, 0, false);
        assert!(Line::of(&floats, &Modality::Identity, &window(4.0, Function::Linear), None, false).is_none());
    }
}
