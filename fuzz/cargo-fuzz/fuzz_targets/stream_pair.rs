//! The fuzz target `stream-pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("stream-pair", data));
