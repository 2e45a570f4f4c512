//! End to end: any bytes as a file.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| overread_fuzz::look(input.to_vec()));
