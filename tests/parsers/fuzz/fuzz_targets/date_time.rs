//! Fuzz target: LeadSquared's date-times. `cargo +nightly fuzz run date_time` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("date_time", input));
