//! An image for models: display values as real numbers, black is air. Step 1 of every input recipe.
use ndarray::Array2;

use crate::dicom::{Cell, Decoder, Instance, Photometric};
use crate::error::{Code, Error, Result};
use crate::uid::Uid;

use super::linear::Line;
use super::stored::{StoredFrame, on_samples};
use super::value::{Shade, modality_frame, modality_value, padding_mask};

/// One frame as display values.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// rows x columns, each 0 to 1, air black (MONOCHROME1 inverted), padding 0. Not rounded to 8 bits.
    pub values: Array2<f32>,
    /// Where the image is padding, if it has any.
    pub padding: Option<Array2<bool>>,
    /// The SOP Instance that it is of.
    pub sop_instance: Uid,
    /// The frame, from 1.
    pub frame_number: u32,
}

/// Without a window in the file, these quantiles of what is no padding become black and white.
const QUANTILES: [f64; 2] = [0.005, 0.995];

/// A modality value and how many pixels have it.
struct Counted {
    value: f64,
    pixels: usize,
    is_padding: bool,
}

/// Makes the display values of a frame: VOI LUT or window of the file, else 0.5 to 99.5 % of the pixels, linear.
///
/// Cost: decoding, and one pass over the pixels (`linear`), else one histogram and one table look-up per pixel. Errors, about the instance: those of decoding,
/// `HeaderImplausible`, and `PixelLayoutInvalid` for colour, which models here do not read.
pub fn image(decoder: &Decoder, instance: &Instance, frame_index: u32) -> Result<Image> {
    make(decoder, instance, frame_index, paint)
        .map_err(|error| error.about_instance(instance.header().sop_instance.as_str()))
}

/// The same frame through another window than the file's: modality values from `low` (black) to `high` (white, above `low`), linear,
/// clipped. So sees it a model that names its window.
///
/// Errors: as of [`image`].
pub fn windowed(decoder: &Decoder, instance: &Instance, frame_index: u32, [low, high]: [f64; 2]) -> Result<Image> {
    let through = |instance: &Instance, frame_index: u32, frame: &StoredFrame| {
        let values = modality_frame(instance, frame_index, frame)?;
        let mask = padding_mask(instance, frame);
        let is_padding = |index: usize| mask.as_ref().is_some_and(|mask| mask[index]);
        let shown = |(index, value): (usize, &f64)| match is_padding(index) || value.is_nan() {
            true => 0.0,
            false => ((value - low) / (high - low)).clamp(0.0, 1.0) as f32,
        };
        Ok((values.iter().enumerate().map(shown).collect(), mask))
    };
    make(decoder, instance, frame_index, through)
        .map_err(|error| error.about_instance(instance.header().sop_instance.as_str()))
}

fn make(
    decoder: &Decoder,
    instance: &Instance,
    frame_index: u32,
    paint: impl Fn(&Instance, u32, &StoredFrame) -> Result<Painted>,
) -> Result<Image> {
    let header = instance.header();
    if !header.photometric.is_monochrome() {
        return Err(Error::new(Code::PixelLayoutInvalid, "is a colour image; models here read grey values"));
    }
    let frame = StoredFrame::decode(decoder, instance, frame_index)?;
    let (values, padding) = paint(instance, frame_index, &frame)?;
    let shape = (usize::from(header.rows), usize::from(header.columns));
    let shaped = |_| Error::internal("a frame has another number of pixels than its header");
    Ok(Image {
        values: Array2::from_shape_vec(shape, values).map_err(shaped)?,
        padding: padding.map(|mask| Array2::from_shape_vec(shape, mask)).transpose().map_err(shaped)?,
        sop_instance: header.sop_instance.clone(),
        frame_number: frame_index + 1,
    })
}

type Painted = (Vec<f32>, Option<Vec<bool>>);

/// Display values, and where the frame is padding, by the fastest of three ways that can do it.
fn paint(instance: &Instance, frame_index: u32, frame: &StoredFrame) -> Result<Painted> {
    let modality = instance.modality(frame_index)?;
    let inverted = instance.header().photometric == Photometric::Monochrome1;
    let line = Line::of(frame, &modality, &instance.voi(frame_index)?, instance.padding(), inverted);
    if let Some(line) = line {
        return Ok(line.paint(frame));
    }
    match frame.codes() {
        Some(count) => on_samples!(&frame.samples,
            cells => by_table(instance, frame_index, frame, cells, count),
            _floats => by_pixel(instance, frame_index, frame)
        ),
        None => by_pixel(instance, frame_index, frame),
    }
}

/// Up to 16 bits: everything is a function of the code, computed once for each.
fn by_table<C: Cell>(
    instance: &Instance,
    frame_index: u32,
    frame: &StoredFrame,
    cells: &[C],
    count: u32,
) -> Result<Painted> {
    let modality = instance.modality(frame_index)?;
    let padding = instance.padding();
    let mut pixels = vec![0usize; count as usize];
    for cell in cells {
        pixels[frame.code(*cell) as usize] += 1;
    }
    let counted = |code: u32| {
        let stored = frame.value(code);
        let is_padding = padding.is_some_and(|(low, high)| (low..=high).contains(&stored));
        Counted { value: modality_value(&modality, stored), pixels: pixels[code as usize], is_padding }
    };
    let table: Vec<Counted> = (0..count).map(counted).collect();
    let shade = shade(instance, frame_index, table.iter())?;
    let painted: Vec<f32> = table.iter().map(|c| shown(instance, &shade, c.value, c.is_padding)).collect();
    let has_padding = table.iter().any(|c| c.is_padding && c.pixels > 0);
    let mask = has_padding.then(|| cells.iter().map(|cell| table[frame.code(*cell) as usize].is_padding).collect());
    Ok((cells.iter().map(|cell| painted[frame.code(*cell) as usize]).collect(), mask))
}

/// Deeper integers and floats.
fn by_pixel(instance: &Instance, frame_index: u32, frame: &StoredFrame) -> Result<Painted> {
    let values = modality_frame(instance, frame_index, frame)?;
    let mask = padding_mask(instance, frame);
    let is_padding = |index: usize| mask.as_ref().is_some_and(|mask| mask[index]);
    let counted: Vec<Counted> =
        values.iter().enumerate().map(|(i, v)| Counted { value: *v, pixels: 1, is_padding: is_padding(i) }).collect();
    let shade = shade(instance, frame_index, counted.iter())?;
    Ok((counted.iter().map(|c| shown(instance, &shade, c.value, c.is_padding)).collect(), mask))
}

fn shown(instance: &Instance, shade: &Shade, value: f64, is_padding: bool) -> f32 {
    if is_padding || value.is_nan() {
        return 0.0;
    }
    let y = shade.apply(value, 1.0).clamp(0.0, 1.0);
    (if instance.header().photometric == Photometric::Monochrome1 { 1.0 - y } else { y }) as f32
}

/// The file's VOI LUT or window, else a span between two quantiles.
fn shade<'a>(instance: &Instance, frame_index: u32, counted: impl Iterator<Item = &'a Counted>) -> Result<Shade> {
    let mut present: Vec<&Counted> = counted.filter(|c| c.pixels > 0 && c.value.is_finite()).collect();
    let lowest = present.iter().map(|c| c.value).fold(f64::INFINITY, f64::min);
    if let Some(shade) = Shade::of(instance.voi(frame_index)?, lowest) {
        return Ok(shade);
    }
    present.retain(|c| !c.is_padding);
    present.sort_by(|a, b| a.value.total_cmp(&b.value));
    let [low, high] = QUANTILES.map(|q| quantile(&present, q).unwrap_or(0.0));
    Ok(Shade::Span(low, high))
}

/// numpy's default: at index q (n - 1) of the sorted pixels, linear between neighbours. `None` if there are none.
fn quantile(sorted: &[&Counted], q: f64) -> Option<f64> {
    let total: usize = sorted.iter().map(|c| c.pixels).sum();
    let at = q * (total.checked_sub(1)? as f64);
    let (low, high) = (nth(sorted, at.floor() as usize)?, nth(sorted, at.ceil() as usize)?);
    Some(low + (high - low) * at.fract())
}

fn nth(sorted: &[&Counted], mut index: usize) -> Option<f64> {
    for counted in sorted {
        match index.checked_sub(counted.pixels) {
            Some(rest) => index = rest,
            None => return Some(counted.value),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: numpy 2, `np.quantile([1, 1, 1, 4, 10], q)`.
    #[test]
    fn quantiles_are_those_of_numpy() {
        let counted =
            [(1.0, 3), (4.0, 1), (10.0, 1)].map(|(value, pixels)| Counted { value, pixels, is_padding: false });
        let sorted: Vec<&Counted> = counted.iter().collect();
        for (q, want) in [(0.0, 1.0), (0.5, 1.0), (0.6, 2.2), (0.75, 4.0), (0.9, 7.6), (1.0, 10.0)] {
            let got = quantile(&sorted, q).unwrap_or(f64::NAN);
            assert!((got - want).abs() < 1e-12, "{q}: {got}, not {want}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }
}
