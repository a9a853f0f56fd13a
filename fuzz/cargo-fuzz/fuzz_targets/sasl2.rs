//! The fuzz target `sasl2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("sasl2", data));
