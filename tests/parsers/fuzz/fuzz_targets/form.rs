//! Fuzz target: bodies of forms. `cargo +nightly fuzz run form -- -max_total_time=60` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("form", input));
