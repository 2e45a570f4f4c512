//! What the header says of one frame's samples, and the sizes that follow from it (PS3.5 section 8.1).
use super::{Header, Photometric};

/// All that a codec needs to know of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) rows: u16,
    pub(super) columns: u16,
    pub(super) samples: u16,
    pub(super) bits_allocated: u16,
    pub(super) bits_stored: u16,
    pub(super) planar: bool,
    pub(super) photometric: Photometric,
}

impl From<&Header> for FrameHeader {
    fn from(header: &Header) -> FrameHeader {
        let &Header { rows, columns, samples, bits_allocated, bits_stored, planar, photometric, .. } = header;
        FrameHeader { rows, columns, samples, bits_allocated, bits_stored, planar, photometric }
    }
}

impl FrameHeader {
    /// Pixels of the frame: rows x columns.
    pub(super) fn frame_pixels(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }

    /// Samples of the frame when decoded.
    pub(super) fn frame_samples(&self) -> usize {
        self.frame_pixels() * usize::from(self.samples)
    }

    /// Bits of the frame when stored native; frames of 1-bit images follow each other without padding to bytes.
    pub(super) fn frame_bits(&self) -> u64 {
        let pixels = self.frame_pixels() as u64;
        // Chroma of 4:2:2 images is there once for two pixels.
        let stored_samples = match self.photometric {
            Photometric::YbrFull422 => pixels * 2,
            _ => pixels * u64::from(self.samples),
        };
        stored_samples * u64::from(self.bits_allocated)
    }
}

/// Bytes of all frames of a native image.
pub(super) fn native_bytes(header: &Header) -> u64 {
    (FrameHeader::from(header).frame_bits() * u64::from(header.frames)).div_ceil(8)
}
