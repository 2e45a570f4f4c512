//! JPEG XL, also as a repacked JPEG, of up to 16 bits, by jxl-oxide (Rust; ISO/IEC 18181).
use jxl_oxide::{AllocTracker, InitializeResult, JxlImage, JxlThreadPool, Render, image::BitDepth};

use crate::dicom::layout::FrameHeader;
use crate::error::{Code, Error, Result};

use super::{Cell, Codec, Frame, Request, damaged};

pub(super) struct JpegXl;

/// The decoder's own buffers: some planes of floats for each component, and what does not grow with the image.
const BYTES_PER_SAMPLE: usize = 64;
const BYTES_BESIDE: usize = 64 << 20;

impl Codec for JpegXl {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let image = load(request)?;
        let bits = check(&image, request.header)?;
        let render = image.render_frame(0).map_err(refused)?;
        let samples = match bits {
            8 => u8::samples(collect(&render, request.header)?),
            16 => u16::samples(collect(&render, request.header)?),
            ..8 => u8::samples(scale(&render, request.header, bits)?),
            _ => u16::samples(scale(&render, request.header, bits)?),
        };
        let to_rgb =
            image.image_header().metadata.xyb_encoded || image.frame(0).is_some_and(|frame| frame.header().do_ycbcr);
        Ok(Frame { samples, right_aligned: true, is_rgb: request.header.samples == 3 && to_rgb })
    }
}

fn refused<E>(_error: E) -> Error {
    damaged("the JPEG XL codestream is damaged")
}

/// Feeds the whole codestream; the size is checked as soon as the header is there.
fn load(request: &Request<'_>) -> Result<JxlImage> {
    let samples = request.header.frame_samples();
    let limit = samples.saturating_mul(BYTES_PER_SAMPLE).saturating_add(BYTES_BESIDE);
    let builder = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(limit)).pool(JxlThreadPool::none());
    let (mut blank, mut at) = (builder.build_uninit(), 0);
    let mut image = loop {
        // In small steps, so that little is parsed before the size is known.
        let step = request.bytes.get(at..request.bytes.len().min(at + 4096)).filter(|step| !step.is_empty());
        let taken = blank.feed_bytes(step.ok_or_else(cut)?).map_err(refused)?;
        at += taken;
        match blank.try_init().map_err(refused)? {
            // A start that could yet become a signature is not taken: the same bytes would be fed for ever.
            InitializeResult::NeedMoreData(_) if taken == 0 => return Err(cut()),
            InitializeResult::NeedMoreData(more) => blank = more,
            InitializeResult::Initialized(image) => break image,
        }
    };
    check(&image, request.header)?;
    while !image.is_loading_done() && at < request.bytes.len() {
        let taken = image.feed_bytes(&request.bytes[at..]).map_err(refused)?;
        if taken == 0 {
            break;
        }
        at += taken;
    }
    match (image.is_loading_done(), image.num_loaded_keyframes()) {
        (true, 1) => Ok(image),
        (true, _) => Err(damaged("the JPEG XL codestream holds more than one image")),
        (false, _) => Err(cut()),
    }
}

fn cut() -> Error {
    Error::new(Code::Truncated, "the JPEG XL codestream ends early")
}

/// Bits of a sample, if size, samples and depth are those of the header.
fn check(image: &JxlImage, header: &FrameHeader) -> Result<u32> {
    let metadata = &image.image_header().metadata;
    let BitDepth::IntegerSample { bits_per_sample: bits @ 1..=16 } = metadata.bit_depth else {
        return Err(damaged("the codestream holds floats, or samples of more than 16 bits"));
    };
    let samples = if metadata.grayscale() { 1 } else { 3 };
    let same_size = image.width() == u32::from(header.columns) && image.height() == u32::from(header.rows);
    if !same_size || samples != header.samples || !metadata.ec_info.is_empty() {
        return Err(damaged(format!(
            "the codestream holds {} x {} pixels of {samples} samples; the header says {} x {} of {}",
            image.height(),
            image.width(),
            header.rows,
            header.columns,
            header.samples
        )));
    }
    if bits > u32::from(header.bits_allocated) || (bits <= 8) != (header.bits_stored <= 8) {
        let stored = header.bits_stored;
        return Err(damaged(format!("the codestream holds samples of {bits} bits; the header says {stored}")));
    }
    Ok(bits)
}

/// Samples whose depth is that of their cells: the decoder rounds and clips.
fn collect<C: Cell + jxl_oxide::FrameBufferSample>(render: &Render, header: &FrameHeader) -> Result<Vec<C>> {
    let mut cells = vec![C::default(); header.frame_samples()];
    match render.stream().write_to_buffer(&mut cells) == cells.len() {
        true => Ok(cells),
        false => Err(damaged("the JPEG XL codestream lacks pixels")),
    }
}

/// Samples of other depths: 1.0 is the largest of them. Exact, since a float has 24 bits.
fn scale<C: Cell>(render: &Render, header: &FrameHeader, bits: u32) -> Result<Vec<C>> {
    let count = header.frame_samples();
    let largest = ((1u32 << bits) - 1) as f32;
    let (mut stream, mut row) = (render.stream(), vec![0.0f32; usize::from(header.columns) * 8]);
    let mut cells = Vec::with_capacity(count);
    while cells.len() < count {
        match stream.write_to_buffer(&mut row) {
            0 => return Err(damaged("the JPEG XL codestream lacks pixels")),
            written => {
                cells.extend(row[..written].iter().map(|v| C::of((v * largest + 0.5).clamp(0.0, largest) as u32)));
            }
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Photometric;

    /// Two zero bytes, which may begin a container's signature: found by fuzzing, they were fed for ever.
    #[test]
    fn a_codestream_that_ends_within_its_signature_is_refused_and_not_fed_for_ever() {
        let header = FrameHeader {
            rows: 1,
            columns: 1,
            samples: 1,
            bits_allocated: 8,
            bits_stored: 8,
            planar: false,
            photometric: Photometric::Monochrome2,
        };
        for bytes in [&[0u8, 0][..], &[0, 0, 0, 12, b'J', b'X'], &[0xFF], &[]] {
            let syntax_uid = "1.2.840.10008.1.2.4.110";
            let request = Request { header: &header, syntax_uid, bytes, big_endian: false, inflate_bytes_max: 0 };
            assert_eq!(JpegXl.decode(&request).err().map(|error| error.code), Some(Code::Truncated), "{bytes:?}");
        }
    }
}
