//! A data set as the bytes of a Part 10 file: Explicit VR Little Endian, explicit lengths, UTF-8.
//!
//! The same data set gives the same bytes. Standard: PS3.5 section 7 (encoding), PS3.10 section 7 (file format).
use dicom::{
    core::{
        Tag, VR,
        dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr},
    },
    dictionary_std::{StandardDataDictionary, tags},
};

use super::dataset::{Dataset, Value};
use crate::{
    error::{Error, Result},
    uid::Uid,
};

/// Explicit VR Little Endian: how all that we make is written.
pub const WRITTEN_SYNTAX: &str = "1.2.840.10008.1.2.1";
/// Implementation Version Name: 16 characters at most.
const IMPLEMENTATION: &str =
    concat!("OVERREAD_", env!("CARGO_PKG_VERSION_MAJOR"), "_", env!("CARGO_PKG_VERSION_MINOR"));

impl Dataset {
    /// The Part 10 file of this data set, which names its SOP Class and SOP Instance.
    ///
    /// Errors: `Internal` for an attribute without a VR in the dictionary, a value of another kind than its VR, or one that is longer
    /// than its VR can say.
    pub fn to_part10(&self) -> Result<Vec<u8>> {
        let nameless = || Error::internal("an object to be written has no SOP Class or SOP Instance UID");
        let class = self.first(tags::SOP_CLASS_UID).ok_or_else(nameless)?;
        let instance = self.first(tags::SOP_INSTANCE_UID).ok_or_else(nameless)?;
        let meta = Dataset::new()
            .bytes(tags::FILE_META_INFORMATION_VERSION, vec![0, 1])
            .text(tags::MEDIA_STORAGE_SOP_CLASS_UID, class)
            .text(tags::MEDIA_STORAGE_SOP_INSTANCE_UID, instance)
            .text(tags::TRANSFER_SYNTAX_UID, WRITTEN_SYNTAX)
            .text(tags::IMPLEMENTATION_CLASS_UID, Uid::derive(&[b"overread", b"implementation class"]))
            .text(tags::IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION);
        let mut group = Vec::new();
        meta.write(&mut group)?;
        let length = Dataset::new().longs(tags::FILE_META_INFORMATION_GROUP_LENGTH, &[long(group.len())?]);
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        length.write(&mut file)?;
        file.append(&mut group);
        self.write(&mut file)?;
        Ok(file)
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        self.elements.iter().try_for_each(|(tag, value)| write_element(*tag, value, out))
    }
}

fn write_element(tag: Tag, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    let vr = vr_of(tag, value)?;
    put_tag(tag, out);
    out.extend_from_slice(vr.to_string().as_bytes());
    let length_at = match has_long_length(vr) {
        true => {
            out.extend_from_slice(&[0; 6]);
            out.len() - 4
        }
        false => {
            out.extend_from_slice(&[0; 2]);
            out.len() - 2
        }
    };
    let start = out.len();
    write_value(vr, value, out)?;
    if !(out.len() - start).is_multiple_of(2) {
        // Text is padded by a space, UIDs and bytes by a zero (PS3.5 6.2).
        out.push(if matches!(value, Value::Text(_)) && vr != VR::UI { b' ' } else { 0 });
    }
    let length = out.len() - start;
    match has_long_length(vr) {
        true => out[length_at..start].copy_from_slice(&long(length)?.to_le_bytes()),
        false => {
            let short = u16::try_from(length)
                .map_err(|_| wrong(tag, "is longer than 65,534 bytes, which its VR cannot say"))?;
            out[length_at..start].copy_from_slice(&short.to_le_bytes());
        }
    }
    Ok(())
}

fn write_value(vr: VR, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Text(values) => out.extend_from_slice(values.join("\\").as_bytes()),
        Value::Tags(values) => values.iter().for_each(|tag| put_tag(*tag, out)),
        Value::Words(values) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Value::SignedWords(values) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Value::Longs(values) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Value::SignedLongs(values) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Value::Floats(values) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Value::Doubles(values) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Items(items) => {
            debug_assert!(vr == VR::SQ, "checked by vr_of");
            for item in items {
                put_tag(Tag(0xFFFE, 0xE000), out);
                let length_at = out.len();
                out.extend_from_slice(&[0; 4]);
                item.write(out)?;
                let length = long(out.len() - length_at - 4)?;
                out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
        }
    }
    Ok(())
}

fn put_tag(Tag(group, element): Tag, out: &mut Vec<u8>) {
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&element.to_le_bytes());
}

fn long(length: usize) -> Result<u32> {
    // 0xFFFFFFFF says something else: an undefined length.
    u32::try_from(length)
        .ok()
        .filter(|length| *length < u32::MAX)
        .ok_or_else(|| Error::internal("an object is too long to be written"))
}

fn wrong(tag: Tag, what: &str) -> Error {
    Error::internal(format!("attribute ({:04X},{:04X}) of an object to be written {what}", tag.0, tag.1))
}

/// The dictionary's VR, where it leaves a choice that of the value. Errors: `Internal` where the value is none of it.
fn vr_of(tag: Tag, value: &Value) -> Result<VR> {
    let entry = StandardDataDictionary.by_tag(tag).ok_or_else(|| wrong(tag, "is not in the dictionary"))?;
    let vr = match (entry.vr(), value) {
        (VirtualVr::Exact(vr), _) => vr,
        (VirtualVr::Px, Value::Bytes(_)) => VR::OB,
        (VirtualVr::Xs, Value::SignedWords(_)) => VR::SS,
        (other, _) => other.relaxed(),
    };
    let fits = match value {
        // Nothing is of any VR.
        Value::Text(values) if values.is_empty() => true,
        Value::Text(_) => is_text(vr),
        Value::Tags(_) => vr == VR::AT,
        Value::Words(_) => matches!(vr, VR::US | VR::OW),
        Value::SignedWords(_) => vr == VR::SS,
        Value::Longs(_) => vr == VR::UL,
        Value::SignedLongs(_) => vr == VR::SL,
        Value::Floats(_) => matches!(vr, VR::FL | VR::OF),
        Value::Doubles(_) => vr == VR::FD,
        Value::Bytes(_) => vr == VR::OB,
        Value::Items(_) => vr == VR::SQ,
    };
    if fits { Ok(vr) } else { Err(wrong(tag, "has a value of another kind than its VR")) }
}

pub(super) fn is_text(vr: VR) -> bool {
    use VR::{AE, AS, CS, DA, DS, DT, IS, LO, LT, PN, SH, ST, TM, UC, UI, UR, UT};
    matches!(vr, AE | AS | CS | DA | DS | DT | IS | LO | LT | PN | SH | ST | TM | UC | UI | UR | UT)
}

/// Whether the length takes four bytes after two of padding (PS3.5 7.1.2).
fn has_long_length(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dicom::object::FileDicomObject;

    use super::*;
    use crate::dicom::{Limits, identify};

    fn named() -> Dataset {
        Dataset::new().text(tags::SOP_CLASS_UID, "1.2.840.10008.5.1.4.1.1.7").text(tags::SOP_INSTANCE_UID, "1.2.3")
    }

    #[test]
    fn another_reader_finds_every_value_at_its_place() {
        let inner = Dataset::new().text(tags::CODE_VALUE, "odd").empty(tags::CODE_MEANING);
        let file = named()
            .text(tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192")
            .text(tags::PATIENT_NAME, "Müller^Jürgen")
            .texts(tags::IMAGE_TYPE, ["DERIVED", "PRIMARY"])
            .items(tags::CONTENT_SEQUENCE, [inner.clone(), Dataset::new().item(tags::CONTENT_SEQUENCE, inner)])
            .floats(tags::GRAPHIC_DATA, vec![0.5, -1.25])
            .doubles(tags::DOUBLE_FLOAT_REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, &[0.1])
            .tags(tags::DIMENSION_INDEX_POINTER, &[tags::IMAGE_POSITION_PATIENT])
            .longs(tags::DIMENSION_INDEX_VALUES, &[1, 70_000])
            .bytes(tags::PIXEL_DATA, vec![1, 2, 3])
            .to_part10()
            .expect("written");
        let read = FileDicomObject::from_reader(&file[128..]).expect("readable");
        // The file meta group's length is right, else what follows is not found.
        let text = |tag| read.element(tag).expect("there").to_str().expect("text").into_owned();
        assert_eq!(text(tags::PATIENT_NAME), "Müller^Jürgen");
        assert_eq!(text(tags::IMAGE_TYPE), "DERIVED\\PRIMARY");
        assert_eq!(read.meta().transfer_syntax(), WRITTEN_SYNTAX);
        assert_eq!(read.meta().media_storage_sop_instance_uid(), "1.2.3");
        let items = read.element(tags::CONTENT_SEQUENCE).expect("there").items().expect("items");
        let deep = items[1].element(tags::CONTENT_SEQUENCE).expect("there").items().expect("items");
        assert_eq!(deep[0].element(tags::CODE_VALUE).expect("there").to_str().expect("text"), "odd");
        assert_eq!(read.element(tags::GRAPHIC_DATA).expect("there").to_multi_float32().expect("floats"), [0.5, -1.25]);
        assert_eq!(read.element(tags::PIXEL_DATA).expect("there").to_bytes().expect("bytes").as_ref(), [1, 2, 3, 0]);
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        assert!(Dataset::new().to_part10().is_err(), "without names");
        assert!(named().text(Tag(0x0009, 0x1001), "private").to_part10().is_err());
        assert!(named().words(tags::PATIENT_NAME, &[1]).to_part10().is_err());
        assert!(named().text(tags::ROWS, "1").to_part10().is_err());
        assert!(named().floats(tags::GRAPHIC_DATA, vec![0.0; 16_383]).to_part10().is_ok());
        assert!(named().floats(tags::GRAPHIC_DATA, vec![0.0; 16_384]).to_part10().is_err(), "65,536 bytes");
        let bytes = Bytes::from(named().to_part10().expect("written"));
        assert_eq!(identify(&bytes, &Limits::default()).sop_instance, Uid::parse("1.2.3").ok());
    }
}
