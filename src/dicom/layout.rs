//! Sizes of native frames (PS3.5 section 8.1).
use super::{Header, Photometric};

/// Samples of one frame as they are stored: chroma of 4:2:2 images is there once for two pixels.
pub(super) fn stored_samples(header: &Header) -> u64 {
    let pixels = header.frame_pixels() as u64;
    match header.photometric {
        Photometric::YbrFull422 | Photometric::YbrPartial422 => pixels * 2,
        _ => pixels * u64::from(header.samples),
    }
}

/// Bits of one frame; frames of 1-bit images follow each other without padding to bytes.
pub(super) fn frame_bits(header: &Header) -> u64 {
    stored_samples(header) * u64::from(header.bits_allocated)
}

/// Bytes of all frames of a native image.
pub(super) fn native_bytes(header: &Header) -> u64 {
    (frame_bits(header) * u64::from(header.frames)).div_ceil(8)
}
