//! Which messages are about a person.

use std::collections::HashSet;

use onboarding::InvitationId;
use serde_json::Value;

use super::Person;
use crate::dead_letters::{DeadLetter, parsed};
use crate::received::ReceivedMessage;

/// The fields by which invitations and events name their person.
const SUBJECTS: [&str; 4] = ["email", "emailaddress", "lead", "leadid"];

/// Whether a message is about the person with these invitations. A message about another person that only mentions the
/// address is not.
pub(super) fn is_about(message: &ReceivedMessage, person: &Person, invitations: &HashSet<InvitationId>) -> bool {
    let is_theirs = message.group.as_ref().is_some_and(|group| person.keys().iter().any(|key| key.as_str() == group));
    if is_theirs || DeadLetter::of(message).receipt.is_some_and(|receipt| invitations.contains(&receipt)) {
        return true;
    }
    let texts = texts_in(&message.body);
    let names = |text: &str| {
        person.emails.iter().any(|email| mentions(text, email.expose()))
            || person.leads.iter().any(|lead| text.to_lowercase().contains(&lead.to_string()))
    };
    let mut subjects = texts.iter().filter(|(name, text)| is_subject(name) && says_whose(text)).peekable();
    match subjects.peek() {
        Some(_) => subjects.any(|(_, text)| names(text)),
        // A malformed message may not name its person: then a mention decides.
        None => texts.iter().any(|(_, text)| names(text)),
    }
}

fn is_subject(name: &str) -> bool {
    SUBJECTS.iter().any(|subject| name.eq_ignore_ascii_case(subject))
}

/// Whether a text has an address or a lead id in it.
fn says_whose(text: &str) -> bool {
    const GUID: usize = 36;
    let is_guid = |bytes: &[u8]| {
        bytes.iter().enumerate().all(|(position, byte)| match position {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    text.contains('@') || text.as_bytes().windows(GUID).any(is_guid)
}

/// Whether a text has this address in it, and not only a longer one that ends or begins with it.
fn mentions(text: &str, email: &str) -> bool {
    let text = text.to_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(email).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let mut after = text[start + email.len()..].chars();
        let goes_on = match after.next() {
            Some('.') => after.next().is_some_and(is_word),
            Some(c) => is_word(c) || c == '-',
            None => false,
        };
        !goes_on && !before.is_some_and(|c| is_word(c) || ".+-".contains(c))
    })
}

/// The texts in JSON, and in texts of it that are JSON themselves, each with its name. A text that is no JSON is one.
fn texts_in(body: &str) -> Vec<(String, String)> {
    let (mut texts, mut left) = (Vec::new(), vec![(String::new(), Value::String(body.to_owned()))]);
    while let Some((name, value)) = left.pop() {
        match value {
            Value::Object(fields) => left.extend(fields),
            Value::Array(values) => left.extend(values.into_iter().map(|value| (name.clone(), value))),
            Value::String(text) => match parsed(&text) {
                inner @ (Value::Object(_) | Value::Array(_) | Value::String(_)) => left.push((name, inner)),
                _ => texts.push((name, text)),
            },
            _ => {}
        }
    }
    texts
}
