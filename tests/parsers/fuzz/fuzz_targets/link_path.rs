//! Fuzz target: paths of login links. `cargo +nightly fuzz run link_path` in `tests/parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parsers::check("link_path", input));
