//! Any answer whatsoever is decided without a panic, and no decision prints what the answer said.
//!
//! ```sh
//! cargo install cargo-fuzz
//! cargo +nightly fuzz run decode -- -max_total_time=60      # in shared/leadsquared
//! ```
//!
//! An input is two bytes of status, one that says what the call presented, and the body. The corpus starts from the answers
//! in `contract/`.

#![no_main]

use leadsquared::{
    ActivityPage, Error, Lead, LeadField, Presented, SentCode, SentEmail, Session, Texts, User, Webhook, decode,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [high, low, presented, body @ ..] = input else { return };
    let status = u16::from_be_bytes([*high, *low]);
    let presented = match presented % 4 {
        0 => Presented::Keys,
        1 => Presented::Derived,
        2 => Presented::Password,
        _ => Presented::Session,
    };
    let texts = Texts::default();
    let decisions: [Option<Error>; 9] = [
        decode::<serde_json::Value>(status, body, presented, &texts).err(),
        decode::<User>(status, body, presented, &texts).err(),
        decode::<Vec<Lead>>(status, body, presented, &texts).err(),
        decode::<Vec<LeadField>>(status, body, presented, &texts).err(),
        decode::<ActivityPage>(status, body, presented, &texts).err(),
        decode::<SentEmail>(status, body, presented, &texts).err(),
        decode::<SentCode>(status, body, presented, &texts).err(),
        decode::<Session>(status, body, presented, &texts).err(),
        decode::<Vec<Webhook>>(status, body, presented, &texts).err(),
    ];
    for error in decisions.into_iter().flatten() {
        // None of our own words has an at sign, so one can only come from the answer.
        assert!(!format!("{error} {error:?}").contains('@'), "{error:?}");
        assert!(!(error.is_transient() && error.is_configuration()));
        assert!(!error.may_have_taken_effect() || error.is_transient());
    }
});
