//! Writes a volume as NIfTI-1, for other programs to look at.
//!
//! Ours, because the crate for it stands on another version of the array type than the rest of this service. Source: nifti1.h of the
//! Data Format Working Group (NIMH): 348 bytes of header, 4 of no extension, then the voxels, columns fastest.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Code, Error, Result, Subject};
use crate::pixel::{Affine, Volume};

const HEADER_BYTES: usize = 348;
const VOXELS_AT: usize = HEADER_BYTES + 4;
/// DT_FLOAT32.
const FLOAT_32: i16 = 16;
/// NIFTI_XFORM_SCANNER_ANAT: millimetres of the scanner.
const SCANNER: i16 = 1;
/// NIFTI_UNITS_MM.
const MILLIMETRES: u8 = 2;

/// Writes the values of `volume`, float32, with its affine as sform, turned from LPS to RAS. Where the slices are not even the affine
/// says where they would lie if they were. A single slice is given a thickness of 1 mm, since a NIfTI has no flat voxels.
///
/// Errors: `InvalidArgument` about `--nii` for a file that cannot be written, or a side of more than 32,767 voxels.
pub(super) fn write(path: &Path, volume: &Volume) -> Result<()> {
    let wrong = |detail: &str| Error::new(Code::InvalidArgument, detail).about(Subject::Field("--nii".to_owned()));
    let header = header(volume).ok_or_else(|| wrong("a NIfTI-1 has at most 32,767 voxels to a side"))?;
    let written = || -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        out.write_all(&header)?;
        // Slices, rows, columns: already the order of the format.
        volume.values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
        out.flush()
    };
    written().map_err(|_| wrong("the file cannot be written"))
}

/// `None` if a side does not fit.
fn header(volume: &Volume) -> Option<[u8; VOXELS_AT]> {
    let affine = thick(&volume.stack.affine, volume.stack.normal());
    let [slices, rows, columns] = volume.stack.size.map(|side| i16::try_from(side).ok());
    let [x, y, z] = affine.spacing();
    let mut header = [0; VOXELS_AT];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(HEADER_BYTES as i32).to_le_bytes());
    let sides = [3, columns?, rows?, slices?, 1, 1, 1, 1];
    sides.iter().zip((40..).step_by(2)).for_each(|(side, at)| put(at, &side.to_le_bytes()));
    put(70, &FLOAT_32.to_le_bytes());
    put(72, &32i16.to_le_bytes());
    let steps = [1.0, x, y, z, 0.0, 0.0, 0.0, 0.0].map(|v| v as f32);
    steps.iter().zip((76..).step_by(4)).for_each(|(step, at)| put(at, &step.to_le_bytes()));
    put(108, &(VOXELS_AT as f32).to_le_bytes());
    put(112, &1f32.to_le_bytes());
    put(123, &[MILLIMETRES]);
    put(254, &SCANNER.to_le_bytes());
    let [left, posterior, superior] = affine.rows;
    let rows = [left.map(|v| -v), posterior.map(|v| -v), superior];
    let numbers = rows.as_flattened().iter().map(|v| *v as f32);
    numbers.zip((280..).step_by(4)).for_each(|(number, at)| put(at, &number.to_le_bytes()));
    put(344, b"n+1\0");
    Some(header)
}

fn thick(affine: &Affine, normal: [f64; 3]) -> Affine {
    let [column, row, slice] = [0, 1, 2].map(|axis| affine.step(axis));
    let slice = if slice == [0.0; 3] { normal } else { slice };
    Affine::new([column, row, slice], affine.origin())
}
