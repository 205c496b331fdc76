//! Every answer is decided without a panic, and no decision prints what the answer said.
//!
//! ```sh
//! cargo install cargo-fuzz
//! cargo +nightly fuzz run decode -- -max_total_time=60      # in shared/leadsquared
//! ```
//!
//! The corpus starts from the answers in `contract/`. What a run finds is put there under a hash; `cargo test`
//! replays it, and giving it a name keeps it for everybody.

#![no_main]

#[path = "../check.rs"]
mod check;

use check::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| check(input));
