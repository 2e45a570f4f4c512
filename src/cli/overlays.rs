//! Overlay PNGs on disk: one per finding looked for, of a series one per key slice, named after its label.
use std::path::{Path, PathBuf};

use super::outcome::StudyOutcome;
use crate::{
    error::{Code, Error, Result},
    finding::{Finding, OfSeries},
    gate::grpc::client::{Client, HeatmapFormat},
};

/// Fetches and writes the overlays of a study, into `out/<Study Instance UID>/`, and notes the paths in `study`.
///
/// Names: `<label>.png`; in a study of several images `<label>-<n>.png`, n as in `StudyOutcome::images`; of a series
/// `<label>-series-<n>-slice-<k>.png`, n as in `StudyOutcome::series`, k from 1 in the order of the slices; `<model>-<label>...` where
/// several models look for a finding of that name.
pub(super) async fn write(client: &Client, out: &Path, study: &mut StudyOutcome) -> Result<()> {
    let folder = out.join(study.study.as_str());
    let mut written = Vec::with_capacity(study.findings.len());
    for finding in &study.findings {
        let several = |f: &Finding| f.label == finding.label && f.provenance.model != finding.provenance.model;
        let name = match study.findings.iter().any(several) {
            true => format!("{}-{}", finding.provenance.model, finding.label),
            false => finding.label.clone(),
        };
        written.push(match &finding.of_series {
            Some(of) => of_series(client, &folder, study, (finding, of), &name).await?,
            None => of_image(client, &folder, study, finding, &name).await?,
        });
    }
    study.overlays = written;
    Ok(())
}

async fn of_image(
    client: &Client,
    folder: &Path,
    study: &StudyOutcome,
    finding: &Finding,
    name: &str,
) -> Result<Vec<PathBuf>> {
    if finding.heatmap.is_none() {
        return Ok(Vec::new());
    }
    let overlay = client.heatmap(&study.study, study.revision, &finding.uid, HeatmapFormat::OverlayPng).await?;
    let images = study.images();
    let place = images.iter().position(|image| *image == (&finding.sop_instance, finding.frame_number));
    let name = match place {
        Some(index) if images.len() > 1 => format!("{name}-{}.png", index + 1),
        Some(_) | None => format!("{name}.png"),
    };
    Ok(vec![save(folder, &name, &overlay.bytes)?])
}

async fn of_series(
    client: &Client,
    folder: &Path,
    study: &StudyOutcome,
    (finding, of): (&Finding, &OfSeries),
    name: &str,
) -> Result<Vec<PathBuf>> {
    let series = study.series().iter().position(|series| **series == of.series).map_or(0, |index| index + 1);
    let mut paths = Vec::new();
    for (place, key) in (1..).zip(&of.key_slices).filter(|(_, key)| key.heatmap.is_some()) {
        let of = (&finding.uid, place);
        let overlay = client.key_heatmap(&study.study, study.revision, of, HeatmapFormat::OverlayPng).await?;
        paths.push(save(folder, &format!("{name}-series-{series}-slice-{:03}.png", key.slice + 1), &overlay.bytes)?);
    }
    Ok(paths)
}

fn save(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let saved = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes));
    saved.map_err(|e| {
        Error::new(Code::InvalidArgument, format!("{} cannot be written ({})", path.display(), e.kind()))
    })?;
    Ok(path)
}
