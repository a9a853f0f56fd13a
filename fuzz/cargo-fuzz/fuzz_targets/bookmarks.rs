//! The fuzz target `bookmarks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz::run("bookmarks", data));
