#![doc = include_str!("../README.md")]

mod application;
mod bus_event;
mod form;
mod rules;
mod sign_in;
mod values;
mod webhook;

use leadsquared::{CallingCode, text};

/// Panics if what holds for every input does not hold for this one.
pub type Check = fn(&[u8]);

/// The checks by name: the name of the fuzz target and of the corpus folder.
pub const CHECKS: [(&str, Check); 11] = [
    ("application", application::check),
    ("bus_event", bus_event::check),
    ("code", sign_in::check_code),
    ("date_time", values::check_date_time),
    ("email", values::check_email),
    ("form", form::check),
    ("link_path", sign_in::check_link_path),
    ("phone", values::check_phone),
    ("rules", rules::check),
    ("visitor", sign_in::check_visitor),
    ("webhook", webhook::check),
];

/// Runs the check with this name.
///
/// # Panics
/// If the check fails, or no check has the name.
pub fn check(name: &str, input: &[u8]) {
    let (_, check) = CHECKS.iter().find(|(known, _)| *known == name).expect("a check has the name");
    check(input);
}

/// The country of numbers without a country.
const INDIA: CallingCode = CallingCode(91);

/// Checks a text that becomes an attribute of a lead: nothing at its ends that a reader does not see.
fn assert_trimmed(text: &str) {
    assert_eq!(text::trim(text), text, "something invisible is at an end of {text:?}");
}

/// Checks that a spreadsheet runs no formula in a stored text. Numbers have a sign too.
fn assert_no_formula(name: &str, value: &str) {
    let may_be_formula = value.len() > 1 && value.starts_with(['=', '+', '-', '@']);
    let is_number = !value.starts_with(['=', '@']) && !value.contains(|c: char| !"+-0123456789 .,()".contains(c));
    assert!(!may_be_formula || is_number, "{name}: a spreadsheet runs {value:?}");
}

/// Checks that a refusal, or what is printed of a value, shows nothing that was sent. Our own words are ASCII, so
/// another character can only come from the sender.
fn assert_own_words(words: &str) {
    assert!(!words.is_empty() && words.is_ascii(), "{words:?}");
}
