//! Fuzz target: e-mail addresses. `cargo +nightly fuzz run email -- -max_total_time=60` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("email", input));
