//! The pre-scan: a data set in any of the three encodings, or deflated, that claims to hold an image.
#![no_main]
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use overread_fuzz::{dicom, limits, look, object};

const SYNTAXES: [&str; 4] =
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];

fuzz_target!(|input: &[u8]| {
    let Some((first, dataset)) = input.split_first() else { return };
    let file = object::part10(SYNTAXES[usize::from(first & 3)], dataset);
    let _identity = dicom::identify(&Bytes::from(file.clone()), &limits());
    look(file);
});
