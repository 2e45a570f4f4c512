//! A finding just made and the artifacts that it names: heatmaps and a segmentation, each by the digest of its stored form.
use sha2::{Digest, Sha256};

use super::{Finding, Heatmap, Segmentation};
use crate::error::Result;

/// A finding that does not name its artifacts yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The finding.
    pub finding: Finding,
    /// Heatmaps; of a series with the place of their slice among the key slices.
    pub heatmaps: Vec<(usize, Heatmap)>,
    /// The mask, if it is a segmentation's.
    pub segmentation: Option<Segmentation>,
}

/// Bytes to be made durable under their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What of the finding it is.
    pub role: Role,
    /// SHA-256 of `bytes`, hexadecimal: what the finding names.
    pub sha256: String,
    /// The stored form.
    pub bytes: Vec<u8>,
}

/// What an artifact is to its finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The heatmap of its image.
    Heatmap,
    /// The heatmap of one of its key slices, counted from 1 in the finding's order.
    KeyHeatmap(u32),
    /// Its mask.
    Segmentation,
}

impl Made {
    /// The finding with the names of its artifacts, and these. Errors: `Internal`.
    pub fn named(self) -> Result<(Finding, Vec<Artifact>)> {
        let Made { mut finding, heatmaps, segmentation } = self;
        let mut artifacts = Vec::new();
        for (place, heatmap) in heatmaps {
            let artifact = |role| Artifact::of(role, heatmap.to_bytes());
            let artifact = match finding.of_series.as_mut().and_then(|of| of.key_slices.get_mut(place)) {
                Some(key) => {
                    let artifact = artifact(Role::KeyHeatmap(u32::try_from(place + 1).unwrap_or(u32::MAX)));
                    key.heatmap = Some(artifact.sha256.clone());
                    artifact
                }
                None => artifact(Role::Heatmap),
            };
            if place == 0 {
                finding.heatmap = Some(artifact.sha256.clone());
            }
            artifacts.push(artifact);
        }
        if let (Some(segmentation), Some(of)) = (segmentation, finding.of_series.as_mut()) {
            let artifact = Artifact::of(Role::Segmentation, segmentation.to_bytes()?);
            of.segmentation = Some(artifact.sha256.clone());
            artifacts.push(artifact);
        }
        Ok((finding, artifacts))
    }
}

impl Artifact {
    fn of(role: Role, bytes: Vec<u8>) -> Artifact {
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Artifact { role, sha256, bytes }
    }
}
