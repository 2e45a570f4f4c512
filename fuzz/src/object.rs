//! Plausible objects around fuzzed bytes: a header that is right, so that the fuzzer's time goes into what lies behind it.

/// How the pixels of an object are said to be.
pub struct Form {
    pub transfer_syntax: &'static str,
    pub rows: u16,
    pub columns: u16,
    pub frames: u32,
    pub samples: u16,
    pub bits_allocated: u16,
    pub bits_stored: u16,
    pub signed: bool,
    pub planar: bool,
    pub photometric: &'static str,
}

const PHOTOMETRIC: [&str; 8] =
    ["MONOCHROME2", "MONOCHROME1", "PALETTE COLOR", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT"];

impl Form {
    /// A form from the first seven bytes of an input, and the rest. Sizes are small: a codec fails on content, not on size.
    pub fn take<'a>(input: &'a [u8], syntaxes: &[&'static str]) -> Option<(Form, &'a [u8])> {
        let ([syntax, rows, columns, frames, bits, stored, kind], rest) = input.split_first_chunk::<7>()?;
        let photometric = PHOTOMETRIC[usize::from(kind & 7)];
        let allocated = [8, 16, 32, 1][usize::from(bits & 3)];
        let form = Form {
            transfer_syntax: syntaxes[usize::from(*syntax) % syntaxes.len()],
            rows: u16::from(*rows) + 1,
            columns: u16::from(*columns) + 1,
            frames: u32::from(frames & 3) + 1,
            samples: if usize::from(kind & 7) < 4 { 1 } else { 3 },
            bits_allocated: allocated,
            bits_stored: u16::from(*stored) % allocated + 1,
            signed: kind & 8 != 0,
            planar: kind & 16 != 0,
            photometric,
        };
        Some((form, rest))
    }

    /// A Part 10 file of this form; `extra` goes in before the pixels, `pixels` is the element itself.
    pub fn object(&self, extra: &[u8], pixels: &[u8]) -> Vec<u8> {
        let text = |group, number, vr: &str, value: &str| element(group, number, vr, value.as_bytes());
        let word = |number: u16, value: u16| element(0x0028, number, "US", &value.to_le_bytes());
        let dataset = [
            text(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.7"),
            text(0x0008, 0x0018, "UI", "2.25.1"),
            text(0x0020, 0x000D, "UI", "2.25.2"),
            text(0x0020, 0x000E, "UI", "2.25.3"),
            word(0x0002, self.samples),
            text(0x0028, 0x0004, "CS", self.photometric),
            word(0x0006, u16::from(self.planar)),
            text(0x0028, 0x0008, "IS", &self.frames.to_string()),
            word(0x0010, self.rows),
            word(0x0011, self.columns),
            word(0x0100, self.bits_allocated),
            word(0x0101, self.bits_stored),
            word(0x0102, self.bits_stored - 1),
            word(0x0103, u16::from(self.signed)),
            extra.to_vec(),
            pixels.to_vec(),
        ];
        part10(self.transfer_syntax, &dataset.concat())
    }

    /// An object whose every frame is the codestream `fragment`.
    pub fn encapsulated(&self, fragment: &[u8]) -> Vec<u8> {
        let mut pixels = header(0x7FE0, 0x0010, "OB", u32::MAX);
        pixels.extend(item(0xE000, 0));
        for _ in 0..self.frames {
            pixels.extend(item(0xE000, fragment.len().next_multiple_of(2) as u32));
            pixels.extend(fragment);
            pixels.resize(pixels.len().next_multiple_of(2), 0);
        }
        pixels.extend(item(0xE0DD, 0));
        self.object(&[], &pixels)
    }

    /// An object of uncompressed pixels: `bytes`, repeated to the length that the form asks for.
    pub fn native(&self, extra: &[u8], bytes: &[u8]) -> Vec<u8> {
        let bits = usize::from(self.rows) * usize::from(self.columns) * usize::from(self.samples) * usize::from(self.bits_allocated);
        let length = (bits * self.frames as usize).div_ceil(8).next_multiple_of(2);
        let filled: Vec<u8> = bytes.iter().chain(&[7]).copied().cycle().take(length).collect();
        self.object(extra, &element(0x7FE0, 0x0010, "OW", &filled))
    }
}

/// One element in explicit VR little endian, padded to even length.
pub fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut out = header(group, number, vr, value.len().next_multiple_of(2) as u32);
    out.extend(value);
    if value.len() % 2 == 1 {
        out.push(if matches!(vr, "UI" | "OB" | "UN") { 0 } else { b' ' });
    }
    out
}

fn header(group: u16, number: u16, vr: &str, length: u32) -> Vec<u8> {
    let mut out = [group.to_le_bytes(), number.to_le_bytes()].concat();
    out.extend(vr.as_bytes());
    match vr {
        "OB" | "OW" | "SQ" | "UN" => {
            out.extend([0, 0]);
            out.extend(length.to_le_bytes());
        }
        _ => out.extend((length as u16).to_le_bytes()),
    }
    out
}

fn item(number: u16, length: u32) -> Vec<u8> {
    [&0xFFFEu16.to_le_bytes()[..], &number.to_le_bytes(), &length.to_le_bytes()].concat()
}

/// Preamble, file meta group and `dataset`.
pub fn part10(transfer_syntax: &str, dataset: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 128];
    out.extend(b"DICM");
    out.extend(element(0x0002, 0x0010, "UI", transfer_syntax.as_bytes()));
    out.extend(dataset);
    out
}
