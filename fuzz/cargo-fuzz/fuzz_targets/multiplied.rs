//! The fuzz target `multiplied`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("multiplied", data));
