//! The header of a NIfTI-1 file, for other programs to look at volumes and masks.
//!
//! Ours, because the crate for it stands on another version of the array type than the rest of this service. Source: nifti1.h of the
//! Data Format Working Group (NIMH): 348 bytes of header, 4 of no extension, then the voxels, columns fastest.
use super::affine::{Affine, cross, length};

const HEADER_BYTES: usize = 348;
/// Where the voxels begin: the length of a header here.
pub const NIFTI_VOXELS_AT: usize = HEADER_BYTES + 4;
/// NIFTI_XFORM_SCANNER_ANAT: millimetres of the scanner.
const SCANNER: i16 = 1;
/// NIFTI_UNITS_MM.
const MILLIMETRES: u8 = 2;

/// What a voxel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NiftiType {
    /// DT_UINT8.
    Uint8,
    /// DT_FLOAT32, little endian.
    Float32,
}

impl NiftiType {
    /// Its number in the format, and its bits.
    fn code(self) -> (i16, i16) {
        match self {
            NiftiType::Uint8 => (2, 8),
            NiftiType::Float32 => (16, 32),
        }
    }
}

/// The header of a file whose voxels are slices by rows by columns, with `affine` as sform, turned from LPS to RAS.
///
/// A single slice, whose affine has no third step, is given a thickness of 1 mm, since a NIfTI has no flat voxels. `None`: a side has
/// more than 32,767 voxels, which is more than the format can say.
pub fn nifti_header(size: [usize; 3], affine: &Affine, voxel: NiftiType) -> Option<[u8; NIFTI_VOXELS_AT]> {
    let affine = thick(affine);
    let [slices, rows, columns] = size.map(|side| i16::try_from(side).ok());
    let [x, y, z] = affine.spacing();
    let mut header = [0; NIFTI_VOXELS_AT];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(HEADER_BYTES as i32).to_le_bytes());
    let sides = [3, columns?, rows?, slices?, 1, 1, 1, 1];
    sides.iter().zip((40..).step_by(2)).for_each(|(side, at)| put(at, &side.to_le_bytes()));
    let (code, bits) = voxel.code();
    put(70, &code.to_le_bytes());
    put(72, &bits.to_le_bytes());
    let steps = [1.0, x, y, z, 0.0, 0.0, 0.0, 0.0].map(|v| v as f32);
    steps.iter().zip((76..).step_by(4)).for_each(|(step, at)| put(at, &step.to_le_bytes()));
    put(108, &(NIFTI_VOXELS_AT as f32).to_le_bytes());
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

fn thick(affine: &Affine) -> Affine {
    let [column, row, slice] = [0, 1, 2].map(|axis| affine.step(axis));
    let across = cross(column, row);
    let slice = if slice == [0.0; 3] { across.map(|v| v / length(across)) } else { slice };
    Affine::new([column, row, slice], affine.origin())
}
