//! JPEG 2000 of up to 16 bits, by hayro-jpeg2000 (Rust, no `unsafe` of its own; not the high-throughput kind).
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use crate::error::Result;

use super::marker::{self, Stated};
use super::{Cell, Codec, Frame, Request, Samples, damaged};

pub(super) struct Jpeg2000;

const SETTINGS: DecodeSettings =
    DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };

impl Codec for Jpeg2000 {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let codestream = marker::codestream(request.bytes)?;
        let stated = marker::jpeg2000(codestream)?;
        stated.check(request.header)?;
        let samples = match stated.precision {
            1..=8 => decode::<u8>(codestream, &stated),
            9..=16 => decode::<u16>(codestream, &stated),
            // It computes in floats of 24 bits, and the transform needs some of them.
            _ => Err(damaged("the codestream holds samples of more than 16 bits")),
        }?;
        Ok(Frame { samples, right_aligned: true, is_rgb: stated.transformed })
    }
}

fn decode<C: Cell>(codestream: &[u8], stated: &Stated) -> Result<Samples> {
    let refused = |_| damaged("the JPEG 2000 codestream is damaged, or of a kind that the Rust decoder does not know");
    let image = Image::new(codestream, &SETTINGS).map_err(refused)?;
    if (image.width(), image.height()) != (stated.columns, stated.rows) {
        return Err(damaged("the codestream has more than one header"));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(refused)?;
    let components = decoded.components();
    if components.len() != usize::from(stated.components) {
        return Err(damaged("the codestream has more than one header"));
    }
    // It moves signed samples up to where unsigned ones are.
    let zero = if stated.signed { 1 << (stated.precision - 1) } else { 0 };
    let largest = ((1u32 << stated.precision) - 1) as f32;
    let cell = |sample: f32| C::of((sample.round().clamp(0.0, largest) as i32 - zero).cast_unsigned());
    let planes: Vec<&[f32]> = components.iter().map(|component| component.samples()).collect();
    let cells = match planes[..] {
        [grey] => grey.iter().map(|v| cell(*v)).collect(),
        [a, b, c] => a.iter().zip(b).zip(c).flat_map(|((a, b), c)| [cell(*a), cell(*b), cell(*c)]).collect(),
        _ => return Err(damaged("the codestream has an impossible number of components")),
    };
    Ok(C::samples(cells))
}
