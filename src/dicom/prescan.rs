//! Walks a data set's element headers, iteratively, and notes where the attributes lie that this room reads.
//!
//! No length is believed before it is known to lie within what is there, and nothing is allocated for what a length says:
//! parsers that trust lengths allocate 4 GiB for a file of 112 bytes, and those that recurse end the process on nested
//! sequences. Nesting and the number of elements are bounded. Source: PS3.5 section 7.
use std::ops::Range;

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::core::{Tag, VR};
use dicom::dictionary_std::StandardDataDictionary;

use crate::error::{Code, Error, Result};

use super::Limits;
use super::attributes::is_read;

/// How element headers are written (PS3.5 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) explicit_vr: bool,
    pub(super) big_endian: bool,
}

/// Values of VR UN, whatever the transfer syntax of the file (PS3.5 6.2.2).
const UNKNOWN: Encoding = Encoding { explicit_vr: false, big_endian: false };

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

/// An attribute that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) tag: (u16, u16),
    /// As the file states it, else (implicit VR, and VR UN) as the dictionary does.
    pub(super) vr: VR,
    /// Whether the file states it.
    pub(super) vr_is_stated: bool,
    pub(super) big_endian: bool,
    pub(super) value: Value,
}

/// The value of an attribute, as offsets into the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bytes(Range<usize>),
    /// Items of a sequence, each with its attributes that are read.
    Items(Vec<Vec<Element>>),
}

/// A sequence or an item that has not ended; `end` is `None` for undefined length.
struct Open {
    level: Level,
    end: Option<usize>,
    encoding: Encoding,
}

/// `None`: nothing within it is read.
enum Level {
    Sequence(Option<Element>),
    Item(Option<Vec<Element>>),
}

/// One element header. `vr`: as written; `None` in implicit VR, of items and of delimiters.
struct ElementHeader {
    tag: (u16, u16),
    vr: Option<VR>,
    length: u32,
    size: usize,
}

const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const ITEM_END: (u16, u16) = (0xFFFE, 0xE00D);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);
/// Item and sequence delimiter as they are in little endian; nothing else is ever in VR UN or around fragments.
const ITEM_BYTES: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const SEQUENCE_END_BYTES: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

pub(super) fn truncated(at: usize) -> Error {
    Error::new(Code::Truncated, format!("the bytes end within the element at offset {at} of the data set"))
}

fn implausible(what: &str, at: usize) -> Error {
    Error::new(Code::HeaderImplausible, format!("{what} at offset {at} of the data set"))
}

fn too_many(limits: &Limits) -> Error {
    let detail = format!("holds more than {} elements and items (dicom.elements_max)", limits.elements_max);
    Error::new(Code::TooLarge, detail)
}

/// Walks `bytes`, a data set without file meta group, as far as its pixel element, which is the result.
///
/// `found` takes the attributes before it that are read; it holds what came before an error, too. What follows the pixels is
/// not walked: nothing there changes an image, and senders append padding.
/// Errors: `Truncated` (ends early), `HeaderImplausible` (contradicts itself), `PixelLayoutInvalid`, `TooLarge`.
pub(super) fn walk(
    bytes: &[u8],
    encoding: Encoding,
    limits: &Limits,
    found: &mut Vec<Element>,
) -> Result<Option<PixelElement>> {
    Walk { bytes, encoding, limits, at: 0, open: Vec::new(), found }.run()
}

struct Walk<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
    limits: &'a Limits,
    at: usize,
    open: Vec<Open>,
    found: &'a mut Vec<Element>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<Option<PixelElement>> {
        let mut elements = 0u64;
        loop {
            self.close_ended()?;
            if self.at == self.bytes.len() {
                return if self.open.is_empty() { Ok(None) } else { Err(truncated(self.at)) };
            }
            elements += 1;
            if elements > self.limits.elements_max {
                return Err(too_many(self.limits));
            }
            let start = self.at;
            let header = read_header(self.bytes, start, self.encoding())?;
            self.at += header.size;
            let is_pixels = header.tag.0 == 0x7FE0 && matches!(header.tag.1, 8..=10 | 16);
            if self.open.is_empty() && is_pixels {
                return self.read_pixels(&header).map(Some);
            }
            match header.tag.0 {
                0xFFFE => self.step_item(&header, start)?,
                _ => self.step_element(&header, start)?,
            }
        }
    }

    /// How the next header is written.
    fn encoding(&self) -> Encoding {
        self.open.last().map_or(self.encoding, |open| open.encoding)
    }

    /// Where the innermost item or sequence that states its length ends.
    fn limit(&self) -> usize {
        self.open.iter().rev().find_map(|open| open.end).unwrap_or(self.bytes.len())
    }

    fn step_element(&mut self, header: &ElementHeader, start: usize) -> Result<()> {
        let holder_is_read = match self.open.last().map(|open| &open.level) {
            Some(Level::Sequence(_)) => return Err(implausible("an element stands where an item should", start)),
            Some(Level::Item(content)) => content.is_some(),
            None => true,
        };
        if header.length == UNDEFINED && header.tag == (0x7FE0, 0x0010) {
            // The pixels of an icon within a sequence item.
            self.at = self.read_fragments()?.1;
            return Ok(());
        }
        let is_kept = holder_is_read && is_read(header.tag);
        let stated = header.vr.filter(|vr| *vr != VR::UN);
        let known = || StandardDataDictionary.by_tag(Tag(header.tag.0, header.tag.1)).map(|entry| entry.vr().relaxed());
        let mut element = Element {
            tag: header.tag,
            vr: stated.or_else(known).unwrap_or(VR::UN),
            vr_is_stated: stated.is_some(),
            big_endian: self.encoding().big_endian && header.vr != Some(VR::UN),
            value: Value::Items(Vec::new()),
        };
        let starts_with_item = || self.bytes[self.at..].starts_with(&ITEM_BYTES);
        let is_sequence = match (header.length, header.vr) {
            (UNDEFINED, None | Some(VR::SQ | VR::UN)) => true,
            (UNDEFINED, Some(_)) => {
                return Err(implausible("an element that is no sequence has undefined length", start));
            }
            (_, Some(VR::UN)) => is_kept && element.vr == VR::SQ && starts_with_item(),
            (_, Some(_) | None) => element.vr == VR::SQ,
        };
        if is_sequence {
            let encoding = if header.vr == Some(VR::UN) { UNKNOWN } else { self.encoding() };
            return self.open_sequence(is_kept.then_some(element), header.length, encoding);
        }
        let value = self.at..advance(self.bytes, self.at, header.length, self.limit())?;
        self.at = value.end;
        element.value = Value::Bytes(value);
        if is_kept { self.keep(element, start) } else { Ok(()) }
    }

    fn open_sequence(&mut self, element: Option<Element>, length: u32, encoding: Encoding) -> Result<()> {
        self.open(Level::Sequence(element), length, encoding)?;
        if self.open.iter().filter(|open| matches!(open.level, Level::Sequence(_))).count() > self.limits.depth_max {
            let detail = format!("nests sequences deeper than {} (dicom.depth_max)", self.limits.depth_max);
            return Err(Error::new(Code::TooLarge, detail));
        }
        Ok(())
    }

    fn open(&mut self, level: Level, length: u32, encoding: Encoding) -> Result<()> {
        let end = match length {
            UNDEFINED => None,
            length => Some(advance(self.bytes, self.at, length, self.limit())?),
        };
        self.open.push(Open { level, end, encoding });
        Ok(())
    }

    fn step_item(&mut self, header: &ElementHeader, start: usize) -> Result<()> {
        let last = self.open.last().map(|open| (&open.level, open.end));
        match (header.tag, last) {
            (ITEM, Some((Level::Sequence(element), _))) => {
                let content = element.as_ref().map(|_| Vec::new());
                self.open(Level::Item(content), header.length, self.encoding())
            }
            (ITEM_END, Some((Level::Item(_), None))) | (SEQUENCE_END, Some((Level::Sequence(_), None))) => {
                self.close(start)
            }
            // Some writers state a length and write the delimiter, too: as the last that the length covers, or behind it.
            (ITEM_END, Some((Level::Item(_), Some(end)))) | (SEQUENCE_END, Some((Level::Sequence(_), Some(end)))) => {
                if self.at == end {
                    Ok(())
                } else {
                    Err(implausible("a delimiter contradicts a length", start))
                }
            }
            (ITEM_END, Some((Level::Sequence(_), _))) | (SEQUENCE_END, Some((Level::Item(_), _)) | None)
                if header.length == 0 =>
            {
                Ok(())
            }
            _ => Err(implausible("an item or delimiter stands where none can be", start)),
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
            self.close(self.at)?;
        }
        Ok(())
    }

    fn close(&mut self, at: usize) -> Result<()> {
        match (self.open.pop().map(|open| open.level), self.open.last_mut().map(|open| &mut open.level)) {
            (
                Some(Level::Item(Some(content))),
                Some(Level::Sequence(Some(Element { value: Value::Items(items), .. }))),
            ) => {
                items.push(content);
                Ok(())
            }
            (Some(Level::Sequence(Some(element))), _) => self.keep(element, at),
            _ => Ok(()),
        }
    }

    /// Files an attribute under the item that holds it. One that is there twice with two values has none.
    fn keep(&mut self, element: Element, at: usize) -> Result<()> {
        let holder = match self.open.last_mut().map(|open| &mut open.level) {
            Some(Level::Item(Some(content))) => content,
            _ => &mut *self.found,
        };
        let bytes = |element: &Element| match &element.value {
            Value::Bytes(range) => self.bytes.get(range.clone()),
            Value::Items(_) => None,
        };
        match holder.iter().find(|other| other.tag == element.tag) {
            None => holder.push(element),
            Some(same) if bytes(same).is_some() && bytes(same) == bytes(&element) => {}
            Some(_) => {
                let (group, number) = element.tag;
                return Err(implausible(&format!("a second ({group:04X},{number:04X}) with another value"), at));
            }
        }
        Ok(())
    }

    fn read_pixels(&mut self, header: &ElementHeader) -> Result<PixelElement> {
        let content = match header.length {
            UNDEFINED => Content::Fragments(self.read_fragments()?.0),
            length => Content::Native(self.at..advance(self.bytes, self.at, length, self.bytes.len())?),
        };
        Ok(PixelElement { element: header.tag.1, vr: header.vr.map_or([0, 0], VR::to_bytes), content })
    }

    /// The items of an encapsulated value, and where it ends.
    fn read_fragments(&self) -> Result<(Vec<Range<usize>>, usize)> {
        let mut fragments = Vec::new();
        let mut at = self.at;
        loop {
            // A file that ends here lacks the delimiter, and not one pixel.
            if fragments.len() > 1 && SEQUENCE_END_BYTES.starts_with(&self.bytes[at..]) {
                return Ok((fragments, self.bytes.len()));
            }
            let header = read_header(self.bytes, at, UNKNOWN)?;
            at += header.size;
            match (header.tag, header.length) {
                (SEQUENCE_END, _) => return Ok((fragments, at)),
                (ITEM, UNDEFINED) => return Err(fragment_invalid("an item of undefined length")),
                (ITEM, length) => {
                    let end = advance(self.bytes, at, length, self.bytes.len())?;
                    fragments.push(at..end);
                    at = end;
                }
                _ => return Err(fragment_invalid("something else than an item")),
            }
            if fragments.len() as u64 > self.limits.elements_max {
                return Err(too_many(self.limits));
            }
        }
    }
}

fn fragment_invalid(what: &str) -> Error {
    Error::new(Code::PixelLayoutInvalid, format!("the encapsulated pixel data holds {what}"))
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

/// Whether two bytes are a VR of PS3.5 section 6.2.
pub(super) fn is_vr(vr: &[u8]) -> bool {
    vr.try_into().is_ok_and(|chars| VR::from_binary(chars).is_some())
}

/// Whether a VR has two reserved bytes and a length of four in its header (PS3.5 7.1.2).
fn has_long_header(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

fn read_header(bytes: &[u8], at: usize, encoding: Encoding) -> Result<ElementHeader> {
    let Encoding { explicit_vr, big_endian } = encoding;
    let read = || -> Option<Result<ElementHeader>> {
        let tag = (word(bytes, at, big_endian)?, word(bytes, at + 2, big_endian)?);
        if !explicit_vr || tag.0 == 0xFFFE {
            let length = long(bytes, at + 4, big_endian)?;
            return Some(Ok(ElementHeader { tag, vr: None, length, size: 8 }));
        }
        let Some(vr) = VR::from_binary(bytes.get(at + 4..at + 6)?.try_into().ok()?) else {
            return Some(Err(implausible("an element has no valid VR", at)));
        };
        let (length, size) = match has_long_header(vr) {
            true => (long(bytes, at + 8, big_endian)?, 12),
            false => (u32::from(word(bytes, at + 6, big_endian)?), 8),
        };
        Some(Ok(ElementHeader { tag, vr: Some(vr), length, size }))
    };
    read().unwrap_or_else(|| Err(truncated(at)))
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
