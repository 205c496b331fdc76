//! What must hold for every answer. The fuzz target and the test of the kept inputs both check it.

use leadsquared::Error;
use leadsquared::crm::{ActivityPage, Lead, LeadField, SentEmail, User, Webhook};
use leadsquared::portal::{SentCode, Session};
use leadsquared::wire::{CredentialKind, Texts, decode};

/// Decides an answer without a panic, and prints nothing of it. An input is two bytes of status, one for the
/// credentials of the call, and the body.
pub(crate) fn check(input: &[u8]) {
    let [high, low, credential, body @ ..] = input else { return };
    let status = u16::from_be_bytes([*high, *low]);
    let credential = match credential % 4 {
        0 => CredentialKind::Keys,
        1 => CredentialKind::Derived,
        2 => CredentialKind::Password,
        _ => CredentialKind::Session,
    };
    let texts = Texts::default();
    let decisions: [Option<Error>; 9] = [
        decode::<serde_json::Value>(status, body, credential, &texts).err(),
        decode::<User>(status, body, credential, &texts).err(),
        decode::<Vec<Lead>>(status, body, credential, &texts).err(),
        decode::<Vec<LeadField>>(status, body, credential, &texts).err(),
        decode::<ActivityPage>(status, body, credential, &texts).err(),
        decode::<SentEmail>(status, body, credential, &texts).err(),
        decode::<SentCode>(status, body, credential, &texts).err(),
        decode::<Session>(status, body, credential, &texts).err(),
        decode::<Vec<Webhook>>(status, body, credential, &texts).err(),
    ];
    for error in decisions.into_iter().flatten() {
        // None of our own words has an at sign, so one can only come from the answer.
        assert!(!format!("{error} {error:?}").contains('@'), "{error:?}");
    }
}
