//! Walks a data set's element headers, iteratively and without allocating, before any parser sees the bytes.
//!
//! The parser behind us trusts lengths (it allocates and zero-fills up to 4 GiB for a file of 112 bytes) and recurses per
//! sequence level (a stack overflow ends the process). What passes here has lengths within what is there, bounded
//! nesting and a bounded number of elements. Source: PS3.5 section 7.
use std::ops::Range;

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::core::{Tag, VR};
use dicom::dictionary_std::StandardDataDictionary;

use crate::error::{Code, Error, Result};

use super::Limits;

/// How element headers are written (PS3.5 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) explicit_vr: bool,
    pub(super) big_endian: bool,
}

/// Where the pixels lie in the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PixelElement {
    /// 0x0010 Pixel Data, 0x0008 Float, 0x0009 Double Float; the group is 7FE0.
    pub(super) element: u16,
    /// The VR as written; zeros in implicit VR.
    pub(super) vr: [u8; 2],
    pub(super) content: Content,
}

/// Pixel bytes as offsets into the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// One run of bytes.
    Native(Range<usize>),
    /// Items of an encapsulated value (PS3.5 A.4); the first is the Basic Offset Table.
    Fragments(Vec<Range<usize>>),
}

/// A top-level element, as offsets into the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) tag: (u16, u16),
    /// Header and value.
    pub(super) whole: Range<usize>,
    /// The value; of a sequence of undefined length without its delimiter.
    pub(super) value: Range<usize>,
    /// A sequence written as UN of undefined length: its items are in implicit VR (PS3.5 6.2.2, CP-246).
    pub(super) unknown_sequence: bool,
    /// The parser would lose its place in it: a number of odd length, a delimiter where a length has told the end, or a
    /// sequence of unknown VR further down. It then takes values for lengths, and allocates what they say.
    pub(super) misleads_parser: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sequence,
    Item,
}

/// An open sequence or item; `end` is `None` for undefined length, `implicit` holds inside a UN of undefined length (CP-246).
#[derive(Clone, Copy)]
struct Open {
    kind: Kind,
    end: Option<usize>,
    implicit: bool,
}

/// One element header.
struct ElementHeader {
    tag: (u16, u16),
    vr: [u8; 2],
    length: u32,
    size: usize,
}

const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const ITEM_END: (u16, u16) = (0xFFFE, 0xE00D);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);

pub(super) fn truncated(at: usize) -> Error {
    Error::new(Code::Truncated, format!("the bytes end within the element at offset {at} of the data set"))
}

fn implausible(what: &str, at: usize) -> Error {
    Error::new(Code::HeaderImplausible, format!("{what} at offset {at} of the data set"))
}

/// Walks `bytes`, a data set without file meta group, as far as its pixel element, which is the result.
///
/// `visit` sees each top-level element before it. What follows the pixels is not read: nothing there changes an image, and
/// senders append padding. Errors: `Truncated` (ends early), `HeaderImplausible` (contradicts itself), `TooLarge`.
pub(super) fn walk(
    bytes: &[u8],
    encoding: Encoding,
    limits: &Limits,
    visit: &mut dyn FnMut(Element),
) -> Result<Option<PixelElement>> {
    Walk { bytes, encoding, limits, at: 0, open: Vec::new(), current: None }.run(visit)
}

/// Walks the items of a sequence in implicit VR little endian. `false`: the parser would lose its place in them.
pub(super) fn walk_items(items: &[u8], limits: &Limits) -> Result<bool> {
    let encoding = Encoding { explicit_vr: false, big_endian: false };
    let sequence = Open { kind: Kind::Sequence, end: Some(items.len()), implicit: true };
    let whole = 0..items.len();
    let current = Element { tag: ITEM, value: whole.clone(), whole, unknown_sequence: false, misleads_parser: false };
    let mut leads = true;
    let mut walk = Walk { bytes: items, encoding, limits, at: 0, open: vec![sequence], current: Some(current) };
    walk.run(&mut |element| leads &= !element.misleads_parser)?;
    Ok(leads)
}

struct Walk<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
    limits: &'a Limits,
    at: usize,
    open: Vec<Open>,
    /// The top-level element that is being walked.
    current: Option<Element>,
}

impl Walk<'_> {
    fn run(&mut self, visit: &mut dyn FnMut(Element)) -> Result<Option<PixelElement>> {
        let mut elements = 0u64;
        loop {
            self.close_ended()?;
            if self.open.is_empty() {
                self.current.take().into_iter().for_each(&mut *visit);
            }
            if self.at == self.bytes.len() {
                return if self.open.is_empty() { Ok(None) } else { Err(truncated(self.at)) };
            }
            elements += 1;
            if elements > self.limits.elements_max {
                let detail = format!("holds more than {} elements (dicom.elements_max)", self.limits.elements_max);
                return Err(Error::new(Code::TooLarge, detail));
            }
            let implicit = !self.encoding.explicit_vr || self.open.last().is_some_and(|o| o.implicit);
            let header = read_header(self.bytes, self.at, implicit, self.encoding.big_endian)?;
            let is_pixels = header.tag.0 == 0x7FE0 && matches!(header.tag.1, 8..=10 | 16);
            if self.open.is_empty() && is_pixels {
                return read_pixels(self.bytes, &header, self.at + header.size, self.encoding).map(Some);
            }
            match header.tag.0 {
                0xFFFE => self.step_item(&header)?,
                _ => self.step_element(&header, implicit)?,
            }
        }
    }

    fn step_element(&mut self, header: &ElementHeader, implicit: bool) -> Result<()> {
        let start = self.at;
        self.at += header.size;
        if self.open.last().is_some_and(|o| o.kind == Kind::Sequence) {
            return Err(implausible("an element stands where an item should", start));
        }
        let unknown_sequence = header.length == UNDEFINED && &header.vr == b"UN";
        if self.open.is_empty() {
            let value = self.at..self.at;
            let (tag, whole, misleads_parser) = (header.tag, start..self.at, false);
            self.current = Some(Element { tag, whole, value, unknown_sequence, misleads_parser });
        } else if unknown_sequence {
            self.mislead();
        }
        let vr = if implicit { dictionary_vr(header.tag) } else { VR::from_binary(header.vr) };
        if header.length == UNDEFINED && header.tag == (0x7FE0, 0x0010) {
            // The pixels of an icon within a sequence item.
            self.at = read_fragments(self.bytes, self.at, self.encoding.big_endian)?.1;
            self.mislead();
            return Ok(());
        }
        if header.length == UNDEFINED || vr == Some(VR::SQ) {
            return self.open_sequence(header, implicit, start);
        }
        if vr.is_some_and(|vr| !header.length.is_multiple_of(unit_bytes(vr))) {
            self.mislead();
        }
        self.at = advance(self.bytes, self.at, header.length, self.limit())?;
        self.extend(self.at, self.at);
        Ok(())
    }

    fn open_sequence(&mut self, header: &ElementHeader, implicit: bool, start: usize) -> Result<()> {
        if header.length == UNDEFINED && !matches!(&header.vr, b"SQ" | b"UN" | [0, 0]) {
            return Err(implausible("an element that is no sequence has undefined length", start));
        }
        self.push(Kind::Sequence, header.length, implicit || &header.vr == b"UN")?;
        if self.open.iter().filter(|o| o.kind == Kind::Sequence).count() > self.limits.depth_max {
            let detail = format!("nests sequences deeper than {} (dicom.depth_max)", self.limits.depth_max);
            return Err(Error::new(Code::TooLarge, detail));
        }
        self.extend(self.at, self.at);
        Ok(())
    }

    fn step_item(&mut self, header: &ElementHeader) -> Result<()> {
        let start = self.at;
        self.at += header.size;
        match (header.tag, self.open.last().copied()) {
            (ITEM, Some(Open { kind: Kind::Sequence, implicit, .. })) => {
                self.push(Kind::Item, header.length, implicit)?;
                self.extend(self.at, self.at);
            }
            (ITEM_END, Some(Open { kind: Kind::Item, end, .. }))
            | (SEQUENCE_END, Some(Open { kind: Kind::Sequence, end, .. })) => {
                if end.is_some() {
                    self.mislead();
                }
                self.open.pop();
                // The delimiter of the element itself is no part of its value.
                let value_end = if self.open.is_empty() { start } else { self.at };
                self.extend(value_end, self.at);
            }
            _ => return Err(implausible("an item or delimiter stands where none can be", start)),
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, length: u32, implicit: bool) -> Result<()> {
        let end = match length {
            UNDEFINED => None,
            length => Some(advance(self.bytes, self.at, length, self.limit())?),
        };
        self.open.push(Open { kind, end, implicit });
        Ok(())
    }

    /// Where the innermost item or sequence that states its length ends.
    fn limit(&self) -> usize {
        self.open.iter().rev().find_map(|o| o.end).unwrap_or(self.bytes.len())
    }

    fn mislead(&mut self) {
        if let Some(current) = &mut self.current {
            current.misleads_parser = true;
        }
    }

    fn extend(&mut self, value_end: usize, whole_end: usize) {
        if let Some(current) = &mut self.current {
            current.value.end = value_end;
            current.whole.end = whole_end;
        }
    }

    /// Closes what ends exactly here. Being past an end means that a length inside was larger than its parent's.
    fn close_ended(&mut self) -> Result<()> {
        while let Some(Open { end: Some(end), .. }) = self.open.last() {
            if self.at > *end {
                return Err(implausible("an element reaches beyond the item that holds it", self.at));
            }
            if self.at < *end {
                break;
            }
            self.open.pop();
        }
        Ok(())
    }
}

/// In implicit VR only the dictionary tells how the parser reads a value.
fn dictionary_vr(tag: (u16, u16)) -> Option<VR> {
    StandardDataDictionary.by_tag(Tag(tag.0, tag.1)).map(|entry| entry.vr().relaxed())
}

/// Bytes of one number of a VR, 1 for text and bytes (PS3.5 6.2).
fn unit_bytes(vr: VR) -> u32 {
    match vr {
        VR::OW | VR::SS | VR::US => 2,
        VR::AT | VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

fn advance(bytes: &[u8], at: usize, length: u32, limit: usize) -> Result<usize> {
    match at.checked_add(length as usize) {
        Some(end) if end <= limit => Ok(end),
        Some(end) if end <= bytes.len() => Err(implausible("an element reaches beyond the item that holds it", at)),
        _ => Err(truncated(at)),
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<u16> {
    let pair: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
}

fn long(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
}

const LONG_VRS: [&[u8; 2]; 13] =
    [b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"];
const SHORT_VRS: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
];

/// Whether two bytes are a VR of PS3.5 section 6.2.
pub(super) fn is_vr(vr: &[u8]) -> bool {
    LONG_VRS.iter().chain(&SHORT_VRS).any(|known| known.as_slice() == vr)
}

fn read_header(bytes: &[u8], at: usize, implicit: bool, big_endian: bool) -> Result<ElementHeader> {
    let read = || -> Option<Result<ElementHeader>> {
        let tag = (word(bytes, at, big_endian)?, word(bytes, at + 2, big_endian)?);
        if implicit || tag.0 == 0xFFFE {
            let length = long(bytes, at + 4, big_endian)?;
            return Some(Ok(ElementHeader { tag, vr: [0, 0], length, size: 8 }));
        }
        let vr: [u8; 2] = bytes.get(at + 4..at + 6)?.try_into().ok()?;
        if !is_vr(&vr) {
            return Some(Err(implausible("an element has no valid VR", at)));
        }
        let (length, size) = match LONG_VRS.contains(&&vr) {
            true => (long(bytes, at + 8, big_endian)?, 12),
            false => (u32::from(word(bytes, at + 6, big_endian)?), 8),
        };
        Some(Ok(ElementHeader { tag, vr, length, size }))
    };
    read().unwrap_or_else(|| Err(truncated(at)))
}

fn read_pixels(bytes: &[u8], header: &ElementHeader, at: usize, encoding: Encoding) -> Result<PixelElement> {
    let content = match header.length {
        UNDEFINED => Content::Fragments(read_fragments(bytes, at, encoding.big_endian)?.0),
        length => Content::Native(at..advance(bytes, at, length, bytes.len())?),
    };
    Ok(PixelElement { element: header.tag.1, vr: header.vr, content })
}

/// The items of an encapsulated value, and where it ends.
fn read_fragments(bytes: &[u8], mut at: usize, big_endian: bool) -> Result<(Vec<Range<usize>>, usize)> {
    let mut fragments = Vec::new();
    loop {
        let header = read_header(bytes, at, true, big_endian)?;
        at += header.size;
        match (header.tag, header.length) {
            (SEQUENCE_END, _) => return Ok((fragments, at)),
            (ITEM, UNDEFINED) => return Err(fragment_invalid("an item of undefined length")),
            (ITEM, length) => {
                let end = advance(bytes, at, length, bytes.len())?;
                fragments.push(at..end);
                at = end;
            }
            _ => return Err(fragment_invalid("something else than an item")),
        }
    }
}

fn fragment_invalid(what: &str) -> Error {
    Error::new(Code::PixelLayoutInvalid, format!("the encapsulated pixel data holds {what}"))
}

/// The first level of a bare data set's bytes guessed from its first element, or `None` if it looks like no data set at all.
///
/// A data set that starts without a file meta group starts with group 0008 in all objects that this server reads.
pub(super) fn sniff(bytes: &[u8]) -> Option<Encoding> {
    let head = bytes.get(..8)?;
    let explicit_vr = is_vr(&head[4..6]);
    match (head[0], head[1], explicit_vr) {
        (8, 0, true) => Some(Encoding { explicit_vr, big_endian: false }),
        (0, 8, true) => Some(Encoding { explicit_vr, big_endian: true }),
        // Implicit VR: the length of a first element (group length, charset, image type) is small.
        (8, 0, false) if head[6] == 0 && head[7] == 0 => Some(Encoding { explicit_vr, big_endian: false }),
        _ => None,
    }
}
