//! E-mail addresses, in one spelling each.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};

use super::text;

/// The most bytes of an address in a mail (<https://www.rfc-editor.org/errata/eid1690>).
const LONGEST: usize = 254;

/// The most bytes before the `@` (<https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.1>).
const LONGEST_LOCAL_PART: usize = 64;

/// An e-mail address, checked and in its normal spelling: lower case, no surrounding white space, at most 254 bytes.
///
/// The part before the `@` is in lower case too. LeadSquared's match is inferred to ignore the case, and two spellings
/// of one person must never become two people. An internationalised domain is in its ASCII form (`xn--…`).
///
/// What no mail reaches is refused. So are quoted local parts and address literals (`"a b"@x`, `a@[127.0.0.1]`) and
/// local parts beyond ASCII: mail headers and search fields are safer without them, and mail to the last kind needs
/// SMTPUTF8 (<https://www.rfc-editor.org/rfc/rfc6531>) on every server on its way.
///
/// ```
/// use leadsquared::EmailAddress;
///
/// let address: EmailAddress = " Asha@Example.com ".parse()?;
/// assert_eq!(address.expose(), "asha@example.com");
/// let address: EmailAddress = "asha@bücher.example".parse()?;
/// assert_eq!(address.expose(), "asha@xn--bcher-kva.example");
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

    /// The spellings under which this address may be stored, this one first. Earlier versions kept an internationalised
    /// domain as it was typed.
    ///
    /// ```
    /// use leadsquared::EmailAddress;
    ///
    /// let typed: EmailAddress = "asha@bücher.example".parse()?;
    /// let spellings: Vec<_> = typed.spellings().iter().map(|one| one.expose().to_owned()).collect();
    /// assert_eq!(spellings, ["asha@xn--bcher-kva.example", "asha@bücher.example"]);
    /// # Ok::<(), leadsquared::InvalidEmailAddress>(())
    /// ```
    pub fn spellings(&self) -> Vec<Self> {
        let in_unicode = |(local, domain): (&str, &str)| format!("{local}@{}", idna::domain_to_unicode(domain).0);
        let in_unicode = self.0.rsplit_once('@').map(in_unicode).and_then(|text| Self::normal(&text).ok());
        let mut all = vec![self.clone()];
        for other in [self.0.parse().ok(), in_unicode].into_iter().flatten() {
            if !all.contains(&other) {
                all.push(other);
            }
        }
        all
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    /// Reads an address that a person or a program wrote. Invisible characters, brackets, quotation marks, commas and
    /// semicolons around it, `mailto:` before it and a full stop after it are ignored.
    ///
    /// # Errors
    /// When the text is not one address that mail can be sent to. The error says why.
    fn from_str(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text::trim(text).trim_matches(|c: char| "<>()'\",;".contains(c));
        let text = match text.split_at_checked(7) {
            Some((scheme, address)) if scheme.eq_ignore_ascii_case("mailto:") => address,
            _ => text,
        };
        if text.contains(text::is_invisible) {
            return Err(InvalidEmailAddress::Invisible);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmailAddress::Form)?;
        if local.contains('@') {
            return Err(InvalidEmailAddress::Several);
        }
        if local.contains('<') {
            return Err(InvalidEmailAddress::WithName);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(InvalidEmailAddress::Form);
        }
        // RFC 5322, section 3.2.3 (<https://www.rfc-editor.org/rfc/rfc5322#section-3.2.3>).
        let is_permitted = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        if !local.chars().all(is_permitted) {
            return Err(InvalidEmailAddress::NotAscii);
        }
        if local.len() > LONGEST_LOCAL_PART || text.len() > LONGEST {
            return Err(InvalidEmailAddress::TooLong);
        }
        Self::normal(&format!("{local}@{}", ascii_domain(domain.strip_suffix('.').unwrap_or(domain))?))
    }
}

/// The domain in its ASCII form.
fn ascii_domain(domain: &str) -> Result<String, InvalidEmailAddress> {
    // Hyphens in the third and fourth place are checked behind `xn` only: names such as `r3---sn.example.com` exist.
    let (characters, hyphens) = (AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), characters, hyphens, DnsLength::Verify);
    let ascii = ascii.map_err(|_| InvalidEmailAddress::Domain)?.into_owned();
    // Full-width letters and the like become others on the way, so the typed domain is not what a reader takes it for.
    if !domain.is_ascii() && idna::domain_to_unicode(&ascii).0 != domain.to_lowercase() {
        return Err(InvalidEmailAddress::LookAlike);
    }
    // No top-level domain has a digit, except in the ASCII form (<https://www.rfc-editor.org/rfc/rfc3696#section-2>).
    let is_top_level = |label: &str| {
        label.starts_with("xn--") || (label.len() > 1 && label.bytes().all(|byte| byte.is_ascii_alphabetic()))
    };
    let last = ascii.rsplit_once('.').map(|(_, last)| last).filter(|last| is_top_level(last));
    let last = last.ok_or(InvalidEmailAddress::Domain)?;
    if let Some((typed, meant)) = slip(last) {
        return Err(InvalidEmailAddress::Slip { typed, meant });
    }
    if let Some(unreachable) = UNREACHABLE.iter().find(|domain| **domain == last) {
        return Err(InvalidEmailAddress::Unreachable(unreachable));
    }
    let in_unicode = idna::domain_to_unicode(&ascii).0;
    if in_unicode.split('.').any(mixes_alphabets) {
        return Err(InvalidEmailAddress::MixedAlphabets);
    }
    Ok(ascii)
}

/// Slips of the keyboard in the commonest top-level domains, and what was meant: letters in another order, a letter
/// twice, and a key beside the right one. A common provider's domain with such an end is a typing mistake, and mail to
/// it bounces.
///
/// None of them is a top-level domain (<https://data.iana.org/TLD/tlds-alpha-by-domain.txt>, November 2026), and ICANN
/// adds none that is confusingly similar to an existing one
/// (<https://newgtlds.icann.org/en/applicants/agb/evaluation-procedures-04jun12-en.pdf>, section 2.2.1.1). Ends that
/// exist, such as `.co`, `.cm`, `.om`, `.cam`, `.ne` and `.ong`, are not here. Nor are other ends of two letters, which
/// are kept for countries, and words that may become a top-level domain, such as `.dom` or `.met`.
const SLIPS: [(&str, &[&str]); 3] = [
    (
        "com",
        &[
            "ccom", "cim", "ciom", "ckm", "clm", "cmo", "coim", "coj", "cok", "coml", "comm", "comn", "con", "conm",
            "coom", "copm", "cpm", "cpom", "ocm", "vom", "xom",
        ],
    ),
    ("net", &["neet", "nett", "nnet", "nrt", "nte", "nwt"]),
    ("org", &["irg", "ogr", "oorg", "orgg", "orh", "orrg", "prg"]),
];

/// The slip that the last label of a domain is, and what was meant.
fn slip(last: &str) -> Option<(&'static str, &'static str)> {
    let mut all = SLIPS.iter().flat_map(|(meant, slips)| slips.iter().map(|typed| (*typed, *meant)));
    all.find(|(typed, _)| *typed == last)
}

/// Last labels that are no part of the public domain system
/// (<https://www.iana.org/assignments/special-use-domain-names>). `test` and `example` are not here: systems under test
/// use them.
const UNREACHABLE: [&str; 8] = ["alt", "arpa", "internal", "invalid", "local", "localdomain", "localhost", "onion"];

/// The blocks of Latin letters beyond ASCII.
const LATIN: [RangeInclusive<char>; 4] =
    ['\u{AA}'..='\u{2AF}', '\u{1E00}'..='\u{1EFF}', '\u{2C60}'..='\u{2C7F}', '\u{A720}'..='\u{A7FF}'];

/// The blocks of letters that look like Latin ones: Greek, Coptic, Cyrillic, Armenian, Cherokee and Lisu.
const LIKE_LATIN: [RangeInclusive<char>; 9] = [
    '\u{370}'..='\u{58F}',
    '\u{13A0}'..='\u{13FF}',
    '\u{1C80}'..='\u{1C8F}',
    '\u{1F00}'..='\u{1FFF}',
    '\u{2C80}'..='\u{2CFF}',
    '\u{2DE0}'..='\u{2DFF}',
    '\u{A4D0}'..='\u{A4FF}',
    '\u{A640}'..='\u{A69F}',
    '\u{AB70}'..='\u{ABBF}',
];

/// Whether a label has Latin letters beside letters of an alphabet that look like them, as when the keyboard was
/// switched in the middle of a word. Which other scripts stand beside Latin letters is the decision of a top-level
/// domain's registry (<https://www.unicode.org/reports/tr39/#Mixed_Script_Confusables>).
fn mixes_alphabets(label: &str) -> bool {
    let is_in = |blocks: &[RangeInclusive<char>], c: char| blocks.iter().any(|block| block.contains(&c));
    label.contains(|c: char| c.is_ascii_alphabetic() || is_in(&LATIN, c)) && label.contains(|c| is_in(&LIKE_LATIN, c))
}

impl EmailAddress {
    /// An address in its normal spelling: the rules that every version had.
    fn normal(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim().to_lowercase();
        let rules =
            email_address::Options::default().with_required_tld().without_domain_literal().without_display_text();
        let plain = text.len() <= LONGEST
            && !text.contains(|c: char| c.is_control() || c.is_whitespace() || "\"<>(),;:\\".contains(c));
        match email_address::EmailAddress::parse_with_options(&text, rules) {
            Ok(_) if plain => Ok(Self(text)),
            _ => Err(InvalidEmailAddress::Form),
        }
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidEmailAddress;

    /// Reads an address that was stored. Addresses that earlier versions accepted stay valid.
    fn try_from(text: String) -> Result<Self, InvalidEmailAddress> {
        Self::normal(&text)
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

/// Why a text is not an e-mail address. No variant repeats the text: with a typing mistake it is personal data all the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmailAddress {
    /// It has another form.
    #[error("it lacks the @, has spaces, or has a full stop where none can be")]
    Form,
    /// It has several addresses, or two `@`.
    #[error("it has more than one @")]
    Several,
    /// It has a person's name before it.
    #[error("it has a name before the address; send the address alone")]
    WithName,
    /// It has more characters than an address can have.
    #[error("it is too long: at most 64 characters before the @, and 254 in all")]
    TooLong,
    /// It has an invisible character inside.
    #[error("it has an invisible character; type it again")]
    Invisible,
    /// The part before the `@` has letters beyond the English alphabet, or marks such as quotation marks.
    #[error("the part before the @ has characters that mail servers do not accept; use a to z, digits and . _ + -")]
    NotAscii,
    /// The part after the `@` has characters that only look like letters of a domain.
    #[error("the part after the @ has characters that only look like letters; type it again")]
    LookAlike,
    /// A label of the part after the `@` has letters of several alphabets.
    #[error("the part after the @ has letters of several alphabets in one word; type it again with one keyboard")]
    MixedAlphabets,
    /// The part after the `@` ends with a slip of the keyboard.
    #[error("no mail reaches a domain that ends with .{typed}; .{meant} may be meant")]
    Slip {
        /// The end that was typed: one of a fixed list.
        typed: &'static str,
        /// The end that was probably meant.
        meant: &'static str,
    },
    /// The part after the `@` is a domain of a private network.
    #[error("no mail reaches a domain that ends with .{0}")]
    Unreachable(&'static str),
    /// The part after the `@` is not the name of a domain.
    #[error("the part after the @ is not a domain such as example.com")]
    Domain,
}

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
            assert!(text.parse::<EmailAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_mistake_is_named() {
        use InvalidEmailAddress::{
            Domain, Form, Invisible, LookAlike, MixedAlphabets, NotAscii, Several, TooLong, Unreachable, WithName,
        };
        let long = format!("{}@gmail.com", "a".repeat(65));
        let long_domain = format!("asha@{}com", "example.".repeat(32));
        for (text, reason) in [
            ("asha", Form),
            ("asha @gmail.com", Form),
            ("a..b@gmail.com", Form),
            (".asha@gmail.com", Form),
            ("asha.@gmail.com", Form),
            ("asha@gmail.com, ravi@gmail.com", Several),
            ("asha@gmail.com@gmail.com", Several),
            ("as\u{200B}ha@gmail.com", Invisible),
            ("asha@gmail.com/98765", Domain),
            ("asha@gmail.com?subject=x", Domain),
            ("asha@exa_mple.com", Domain),
            ("asha@192.168.1.1", Domain),
            ("asha@gmail.c", Domain),
            ("asha@gmail.c0m", Domain),
            ("asha@-gmail.com", Domain),
            ("asha@gmail-.com", Domain),
            ("asha@gmail..com", Domain),
            ("asha@gmail", Domain),
            ("asha@xn--a.com", Domain),
            ("asha@\u{FF47}\u{FF4D}\u{FF41}\u{FF49}\u{FF4C}.com", LookAlike),
            ("asha@gmail\u{3002}com", LookAlike),
            ("jdoe@example-com", Domain),
            ("jdoe@example_com", Domain),
            ("john@abc_d.com", Domain),
            ("email.@gmail.com", Form),
            ("j.doe\u{A0}@example.com", Form),
            ("user@example.com\u{FFFD}", Domain),
            ("xyz@\u{200B}gmail.com", Invisible),
            ("3563246481zp@gmail.co\u{2060}m", Invisible),
            ("3563246481zp@gmail.co\u{AD}m", Invisible),
            ("3563246481zp@gmail.co\u{61C}m", Invisible),
            ("3563246481zp@gmail.co\u{3164}m", Invisible),
            ("3563246481zp@gmail.co\u{3000}m", Form),
            ("\u{430}sha@gmail.com", NotAscii),
            ("आशा@example.com", NotAscii),
            ("asha@gmail.c\u{43E}m", MixedAlphabets),
            ("asha@\u{440}ay.com", MixedAlphabets),
            ("asha@xn--ay-kmc.com", MixedAlphabets),
            ("asha@mail.\u{3B1}lpha.example", MixedAlphabets),
            ("asha@\u{13AA}pple.com", LookAlike),
            ("asha@\u{561}pple.com", MixedAlphabets),
            ("asha@ма-ria.рф", MixedAlphabets),
            (&long, TooLong),
            (&long_domain, TooLong),
            ("Asha Rao <asha@gmail.com>", WithName),
            ("Asha <asha@gmail.com", WithName),
            ("\"asha\"@gmail.com", NotAscii),
            ("http://asha@gmail.com", NotAscii),
            ("asha@mail.local", Unreachable("local")),
            ("asha@pc.localdomain", Unreachable("localdomain")),
            ("asha@mail.INTERNAL", Unreachable("internal")),
            ("asha@abc.onion", Unreachable("onion")),
            ("asha@1.168.192.in-addr.arpa", Unreachable("arpa")),
            ("asha@example.invalid", Unreachable("invalid")),
            ("asha@xn--abc-.com", Domain),
            ("asha@caf\u{E9}\u{43E}.example", MixedAlphabets),
        ] {
            assert_eq!(text.parse::<EmailAddress>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_slip_of_the_keyboard_in_the_last_label_is_named_with_what_was_meant() {
        for (text, typed, meant) in [
            ("asha@gmail.con", "con", "com"),
            ("Asha@Gmail.CMO", "cmo", "com"),
            ("asha@yahoo.comm.", "comm", "com"),
            ("asha@mail.example.vom", "vom", "com"),
            ("asha@isp.nte", "nte", "net"),
            ("asha@charity.ogr", "ogr", "org"),
        ] {
            assert_eq!(text.parse::<EmailAddress>(), Err(InvalidEmailAddress::Slip { typed, meant }), "{text}");
        }
        // Top-level domains that look like slips, labels that are not the last, and an address that was stored before.
        for end in ["co", "cm", "om", "cam", "ne", "ong", "nec", "coop", "bet", "in", "con.com", "cmo.org", "comm.in"] {
            let text = format!("asha@example.{end}");
            assert_eq!(text.parse::<EmailAddress>().map(String::from), Ok(text));
        }
        assert!(EmailAddress::try_from("asha@gmail.con".to_owned()).is_ok());
        let all: Vec<_> = SLIPS.iter().flat_map(|(_, slips)| slips.iter()).collect();
        assert!(all.iter().all(|slip| slip.len() > 2), "two letters belong to countries");
    }

    #[test]
    fn odd_but_unambiguous_spellings_are_understood() {
        for text in [
            "mailto:asha@example.test",
            "MailTo:Asha@example.test",
            "asha@example.test.",
            "<asha@example.test>",
            "<mailto:asha@example.test>",
            "'asha@example.test',",
            "asha@example.test;",
            "(asha@example.test)",
            "\u{FEFF}asha@example.test",
            "asha@example.test\u{200B}",
            "\u{202A}asha@example.test\u{202C}",
            "\u{A0}asha@example.test\u{A0}",
            "\u{2009}asha@example.test",
            "\u{2060}asha@example.test\u{3000}",
            "\u{2066}asha@example.test\u{2069}",
        ] {
            assert_eq!(text.parse::<EmailAddress>().unwrap().expose(), "asha@example.test", "{text:?}");
        }
        for (text, ascii) in [
            ("asha@Bücher.example", "asha@xn--bcher-kva.example"),
            ("asha@xn--bcher-kva.example", "asha@xn--bcher-kva.example"),
            ("asha@उदाहरण.भारत", "asha@xn--p1b6ci4b4b3a.xn--h2brj9c"),
            ("asha@उदाहरण.com", "asha@xn--p1b6ci4b4b3a.com"),
            ("asha@почта.рф", "asha@xn--80a1acny.xn--p1ai"),
            ("asha@\u{440}\u{430}\u{443}.com", "asha@xn--80a5ak.com"),
            ("asha@gmail名前.jp", "asha@xn--gmail-bu6hp8h.jp"),
            ("asha@straße.example", "asha@xn--strae-oqa.example"),
            ("asha@ab--cd.com", "asha@ab--cd.com"),
            ("asha@r3---sn-x.example.com", "asha@r3---sn-x.example.com"),
            ("asha@hawai\u{2BB}i.org", "asha@xn--hawaii-mjd.org"),
            ("asha@abcไทย.com", "asha@xn--abc-yml3c0l.com"),
            ("asha@gmailभ.com", "asha@xn--gmail-54k.com"),
            ("asha@mail.local.example", "asha@mail.local.example"),
        ] {
            assert_eq!(text.parse::<EmailAddress>().unwrap().expose(), ascii, "{text:?}");
        }
    }

    #[test]
    fn stored_addresses_stay_valid() {
        for text in ["asha@exa_mple.com", "आशा@example.com", "asha@bücher.example", "asha@example.com"] {
            let json = serde_json::to_string(text).unwrap();
            let stored = serde_json::from_str::<EmailAddress>(&json);
            let before = email_address::EmailAddress::is_valid(text);
            assert_eq!(stored.is_ok_and(|stored| stored.expose() == text), before, "{text}");
        }
    }

    #[test]
    fn a_stored_address_has_the_spellings_of_every_version() {
        for (stored, spellings) in [
            ("asha@example.com", &["asha@example.com"][..]),
            ("asha@bücher.example", &["asha@bücher.example", "asha@xn--bcher-kva.example"]),
            ("asha@xn--bcher-kva.example", &["asha@xn--bcher-kva.example", "asha@bücher.example"]),
            ("asha@exa_mple.com", &["asha@exa_mple.com"]),
            ("आशा@example.com", &["आशा@example.com"]),
        ] {
            let address = EmailAddress::try_from(stored.to_owned()).unwrap();
            let found: Vec<_> = address.spellings().into_iter().map(String::from).collect();
            assert_eq!(found, spellings, "{stored}");
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
