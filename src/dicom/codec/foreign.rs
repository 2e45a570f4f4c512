//! JPEG-LS (CharLS) and JPEG 2000 with HTJ2K (OpenJPEG), through the adapters of dicom-rs.
//!
//! The adapters trust their input: a smaller codestream leaves zeros, a bigger one panics. They see one frame at a time
//! and only after `marker` has found size, samples and depth to be those of the header.
use std::borrow::Cow;

use dicom::encoding::Codec as Adapter;
use dicom::encoding::TransferSyntaxIndex;
use dicom::encoding::adapters::{PixelDataObject, RawPixelData};
use dicom::transfer_syntax::TransferSyntaxRegistry;

use crate::error::{Error, Result};

use super::marker::{self, Stated};
use super::{Codec, Frame, Request, Samples, damaged, native};

pub(super) struct JpegLs;
pub(super) struct Jpeg2000;

impl Codec for JpegLs {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let stated = marker::jpeg(request.bytes)?;
        stated.check(request.header)?;
        let samples = run(request, &stated)?;
        let samples = match samples {
            Samples::Bits8(cells) if in_planes(&stated) => Samples::Bits8(native::interleave(&cells)),
            Samples::Bits16(cells) if in_planes(&stated) => Samples::Bits16(native::interleave(&cells)),
            as_they_are => as_they_are,
        };
        Ok(Frame { samples, right_aligned: true, is_rgb: false })
    }
}

impl Codec for Jpeg2000 {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let stated = marker::jpeg2000(request.bytes)?;
        stated.check(request.header)?;
        let samples = run(request, &stated)?;
        Ok(Frame { samples, right_aligned: true, is_rgb: stated.transformed })
    }
}

fn in_planes(stated: &Stated) -> bool {
    stated.components == 3 && !stated.interleaved
}

/// Runs the adapter of the transfer syntax on one frame; cells are of 8 or 16 bits, as the codestream's depth needs.
fn run(request: &Request<'_>, stated: &Stated) -> Result<Samples> {
    let wide = stated.precision > 8;
    if stated.precision > 16 {
        return Err(damaged("the codestream holds samples of more than 16 bits"));
    }
    let missing = || Error::internal("a transfer syntax of the table has no decoder in this build");
    let syntax = TransferSyntaxRegistry.get(request.syntax_uid).ok_or_else(missing)?;
    let Adapter::EncapsulatedPixelData(Some(reader), _) = syntax.codec() else {
        return Err(missing());
    };
    let mut bytes = Vec::new();
    let frame = OneFrame { request, bits: if wide { 16 } else { 8 } };
    reader.decode_frame(&frame, 0, &mut bytes).map_err(|_| damaged("the decoder refused the codestream"))?;
    Ok(match wide {
        true => Samples::Bits16(native::cells(&bytes, u16::from_le)),
        false => Samples::Bits8(bytes),
    })
}

/// One frame as an object of one fragment.
struct OneFrame<'a> {
    request: &'a Request<'a>,
    bits: u16,
}

impl PixelDataObject for OneFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        self.request.syntax_uid
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
        (fragment == 0).then_some(Cow::Borrowed(self.request.bytes))
    }
    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        Some(Cow::Borrowed(&[0]))
    }
    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        None
    }
}
