//! What an object that is made from an image takes over from it: patient, study, equipment, place; decoded to UTF-8.
use dicom::{
    core::Tag,
    dictionary_std::tags,
    encoding::text::{SpecificCharacterSet, TextCodec},
};

use super::{Dataset, Header, Instance};

/// The attributes that an [`Origin`] keeps, where the image has them. All are in `attributes::READ`, too.
const KEPT: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::MANUFACTURER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::STUDY_DESCRIPTION,
    tags::PROCEDURE_CODE_SEQUENCE,
    tags::MANUFACTURER_MODEL_NAME,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::CLINICAL_TRIAL_SPONSOR_NAME,
    tags::CLINICAL_TRIAL_PROTOCOL_ID,
    tags::CLINICAL_TRIAL_PROTOCOL_NAME,
    tags::CLINICAL_TRIAL_SITE_ID,
    tags::CLINICAL_TRIAL_SITE_NAME,
    tags::CLINICAL_TRIAL_SUBJECT_ID,
    tags::CLINICAL_TRIAL_SUBJECT_READING_ID,
    tags::PATIENT_IDENTITY_REMOVED,
    tags::DEIDENTIFICATION_METHOD,
    tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
    tags::BODY_PART_EXAMINED,
    tags::SLICE_THICKNESS,
    tags::DEVICE_SERIAL_NUMBER,
    tags::SOFTWARE_VERSIONS,
    tags::IMAGER_PIXEL_SPACING,
    tags::STUDY_ID,
    tags::PATIENT_ORIENTATION,
    tags::FRAME_OF_REFERENCE_UID,
    tags::LATERALITY,
    tags::IMAGE_LATERALITY,
    tags::POSITION_REFERENCE_INDICATOR,
    tags::PIXEL_SPACING,
    tags::LOSSY_IMAGE_COMPRESSION,
    tags::LOSSY_IMAGE_COMPRESSION_RATIO,
    tags::LOSSY_IMAGE_COMPRESSION_METHOD,
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
];

/// An image as its results see it. Names of patients are in it: no `Debug`, no `Display`.
#[derive(Clone)]
pub struct Origin {
    /// The vetted header.
    pub header: Header,
    /// The attributes to take over, decoded: text is UTF-8, padding is gone, an empty value is empty.
    pub attributes: Dataset,
}

impl Instance {
    /// What objects made from it take over. Text that its character set does not explain is read as UTF-8, wrong bytes replaced.
    pub fn origin(&self) -> Origin {
        let root = self.root();
        let charset = Charset::of(&root.texts((0x0008, 0x0005)));
        let kept =
            KEPT.iter().filter_map(|tag| root.copy(*tag, &|text| charset.decode(text)).map(|value| (*tag, value)));
        Origin {
            header: self.header().clone(),
            attributes: kept.fold(Dataset::new(), |set, (tag, value)| set.set(tag, value)),
        }
    }
}

/// How the text of an object is coded (PS3.3 C.12.1.1.2).
struct Charset(Option<SpecificCharacterSet>);

impl Charset {
    /// With code extensions the last value is the one that adds letters: those before it are ASCII, or a part of it.
    fn of(values: &[String]) -> Charset {
        Charset(
            values
                .iter()
                .rev()
                .find(|value| !value.is_empty())
                .and_then(|value| SpecificCharacterSet::from_code(value)),
        )
    }

    fn decode(&self, text: &[u8]) -> String {
        let decoded = self.0.as_ref().filter(|_| !text.is_ascii() || text.contains(&0x1B));
        let decoded = decoded.and_then(|charset| charset.decode(text).ok());
        let decoded = decoded.unwrap_or_else(|| String::from_utf8_lossy(text).into_owned());
        without_escapes(&decoded)
    }
}

/// Without the escape sequences of ISO 2022 that a decoder has left: ESC, one or two intermediate bytes, a final one.
fn without_escapes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1B}' {
            let _until_its_final_byte = letters.by_ref().find(|c| !('\u{20}'..='\u{2F}').contains(c));
        } else {
            kept.push(letter);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::attributes::is_read;

    #[test]
    fn what_is_kept_is_read() {
        for tag in KEPT {
            assert!(is_read((tag.0, tag.1)), "{tag}");
        }
    }

    #[track_caller]
    fn check(values: &[&str], coded: &[u8], want: &str) {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        assert_eq!(Charset::of(&values).decode(coded), want);
    }

    /// Examples of PS3.5 annexes H, I and J.
    #[test]
    fn names_of_other_alphabets_become_utf_8() {
        check(&[], b"Doe^John", "Doe^John");
        check(&["ISO_IR 100"], b"Buc^J\xE9r\xF4me", "Buc^Jérôme");
        check(&["ISO_IR 192"], "Wang^XiaoDong=王^小東".as_bytes(), "Wang^XiaoDong=王^小東");
        check(&["GB18030"], b"Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB", "Wang^XiaoDong=王^小东");
        check(&["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "Yamada^Tarou=山田^太郎");
        check(
            &["", "ISO 2022 IR 149"],
            b"Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7",
            "Hong^Gildong=洪^吉洞",
        );
        check(&["no such set"], b"J\xFCrgen", "J\u{FFFD}rgen");
    }
}
