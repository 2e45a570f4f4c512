//! Overlay PNGs on disk: one per finding looked for, named after its label.
use std::path::{Path, PathBuf};

use super::outcome::StudyOutcome;
use crate::{
    error::{Code, Error, Result},
    finding::Finding,
    gate::grpc::client::{Client, HeatmapFormat},
};

/// Fetches and writes the overlays of a study, into `out/<Study Instance UID>/`, and notes the paths in `study`.
///
/// Names: `<label>.png`; in a study of several images `<label>-<n>.png`, n as in `StudyOutcome::images`; `<model>-<label>...`
/// where several models look for a finding of that name.
pub(super) async fn write(client: &Client, out: &Path, study: &mut StudyOutcome) -> Result<()> {
    let images = study.images();
    let folder = out.join(study.study.as_str());
    let mut written = Vec::with_capacity(study.findings.len());
    for finding in &study.findings {
        if finding.heatmap.is_none() {
            written.push(None);
            continue;
        }
        let overlay = client.heatmap(&study.study, study.revision, &finding.uid, HeatmapFormat::OverlayPng).await?;
        let place = images.iter().position(|image| *image == (&finding.sop_instance, finding.frame_number));
        let several = |f: &Finding| f.label == finding.label && f.provenance.model != finding.provenance.model;
        let name = match study.findings.iter().any(several) {
            true => format!("{}-{}", finding.provenance.model, finding.label),
            false => finding.label.clone(),
        };
        let name = match place {
            Some(index) if images.len() > 1 => format!("{name}-{}.png", index + 1),
            Some(_) | None => format!("{name}.png"),
        };
        written.push(Some(save(&folder, &name, &overlay.bytes)?));
    }
    study.overlays = written;
    Ok(())
}

fn save(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let saved = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes));
    saved.map_err(|e| {
        Error::new(Code::InvalidArgument, format!("{} cannot be written ({})", path.display(), e.kind()))
    })?;
    Ok(path)
}
