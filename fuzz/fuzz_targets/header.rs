//! The header gate: a plausible header with any elements put in between, repeated attributes among them.
#![no_main]
use libfuzzer_sys::fuzz_target;
use overread_fuzz::{look, object::Form};

const SYNTAXES: &[&str] = &["1.2.840.10008.1.2.1"];

fuzz_target!(|input: &[u8]| {
    let Some((form, extra)) = Form::take(input, SYNTAXES) else { return };
    look(form.native(extra, &[1, 2, 3]));
});
