//! JPEG codestreams as decoders want them: how colour is coded said once, and an end that is marked.
use std::borrow::Cow;

use super::Request;
use super::marker::Stated;

const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];

/// The same codestream with one Adobe segment that says how colour is coded, and no JFIF segment that would say otherwise.
///
/// Without it the decoder guesses, and takes RGB without markers for YCbCr. An Adobe segment that is there decides, else
/// Photometric Interpretation; lossless codestreams are never transformed.
pub(super) fn with_colour_stated(request: &Request<'_>, stated: &Stated) -> Vec<u8> {
    let by_attribute = !stated.lossless && request.header.photometric.as_str().starts_with("YBR");
    let ycc = stated.adobe.map_or(by_attribute, |transform| transform == 1);
    let mut out = Vec::with_capacity(request.bytes.len() + 16);
    out.extend_from_slice(&[0xFF, 0xD8, 0xFF, 0xEE, 0, 14]);
    out.extend_from_slice(b"Adobe\0\x64\0\0\0\0");
    out.push(u8::from(ycc));
    let mut rest = &request.bytes[2..];
    while let [0xFF, 0xE0 | 0xEE, high, low, ..] = *rest {
        let length = 2 + usize::from(u16::from_be_bytes([high, low]));
        let (segment, after) = rest.split_at(length.min(rest.len()));
        let says_colour =
            [b"JFIF".as_slice(), b"Adobe"].iter().any(|name| segment.get(4..).is_some_and(|s| s.starts_with(name)));
        if !says_colour {
            out.extend_from_slice(segment);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// The codestream with an end-of-image marker where it has none, if all its samples are in one scan.
///
/// Some archives drop the marker, and the decoder then warns in the words that it has for a scan that ends early. With the
/// marker it is silent if the scan is whole. Where more scans may follow, their absence would go unnoticed: no marker there.
pub(super) fn ended<'a>(bytes: Cow<'a, [u8]>, stated: &Stated) -> Cow<'a, [u8]> {
    let filled = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    if !stated.one_scan || bytes[..bytes.len() - filled].ends_with(&END_OF_IMAGE) {
        return bytes;
    }
    let mut whole = bytes.into_owned();
    whole.truncate(whole.len() - filled);
    whole.extend_from_slice(&END_OF_IMAGE);
    whole.into()
}
