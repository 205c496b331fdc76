//! The portal's calls: registration, login links, sign-in with a password or a code, passwords.

mod auto_login;
mod passwords;
mod registration;
mod sign_in;

pub use auto_login::auto_login_link;
pub use passwords::{PasswordReset, ResetRecipient};
pub use registration::Registration;
pub use sign_in::{Identifier, SentCode, Session};

pub use crate::values::KEY_LIFETIME;
