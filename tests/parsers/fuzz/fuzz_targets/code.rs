//! Fuzz target: typed codes. `cargo +nightly fuzz run code -- -max_total_time=60` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("code", input));
