//! Reads the NumPy files of a model folder: format 1.0, float32, little endian, C order, at most 16 MiB.
use ndarray::{ArrayD, IxDyn};

/// Bytes that a golden file may hold; a 4096 x 4096 input is not an example to keep beside a model.
pub(super) const NPY_BYTES_MAX: u64 = 16 << 20;

/// The array, or what is wrong with the bytes.
pub(super) fn read(bytes: &[u8]) -> Result<ArrayD<f32>, &'static str> {
    let version_at = bytes.strip_prefix(b"\x93NUMPY").ok_or("is not a NumPy file")?;
    let [1, 0, low, high, rest @ ..] = version_at else { return Err("is not NumPy format 1.0") };
    let header_len = usize::from(u16::from_le_bytes([*low, *high]));
    let (header, data) = rest.split_at_checked(header_len).ok_or("ends within its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "has an unreadable header")?;
    if !header.contains("'descr': '<f4'") || !header.contains("'fortran_order': False") {
        return Err("is not float32 in C order");
    }
    let shape = shape(header).ok_or("has an unreadable shape")?;
    let count = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side)).ok_or("is too large")?;
    if count.checked_mul(4) != Some(data.len()) {
        return Err("holds another number of values than its shape says");
    }
    let values = data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|_| "holds another number of values than its shape says")
}

/// `(1, 1, 64, 64)` of the header's dictionary.
fn shape(header: &str) -> Option<Vec<usize>> {
    let after = header.split_once("'shape': (")?.1;
    let inside = after.split_once(')')?.0;
    inside.split(',').map(str::trim).filter(|side| !side.is_empty()).map(|side| side.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(shape: &str, values: &[f32]) -> Vec<u8> {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bytes
    }

    #[test]
    fn an_array_is_read_in_its_shape() {
        let array = read(&file("(1, 2)", &[1.5, -2.0])).expect("a valid file");
        assert_eq!((array.shape(), array.as_slice()), ([1, 2].as_slice(), Some([1.5, -2.0].as_slice())));
        assert_eq!(read(&file("(2,)", &[1.0, 2.0])).map(|a| a.ndim()), Ok(1));
    }

    #[test]
    fn a_file_cut_at_any_byte_is_refused() {
        let whole = file("(3, 1)", &[1.0, 2.0, 3.0]);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        assert!(read(&file("(4611686018427387904, 4)", &[1.0])).is_err(), "a product that wraps");
    }
}
