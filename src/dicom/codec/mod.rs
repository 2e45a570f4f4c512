//! Codecs: one frame's bytes to samples. One seam, [`Codec`], with up to two decoders behind it for each coding: the fastest
//! there is (C and C++ libraries, cargo feature `native-codecs`) and one written in Rust. What codes what is in the table of
//! `syntax`; which decoder is taken is in [`codec`].
//!
//! Each codec checks the codestream's own header against the object's before it decodes, so that no decoder is asked for
//! another size than the one that was budgeted; what comes out is counted again here.
mod adapter;
#[cfg(feature = "native-codecs")]
mod charls;
mod hayro;
mod jfif;
mod jpeg_xl;
#[cfg(feature = "native-codecs")]
mod libjpeg;
mod loco;
mod marker;
mod native;
#[cfg(feature = "native-codecs")]
mod openjpeg;
mod rle;
mod samples;
#[cfg(feature = "native-codecs")]
mod unfilled;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Code, Error, Result};

use super::Instance;
use super::layout::FrameHeader;
use super::prescan::Content;
use super::syntax::Coding;

pub use samples::{Cell, Cells, Samples};

/// The samples of one frame, row by row, three-sample pixels as first, second, third.
pub struct Frame {
    /// rows x columns x samples of them.
    pub samples: Samples,
    /// Bits Stored are the lowest bits, wherever High Bit is (compressed frames).
    pub right_aligned: bool,
    /// The codec gave R, G, B, whatever Photometric Interpretation says.
    pub is_rgb: bool,
}

/// One frame to decode.
pub(super) struct Request<'a> {
    pub(super) header: &'a FrameHeader,
    pub(super) syntax_uid: &'static str,
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
    pub(super) inflate_bytes_max: u64,
}

/// The seam. Errors: `DecodeFailed` (damaged, or another size than the header's), `Truncated`, `TooLarge`, `PixelLayoutInvalid`.
trait Codec {
    fn decode(&self, request: &Request<'_>) -> Result<Frame>;
}

/// Which decoders may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decoders {
    /// The fastest of this build.
    #[default]
    Fastest,
    /// Those written in Rust: all that a build without `native-codecs` has, and a second opinion in a build that has both.
    Rust,
}

/// The decoder of a coding. Errors: `UnsupportedTransferSyntax` where the only one is not in this build, or not in Rust.
fn codec(coding: Coding, decoders: Decoders) -> Result<&'static dyn Codec> {
    Ok(match coding {
        Coding::Native | Coding::EncapsulatedNative => &native::Native,
        Coding::DeflatedFrame => &native::Deflated,
        Coding::Rle => &rle::Rle,
        Coding::JpegXl => &jpeg_xl::JpegXl,
        Coding::Jpeg | Coding::JpegLs | Coding::Jpeg2000 | Coding::Htj2k => match (decoders, native_codec(coding)) {
            (Decoders::Fastest, Some(codec)) => codec,
            (Decoders::Fastest | Decoders::Rust, _) => rust_codec(coding)?,
        },
    })
}

#[cfg(feature = "native-codecs")]
fn native_codec(coding: Coding) -> Option<&'static dyn Codec> {
    match coding {
        Coding::Jpeg => Some(&libjpeg::Jpeg),
        Coding::JpegLs => Some(&charls::JpegLs),
        Coding::Jpeg2000 | Coding::Htj2k => Some(&openjpeg::Jpeg2000),
        Coding::Native | Coding::EncapsulatedNative | Coding::DeflatedFrame | Coding::Rle | Coding::JpegXl => None,
    }
}

#[cfg(not(feature = "native-codecs"))]
fn native_codec(_coding: Coding) -> Option<&'static dyn Codec> {
    None
}

fn rust_codec(coding: Coding) -> Result<&'static dyn Codec> {
    match coding {
        Coding::Jpeg => Ok(&adapter::Jpeg),
        Coding::JpegLs => Ok(&loco::JpegLs),
        Coding::Jpeg2000 => Ok(&hayro::Jpeg2000),
        Coding::Htj2k
        | Coding::Native
        | Coding::EncapsulatedNative
        | Coding::DeflatedFrame
        | Coding::Rle
        | Coding::JpegXl => {
            let detail = "is decoded only by builds with native-codecs";
            Err(Error::new(Code::UnsupportedTransferSyntax, detail))
        }
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::DecodeFailed, what)
}

/// Decodes one frame in this process; `decode` is where it may be done in another.
pub(super) fn decode(coding: Coding, request: &Request<'_>) -> Result<Frame> {
    guarded(request.header.frame_samples(), || codec(coding, Decoders::Fastest)?.decode(request))
}

/// What comes out has `expected` samples. Foreign decoders are C and C++ behind thin bindings, some of which panic on what they
/// do not expect.
fn guarded(expected: usize, decode: impl FnOnce() -> Result<Frame>) -> Result<Frame> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let frame = decoded.unwrap_or_else(|_| Err(damaged("the decoder gave up on the codestream")))?;
    match frame.samples.len() == expected {
        true => Ok(frame),
        false => Err(damaged("the codestream holds another number of samples than the header says")),
    }
}

impl Instance {
    /// Decodes the frame with index `frame_index` (from 0) in this process, by the fastest decoder of this build; services use a
    /// [`Decoder`](super::Decoder).
    ///
    /// Errors, about this instance: `InvalidArgument` (no such frame), `DecodeFailed`, `Truncated`, `TooLarge`, `PixelLayoutInvalid`,
    /// `UnsupportedTransferSyntax` (a kind of codestream for which this build has no decoder).
    pub fn frame(&self, frame_index: u32) -> Result<Frame> {
        self.frame_by(frame_index, decode)
    }

    /// The same by decoders that are said; for comparing them.
    pub fn frame_with(&self, frame_index: u32, decoders: Decoders) -> Result<Frame> {
        self.frame_by(frame_index, |coding, request| codec(coding, decoders)?.decode(request))
    }

    /// The same; `run` decodes what is coded. Errors: those of `run`, too.
    pub(super) fn frame_by(
        &self,
        frame_index: u32,
        run: impl Fn(Coding, &Request<'_>) -> Result<Frame>,
    ) -> Result<Frame> {
        let header = self.header();
        if frame_index >= header.frames {
            let detail = format!("frame {} of {}", u64::from(frame_index) + 1, header.frames);
            return Err(self.blame(Error::new(Code::InvalidArgument, detail)));
        }
        let frame_header = FrameHeader::from(header);
        let frame = guarded(frame_header.frame_samples(), || self.decode(&frame_header, frame_index, run));
        frame.map_err(|error| self.blame(error))
    }

    fn decode(
        &self,
        header: &FrameHeader,
        frame_index: u32,
        run: impl Fn(Coding, &Request<'_>) -> Result<Frame>,
    ) -> Result<Frame> {
        let request = |bytes| Request {
            header,
            syntax_uid: self.transfer_syntax().uid,
            bytes,
            big_endian: self.encoding().big_endian,
            inflate_bytes_max: self.inflate_bytes_max(),
        };
        let coding = self.transfer_syntax().coding;
        let Content::Native(range) = &self.pixels().content else {
            return run(coding, &request(&self.codestream(frame_index)?));
        };
        let all = self.slice(range);
        let (bits, index) = (header.frame_bits() as usize, frame_index as usize);
        if header.bits_allocated == 1 {
            return native::bits(all, bits * index, header.frame_pixels());
        }
        let frame_bytes = bits / 8;
        let range = frame_bytes * index..frame_bytes * (index + 1);
        if self.encoding().big_endian && header.bits_allocated == 8 && &self.pixels().vr == b"OW" {
            // 8-bit samples in words of a big-endian file: the bytes of each word are swapped.
            let swapped: Vec<u8> = range.map(|at| all.get(at ^ 1).copied().unwrap_or(0)).collect();
            return run(coding, &request(&swapped));
        }
        let bytes =
            all.get(range).ok_or_else(|| Error::new(Code::Truncated, "the frame lies beyond the pixel data"))?;
        if self.pixels().element != 0x0010 {
            return Ok(native::floats(bytes, header.bits_allocated == 64, self.encoding().big_endian));
        }
        match native::in_place(&request(bytes), &self.shared(bytes)) {
            Some(frame) => Ok(frame),
            None => run(coding, &request(bytes)),
        }
    }
}
