//! Fuzz target: bodies of forms. `cargo +nightly fuzz run form` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("form", input));
