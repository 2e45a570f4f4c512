//! The outcome of `analyze` and the answer of `explain` as text for people: readable without colour, narrow enough for a terminal.
use std::fmt::Write;

use super::outcome::{Outcome, SentFile, StudyOutcome};
use crate::{
    finding::{self, Finding, NotAnalysed, OfSeries, Quantity, ReadVolume},
    gate::grpc::client::{Explanation, Target},
    uid::Uid,
};

/// Cells of the bar that shows a probability.
const BAR_CELLS: usize = 20;
/// Parts of a segmentation listed one by one.
const PARTS_LISTED: u32 = 3;
/// Refused files listed one by one; beyond, a line counts the rest (report.json has all).
const REFUSED_LISTED: usize = 20;

/// Findings study by study, then what was refused, then a summary line.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let mut text = String::new();
    for study in &outcome.studies {
        study_block(&mut text, study);
    }
    refused_block(&mut text, &outcome.files);
    summary(&mut text, outcome);
    text
}

// Writing to a String cannot fail: the results of `write!` below are dropped on purpose.

fn study_block(text: &mut String, study: &StudyOutcome) {
    let _ = writeln!(text, "study {}  revision {}  {}", study.study, study.revision, study.state.name());
    if !study.findings.is_empty() {
        let width = study.findings.iter().map(|f| words(&f.label).len()).max().unwrap_or(0).max("finding".len());
        let _ =
            writeln!(text, "  {:width$}  probability{:gap$}  threshold  outcome", "finding", "", gap = BAR_CELLS - 6);
        let series = study.series();
        for finding in &study.findings {
            finding_line(text, finding, width);
            if let Some(of) = &finding.of_series {
                series_lines(text, of, series.iter().position(|series| **series == of.series).map_or(0, |at| at + 1));
            }
        }
        study.volumes.iter().for_each(|volume| volume_line(text, volume, &series));
        models_line(text, &study.findings);
    }
    for entry in &study.not_analysed {
        not_analysed_lines(text, entry);
    }
    text.push('\n');
}

fn finding_line(text: &mut String, finding: &Finding, width: usize) {
    let mark = if finding.experimental { "  (experimental)" } else { "" };
    let _ = writeln!(
        text,
        "  {:width$}  {:.2} {}       {:.2}  {}{mark}",
        words(&finding.label),
        finding.probability,
        bar(finding.probability, finding.threshold),
        finding.threshold,
        match finding.outcome {
            finding::Outcome::Positive => "POSITIVE",
            finding::Outcome::Negative => "negative",
            finding::Outcome::Indeterminate => "indeterminate",
        },
    );
}

/// Which slices show a finding, and how large it is.
fn series_lines(text: &mut String, of: &OfSeries, number: usize) {
    let key_slices: Vec<String> =
        of.key_slices.iter().map(|key| format!("{} ({:.2})", key.slice + 1, key.probability)).collect();
    let slices = of.sources.len();
    let _ = match key_slices.is_empty() {
        true => writeln!(text, "    series {number}, {slices} slices"),
        false => writeln!(text, "    series {number}, {slices} slices; look at {}", key_slices.join(", ")),
    };
    if let Some(volume) = of.leading(Quantity::Volume) {
        let parts = of.measured.iter().map(|measured| measured.part).max().unwrap_or(0);
        let listed: Vec<String> = (1..=parts.min(PARTS_LISTED)).filter_map(|part| part_words(of, part)).collect();
        // How many there are is not told: only the largest are measured one by one.
        let rest = if parts > PARTS_LISTED { "; and smaller ones" } else { "" };
        let _ = writeln!(text, "    {volume:.1} mL in all: {}{rest}", listed.join("; "));
    }
}

/// `12.3 mL, 34 mm at (-10, 20, 30)`: volume, longest diameter in a slice, centroid (left, posterior, superior).
fn part_words(of: &OfSeries, part: u32) -> Option<String> {
    let values = |quantity| {
        let found = of.measured.iter().find(|measured| measured.quantity == quantity && measured.part == part);
        found.map(|measured| measured.values.as_slice())
    };
    match (values(Quantity::Volume)?, values(Quantity::LongestAxialDiameter)?, values(Quantity::Centroid)?) {
        ([volume], [diameter], [left, posterior, superior]) => {
            Some(format!("{volume:.1} mL, {diameter:.0} mm at ({left:.0}, {posterior:.0}, {superior:.0}) mm"))
        }
        _ => None,
    }
}

/// A series that was read, and with which defects.
fn volume_line(text: &mut String, volume: &ReadVolume, series: &[&Uid]) {
    let number = series.iter().position(|known| **known == volume.series).map_or(0, |index| index + 1);
    let ([slices, rows, columns], [gap, ..]) = (volume.size, volume.spacing);
    let _ = writeln!(text, "  series {number}: {}, {slices} x {rows} x {columns}, {gap:.2} mm apart", volume.series);
    for defect in &volume.warnings {
        let _ = writeln!(text, "    warning {}: {}", defect.name(), defect.row().means);
    }
}

/// `████████····|·······`: the filled part is the probability, the stroke the threshold.
fn bar(probability: f32, threshold: f32) -> String {
    let cell = |value: f32| (value.clamp(0.0, 1.0) * BAR_CELLS as f32).round() as usize;
    let (filled, stroke) = (cell(probability), cell(threshold).min(BAR_CELLS - 1));
    (0..BAR_CELLS)
        .map(|at| {
            if at == stroke {
                '|'
            } else if at < filled {
                '█'
            } else {
                '·'
            }
        })
        .collect()
}

fn models_line(text: &mut String, findings: &[Finding]) {
    let mut models: Vec<String> = findings
        .iter()
        .map(|f| format!("{} {} ({:.12})", f.provenance.model, f.provenance.version, f.provenance.weights_sha256))
        .collect();
    models.dedup();
    let _ = writeln!(text, "  by {}; research use only, not a diagnosis", models.join(", "));
}

fn not_analysed_lines(text: &mut String, entry: &NotAnalysed) {
    let _ = writeln!(text, "  not analysed {}: {}: {}", entry.code, entry.subject, entry.detail);
    let _ = writeln!(text, "    do: {}", entry.code.row().remedy);
}

fn refused_block(text: &mut String, files: &[SentFile]) {
    let told: Vec<_> = files.iter().filter_map(|file| file.error.as_ref().map(|error| (file, error))).collect();
    for (file, error) in told.iter().take(REFUSED_LISTED) {
        let _ =
            writeln!(text, "{} {}\n  {error}\n    do: {}", file.receipt, file.path.display(), error.code.row().remedy);
    }
    if told.len() > REFUSED_LISTED {
        let _ = writeln!(text, "... and {} more; --format json lists all", told.len() - REFUSED_LISTED);
    }
}

fn summary(text: &mut String, outcome: &Outcome) {
    let count = |receipt: &str| outcome.files.iter().filter(|file| file.receipt == receipt).count();
    let findings: usize = outcome.studies.iter().map(|study| study.findings.len()).sum();
    let positive = |study: &StudyOutcome| study.findings.iter().any(|f| f.outcome == finding::Outcome::Positive);
    let _ = writeln!(
        text,
        "{} files: {} stored, {} known already, {} in conflict, {} refused; {} studies, {} findings looked for, {} studies with a positive one",
        outcome.files.len(),
        count("stored"),
        count("duplicate"),
        count("conflict"),
        count("refused"),
        outcome.studies.len(),
        findings,
        outcome.studies.iter().filter(|study| positive(study)).count(),
    );
}

/// Labels are snake case in the API; people read words.
fn words(label: &str) -> String {
    label.replace('_', " ")
}

/// Why a study revision was treated as it was.
pub(super) fn explanation(explanation: &Explanation) -> String {
    let mut text = String::new();
    let study = &explanation.study;
    let _ = writeln!(
        text,
        "study {}  revision {} of {}  {}",
        study.study,
        explanation.revision,
        study.revision,
        study.state.name()
    );
    let _ = writeln!(text, "  instances: {} stored, {} refused", study.instances, study.refused);
    let _ = match &explanation.sealed_by {
        Some(by) => writeln!(text, "  sealed by {by}"),
        None => writeln!(text, "  not sealed yet: instances are still expected"),
    };
    for target in &explanation.targets {
        target_line(&mut text, target);
    }
    for choice in &explanation.choices {
        for series in &choice.series {
            let _ = writeln!(text, "  {} reads series {series}", choice.model);
        }
        for rejection in &choice.rejections {
            let _ = writeln!(
                text,
                "  {} does not read {}: {} {}",
                choice.model, rejection.subject, rejection.code, rejection.detail
            );
        }
    }
    for entry in explanation.not_analysed.iter().chain(&explanation.refusals) {
        not_analysed_lines(&mut text, entry);
    }
    text
}

fn target_line(text: &mut String, target: &Target) {
    let started = match target.attempts {
        1 => "started once".to_owned(),
        attempts => format!("started {attempts} times"),
    };
    let _ =
        writeln!(text, "  {} {} ({:.12}): {}, {started}", target.model, target.version, target.digest, target.state);
    if let Some(reason) = &target.reason {
        not_analysed_lines(text, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_bar(probability: f32, threshold: f32, want: &str) {
        assert_eq!(bar(probability, threshold), want);
    }

    #[test]
    fn a_bar_shows_probability_and_threshold() {
        check_bar(0.0, 0.5, "··········|·········");
        check_bar(1.0, 0.5, "██████████|█████████");
        check_bar(0.25, 1.0, "█████··············|");
        check_bar(f32::NAN, 0.0, "|···················");
    }
}
