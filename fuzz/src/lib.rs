//! The rooms that read bytes from outside, compiled from the service's own files, and what the fuzz targets share.
//!
//! A target takes bytes, puts them where one part of the way reads them, and checks what must hold whatever they are: no panic, no
//! abort, no memory beyond the budget, and if there are pixels, exactly as many as the header says.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs, reason = "rooms are here for their inside, not their doors")]

#[path = "../../src/dicom/mod.rs"]
pub mod dicom;
#[path = "../../src/error/mod.rs"]
pub mod error;
#[path = "../../src/pixel/mod.rs"]
pub mod pixel;
pub mod object;
#[path = "../../src/uid.rs"]
pub mod uid;

use bytes::Bytes;

use dicom::{Decoder, Instance, Limits};
use pixel::{Stage, StageFrame};

/// Budgets small enough that an input at the limit still runs in milliseconds.
pub fn limits() -> Limits {
    Limits { pixel_bytes_max: 4 << 20, inflate_bytes_max: 4 << 20, ..Limits::default() }
}

/// Reads an object as the gates do, and all that can be made of its first frames.
pub fn look(bytes: Vec<u8>) {
    if let Ok(instance) = Instance::read(&Bytes::from(bytes), &limits()) {
        look_at(&instance);
    }
}

/// All stages of the first frames, and the picture that a model sees.
pub fn look_at(instance: &Instance) {
    let decoder = Decoder::in_process();
    let header = instance.header();
    let pixels = header.frame_pixels();
    for index in 0..header.frames.min(3) {
        for (stage, samples) in [(Stage::Stored, usize::from(header.samples)), (Stage::Modality, 1)] {
            if let Ok(frame) = pixel::stage_frame(&decoder, instance, stage, index) {
                assert_eq!(length(&frame), pixels * samples);
            }
        }
        if let Ok(frame) = pixel::stage_frame(&decoder, instance, Stage::Display, index) {
            assert!(matches!(length(&frame), n if n == pixels || n == 3 * pixels));
        }
        if let Ok(image) = pixel::image(&decoder, instance, index) {
            assert_eq!(image.values.len(), pixels);
            assert!(image.values.iter().all(|value| (0.0..=1.0).contains(value)), "a display value outside 0 to 1");
        }
    }
}

fn length(frame: &StageFrame) -> usize {
    match frame {
        StageFrame::Integers(values) => values.len(),
        StageFrame::Numbers(values) => values.len(),
        StageFrame::Bytes(values) => values.len(),
    }
}
