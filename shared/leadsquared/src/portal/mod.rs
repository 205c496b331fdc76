//! Calls on behalf of a portal user: registration, login links, sign-in, passwords.

mod auto_login;
mod passwords;
mod registration;
mod sign_in;

pub use auto_login::auto_login_link;
pub use passwords::PasswordReset;
pub use registration::Registration;
pub use sign_in::{Identifier, SentCode, Session};
