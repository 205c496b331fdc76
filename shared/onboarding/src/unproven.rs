//! The mark on a lead: which identifiers, and whether the password, were typed in a public form and are not proven yet.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use leadsquared::Attributes;
use leadsquared::schema_name::{EMAIL_ADDRESS, PHONE_NUMBERS, is_control};

use crate::digest::hex_digest;

/// Stands for the password among the proven names. Every other name starts with a field's schema name.
pub const PASSWORD: &str = "password";

/// The name under which the proof of a field's value is kept: its schema name and a hash of the value. A later value of
/// the field has another hash, so it is unproven again. The name does not show the value.
pub fn proof(schema_name: &str, value: &str) -> String {
    let hash = hex_digest([schema_name.as_bytes(), value.to_lowercase().as_bytes()]);
    format!("{schema_name}#{}", &hash[..12])
}

/// The content of a lead's mark. Register writes it together with the lead. Only a proof or a counsellor changes it.
///
/// On a marked lead, an identifier other than the e-mail address may sign in only once it is proven. The same holds for
/// a password that was typed in a form: `unproven: identifiers, password; proven: Phone#1f2e3d4c5b6a`. A counsellor who
/// vouches for the lead writes `vouched`. An emptied field proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    vouched: bool,
    password: bool,
    proven: BTreeSet<String>,
}

/// The mark's text does not have the expected format, so it does not show what is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lead's mark is not readable: write `vouched` into the field, or `unproven: identifiers`")]
pub struct UnreadableMark;

impl Unproven {
    /// The mark of a lead that a form creates, with nothing proven yet. `password`: whether the form's password was
    /// registered.
    pub fn new(password: bool) -> Self {
        Self { vouched: false, password, proven: BTreeSet::new() }
    }

    /// Whether a field with its value ([`proof`]), or the password ([`PASSWORD`]), may be used to sign in.
    pub fn allows(&self, what: &str) -> bool {
        self.vouched || self.proven.contains(what) || (what == PASSWORD && !self.password)
    }

    /// The mark with these names added as proven.
    #[must_use]
    pub fn proving<'a>(mut self, what: impl IntoIterator<Item = &'a str>) -> Self {
        self.proven.extend(what.into_iter().map(str::to_owned));
        self
    }
}

const VOUCHED: &str = "vouched";
const IDENTIFIERS: &str = "unproven: identifiers";
const TYPED_PASSWORD: &str = ", password";
const PROVEN: &str = "; proven: ";

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.vouched {
            return f.write_str(VOUCHED);
        }
        f.write_str(IDENTIFIERS)?;
        if self.password {
            f.write_str(TYPED_PASSWORD)?;
        }
        for (number, what) in self.proven.iter().enumerate() {
            f.write_str(if number == 0 { PROVEN } else { ", " })?;
            f.write_str(what)?;
        }
        Ok(())
    }
}

impl FromStr for Unproven {
    type Err = UnreadableMark;

    fn from_str(text: &str) -> Result<Self, UnreadableMark> {
        let text = text.trim();
        if text.eq_ignore_ascii_case(VOUCHED) {
            return Ok(Self { vouched: true, ..Self::new(false) });
        }
        let rest = text.strip_prefix(IDENTIFIERS).ok_or(UnreadableMark)?;
        let (password, rest) = match rest.strip_prefix(TYPED_PASSWORD) {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let mark = Self::new(password);
        match rest.strip_prefix(PROVEN) {
            None if rest.is_empty() => Ok(mark),
            None => Err(UnreadableMark),
            Some(proven) => {
                let proven: Vec<&str> = proven.split(", ").collect();
                let are_names = proven.iter().all(|name| !name.is_empty() && !name.contains([',', ';', ' ']));
                are_names.then(|| mark.proving(proven)).ok_or(UnreadableMark)
            }
        }
    }
}

/// Which field holds the mark, and which fields must not be registered without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marking {
    /// The schema name of the lead field that holds the mark.
    pub field: String,
    /// The fields by which people may sign in, by schema name.
    pub identifiers: Vec<String>,
}

impl Marking {
    /// Default field of the mark. Its display name is "Unproven Sign In".
    pub const FIELD: &'static str = "mx_Unproven_Sign_In";

    /// Whether an attribute of an invitation may go to LeadSquared. No form, event or rule may set the mark or a name
    /// that controls the registration.
    pub(crate) fn permits(&self, name: &str) -> bool {
        !self.is_mark(name) && !is_control(name)
    }

    /// Whether this is the mark's field.
    pub(crate) fn is_mark(&self, name: &str) -> bool {
        self.field.eq_ignore_ascii_case(name)
    }

    /// Takes the identifiers, except the e-mail address, out of a lead's fields and returns their names and values. A
    /// value that looks like a phone number counts as an identifier in any field, because the settings may not name
    /// every identifier.
    pub(crate) fn take_identifiers(&self, fields: &mut Attributes) -> Vec<(String, String)> {
        let names: Vec<String> = fields
            .iter()
            .filter(|(name, value)| !name.eq_ignore_ascii_case(EMAIL_ADDRESS) && self.is_identifier(name, value))
            .map(|(name, _)| name.to_owned())
            .collect();
        names.into_iter().filter_map(|name| fields.remove(&name).map(|value| (name, value))).collect()
    }

    fn is_identifier(&self, name: &str, value: &str) -> bool {
        let mut named = PHONE_NUMBERS.into_iter().chain(self.identifiers.iter().map(String::as_str));
        named.any(|identifier| identifier.eq_ignore_ascii_case(name)) || is_international_number(value)
    }
}

impl Default for Marking {
    fn default() -> Self {
        Self { field: Self::FIELD.to_owned(), identifiers: Vec::new() }
    }
}

/// Whether a value is a phone number in the format of our forms, such as `+91-9000000001`.
fn is_international_number(value: &str) -> bool {
    let Some((country, number)) = value.strip_prefix('+').and_then(|rest| rest.split_once('-')) else { return false };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(country) && are_digits(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_a_proof_adds_to_it() {
        for (mark, text) in [
            (Unproven::new(false), "unproven: identifiers"),
            (Unproven::new(true), "unproven: identifiers, password"),
            (
                Unproven::new(true).proving(["Phone", PASSWORD]),
                "unproven: identifiers, password; proven: Phone, password",
            ),
        ] {
            assert_eq!(mark.to_string(), text);
            assert_eq!(text.parse(), Ok(mark));
        }
    }

    #[test]
    fn only_what_is_proven_may_sign_in() {
        let mark = Unproven::new(true).proving(["Phone"]);
        assert!(mark.allows("Phone") && !mark.allows("Mobile") && !mark.allows(PASSWORD));
        assert!(mark.proving([PASSWORD]).allows(PASSWORD));
        assert!(Unproven::new(false).allows(PASSWORD), "a random password is not a typed one");
    }

    #[test]
    fn a_counsellor_vouches_for_everything() {
        let mark: Unproven = " Vouched ".parse().unwrap();
        assert!(mark.allows("Phone#000000000000") && mark.allows(PASSWORD));
        assert_eq!(mark.to_string(), "vouched");
    }

    #[test]
    fn a_proof_is_of_one_value_in_one_field_and_shows_nothing_of_it() {
        let proven = proof("Phone", "+91-9000000001");
        assert!(proven.starts_with("Phone#") && proven.len() == 18 && !proven.contains("9000000001"));
        assert_eq!(proof("mx_PAN", "abcde1234f"), proof("mx_PAN", "ABCDE1234F"));
        assert_ne!(proven, proof("Phone", "+91-9000000002"));
        assert_ne!(proven[6..], proof("Mobile", "+91-9000000001")[7..]);
    }

    #[test]
    fn another_text_is_an_unreadable_mark() {
        for text in [
            "",
            "yes",
            "proven: Phone",
            "unproven: identifiers; proven: ",
            "unproven: identifiers; proven: Phone,Mobile",
            "unproven: identifiers; proven: Phone; proven: Mobile",
            "unproven: identifiers, passwords",
            "UNPROVEN: identifiers",
        ] {
            assert_eq!(text.parse::<Unproven>(), Err(UnreadableMark), "{text}");
        }
    }

    #[test]
    fn identifiers_are_known_by_name_or_by_being_a_number() {
        let marking = Marking { identifiers: vec!["mx_PAN_Number".to_owned()], ..Marking::default() };
        let mut fields = Attributes::new()
            .with("EmailAddress", "asha@example.test")
            .with("FirstName", "Asha")
            .with("phone", "1")
            .with("mx_pan_number", "ABCDE1234F")
            .with("mx_Guardian", "+91-9000000002")
            .with("mx_Score", "+12-3a");
        let taken: Vec<String> = marking.take_identifiers(&mut fields).into_iter().map(|(name, _)| name).collect();
        assert_eq!(taken, ["phone", "mx_pan_number", "mx_Guardian"]);
        let left: Vec<_> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["EmailAddress", "FirstName", "mx_Score"]);
    }
}
