//! The header of an image, vetted: after this, sizes are within budget and attributes do not contradict each other.
//!
//! Standard: SOP Common (PS3.3 C.12.1), Patient (C.7.1.1), General Image (C.7.6.1), Image Pixel (C.7.6.3).
use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Result, Subject};
use crate::uid::Uid;

use super::attributes::{Key, View, invalid};
use super::syntax::{VIEWED_SOP_CLASSES, is_image_class};
use super::{Limits, Photometric, Planes};

/// Free text that a person typed and that may name a patient: it cannot be printed, only asked about.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Whether it holds `needle`, whatever the case.
    pub fn contains(&self, needle: &str) -> bool {
        self.0.to_lowercase().contains(&needle.to_lowercase())
    }

    /// Whether the expression is found in it.
    pub fn is_match(&self, pattern: &regex::Regex) -> bool {
        pattern.is_match(&self.0)
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the header says, checked by `Instance::read`. It has no `Debug`: it must not reach a log whole.
#[derive(Clone)]
pub struct Header {
    /// SOP Class.
    pub sop_class: Uid,
    /// SOP Instance.
    pub sop_instance: Uid,
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID.
    pub series: Uid,
    /// Transfer syntax of the file.
    pub transfer_syntax: Uid,
    /// Modality, for example `CR`; upper case, may be empty.
    pub modality: String,
    /// Body Part Examined; upper case, may be empty.
    pub body_part: String,
    /// View Position, for example `PA`; upper case, may be empty.
    pub view_position: String,
    /// Image Type, value by value.
    pub image_type: Vec<String>,
    /// Series Description.
    pub series_description: Text,
    /// Hex SHA-256 of Patient ID and Issuer of Patient ID: tells patients apart without naming them. Empty if there is no Patient ID.
    pub patient_key: String,
    /// Patient's Age, else Study Date less Patient's Birth Date; in years.
    pub age_years: Option<f32>,
    /// Patient's Sex: `F`, `M` or `O`.
    pub sex: Option<char>,
    /// Contrast/Bolus Agent names one.
    pub contrast_agent: bool,
    /// Burned In Annotation is `YES`.
    pub burned_in_annotation: bool,
    /// Instance Number.
    pub instance_number: Option<i64>,
    /// Where each frame lies in the patient, as far as it is said.
    pub planes: Planes,
    /// Pixel Spacing, else Imager Pixel Spacing: between rows, between columns; in mm.
    pub pixel_spacing_mm: Option<[f64; 2]>,
    /// Rows, at least 1.
    pub rows: u16,
    /// Columns, at least 1.
    pub columns: u16,
    /// Number of Frames, at least 1.
    pub frames: u32,
    /// Samples per Pixel: 1 or 3.
    pub samples: u16,
    /// Bits Allocated: 1, 8, 16 or 32; 64 for Double Float Pixel Data.
    pub bits_allocated: u16,
    /// Bits Stored: 1 to Bits Allocated.
    pub bits_stored: u16,
    /// High Bit: Bits Stored - 1 to Bits Allocated - 1.
    pub high_bit: u16,
    /// Pixel Representation is 1: two's complement.
    pub signed: bool,
    /// Planar Configuration is 1: all of one colour, then the next.
    pub planar: bool,
    /// Photometric Interpretation; agrees with `samples`.
    pub photometric: Photometric,
}

/// UIDs that say what an object is, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    sop_class: Uid,
    sop_instance: Uid,
    study: Uid,
    series: Uid,
}

const SOP_CLASS: Key = (0x0008, 0x0016);
const SOP_INSTANCE: Key = (0x0008, 0x0018);
const STUDY: Key = (0x0020, 0x000D);
const SERIES: Key = (0x0020, 0x000E);
const STUDY_DATE: Key = (0x0008, 0x0020);
const PATIENT_ID: Key = (0x0010, 0x0020);
const PATIENT_ID_ISSUER: Key = (0x0010, 0x0021);
const BIRTH_DATE: Key = (0x0010, 0x0030);
const SEX: Key = (0x0010, 0x0040);
const AGE: Key = (0x0010, 0x1010);
const SAMPLES: Key = (0x0028, 0x0002);
const PHOTOMETRIC: Key = (0x0028, 0x0004);
const PLANAR: Key = (0x0028, 0x0006);
const FRAMES: Key = (0x0028, 0x0008);
const ROWS: Key = (0x0028, 0x0010);
const COLUMNS: Key = (0x0028, 0x0011);
const BITS_ALLOCATED: Key = (0x0028, 0x0100);
const BITS_STORED: Key = (0x0028, 0x0101);
const HIGH_BIT: Key = (0x0028, 0x0102);
const SIGNED: Key = (0x0028, 0x0103);

impl Names {
    /// Those of an object that can be stored and analysed; `media_class` is what the file meta group says of its SOP Class.
    ///
    /// Errors: `HeaderImplausible`, naming the attribute; `UnsupportedSopClass`.
    pub(super) fn read(root: View<'_>, media_class: Option<&str>) -> Result<Names> {
        let sop_class = sop_class(root, media_class).transpose()?;
        if let Some(class) = sop_class.as_ref().filter(|class| !is_image_class(class.as_str())) {
            let detail = format!("SOP Class {class} holds no image that is read here");
            return Err(Error::new(Code::UnsupportedSopClass, detail));
        }
        Ok(Names {
            sop_instance: uid(root, SOP_INSTANCE)?,
            study: uid(root, STUDY)?,
            series: uid(root, SERIES)?,
            sop_class: sop_class.ok_or_else(|| invalid(SOP_CLASS, "is missing"))?,
        })
    }

    /// Those of an object that is only looked at, where `read` refuses it: an image of no study, or pixels of another kind.
    ///
    /// `None` if a name is broken rather than missing. An image without Study and Series never belonged to one; an empty Study
    /// or Series Instance UID was emptied by de-identification; one without the other is a contradiction.
    pub(super) fn stand_in(root: View<'_>, media_class: Option<&str>) -> Option<Names> {
        let nobody = || Uid::derive(&[b"an object without this name"]);
        let belongs_nowhere = !root.is_there(STUDY) && !root.is_there(SERIES);
        let group = |key: Key| match root.text(key) {
            Some(text) => Uid::parse(&text).ok(),
            None => (belongs_nowhere || root.is_there(key)).then(nobody),
        };
        let is_only_long =
            |text: &str| text.len() > 64 && text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
        let sop_instance = match root.text(SOP_INSTANCE) {
            Some(text) => Uid::parse(&text).ok().or_else(|| is_only_long(&text).then(nobody)),
            None => (belongs_nowhere && !root.is_there(SOP_INSTANCE)).then(nobody),
        };
        let is_viewed = |class: &Uid| is_image_class(class.as_str()) || VIEWED_SOP_CLASSES.contains(&class.as_str());
        let sop_class = match sop_class(root, media_class) {
            Some(class) => class.ok().filter(is_viewed),
            None => Some(nobody()),
        };
        Some(Names { sop_class: sop_class?, sop_instance: sop_instance?, study: group(STUDY)?, series: group(SERIES)? })
    }
}

/// The object's own word, else that of the file meta group; `None` if neither says anything.
fn sop_class(root: View<'_>, media_class: Option<&str>) -> Option<Result<Uid>> {
    let text = root.text(SOP_CLASS).or_else(|| media_class.map(str::to_owned))?;
    Some(Uid::parse(&text).map_err(|error| error.about(Subject::Tag(SOP_CLASS.0, SOP_CLASS.1))))
}

fn uid(root: View<'_>, key: Key) -> Result<Uid> {
    let text = root.text(key).ok_or_else(|| invalid(key, "is missing"))?;
    Uid::parse(&text).map_err(|error| error.about(Subject::Tag(key.0, key.1)))
}

impl Header {
    /// `element`: which of the three pixel elements holds them.
    /// Errors: `HeaderImplausible`, `PixelLayoutInvalid`, `TooLarge`.
    pub(super) fn read(
        root: View<'_>,
        names: Names,
        syntax_uid: &str,
        element: u16,
        limits: &Limits,
    ) -> Result<Header> {
        let word = |key: Key| root.word(key)?.ok_or_else(|| invalid(key, "is missing"));
        let bits_allocated = word(BITS_ALLOCATED)?;
        let is_integer = element == 0x0010;
        let bits_stored = if is_integer { word(BITS_STORED)? } else { bits_allocated };
        let upper = |key: Key| root.text(key).unwrap_or_default().to_uppercase();
        let frames = frames(root)?;
        let header = Header {
            sop_class: names.sop_class,
            sop_instance: names.sop_instance,
            study: names.study,
            series: names.series,
            transfer_syntax: Uid::parse(syntax_uid)?,
            modality: upper((0x0008, 0x0060)),
            body_part: upper((0x0018, 0x0015)),
            view_position: upper((0x0018, 0x5101)),
            image_type: root.texts((0x0008, 0x0008)),
            series_description: Text(root.text((0x0008, 0x103E)).unwrap_or_default()),
            patient_key: patient_key(root),
            age_years: age_years(root),
            sex: root.text(SEX).and_then(|sex| sex.chars().next()).filter(|sex| "FMO".contains(*sex)),
            contrast_agent: root.text((0x0018, 0x0010)).is_some_and(|agent| !agent.is_empty()),
            burned_in_annotation: upper((0x0028, 0x0301)) == "YES",
            pixel_spacing_mm: spacing(root, (0x0028, 0x0030)).or_else(|| spacing(root, (0x0018, 0x1164))),
            instance_number: root.integer((0x0020, 0x0013)),
            planes: Planes::read(root, frames),
            rows: word(ROWS)?,
            columns: word(COLUMNS)?,
            frames,
            samples: root.word(SAMPLES)?.unwrap_or(1),
            bits_allocated,
            bits_stored,
            high_bit: root.word(HIGH_BIT)?.unwrap_or(bits_stored.saturating_sub(1)),
            signed: flag(root, SIGNED)?,
            planar: flag(root, PLANAR)?,
            photometric: photometric(root)?,
        };
        header.check_layout(element)?;
        header.check_size(limits)?;
        Ok(header)
    }

    fn check_layout(&self, element: u16) -> Result<()> {
        let layout = |what: &str, key: Key| {
            Err(Error::new(Code::PixelLayoutInvalid, what.to_owned()).about(Subject::Tag(key.0, key.1)))
        };
        let allocated: &[u16] = match element {
            0x0008 => &[32],
            0x0009 => &[64],
            _ => &[1, 8, 16, 32],
        };
        if self.rows == 0 {
            return Err(invalid(ROWS, "is 0"));
        }
        if self.columns == 0 {
            return Err(invalid(COLUMNS, "is 0"));
        }
        if !allocated.contains(&self.bits_allocated) {
            return layout("is not a number of bits that is read here", BITS_ALLOCATED);
        }
        if self.bits_stored == 0 || self.bits_stored > self.bits_allocated {
            return layout("is 0 or above Bits Allocated", BITS_STORED);
        }
        if self.high_bit >= self.bits_allocated || self.high_bit + 1 < self.bits_stored {
            return layout("leaves no room for Bits Stored", HIGH_BIT);
        }
        if self.samples != self.photometric.samples() {
            return layout("contradicts Photometric Interpretation", SAMPLES);
        }
        if self.samples == 3 && !matches!(self.bits_allocated, 8 | 16 | 32) {
            return layout("is not a number of bits for colour", BITS_ALLOCATED);
        }
        if self.samples == 3 && self.signed {
            return layout("makes colour signed", SIGNED);
        }
        if element != 0x0010 && !self.photometric.is_monochrome() {
            return layout("is none for floating-point pixels", PHOTOMETRIC);
        }
        Ok(())
    }

    fn check_size(&self, limits: &Limits) -> Result<()> {
        let frame = u64::from(self.rows) * u64::from(self.columns) * u64::from(self.samples);
        let bytes =
            frame.saturating_mul(u64::from(self.frames)).saturating_mul(u64::from(self.bits_allocated.div_ceil(8)));
        if bytes > limits.pixel_bytes_max {
            let limit = limits.pixel_bytes_max;
            let detail = format!("asks for {bytes} bytes of pixels; the limit is {limit} (dicom.pixel_bytes_max)");
            return Err(Error::new(Code::TooLarge, detail));
        }
        Ok(())
    }

    /// Pixels of one frame: rows x columns.
    pub fn frame_pixels(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }
}

fn flag(root: View<'_>, key: Key) -> Result<bool> {
    match root.word(key)? {
        None | Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) => Err(invalid(key, "is neither 0 nor 1")),
    }
}

fn photometric(root: View<'_>) -> Result<Photometric> {
    let text = root.text(PHOTOMETRIC).ok_or_else(|| invalid(PHOTOMETRIC, "is missing"))?;
    Photometric::parse(&text).ok_or_else(|| {
        let detail = "is none that is read here";
        Error::new(Code::PixelLayoutInvalid, detail).about(Subject::Tag(PHOTOMETRIC.0, PHOTOMETRIC.1))
    })
}

/// Number of Frames. Absent, empty and 0 mean one frame: single-frame objects in the field carry all three.
fn frames(root: View<'_>) -> Result<u32> {
    let Some(text) = root.text(FRAMES) else { return Ok(1) };
    match text.parse::<i64>().map(u32::try_from) {
        Ok(Ok(frames)) => Ok(frames.max(1)),
        Ok(Err(_)) if !text.starts_with('-') => {
            Err(Error::new(Code::TooLarge, "has more frames than any limit allows")
                .about(Subject::Tag(FRAMES.0, FRAMES.1)))
        }
        _ => Err(invalid(FRAMES, "is not a count")),
    }
}

/// Two distances, both above 0.
pub(super) fn spacing(root: View<'_>, key: Key) -> Option<[f64; 2]> {
    let pair: [f64; 2] = root.numbers(key)?.try_into().ok()?;
    pair.iter().all(|mm| mm.is_finite() && *mm > 0.0).then_some(pair)
}

fn patient_key(root: View<'_>) -> String {
    let Some(id) = root.written(PATIENT_ID) else { return String::new() };
    let mut hash = Sha256::new();
    hash.update(id);
    hash.update([0]);
    hash.update(root.written(PATIENT_ID_ISSUER).unwrap_or_default());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `045Y`, `006M`, `010W`, `003D` (PS3.5 6.2, AS); else from the dates.
fn age_years(root: View<'_>) -> Option<f32> {
    let stated = root.text(AGE).and_then(|text| {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let per_year = match unit {
            "Y" => 1.0,
            "M" => 12.0,
            "W" => 52.1775,
            "D" => 365.2425,
            _ => return None,
        };
        Some(f32::from(number.parse::<u16>().ok()?) / per_year)
    });
    stated.or_else(|| {
        let (born, studied) = (days(&root.text(BIRTH_DATE)?)?, days(&root.text(STUDY_DATE)?)?);
        let years = (studied - born) / 365.2425;
        (0.0..=150.0).contains(&years).then_some(years)
    })
}

/// A date `YYYYMMDD` as days since year 0, good to a day.
fn days(date: &str) -> Option<f32> {
    let part = |range: std::ops::Range<usize>| date.get(range)?.parse::<u16>().ok().map(f32::from);
    Some(part(0..4)? * 365.2425 + (part(4..6)? - 1.0) * 30.436_875 + part(6..8)?)
}
