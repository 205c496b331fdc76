//! Fuzz target: visitor addresses. `cargo +nightly fuzz run visitor` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("visitor", input));
