//! One axis of a separable resampling: which source samples each target sample is made of, and with which weights.
use multiversion::multiversion;

/// For each target index a window of source indices with weights that sum to 1, or nothing where it lies outside.
///
/// All windows are equally long, so that loops over them unroll; what is not needed has weight 0.
pub(super) struct Taps {
    starts: Vec<Option<usize>>,
    weights: Vec<f32>,
    width: usize,
}

impl Taps {
    /// A triangle filter. `source`: samples there are, at least 1; sample s has its centre at s and covers half a step to each side.
    /// `centers`: where each target sample lies; `scale`: source steps from one to the next.
    ///
    /// Where `scale` is above 1 the triangle is that much wider (antialiasing), else it is linear interpolation. At the ends the
    /// weights of what is there are brought to a sum of 1; a centre beyond the outer edge (-0.5 or source - 0.5) is outside.
    pub(super) fn triangle(source: usize, centers: impl Iterator<Item = f64>, scale: f64) -> Taps {
        let reach = scale.abs().max(1.0);
        let last = source as f64 - 1.0;
        let windows: Vec<Option<(usize, Vec<f64>)>> = centers
            .map(|center| {
                // A rounding error must not push the outermost sample out.
                let is_inside = center >= -0.5 - 1e-6 && center <= last + 0.5 + 1e-6;
                is_inside.then(|| {
                    let first = (center - reach).ceil().clamp(0.0, last);
                    let end = (center + reach).floor().clamp(0.0, last);
                    let weight = |at: f64| (1.0 - (at - center).abs() / reach).max(0.0);
                    let weights = (first as usize..=end as usize).map(|at| weight(at as f64)).collect();
                    trimmed(first as usize, weights)
                })
            })
            .collect();
        Taps::of(source, windows)
    }

    /// Linear interpolation between samples at `knots`, which rise; before the first and after the last it is that sample.
    pub(super) fn between(knots: &[f64], centers: impl Iterator<Item = f64>) -> Taps {
        let windows = centers.map(|center| {
            let above = knots.partition_point(|knot| *knot <= center);
            match (above.checked_sub(1), knots.get(above)) {
                (Some(below), Some(next)) => {
                    let part = (center - knots[below]) / (next - knots[below]);
                    Some(trimmed(below, vec![1.0 - part, part]))
                }
                (Some(last), None) => Some((last, vec![1.0])),
                (None, _) => Some((0, vec![1.0])),
            }
        });
        Taps::of(knots.len(), windows.collect())
    }

    fn of(source: usize, windows: Vec<Option<(usize, Vec<f64>)>>) -> Taps {
        let width = windows.iter().flatten().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        let mut taps = Taps { starts: Vec::new(), weights: vec![0.0; width * windows.len()], width };
        for (window, place) in windows.iter().zip(taps.weights.chunks_exact_mut(width)) {
            let start = window.as_ref().map(|(first, _)| (*first).min(source - width));
            if let (Some((first, weights)), Some(start)) = (window, start) {
                let sum: f64 = weights.iter().sum();
                place[first - start..]
                    .iter_mut()
                    .zip(weights)
                    .for_each(|(place, weight)| *place = (weight / sum) as f32);
            }
            taps.starts.push(start);
        }
        taps
    }

    /// Source samples that are looked at: first, and one beyond the last. Empty if all is outside.
    pub(super) fn span(&self) -> (usize, usize) {
        let starts = || self.starts.iter().flatten().copied();
        (starts().min().unwrap_or(0), starts().max().map_or(0, |start| start + self.width))
    }

    /// The window of target `index`: its first source index and its weights; `None` outside.
    pub(super) fn of_target(&self, index: usize) -> Option<(usize, &[f32])> {
        self.starts[index].map(|start| (start, &self.weights[index * self.width..][..self.width]))
    }

    /// One row: `row` holds the source samples from `from` on; `out` has as many places as there are targets.
    pub(super) fn apply(&self, row: &[f32], from: usize, out: &mut [f32], outside: f32) {
        match self.width {
            1 => apply_n::<1>(self, row, from, out, outside),
            2 => apply_n::<2>(self, row, from, out, outside),
            3 => apply_n::<3>(self, row, from, out, outside),
            4 => apply_n::<4>(self, row, from, out, outside),
            5 => apply_n::<5>(self, row, from, out, outside),
            _ => {
                let windows = self.weights.chunks_exact(self.width);
                for ((value, start), weights) in out.iter_mut().zip(&self.starts).zip(windows) {
                    *value = match start {
                        Some(start) => row[start - from..].iter().zip(weights).map(|(v, w)| v * w).sum(),
                        None => outside,
                    };
                }
            }
        }
    }
}

fn apply_n<const WIDTH: usize>(taps: &Taps, row: &[f32], from: usize, out: &mut [f32], outside: f32) {
    for ((value, start), weights) in out.iter_mut().zip(&taps.starts).zip(taps.weights.as_chunks::<WIDTH>().0) {
        *value = match start.and_then(|start| row.get(start - from..start - from + WIDTH)) {
            Some(samples) => samples.iter().zip(weights).map(|(v, w)| v * w).sum(),
            None => outside,
        };
    }
}

/// Without zeros at the ends, but not without all.
fn trimmed(first: usize, mut weights: Vec<f64>) -> (usize, Vec<f64>) {
    while weights.len() > 1 && weights.last() == Some(&0.0) {
        weights.pop();
    }
    let zeros = weights.iter().take_while(|weight| **weight == 0.0).count().min(weights.len() - 1);
    (first + zeros, weights.split_off(zeros))
}

/// `out` = the sum of `weights` times rows, each of the length of `out`.
pub(super) fn blend<'a>(rows: impl Iterator<Item = &'a [f32]>, weights: &[f32], out: &mut [f32]) {
    let mut parts = rows.zip(weights).filter(|(_, weight)| **weight != 0.0);
    match parts.next() {
        Some((row, weight)) => scale(row, *weight, out),
        None => out.fill(0.0),
    }
    parts.for_each(|(row, weight)| add(row, *weight, out));
}

#[multiversion(targets("x86_64+avx2"))]
fn scale(row: &[f32], weight: f32, out: &mut [f32]) {
    out.iter_mut().zip(row).for_each(|(out, value)| *out = value * weight);
}

#[multiversion(targets("x86_64+avx2"))]
fn add(row: &[f32], weight: f32, out: &mut [f32]) {
    out.iter_mut().zip(row).for_each(|(out, value)| *out += value * weight);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(taps: &Taps, index: usize) -> Option<Vec<(usize, f32)>> {
        let (start, weights) = taps.of_target(index)?;
        Some(weights.iter().enumerate().map(|(at, w)| (start + at, *w)).filter(|(_, w)| *w != 0.0).collect())
    }

    #[test]
    fn enlarging_is_linear_and_shrinking_takes_all_that_it_covers() {
        let taps = Taps::triangle(4, [-0.6, -0.25, 0.0, 1.25, 3.5, 3.6].into_iter(), 0.5);
        let got: Vec<_> = (0..6).map(|index| window(&taps, index)).collect();
        let ends = |at: usize| Some(vec![(at, 1.0)]);
        assert_eq!(got, [None, ends(0), ends(0), Some(vec![(1, 0.75), (2, 0.25)]), ends(3), None]);
        // Triangle of reach 2 at 0.5: 0.25, 0.75, 0.75, 0.25 of which the first lies outside.
        let taps = Taps::triangle(4, [0.5, 2.5].into_iter(), 2.0);
        let sevenths = |weights: [f32; 3]| weights.map(|w| w / 7.0).to_vec();
        assert_eq!(taps.of_target(0), Some((0, &sevenths([3.0, 3.0, 1.0])[..])));
        assert_eq!(taps.of_target(1), Some((1, &sevenths([1.0, 3.0, 3.0])[..])));
        assert_eq!(taps.span(), (0, 4));
    }

    #[test]
    fn between_knots_the_nearer_counts_more() {
        let taps = Taps::between(&[0.0, 1.0, 4.0], [-1.0, 0.0, 0.5, 3.25, 4.0, 9.0].into_iter());
        let got: Vec<_> = (0..6).filter_map(|index| window(&taps, index)).collect();
        let want = [
            vec![(0, 1.0)],
            vec![(0, 1.0)],
            vec![(0, 0.5), (1, 0.5)],
            vec![(1, 0.25), (2, 0.75)],
            vec![(2, 1.0)],
            vec![(2, 1.0)],
        ];
        assert_eq!(got, want);
    }
}
