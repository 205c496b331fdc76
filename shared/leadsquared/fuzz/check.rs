//! What must hold for any answer whatsoever; the fuzz target and the test of the kept inputs both ask it.

use leadsquared::Error;
use leadsquared::crm::{ActivityPage, Lead, LeadField, SentEmail, User, Webhook};
use leadsquared::portal::{SentCode, Session};
use leadsquared::wire::{Presented, Texts, decode};

/// Decides an answer without a panic, and prints nothing of it. An input is two bytes of status, one that says what the
/// call presented, and the body.
pub(crate) fn check(input: &[u8]) {
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
    }
}
