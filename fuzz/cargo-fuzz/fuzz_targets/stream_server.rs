//! The fuzz target `stream-server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("stream-server", data));
