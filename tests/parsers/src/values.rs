//! Values that have types of their own in LeadSquared's client: phone numbers, e-mail addresses and date-times.

use leadsquared::{CallingCode, EmailAddress, Phone, date_time, text};
use time::UtcDateTime;

/// The most digits of a number with its country, by E.164.
const LONGEST_PHONE: usize = 15;

/// An input is a text in UTF-8.
pub(crate) fn check_phone(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for country in [crate::INDIA, CallingCode(1), CallingCode(39), CallingCode(54)] {
        match Phone::parse(text, country) {
            Ok(phone) => {
                assert_stored_form(&phone);
                assert_eq!(Phone::parse(phone.expose(), country).as_ref(), Ok(&phone));
                assert_eq!(Phone::parse_international(phone.expose(), country).as_ref(), Ok(&phone));
                assert_eq!(phone.expose().parse().as_ref(), Ok(&phone));
                assert!(!Phone::is_only_calling_code(text, country), "{text:?} is a number");
                assert_typed(text, &phone);
            }
            Err(reason) => assert!(!reason.to_string().is_empty()),
        }
    }
    if let Ok(phone) = Phone::parse_international(text, crate::INDIA) {
        assert_eq!(Phone::parse(text, crate::INDIA), Ok(phone), "the default country is for numbers without one");
    }
}

/// `+`, the country's code, a hyphen, and the number.
fn assert_stored_form(phone: &Phone) {
    let (country, number) = phone.expose().strip_prefix('+').and_then(|text| text.split_once('-')).expect("both parts");
    assert!(country.parse::<CallingCode>().is_ok(), "{country}");
    assert!(number.len() > 1 && number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
    assert!(country.len() + number.len() <= LONGEST_PHONE, "{country} {number}");
}

/// In India nothing is rewritten: the stored digits are those that were typed, after at most a prefix.
fn assert_typed(typed: &str, phone: &Phone) {
    let Some(number) = phone.expose().strip_prefix("+91-") else { return };
    let digits = typed.chars().filter_map(|c| char::to_digit(text::ascii_digit(c), 10));
    let digits: String = digits.filter_map(|digit| char::from_digit(digit, 10)).collect();
    assert!(digits.contains(number), "{number} was not typed: {typed:?}");
}

/// An input is a text in UTF-8.
pub(crate) fn check_email(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<EmailAddress>() {
        Ok(address) => {
            let stored = address.expose();
            assert_eq!(stored.parse().as_ref(), Ok(&address));
            assert_eq!(EmailAddress::try_from(stored.to_owned()).as_ref(), Ok(&address));
            assert!(stored.is_ascii() && stored.len() <= 254 && stored == stored.to_lowercase(), "{stored:?}");
            assert!(!stored.contains(|c: char| c.is_control() || c.is_whitespace() || "\"<>(),;:\\".contains(c)));
            let (local, domain) = stored.rsplit_once('@').expect("it is an address");
            assert!(!local.is_empty() && !local.contains('@') && domain.contains('.'), "{stored:?}");
        }
        Err(reason) => crate::assert_own_words(&reason.to_string()),
    }
}

/// An input is a text in UTF-8.
pub(crate) fn check_date_time(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(at) = date_time::read(text) else { return };
    // LeadSquared's own form has years of four digits and no fractions of a second.
    if (0..=9999).contains(&at.year()) {
        let written = date_time::write(at);
        let to_the_second = UtcDateTime::from_unix_timestamp(at.unix_timestamp());
        assert_eq!(date_time::read(&written), to_the_second.ok(), "{text:?} is written {written}");
    }
}
