//! The fuzz target `hashed-token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("hashed-token", data));
