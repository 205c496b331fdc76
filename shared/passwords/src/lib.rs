#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod classes;
mod common;

use std::ops::RangeInclusive;

pub use classes::{Class, Classes, InvalidClasses};
use unicode_normalization::UnicodeNormalization;

/// How long a password may be, in characters.
pub const LENGTH: RangeInclusive<usize> = 8..=128;

/// The rules for a new password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PasswordRules {
    /// The classes of characters that the portal's policy requires.
    pub classes: Classes,
}

/// Why a new password is refused. The text is for the applicant, as the rest of a sentence that begins with the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// The password is too short or too long.
    #[error("must be {} to {} characters long", LENGTH.start(), LENGTH.end())]
    Length,
    /// The password has a line break or another control character, which an input field does not return unchanged.
    #[error("must be one line of plain text")]
    NotPlainText,
    /// The password has no character of these classes, which the portal's policy requires.
    #[error("must have {}", classes::in_words(.0))]
    Classes(Vec<Class>),
    /// The password is on the list of common passwords, or close to one.
    #[error("is one of the most common passwords, or nearly one; choose one that is harder to guess")]
    Common,
}

/// A typed password in the one spelling that is checked, sealed and sent to LeadSquared: Unicode's NFC. Keyboards and
/// browsers write the same accented letter as one code point or as two
/// (<https://www.rfc-editor.org/rfc/rfc8265#section-4.2.2>).
pub fn normalised(typed: &str) -> String {
    typed.nfc().collect()
}

/// Checks only the length and the kind of characters.
///
/// # Errors
/// [`PasswordFault::Length`] or [`PasswordFault::NotPlainText`].
pub fn check_shape(password: &str) -> Result<(), PasswordFault> {
    if !LENGTH.contains(&password.chars().count()) {
        return Err(PasswordFault::Length);
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordFault::NotPlainText);
    }
    Ok(())
}

impl PasswordRules {
    /// Checks a new password against every rule.
    ///
    /// # Errors
    /// The first rule that the password breaks.
    pub fn check(&self, password: &str) -> Result<(), PasswordFault> {
        check_shape(password)?;
        let missing = self.classes.missing_in(password);
        if !missing.is_empty() {
            return Err(PasswordFault::Classes(missing));
        }
        if common::is_common(password) {
            return Err(PasswordFault::Common);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(classes: &str) -> PasswordRules {
        PasswordRules { classes: classes.parse().unwrap() }
    }

    #[test]
    fn the_first_broken_rule_is_reported() {
        let long = "x".repeat(129);
        for (password, detail) in [
            ("Aa1!567", "must be 8 to 128 characters long"),
            (&long, "must be 8 to 128 characters long"),
            ("Aa1!\n678", "must be one line of plain text"),
            ("horse battery", "must have an upper-case letter and a digit"),
            ("P@ssw0rd2024", "is one of the most common passwords, or nearly one; choose one that is harder to guess"),
        ] {
            let fault = rules("upper,digit,lower").check(password).unwrap_err();
            assert_eq!(fault.to_string(), detail, "{password}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_and_a_passphrase_is_accepted() {
        let rules = rules("");
        for password in ["आशाआशाआशा", "correct horse battery staple", &"wörter ".repeat(9), &"ä".repeat(128)]
        {
            assert_eq!(rules.check(password), Ok(()), "{password}");
        }
    }

    #[test]
    fn a_letter_of_two_code_points_is_the_same_as_one() {
        for (typed, expected) in [
            ("Caf\u{65}\u{301} 1234", "Caf\u{e9} 1234"),
            ("Caf\u{e9} 1234", "Caf\u{e9} 1234"),
            ("\u{915}\u{93c} \u{958}", "\u{915}\u{93c} \u{915}\u{93c}"),
            ("\u{1100}\u{1161}\u{11a8}", "\u{ac01}"),
            // Letters that merely look alike stay different.
            ("\u{ff21}\u{2460}", "\u{ff21}\u{2460}"),
            (" Example@Pass1 ", " Example@Pass1 "),
        ] {
            assert_eq!(normalised(typed), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_checked_without_a_panic(password in ".{0,140}|[a-z0-9@$!]{8,20}") {
            let _ = rules("lower,upper,digit,symbol").check(&password);
        }
    }
}
