//! Values that are shown to nobody: keys, tokens and passwords.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// The two keys of one LeadSquared user; portal calls want an administrator's.
///
/// See <https://apidocs.leadsquared.com/authentication/>. The access key usually contains a `$`, which shells and `.env`
/// files like to eat: a key without one is worth a second look.
#[derive(Clone, Debug)]
pub struct Keys {
    /// "AccessKey" in LeadSquared's settings.
    pub access_key: SecretString,
    /// "SecretKey" in LeadSquared's settings.
    pub secret_key: SecretString,
}

/// Declares a secret text: read with `expose`, hidden everywhere else, wiped when dropped.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Deserialize)]
        #[serde(from = "String")]
        pub struct $name(SecretString);

        impl $name {
            /// The secret itself. Whatever it is put into becomes secret as well.
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
    Password
}

secret! {
    /// A lead's auto-login key: whoever holds it is that lead in the portal, for four hours after it was made.
    ///
    /// See <https://apidocs.leadsquared.com/portal-auto-login-generate-lead-level-auth-key/>.
    AutoLoginKey
}

secret! {
    /// A signed-in portal user's private key, good for four hours; LeadSquared documents no way to end it sooner.
    ///
    /// See <https://apidocs.leadsquared.com/sign-in/>.
    SessionKey
}

secret! {
    /// The proof in a password-reset mail, 64 hexadecimal digits. How long it lasts is not documented.
    ///
    /// See <https://apidocs.leadsquared.com/forgot-password/>.
    TemporaryPassword
}

secret! {
    /// The digits a person received on their phone.
    OneTimeCode
}

secret! {
    /// What LeadSquared recognises a sent code by. It is of no use without the code.
    CodeChallenge
}

impl Serialize for CodeChallenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.expose().serialize(serializer)
    }
}

secret! {
    /// Where a code was sent, in LeadSquared's own spelling: signing in with the code takes it unchanged.
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
