//! Fuzz target: bodies of LeadSquared's webhooks and automations. `cargo +nightly fuzz run webhook -- -max_total_time=60` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("webhook", input));
