//! JPEG of 8 bits and lossless JPEG by jpeg-decoder (Rust), through the adapter that dicom-pixeldata registers for it.
//!
//! The adapter trusts its input: a smaller codestream leaves zeros, a bigger one panics. It sees one frame at a time and only
//! after `marker` has found size, samples and depth to be those of the header.
use std::borrow::Cow;

use dicom::encoding::Codec as Adapter;
use dicom::encoding::TransferSyntaxIndex;
use dicom::encoding::adapters::{PixelDataObject, RawPixelData};
use dicom::transfer_syntax::TransferSyntaxRegistry;

use crate::error::{Code, Error, Result};

use super::marker::{self, Stated};
use super::{Cell, Codec, Frame, Request, Samples, damaged, jfif, native};

pub(super) struct Jpeg;

/// The transfer syntax whose adapter is used, for every kind of JPEG: it is the same one.
const REGISTERED: &str = "1.2.840.10008.1.2.4.70";

impl Codec for Jpeg {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let stated = marker::jpeg(request.bytes)?;
        stated.check(request.header)?;
        if stated.precision > 8 && !stated.lossless {
            let detail = "lossy JPEG of more than 8 bits is decoded only by builds with native-codecs";
            return Err(Error::new(Code::UnsupportedTransferSyntax, detail));
        }
        let bytes = match stated.components {
            1 => Cow::Borrowed(request.bytes),
            _ => jfif::with_colour_stated(request, &stated).into(),
        };
        let samples = run(request, &stated, &jfif::ended(bytes, &stated))?;
        Ok(Frame { samples, right_aligned: true, is_rgb: stated.components == 3 && !stated.lossless })
    }
}

/// Runs the adapter on one frame; cells are of 8 or 16 bits, as the codestream's depth needs.
fn run(request: &Request<'_>, stated: &Stated, codestream: &[u8]) -> Result<Samples> {
    let missing = || Error::internal("dicom-pixeldata was built without its JPEG adapter");
    let syntax = TransferSyntaxRegistry.get(REGISTERED).ok_or_else(missing)?;
    let Adapter::EncapsulatedPixelData(Some(reader), _) = syntax.codec() else {
        return Err(missing());
    };
    let wide = stated.precision > 8;
    let mut bytes = Vec::new();
    let frame = OneFrame { request, codestream, bits: if wide { 16 } else { 8 } };
    reader.decode_frame(&frame, 0, &mut bytes).map_err(|_| damaged("the decoder refused the codestream"))?;
    Ok(match wide {
        true => u16::samples(native::cells(&bytes, u16::from_le)),
        false => u8::samples(bytes),
    })
}

/// One frame as an object of one fragment.
struct OneFrame<'a> {
    request: &'a Request<'a>,
    codestream: &'a [u8],
    bits: u16,
}

impl PixelDataObject for OneFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        REGISTERED
    }
    fn rows(&self) -> Option<u16> {
        Some(self.request.header.rows)
    }
    fn cols(&self) -> Option<u16> {
        Some(self.request.header.columns)
    }
    fn samples_per_pixel(&self) -> Option<u16> {
        Some(self.request.header.samples)
    }
    fn bits_allocated(&self) -> Option<u16> {
        Some(self.bits)
    }
    fn bits_stored(&self) -> Option<u16> {
        Some(self.bits)
    }
    fn photometric_interpretation(&self) -> Option<&str> {
        Some(self.request.header.photometric.as_str())
    }
    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }
    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }
    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.codestream))
    }
    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        Some(Cow::Borrowed(&[0]))
    }
    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        Some(RawPixelData { fragments: vec![self.codestream.to_vec()].into(), offset_table: vec![0].into() })
    }
}
