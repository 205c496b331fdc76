//! Fuzz target: bodies of LeadSquared's webhooks and automations. `cargo +nightly fuzz run webhook` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("webhook", input));
