//! The fuzz target `bosh`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("bosh", data));
