//! Coded concepts: those of the templates as constants, those of findings as the manifest names them.
//!
//! Source of each: PS3.16, its context group in a comment where it has one. Letter case of meanings is the standard's.
use crate::{
    dicom::{Dataset, tags},
    finding::CodedConcept,
};

/// Our own coding scheme, for what has no code in DICOM or in the part of SNOMED CT that DICOM may use freely.
pub(super) const OWN_SCHEME: &str = "99OVERREAD";
/// Code Value is SH: what is longer goes into Long Code Value (PS3.3 section 8.1).
const VALUE_LETTERS_MAX: usize = 16;
/// Code Meaning is LO.
const MEANING_LETTERS_MAX: usize = 64;

/// A coded concept (PS3.3 section 8.8).
#[derive(Clone, Copy)]
pub(super) struct Code<'a> {
    value: &'a str,
    scheme: &'a str,
    meaning: &'a str,
}

impl<'a> Code<'a> {
    pub(super) const fn new(value: &'a str, scheme: &'a str, meaning: &'a str) -> Code<'a> {
        Code { value, scheme, meaning }
    }

    const fn dcm(value: &'a str, meaning: &'a str) -> Code<'a> {
        Code { value, scheme: "DCM", meaning }
    }

    const fn sct(value: &'a str, meaning: &'a str) -> Code<'a> {
        Code { value, scheme: "SCT", meaning }
    }

    /// As the item of a code sequence.
    pub(super) fn item(self) -> Dataset {
        let value = if self.value.len() > VALUE_LETTERS_MAX { tags::LONG_CODE_VALUE } else { tags::CODE_VALUE };
        Dataset::new()
            .text(value, self.value)
            .text(tags::CODING_SCHEME_DESIGNATOR, self.scheme)
            .text(tags::CODE_MEANING, shortened(self.meaning, MEANING_LETTERS_MAX))
    }
}

impl<'a> From<&'a CodedConcept> for Code<'a> {
    fn from(concept: &'a CodedConcept) -> Code<'a> {
        Code { value: &concept.value, scheme: &concept.scheme, meaning: &concept.meaning }
    }
}

/// The item that says what [`OWN_SCHEME`] is (PS3.3 C.12.1.1.3).
pub(super) fn own_scheme() -> Dataset {
    Dataset::new()
        .text(tags::CODING_SCHEME_DESIGNATOR, OWN_SCHEME)
        .text(tags::CODING_SCHEME_NAME, "overread: labels of models and reasons why an image was not analysed")
        .text(tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, "overread")
}

/// The text, cut to as many letters.
pub(super) fn shortened(text: &str, letters: usize) -> String {
    text.chars().take(letters).collect()
}

type Known = Code<'static>;

// TID 1500 and what it includes.
pub(super) const REPORT: Known = Code::dcm("126000", "Imaging Measurement Report");
pub(super) const LANGUAGE: Known = Code::dcm("121049", "Language of Content Item and Descendants");
pub(super) const ENGLISH: Known = Code::new("en-US", "RFC5646", "English (United States)");
pub(super) const OBSERVER_TYPE: Known = Code::dcm("121005", "Observer Type");
pub(super) const DEVICE: Known = Code::dcm("121007", "Device");
pub(super) const DEVICE_UID: Known = Code::dcm("121012", "Device Observer UID");
pub(super) const DEVICE_NAME: Known = Code::dcm("121013", "Device Observer Name");
pub(super) const DEVICE_MANUFACTURER: Known = Code::dcm("121014", "Device Observer Manufacturer");
pub(super) const DEVICE_MODEL: Known = Code::dcm("121015", "Device Observer Model Name");
pub(super) const DEVICE_SERIAL: Known = Code::dcm("121016", "Device Observer Serial Number");
pub(super) const PROCEDURE_REPORTED: Known = Code::dcm("121058", "Procedure reported");
pub(super) const IMAGE_LIBRARY: Known = Code::dcm("111028", "Image Library");
pub(super) const IMAGE_LIBRARY_GROUP: Known = Code::dcm("126200", "Image Library Group");
pub(super) const MODALITY: Known = Code::dcm("121139", "Modality");
pub(super) const FRAME_OF_REFERENCE: Known = Code::dcm("112227", "Frame of Reference UID");
pub(super) const MEASUREMENTS: Known = Code::dcm("126010", "Imaging Measurements");
pub(super) const GROUP: Known = Code::dcm("125007", "Measurement Group");
pub(super) const TRACKING_IDENTIFIER: Known = Code::dcm("112039", "Tracking Identifier");
pub(super) const TRACKING_UID: Known = Code::dcm("112040", "Tracking Unique Identifier");
pub(super) const FINDING: Known = Code::dcm("121071", "Finding");
pub(super) const FINDING_SITE: Known = Code::sct("363698007", "Finding Site");
pub(super) const LATERALITY: Known = Code::sct("272741003", "Laterality");
pub(super) const ALGORITHM_NAME: Known = Code::dcm("111001", "Algorithm Name");
pub(super) const ALGORITHM_VERSION: Known = Code::dcm("111003", "Algorithm Version");
pub(super) const ALGORITHM_PARAMETERS: Known = Code::dcm("111002", "Algorithm Parameters");
pub(super) const PURPOSE: Known = Code::dcm("130400", "Geometric purpose of region");
pub(super) const BOUNDED_BY: Known = Code::sct("75958009", "Bounded by");
pub(super) const OUTLINE: Known = Code::dcm("111041", "Outline");
pub(super) const IMAGE_REGION: Known = Code::dcm("111030", "Image Region");
pub(super) const REFERENCED_SEGMENT: Known = Code::dcm("121191", "Referenced Segment");
pub(super) const SOURCE_SERIES: Known = Code::dcm("121232", "Source series for segmentation");
pub(super) const SOURCE_OF_MEASUREMENT: Known = Code::dcm("121112", "Source of Measurement");
pub(super) const PROBABILITY: Known = Code::dcm("122157", "Probability");
pub(super) const VOLUME: Known = Code::sct("118565006", "Volume");
pub(super) const LONG_AXIS: Known = Code::sct("103339001", "Long axis");
pub(super) const PERCENT: Known = Code::new("%", "UCUM", "Percent");
pub(super) const MILLILITER: Known = Code::new("mL", "UCUM", "milliliter");
pub(super) const MILLIMETER: Known = Code::new("mm", "UCUM", "millimeter");
pub(super) const NO_UNITS: Known = Code::new("1", "UCUM", "no units");

// Presence: CID 240.
pub(super) const PRESENT: Known = Code::sct("52101004", "Present");
pub(super) const ABSENT: Known = Code::sct("272519000", "Absent");
pub(super) const UNDETERMINED: Known = Code::sct("373068000", "Undetermined");

// What was not analysed: CID 6047, CID 7011.
pub(super) const QUALITATIVE: Known = Code::new("C0034375", "UMLS", "Qualitative Evaluations");
pub(super) const PROCESSING_SUMMARY: Known = Code::dcm("111017", "CAD Processing and Findings Summary");
pub(super) const ALL_WITHOUT_FINDINGS: Known = Code::dcm("111241", "All algorithms succeeded; without findings");
pub(super) const ALL_WITH_FINDINGS: Known = Code::dcm("111242", "All algorithms succeeded; with findings");
pub(super) const SOME_WITHOUT_FINDINGS: Known = Code::dcm("111243", "Not all algorithms succeeded; without findings");
pub(super) const SOME_WITH_FINDINGS: Known = Code::dcm("111244", "Not all algorithms succeeded; with findings");
pub(super) const NONE_SUCCEEDED: Known = Code::dcm("111245", "No algorithms succeeded; without findings");
pub(super) const NOT_ANALYSED: Known = Code::new("NOT_ANALYSED", OWN_SCHEME, "Reason why it was not analysed");
pub(super) const COMMENT: Known = Code::dcm("121106", "Comment");

// Key objects: TID 2010, CID 7010.
pub(super) const OF_INTEREST: Known = Code::dcm("113000", "Of Interest");
pub(super) const KEY_DESCRIPTION: Known = Code::dcm("113012", "Key Object Description");

// Equipment: CID 7005. Derivation: CID 7202, 7203. Segments: CID 7150, 7162. Maps: CID 217.
pub(super) const ACQUISITION_EQUIPMENT: Known = Code::dcm("109101", "Acquisition Equipment");
pub(super) const PROCESSING_EQUIPMENT: Known = Code::dcm("109102", "Processing Equipment");
pub(super) const SOURCE_IMAGE: Known = Code::dcm("121322", "Source image for image processing operation");
pub(super) const SEGMENTATION: Known = Code::dcm("113076", "Segmentation");
pub(super) const UNSPECIFIED_METHOD: Known = Code::dcm("112187", "Unspecified method of calculation");
pub(super) const ABNORMAL_STRUCTURE: Known = Code::sct("49755003", "Morphologically Abnormal Structure");
pub(super) const ARTIFICIAL_INTELLIGENCE: Known = Code::dcm("123110", "Artificial Intelligence");
pub(super) const QUANTITY: Known = Code::sct("246205007", "Quantity");
pub(super) const CLASS_ACTIVATION: Known = Code::dcm("130402", "Class activation");

/// Body Part Examined and its region (CID 4), where PS3.16 lists one for what models here read.
const SITES: &[(&str, Known)] = &[
    ("BRAIN", Code::sct("12738006", "Brain")),
    ("CHEST", Code::sct("816094009", "Chest")),
    ("HEAD", Code::sct("69536005", "Head")),
    ("LUNG", Code::sct("39607008", "Lung")),
    ("THORAX", Code::sct("816094009", "Chest")),
];

/// Modality (CID 29).
const MODALITIES: &[(&str, &str)] = &[
    ("CR", "Computed Radiography"),
    ("CT", "Computed Tomography"),
    ("DX", "Digital Radiography"),
    ("MG", "Mammography"),
    ("MR", "Magnetic Resonance"),
    ("NM", "Nuclear Medicine"),
    ("PT", "Positron emission tomography"),
    ("RF", "Radiofluoroscopy"),
    ("US", "Ultrasound"),
    ("XA", "X-Ray Angiography"),
];

/// The region of a body part as the image names it.
pub(super) fn site(body_part: &str) -> Option<Known> {
    SITES.iter().find(|(name, _)| *name == body_part).map(|(_, code)| *code)
}

/// The side that Image Laterality or Laterality names (CID 244).
pub(super) fn side(laterality: &str) -> Option<Known> {
    match laterality {
        "L" => Some(Code::sct("7771000", "Left")),
        "R" => Some(Code::sct("24028007", "Right")),
        "B" => Some(Code::sct("51440002", "Bilateral")),
        _ => None,
    }
}

/// The code of a modality.
pub(super) fn modality(name: &str) -> Known {
    let known = MODALITIES.iter().find(|(known, _)| *known == name);
    known.map_or(Code::dcm("OT", "Other Modality"), |(name, meaning)| Code::dcm(name, meaning))
}

/// The imaging procedure, as far as a modality tells it (CID 100).
pub(super) fn procedure(modality: &str) -> Known {
    match modality {
        "CT" => Code::new("25045-6", "LN", "CT unspecified body region"),
        "MR" => Code::new("25056-3", "LN", "MRI unspecified body region"),
        _ => Code::sct("363679005", "Imaging procedure"),
    }
}
