//! The portal's calls: registration, login links, sign-in with a password or a code, passwords.

mod auto_login;
mod passwords;
mod registration;
mod sign_in;

use std::time::Duration;

pub use auto_login::auto_login_link;
pub use passwords::{PasswordReset, ResetRecipient};
pub use registration::Registration;
pub use sign_in::{Identifier, SentCode, Session};

/// How long a key that opens the portal is valid: a signed-in user's private key
/// (<https://apidocs.leadsquared.com/sign-in/>), and the keys of auto login
/// (<https://apidocs.leadsquared.com/portal-auto-login/>) unless LeadSquared has shortened theirs for the account.
pub const KEY_LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);
