//! Fuzz target: events of a bus. `cargo +nightly fuzz run bus_event` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("bus_event", input));
