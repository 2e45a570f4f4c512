//! Attributes of a data set by tag: the only file that knows how the parser keeps values.
//!
//! The parser keeps VR UN as bytes and would then read them as numbers (a Rescale Slope "1 " becomes 49): values of known
//! tags are re-typed once, here, sequences included, so that nobody downstream meets a UN.
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::core::header::Header as _;
use dicom::core::{DataElement, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::StandardDataDictionary;
use dicom::object::{InMemDicomObject, mem::InMemElement};
use dicom::transfer_syntax::entries;

use crate::error::{Code, Error, Result, Subject};

use super::Limits;
use super::prescan::{self, Element, Encoding};

/// (group, element).
pub(super) type Key = (u16, u16);

/// The attributes outside group 0028 that this room reads. The parser is handed these and group 0028 and nothing else: what it
/// does not see cannot lead it astray.
const READ: &[Key] = &[
    (0x0008, 0x0005), // Specific Character Set
    (0x0008, 0x0008), // Image Type
    (0x0008, 0x0016), // SOP Class UID
    (0x0008, 0x0018), // SOP Instance UID
    (0x0008, 0x0020), // Study Date
    (0x0008, 0x0060), // Modality
    (0x0008, 0x103E), // Series Description
    (0x0010, 0x0020), // Patient ID
    (0x0010, 0x0021), // Issuer of Patient ID
    (0x0010, 0x0030), // Patient's Birth Date
    (0x0010, 0x0040), // Patient's Sex
    (0x0010, 0x1010), // Patient's Age
    (0x0018, 0x0015), // Body Part Examined
    (0x0018, 0x1164), // Imager Pixel Spacing
    (0x0018, 0x5101), // View Position
    (0x0020, 0x000D), // Study Instance UID
    (0x0020, 0x000E), // Series Instance UID
    (0x5200, 0x9229), // Shared Functional Groups Sequence
    (0x5200, 0x9230), // Per-Frame Functional Groups Sequence
    (0x7FE0, 0x0001), // Extended Offset Table
    (0x7FE0, 0x0002), // Extended Offset Table Lengths
];

/// Whether this room reads an attribute.
pub(super) fn is_read(key: Key) -> bool {
    key.0 == 0x0028 || READ.contains(&key)
}

/// The attributes that this room reads, every value typed as its tag says.
pub(super) struct Attributes(InMemDicomObject);

impl Attributes {
    /// Parses `elements` of `dataset`, as `prescan::walk` has found them. Errors: `HeaderImplausible`.
    pub(super) fn parse(
        dataset: &[u8],
        elements: &[Element],
        encoding: Encoding,
        limits: &Limits,
    ) -> Result<Attributes> {
        if let Some(element) = elements.iter().find(|element| element.misleads_parser) {
            return Err(invalid(element.tag, "contradicts its own lengths"));
        }
        let (unknown, plain): (Vec<&Element>, Vec<&Element>) = elements.iter().partition(|e| e.unknown_sequence);
        let header: Vec<u8> = plain.iter().flat_map(|element| &dataset[element.whole.clone()]).copied().collect();
        let mut object = parse(&header, encoding)?;
        retype_unknown(&mut object, limits);
        for element in unknown {
            let tag = Tag(element.tag.0, element.tag.1);
            object.extend(retyped_sequence(tag, &dataset[element.value.clone()], limits));
        }
        Ok(Attributes(object))
    }

    /// A view of the top level.
    pub(super) fn root(&self) -> View<'_> {
        View(&self.0)
    }
}

fn parse(header: &[u8], encoding: Encoding) -> Result<InMemDicomObject> {
    let syntax = match encoding {
        Encoding { big_endian: true, .. } => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
        Encoding { explicit_vr: true, .. } => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        Encoding { explicit_vr: false, .. } => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
    };
    let refused = || Error::new(Code::HeaderImplausible, "the header cannot be parsed");
    // A parser that is hunted for panics in the field must not take the process down.
    let parsed = catch_unwind(AssertUnwindSafe(|| InMemDicomObject::read_dataset_with_ts(header, &syntax)));
    parsed.map_err(|_| refused())?.map_err(|_| refused())
}

/// The attributes of the top level or of one item.
#[derive(Clone, Copy)]
pub(super) struct View<'a>(&'a InMemDicomObject);

impl<'a> View<'a> {
    fn element(&self, key: Key) -> Option<&'a InMemElement> {
        debug_assert!(is_read(key), "{key:?} is missing in READ: it is never parsed");
        self.0.get(Tag(key.0, key.1))
    }

    /// The first value as text, without padding; `None` if absent or empty.
    pub(super) fn text(&self, key: Key) -> Option<String> {
        self.texts(key).into_iter().next().filter(|text| !text.is_empty())
    }

    /// All values as text, without padding.
    pub(super) fn texts(&self, key: Key) -> Vec<String> {
        let Some(Ok(values)) = self.element(key).map(|e| e.to_multi_str()) else { return Vec::new() };
        values.iter().map(|text| text.trim_matches([' ', '\0']).to_owned()).collect()
    }

    /// All values as integers. `None` if absent, empty, or not whole numbers.
    pub(super) fn integers(&self, key: Key) -> Option<Vec<i64>> {
        let values = match self.element(key)?.value().primitive()? {
            PrimitiveValue::Str(_) | PrimitiveValue::Strs(_) => {
                self.texts(key).iter().map(|text| text.parse().ok()).collect::<Option<Vec<i64>>>()?
            }
            value => value.to_multi_int::<i64>().ok()?,
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
        match self.element(key)?.value().primitive()? {
            PrimitiveValue::Str(_) | PrimitiveValue::Strs(_) => self.text(key)?.parse().ok(),
            value => value.to_multi_float64().ok()?.first().copied(),
        }
    }

    /// All values as numbers; `None` if one of them is none.
    pub(super) fn numbers(&self, key: Key) -> Option<Vec<f64>> {
        match self.element(key)?.value().primitive()? {
            PrimitiveValue::Str(_) | PrimitiveValue::Strs(_) => {
                self.texts(key).iter().map(|text| text.parse().ok()).collect()
            }
            value => value.to_multi_float64().ok(),
        }
    }

    /// The value as bytes, 16-bit words little endian whatever the file was.
    pub(super) fn bytes(&self, key: Key) -> Option<Vec<u8>> {
        let bytes = self.element(key)?.value().to_bytes().ok()?.into_owned();
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Whether the attribute is there with a value that is not only padding.
    pub(super) fn has_value(&self, key: Key) -> bool {
        match self.element(key).map(|e| e.value()) {
            None => false,
            Some(value) => match value.primitive() {
                Some(PrimitiveValue::Str(_) | PrimitiveValue::Strs(_)) => self.text(key).is_some(),
                Some(primitive) => primitive.multiplicity() > 0,
                None => value.items().is_some_and(|items| !items.is_empty()),
            },
        }
    }

    /// Whether the attribute is stored with VR SS.
    pub(super) fn is_signed_short(&self, key: Key) -> bool {
        self.element(key).is_some_and(|e| e.vr() == VR::SS)
    }

    /// Item `index` of a sequence.
    pub(super) fn item(&self, key: Key, index: usize) -> Option<View<'a>> {
        self.element(key)?.items()?.get(index).map(View)
    }
}

pub(super) fn invalid(key: Key, what: &str) -> Error {
    Error::new(Code::HeaderImplausible, what).about(Subject::Tag(key.0, key.1))
}

/// Gives values of VR UN the VR that the dictionary says. The values are little endian (PS3.5 6.2.2), sequences in implicit VR.
fn retype_unknown(object: &mut InMemDicomObject, limits: &Limits) {
    let unknown: Vec<Tag> = object.iter().filter(|e| e.vr() == VR::UN && e.tag().0 % 2 == 0).map(|e| e.tag()).collect();
    for tag in unknown {
        let Some(vr) = StandardDataDictionary.by_tag(tag).map(|entry| entry.vr().relaxed()) else { continue };
        let Some(bytes) = object.get(tag).and_then(|e| e.value().to_bytes().ok()).map(|b| b.into_owned()) else {
            continue;
        };
        if let Some(element) = retyped(tag, vr, &bytes, limits) {
            object.put(element);
        }
    }
    let sequences: Vec<Tag> = object.iter().filter(|e| e.items().is_some()).map(|e| e.tag()).collect();
    for tag in sequences {
        object.update_value(tag, |value| {
            for item in value.items_mut().into_iter().flatten() {
                retype_unknown(item, limits);
            }
        });
    }
}

fn retyped(tag: Tag, vr: VR, bytes: &[u8], limits: &Limits) -> Option<InMemElement> {
    let value = match vr {
        VR::US => PrimitiveValue::U16(words(bytes).collect()),
        VR::SS => PrimitiveValue::I16(words(bytes).map(u16::cast_signed).collect()),
        VR::UL => PrimitiveValue::U32(arrays(bytes).map(u32::from_le_bytes).collect()),
        VR::SL => PrimitiveValue::I32(arrays(bytes).map(i32::from_le_bytes).collect()),
        VR::FL => PrimitiveValue::F32(arrays(bytes).map(f32::from_le_bytes).collect()),
        VR::FD => PrimitiveValue::F64(arrays(bytes).map(f64::from_le_bytes).collect()),
        VR::DS | VR::IS | VR::CS | VR::UI | VR::DA | VR::TM | VR::DT | VR::AE | VR::AS | VR::LO | VR::SH => {
            let text = String::from_utf8_lossy(bytes);
            PrimitiveValue::Strs(text.trim_end_matches(['\0', ' ']).split('\\').map(str::to_owned).collect())
        }
        VR::SQ => return retyped_sequence(tag, bytes, limits),
        _ => return None,
    };
    Some(DataElement::new(tag, vr, value))
}

/// The bytes of a sequence in implicit VR, parsed as a data set that holds nothing else; they pass the prescan first, like any other.
fn retyped_sequence(tag: Tag, bytes: &[u8], limits: &Limits) -> Option<InMemElement> {
    let mut dataset = Vec::with_capacity(bytes.len() + 8);
    dataset.extend_from_slice(&tag.0.to_le_bytes());
    dataset.extend_from_slice(&tag.1.to_le_bytes());
    dataset.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
    dataset.extend_from_slice(bytes);
    let encoding = Encoding { explicit_vr: false, big_endian: false };
    if !bytes.starts_with(&[0xFE, 0xFF, 0x00, 0xE0]) {
        return None;
    }
    if !prescan::walk_items(bytes, limits).ok()? {
        return None;
    }
    let mut object = parse(&dataset, encoding).ok()?;
    retype_unknown(&mut object, limits);
    object.take(tag)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    arrays(bytes).map(u16::from_le_bytes)
}

fn arrays<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok())
}
