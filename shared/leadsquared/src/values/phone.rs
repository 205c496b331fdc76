//! Phone numbers, in one spelling each.

use std::fmt;
use std::str::FromStr;

use isocountry::CountryCode;
use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberType, Region};
use serde::{Deserialize, Serialize};

use super::text::is_invisible;

/// A phone number in the form LeadSquared stores and shows: `+91-9000000001`.
///
/// LeadSquared matches `SearchBy: Phone` by the exact text, so a second spelling would be a second lead. Google's
/// libphonenumber data decide what a number is. An extension is dropped, because LeadSquared's field has no place for
/// it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Phone(String);

impl Phone {
    /// Reads a number that a person or a program wrote, in any usual notation. A number without a country is taken to
    /// be of `default_country`.
    ///
    /// A number of the default country must be one that the country has assigned: a lost digit is the commonest
    /// mistake, and many countries have numbers of several lengths. Of another country's number only the length is
    /// checked: new ranges are in use before they are in the data.
    ///
    /// ```
    /// use leadsquared::{CallingCode, InvalidPhone, Phone};
    ///
    /// let india = CallingCode(91);
    /// assert_eq!(Phone::parse("090000 00001", india)?.expose(), "+91-9000000001");
    /// assert_eq!(Phone::parse("+1 650 253 0000", india)?.expose(), "+1-6502530000");
    /// assert_eq!(Phone::parse("90000 0000", india).unwrap_err().to_string(), "it has one digit too few for India");
    /// # Ok::<(), InvalidPhone>(())
    /// ```
    ///
    /// # Errors
    /// When it is no number, its country is unknown, or its country has no such number.
    pub fn parse(text: &str, default_country: CallingCode) -> Result<Self, InvalidPhone> {
        // With an unknown default country, a number without a country is refused.
        let region = PHONE_NUMBER_UTIL.get_region_for_country_code(i32::from(default_country.0));
        Self::read(text, region, default_country)
    }

    /// Reads a number that names its country, in any usual notation. It is checked as [`parse`](Self::parse) does.
    ///
    /// ```
    /// use leadsquared::{CallingCode, InvalidPhone, Phone};
    ///
    /// let india = CallingCode(91);
    /// assert_eq!(Phone::parse_international("+91 90000 00001", india)?.expose(), "+91-9000000001");
    /// assert_eq!(Phone::parse_international("9000000001", india), Err(InvalidPhone::NoCountry));
    /// # Ok::<(), InvalidPhone>(())
    /// ```
    ///
    /// # Errors
    /// As there, and when it names no country.
    pub fn parse_international(text: &str, default_country: CallingCode) -> Result<Self, InvalidPhone> {
        Self::read(text, None, default_country)
    }

    /// Reads a number. One without a country is of `region`; one of `own_country` must be assigned.
    fn read(text: &str, region: Option<Region>, own_country: CallingCode) -> Result<Self, InvalidPhone> {
        let text = dialled(text)?;
        let read = |text: &str| {
            let number = PHONE_NUMBER_UTIL.parse(text, region).map_err(|error| match error {
                rlibphonenumber::ParseError::InvalidCountryCode if text.contains('+') => InvalidPhone::UnknownCountry,
                rlibphonenumber::ParseError::InvalidCountryCode => InvalidPhone::NoCountry,
                _ => InvalidPhone::NotANumber,
            })?;
            let number = without_old_prefix(number);
            if lacks_calling_code(text, &number, own_country) {
                return Err(InvalidPhone::NoCallingCode(Country(own_country.0)));
            }
            checked(&number, own_country).map(|()| Self::of(&number))
        };
        read(&text).or_else(|error| match text.strip_prefix("00") {
            // The prefix of an international call in most countries, though not in this one.
            Some(number) => read(&format!("+{number}")).map_err(|_| error),
            None => Err(error),
        })
    }

    /// Whether the text is a country's calling code without a number, such as `+91` or `(+91) -`. Widgets for phone
    /// numbers fill it in before anything is typed. Some write no `+`, which is understood for `own_country`.
    pub fn is_only_calling_code(text: &str, own_country: CallingCode) -> bool {
        let Ok(text) = dialled(text) else { return false };
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let is_international = text.contains('+') || digits.starts_with("00");
        let code = digits.trim_start_matches('0');
        // In North America some countries have an area code in their dial code: American Samoa is +1684.
        let has_area_code = code.len() == 4 && code.starts_with('1');
        match code.parse::<CallingCode>() {
            Ok(country) => is_international || (country == own_country && digits == code),
            Err(_) => is_international && (digits.is_empty() || has_area_code),
        }
    }

    /// The number as text. It is personal data: send it to LeadSquared, never to a log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The digits as they are dialled in a country: `9000000001` in India, `919000000001` elsewhere.
    pub(crate) fn digits(&self, country: CallingCode) -> String {
        let number = self.0.strip_prefix(&format!("+{}-", country.0)).unwrap_or(&self.0);
        number.chars().filter(char::is_ascii_digit).collect()
    }

    fn of(number: &PhoneNumber) -> Self {
        Self(format!("+{}-{}", number.country_code, number.get_national_significant_number()))
    }
}

/// The longest text that is read, in bytes. libphonenumber reads 250 characters at most; the regular expressions take
/// long on more.
const TEXT_LIMIT: usize = 250;

/// What programs write before a number, with a colon: a link's scheme, Twilio's channel and Meta's mark for a phone in
/// an export of lead ads.
const SCHEMES: [&str; 3] = ["tel", "whatsapp", "p"];

/// The text as it would be dialled: without invisible characters and an extension, with digits of any script as ASCII
/// digits.
fn dialled(text: &str) -> Result<String, InvalidPhone> {
    if text.len() > TEXT_LIMIT {
        return Err(InvalidPhone::NotANumber);
    }
    let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    // A spreadsheet marks a number as text with an apostrophe.
    let text = visible.trim().trim_start_matches('\'');
    let whole = whole(text);
    let text = whole.as_deref().unwrap_or(text);
    let text = match text.split_once(':') {
        Some((scheme, number)) if SCHEMES.iter().any(|known| scheme.trim().eq_ignore_ascii_case(known)) => number,
        _ => text,
    };
    let text = without_extension(text.trim());
    if is_negative(text) {
        return Err(InvalidPhone::Negative);
    }
    if has_two_ends(text) {
        return Err(InvalidPhone::NotANumber);
    }
    // A number that was stored as a floating-point number has a fraction of zeros.
    let text = match text.split_once('.') {
        Some((number, zeros)) if is_digits(number) && !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => {
            number
        }
        _ => text,
    };
    let dialled: Option<String> = text
        .chars()
        .map(|c| match c {
            '+' | '\u{FF0B}' => Some('+'),
            '.' | '/' | '(' | ')' | '[' | ']' | '~' => Some('-'),
            c if is_dash(c) => Some('-'),
            c if c.is_whitespace() => Some(' '),
            c => PHONE_NUMBER_UTIL.normalize_digits_only(c.to_string()).chars().next(),
        })
        .collect();
    match dialled {
        Some(dialled) => Ok(dialled),
        None if is_rounded(text) => Err(InvalidPhone::Rounded),
        None => Err(InvalidPhone::NotANumber),
    }
}

fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}')
}

/// Whether the text is a negative number: a program calculated it, or a character before the dash was lost. A dash and
/// a space begin an item of a list.
fn is_negative(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(is_dash)
        && characters.next().is_some_and(|c| super::text::ascii_digit(c).is_ascii_digit())
}

/// Whether the number has another end behind a slash, such as `030 1234567/8`, or a fraction, such as `9876543210.5`.
/// A fraction of zeros is cut off elsewhere, if the rest has digits only: behind other marks it may be an extension.
fn has_two_ends(text: &str) -> bool {
    /// The fewest digits of a number. An area code has fewer.
    const NUMBER: usize = 7;
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let has_alternative =
        text.rmatch_indices('/').any(|(at, _)| digits(&text[..at]) >= NUMBER && digits(&text[at..]) > 0);
    let has_fraction = match text.split_once('.') {
        Some((number, fraction)) => {
            (1..=2).contains(&fraction.len())
                && is_digits(fraction)
                && digits(number) >= NUMBER
                && (!is_digits(number) || fraction.bytes().any(|byte| byte != b'0'))
        }
        None => false,
    };
    has_alternative || has_fraction
}

fn is_digits(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number in scientific notation, such as `9.000000001E9`, if all of its digits are there.
fn whole(text: &str) -> Option<String> {
    let (number, exponent) = text.split_once(['e', 'E'])?;
    let (first, rest) = number.split_once('.')?;
    let is_whole = is_digits(rest) && exponent.trim_start_matches('+').parse() == Ok(rest.len());
    (is_whole && is_digits(first)).then(|| format!("{first}{rest}"))
}

/// Whether the text is a number in scientific notation, as a spreadsheet shows a long one. It has lost digits.
fn is_rounded(text: &str) -> bool {
    let parts = text.split_once(['e', 'E']);
    parts.is_some_and(|(number, exponent)| is_digits(&number.replace(['.', ','], "")) && is_digits(exponent))
}

/// The text without a number inside the company, such as `ext. 5`, `x5`, `#5` or `;ext=5`.
fn without_extension(text: &str) -> &str {
    let Some(start) = text.find(|c: char| c.is_ascii_alphabetic() || matches!(c, ';' | '#' | ',')) else { return text };
    let (number, extension) = text.split_at(start);
    let extension = extension.trim_start_matches([';', ',', ' ']).to_ascii_lowercase();
    let marks = ["extension", "extn", "ext", "x", "#"];
    let digits =
        marks.iter().find_map(|mark| extension.strip_prefix(mark)).map(|rest| rest.trim_matches(['.', ':', '=', ' ']));
    match digits {
        Some(digits) if digits.len() <= 7 && is_digits(digits) => number,
        _ => text,
    }
}

/// The number without the 1 that was dialled before a mobile number in Mexico until 2019. Contacts and WhatsApp still
/// have it (<https://www.itu.int/oth/T0202000089/en>).
fn without_old_prefix(number: PhoneNumber) -> PhoneNumber {
    const MEXICO: i32 = 52;
    const PREFIX: u64 = 10_000_000_000;
    let newer = PhoneNumber { national_number: number.national_number % PREFIX, ..number.clone() };
    let has_prefix = number.country_code == MEXICO && number.national_number / PREFIX == 1;
    if has_prefix && PHONE_NUMBER_UTIL.is_valid_number(&newer) { newer } else { number }
}

/// Whether a `+` was typed in place of the calling code: the digits are a mobile number of the own country, and the
/// country of the first digits has no such number. Which number is meant is unknown.
fn lacks_calling_code(text: &str, number: &PhoneNumber, own_country: CallingCode) -> bool {
    if number.country_code == i32::from(own_country.0) || is_in_use(number) {
        return false;
    }
    let region = PHONE_NUMBER_UTIL.get_region_for_country_code(i32::from(own_country.0));
    let is_own_mobile = |text: &str| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let digits = digits.trim_start_matches('0');
        let Ok(own) = PHONE_NUMBER_UTIL.parse(digits, region) else { return false };
        // Reading drops a calling code or a trunk prefix, and then the digits are not those of one number.
        let is_whole = own.get_national_significant_number() == digits;
        let mobile = [PhoneNumberType::Mobile, PhoneNumberType::FixedLineOrMobile];
        is_whole && mobile.contains(&PHONE_NUMBER_UTIL.get_number_type(&own))
    };
    // Without the other country's trunk prefix, the digits may be another number.
    is_own_mobile(text) || is_own_mobile(&Phone::of(number).0)
}

/// Whether the number's country has this number, or most numbers of its length that begin with the same two digits: a
/// number is in use before it is in the data.
fn is_in_use(number: &PhoneNumber) -> bool {
    const MOST: usize = 4;
    let digits = number.get_national_significant_number();
    let similar = |digit: u8| {
        let (beginning, rest) = digits.split_at_checked(2).filter(|_| !digits.starts_with('0'))?;
        let national_number = format!("{beginning}{}", digit.to_string().repeat(rest.len())).parse().ok()?;
        Some(PhoneNumber { national_number, ..number.clone() })
    };
    let similar = (2..=9).filter_map(similar).filter(|number| PHONE_NUMBER_UTIL.is_valid_number(number));
    PHONE_NUMBER_UTIL.is_valid_number(number) || similar.count() >= MOST
}

/// Checks that the number's country can have it, and has it if it is the default country.
fn checked(number: &PhoneNumber, default_country: CallingCode) -> Result<(), InvalidPhone> {
    let is_possible = |number: &PhoneNumber| {
        PHONE_NUMBER_UTIL.is_possible_number_with_reason(number) == Ok(NumberLengthType::IsPossible)
    };
    let is_assigned = |number: &PhoneNumber| PHONE_NUMBER_UTIL.is_valid_number(number);
    let is_own = number.country_code == i32::from(default_country.0);
    let is_right =
        |number: &PhoneNumber| is_possible(number) && is_storable(number) && (!is_own || is_assigned(number));
    if is_right(number) {
        return Ok(());
    }
    let country = Country(u16::try_from(number.country_code).map_err(|_| InvalidPhone::UnknownCountry)?);
    if PHONE_NUMBER_UTIL.is_possible_number_with_reason(number) == Ok(NumberLengthType::IsPossibleLocalOnly) {
        return Err(InvalidPhone::NoAreaCode(country));
    }
    let with = |national_number| PhoneNumber { national_number, ..number.clone() };
    for (digits, power) in [(1, 10), (2, 100), (3, 1_000), (4, 10_000)] {
        // Any digit may be the missing one, so the missing ones are tried as 0000, 1111 and so on.
        let longer = |digit: u64| Some(number.national_number.checked_mul(power)? + digit * ((power - 1) / 9));
        if (0..=9).filter_map(longer).any(|number| is_right(&with(number))) {
            return Err(InvalidPhone::TooFewDigits { digits, country });
        }
        if is_right(&with(number.national_number / power)) {
            return Err(InvalidPhone::TooManyDigits { digits, country });
        }
    }
    Err(InvalidPhone::NotAssigned(country))
}

/// Whether the number has at most the 15 digits of E.164 (<https://www.itu.int/rec/T-REC-E.164>), and its stored form
/// reads back as the same number. Reading drops a country's trunk prefix, such as 0, and would drop a second one when
/// the number is read again.
fn is_storable(number: &PhoneNumber) -> bool {
    let phone = Phone::of(number);
    let digits = phone.0.bytes().filter(u8::is_ascii_digit).count();
    digits <= 15 && (!phone.0.contains("-0") || phone.0.parse() == Ok(phone))
}

impl FromStr for Phone {
    type Err = InvalidPhone;

    /// Reads a number that names its country, such as one that was normalised before. Only its length is checked.
    ///
    /// # Errors
    /// When it names no country, or cannot be a number of that country.
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        if text.len() > TEXT_LIMIT {
            return Err(InvalidPhone::NotANumber);
        }
        let number = PHONE_NUMBER_UTIL.parse(text, None).map_err(|_| InvalidPhone::NotANumber)?;
        if !PHONE_NUMBER_UTIL.is_possible_number(&number) {
            return Err(InvalidPhone::NotANumber);
        }
        Ok(Self::of(&number))
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

impl CallingCode {
    /// Reads one number of the country, so that the next one is read in microseconds. The first one in a process takes
    /// milliseconds, because the data of all countries are decoded then. Call this while a process starts.
    pub fn prepare(self) {
        let region = PHONE_NUMBER_UTIL.get_region_for_country_code(i32::from(self.0));
        let mobile = |region| PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, PhoneNumberType::Mobile);
        if let Some(Ok(number)) = region.map(mobile) {
            // Only the time counts, not the result.
            let _ = Phone::parse(&number.national_number.to_string(), self);
        }
    }
}

impl FromStr for CallingCode {
    type Err = UnknownCallingCode;

    /// Reads `91` or `+91`.
    ///
    /// # Errors
    /// When no country has this code.
    fn from_str(text: &str) -> Result<Self, UnknownCallingCode> {
        let digits = text.trim().trim_start_matches('+');
        let code = digits.parse().map_err(|_| UnknownCallingCode)?;
        PHONE_NUMBER_UTIL.get_region_for_country_code(i32::from(code)).map(|_| Self(code)).ok_or(UnknownCallingCode)
    }
}

/// No country has this calling code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no country has this calling code; India, for example, has 91")]
pub struct UnknownCallingCode;

/// The country of a number by its calling code. `Display` writes its English name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country(u16);

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = PHONE_NUMBER_UTIL.get_region_for_country_code(i32::from(self.0));
        let country = region.and_then(|region| CountryCode::for_alpha2(&region.to_string()).ok());
        match country {
            Some(country) => f.write_str(country.name()),
            None => write!(f, "the calling code +{}", self.0),
        }
    }
}

/// Why a text is not a phone number. No variant repeats the text: with a typing mistake it is personal data all the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhone {
    /// It has characters that no number has, no digits, or two numbers.
    #[error("it is not one phone number")]
    NotANumber,
    /// It begins with a minus sign.
    #[error("it is a negative number; send it without the minus sign")]
    Negative,
    /// It is in scientific notation, such as `9.19E+11`.
    #[error("a spreadsheet has rounded it; send the number as text")]
    Rounded,
    /// It has no country, and there is no default one.
    #[error("it names no country; begin it with + and the country's calling code")]
    NoCountry,
    /// It begins with `+`, and no country has the calling code that follows.
    #[error("no country has the calling code that it begins with")]
    UnknownCountry,
    /// It begins with `+`, and the digits behind it are a mobile number without its calling code.
    #[error("it begins with + and has no calling code for {0}")]
    NoCallingCode(Country),
    /// It can be dialled only from inside its area.
    #[error("it has no area code for {0}")]
    NoAreaCode(Country),
    /// Digits are missing.
    #[error("it has {} too few for {country}", in_words(*digits))]
    TooFewDigits {
        /// How many, from 1 to 4.
        digits: u8,
        /// The number's country.
        country: Country,
    },
    /// There are more digits than a number of the country has.
    #[error("it has {} too many for {country}", in_words(*digits))]
    TooManyDigits {
        /// How many, from 1 to 4.
        digits: u8,
        /// The number's country.
        country: Country,
    },
    /// The country has no such number, or none of this length.
    #[error("{0} has no such number")]
    NotAssigned(Country),
}

fn in_words(digits: u8) -> String {
    match digits {
        1 => "one digit".to_owned(),
        2 => "two digits".to_owned(),
        3 => "three digits".to_owned(),
        digits => format!("{digits} digits"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INDIA: CallingCode = CallingCode(91);

    #[test]
    fn a_negative_number_is_refused_with_its_reason() {
        for text in
            ["-9000000001", "\u{2212}9000000001", " -919000000001", "tel:-9000000001", "-९००००००००१", "-9000000001.0"]
        {
            assert_eq!(Phone::parse(text, INDIA), Err(InvalidPhone::Negative), "{text}");
        }
        for text in ["- 9000000001", "+-9000000001", "(-)9000000001"] {
            assert_ne!(Phone::parse(text, INDIA), Err(InvalidPhone::Negative), "{text}");
        }
    }

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
    fn what_cannot_be_a_number_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "it is not one phone number"),
            ("asha@example.test", "it is not one phone number"),
            ("9000000001 or 9000000002", "it is not one phone number"),
            ("9000000001, 9000000002", "it is not one phone number"),
            ("9000000001ab", "it is not one phone number"),
            ("9.00E+09", "a spreadsheet has rounded it; send the number as text"),
            ("9,19e11", "a spreadsheet has rounded it; send the number as text"),
            ("4.47900E+11", "a spreadsheet has rounded it; send the number as text"),
            ("1.9143100000101E+18", "a spreadsheet has rounded it; send the number as text"),
            ("0123456789", "it has one digit too few for India"),
            ("+521 00 0000 0000", "it has one digit too many for Mexico"),
            ("+9000000001", "it begins with + and has no calling code for India"),
            ("00 9000000001", "it begins with + and has no calling code for India"),
            ("+8123456789", "it begins with + and has no calling code for India"),
            ("+9212345678", "it begins with + and has no calling code for India"),
            ("+81 0 23456789", "it begins with + and has no calling code for India"),
            ("+9876543210", "it begins with + and has no calling code for India"),
            ("null", "it is not one phone number"),
            ("+999-9000000001", "no country has the calling code that it begins with"),
            ("560001", "it has no area code for India"),
            ("98765432", "it has two digits too few for India"),
            ("987654321", "it has one digit too few for India"),
            ("+91-90000", "India has no such number"),
            ("98765432109", "it has one digit too many for India"),
            ("900000000112", "it has two digits too many for India"),
            ("90000000010000000", "India has no such number"),
            ("5000000000", "India has no such number"),
            ("+1 650 253 000", "it has one digit too few for United States of America"),
            ("+1 253 0000", "it has no area code for United States of America"),
            ("+49 1", "it is not one phone number"),
        ] {
            assert_eq!(Phone::parse(text, INDIA).expect_err(text).to_string(), reason, "{text}");
        }
        assert!("9000000001".parse::<Phone>().is_err(), "without a country there is no default");
        assert!(Phone::parse("9000000001", CallingCode(999)).is_err());
        for code in ["", "x", "999", "-91", "99999999"] {
            assert_eq!(code.parse::<CallingCode>(), Err(UnknownCallingCode), "{code}");
        }
    }

    #[test]
    fn a_number_that_programs_spoilt_is_understood() {
        for text in [
            "9000000001.0",
            "919000000001.00",
            "+919000000001.0",
            "'9000000001",
            "TEL:9000000001",
            "whatsapp:+919000000001",
            "p:+919000000001",
            "p : 9000000001",
            "9000000001 x5",
            "9000000001,ext 5",
            "9000000001;ext=5",
            "\u{202A}+91 90000\u{A0}00001\u{202C}",
            "९०००००० ००१",
            "\u{FF0B}91-\u{FF19}000000001",
            "+91–90000–00001",
            "+91 (0) 90000 00001",
        ] {
            assert_eq!(Phone::parse(text, INDIA).map(String::from).as_deref(), Ok("+91-9000000001"), "{text}");
        }
        for (text, stored) in [
            // Ranges in India that are new or look like no number, and a possible number of another country.
            ("1234567890", "+91-1234567890"),
            ("+91 79099 86459", "+91-7909986459"),
            ("7011234567", "+91-7011234567"),
            ("+917988095113", "+91-7988095113"),
            ("+6086178113", "+60-86178113"),
            // A number of Singapore, of which the digits are a mobile number of India too.
            ("+6591234567", "+65-91234567"),
            ("+52 1 55 1234 5678", "+52-5512345678"),
            ("+521 55 1234 5678", "+52-5512345678"),
            ("whatsapp:+919745786257", "+91-9745786257"),
            ("+91 90329 85387", "+91-9032985387"),
        ] {
            assert_eq!(Phone::parse(text, INDIA).map(String::from).as_deref(), Ok(stored), "{text}");
        }
        let america = CallingCode(1);
        assert!(Phone::parse("+910000001000", america).is_err(), "the trunk prefix, 0, is there more than once");
        assert!(Phone::parse("+81 16381800520511354", INDIA).is_err(), "no number has 19 digits");
        assert_eq!(Phone::parse("0091 9000000001", america).unwrap().expose(), "+91-9000000001");
        assert_eq!(Phone::parse("011 91 9000000001", america).unwrap().expose(), "+91-9000000001");
    }

    #[test]
    fn an_international_number_names_its_country() {
        for text in ["+919000000001", "+91-9000000001", "+91 90000 00001", "00919000000001", "tel:+91-90000-00001"] {
            assert_eq!(
                Phone::parse_international(text, INDIA).map(String::from).as_deref(),
                Ok("+91-9000000001"),
                "{text}"
            );
        }
        for (text, reason) in [
            ("9000000001", "it names no country; begin it with + and the country's calling code"),
            ("919000000001", "it names no country; begin it with + and the country's calling code"),
            ("+999 9000000001", "no country has the calling code that it begins with"),
            ("+91 900000001", "it has one digit too few for India"),
            ("+91", "it is not one phone number"),
            ("", "it is not one phone number"),
        ] {
            assert_eq!(Phone::parse_international(text, INDIA).expect_err(text).to_string(), reason, "{text}");
        }
    }

    #[test]
    fn a_number_with_two_ends_is_refused_where_both_may_be_numbers() {
        let (germany, austria) = (CallingCode(49), CallingCode(43));
        for (text, country) in [
            ("030 1234567/8", germany),
            ("030 123456/57", germany),
            ("030/1234567/8", germany),
            ("0664 1234567.5", austria),
            ("0664 1234567/2", austria),
            ("+49-301234567.0", germany),
            ("+49 30 1234567.0", germany),
            ("0664 1234567.00", austria),
        ] {
            assert_eq!(Phone::parse(text, country), Err(InvalidPhone::NotANumber), "{text}");
        }
        for (text, stored) in [("030/1234567", "+49-301234567"), ("+49 30 123.45.67", "+49-301234567")] {
            assert_eq!(Phone::parse(text, germany).map(String::from).as_deref(), Ok(stored), "{text}");
        }
    }

    #[test]
    fn a_number_in_scientific_notation_is_read_if_no_digit_is_lost() {
        for text in ["9.000000001E9", "9.000000001e+9", "+9.19000000001E11"] {
            assert_eq!(Phone::parse(text, INDIA).map(String::from).as_deref(), Ok("+91-9000000001"), "{text}");
        }
        for text in ["9.00000001E9", "9E9", "9.0000000012E9"] {
            assert_eq!(Phone::parse(text, INDIA), Err(InvalidPhone::Rounded), "{text}");
        }
    }

    #[test]
    fn an_endless_text_is_no_number() {
        let endless = "9".repeat(10_000);
        assert_eq!(Phone::parse(&endless, INDIA), Err(InvalidPhone::NotANumber));
        assert_eq!(endless.parse::<Phone>(), Err(InvalidPhone::NotANumber));
    }

    #[test]
    fn the_country_of_a_form_can_be_prepared() {
        for country in [INDIA, CallingCode(1), CallingCode(999)] {
            country.prepare();
        }
    }

    #[test]
    fn a_calling_code_alone_is_recognised() {
        for text in ["+91", "+91-", "+", "+ 91 ", "(+91)", "0091", "+1", "\u{FF0B}91", "+39", "+1684", "+1 (684)", "91"]
        {
            assert!(Phone::is_only_calling_code(text, INDIA), "{text}");
        }
        for text in ["", "9000000001", "+91 9", "+999", "+9999", "x", "+919000000001", "1", "091", "1684", "+16841"] {
            assert!(!Phone::is_only_calling_code(text, INDIA), "{text}");
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
