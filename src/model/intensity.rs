//! From modality values to the range that a network knows: windows, then the manifest's steps, each with the statistics it asks for.
//!
//! Quantiles are exact and need no copy of the series: two passes over the values count the digits of the one that is sought.
use ndarray::{Array2, ArrayView2, Axis, Zip};

use super::manifest::{Intensity, Of, Over};
use crate::pixel::Volume;

/// A range below this counts as this: a flat slice becomes 0, not noise.
const RANGE_MIN: f64 = 1e-6;

/// `(x - low) * scale`, clipped to 0..1 where it says so.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    low: f32,
    scale: f32,
    clips: bool,
}

impl Line {
    fn span(low: f64, high: f64) -> Line {
        Line { low: low as f32, scale: (1.0 / (high - low).max(RANGE_MIN)) as f32, clips: true }
    }

    fn apply(self, value: f32) -> f32 {
        let scaled = (value - self.low) * self.scale;
        if self.clips { scaled.clamp(0.0, 1.0) } else { scaled }
    }
}

/// One step, as far as the series settles it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Same(Line),
    /// Each slice has its own line.
    Slice(Intensity),
}

/// What makes one channel of a slice's values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaler(Vec<Step>);

impl Scaler {
    /// One for each window; one in all where there is none. Statistics that are the series' are taken here, in passes over the volume.
    pub(super) fn of(windows: &[[f32; 2]], steps: &[Intensity], volume: &Volume) -> Vec<Scaler> {
        let window = |[level, width]: &[f32; 2]| {
            let [level, width] = [f64::from(*level), f64::from(*width)];
            vec![Step::Same(Line::span(level - width / 2.0, level + width / 2.0))]
        };
        let starts = if windows.is_empty() { vec![Vec::new()] } else { windows.iter().map(window).collect() };
        let whole = |start| {
            steps.iter().fold(Scaler(start), |mut scaler, step| {
                let next = match step.over() {
                    Over::Slice => Step::Slice(*step),
                    Over::Series => Step::Same(step.line(&|| scaler.values(volume))),
                };
                scaler.0.push(next);
                scaler
            })
        };
        starts.into_iter().map(whole).collect()
    }

    /// The channel's values of one slice. Padding is 0 and counts nowhere.
    pub(super) fn slice(&self, values: ArrayView2<'_, f32>, padding: Option<ArrayView2<'_, bool>>) -> Array2<f32> {
        let mut scaled = values.to_owned();
        for step in &self.0 {
            let line = match step {
                Step::Same(line) => *line,
                Step::Slice(intensity) => intensity.line(&|| unpadded(scaled.view(), padding)),
            };
            scaled.mapv_inplace(|value| line.apply(value));
        }
        if let Some(padding) = padding {
            Zip::from(&mut scaled).and(padding).for_each(|value, padding| *value = if *padding { 0.0 } else { *value });
        }
        scaled
    }

    /// The channel's values of all slices, without padding.
    pub(super) fn values<'a>(&'a self, volume: &'a Volume) -> impl Iterator<Item = f32> + 'a {
        volume.values.axis_iter(Axis(0)).enumerate().flat_map(move |(index, slice)| {
            let padding = volume.padding.as_ref().map(|padding| padding.index_axis(Axis(0), index));
            let scaled = self.slice(slice, padding);
            let values: Vec<f32> = unpadded(scaled.view(), padding).collect();
            values
        })
    }
}

fn unpadded<'v, 'p>(
    values: ArrayView2<'v, f32>,
    padding: Option<ArrayView2<'p, bool>>,
) -> impl Iterator<Item = f32> + use<'v, 'p> {
    let (rows, columns) = values.dim();
    let places = (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)));
    let is_padding = move |at: &(usize, usize)| padding.is_some_and(|padding| padding[*at]);
    places.filter(move |at| !is_padding(at)).map(move |at| values[at])
}

impl Intensity {
    fn over(&self) -> Over {
        match self {
            Intensity::Range { .. } => Over::Series,
            Intensity::Quantile { over, .. } | Intensity::Zscore { over, .. } => *over,
        }
    }

    /// The line of this step for those values, which can be gone through several times.
    fn line<I: Iterator<Item = f32>>(&self, values: &impl Fn() -> I) -> Line {
        match *self {
            Intensity::Range { low, high } => Line::span(f64::from(low), f64::from(high)),
            Intensity::Quantile { low, high, of, .. } => {
                let least = of.least(values);
                let [low, high] = quantiles(&|| values().filter(move |value| *value > least), [low, high]);
                Line::span(low, high)
            }
            Intensity::Zscore { of, .. } => {
                let least = of.least(values);
                let (mean, std) = moments(values().filter(|value| *value > least));
                Line { low: mean as f32, scale: (1.0 / std.max(RANGE_MIN)) as f32, clips: false }
            }
        }
    }
}

impl Of {
    /// Values above this count.
    fn least<I: Iterator<Item = f32>>(self, values: &impl Fn() -> I) -> f32 {
        match self {
            Of::All => f32::NEG_INFINITY,
            Of::Foreground => moments(values()).0 as f32,
        }
    }
}

/// Mean and standard deviation of the population, in float64. Without values both are 0.
fn moments(values: impl Iterator<Item = f32>) -> (f64, f64) {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in values.map(f64::from) {
        (count, sum, squares) = (count + 1.0, sum + value, squares + value * value);
    }
    if count == 0.0 {
        return (0.0, 0.0);
    }
    let mean = sum / count;
    (mean, (squares / count - mean * mean).max(0.0).sqrt())
}

/// Two quantiles: index `q * (n - 1)` of the sorted values, linear between neighbours (numpy's default). Without values: 0.
pub(super) fn quantiles<I: Iterator<Item = f32>>(values: &impl Fn() -> I, shares: [f64; 2]) -> [f64; 2] {
    let mut coarse = vec![0u64; 1 << 16];
    let mut count = 0u64;
    for value in values() {
        coarse[(key(value) >> 16) as usize] += 1;
        count += 1;
    }
    let Some(last) = count.checked_sub(1) else { return [0.0; 2] };
    shares.map(|share| {
        let position = share * last as f64;
        let (low, high) = (position.floor() as u64, position.ceil() as u64);
        let [low, high] = [low, high].map(|rank| f64::from(nth(values, &coarse, rank)));
        low + (high - low) * position.fract()
    })
}

/// The value at `rank` in order: its upper 16 bits from the counts, its lower ones from a pass over the values that share those.
fn nth<I: Iterator<Item = f32>>(values: &impl Fn() -> I, coarse: &[u64], rank: u64) -> f32 {
    let (upper, rank) = descend(coarse, rank);
    let mut fine = vec![0u64; 1 << 16];
    for value in values() {
        let key = key(value);
        if key >> 16 == upper {
            fine[(key & 0xFFFF) as usize] += 1;
        }
    }
    let (lower, _) = descend(&fine, rank);
    let key = (upper << 16) | lower;
    f32::from_bits(if key >> 31 == 1 { key ^ 0x8000_0000 } else { !key })
}

/// The cell that holds `rank`, and the rank within it.
fn descend(counts: &[u64], mut rank: u64) -> (u32, u64) {
    for (cell, count) in counts.iter().enumerate() {
        match rank.checked_sub(*count) {
            Some(rest) => rank = rest,
            None => return (cell as u32, rank),
        }
    }
    (counts.len() as u32 - 1, 0)
}

/// The bits in an order that is that of the values (IEEE 754: the sign first, negative numbers counting down).
fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits ^ 0x8000_0000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([3, -1, 4, 1, -5, 9, 2.5, 6], [0, 0.01, 0.5, 0.99, 1])
        let values = [3.0f32, -1.0, 4.0, 1.0, -5.0, 9.0, 2.5, 6.0];
        for (q, want) in [(0.0, -5.0), (0.01, -4.72), (0.5, 2.75), (0.99, 8.79), (1.0, 9.0)] {
            let [got, _] = quantiles(&|| values.iter().copied(), [q, 1.0]);
            assert!((got - want).abs() < 1e-6, "{q}: {got}, not {want}");
        }
        assert_eq!(quantiles(&|| std::iter::empty(), [0.1, 0.9]), [0.0, 0.0]);
    }

    #[test]
    fn the_order_of_keys_is_that_of_values() {
        let values = [-f32::MAX, -1.5, -1e-30, -0.0, 0.0, 1e-30, 2.0, f32::MAX];
        assert!(
            values
                .windows(2)
                .all(|pair| key(pair[0]) <= key(pair[1]) && (pair[0] == pair[1] || key(pair[0]) < key(pair[1])))
        );
    }

    #[test]
    fn foreground_is_what_is_above_the_mean() {
        let values = [0.0f32, 0.0, 0.0, 10.0, 20.0, 30.0];
        let step = Intensity::Zscore { over: Over::Series, of: Of::Foreground };
        // Mean of all 10: 20 and 30 count, mean 25, deviation 5.
        let line = step.line(&|| values.iter().copied());
        assert_eq!((line.apply(25.0), line.apply(30.0), line.apply(0.0)), (0.0, 1.0, -5.0));
    }
}
