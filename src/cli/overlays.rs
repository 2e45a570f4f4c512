//! Overlay PNGs on disk: one per finding looked for, named after its label.
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::outcome::StudyOutcome;
use crate::{
    error::{Code, Error, Result},
    gate::grpc::client::{Client, HeatmapFormat},
    uid::Uid,
};

/// Fetches and writes the overlays of a study, into `out/<Study Instance UID>/`, and notes the paths in `study`.
///
/// Names: `<label>.png`; in a study of several images `<label>-<n>.png`, n counting the images in the order of the report.
pub(super) async fn write(client: &Client, out: &Path, study: &mut StudyOutcome) -> Result<()> {
    let images: BTreeSet<(&Uid, u32)> = study.findings.iter().map(|f| (&f.sop_instance, f.frame_number)).collect();
    let images: Vec<_> = images.into_iter().collect();
    let folder = out.join(study.study.as_str());
    let mut written = Vec::with_capacity(study.findings.len());
    for finding in &study.findings {
        if finding.heatmap.is_none() {
            written.push(None);
            continue;
        }
        let overlay = client.heatmap(&study.study, study.revision, &finding.uid, HeatmapFormat::OverlayPng).await?;
        let place = images.iter().position(|image| *image == (&finding.sop_instance, finding.frame_number));
        let name = match place {
            Some(index) if images.len() > 1 => format!("{}-{}.png", finding.label, index + 1),
            Some(_) | None => format!("{}.png", finding.label),
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
