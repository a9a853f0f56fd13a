//! The fuzz target `stream-client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("stream-client", data));
