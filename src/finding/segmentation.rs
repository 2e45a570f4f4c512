//! The segmentation: a mask in the geometry of the source slices, packed to bits.
use std::io::{Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use ndarray::{Array2, ArrayView3};

use crate::{
    error::{Error, Result},
    pixel::Affine,
};

/// First bytes of the stored form; the last one is its version.
const MAGIC: &[u8; 8] = b"ORMASK\0\x01";

/// Which voxels of a volume of source slices belong to a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// Slices, rows, columns: those of the source volume.
    size: [u32; 3],
    /// From (column, row, slice) to patient coordinates in mm, LPS.
    affine: Affine,
    /// One bit a voxel, slices by rows by columns, the least significant bit first; whole bytes at the end alone.
    bits: Vec<u8>,
}

impl Segmentation {
    /// The mask of a volume with that affine: slices x rows x columns.
    pub fn of(mask: ArrayView3<'_, bool>, affine: &Affine) -> Segmentation {
        let (slices, rows, columns) = mask.dim();
        let mut bits = vec![0u8; mask.len().div_ceil(8)];
        for (at, _) in mask.iter().enumerate().filter(|(_, inside)| **inside) {
            bits[at / 8] |= 1 << (at % 8);
        }
        // Slices are counted by frames, rows and columns are 16-bit attributes.
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Segmentation { size: [side(slices), side(rows), side(columns)], affine: *affine, bits }
    }

    /// Slices, rows, columns.
    pub fn size(&self) -> [u32; 3] {
        self.size
    }

    /// From (column, row, slice) to patient coordinates in mm, LPS.
    pub fn affine(&self) -> &Affine {
        &self.affine
    }

    /// 0 or 1 for each voxel, slices by rows by columns.
    pub fn values(&self) -> impl Iterator<Item = u8> + '_ {
        (0..voxels(self.size)).map(|at| self.bit(at))
    }

    /// The mask of one slice, rows x columns; `None` when there is no such slice.
    pub fn slice(&self, slice: u32) -> Option<Array2<bool>> {
        let [slices, rows, columns] = self.size;
        let plane = rows as usize * columns as usize;
        let first = slice as usize * plane;
        let inside = |(row, column): (usize, usize)| self.bit(first + row * columns as usize + column) == 1;
        (slice < slices).then(|| Array2::from_shape_fn((rows as usize, columns as usize), inside))
    }

    fn bit(&self, at: usize) -> u8 {
        self.bits[at / 8] >> (at % 8) & 1
    }

    /// The stored form, little endian: magic, size (u32), the affine's three rows (f64), the bits as a zlib stream. Its SHA-256 is
    /// what a finding names.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        self.size.iter().for_each(|side| bytes.extend_from_slice(&side.to_le_bytes()));
        self.affine.rows.as_flattened().iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        let mut packed = ZlibEncoder::new(bytes, Compression::fast());
        let written = packed.write_all(&self.bits).and_then(|()| packed.finish());
        written.map_err(|_| Error::internal("a segmentation could not be packed"))
    }

    /// Slices, rows, columns of a stored form, without unpacking it. Errors: `Internal`, since only we write it.
    pub fn size_in(bytes: &[u8]) -> Result<[u32; 3]> {
        head(bytes).map(|(size, _)| size)
    }

    /// Reads the stored form. Errors: `Internal`, since only we write it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Segmentation> {
        let (size, rest) = head(bytes)?;
        let (numbers, packed) = rest.split_first_chunk::<96>().ok_or_else(damaged)?;
        let mut rows = [[0.0; 4]; 3];
        let cells = rows.as_flattened_mut().iter_mut().zip(numbers.as_chunks::<8>().0);
        cells.for_each(|(cell, bytes)| *cell = f64::from_le_bytes(*bytes));
        let wanted = voxels(size).div_ceil(8);
        let mut bits = Vec::new();
        // One byte more than wanted shows a stream that is too long.
        let read = ZlibDecoder::new(packed).take(wanted as u64 + 1).read_to_end(&mut bits);
        if read.is_err() || bits.len() != wanted {
            return Err(damaged());
        }
        Ok(Segmentation { size, affine: Affine { rows }, bits })
    }
}

fn damaged() -> Error {
    Error::internal("a stored segmentation is damaged")
}

/// The size, and what follows it.
fn head(bytes: &[u8]) -> Result<([u32; 3], &[u8])> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (sides, rest) = rest.split_first_chunk::<12>().ok_or_else(damaged)?;
    let mut size = [0; 3];
    size.iter_mut().zip(sides.as_chunks::<4>().0).for_each(|(side, bytes)| *side = u32::from_le_bytes(*bytes));
    Ok((size, rest))
}

fn voxels(size: [u32; 3]) -> usize {
    size.iter().fold(1, |product: usize, side| product.saturating_mul(*side as usize))
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn affine() -> Affine {
        Affine { rows: [[0.5, 0.0, 0.1, -10.0], [0.0, 0.5, 0.0, 20.25], [0.0, 0.0, 3.0, 1.0 / 3.0]] }
    }

    /// 3 x 5 x 7 voxels: no side is a multiple of 8.
    fn mask() -> Array3<bool> {
        Array3::from_shape_fn((3, 5, 7), |(k, r, c)| (k * 31 + r * 7 + c * 3) % 4 == 0)
    }

    #[test]
    fn the_stored_form_returns_the_mask_and_refuses_damage() {
        let segmentation = Segmentation::of(mask().view(), &affine());
        let bytes = segmentation.to_bytes().expect("packed");
        assert_eq!(Segmentation::from_bytes(&bytes), Ok(segmentation.clone()));
        assert_eq!(segmentation.to_bytes(), Ok(bytes.clone()), "the same bytes, so the same digest");
        for end in 0..bytes.len() - 4 {
            assert!(Segmentation::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn voxels_and_slices_are_those_of_the_mask() {
        let (mask, segmentation) = (mask(), Segmentation::of(mask().view(), &affine()));
        assert!(segmentation.values().eq(mask.iter().map(|inside| u8::from(*inside))));
        for slice in 0..3 {
            let got = segmentation.slice(slice).expect("a slice");
            assert_eq!(got, mask.index_axis(ndarray::Axis(0), slice as usize));
        }
        assert_eq!(segmentation.slice(3), None);
    }
}
