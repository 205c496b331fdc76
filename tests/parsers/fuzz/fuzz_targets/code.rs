//! Fuzz target: typed codes. `cargo +nightly fuzz run code` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("code", input));
