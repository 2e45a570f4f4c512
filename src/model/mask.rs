//! The lung mask: what a segmentation model says about one image, and the rules that refuse what is no upright frontal chest.
//!
//! models/lungs.py measures the same for training; the numbers of the rules stand in the manifest, `[quality]`.
use std::collections::VecDeque;

use ndarray::{Array2, ArrayView2, Axis, Zip, s};

use super::{manifest::Quality, recipe::Input};
use crate::{
    error::{Code, Error, Result},
    pixel::GridMap,
};

/// A logit at or above 0 is a probability of at least one half: lung.
const LUNG_LOGIT: f32 = 0.0;

/// The lungs of one image: at most two fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// The fields on the model's whole input grid.
    pub fields: Array2<bool>,
    /// From that grid to source pixels.
    pub grid: GridMap,
    /// `None` without any field.
    pub measures: Option<Measures>,
}

/// Numbers that the rules use. Shares and positions are relative to the image: 0 to 1, x to the right, y down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// How many fields: 1 or 2.
    pub fields: usize,
    /// Area of the fields over that of the image.
    pub area_share: f64,
    /// Area of the smaller field over that of the larger.
    pub balance: f64,
    /// Horizontal distance of the fields' centroids over the width of the box around both.
    pub apart_x: f64,
    /// Vertical distance of the centroids over the height of the box.
    pub apart_y: f64,
    /// The box around the fields: left, top, right, bottom.
    pub bounds: [f64; 4],
    /// Mean of the input (0 to 1) in the box outside the fields, minus inside: lungs are darker. 0 when they fill the box.
    pub polarity: f64,
}

impl Mask {
    /// The box around the fields as shares of the image: left, top, right, bottom.
    pub fn bounds(&self) -> Option<[f64; 4]> {
        self.measures.map(|measures| measures.bounds)
    }
}

/// Reads the mask logits (rows x columns of `input`'s grid) that a segmentation model gave for `input`.
///
/// `mean` and `std` are those of the recipe's first channel, to see the input as 0 to 1 again. `None` when the logits do not have the grid's size.
pub fn read_mask(quality: &Quality, [mean, std]: [f32; 2], input: &Input, logits: ArrayView2<'_, f32>) -> Option<Mask> {
    let seen = input.tensor.index_axis(Axis(0), 0);
    let seen = seen.index_axis(Axis(0), 0);
    if seen.dim() != logits.dim() {
        return None;
    }
    let [top, left, rows, columns] = input.content;
    let content = s![top..top + rows, left..left + columns];
    let parts = fields(logits.slice(content).mapv(|logit| logit >= LUNG_LOGIT), f64::from(quality.second_field_min));
    let mut whole = Array2::from_elem(logits.dim(), false);
    for part in &parts {
        for &(row, column) in part {
            whole[(top + row, left + column)] = true;
        }
    }
    let view = seen.slice(content).mapv(|value| value * std + mean);
    let measures = measure(&parts, whole.slice(content), view.view());
    Some(Mask { fields: whole, grid: input.grid, measures })
}

/// Whether the mask is that of an upright frontal chest, by the manifest's rules in their order.
///
/// Errors: `WrongBodyPart`, `WrongView` or `QualityTooLow`; the detail names the rule, what it allows and what was measured.
pub fn judge(quality: &Quality, mask: &Mask) -> Result<()> {
    let Some(m) = mask.measures else {
        return Err(Error::new(Code::WrongBodyPart, "no lung fields were found"));
    };
    let [left, top, right, bottom] = m.bounds;
    let rules = [
        ("area_share", m.area_share, quality.area_share, Code::WrongBodyPart),
        ("fields", m.fields as f64, quality.fields, Code::WrongView),
        ("balance", m.balance, quality.balance, Code::WrongView),
        ("apart_x", m.apart_x, quality.apart_x, Code::WrongView),
        ("apart_y", m.apart_y, quality.apart_y, Code::WrongView),
        ("center_x", (left + right) / 2.0, quality.center_x, Code::WrongView),
        ("center_y", (top + bottom) / 2.0, quality.center_y, Code::WrongView),
        ("width", right - left, quality.width, Code::WrongView),
        ("height", bottom - top, quality.height, Code::WrongView),
        ("polarity", m.polarity, quality.polarity, Code::QualityTooLow),
    ];
    for (name, measured, [low, high], code) in rules {
        // Written so that a NaN breaks the rule.
        if !(low <= measured && measured <= high) {
            let detail = format!("lung mask: {name} is {measured:.3}; quality.{name} allows {low} to {high}");
            return Err(Error::new(code, detail));
        }
    }
    Ok(())
}

/// Pixels of the two largest 4-connected parts, larger first (equal: the one met first, row by row); the second only from
/// `second_min` of the first's area on: specks of air are no lung.
fn fields(mut mask: Array2<bool>, second_min: f64) -> Vec<Vec<(usize, usize)>> {
    let mut parts: Vec<Vec<(usize, usize)>> = Vec::new();
    for start in ndarray::indices(mask.dim()) {
        if mask[start] {
            parts.push(connected_part(&mut mask, start));
        }
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let least = parts.first().map_or(0.0, |first| second_min * first.len() as f64);
    parts.truncate(2);
    parts.retain(|part| part.len() as f64 >= least);
    parts
}

/// The pixels that are 4-connected to `start` within `mask`, which must hold it; they are removed from the mask.
pub(crate) fn connected_part(mask: &mut Array2<bool>, start: (usize, usize)) -> Vec<(usize, usize)> {
    let (mut part, mut next) = (Vec::new(), VecDeque::from([start]));
    mask[start] = false;
    while let Some((row, column)) = next.pop_front() {
        part.push((row, column));
        let around =
            [(row.wrapping_sub(1), column), (row + 1, column), (row, column.wrapping_sub(1)), (row, column + 1)];
        for at in around {
            if let Some(inside) = mask.get_mut(at)
                && *inside
            {
                *inside = false;
                next.push_back(at);
            }
        }
    }
    part
}

/// `mask` and `seen` share the grid's content; `parts` are the mask's fields.
fn measure(parts: &[Vec<(usize, usize)>], mask: ArrayView2<'_, bool>, seen: ArrayView2<'_, f32>) -> Option<Measures> {
    let (first, last) = (parts.first()?, parts.last()?);
    let pixels = || parts.iter().flatten();
    let (top, bottom) = (pixels().map(|p| p.0).min()?, pixels().map(|p| p.0).max()? + 1);
    let (left, right) = (pixels().map(|p| p.1).min()?, pixels().map(|p| p.1).max()? + 1);
    let (mut inside, mut outside) = ((0.0, 0usize), (0.0, 0usize));
    let bounds = s![top..bottom, left..right];
    Zip::from(mask.slice(bounds)).and(seen.slice(bounds)).for_each(|lung, value| {
        let of = if *lung { &mut inside } else { &mut outside };
        *of = (of.0 + f64::from(*value), of.1 + 1);
    });
    let mean = |(sum, count): (f64, usize)| sum / count as f64;
    let (a, b) = (centroid(first), centroid(last));
    let (rows, columns) = mask.dim();
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    Some(Measures {
        fields: parts.len(),
        area_share: share(pixels().count(), rows * columns),
        balance: share(last.len(), first.len()),
        apart_x: (a.1 - b.1).abs() / (right - left) as f64,
        apart_y: (a.0 - b.0).abs() / (bottom - top) as f64,
        bounds: [share(left, columns), share(top, rows), share(right, columns), share(bottom, rows)],
        polarity: if outside.1 == 0 { 0.0 } else { mean(outside) - mean(inside) },
    })
}

/// Mean row and column.
fn centroid(part: &[(usize, usize)]) -> (f64, f64) {
    let (rows, columns) =
        part.iter().fold((0.0, 0.0), |(rows, columns), (r, c)| (rows + *r as f64, columns + *c as f64));
    (rows / part.len() as f64, columns / part.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality() -> Quality {
        let text = include_str!("../../models/chest-lungs/model.toml");
        crate::model::Manifest::parse(text)
            .ok()
            .and_then(|manifest| manifest.quality)
            .expect("the shipped manifest has rules")
    }

    /// A 40 x 40 grid with these rectangles (top, left, rows, columns) as lungs, dark (0.2) on bright (0.7).
    fn mask(rectangles: &[[usize; 4]]) -> Mask {
        let mut logits = Array2::from_elem((40, 40), -1.0);
        let mut seen = Array2::from_elem((40, 40), 0.7);
        for &[top, left, rows, columns] in rectangles {
            logits.slice_mut(s![top..top + rows, left..left + columns]).fill(0.0);
            seen.slice_mut(s![top..top + rows, left..left + columns]).fill(0.2);
        }
        let input = Input {
            tensor: seen.insert_axis(Axis(0)).insert_axis(Axis(0)),
            grid: GridMap { scale: [1.0; 2], offset: [0.0; 2] },
            source_size: [40, 40],
            content: [0, 0, 40, 40],
        };
        read_mask(&quality(), [0.0, 1.0], &input, logits.view()).expect("sizes agree")
    }

    #[track_caller]
    fn check(rectangles: &[[usize; 4]], want: Option<(Code, &str)>) {
        let outcome = judge(&quality(), &mask(rectangles));
        let got = outcome.as_ref().err().map(|error| (error.code, error.detail.as_str()));
        match (got, want) {
            (None, None) => {}
            (Some((code, detail)), Some((wanted, word))) if code == wanted && detail.contains(word) => {}
            (got, want) => panic!("{got:?}, not {want:?}"),
        }
    }

    const RIGHT: [usize; 4] = [8, 4, 22, 12];
    const LEFT: [usize; 4] = [8, 24, 22, 12];

    #[test]
    fn two_dark_fields_side_by_side_are_a_chest() {
        check(&[RIGHT, LEFT], None);
        // A speck of air beside them is no third field.
        check(&[RIGHT, LEFT, [1, 1, 2, 2]], None);
        let measures = mask(&[RIGHT, LEFT]).measures.expect("two fields");
        assert_eq!(measures.bounds, [0.1, 0.2, 0.9, 0.75]);
        assert_eq!((measures.fields, measures.balance, measures.apart_x, measures.apart_y), (2, 1.0, 20.0 / 32.0, 0.0));
        assert!((measures.polarity - 0.5).abs() < 1e-6 && measures.area_share == 528.0 / 1600.0);
    }

    #[test]
    fn each_rule_has_its_code() {
        check(&[], Some((Code::WrongBodyPart, "no lung fields")));
        check(&[[1, 1, 4, 4]], Some((Code::WrongBodyPart, "area_share")));
        check(&[RIGHT], Some((Code::WrongView, "fields")));
        check(&[RIGHT, [8, 24, 10, 6]], Some((Code::WrongView, "balance")));
        // One above the other: a chest lying on its side.
        check(&[[4, 8, 12, 22], [24, 8, 12, 22]], Some((Code::WrongView, "apart_x")));
        check(&[[0, 4, 20, 12], [14, 24, 20, 12]], Some((Code::WrongView, "apart_y")));
    }

    #[test]
    fn an_inverted_chest_is_too_poor() {
        let mut inverted = mask(&[RIGHT, LEFT]);
        inverted.measures = inverted.measures.map(|m| Measures { polarity: -m.polarity, ..m });
        let error = judge(&quality(), &inverted).expect_err("inverted");
        assert_eq!(error.code, Code::QualityTooLow);
    }
}
