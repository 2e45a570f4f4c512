//! Finds the data set and its transfer syntax in a Part 10 file, or in a data set that came without one (PS3.10 section 7).
//!
//! Senders leave out the preamble, the file meta group or its group length, and write wrong group lengths: the group is
//! read by its tags, never by its length.
use std::io::Read;

use bytes::Bytes;

use crate::error::{Code, Error, Result, Subject};

use super::prescan::{self, Encoding};
use super::syntax::{TransferSyntax, transfer_syntax};
use super::{Limits, prescan::is_vr};

/// A data set, inflated if need be, and how it is written.
pub(super) struct Part10 {
    pub(super) dataset: Bytes,
    /// As the file states it, or as guessed for a bare data set.
    pub(super) syntax_uid: String,
    /// Its row, if its pixels are decoded here.
    pub(super) syntax: Option<&'static TransferSyntax>,
    /// Media Storage SOP Class UID of the file meta group, if it has one.
    pub(super) media_class: Option<String>,
    pub(super) encoding: Encoding,
}

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Errors: `NotDicom`, `Truncated`, `TooLarge` (inflated beyond the limit), `HeaderImplausible` (no transfer syntax), `DecodeFailed`.
pub(super) fn open(bytes: &Bytes, limits: &Limits) -> Result<Part10> {
    let size = bytes.len() as u64;
    if size > limits.instance_bytes_max {
        let detail = format!("is {size} bytes; the limit is {} (dicom.instance_bytes_max)", limits.instance_bytes_max);
        return Err(Error::new(Code::TooLarge, detail));
    }
    let not_dicom = || Error::new(Code::NotDicom, "has neither a DICOM prefix nor the start of a data set");
    let meta_start = match bytes.as_ref() {
        b if b.get(128..132) == Some(b"DICM") => 132,
        b if b.starts_with(b"DICM") => 4,
        b if b.starts_with(&[2, 0]) && b.get(4..6).is_some_and(is_vr) => 0,
        _ => return bare(bytes).ok_or_else(not_dicom),
    };
    if meta_start == bytes.len() {
        return Err(not_dicom());
    }
    let Meta { syntax_uid, media_class, end } = read_meta(bytes, meta_start)?;
    let Some(syntax_uid) = syntax_uid else {
        return Err(Error::new(Code::HeaderImplausible, "the file does not say its transfer syntax")
            .about(Subject::Tag(0x0002, 0x0010)));
    };
    let raw = bytes.slice(end..);
    let dataset = if syntax_uid == DEFLATED { inflate(&raw, limits)? } else { raw };
    let encoding = encoding(&syntax_uid, &dataset);
    Ok(Part10 { dataset, syntax: transfer_syntax(&syntax_uid), syntax_uid, media_class, encoding })
}

fn bare(bytes: &Bytes) -> Option<Part10> {
    let encoding = prescan::sniff(bytes)?;
    let uid = match encoding {
        Encoding { big_endian: true, .. } => BIG_ENDIAN,
        Encoding { explicit_vr: true, .. } => EXPLICIT,
        Encoding { explicit_vr: false, .. } => IMPLICIT,
    };
    let (dataset, syntax_uid) = (bytes.clone(), uid.to_owned());
    Some(Part10 { dataset, syntax_uid, syntax: transfer_syntax(uid), media_class: None, encoding })
}

/// How the data set is written. Some senders state implicit VR and write explicit, or the other way round: the bytes decide.
fn encoding(syntax_uid: &str, dataset: &[u8]) -> Encoding {
    let stated = Encoding { explicit_vr: syntax_uid != IMPLICIT, big_endian: syntax_uid == BIG_ENDIAN };
    match prescan::sniff(dataset) {
        Some(seen) if seen.big_endian == stated.big_endian => seen,
        _ => stated,
    }
}

/// What is read of the file meta group; `None` for what is absent or empty.
struct Meta {
    syntax_uid: Option<String>,
    media_class: Option<String>,
    /// Where the data set starts.
    end: usize,
}

/// Reads group 0002 (explicit VR little endian, PS3.10 7.1).
fn read_meta(bytes: &[u8], mut at: usize) -> Result<Meta> {
    let cut = || Error::new(Code::Truncated, "the bytes end within the file meta group");
    let (mut syntax_uid, mut media_class) = (None, None);
    while bytes.get(at..at + 2) == Some(&[2, 0]) {
        let head = bytes.get(at..at + 8).ok_or_else(cut)?;
        let (length, start) = match &head[4..6] {
            b"OB" | b"UN" | b"OW" | b"UT" | b"SQ" => {
                let long: [u8; 4] = bytes.get(at + 8..at + 12).and_then(|b| b.try_into().ok()).ok_or_else(cut)?;
                (u32::from_le_bytes(long) as usize, at + 12)
            }
            vr if is_vr(vr) => (usize::from(u16::from_le_bytes([head[6], head[7]])), at + 8),
            _ => {
                return Err(Error::new(
                    Code::HeaderImplausible,
                    "the file meta group has an element without a valid VR",
                ));
            }
        };
        let end = start.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(cut)?;
        let uid = || {
            let text = String::from_utf8_lossy(&bytes[start..end]);
            Some(text.trim_end_matches(['\0', ' ']).to_owned()).filter(|text| !text.is_empty())
        };
        match head[2..4] {
            [0x02, 0] => media_class = uid(),
            [0x10, 0] => syntax_uid = uid(),
            _ => {}
        }
        at = end;
    }
    if at >= bytes.len() { Err(cut()) } else { Ok(Meta { syntax_uid, media_class, end: at }) }
}

/// Inflates a whole data set (PS3.5 A.5), twice: first to count, so that a bomb costs no memory and a data set no more than its size.
fn inflate(raw: &[u8], limits: &Limits) -> Result<Bytes> {
    let bytes_max = limits.inflate_bytes_max;
    let counted = std::io::copy(&mut inflater(raw).take(bytes_max.saturating_add(1)), &mut std::io::sink());
    match counted.map_err(|error| not_inflated(&error))? {
        size if size > bytes_max => Err(inflates_beyond(bytes_max)),
        size => inflate_capped(inflater(raw), size).map(Bytes::from),
    }
}

/// RFC 1950 headers instead of raw deflate occur: CMF/FLG is a multiple of 31 and names method 8.
fn inflater(raw: &[u8]) -> Box<dyn Read + '_> {
    let is_zlib = raw.len() > 2 && raw[0] & 0x0f == 8 && u16::from_be_bytes([raw[0], raw[1]]).is_multiple_of(31);
    match is_zlib {
        true => Box::new(flate2::read::ZlibDecoder::new(raw)),
        false => Box::new(flate2::read::DeflateDecoder::new(raw)),
    }
}

/// Reads an inflating stream to its end or to `bytes_max`, for which memory is reserved. Errors: `TooLarge`, `Truncated`, `DecodeFailed`.
fn inflate_capped(reader: impl Read, bytes_max: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    // Address space only: pages that are not written to are no memory. A vector that doubles would take twice as much.
    let reserved = usize::try_from(bytes_max).is_ok_and(|bytes| out.try_reserve_exact(bytes).is_ok());
    if !reserved {
        return Err(inflates_beyond(bytes_max));
    }
    match reader.take(bytes_max.saturating_add(1)).read_to_end(&mut out) {
        Ok(_) if out.len() as u64 > bytes_max => Err(inflates_beyond(bytes_max)),
        Ok(_) => Ok(out),
        Err(error) => Err(not_inflated(&error)),
    }
}

fn inflates_beyond(bytes_max: u64) -> Error {
    Error::new(Code::TooLarge, format!("inflates to more than {bytes_max} bytes (dicom.inflate_bytes_max)"))
}

fn not_inflated(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::new(Code::Truncated, "the deflated bytes end early"),
        _ => Error::new(Code::DecodeFailed, "the deflated bytes are damaged"),
    }
}
