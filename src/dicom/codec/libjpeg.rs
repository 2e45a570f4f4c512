//! JPEG of 8 and 12 bits and lossless JPEG of 2 to 16 bits, by libjpeg-turbo 3 (raw bindings: the safe crate is 8 bits only).
#![allow(unsafe_code)]
use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::CStr;

use turbojpeg_sys as tj;

use crate::error::{Error, Result};

use super::marker::{self, Stated};
use super::unfilled::written_by;
use super::{Cell, Codec, Frame, Request, Samples, damaged, jfif};

pub(super) struct Jpeg;

/// Progressive scans allowed; each is a pass over the whole image, and a file of 1 MB can hold 100,000.
const SCANS_MAX: i32 = 200;

impl Codec for Jpeg {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let stated = marker::jpeg(request.bytes)?;
        stated.check(request.header)?;
        let bytes = match stated.components {
            1 => Cow::Borrowed(request.bytes),
            _ => jfif::with_colour_stated(request, &stated).into(),
        };
        let samples = with_decompressor(|decoder| decoder.decompress(&jfif::ended(bytes, &stated), &stated))?;
        Ok(Frame { samples, right_aligned: true, is_rgb: stated.components == 3 && !stated.lossless })
    }
}

thread_local! {
    /// Making one costs as much as decoding a small frame does.
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Lends this thread's decompressor. One that failed is not used again.
fn with_decompressor(decode: impl FnOnce(&Decompressor) -> Result<Samples>) -> Result<Samples> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decoder = match slot.take() {
            Some(decoder) => decoder,
            None => Decompressor::new()?,
        };
        let samples = decode(&decoder)?;
        *slot = Some(decoder);
        Ok(samples)
    })
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
        if handle.is_null() {
            return Err(Error::internal("the JPEG decoder could not start"));
        }
        let decoder = Decompressor(handle);
        decoder.set(tj::TJPARAM_TJPARAM_SCANLIMIT, SCANS_MAX)?;
        Ok(decoder)
    }

    fn set(&self, parameter: u32, value: i32) -> Result<()> {
        // SAFETY: the handle is valid as long as `self`. WHY: as above.
        match unsafe { tj::tj3Set(self.0, parameter as i32, value) } {
            0 => Ok(()),
            _ => Err(Error::internal("the JPEG decoder refused a parameter")),
        }
    }

    fn get(&self, parameter: u32) -> i32 {
        // SAFETY: the handle is valid as long as `self`. WHY: as above.
        unsafe { tj::tj3Get(self.0, parameter as i32) }
    }

    /// The buffer is made for what our own reading of the header says: the library's must be the same.
    fn agrees(&self, bytes: &[u8], stated: &Stated) -> Result<()> {
        // SAFETY: pointer and length are of one slice that outlives the call. WHY: as above.
        if unsafe { tj::tj3DecompressHeader(self.0, bytes.as_ptr(), bytes.len() as u64) } != 0 {
            return Err(damaged("the JPEG header is damaged"));
        }
        let (width, height) = (self.get(tj::TJPARAM_TJPARAM_JPEGWIDTH), self.get(tj::TJPARAM_TJPARAM_JPEGHEIGHT));
        let precision = self.get(tj::TJPARAM_TJPARAM_PRECISION);
        let same = u32::try_from(width) == Ok(stated.columns)
            && u32::try_from(height) == Ok(stated.rows)
            && u16::try_from(precision) == Ok(stated.precision);
        if same { Ok(()) } else { Err(damaged("the JPEG has more than one frame header")) }
    }

    fn decompress(&self, bytes: &[u8], stated: &Stated) -> Result<Samples> {
        self.agrees(bytes, stated)?;
        let (data, length) = (bytes.as_ptr(), bytes.len() as u64);
        let format = if stated.components == 1 { tj::TJPF_TJPF_GRAY } else { tj::TJPF_TJPF_RGB };
        match stated.precision {
            // SAFETY: a buffer of `stated.samples()` is what the decoder fills with pitch 0, since width, height and pixel format are
            // those it reported; `whole` is `Ok` only if it did; `bytes` outlives the call. WHY: as above.
            2..=8 => unsafe {
                written_by(stated.samples(), |out: *mut u8| {
                    self.whole(tj::tj3Decompress8(self.0, data, length, out, 0, format))
                })
            }
            .map(u8::samples),
            // SAFETY: as above; cells of 12 bits are signed in the interface, and have the same size. WHY: as above.
            9..=12 => unsafe {
                written_by(stated.samples(), |out: *mut u16| {
                    self.whole(tj::tj3Decompress12(self.0, data, length, out.cast(), 0, format))
                })
            }
            .map(u16::samples),
            // SAFETY: as above. WHY: as above.
            13..=16 => unsafe {
                written_by(stated.samples(), |out: *mut u16| {
                    self.whole(tj::tj3Decompress16(self.0, data, length, out, 0, format))
                })
            }
            .map(u16::samples),
            _ => Err(damaged("the JPEG holds samples of impossible depth")),
        }
    }

    /// Whether the call that returned `status` wrote every sample as the codestream has it.
    ///
    /// Sequential scans of some archives state other spectral limits than 0 and 63; there they mean nothing. All other
    /// warnings mean that samples were made up (a scan that ends early is filled with grey).
    fn whole(&self, status: i32) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library returns a NUL-terminated string that lives until the next call. WHY: as above.
        let (code, text) = unsafe { (tj::tj3GetErrorCode(self.0), CStr::from_ptr(tj::tj3GetErrorStr(self.0))) };
        let harmless = code == tj::TJERR_TJERR_WARNING as i32 && text.to_bytes().starts_with(b"Invalid SOS parameters");
        if harmless { Ok(()) } else { Err(damaged("the JPEG scan is damaged")) }
    }
}
