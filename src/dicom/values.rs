//! Attributes that say what stored values mean: Modality LUT, rescale, window, VOI LUT, padding, palette. Plain data for `pixel`.
//!
//! Standard: Modality LUT (PS3.3 C.11.1), VOI LUT (C.11.2), Pixel Value Transformation and Frame VOI LUT functional groups
//! (C.7.6.16.2.9, .10), Pixel Padding (C.7.5.1.1.2), Palette Color Lookup Table (C.7.6.3.1.5, .6, C.7.9.2).
use crate::error::Result;

use super::Instance;
use super::attributes::{Key, View, invalid};

/// A lookup table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lut {
    /// The input that the first entry is for.
    pub first: i64,
    /// Bits of an entry: 1 to 16.
    pub bits: u16,
    /// At least one entry.
    pub entries: Vec<u16>,
    /// Whether `first` is signed. `None`: implicit VR does not say; it is if any input is negative.
    pub first_signed: Option<bool>,
}

/// From stored to modality values.
#[derive(Debug, Clone, PartialEq)]
pub enum Modality {
    /// Modality LUT Sequence; it goes before a rescale.
    Lut(Lut),
    /// `v * slope + intercept`; both finite.
    Rescale {
        /// Rescale Slope.
        slope: f64,
        /// Rescale Intercept.
        intercept: f64,
    },
    /// Neither is there.
    Identity,
}

/// VOI LUT Function (PS3.3 C.11.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The default, also for functions that are not known.
    Linear,
    /// C.11.2.1.3.2.
    LinearExact,
    /// C.11.2.1.3.1.
    Sigmoid,
}

/// The first window, as it is written: it may be unusable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Window Center, in modality values.
    pub center: f64,
    /// Window Width, in modality values.
    pub width: f64,
    /// Shape between the edges.
    pub function: Function,
}

/// From modality to display values.
#[derive(Debug, Clone, PartialEq)]
pub enum Voi {
    /// First item of the VOI LUT Sequence; it goes before a window.
    Lut(Lut),
    /// Window Center and Width.
    Window(Window),
    /// Neither is there.
    None,
}

/// Palette Color: red, green, blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette(pub [Lut; 3]);

const MODALITY_LUT: Key = (0x0028, 0x3000);
const LUT_DESCRIPTOR: Key = (0x0028, 0x3002);
const LUT_DATA: Key = (0x0028, 0x3006);
const VOI_LUT: Key = (0x0028, 0x3010);
const CENTER: Key = (0x0028, 0x1050);
const WIDTH: Key = (0x0028, 0x1051);
const VOI_FUNCTION: Key = (0x0028, 0x1056);
const INTERCEPT: Key = (0x0028, 0x1052);
const SLOPE: Key = (0x0028, 0x1053);
const PADDING: Key = (0x0028, 0x0120);
const PADDING_LIMIT: Key = (0x0028, 0x0121);
const SHARED_GROUPS: Key = (0x5200, 0x9229);
const FRAME_GROUPS: Key = (0x5200, 0x9230);
const VALUE_TRANSFORMATION: Key = (0x0028, 0x9145);
const FRAME_VOI: Key = (0x0028, 0x9132);

impl Instance {
    /// How stored values of a frame become modality values: Modality LUT, else the frame's own rescale, the shared, the top level's.
    ///
    /// Errors: `HeaderImplausible` for numbers that are none.
    pub fn modality(&self, frame_index: u32) -> Result<Modality> {
        let root = self.root();
        let signed = Some(self.header().signed);
        if let Some(lut) = root.item(MODALITY_LUT, 0).and_then(|item| lut(item, signed)) {
            return check_lut(lut, MODALITY_LUT).map(Modality::Lut);
        }
        let group = self.group(frame_index, VALUE_TRANSFORMATION);
        let Some(view) = group.into_iter().chain([root]).find(|view| view.has_value(SLOPE)) else {
            return Ok(Modality::Identity);
        };
        let slope = finite(view, SLOPE)?;
        let intercept = if view.has_value(INTERCEPT) { finite(view, INTERCEPT)? } else { 0.0 };
        Ok(Modality::Rescale { slope, intercept })
    }

    /// How modality values of a frame become display values: the frame's own VOI LUT or window, the shared, the top level's.
    ///
    /// Errors: `HeaderImplausible` for a table of impossible depth.
    pub fn voi(&self, frame_index: u32) -> Result<Voi> {
        let root = self.root();
        for view in self.group(frame_index, FRAME_VOI).into_iter().chain([root]) {
            if let Some(item) = view.item(VOI_LUT, 0) {
                // Only VR SS makes the first input signed; implicit VR cannot say.
                let signed = item.is_signed_short(LUT_DESCRIPTOR);
                if let Some(lut) = lut(item, signed) {
                    return check_lut(lut, VOI_LUT).map(Voi::Lut);
                }
            }
            if let (Some(center), Some(width)) = (view.number(CENTER), view.number(WIDTH)) {
                let function = match view.text(VOI_FUNCTION).as_deref() {
                    Some("SIGMOID") => Function::Sigmoid,
                    Some("LINEAR_EXACT") => Function::LinearExact,
                    Some(_) | None => Function::Linear,
                };
                return Ok(Voi::Window(Window { center, width, function }));
            }
        }
        Ok(Voi::None)
    }

    /// Stored values from .0 to .1, both included, are padding.
    pub fn padding(&self) -> Option<(i64, i64)> {
        let value = self.root().integer(PADDING)?;
        let limit = self.root().integer(PADDING_LIMIT).unwrap_or(value);
        let header = self.header();
        // The VR (US or SS) is often the wrong one of the two: Pixel Representation decides.
        let as_stored = |v: i64| match header.signed {
            true if v > 0x7FFF && header.bits_allocated == 16 => v - 0x1_0000,
            false if v < 0 => v + 0x1_0000,
            _ => v,
        };
        let (a, b) = (as_stored(value), as_stored(limit));
        Some((a.min(b), a.max(b)))
    }

    /// The palette of a PALETTE COLOR image. Errors: `HeaderImplausible` if it is missing or damaged.
    pub fn palette(&self) -> Result<Palette> {
        let channel = |index: u16| -> Result<Lut> {
            let descriptor_key = (0x0028, 0x1101 + index);
            let (plain, segmented) = ((0x0028, 0x1201 + index), (0x0028, 0x1221 + index));
            let root = self.root();
            let descriptor = root.integers(descriptor_key).filter(|d| d.len() == 3);
            let [count, first, bits] = descriptor
                .and_then(|d| d.try_into().ok())
                .ok_or_else(|| invalid(descriptor_key, "is missing or not three numbers"))?;
            let entries = match (root.bytes(segmented), root.bytes(plain)) {
                (Some(data), _) => expand_segments(&data, bits == 8).ok_or_else(|| invalid(segmented, "is damaged"))?,
                (None, Some(data)) => unpack(&data, entry_count(count)),
                (None, None) => return Err(invalid(plain, "is missing")),
            };
            let first_signed = Some(self.header().signed);
            let lut = Lut { first: first_of(first, first_signed), bits: bits_of(bits), entries, first_signed };
            check_lut(lut, descriptor_key)
        };
        Ok(Palette([channel(0)?, channel(1)?, channel(2)?]))
    }

    /// The item of a functional group for a frame: its own, else the shared one.
    fn group(&self, frame_index: u32, sequence: Key) -> Option<View<'_>> {
        let own = self.root().item(FRAME_GROUPS, frame_index as usize).and_then(|frame| frame.item(sequence, 0));
        own.or_else(|| self.root().item(SHARED_GROUPS, 0)?.item(sequence, 0))
    }
}

fn finite(view: View<'_>, key: Key) -> Result<f64> {
    // Largest stored value times slope must stay finite: modality values are never infinite or NaN.
    view.number(key).filter(|v| v.abs() < 1e290).ok_or_else(|| invalid(key, "is no number that can be used"))
}

/// A LUT item counts only if it has a descriptor of three values and data (an empty one is common in the field).
fn lut(item: View<'_>, first_signed: Option<bool>) -> Option<Lut> {
    let [count, first, bits]: [i64; 3] = item.integers(LUT_DESCRIPTOR)?.try_into().ok()?;
    let entries = unpack(&item.bytes(LUT_DATA)?, entry_count(count));
    (!entries.is_empty()).then(|| Lut {
        first: first_of(first, first_signed),
        bits: bits_of(bits),
        entries,
        first_signed,
    })
}

/// 0 stands for 65,536 (PS3.3 C.11.1.1).
fn entry_count(count: i64) -> usize {
    match usize::try_from(count & 0xFFFF) {
        Ok(0) | Err(_) => 0x1_0000,
        Ok(count) => count,
    }
}

fn bits_of(bits: i64) -> u16 {
    u16::try_from(bits).unwrap_or(u16::MAX)
}

fn first_of(first: i64, signed: Option<bool>) -> i64 {
    match signed {
        Some(true) if first > 0x7FFF => first - 0x1_0000,
        Some(false) if first < 0 => first + 0x1_0000,
        Some(_) | None => first,
    }
}

/// 16-bit entries, or 8-bit entries two to a word if there are too few bytes for that.
fn unpack(data: &[u8], count: usize) -> Vec<u16> {
    match data.len() < 2 * count {
        true => data.iter().take(count).map(|byte| u16::from(*byte)).collect(),
        false => data.chunks_exact(2).take(count).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect(),
    }
}

fn check_lut(lut: Lut, key: Key) -> Result<Lut> {
    match (lut.bits, lut.entries.is_empty()) {
        (1..=16, false) => Ok(lut),
        _ => Err(invalid(key, "is a lookup table without entries or of impossible depth")),
    }
}

/// Segmented palette data (PS3.3 C.7.9.2) as flat entries, at most 65,536. `None` if it is damaged.
fn expand_segments(data: &[u8], bytes: bool) -> Option<Vec<u16>> {
    let values: Vec<u16> = match bytes {
        true => data.iter().map(|byte| u16::from(*byte)).collect(),
        false => data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect(),
    };
    let mut out = Vec::new();
    let mut at = 0;
    while at < values.len() {
        // An odd byte of padding may be left over.
        if bytes && at + 1 == values.len() {
            break;
        }
        at = expand_segment(&values, at, true, &mut out)?;
    }
    Some(out)
}

fn expand_segment(values: &[u16], at: usize, may_refer: bool, out: &mut Vec<u16>) -> Option<usize> {
    let (operation, count) = (*values.get(at)?, usize::from(*values.get(at + 1)?));
    if out.len() + count > 0x1_0000 {
        return None;
    }
    match operation {
        0 => {
            out.extend(values.get(at + 2..at + 2 + count)?);
            Some(at + 2 + count)
        }
        1 => {
            let (from, to) = (f64::from(*out.last()?), f64::from(*values.get(at + 2)?));
            for step in 1..=count {
                out.push((from + (to - from) * step as f64 / count as f64).round_ties_even() as u16);
            }
            Some(at + 3)
        }
        // Indirect: `count` segments further up; one level, as the standard says, so that none can refer to itself.
        2 if may_refer => {
            let mut target = usize::from(*values.get(at + 2)?) | usize::from(*values.get(at + 3)?) << 16;
            for _ in 0..count {
                target = expand_segment(values, target, false, out)?;
            }
            Some(at + 4)
        }
        _ => None,
    }
}
