//! Writes a volume as NIfTI-1, for other programs to look at.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Code, Error, Result, Subject};
use crate::pixel::{NiftiType, Volume, nifti_header};

/// Writes the values of `volume`, float32, with its affine as sform, turned from LPS to RAS. Where the slices are not even the affine
/// says where they would lie if they were. A single slice is given a thickness of 1 mm, since a NIfTI has no flat voxels.
///
/// Errors: `InvalidArgument` about `--nii` for a file that cannot be written, or a side of more than 32,767 voxels.
pub(super) fn write(path: &Path, volume: &Volume) -> Result<()> {
    let wrong = |detail: &str| Error::new(Code::InvalidArgument, detail).about(Subject::Field("--nii".to_owned()));
    let header = nifti_header(volume.stack.size, &volume.stack.affine, NiftiType::Float32);
    let header = header.ok_or_else(|| wrong("a NIfTI-1 has at most 32,767 voxels to a side"))?;
    let written = || -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        out.write_all(&header)?;
        // Slices, rows, columns: already the order of the format.
        volume.values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
        out.flush()
    };
    written().map_err(|_| wrong("the file cannot be written"))
}
