//! E-mail addresses, in one spelling each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An e-mail address, checked and in its normal spelling: lower case, no surrounding white space, at most 254 bytes.
///
/// The part before the `@` is in lower case too. LeadSquared's match is inferred to ignore the case, and two spellings
/// of one person must never become two people. Quoted local parts and address literals (`"a b"@x`, `a@[127.0.0.1]`) are
/// refused: applicants do not have them, and mail headers and search fields are safer without them.
///
/// ```
/// use leadsquared::EmailAddress;
///
/// let address: EmailAddress = " Asha@Example.com ".parse()?;
/// assert_eq!(address.expose(), "asha@example.com");
/// # Ok::<(), leadsquared::InvalidEmailAddress>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The address as text. It is personal data: send it to LeadSquared and in mail headers, never to a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    /// Checks and normalises.
    ///
    /// # Errors
    /// When the text is no such address.
    fn from_str(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim().to_lowercase();
        let rules =
            email_address::Options::default().with_required_tld().without_domain_literal().without_display_text();
        let plain = text.len() <= 254
            && !text.contains(|c: char| c.is_control() || c.is_whitespace() || "\"<>(),;:\\".contains(c));
        match email_address::EmailAddress::parse_with_options(&text, rules) {
            Ok(_) if plain => Ok(Self(text)),
            _ => Err(InvalidEmailAddress),
        }
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidEmailAddress;

    fn try_from(text: String) -> Result<Self, InvalidEmailAddress> {
        text.parse()
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(hidden)")
    }
}

/// The text is not an e-mail address. The error does not repeat it: with a typing mistake it is personal data all the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address of the form name@example.com")]
pub struct InvalidEmailAddress;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for text in ["asha@example.test", " Asha@Example.TEST\n", "ASHA@EXAMPLE.TEST"] {
            assert_eq!(text.parse::<EmailAddress>().unwrap().expose(), "asha@example.test", "{text:?}");
        }
        assert_eq!("a+b.c@example.test".parse::<EmailAddress>().unwrap().expose(), "a+b.c@example.test");
    }

    #[test]
    fn an_address_that_cannot_receive_mail_is_refused() {
        let long = format!("{}@example.test", "a".repeat(250));
        for text in [
            "",
            "@",
            "asha",
            "asha@",
            "@example.test",
            "asha@localhost",
            "a@[127.0.0.1]",
            "\"a b\"@example.test",
            "Asha <asha@example.test>",
            "a@example.test,b@example.test",
            "a@example.test\r\nBcc: b@example.test",
            &long,
        ] {
            assert_eq!(text.parse::<EmailAddress>(), Err(InvalidEmailAddress), "{text:?}");
        }
    }

    #[test]
    fn it_does_not_print_itself() {
        let address: EmailAddress = "asha@example.test".parse().unwrap();
        assert_eq!(format!("{address:?}"), "EmailAddress(hidden)");
    }

    proptest! {
        #[test]
        fn an_accepted_address_is_normalised(text in ".{0,40}|[A-Za-z.+]{1,8}@[A-Za-z-]{1,8}\\.[A-Za-z]{2,4}") {
            if let Ok(address) = text.parse::<EmailAddress>() {
                prop_assert_eq!(address.expose().parse::<EmailAddress>(), Ok(address.clone()));
            }
        }
    }
}
