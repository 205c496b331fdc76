//! The link in the mail: direct, or on-click with a token.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leadsquared::{LeadId, LoginLink};
use time::OffsetDateTime;
use url::Url;

use crate::code::plain_code;
use crate::digest::hex_digest;
use crate::{InvitationId, PersonKey, Portal};

/// The target of the link in the mail.
#[derive(Clone, Debug)]
pub enum LinkMode {
    /// The portal itself, with LeadSquared's key for the lead. Opening the link signs in, even when a mail scanner
    /// opens it.
    Direct {
        /// The portal.
        portal: Portal,
    },
    /// The login-link function's page with a button. LeadSquared's key is made when the button is pressed.
    OnClick {
        /// The address in front of the token. It ends with a slash.
        page: Url,
        /// How long a link works.
        valid_for: Duration,
    },
}

/// The token of an on-click link: 256 random bits. The ledger holds only its hash, and nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken([u8; LINK_TOKEN_BYTES]);

/// How many random bytes a [`LinkToken`] is made of.
pub const LINK_TOKEN_BYTES: usize = 32;

impl LinkToken {
    /// A token from random bytes.
    pub const fn new(random: [u8; LINK_TOKEN_BYTES]) -> Self {
        Self(random)
    }

    /// The link with this token.
    pub fn link(&self, page: &Url) -> LoginLink {
        format!("{page}{}", URL_SAFE_NO_PAD.encode(self.0)).into()
    }

    /// The hash of the code that is mailed together with the link. Only a reader of the mail has both.
    pub fn code_hash(&self, code: &str) -> CodeHash {
        CodeHash(hex_digest([&b"code"[..], &self.0, plain_code(code).as_bytes()]))
    }

    /// The token's hash, by which the ledger finds the link.
    pub fn hash(&self) -> LinkHash {
        LinkHash(hex_digest([&self.0[..]]))
    }
}

impl FromStr for LinkToken {
    type Err = MalformedLinkToken;

    fn from_str(text: &str) -> Result<Self, MalformedLinkToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedLinkToken)?;
        bytes.try_into().map(Self).map_err(|_| MalformedLinkToken)
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken")
    }
}

/// Not the text of a [`LinkToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a link token: {LINK_TOKEN_BYTES} bytes in unpadded Base64 for URLs were expected")]
pub struct MalformedLinkToken;

/// The SHA-256 of a [`LinkToken`]: the key of the link's [`LinkTarget`]. A reader of the ledger cannot open a link with
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkHash(String);

impl LinkHash {
    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The hash of a link's token and code. A reader of the ledger cannot find the code with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeHash(String);

impl CodeHash {
    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for CodeHash {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A link that follows this many used ones in a row is mailed with a code that its page asks for: a robot presses the
/// buttons in this person's mails before the person does.
pub const USED_LINKS: u32 = 2;

/// The last links of a person that a robot may have used: right after their mail, or before their page was asked for
/// the next link. It does not matter how they were requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedLinks {
    /// How many in a row.
    pub count: u32,
    /// When the last of them was made.
    pub made_at: OffsetDateTime,
}

impl UsedLinks {
    /// A robot presses a button within this time after its mail.
    pub const AT_ONCE: time::Duration = time::Duration::minutes(10);

    /// Two links are in a row if the second was made within this time after the first: a person who signs in every day
    /// by requesting a link needs no code.
    pub const IN_A_ROW: time::Duration = time::Duration::hours(12);

    /// How many used links a link that is made now follows.
    pub(crate) fn before(self, now: OffsetDateTime) -> u32 {
        if now - self.made_at <= Self::IN_A_ROW { self.count } else { 0 }
    }
}

/// The lead and the mail that an on-click link belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTarget {
    /// The hash of the link's token.
    pub link: LinkHash,
    /// The lead that it signs in.
    pub lead: LeadId,
    /// The person whose address it was mailed to. The lead's address may have changed when the button is pressed.
    pub person: PersonKey,
    /// The invitation whose mail carried it.
    pub invitation: InvitationId,
    /// When it was made.
    pub made_at: OffsetDateTime,
    /// When it expires.
    pub valid_until: OffsetDateTime,
    /// The [count](UsedLinks) of its person when it was made ([`USED_LINKS`]).
    pub used_links: u32,
    /// The code that the link's page asks for, if it does.
    pub code: Option<CodeHash>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_43_characters_behind_the_page_and_reads_back() {
        let token = LinkToken::new([0xfb; LINK_TOKEN_BYTES]);
        let link = token.link(&"https://api.example.test/login-links/".parse().unwrap());
        let text = link.expose().strip_prefix("https://api.example.test/login-links/").unwrap();
        assert_eq!(text.len(), 43);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(token.hash().as_str().len(), 64);
        let code = token.code_hash("01Z0A-HJKMZ");
        assert_eq!((code.as_str().len(), &code), (64, &token.code_hash("olz0ahjkmz")));
        assert_ne!(code, LinkToken::new([1; LINK_TOKEN_BYTES]).code_hash("01Z0A-HJKMZ"));
        assert!(!format!("{token:?}").contains(text));
        // Message clients leave a hyphen or an underscore at the end out of a link.
        for last in 0..=u8::MAX {
            let link = LinkToken::new([last; LINK_TOKEN_BYTES]).link(&"https://api.example.test/".parse().unwrap());
            assert!(link.expose().ends_with(|c: char| c.is_ascii_alphanumeric()), "{last}");
        }
    }

    #[test]
    fn a_text_that_is_no_token_is_refused() {
        for text in ["", "a", "%00", &"A".repeat(42), &"A".repeat(44), &format!("{}=", "A".repeat(43)), &"é".repeat(43)]
        {
            assert_eq!(text.parse::<LinkToken>(), Err(MalformedLinkToken), "{text}");
        }
    }
}
