//! JPEG of 8 and 12 bits and lossless JPEG of 2 to 16 bits, by libjpeg-turbo 3 (raw bindings: the safe crate is 8 bits only).
#![allow(unsafe_code)]
use turbojpeg_sys as tj;

use crate::error::Result;

use super::marker::{self, Stated};
use super::{Codec, Frame, Request, Samples, damaged};

pub(super) struct Jpeg;

/// Progressive scans allowed; each is a pass over the whole image, and a file of 1 MB can hold 100,000.
const SCANS_MAX: i32 = 200;

impl Codec for Jpeg {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let stated = marker::jpeg(request.bytes)?;
        stated.check(request.header)?;
        let samples = match stated.components {
            1 => decompress(request.bytes, &stated)?,
            _ => decompress(&with_colour_stated(request, &stated), &stated)?,
        };
        let is_rgb = stated.components == 3 && !stated.lossless;
        Ok(Frame { samples, right_aligned: true, is_rgb })
    }
}

/// The same codestream with one Adobe segment that says how colour is coded, and no JFIF segment that would say otherwise.
///
/// Without it the decoder guesses, and takes RGB without markers for YCbCr. An Adobe segment that is there decides, else
/// Photometric Interpretation; lossless codestreams are never transformed.
fn with_colour_stated(request: &Request<'_>, stated: &Stated) -> Vec<u8> {
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

/// Owns a decompressor, so that every way out frees it.
struct Decompressor(tj::tjhandle);

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle came from `tj3Init` and is destroyed once. WHY: the library has no other way to free it.
        unsafe { tj::tj3Destroy(self.0) }
    }
}

impl Decompressor {
    fn new() -> Result<Decompressor> {
        // SAFETY: takes a constant; a null return is checked. WHY: no safe binding offers 12 and 16 bits.
        let handle = unsafe { tj::tj3Init(tj::TJINIT_TJINIT_DECOMPRESS as i32) };
        match handle.is_null() {
            true => Err(crate::error::Error::internal("the JPEG decoder could not start")),
            false => Ok(Decompressor(handle)),
        }
    }

    fn set(&self, parameter: u32, value: i32) -> Result<()> {
        // SAFETY: the handle is valid as long as `self`. WHY: as above.
        match unsafe { tj::tj3Set(self.0, parameter as i32, value) } {
            0 => Ok(()),
            _ => Err(crate::error::Error::internal("the JPEG decoder refused a parameter")),
        }
    }

    fn get(&self, parameter: u32) -> i32 {
        // SAFETY: the handle is valid as long as `self`. WHY: as above.
        unsafe { tj::tj3Get(self.0, parameter as i32) }
    }

    fn read_header(&self, bytes: &[u8]) -> bool {
        // SAFETY: pointer and length are of one slice that outlives the call. WHY: as above.
        unsafe { tj::tj3DecompressHeader(self.0, bytes.as_ptr(), bytes.len() as u64) == 0 }
    }
}

impl Decompressor {
    /// Whether the last call ended in a warning that leaves the samples right. All other warnings mean that samples were
    /// made up (a scan that ends early is filled with grey).
    ///
    /// Sequential scans of some archives state other spectral limits than 0 and 63; there they mean nothing.
    fn only_misstates_its_scan(&self) -> bool {
        // SAFETY: the library returns a NUL-terminated string that lives until the next call. WHY: as above.
        let (code, text) =
            unsafe { (tj::tj3GetErrorCode(self.0), std::ffi::CStr::from_ptr(tj::tj3GetErrorStr(self.0))) };
        code == tj::TJERR_TJERR_WARNING as i32 && text.to_bytes().starts_with(b"Invalid SOS parameters")
    }
}

fn decompress(bytes: &[u8], stated: &Stated) -> Result<Samples> {
    let decoder = Decompressor::new()?;
    decoder.set(tj::TJPARAM_TJPARAM_SCANLIMIT, SCANS_MAX)?;
    if !decoder.read_header(bytes) {
        return Err(damaged("the JPEG header is damaged"));
    }
    let (width, height) = (decoder.get(tj::TJPARAM_TJPARAM_JPEGWIDTH), decoder.get(tj::TJPARAM_TJPARAM_JPEGHEIGHT));
    let precision = decoder.get(tj::TJPARAM_TJPARAM_PRECISION);
    // The buffers below are made for what our own reading of the header says: the library's must be the same.
    let agrees = u32::try_from(width) == Ok(stated.columns)
        && u32::try_from(height) == Ok(stated.rows)
        && u16::try_from(precision) == Ok(stated.precision);
    if !agrees {
        return Err(damaged("the JPEG has more than one frame header"));
    }
    let count = stated.rows as usize * stated.columns as usize * usize::from(stated.components);
    let format = if stated.components == 1 { tj::TJPF_TJPF_GRAY } else { tj::TJPF_TJPF_RGB };
    let whole = |status: i32| match status == 0 || decoder.only_misstates_its_scan() {
        true => Ok(()),
        false => Err(damaged("the JPEG scan is damaged")),
    };
    match stated.precision {
        2..=8 => {
            let mut out = vec![0u8; count];
            // SAFETY: `out` holds rows x columns x components samples, which is what the decoder writes with pitch 0, since
            // width, height and pixel format are those it reported; `bytes` outlives the call. WHY: as above.
            let status = unsafe {
                tj::tj3Decompress8(decoder.0, bytes.as_ptr(), bytes.len() as u64, out.as_mut_ptr(), 0, format)
            };
            whole(status).map(|()| Samples::Bits8(out))
        }
        9..=12 => {
            let mut out = vec![0i16; count];
            // SAFETY: as for 8 bits, with samples of 16 bits. WHY: as above.
            let status = unsafe {
                tj::tj3Decompress12(decoder.0, bytes.as_ptr(), bytes.len() as u64, out.as_mut_ptr(), 0, format)
            };
            whole(status).map(|()| Samples::Bits16(bytemuck::cast_vec(out)))
        }
        13..=16 => {
            let mut out = vec![0u16; count];
            // SAFETY: as for 8 bits, with samples of 16 bits. WHY: as above.
            let status = unsafe {
                tj::tj3Decompress16(decoder.0, bytes.as_ptr(), bytes.len() as u64, out.as_mut_ptr(), 0, format)
            };
            whole(status).map(|()| Samples::Bits16(out))
        }
        _ => Err(damaged("the JPEG holds samples of impossible depth")),
    }
}
