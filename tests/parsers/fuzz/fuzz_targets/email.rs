//! Fuzz target: e-mail addresses. `cargo +nightly fuzz run email` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("email", input));
