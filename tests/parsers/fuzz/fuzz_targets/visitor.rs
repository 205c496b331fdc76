//! Fuzz target: visitor addresses. `cargo +nightly fuzz run visitor -- -max_total_time=60` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("visitor", input));
