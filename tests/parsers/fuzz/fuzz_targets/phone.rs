//! Fuzz target: phone numbers. `cargo +nightly fuzz run phone` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("phone", input));
