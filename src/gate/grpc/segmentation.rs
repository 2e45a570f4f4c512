//! A stored segmentation in one of the formats of the API.
use bytes::Bytes;

use super::{budget::Share, series, serve::Gate, v1};
use crate::{
    error::{Code, Error, Result},
    finding::{OfSeries, Segmentation},
    pixel::{self, NiftiType},
};

/// How a segmentation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Nifti,
    Bytes,
}

impl Format {
    /// `None` for UNSPECIFIED.
    pub(super) fn of(format: v1::SegmentationFormat) -> Option<Format> {
        match format {
            v1::SegmentationFormat::Unspecified => None,
            v1::SegmentationFormat::Nifti => Some(Format::Nifti),
            v1::SegmentationFormat::Bytes => Some(Format::Bytes),
        }
    }

    fn message(self) -> v1::SegmentationFormat {
        match self {
            Format::Nifti => v1::SegmentationFormat::Nifti,
            Format::Bytes => v1::SegmentationFormat::Bytes,
        }
    }
}

/// A segmentation as it is sent.
pub(super) struct Written {
    pub(super) header: v1::SegmentationHeader,
    pub(super) bytes: Bytes,
    /// Its memory, held until it is sent.
    _share: Share,
}

/// Writes the segmentation of a finding that `artifact` holds.
pub(super) async fn write(gate: &Gate, of: &OfSeries, artifact: Bytes, format: Format) -> Result<Written> {
    let sources = series::sources(&of.sources);
    let voxels =
        Segmentation::size_in(&artifact)?.iter().fold(1u64, |product, side| product.saturating_mul(u64::from(*side)));
    // A byte a voxel, and an eighth for the bits.
    let share = gate.budget.reserve(voxels.saturating_add(voxels / 8)).await?;
    let work = move || {
        let segmentation = Segmentation::from_bytes(&artifact)?;
        let ([slices, rows, columns], affine) = (segmentation.size(), segmentation.affine());
        let mut bytes = match format {
            Format::Nifti => {
                let size = segmentation.size().map(|side| side as usize);
                let header = pixel::nifti_header(size, affine, NiftiType::Uint8);
                header
                    .ok_or_else(|| Error::new(Code::TooLarge, "a NIfTI-1 has at most 32,767 voxels to a side"))?
                    .to_vec()
            }
            Format::Bytes => Vec::new(),
        };
        bytes.extend(segmentation.values());
        let header = v1::SegmentationHeader {
            format: format.message().into(),
            slices,
            rows,
            columns,
            sources,
            affine: affine.matrix().to_vec(),
            size_bytes: bytes.len() as u64,
        };
        Ok(Written { header, bytes: bytes.into(), _share: share })
    };
    // Unpacking is CPU work: off the async threads.
    match tokio::task::spawn_blocking(work).await {
        Ok(written) => written,
        Err(_) => Err(Error::internal("writing the segmentation failed unexpectedly")),
    }
}
