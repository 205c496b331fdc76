//! One key for all addresses that lead to the same mailbox or look alike. Intake's caps count applications and link
//! requests by this key; the worker's caps on mails count by person.

use std::fmt;

use leadsquared::EmailAddress;
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

use crate::digest::hex_digest;

/// A mailbox without its address: the SHA-256 of a folded spelling, in hexadecimal.
///
/// `asha+1@` and `asha+2@` are one mailbox, and so are two addresses that look alike. Two different mailboxes can fold
/// to the same key, because `l` and `1` look alike. Use it to count, never to identify a person: that is
/// [`PersonKey`](crate::PersonKey).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MailboxKey(String);

impl MailboxKey {
    /// The mailbox behind an address.
    pub fn of(email: &EmailAddress) -> Self {
        Self(hex_digest([&b"mailbox"[..], folded(email.expose()).as_bytes()]))
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MailboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxKey")
    }
}

/// The address with look-alike letters folded, without the suffix that its mailbox ignores.
///
/// Letters are folded to the ones they look like (<https://www.unicode.org/reports/tr39/#Confusable_Detection>).
/// Accents and invisible characters are dropped.
fn folded(address: &str) -> String {
    let fold = |text: &str| -> String {
        let compatible: String = text.nfkc().collect::<String>().to_lowercase();
        let looks = skeleton(&compatible).collect::<String>().to_lowercase();
        looks.chars().filter(|c| c.is_ascii_graphic() || c.is_alphanumeric()).collect()
    };
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    // Gmail ignores full stops before the @ (<https://support.google.com/mail/answer/7436150>).
    let (local, domain) = match domain {
        "gmail.com" | "googlemail.com" => (local.replace('.', ""), "gmail.com"),
        _ => (local.to_owned(), domain),
    };
    let local = local.as_str();
    // An internationalised domain is stored in its ASCII form, in which no letter looks like another.
    let (local, domain) = (fold(local), fold(&idna::domain_to_unicode(domain).0));
    // A `+` at the start of an address belongs to the mailbox; any later `+` begins a suffix.
    let mailbox = local.char_indices().skip(1).find(|(_, c)| *c == '+').map_or(&*local, |(at, _)| &local[..at]);
    format!("{mailbox}@{}", domain.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> MailboxKey {
        // As it may be stored: addresses with such letters are refused today.
        MailboxKey::of(&address.to_owned().try_into().unwrap_or_else(|_| panic!("{address} is an address")))
    }

    #[test]
    fn suffixes_case_and_look_alikes_are_one_mailbox() {
        for other in [
            "Asha@Example.test",
            "asha+1@example.test",
            "asha+1+2@example.test",
            // Cyrillic а, a full-width a, and mathematical letters.
            "\u{430}sh\u{430}@example.test",
            "\u{ff41}sha@example.test",
            "\u{1d41a}sha+x@ex\u{430}mple.test",
            "asha@xn--exmple-4nf.test",
            // An accent.
            "\u{e1}sha@example.test",
        ] {
            assert!(key(other) == key("asha@example.test"), "{other}");
        }
    }

    #[test]
    fn different_people_are_different_mailboxes() {
        for other in ["ashb@example.test", "asha@example.org", "asha.rao@example.test", "ravi@example.test"] {
            assert!(key(other) != key("asha@example.test"), "{other}");
        }
        assert!(key("+a@example.test") != key("+b@example.test"));
        assert!(key("asha.rao@gmail.com") == key("a.sharao+1@googlemail.com"));
    }

    #[test]
    fn a_key_shows_nothing_of_its_address() {
        let key = key("canary@example.test");
        assert_eq!((format!("{key:?}").as_str(), key.as_str().len()), ("MailboxKey", 64));
        assert!(!key.as_str().contains("canary"));
    }
}
