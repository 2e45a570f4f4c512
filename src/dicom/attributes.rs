//! Values of attributes by tag, typed as the file or the dictionary says.
//!
//! Attributes that nobody reads are never looked at: what is in them cannot lead anybody astray. Values of VR UN are typed
//! by the dictionary, sequences included: taken as what they look like, a Rescale Slope "1 " would be 49.
use bytes::Bytes;
use dicom::core::{Tag, VR};

use crate::error::{Code, Error, Result, Subject};

use super::dataset::Dataset;
use super::prescan::{Element, Value};
use super::write::is_text;

/// (group, element).
pub(super) type Key = (u16, u16);

/// The attributes that this room reads, at whatever level. `prescan::walk` keeps these and no others.
const READ: &[Key] = &[
    (0x0008, 0x0005), // Specific Character Set
    (0x0008, 0x0008), // Image Type
    (0x0008, 0x0016), // SOP Class UID
    (0x0008, 0x0018), // SOP Instance UID
    (0x0008, 0x0020), // Study Date
    (0x0008, 0x0030), // Study Time
    (0x0008, 0x0050), // Accession Number
    (0x0008, 0x0060), // Modality
    (0x0008, 0x0070), // Manufacturer
    (0x0008, 0x0090), // Referring Physician's Name
    (0x0008, 0x0100), // Code Value
    (0x0008, 0x0102), // Coding Scheme Designator
    (0x0008, 0x0103), // Coding Scheme Version
    (0x0008, 0x0104), // Code Meaning
    (0x0008, 0x0119), // Long Code Value
    (0x0008, 0x0201), // Timezone Offset From UTC
    (0x0008, 0x1030), // Study Description
    (0x0008, 0x1032), // Procedure Code Sequence
    (0x0008, 0x103E), // Series Description
    (0x0008, 0x1090), // Manufacturer's Model Name
    (0x0008, 0x9007), // Frame Type
    (0x0010, 0x0010), // Patient's Name
    (0x0010, 0x0020), // Patient ID
    (0x0010, 0x0021), // Issuer of Patient ID
    (0x0010, 0x0030), // Patient's Birth Date
    (0x0010, 0x0040), // Patient's Sex
    (0x0010, 0x1010), // Patient's Age
    (0x0012, 0x0010), // Clinical Trial Sponsor Name
    (0x0012, 0x0020), // Clinical Trial Protocol ID
    (0x0012, 0x0021), // Clinical Trial Protocol Name
    (0x0012, 0x0030), // Clinical Trial Site ID
    (0x0012, 0x0031), // Clinical Trial Site Name
    (0x0012, 0x0040), // Clinical Trial Subject ID
    (0x0012, 0x0042), // Clinical Trial Subject Reading ID
    (0x0012, 0x0062), // Patient Identity Removed
    (0x0012, 0x0063), // De-identification Method
    (0x0012, 0x0064), // De-identification Method Code Sequence
    (0x0018, 0x0010), // Contrast/Bolus Agent
    (0x0018, 0x0015), // Body Part Examined
    (0x0018, 0x0050), // Slice Thickness
    (0x0018, 0x0081), // Echo Time
    (0x0018, 0x1000), // Device Serial Number
    (0x0018, 0x1020), // Software Versions
    (0x0018, 0x1164), // Imager Pixel Spacing
    (0x0018, 0x5101), // View Position
    (0x0018, 0x9076), // Diffusion Gradient Direction Sequence
    (0x0018, 0x9082), // Effective Echo Time
    (0x0018, 0x9087), // Diffusion b-value
    (0x0018, 0x9089), // Diffusion Gradient Orientation
    (0x0018, 0x9114), // MR Echo Sequence
    (0x0018, 0x9117), // MR Diffusion Sequence
    (0x0018, 0x9226), // MR Image Frame Type Sequence
    (0x0018, 0x9329), // CT Image Frame Type Sequence
    (0x0020, 0x000D), // Study Instance UID
    (0x0020, 0x000E), // Series Instance UID
    (0x0020, 0x0010), // Study ID
    (0x0020, 0x0012), // Acquisition Number
    (0x0020, 0x0013), // Instance Number
    (0x0020, 0x0020), // Patient Orientation
    (0x0020, 0x0032), // Image Position (Patient)
    (0x0020, 0x0037), // Image Orientation (Patient)
    (0x0020, 0x0052), // Frame of Reference UID
    (0x0020, 0x0060), // Laterality
    (0x0020, 0x0062), // Image Laterality
    (0x0020, 0x0100), // Temporal Position Identifier
    (0x0020, 0x1040), // Position Reference Indicator
    (0x0020, 0x9111), // Frame Content Sequence
    (0x0020, 0x9113), // Plane Position Sequence
    (0x0020, 0x9116), // Plane Orientation Sequence
    (0x0020, 0x9128), // Temporal Position Index
    (0x0020, 0x9156), // Frame Acquisition Number
    (0x0028, 0x0002), // Samples per Pixel
    (0x0028, 0x0004), // Photometric Interpretation
    (0x0028, 0x0006), // Planar Configuration
    (0x0028, 0x0008), // Number of Frames
    (0x0028, 0x0010), // Rows
    (0x0028, 0x0011), // Columns
    (0x0028, 0x0030), // Pixel Spacing
    (0x0028, 0x0100), // Bits Allocated
    (0x0028, 0x0101), // Bits Stored
    (0x0028, 0x0102), // High Bit
    (0x0028, 0x0103), // Pixel Representation
    (0x0028, 0x0120), // Pixel Padding Value
    (0x0028, 0x0121), // Pixel Padding Range Limit
    (0x0028, 0x0301), // Burned In Annotation
    (0x0028, 0x1050), // Window Center
    (0x0028, 0x1051), // Window Width
    (0x0028, 0x1052), // Rescale Intercept
    (0x0028, 0x1053), // Rescale Slope
    (0x0028, 0x1056), // VOI LUT Function
    (0x0028, 0x1101), // Palette Color Lookup Table Descriptor: red, green, blue
    (0x0028, 0x1102),
    (0x0028, 0x1103),
    (0x0028, 0x1201), // Palette Color Lookup Table Data: red, green, blue
    (0x0028, 0x1202),
    (0x0028, 0x1203),
    (0x0028, 0x1221), // Segmented Palette Color Lookup Table Data: red, green, blue
    (0x0028, 0x1222),
    (0x0028, 0x1223),
    (0x0028, 0x2110), // Lossy Image Compression
    (0x0028, 0x2112), // Lossy Image Compression Ratio
    (0x0028, 0x2114), // Lossy Image Compression Method
    (0x0028, 0x3000), // Modality LUT Sequence
    (0x0028, 0x3002), // LUT Descriptor
    (0x0028, 0x3006), // LUT Data
    (0x0028, 0x3010), // VOI LUT Sequence
    (0x0028, 0x9110), // Pixel Measures Sequence
    (0x0028, 0x9132), // Frame VOI LUT Sequence
    (0x0028, 0x9145), // Pixel Value Transformation Sequence
    (0x0032, 0x1060), // Requested Procedure Description
    (0x0032, 0x1064), // Requested Procedure Code Sequence
    (0x0040, 0x0007), // Scheduled Procedure Step Description
    (0x0040, 0x0009), // Scheduled Procedure Step ID
    (0x0040, 0x0275), // Request Attributes Sequence
    (0x0040, 0x1001), // Requested Procedure ID
    (0x5200, 0x9229), // Shared Functional Groups Sequence
    (0x5200, 0x9230), // Per-Frame Functional Groups Sequence
    (0x7FE0, 0x0001), // Extended Offset Table
    (0x7FE0, 0x0002), // Extended Offset Table Lengths
];

/// Whether this room reads an attribute.
pub(super) fn is_read(key: Key) -> bool {
    READ.binary_search(&key).is_ok()
}

/// The attributes of a data set that are read.
pub(super) struct Attributes {
    dataset: Bytes,
    elements: Vec<Element>,
}

impl Attributes {
    /// `elements` as `prescan::walk` has found them in `dataset`.
    pub(super) fn new(dataset: Bytes, elements: Vec<Element>) -> Attributes {
        Attributes { dataset, elements }
    }

    /// A view of the top level.
    pub(super) fn root(&self) -> View<'_> {
        View { dataset: &self.dataset, elements: &self.elements }
    }
}

/// The attributes of the top level or of one item.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    dataset: &'a [u8],
    elements: &'a [Element],
}

impl<'a> View<'a> {
    fn element(&self, key: Key) -> Option<&'a Element> {
        debug_assert!(is_read(key), "{key:?} is missing in READ: it is never found");
        self.elements.iter().find(|element| element.tag == key)
    }

    /// The value as it is written; `None` if absent or a sequence.
    fn raw(&self, key: Key) -> Option<(&'a Element, &'a [u8])> {
        let element = self.element(key)?;
        match &element.value {
            Value::Bytes(range) => self.dataset.get(range.clone()).map(|bytes| (element, bytes)),
            Value::Items(_) => None,
        }
    }

    /// Whether the attribute is there, with a value or without.
    pub(super) fn is_there(&self, key: Key) -> bool {
        self.element(key).is_some()
    }

    /// Whether the attribute is there with a value that is not only padding.
    pub(super) fn has_value(&self, key: Key) -> bool {
        match self.element(key).map(|element| &element.value) {
            None => false,
            Some(Value::Items(items)) => !items.is_empty(),
            Some(Value::Bytes(_)) => self.raw(key).is_some_and(|(element, bytes)| match is_text(element.vr) {
                true => !trimmed(bytes).is_empty(),
                false => !bytes.is_empty(),
            }),
        }
    }

    /// The whole value, as it is written, without padding; `None` if absent or empty. For text that may hold anything.
    pub(super) fn written(&self, key: Key) -> Option<&'a [u8]> {
        self.raw(key).map(|(_, bytes)| trimmed(bytes)).filter(|bytes| !bytes.is_empty())
    }

    /// The first value as text, without padding; `None` if absent or empty. What is not UTF-8 in it is replaced.
    pub(super) fn text(&self, key: Key) -> Option<String> {
        self.texts(key).into_iter().next().filter(|text| !text.is_empty())
    }

    /// All values as text, without padding.
    pub(super) fn texts(&self, key: Key) -> Vec<String> {
        let Some(bytes) = self.written(key) else { return Vec::new() };
        bytes.split(|byte| *byte == b'\\').map(|part| String::from_utf8_lossy(trimmed(part)).into_owned()).collect()
    }

    /// The attribute as it may be written again: text by `decode`, sequences with all that is read of their items. `None` if absent or
    /// neither.
    pub(super) fn copy(&self, tag: Tag, decode: &dyn Fn(&[u8]) -> String) -> Option<super::dataset::Value> {
        use super::dataset::Value as Copied;
        let element = self.element((tag.0, tag.1))?;
        match &element.value {
            Value::Bytes(range) if is_text(element.vr) => {
                let text = decode(trimmed(self.dataset.get(range.clone())?));
                let values = text.split('\\').map(|value| value.trim().to_owned());
                Some(Copied::Text(if text.is_empty() { Vec::new() } else { values.collect() }))
            }
            Value::Bytes(_) => None,
            Value::Items(items) => {
                let views = items.iter().map(|elements| View { dataset: self.dataset, elements });
                Some(Copied::Items(views.map(|view| view.copy_all(decode)).collect()))
            }
        }
    }

    fn copy_all(&self, decode: &dyn Fn(&[u8]) -> String) -> Dataset {
        let tags = self.elements.iter().map(|element| Tag(element.tag.0, element.tag.1));
        let copied = tags.filter_map(|tag| self.copy(tag, decode).map(|value| (tag, value)));
        copied.fold(Dataset::new(), |set, (tag, value)| set.set(tag, value))
    }

    /// All values as integers. `None` if absent, empty, or not whole numbers.
    pub(super) fn integers(&self, key: Key) -> Option<Vec<i64>> {
        let (element, bytes) = self.raw(key)?;
        let big = element.big_endian;
        let values: Vec<i64> = match element.vr {
            VR::US | VR::OW => units(bytes, big, |b| i64::from(u16::from_le_bytes(b)))?,
            VR::SS => units(bytes, big, |b| i64::from(i16::from_le_bytes(b)))?,
            VR::UL | VR::OL => units(bytes, big, |b| i64::from(u32::from_le_bytes(b)))?,
            VR::SL => units(bytes, big, |b| i64::from(i32::from_le_bytes(b)))?,
            VR::SV => units(bytes, big, i64::from_le_bytes)?,
            vr if is_text(vr) => self.texts(key).iter().map(|text| whole(text)).collect::<Option<_>>()?,
            _ => return None,
        };
        (!values.is_empty()).then_some(values)
    }

    /// The first value as an integer.
    pub(super) fn integer(&self, key: Key) -> Option<i64> {
        self.integers(key)?.first().copied()
    }

    /// An integer that fits 16 unsigned bits. `Ok(None)` if absent or empty; `HeaderImplausible` if it is something else.
    pub(super) fn word(&self, key: Key) -> Result<Option<u16>> {
        match self.has_value(key) {
            false => Ok(None),
            true => match self.integer(key).map(u16::try_from) {
                Some(Ok(value)) => Ok(Some(value)),
                _ => Err(invalid(key, "is not a number of 16 bits")),
            },
        }
    }

    /// The first value as a number; it may be infinite or NaN. `None` if absent, empty or no number.
    pub(super) fn number(&self, key: Key) -> Option<f64> {
        match self.raw(key)?.0.vr {
            vr if is_text(vr) => self.text(key)?.parse().ok(),
            _ => self.numbers(key)?.first().copied(),
        }
    }

    /// All values as numbers; `None` if one of them is none.
    pub(super) fn numbers(&self, key: Key) -> Option<Vec<f64>> {
        let (element, bytes) = self.raw(key)?;
        match element.vr {
            VR::FL => units(bytes, element.big_endian, |b| f64::from(f32::from_le_bytes(b))),
            VR::FD => units(bytes, element.big_endian, f64::from_le_bytes),
            vr if is_text(vr) => self.texts(key).iter().map(|text| text.parse().ok()).collect(),
            _ => self.integers(key).map(|values| values.iter().map(|value| *value as f64).collect()),
        }
    }

    /// The value as bytes, 16-bit words little endian whatever the file was. `None` if absent, empty or a sequence.
    pub(super) fn bytes(&self, key: Key) -> Option<Vec<u8>> {
        let (element, bytes) = self.raw(key)?;
        let mut bytes = bytes.to_vec();
        if element.big_endian && matches!(element.vr, VR::OW | VR::US | VR::SS) {
            bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Whether the attribute is stored with VR SS; `None` if the file does not say.
    pub(super) fn is_signed_short(&self, key: Key) -> Option<bool> {
        self.element(key).filter(|element| element.vr_is_stated).map(|element| element.vr == VR::SS)
    }

    /// Item `index` of a sequence.
    pub(super) fn item(&self, key: Key, index: usize) -> Option<View<'a>> {
        match &self.element(key)?.value {
            Value::Items(items) => items.get(index).map(|elements| View { dataset: self.dataset, elements }),
            Value::Bytes(_) => None,
        }
    }
}

pub(super) fn invalid(key: Key, what: &str) -> Error {
    Error::new(Code::HeaderImplausible, what).about(Subject::Tag(key.0, key.1))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_padding = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let start = bytes.iter().position(|byte| !is_padding(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// An integer string; some writers put a decimal point into it.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        text.strip_suffix(|last| last == '0').and_then(|t| t.trim_end_matches('0').strip_suffix('.'))?.parse().ok()
    })
}

/// Numbers of `N` bytes each; `None` if the bytes are not a multiple of that.
fn units<const N: usize, T>(bytes: &[u8], big_endian: bool, from_le: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let number = |chunk: &[u8]| -> Option<T> {
        let mut unit: [u8; N] = chunk.try_into().ok()?;
        if big_endian {
            unit.reverse();
        }
        Some(from_le(unit))
    };
    bytes.len().is_multiple_of(N).then(|| bytes.chunks_exact(N).map(number).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_that_are_read_are_in_order() {
        assert!(READ.is_sorted());
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        for (text, want) in
            [("48", Some(48)), ("+5", Some(5)), ("48.0", Some(48)), ("-2.00", Some(-2)), ("4.5", None), ("", None)]
        {
            assert_eq!(whole(text), want, "{text}");
        }
    }
}
