//! Secrets: keys, tokens and passwords, in types that never print them.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// How long a key that opens the portal is valid: a signed-in user's private key
/// (<https://apidocs.leadsquared.com/sign-in/>), and the keys of auto login
/// (<https://apidocs.leadsquared.com/portal-auto-login/>) unless LeadSquared has shortened theirs for the account.
pub const KEY_LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);

/// The two keys of a LeadSquared user. Portal calls need an administrator's.
///
/// See <https://apidocs.leadsquared.com/authentication/>. The access key usually contains a `$`, which shells and
/// `.env` files expand unless it is quoted: check a key without one.
///
/// # Examples
/// ```
/// use leadsquared::Keys;
///
/// let keys = Keys { access_key: "u$r0123456789abcdef".into(), secret_key: "fedcba9876543210".into() };
/// assert!(!format!("{keys:?}").contains("0123456789abcdef"));
/// ```
#[derive(Clone, Debug)]
pub struct Keys {
    /// "AccessKey" in LeadSquared's settings.
    pub access_key: SecretString,
    /// "SecretKey" in LeadSquared's settings.
    pub secret_key: SecretString,
}

/// Declares a secret text: only `expose` shows it, and its memory is wiped when it is dropped.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Deserialize)]
        #[serde(from = "String")]
        pub struct $name(SecretString);

        impl $name {
            /// The secret itself. Keep every value that holds it secret too.
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned().into())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    };
}

secret! {
    /// A portal user's password. LeadSquared documents no policy for it: the portal's own settings decide.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::Password;
    ///
    /// let password = Password::from("Example@Pass1");
    /// assert_eq!(format!("{password:?}"), "Password(hidden)");
    /// assert_eq!(password.expose(), "Example@Pass1");
    /// ```
    Password
}

secret! {
    /// A lead's auto-login key: its holder acts as that lead in the portal, for four hours after it was made.
    ///
    /// See <https://apidocs.leadsquared.com/portal-auto-login-generate-lead-level-auth-key/>.
    AutoLoginKey
}

secret! {
    /// A signed-in portal user's private key, valid for four hours. LeadSquared documents no way to revoke it.
    ///
    /// See <https://apidocs.leadsquared.com/sign-in/>.
    SessionKey
}

secret! {
    /// The proof in a password-reset mail, 64 hexadecimal digits. How long it is valid is not documented.
    ///
    /// See <https://apidocs.leadsquared.com/forgot-password/>.
    TemporaryPassword
}

secret! {
    /// The digits a person received on their phone.
    OneTimeCode
}

secret! {
    /// By this LeadSquared recognises a code that it sent. It is useless without the code.
    CodeChallenge
}

impl Serialize for CodeChallenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.expose().serialize(serializer)
    }
}

secret! {
    /// The number that a code was sent to, in LeadSquared's spelling. Signing in with the code takes it unchanged.
    CodeRecipient
}

impl Serialize for CodeRecipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.expose().serialize(serializer)
    }
}

secret! {
    /// A link that signs its holder in to a portal. Only the mail to its owner may contain it.
    LoginLink
}
