//! Fuzz target: the fields of an application form. `cargo +nightly fuzz run application` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("application", input));
