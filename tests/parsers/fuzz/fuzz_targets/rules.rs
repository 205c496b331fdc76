//! Fuzz target: bodies of LeadSquared's ruless and automations. `cargo +nightly fuzz run rules` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("rules", input));
