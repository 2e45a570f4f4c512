//! JPEG 2000 and high-throughput JPEG 2000, lossless and lossy, by OpenJPEG (raw bindings: they alone tell of warnings).
#![allow(unsafe_code)]
use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use openjpeg_sys as opj;

use crate::error::{Error, Result};

use super::marker::{self, Stated};
use super::{Cell, Codec, Frame, Request, Samples, damaged};

pub(super) struct Jpeg2000;

/// Deeper samples leave 32-bit coefficients too little room for the gain of the transform: from 25 bits on, some colours came back wrong.
const BITS_MAX: u16 = 24;

/// What the stream buffers for small reads; tile data is read past it, straight from the codestream.
const STREAM_BUFFER_BYTES: usize = 1 << 12;

impl Codec for Jpeg2000 {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let codestream = marker::codestream(request.bytes)?;
        let stated = marker::jpeg2000(codestream)?;
        stated.check(request.header)?;
        let samples = match stated.precision {
            1..=8 => decode::<u8>(codestream, &stated),
            9..=16 => decode::<u16>(codestream, &stated),
            17..=BITS_MAX => decode::<u32>(codestream, &stated),
            _ => Err(damaged(format!("the codestream holds samples of more than {BITS_MAX} bits"))),
        }?;
        Ok(Frame { samples, right_aligned: true, is_rgb: stated.transformed })
    }
}

fn decode<C: Cell>(codestream: &[u8], stated: &Stated) -> Result<Samples> {
    let mut source = Source { bytes: codestream, at: 0 };
    let mut invented = false;
    let stream = Stream::over(&mut source)?;
    let decoder = Decoder::new(&mut invented)?;
    let image = decoder.read_header(&stream)?;
    image.agrees(stated)?;
    decoder.decode(&stream, &image)?;
    drop(decoder);
    match invented {
        true => Err(damaged("the JPEG 2000 codestream is damaged")),
        false => image.interleaved::<C>(stated).map(C::samples),
    }
}

/// Where the decoder reads.
struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Owns a stream, so that every way out frees it. It must not outlive its source.
struct Stream<'a>(*mut opj::opj_stream_t, std::marker::PhantomData<&'a ()>);

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `opj_stream_create` and is destroyed once. WHY: the library has no other way to free it.
        unsafe { opj::opj_stream_destroy(self.0) }
    }
}

impl<'a> Stream<'a> {
    fn over(source: &'a mut Source<'_>) -> Result<Stream<'a>> {
        let length = source.bytes.len() as u64;
        // SAFETY: the stream is checked for null; the source outlives it by the lifetime in its type. WHY: as above.
        unsafe {
            let stream = opj::opj_stream_create(STREAM_BUFFER_BYTES, 1);
            if stream.is_null() {
                return Err(Error::internal("the JPEG 2000 decoder could not start"));
            }
            opj::opj_stream_set_read_function(stream, Some(read));
            opj::opj_stream_set_skip_function(stream, Some(skip));
            opj::opj_stream_set_seek_function(stream, Some(seek));
            opj::opj_stream_set_user_data(stream, ptr::from_mut(source).cast(), None);
            opj::opj_stream_set_user_data_length(stream, length);
            Ok(Stream(stream, std::marker::PhantomData))
        }
    }
}

/// Copies the next bytes out; `usize::MAX` at the end, as the library wants it.
unsafe extern "C" fn read(out: *mut c_void, wanted: usize, source: *mut c_void) -> usize {
    // SAFETY: `source` is the one that `Stream::over` was given, alive and used by nobody else. WHY: a callback of the library.
    let source = unsafe { &mut *source.cast::<Source<'_>>() };
    let rest = source.bytes.get(source.at..).unwrap_or_default();
    let count = wanted.min(rest.len());
    if count == 0 {
        return usize::MAX;
    }
    // SAFETY: the library's buffer has room for `wanted` bytes, and `rest` has `count`. WHY: as above.
    unsafe { ptr::copy_nonoverlapping(rest.as_ptr(), out.cast(), count) };
    source.at += count;
    count
}

unsafe extern "C" fn skip(count: i64, source: *mut c_void) -> i64 {
    // SAFETY: as in `read`. WHY: as above.
    let source = unsafe { &mut *source.cast::<Source<'_>>() };
    match usize::try_from(count).ok().and_then(|count| source.at.checked_add(count)) {
        Some(at) if at <= source.bytes.len() => {
            source.at = at;
            count
        }
        _ => -1,
    }
}

unsafe extern "C" fn seek(at: i64, source: *mut c_void) -> i32 {
    // SAFETY: as in `read`. WHY: as above.
    let source = unsafe { &mut *source.cast::<Source<'_>>() };
    match usize::try_from(at) {
        Ok(at) if at <= source.bytes.len() => {
            source.at = at;
            1
        }
        _ => 0,
    }
}

/// Warnings after which the samples are still those of the codestream; all others mean that some were made up.
const HARMLESS: [&[u8]; 6] = [
    b"Stream does not end with EOC",
    b"Unknown marker",
    b"Expected SOP marker",
    b"Empty SOT marker detected",
    b"opj_j2k_read_tlm",
    b"Non conformant codestream TPsot==TNsot",
];

unsafe extern "C" fn warned(text: *const c_char, invented: *mut c_void) {
    // SAFETY: the library passes a NUL-terminated string, and the flag that `Decoder::new` was given, which outlives the
    // decoder. WHY: as above.
    let (text, invented) = unsafe { (CStr::from_ptr(text).to_bytes(), &mut *invented.cast::<bool>()) };
    *invented |= !HARMLESS.iter().any(|harmless| text.starts_with(harmless));
}

/// Owns a decoder, so that every way out frees it. It must not outlive the flag that its warnings set.
struct Decoder<'a>(*mut opj::opj_codec_t, std::marker::PhantomData<&'a ()>);

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `opj_create_decompress` and is destroyed once. WHY: as above.
        unsafe { opj::opj_destroy_codec(self.0) }
    }
}

impl<'a> Decoder<'a> {
    /// A decoder as the library makes it: strict, so that a codestream that ends early is an error, not a blurred image.
    ///
    /// Asking for strictness would also turn off what the library does for tile-parts that are numbered wrongly, and such
    /// codestreams would come out without their last tile-parts, and without an error.
    fn new(invented: &'a mut bool) -> Result<Decoder<'a>> {
        let mut parameters = MaybeUninit::uninit();
        // SAFETY: the codec is checked for null; the library fills the parameters before they are read; the flag outlives the
        // decoder by the lifetime in its type. WHY: as above.
        unsafe {
            let codec = opj::opj_create_decompress(opj::OPJ_CODEC_FORMAT::OPJ_CODEC_J2K);
            if codec.is_null() {
                return Err(Error::internal("the JPEG 2000 decoder could not start"));
            }
            let decoder = Decoder(codec, std::marker::PhantomData);
            opj::opj_set_default_decoder_parameters(parameters.as_mut_ptr());
            let ready = opj::opj_set_warning_handler(codec, Some(warned), ptr::from_mut(invented).cast()) != 0
                && opj::opj_setup_decoder(codec, parameters.as_mut_ptr()) != 0;
            if ready { Ok(decoder) } else { Err(Error::internal("the JPEG 2000 decoder refused a parameter")) }
        }
    }

    fn read_header(&self, stream: &Stream<'_>) -> Result<Image> {
        let mut image = ptr::null_mut();
        // SAFETY: stream and codec are alive; the image is ours whatever the call returns. WHY: as above.
        let read = unsafe { opj::opj_read_header(stream.0, self.0, &mut image) };
        let image = Image(image);
        match read != 0 && !image.0.is_null() {
            true => Ok(image),
            false => Err(damaged("the JPEG 2000 header is damaged")),
        }
    }

    fn decode(&self, stream: &Stream<'_>, image: &Image) -> Result<()> {
        // SAFETY: stream, codec and image are alive and belong together. WHY: as above.
        let decoded = unsafe {
            opj::opj_decode(self.0, stream.0, image.0) != 0 && opj::opj_end_decompress(self.0, stream.0) != 0
        };
        if decoded { Ok(()) } else { Err(damaged("the JPEG 2000 codestream is damaged")) }
    }
}

/// Owns an image, so that every way out frees it. Null until the header has been read.
struct Image(*mut opj::opj_image_t);

impl Drop for Image {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the library made it and it is destroyed once. WHY: as above.
            unsafe { opj::opj_image_destroy(self.0) }
        }
    }
}

impl Image {
    fn components(&self) -> &[opj::opj_image_comp_t] {
        // SAFETY: `read_header` gave a non-null image, whose `comps` points to `numcomps` components. WHY: as above.
        unsafe {
            let image = &*self.0;
            match image.comps.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(image.comps, image.numcomps as usize),
            }
        }
    }

    /// What is decoded was budgeted by our own reading of the header: the library's must be the same.
    fn agrees(&self, stated: &Stated) -> Result<()> {
        let components = self.components();
        let same = components.len() == usize::from(stated.components)
            && components.iter().all(|component| {
                (component.w, component.h) == (stated.columns, stated.rows)
                    && component.prec == u32::from(stated.precision)
            });
        if same { Ok(()) } else { Err(damaged("the codestream has more than one header")) }
    }

    /// Samples by pixel, cut to cells: the sign bits of negative samples above the cell say nothing that the cell does not.
    fn interleaved<C: Cell>(&self, stated: &Stated) -> Result<Vec<C>> {
        self.agrees(stated)?;
        let pixels = stated.samples() / usize::from(stated.components);
        let plane = |component: &opj::opj_image_comp_t| match component.data.is_null() {
            true => Err(damaged("the JPEG 2000 codestream lacks a component")),
            // SAFETY: a decoded component has width x height samples, which `agrees` found to be `pixels`. WHY: as above.
            false => Ok(unsafe { std::slice::from_raw_parts(component.data, pixels) }),
        };
        let cell = |sample: &i32| C::of(sample.cast_unsigned());
        match self.components() {
            [grey] => Ok(plane(grey)?.iter().map(cell).collect()),
            [a, b, c] => {
                let planes = plane(a)?.iter().zip(plane(b)?).zip(plane(c)?);
                Ok(planes.flat_map(|((a, b), c)| [cell(a), cell(b), cell(c)]).collect())
            }
            _ => Err(damaged("the codestream has an impossible number of components")),
        }
    }
}
