//! JPEG-LS, lossless and near-lossless, of 2 to 16 bits, by CharLS (raw bindings: the safe crate zeroes and copies each frame).
#![allow(unsafe_code)]
use std::borrow::Cow;

use charls_sys as ls;

use crate::error::{Error, Result};

use super::marker::{self, Stated};
use super::unfilled::written_by;
use super::{Cell, Codec, Frame, Request, Samples, damaged, native};

pub(super) struct JpegLs;

impl Codec for JpegLs {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let stated = marker::jpeg(request.bytes)?;
        stated.check(request.header)?;
        let bytes = ended(request.bytes);
        let samples = match stated.precision {
            2..=8 => decode::<u8>(&bytes, &stated),
            9..=16 => decode::<u16>(&bytes, &stated),
            _ => Err(damaged("the codestream holds samples of impossible depth")),
        }?;
        Ok(Frame { samples, right_aligned: true, is_rgb: false })
    }
}

/// The codestream with a marker at its end, whatever is missing there.
///
/// The library stops at a marker. At an end without one it may count the zero bits behind the last byte, which have no end (found by
/// fuzzing CharLS 2.4.5).
fn ended(bytes: &[u8]) -> Cow<'_, [u8]> {
    const END: [u8; 2] = [0xFF, 0xD9];
    let without_padding = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    match without_padding.ends_with(&END) {
        true => Cow::Borrowed(bytes),
        false => Cow::Owned([bytes, &END].concat()),
    }
}

fn decode<C: Cell>(bytes: &[u8], stated: &Stated) -> Result<Samples> {
    let decoder = Decoder::new()?;
    let size = stated.samples() * size_of::<C>();
    decoder.read_header(bytes, stated, size)?;
    let decode_into = |out: *mut C| {
        // SAFETY: `out` has room for `size` bytes, which is what the decoder says that it writes; it reads `bytes`, which outlive
        // the decoder. WHY: the safe crate's buffer is zeroed first and of bytes, which had to be copied into cells.
        passed(unsafe { ls::charls_jpegls_decoder_decode_to_buffer(decoder.0, out.cast(), size, 0) })
    };
    // SAFETY: success means that every line was decoded into the buffer; a codestream that ends early is an error. WHY: as above.
    let cells = unsafe { written_by(stated.samples(), decode_into) }?;
    let in_planes = stated.components == 3 && !stated.interleaved;
    Ok(C::samples(if in_planes { native::interleave(&cells) } else { cells }))
}

fn passed(status: ls::charls_jpegls_errc) -> Result<()> {
    match status == ls::charls_jpegls_errc_success {
        true => Ok(()),
        false => Err(damaged("the JPEG-LS codestream is damaged")),
    }
}

/// Owns a decoder, so that every way out frees it.
struct Decoder(*mut ls::charls_jpegls_decoder);

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `create` and is destroyed once. WHY: the library has no other way to free it.
        unsafe { ls::charls_jpegls_decoder_destroy(self.0) }
    }
}

impl Decoder {
    fn new() -> Result<Decoder> {
        // SAFETY: takes nothing; a null return is checked. WHY: as above.
        let decoder = unsafe { ls::charls_jpegls_decoder_create() };
        match decoder.is_null() {
            true => Err(Error::internal("the JPEG-LS decoder could not start")),
            false => Ok(Decoder(decoder)),
        }
    }

    /// The buffer is made for what our own reading of the header says: the library's must be the same, down to its `size` in bytes.
    fn read_header(&self, bytes: &[u8], stated: &Stated, size: usize) -> Result<()> {
        let mut frame = ls::charls_frame_info { width: 0, height: 0, bits_per_sample: 0, component_count: 0 };
        let mut needed = 0;
        // SAFETY: the decoder is valid as long as `self`, `bytes` outlive it, and the out-pointers are to locals. WHY: as above.
        unsafe {
            passed(ls::charls_jpegls_decoder_set_source_buffer(self.0, bytes.as_ptr().cast(), bytes.len()))?;
            passed(ls::charls_jpegls_decoder_read_header(self.0))?;
            passed(ls::charls_jpegls_decoder_get_frame_info(self.0, &mut frame))?;
            passed(ls::charls_jpegls_decoder_get_destination_size(self.0, 0, &mut needed))?;
        }
        let same = (frame.width, frame.height) == (stated.columns, stated.rows)
            && frame.bits_per_sample == i32::from(stated.precision)
            && frame.component_count == i32::from(stated.components)
            && needed == size;
        if same { Ok(()) } else { Err(damaged("the codestream has more than one frame header")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    /// 128 x 128 of 15 bits, whose scan ends after 128 bytes and without a marker: found by fuzzing, it never came back.
    #[test]
    fn a_scan_that_just_ends_is_refused_and_not_read_for_ever() {
        let header = "ffd8fff7000b0f0080008001011100fff8000d017fff0012004301140040ffda0008010100000000";
        let scan = [
            "00000000000fa27a77be5b53f342ee97b1172eb72200d027ee033b5b50b41becfbb60d9802524e2c099009e09eb7ca793c62cd7e85d6ad86",
            "024babd93b4ed33d4ecfc0fa400070a000e2c027f0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0",
            "a0a0a0787c825da354498ac4c5c19222",
        ];
        let text = format!("{header}{}", scan.concat());
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect();
        let stated = marker::jpeg(&bytes).expect("a header");
        let refused = decode::<u16>(&ended(&bytes), &stated).err().map(|error| error.code);
        assert_eq!(refused, Some(Code::DecodeFailed));
    }
}
