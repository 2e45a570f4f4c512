//! Compares what is read with what the corpus says is right: exactly where the coding is lossless, within the row's tolerance else.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use overread::dicom::{Decoder, Instance, Modality};
use overread::error::Result;
use overread::pixel::{Stage, StageFrame, Summary, stage_frame, summarise};

use crate::support::corpus::Verdict;

/// One line of a manifest, by column.
pub(crate) type Row = BTreeMap<String, String>;

pub(crate) const STAGES: [(Stage, &str); 3] =
    [(Stage::Stored, "stored"), (Stage::Modality, "modality"), (Stage::Display, "display")];

/// What lossy frames are compared with.
pub(crate) struct References {
    corpus: PathBuf,
    signatures: serde_json::Value,
}

pub(crate) fn all_frames(instance: &Instance, stage: Stage) -> Result<Summary> {
    summarise((0..instance.header().frames).map(|index| stage_frame(&Decoder::in_process(), instance, stage, index)))
}

pub(crate) fn numbers(frame: &StageFrame) -> Vec<f64> {
    match frame {
        StageFrame::Integers(values) => values.iter().map(|v| *v as f64).collect(),
        StageFrame::Numbers(values) => values.clone(),
        StageFrame::Bytes(values) => values.iter().map(|v| f64::from(*v)).collect(),
    }
}

impl References {
    pub(crate) fn of(corpus: &Path) -> References {
        let signatures = std::fs::read(corpus.join("signatures.json")).unwrap();
        References { corpus: corpus.to_owned(), signatures: serde_json::from_slice(&signatures).unwrap() }
    }

    pub(crate) fn check(&self, row: &Row, instance: &Instance) -> Verdict {
        let summaries = match summaries(row, instance) {
            Ok(summaries) => summaries,
            Err(wrong) => return wrong,
        };
        if summaries.iter().all(|(name, got)| got.sha256 == row[&format!("{name}_all_sha256")]) {
            return Verdict::Right;
        }
        match row["lossy"] == "yes" && self.has_reference(row) {
            true => self.check_lossy(row, instance, &summaries),
            false => check_ranges(row, &summaries),
        }
    }

    fn has_reference(&self, row: &Row) -> bool {
        !row["reference"].is_empty() || self.signatures.get(&row["path"]).is_some()
    }

    /// Stored values of the first frame against the reference decode; of the other stages and frames the means.
    fn check_lossy(&self, row: &Row, instance: &Instance, summaries: &[(&str, Summary)]) -> Verdict {
        let tolerance: f64 = row["tolerance_stored"].parse().unwrap();
        let frame = match stage_frame(&Decoder::in_process(), instance, Stage::Stored, 0) {
            Ok(frame) => numbers(&frame),
            Err(error) => return Verdict::Wrong(format!("stored: {error}")),
        };
        let (got, want) = match row["reference"].as_str() {
            "" => (blocks(instance, &frame), flat(&self.signatures[&row["path"]])),
            png => (frame, read_png(&self.corpus.join(png), instance.header().signed)),
        };
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        if got.len() != want.len() || worst > tolerance {
            let count = got.len();
            return Verdict::Wrong(format!("stored: {count} values, worst difference {worst}, limit {tolerance}"));
        }
        for (name, got) in summaries {
            let limit = match *name {
                "display" => row["tolerance_display"].parse().unwrap(),
                "modality" => tolerance * slope(instance),
                _ => tolerance,
            };
            let want: f64 = row[&format!("{name}_all_mean")].parse().unwrap();
            if (got.mean.unwrap() - want).abs() > limit {
                return Verdict::Wrong(format!("{name}: mean {:?} instead of {want}", got.mean));
            }
        }
        Verdict::WithinTolerance
    }
}

/// All stages that the row has values of.
fn summaries(row: &Row, instance: &Instance) -> std::result::Result<Vec<(&'static str, Summary)>, Verdict> {
    let expected = STAGES.iter().filter(|(_, name)| !row[&format!("{name}_all_sha256")].is_empty());
    let summary = |(stage, name): &(Stage, &'static str)| {
        let summary = all_frames(instance, *stage).map_err(|error| Verdict::Wrong(format!("{name}: {error}")))?;
        Ok((*name, summary))
    };
    expected.map(summary).collect()
}

/// Lowest, highest and mean value of each stage whose hash differs, within the row's tolerance; 0 allows no difference.
fn check_ranges(row: &Row, summaries: &[(&str, Summary)]) -> Verdict {
    for (name, got) in summaries {
        let want = &row[&format!("{name}_all_sha256")];
        let tolerance = if *name == "display" { &row["tolerance_display"] } else { &row["tolerance_stored"] };
        let tolerance: f64 = tolerance.parse().unwrap();
        let close = |key: &str, got: Option<f64>| {
            let want: f64 = row[&format!("{name}_all_{key}")].parse().unwrap();
            (got.unwrap() - want).abs() <= tolerance
        };
        let in_range = close("min", got.min) && close("max", got.max) && close("mean", got.mean);
        if got.sha256 != *want && (tolerance == 0.0 || !in_range) {
            return Verdict::Wrong(format!("{name}: {got:?} instead of {want}"));
        }
    }
    Verdict::WithinTolerance
}

fn slope(instance: &Instance) -> f64 {
    match instance.modality(0).unwrap() {
        Modality::Rescale { slope, .. } => slope.abs(),
        Modality::Lut(_) | Modality::Identity => 1.0,
    }
}

/// Means of 16 x 16 blocks, per sample, as `signatures.json` has them.
fn blocks(instance: &Instance, frame: &[f64]) -> Vec<f64> {
    let header = instance.header();
    let (rows, columns, samples) = (usize::from(header.rows), usize::from(header.columns), usize::from(header.samples));
    let mut means = Vec::new();
    for (block_row, block_column) in (0..16).flat_map(|a| (0..16).map(move |b| (a, b))) {
        for sample in 0..samples {
            let (mut sum, mut count) = (0.0, 0.0);
            for row in block_row * rows / 16..(block_row + 1) * rows / 16 {
                for column in block_column * columns / 16..(block_column + 1) * columns / 16 {
                    sum += frame[(row * columns + column) * samples + sample];
                    count += 1.0;
                }
            }
            means.push(sum / count);
        }
    }
    means
}

fn flat(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => number.as_f64().into_iter().collect(),
    }
}

fn read_png(path: &Path, signed: bool) -> Vec<f64> {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let offset = if signed { 32768.0 } else { 0.0 };
    match info.bit_depth {
        png::BitDepth::Sixteen => {
            bytes.chunks_exact(2).map(|b| f64::from(u16::from_be_bytes([b[0], b[1]])) - offset).collect()
        }
        _ => bytes.iter().map(|b| f64::from(*b) - offset).collect(),
    }
}
