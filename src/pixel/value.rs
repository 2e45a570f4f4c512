//! From stored to modality to display values, ours because every shortcut of the usual libraries is silently wrong somewhere.
//!
//! Source: Modality LUT (PS3.3 C.11.1), VOI LUT and windows (C.11.2), Pixel Padding (C.7.5.1.1.2).
use crate::dicom::{Cell, Function, Instance, Lut, Modality, Voi, Window};
use crate::error::Result;

use super::stored::{StoredFrame, on_samples};

/// Modality value of a stored value.
pub(super) fn modality_value(modality: &Modality, stored: i64) -> f64 {
    match modality {
        Modality::Lut(lut) => f64::from(look_up(lut, lut.first, stored)),
        // Product rounded, then the sum: a fused multiply-add would differ in the last bit. `+ 0.0` turns -0.0 into 0.0.
        Modality::Rescale { slope, intercept } => stored as f64 * slope + intercept + 0.0,
        Modality::Identity => stored as f64,
    }
}

fn look_up(lut: &Lut, first: i64, value: i64) -> u16 {
    let last = lut.entries.len() as i64 - 1;
    lut.entries[(value.saturating_sub(first)).clamp(0, last) as usize]
}

/// Modality values of a frame, row-major; float pixels are modality values already.
///
/// `frame`: of `instance`, one sample per pixel. Errors: `HeaderImplausible`.
pub(super) fn modality_frame(instance: &Instance, frame_index: u32, frame: &StoredFrame) -> Result<Vec<f64>> {
    let modality = instance.modality(frame_index)?;
    Ok(on_samples!(&frame.samples,
        cells => modality_of_cells(cells, frame, &modality),
        values => values.iter().map(|v| v + 0.0).collect()
    ))
}

fn modality_of_cells<C: Cell>(cells: &[C], frame: &StoredFrame, modality: &Modality) -> Vec<f64> {
    let bits = frame.bits();
    cells.iter().map(|cell| modality_value(modality, bits.value(bits.code(*cell)))).collect()
}

/// A function from modality to display values, black 0 to white 1, before MONOCHROME1 is inverted.
pub(super) enum Shade {
    /// VOI LUT; `.1` is the first mapped input.
    Table(Lut, i64),
    /// A window that can be used.
    Window(Window),
    /// Linear from `.0` to `.1`, clipped; all 0 if they are equal.
    Span(f64, f64),
}

impl Shade {
    /// What the file says, or `None` if it says nothing that can be used. `lowest`: of the modality values.
    pub(super) fn of(voi: Voi, lowest: f64) -> Option<Shade> {
        match voi {
            Voi::Lut(lut) => {
                let signed = lut.first_signed.unwrap_or((lowest + 0.5).floor() < 0.0);
                let first = match signed {
                    true if lut.first > 0x7FFF => lut.first - 0x1_0000,
                    false if lut.first < 0 => lut.first + 0x1_0000,
                    _ => lut.first,
                };
                Some(Shade::Table(lut, first))
            }
            Voi::Window(window) => {
                let width_min = if window.function == Function::Linear { 1.0 } else { f64::MIN_POSITIVE };
                let usable = window.center.is_finite() && window.width.is_finite() && window.width >= width_min;
                usable.then_some(Shade::Window(window))
            }
            Voi::None => None,
        }
    }

    /// Display value times `white`: not clipped, except where the standard clips. No NaN for finite `x`.
    pub(super) fn apply(&self, x: f64, white: f64) -> f64 {
        match self {
            Shade::Table(lut, first) => {
                let input = (x + 0.5).floor() as i64;
                f64::from(look_up(lut, *first, input)) * white / f64::from((1u32 << lut.bits) - 1)
            }
            Shade::Window(window) => window_value(window, x, white),
            Shade::Span(low, high) if high > low => ((x - low) / (high - low) * white).clamp(0.0, white),
            Shade::Span(..) => 0.0,
        }
    }
}

/// PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT).
fn window_value(window: &Window, x: f64, white: f64) -> f64 {
    let (c, w) = (window.center, window.width);
    match window.function {
        Function::Linear if x <= c - 0.5 - (w - 1.0) / 2.0 => 0.0,
        Function::Linear if x > c - 0.5 + (w - 1.0) / 2.0 => white,
        Function::Linear => ((x - (c - 0.5)) / (w - 1.0) + 0.5) * white,
        Function::LinearExact if x <= c - w / 2.0 => 0.0,
        Function::LinearExact if x > c + w / 2.0 => white,
        Function::LinearExact => ((x - c) / w + 0.5) * white,
        Function::Sigmoid => white / (1.0 + (-4.0 * (x - c) / w).exp()),
    }
}

/// Whether each pixel is padding; `None` if the image has none. Padding is told by stored values.
pub(super) fn padding_mask(instance: &Instance, frame: &StoredFrame) -> Option<Vec<bool>> {
    let (low, high) = instance.padding()?;
    let mask: Vec<bool> = on_samples!(&frame.samples,
        cells => cells.iter().map(|cell| (low..=high).contains(&frame.value(frame.code(*cell)))).collect(),
        _floats => return None
    );
    mask.contains(&true).then_some(mask)
}

/// Lowest and highest finite value that is no padding; of all, if all is padding. `None` if nothing is finite.
pub(super) fn span(values: &[f64], padding: Option<&[bool]>) -> Option<(f64, f64)> {
    let padding = padding.filter(|mask| mask.contains(&false));
    let mut span: Option<(f64, f64)> = None;
    for (index, value) in values.iter().enumerate() {
        if value.is_finite() && !padding.is_some_and(|mask| mask[index]) {
            let (low, high) = span.unwrap_or((*value, *value));
            span = Some((low.min(*value), high.max(*value)));
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_window(function: Function, center: f64, width: f64, value: f64, want: f64) {
        let got = window_value(&Window { center, width, function }, value, 1.0);
        assert!((got - want).abs() < 1e-12, "{got} for {want}");
    }

    #[test]
    fn window_linear_ps3_3_c_11_2_1_2_1() {
        check_window(Function::Linear, 0.0, 1.0, -0.5, 0.0);
        check_window(Function::Linear, 0.0, 1.0, -0.4, 1.0);
        check_window(Function::Linear, 2048.0, 4096.0, 0.0, 0.0);
        check_window(Function::Linear, 2048.0, 4096.0, 4095.0, 1.0);
        check_window(Function::Linear, 2048.0, 4096.0, 2047.5, 0.5);
    }

    #[test]
    fn window_linear_exact_ps3_3_c_11_2_1_3_2() {
        check_window(Function::LinearExact, 2048.0, 4096.0, 2048.0, 0.5);
        check_window(Function::LinearExact, 2048.0, 4096.0, 0.0, 0.0);
        check_window(Function::LinearExact, 2048.0, 4096.0, 4096.0, 1.0);
    }

    #[test]
    fn window_sigmoid_ps3_3_c_11_2_1_3_1() {
        check_window(Function::Sigmoid, 100.0, 40.0, 100.0, 0.5);
        check_window(Function::Sigmoid, 100.0, 40.0, 110.0, 1.0 / (1.0 + (-1.0f64).exp()));
    }

    #[test]
    fn inputs_outside_a_table_take_its_ends() {
        let lut = Lut { first: 10, bits: 8, entries: vec![5, 6, 7], first_signed: Some(false) };
        let of = |v| modality_value(&Modality::Lut(lut.clone()), v);
        assert_eq!([of(-3), of(10), of(11), of(99)], [5.0, 5.0, 6.0, 7.0]);
    }
}
