//! The three stages of a frame's values, to be looked at and compared with other readers: stored, modality, display.
//!
//! Display here is 8-bit and rounded, as viewers show it; models get [`super::Image`], which is not rounded.
use sha2::{Digest, Sha256};

use crate::dicom::{Decoder, Instance, Palette, Photometric};
use crate::error::{Code, Error, Result};

use super::stored::{StoredFrame, on_samples};
use super::value::{Shade, modality_frame, padding_mask, span};

/// How far the values are interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As stored, unused bits and sign dealt with; colour as R, G, B; palette indices.
    Stored,
    /// After Modality LUT or rescale. Grey images only.
    Modality,
    /// After VOI LUT or window, 0 to 255, MONOCHROME1 inverted; palette applied.
    Display,
}

/// One frame's values, row-major; three-sample pixels as R, G, B.
#[derive(Debug, Clone, PartialEq)]
pub enum StageFrame {
    /// Stored integers.
    Integers(Vec<i64>),
    /// Modality values, or stored floats.
    Numbers(Vec<f64>),
    /// Display values.
    Bytes(Vec<u8>),
}

/// What is told of several frames together. `min`, `max`, `mean` leave out NaN and infinity; `None` if nothing is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Lowest value.
    pub min: Option<f64>,
    /// Highest value.
    pub max: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Hex SHA-256 over all frames: int64, float64 (little endian) or bytes, one per sample.
    pub sha256: String,
}

/// Values of one frame at a stage.
///
/// Errors, about the instance: those of decoding, `HeaderImplausible`, and `PixelLayoutInvalid` for modality values of colour.
pub fn stage_frame(decoder: &Decoder, instance: &Instance, stage: Stage, frame_index: u32) -> Result<StageFrame> {
    make(decoder, instance, stage, frame_index)
        .map_err(|error| error.about_instance(instance.header().sop_instance.as_str()))
}

fn make(decoder: &Decoder, instance: &Instance, stage: Stage, frame_index: u32) -> Result<StageFrame> {
    let frame = StoredFrame::decode(decoder, instance, frame_index)?;
    let photometric = instance.header().photometric;
    match stage {
        Stage::Stored => {
            let value = |code: u32| if photometric.samples() == 3 { i64::from(code) } else { frame.value(code) };
            Ok(on_samples!(&frame.samples,
                cells => StageFrame::Integers(cells.iter().map(|cell| value(frame.code(*cell))).collect()),
                values => StageFrame::Numbers(values.clone())
            ))
        }
        Stage::Modality if photometric.is_monochrome() => {
            Ok(StageFrame::Numbers(modality_frame(instance, frame_index, &frame)?))
        }
        Stage::Modality => Err(Error::new(Code::PixelLayoutInvalid, "colour has no modality values")),
        Stage::Display if photometric.is_monochrome() => grey(instance, frame_index, &frame).map(StageFrame::Bytes),
        Stage::Display if photometric == Photometric::PaletteColor => {
            palette(&instance.palette()?, &frame).map(StageFrame::Bytes)
        }
        Stage::Display => Ok(StageFrame::Bytes(colour(instance, &frame))),
    }
}

fn byte(y: f64) -> u8 {
    (y + 0.5).floor().clamp(0.0, 255.0) as u8
}

fn grey(instance: &Instance, frame_index: u32, frame: &StoredFrame) -> Result<Vec<u8>> {
    let values = modality_frame(instance, frame_index, frame)?;
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let shade = Shade::of(instance.voi(frame_index)?, lowest).unwrap_or_else(|| {
        let (low, high) = span(&values, padding_mask(instance, frame).as_deref()).unwrap_or((0.0, 0.0));
        Shade::Span(low, high)
    });
    let inverted = instance.header().photometric == Photometric::Monochrome1;
    let show = |x: &f64| {
        let y = if x.is_nan() { 0 } else { byte(shade.apply(*x, 255.0)) };
        if inverted { 255 - y } else { y }
    };
    Ok(values.iter().map(show).collect())
}

fn colour(instance: &Instance, frame: &StoredFrame) -> Vec<u8> {
    let bits = instance.header().bits_stored;
    let white = f64::from(u32::MAX >> (32 - u32::from(bits)));
    let shown = |code: u32| if bits == 8 { code as u8 } else { byte(f64::from(code) * 255.0 / white) };
    on_samples!(&frame.samples,
        cells => cells.iter().map(|cell| shown(frame.code(*cell))).collect(),
        values => values.iter().map(|value| byte(*value)).collect()
    )
}

/// R, G, B of palette indices; deep entries by their high byte (PS3.3 C.7.6.3.1.5).
fn palette(palette: &Palette, frame: &StoredFrame) -> Result<Vec<u8>> {
    let entry = |code: u32, channel: usize| {
        let lut = &palette.0[channel];
        let last = lut.entries.len() as i64 - 1;
        let entry = lut.entries[(frame.value(code) - lut.first).clamp(0, last) as usize];
        (if lut.bits > 8 { entry >> 8 } else { entry & 0xFF }) as u8
    };
    let of_cell = |code: u32| [entry(code, 0), entry(code, 1), entry(code, 2)];
    Ok(on_samples!(&frame.samples,
        cells => cells.iter().flat_map(|cell| of_cell(frame.code(*cell))).collect(),
        _floats => return Err(Error::new(Code::PixelLayoutInvalid, "palette indices are whole numbers"))
    ))
}

/// Summarises frames in order; each is dropped before the next is made.
pub fn summarise(frames: impl Iterator<Item = Result<StageFrame>>) -> Result<Summary> {
    let (mut hash, mut min, mut max) = (Sha256::new(), f64::INFINITY, f64::NEG_INFINITY);
    let (mut sum, mut count) = (0.0, 0u64);
    for frame in frames {
        let mut frame_sum = 0.0;
        let mut add = |value: f64| {
            if value.is_finite() {
                (min, max, frame_sum, count) = (min.min(value), max.max(value), frame_sum + value, count + 1);
            }
        };
        let bytes: Vec<u8> = match frame? {
            StageFrame::Integers(values) => {
                values.iter().for_each(|v| add(*v as f64));
                values.iter().flat_map(|v| v.to_le_bytes()).collect()
            }
            StageFrame::Numbers(values) => {
                values.iter().for_each(|v| add(*v));
                // One NaN of the many, and one zero of the two, so that the hash is of values.
                values.iter().flat_map(|v| (if v.is_nan() { f64::NAN } else { v + 0.0 }).to_le_bytes()).collect()
            }
            StageFrame::Bytes(values) => {
                values.iter().for_each(|v| add(f64::from(*v)));
                values
            }
        };
        hash.update(&bytes);
        sum += frame_sum;
    }
    let known = |value: f64| (count > 0).then_some(value);
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Summary { min: known(min), max: known(max), mean: known(sum / count as f64), sha256 })
}
