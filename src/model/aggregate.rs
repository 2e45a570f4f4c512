//! From slices to the series: which value of its slices is the series', and which slices to look at.
use super::manifest::{Aggregate, Rule};

/// The value of a series whose slices, in order, have these values; at least one.
pub(super) fn series_value(aggregate: &Aggregate, slices: &[f32]) -> f32 {
    let count = aggregate.slices.clamp(1, slices.len().max(1));
    let mut sorted = slices.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    match aggregate.rule {
        Rule::Highest => sorted.get(count - 1).copied().unwrap_or(f32::NEG_INFINITY),
        Rule::Mean => sorted.iter().take(count).sum::<f32>() / count as f32,
        Rule::Run => {
            let lowest = |run: &[f32]| run.iter().copied().fold(f32::INFINITY, f32::min);
            slices.windows(count).map(lowest).fold(f32::NEG_INFINITY, f32::max)
        }
    }
}

/// Indices of the slices with the highest values, the highest first, at most `count`, no two of them neighbours: one finding spans
/// several slices, and three pictures of it say little more than one.
pub(super) fn key_slices(slices: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by(|a, b| slices[*b].total_cmp(&slices[*a]));
    let mut chosen: Vec<usize> = Vec::new();
    for index in order {
        if chosen.len() == count {
            break;
        }
        if chosen.iter().all(|other| index.abs_diff(*other) > 1) {
            chosen.push(index);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_takes_its_value() {
        let slices = [0.1, 0.9, 0.2, 0.7, 0.8, 0.6, 0.0];
        let value =
            |rule, slices_needed| series_value(&Aggregate { rule, slices: slices_needed, key_slices: 3 }, &slices);
        assert_eq!((value(Rule::Highest, 1), value(Rule::Highest, 3)), (0.9, 0.7));
        assert_eq!((value(Rule::Run, 1), value(Rule::Run, 2), value(Rule::Run, 3)), (0.9, 0.7, 0.6));
        assert!((value(Rule::Mean, 3) - 0.8).abs() < 1e-6);
        // Fewer slices than the rule names: those that there are.
        assert_eq!((value(Rule::Highest, 99), value(Rule::Run, 99)), (0.0, 0.0));
    }

    #[test]
    fn key_slices_are_the_best_and_no_neighbours() {
        let slices = [0.1, 0.9, 0.85, 0.2, 0.8, 0.79];
        assert_eq!(key_slices(&slices, 3), [1, 4]);
        assert_eq!(key_slices(&slices, 1), [1]);
        assert_eq!(key_slices(&[0.5], 3), [0]);
    }
}
