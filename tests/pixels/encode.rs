//! Encoders for made images: those of the C and C++ libraries. That an image comes back as it was put in is proof enough only with a
//! second decoder, since encoder and first decoder are of one library.
#![allow(unsafe_code)]
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use {charls_sys as ls, openjpeg_sys as opj, turbojpeg_sys as tj};

/// What is to be coded: `cells` are codes of `bits` bits (not sign-extended), row by row, samples of a pixel together.
pub(crate) struct Plain<'a> {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    pub(crate) samples: u16,
    pub(crate) bits: u16,
    pub(crate) signed: bool,
    pub(crate) cells: &'a [u32],
}

impl Plain<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self.bits {
            ..=8 => self.cells.iter().map(|cell| *cell as u8).collect(),
            _ => self.cells.iter().flat_map(|cell| (*cell as u16).to_ne_bytes()).collect(),
        }
    }
}

/// JPEG lossless, selection value 1.
pub(crate) fn jpeg_lossless(image: &Plain<'_>) -> Vec<u8> {
    let parameters = [(tj::TJPARAM_TJPARAM_LOSSLESS, 1), (tj::TJPARAM_TJPARAM_LOSSLESSPSV, 1)];
    jpeg(image, image.bits, &parameters)
}

/// JPEG by DCT at the best quality, of the 8 or 12 bits that it knows; colour as YCbCr without subsampling.
pub(crate) fn jpeg_lossy(image: &Plain<'_>) -> Vec<u8> {
    let sampling = if image.samples == 1 { tj::TJSAMP_TJSAMP_GRAY } else { tj::TJSAMP_TJSAMP_444 };
    let parameters = [(tj::TJPARAM_TJPARAM_QUALITY, 100), (tj::TJPARAM_TJPARAM_SUBSAMP, sampling)];
    jpeg(image, if image.bits <= 8 { 8 } else { 12 }, &parameters)
}

fn jpeg(image: &Plain<'_>, precision: u16, parameters: &[(tj::TJPARAM, i32)]) -> Vec<u8> {
    let words: Vec<u16> = image.cells.iter().map(|cell| *cell as u16).collect();
    let (columns, rows) = (i32::from(image.columns), i32::from(image.rows));
    let format = if image.samples == 1 { tj::TJPF_TJPF_GRAY } else { tj::TJPF_TJPF_RGB };
    let (mut out, mut length) = (ptr::null_mut(), 0);
    // SAFETY: the source has rows x columns x samples cells of the width that the call takes; the library's buffer is copied
    // before it is freed. WHY: no crate encodes lossless JPEG of every depth.
    unsafe {
        let handle = tj::tj3Init(tj::TJINIT_TJINIT_COMPRESS as i32);
        for (parameter, value) in parameters.iter().chain(&[(tj::TJPARAM_TJPARAM_PRECISION, precision.into())]) {
            assert_eq!(tj::tj3Set(handle, *parameter as i32, *value), 0);
        }
        let bytes = image.bytes();
        let status = match image.bits {
            ..=8 => tj::tj3Compress8(handle, bytes.as_ptr(), columns, 0, rows, format, &mut out, &mut length),
            9..=12 => tj::tj3Compress12(handle, words.as_ptr().cast(), columns, 0, rows, format, &mut out, &mut length),
            _ => tj::tj3Compress16(handle, words.as_ptr(), columns, 0, rows, format, &mut out, &mut length),
        };
        assert_eq!(status, 0, "{} bits", image.bits);
        let coded = std::slice::from_raw_parts(out, length as usize).to_vec();
        tj::tj3Free(out.cast());
        tj::tj3Destroy(handle);
        coded
    }
}

/// JPEG-LS in which no value is off by more than `near`; colour in one scan, sample by sample.
pub(crate) fn jpeg_ls(image: &Plain<'_>, near: i32) -> Vec<u8> {
    let frame = ls::charls_frame_info {
        width: image.columns.into(),
        height: image.rows.into(),
        bits_per_sample: image.bits.into(),
        component_count: image.samples.into(),
    };
    let mode = if image.samples == 1 { ls::charls_interleave_mode_none } else { ls::charls_interleave_mode_sample };
    let source = image.bytes();
    let (mut room, mut length) = (0, 0);
    // SAFETY: the encoder writes at most as many bytes as the buffer has, and reads as many as the frame needs. WHY: the safe crate
    // does not take every depth.
    unsafe {
        let encoder = ls::charls_jpegls_encoder_create();
        assert_eq!(ls::charls_jpegls_encoder_set_frame_info(encoder, &frame), 0);
        assert_eq!(ls::charls_jpegls_encoder_set_interleave_mode(encoder, mode), 0);
        assert_eq!(ls::charls_jpegls_encoder_set_near_lossless(encoder, near), 0);
        assert_eq!(ls::charls_jpegls_encoder_get_estimated_destination_size(encoder, &mut room), 0);
        let mut coded = vec![0u8; room];
        assert_eq!(ls::charls_jpegls_encoder_set_destination_buffer(encoder, coded.as_mut_ptr().cast(), room), 0);
        let done = ls::charls_jpegls_encoder_encode_from_buffer(encoder, source.as_ptr().cast(), source.len(), 0);
        assert_eq!(done, 0, "{} bits", image.bits);
        assert_eq!(ls::charls_jpegls_encoder_get_bytes_written(encoder, &mut length), 0);
        ls::charls_jpegls_encoder_destroy(encoder);
        coded.truncate(length);
        coded
    }
}

/// JPEG 2000 without a colour transform, by the reversible wavelet or by the other; the codestream says the sign.
pub(crate) fn jpeg_2000(image: &Plain<'_>, irreversible: bool) -> Vec<u8> {
    let mut coded: Vec<u8> = Vec::new();
    let half = 1i64 << (image.bits - 1);
    let value = |code: u32| {
        let code = i64::from(code);
        (if image.signed && code >= half { code - 2 * half } else { code }) as i32
    };
    // SAFETY: the image has as many components and samples as are written to it; everything made is destroyed, and the vector
    // outlives the stream that grows it. WHY: no crate encodes JPEG 2000 of every depth and sign.
    unsafe {
        let mut component: opj::opj_image_cmptparm_t = MaybeUninit::zeroed().assume_init();
        (component.dx, component.dy) = (1, 1);
        (component.w, component.h) = (image.columns.into(), image.rows.into());
        (component.prec, component.sgnd) = (image.bits.into(), image.signed.into());
        let mut components = vec![component; image.samples.into()];
        let space = opj::OPJ_COLOR_SPACE::OPJ_CLRSPC_UNSPECIFIED;
        let picture = opj::opj_image_create(image.samples.into(), components.as_mut_ptr(), space);
        ((*picture).x1, (*picture).y1) = (image.columns.into(), image.rows.into());
        for (at, code) in image.cells.iter().enumerate() {
            let samples = usize::from(image.samples);
            *(*(*picture).comps.add(at % samples)).data.add(at / samples) = value(*code);
        }
        let mut parameters = MaybeUninit::uninit();
        opj::opj_set_default_encoder_parameters(parameters.as_mut_ptr());
        let mut parameters = parameters.assume_init();
        (parameters.tcp_numlayers, parameters.cp_disto_alloc, parameters.numresolution) = (1, 1, 3);
        parameters.irreversible = irreversible.into();
        let encoder = opj::opj_create_compress(opj::OPJ_CODEC_FORMAT::OPJ_CODEC_J2K);
        assert_eq!(opj::opj_setup_encoder(encoder, &mut parameters, picture), 1);
        let stream = opj::opj_stream_create(1 << 16, 0);
        opj::opj_stream_set_write_function(stream, Some(write));
        opj::opj_stream_set_user_data(stream, ptr::from_mut(&mut coded).cast(), None);
        assert_eq!(opj::opj_start_compress(encoder, picture, stream), 1);
        assert_eq!(opj::opj_encode(encoder, stream), 1);
        assert_eq!(opj::opj_end_compress(encoder, stream), 1);
        opj::opj_stream_destroy(stream);
        opj::opj_destroy_codec(encoder);
        opj::opj_image_destroy(picture);
    }
    coded
}

unsafe extern "C" fn write(from: *mut c_void, count: usize, to: *mut c_void) -> usize {
    // SAFETY: `to` is the vector that `jpeg_2000` gave, and `from` holds `count` bytes. WHY: a callback of the library.
    unsafe { (*to.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(from.cast::<u8>(), count)) };
    count
}
