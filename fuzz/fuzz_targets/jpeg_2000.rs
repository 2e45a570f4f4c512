//! JPEG 2000 and HTJ2K: a right header, then any codestream.
#![no_main]
use libfuzzer_sys::fuzz_target;
use overread_fuzz::{look, object::Form};

const SYNTAXES: &[&str] = &["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203"];

fuzz_target!(|input: &[u8]| {
    if let Some((form, codestream)) = Form::take(input, SYNTAXES) {
        look(form.encapsulated(codestream));
    }
});
