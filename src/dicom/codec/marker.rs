//! What a codestream says about itself, read from its markers before any decoder is started.
//!
//! JPEG and JPEG-LS: ISO/IEC 10918-1 B.2.2, 14495-1 C.2.2. JPEG 2000: ISO/IEC 15444-1 annexes A and I.
use crate::error::{Code, Error, Result};

use super::damaged;
use crate::dicom::layout::FrameHeader;

/// Frame header of a codestream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) components: u16,
    /// Bits of a sample.
    pub(super) precision: u16,
    /// JPEG: process 14, lossless (SOF3).
    pub(super) lossless: bool,
    /// JPEG: colour transform of an Adobe APP14 segment.
    pub(super) adobe: Option<u8>,
    /// JPEG: all samples are in the first scan, which is not refined by later ones.
    pub(super) one_scan: bool,
    /// JPEG-LS: samples of a pixel stand together (interleave mode line or sample), not in planes.
    pub(super) interleaved: bool,
    /// JPEG 2000: samples have a sign.
    pub(super) signed: bool,
    /// JPEG 2000: a multi-component transform leads back to R, G, B.
    pub(super) transformed: bool,
}

impl Stated {
    /// How many samples there are.
    pub(super) fn samples(&self) -> usize {
        self.rows as usize * self.columns as usize * usize::from(self.components)
    }

    /// The codestream must be of the size, depth and samples that the header says and that were budgeted.
    pub(super) fn check(&self, header: &FrameHeader) -> Result<()> {
        let same_size = self.rows == u32::from(header.rows) && self.columns == u32::from(header.columns);
        if !same_size || self.components != header.samples {
            return Err(damaged(format!(
                "the codestream holds {} x {} pixels of {} samples; the header says {} x {} of {}",
                self.rows, self.columns, self.components, header.rows, header.columns, header.samples
            )));
        }
        if self.precision > header.bits_allocated || (self.precision <= 8) != (header.bits_stored <= 8) {
            return Err(damaged(format!(
                "the codestream holds samples of {} bits; the header says {}",
                self.precision, header.bits_stored
            )));
        }
        Ok(())
    }
}

fn cut() -> Error {
    Error::new(Code::Truncated, "the codestream ends within its header")
}

fn be16(bytes: &[u8], at: usize) -> Result<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or_else(cut)
}

fn be32(bytes: &[u8], at: usize) -> Result<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).ok_or_else(cut)
}

/// Reads a JPEG or JPEG-LS header up to its first scan.
pub(super) fn jpeg(bytes: &[u8]) -> Result<Stated> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err(damaged("the codestream does not start as JPEG"));
    }
    let (mut at, mut frame, mut adobe) = (2, None, None);
    loop {
        let marker = be16(bytes, at)?;
        match marker {
            0xFFFF => {
                at += 1;
                continue;
            }
            0xFF00..=0xFFFE => {}
            _ => return Err(damaged("the codestream has something else where a marker should be")),
        }
        let length = usize::from(be16(bytes, at + 2)?);
        let segment = bytes.get(at + 4..at + 2 + length).ok_or_else(cut)?;
        match marker {
            // All SOF but DHT (C4), JPG (C8) and DAC (CC); F7 is JPEG-LS.
            0xFFC0..=0xFFC3 | 0xFFC5..=0xFFC7 | 0xFFC9..=0xFFCB | 0xFFCD..=0xFFCF | 0xFFF7 => {
                frame = Some(Stated {
                    precision: u16::from(*segment.first().ok_or_else(cut)?),
                    rows: u32::from(be16(segment, 1)?),
                    columns: u32::from(be16(segment, 3)?),
                    components: u16::from(*segment.get(5).ok_or_else(cut)?),
                    lossless: marker == 0xFFC3,
                    adobe: None,
                    // SOF2, 6, 10 and 14 are progressive; SOS below may still say that other scans follow.
                    one_scan: marker & 3 != 2,
                    interleaved: true,
                    signed: false,
                    transformed: false,
                });
            }
            0xFFEE if segment.starts_with(b"Adobe") => adobe = segment.get(11).copied(),
            0xFFDA => {
                let mut stated = frame.ok_or_else(|| damaged("the codestream has a scan before its frame header"))?;
                // SOS of JPEG-LS: count, two bytes a component, NEAR, interleave mode.
                let mode = segment.first().and_then(|count| segment.get(2 + 2 * usize::from(*count)));
                stated.interleaved = mode != Some(&0);
                stated.one_scan &= segment.first().map(|count| u16::from(*count)) == Some(stated.components);
                stated.adobe = adobe;
                return Ok(stated);
            }
            _ => {}
        }
        at += 2 + length;
    }
}

/// Reads the main header of a contiguous JPEG 2000 codestream and walks the tile-parts: all of them must be there.
pub(super) fn jpeg2000(stream: &[u8]) -> Result<Stated> {
    if !stream.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
        return Err(damaged("the codestream does not start as JPEG 2000"));
    }
    let components = be16(stream, 40)?;
    let (x, y) = (be32(stream, 16)?, be32(stream, 20)?);
    let size = |far: u32, near: u32| far.checked_sub(near).ok_or_else(|| damaged("the image area is empty"));
    let tiles = [be32(stream, 24)?, be32(stream, 28)?];
    if tiles.contains(&0) {
        return Err(damaged("the tiles are empty"));
    }
    let first = stream.get(42..45).ok_or_else(cut)?;
    for index in 0..usize::from(components).min(3) {
        if stream.get(42 + 3 * index..45 + 3 * index).ok_or_else(cut)? != [first[0], 1, 1] {
            return Err(damaged("the components differ in size or depth"));
        }
    }
    let stated = Stated {
        columns: size(be32(stream, 8)?, x)?,
        rows: size(be32(stream, 12)?, y)?,
        components,
        precision: u16::from(first[0] & 0x7F) + 1,
        lossless: false,
        adobe: None,
        one_scan: false,
        interleaved: true,
        signed: first[0] & 0x80 != 0,
        transformed: main_header(stream)?,
    };
    Ok(stated)
}

/// The contiguous codestream of a JP2 file (box `jp2c`), or the bytes themselves. What the other boxes say about colour is not
/// for DICOM (PS3.5 8.2.4).
pub(super) fn codestream(bytes: &[u8]) -> Result<&[u8]> {
    if bytes.get(4..8).is_none_or(|kind| kind != b"jP  ") {
        return Ok(bytes);
    }
    let mut at = 0usize;
    loop {
        let (length, kind) = (be32(bytes, at)? as usize, bytes.get(at + 4..at + 8).ok_or_else(cut)?);
        let (header, length) = match length {
            1 => (
                16,
                usize::try_from((u64::from(be32(bytes, at + 8)?) << 32) | u64::from(be32(bytes, at + 12)?))
                    .map_err(|_| cut())?,
            ),
            0 => (8, bytes.len() - at),
            length => (8, length),
        };
        if kind == b"jp2c" {
            return bytes.get(at + header..).ok_or_else(cut);
        }
        at = at.checked_add(length.max(8)).ok_or_else(cut)?;
    }
}

/// Whether COD asks for a multi-component transform; walks on through the tile-parts by their lengths (SOT, A.4.2).
fn main_header(stream: &[u8]) -> Result<bool> {
    let (mut at, mut transformed) = (2, false);
    loop {
        let marker = be16(stream, at)?;
        match marker {
            0xFF90 => {
                return walk_tile_parts(stream, at).map(|()| transformed);
            }
            0xFF52 => transformed = *stream.get(at + 8).ok_or_else(cut)? != 0,
            0xFF01..=0xFFFE => {}
            _ => return Err(damaged("the codestream has something else where a marker should be")),
        }
        at += 2 + usize::from(be16(stream, at + 2)?);
    }
}

fn walk_tile_parts(stream: &[u8], mut at: usize) -> Result<()> {
    while let Ok(0xFF90) = be16(stream, at) {
        let length = be32(stream, at + 6)? as usize;
        // 0: this tile-part goes to the end of the codestream.
        if length == 0 {
            return Ok(());
        }
        if length < 14 {
            return Err(damaged("a tile-part is shorter than its own header"));
        }
        at = at.checked_add(length).ok_or_else(cut)?;
        if at > stream.len() {
            return Err(Error::new(Code::Truncated, "the codestream ends within a tile-part"));
        }
    }
    Ok(())
}
