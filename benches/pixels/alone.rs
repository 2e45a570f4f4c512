//! The floor: the same decoders called on the bare codestream, into a buffer that is there already. No checks, no samples out.
#![allow(unsafe_code)]
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr;

use {charls_sys as ls, openjpeg_sys as opj, turbojpeg_sys as tj};

/// What decodes the file's codestream once per call; `None` where no library is called alone.
pub(super) fn decoder(path: &Path) -> Option<Box<dyn FnMut()>> {
    let file = std::fs::read(path).expect("an input");
    let name = path.file_stem()?.to_str()?.split_once('_')?.1.to_owned();
    if name == "native" {
        return Some(copy(&file));
    }
    let codestream = codestream(&file)?;
    match name.as_str() {
        "jpeg_baseline" | "jpeg_extended" | "jpeg_lossless" => Some(jpeg(codestream)),
        "jpeg_ls" => Some(jpeg_ls(codestream)),
        "jpeg_2000" | "htj2k" => Some(jpeg_2000(codestream)),
        _ => None,
    }
}

/// A copy of the pixels: the last bytes of a native file.
fn copy(file: &[u8]) -> Box<dyn FnMut()> {
    let header = b"\xE0\x7F\x10\x00OW\0\0";
    let at = file.windows(header.len()).position(|window| window == header).expect("pixel data") + header.len() + 4;
    let pixels = file[at..].to_vec();
    let mut out = vec![0u8; pixels.len()];
    Box::new(move || std::hint::black_box(&mut out).copy_from_slice(std::hint::black_box(&pixels)))
}

/// The only fragment: the second item of (7FE0,0010).
fn codestream(file: &[u8]) -> Option<Vec<u8>> {
    let start = b"\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF";
    let mut at = file.windows(start.len()).position(|window| window == start)? + start.len();
    let length = |at: usize| Some(u32::from_le_bytes(file.get(at + 4..at + 8)?.try_into().ok()?) as usize);
    at += 8 + length(at)?;
    Some(file.get(at + 8..at + 8 + length(at)?)?.to_vec())
}

fn jpeg(codestream: Vec<u8>) -> Box<dyn FnMut()> {
    let (data, length) = (codestream.as_ptr(), codestream.len() as u64);
    let mut out: Vec<u16> = Vec::new();
    // SAFETY: the handle is never freed, the codestream moves into the closure and keeps its address, and the buffer has room for
    // the width and height that the header says. WHY: this is the call to compare with.
    unsafe {
        let handle = tj::tj3Init(tj::TJINIT_TJINIT_DECOMPRESS as i32);
        assert_eq!(tj::tj3DecompressHeader(handle, data, length), 0);
        let get = |parameter: u32| tj::tj3Get(handle, parameter as i32);
        let (width, height) = (get(tj::TJPARAM_TJPARAM_JPEGWIDTH), get(tj::TJPARAM_TJPARAM_JPEGHEIGHT));
        let precision = get(tj::TJPARAM_TJPARAM_PRECISION);
        out.resize(width as usize * height as usize, 0);
        let grey = tj::TJPF_TJPF_GRAY;
        Box::new(move || {
            let _keep = &codestream;
            let status = match precision {
                2..=8 => tj::tj3Decompress8(handle, data, length, out.as_mut_ptr().cast(), 0, grey),
                9..=12 => tj::tj3Decompress12(handle, data, length, out.as_mut_ptr().cast(), 0, grey),
                _ => tj::tj3Decompress16(handle, data, length, out.as_mut_ptr(), 0, grey),
            };
            assert_eq!(status, 0);
        })
    }
}

fn jpeg_ls(codestream: Vec<u8>) -> Box<dyn FnMut()> {
    let mut out: Vec<u8> = Vec::new();
    Box::new(move || {
        let mut size = 0;
        // SAFETY: the decoder is freed at the end, the codestream outlives it, and the buffer has the size that it asks for.
        // WHY: this is the call to compare with.
        unsafe {
            let decoder = ls::charls_jpegls_decoder_create();
            ls::charls_jpegls_decoder_set_source_buffer(decoder, codestream.as_ptr().cast(), codestream.len());
            ls::charls_jpegls_decoder_read_header(decoder);
            ls::charls_jpegls_decoder_get_destination_size(decoder, 0, &mut size);
            out.resize(size, 0);
            assert_eq!(ls::charls_jpegls_decoder_decode_to_buffer(decoder, out.as_mut_ptr().cast(), size, 0), 0);
            ls::charls_jpegls_decoder_destroy(decoder);
        }
    })
}

/// The image is the library's own: it cannot be told where to write.
fn jpeg_2000(codestream: Vec<u8>) -> Box<dyn FnMut()> {
    Box::new(move || {
        let mut at = (codestream.as_slice(), 0usize);
        let mut parameters = MaybeUninit::uninit();
        let mut image = ptr::null_mut();
        // SAFETY: all four objects are made, used and freed here; the stream's source outlives it. WHY: this is the call to compare with.
        unsafe {
            let stream = opj::opj_stream_create(1 << 20, 1);
            opj::opj_stream_set_read_function(stream, Some(read));
            opj::opj_stream_set_skip_function(stream, Some(skip));
            opj::opj_stream_set_user_data(stream, ptr::from_mut(&mut at).cast(), None);
            opj::opj_stream_set_user_data_length(stream, codestream.len() as u64);
            let codec = opj::opj_create_decompress(opj::OPJ_CODEC_FORMAT::OPJ_CODEC_J2K);
            opj::opj_set_default_decoder_parameters(parameters.as_mut_ptr());
            assert_eq!(opj::opj_setup_decoder(codec, parameters.as_mut_ptr()), 1);
            assert_eq!(opj::opj_read_header(stream, codec, &mut image), 1);
            assert_eq!(opj::opj_decode(codec, stream, image), 1);
            opj::opj_stream_destroy(stream);
            opj::opj_destroy_codec(codec);
            opj::opj_image_destroy(image);
        }
    })
}

unsafe extern "C" fn read(out: *mut c_void, wanted: usize, source: *mut c_void) -> usize {
    // SAFETY: `source` is the pair that `jpeg_2000` gave, and `out` has room for `wanted` bytes. WHY: a callback of the library.
    unsafe {
        let (bytes, at) = &mut *source.cast::<(&[u8], usize)>();
        let count = wanted.min(bytes.len() - *at);
        if count == 0 {
            return usize::MAX;
        }
        ptr::copy_nonoverlapping(bytes[*at..].as_ptr(), out.cast(), count);
        *at += count;
        count
    }
}

unsafe extern "C" fn skip(count: i64, source: *mut c_void) -> i64 {
    // SAFETY: as in `read`. WHY: as above.
    let (_, at) = unsafe { &mut *source.cast::<(&[u8], usize)>() };
    *at += count as usize;
    count
}
