//! Phone numbers, in one spelling each.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber};
use serde::{Deserialize, Serialize};

/// A phone number in the form LeadSquared stores and shows: `+91-9000000001`.
///
/// LeadSquared matches `SearchBy: Phone` by the exact text, so a second spelling would be a second lead. Google's
/// libphonenumber data decide what a number is. Only its length is checked: new ranges are in use before they are in
/// the data. An extension is dropped, because LeadSquared's field has no place for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Phone(String);

impl Phone {
    /// Reads a number in any usual notation. A number without a country is taken to be of `default_country`.
    ///
    /// ```
    /// use leadsquared::{CallingCode, Phone};
    ///
    /// let india = CallingCode(91);
    /// assert_eq!(Phone::parse("090000 00001", india)?.expose(), "+91-9000000001");
    /// assert_eq!(Phone::parse("+1 650 253 0000", india)?.expose(), "+1-6502530000");
    /// # Ok::<(), leadsquared::InvalidPhone>(())
    /// ```
    ///
    /// # Errors
    /// When it cannot be a number of its country, or the country is unknown.
    pub fn parse(text: &str, default_country: CallingCode) -> Result<Self, InvalidPhone> {
        // With an unknown default country, a number without a country is refused.
        let region = PHONE_NUMBER_UTIL.get_region_for_country_code(i32::from(default_country.0));
        Self::normalise(PHONE_NUMBER_UTIL.parse(text, region).map_err(|_| InvalidPhone)?)
    }

    /// The number as text. It is personal data: send it to LeadSquared, never to a log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn normalise(number: PhoneNumber) -> Result<Self, InvalidPhone> {
        if !PHONE_NUMBER_UTIL.is_possible_number(&number) {
            return Err(InvalidPhone);
        }
        Ok(Self(format!("+{}-{}", number.country_code, number.get_national_significant_number())))
    }
}

impl FromStr for Phone {
    type Err = InvalidPhone;

    /// Reads a number that names its country, such as one that was normalised before.
    ///
    /// # Errors
    /// When it names no country, or cannot be a number of that country.
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        Self::normalise(PHONE_NUMBER_UTIL.parse(text, None).map_err(|_| InvalidPhone)?)
    }
}

impl TryFrom<String> for Phone {
    type Error = InvalidPhone;

    fn try_from(text: String) -> Result<Self, InvalidPhone> {
        text.parse()
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> Self {
        phone.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(hidden)")
    }
}

/// A country by its calling code: 91 is India. An account's own is [`User::default_country_code`](crate::crm::User).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallingCode(pub u16);

impl FromStr for CallingCode {
    type Err = InvalidPhone;

    /// Reads `91` or `+91`.
    ///
    /// # Errors
    /// When no country has this code.
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        let digits = text.trim().trim_start_matches('+');
        let code = digits.parse().map_err(|_| InvalidPhone)?;
        PHONE_NUMBER_UTIL.get_region_for_country_code(i32::from(code)).map(|_| Self(code)).ok_or(InvalidPhone)
    }
}

/// The text is not a phone number. The error does not repeat it: with a typing mistake it is personal data all the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a phone number; write it with its country, such as +91-9000000001")]
pub struct InvalidPhone;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INDIA: CallingCode = CallingCode(91);

    #[test]
    fn every_notation_of_a_number_becomes_the_same() {
        for text in [
            "9000000001",
            "90000 00001",
            "09000000001",
            "919000000001",
            "+919000000001",
            "+91-9000000001",
            "+91 (90000) 00001",
            "0091 9000000001",
            "tel:+91-90000-00001",
            "+91 90000 00001 ext. 5",
        ] {
            assert_eq!(Phone::parse(text, INDIA).map(String::from).as_deref(), Ok("+91-9000000001"), "{text}");
        }
    }

    #[test]
    fn another_country_is_kept_and_so_is_its_leading_zero() {
        assert_eq!(Phone::parse("+1 650 253 0000", INDIA).unwrap().expose(), "+1-6502530000");
        assert_eq!(Phone::parse("+39 06 6982 1234", INDIA).unwrap().expose(), "+39-0669821234");
        assert_eq!(Phone::parse("650 253 0000", "+1".parse().unwrap()).unwrap().expose(), "+1-6502530000");
    }

    #[test]
    fn a_text_that_is_no_phone_number_is_refused() {
        for text in ["", "123", "asha@example.test", "+91", "+91-90000", "+999-9000000001", "90000000010000000"] {
            assert_eq!(Phone::parse(text, INDIA), Err(InvalidPhone), "{text}");
        }
        assert_eq!("9000000001".parse::<Phone>(), Err(InvalidPhone), "without a country there is no default");
        assert_eq!(Phone::parse("9000000001", CallingCode(999)), Err(InvalidPhone));
        for code in ["", "x", "999", "-91", "99999999"] {
            assert_eq!(code.parse::<CallingCode>(), Err(InvalidPhone), "{code}");
        }
    }

    #[test]
    fn it_does_not_print_itself() {
        assert_eq!(format!("{:?}", Phone::parse("9000000001", INDIA).unwrap()), "Phone(hidden)");
    }

    proptest! {
        #[test]
        fn an_accepted_address_is_normalised(text in ".{0,24}|\\+?[0-9 ()-]{5,18}") {
            if let Ok(phone) = Phone::parse(&text, INDIA) {
                prop_assert_eq!(phone.expose().parse::<Phone>(), Ok(phone.clone()));
            }
        }
    }
}
