//! The mails we write, and the channels they go out by: the one with the link, the notice of a changed password, and
//! the code that proves a mailbox.

mod leadsquared_channel;
mod password_notice;
mod sign_in_code;
mod text;

pub use leadsquared_channel::LeadSquaredChannel;
pub use password_notice::PasswordNotice;
pub use sign_in_code::SignInCode;
pub use text::{LinkMail, Wording};
