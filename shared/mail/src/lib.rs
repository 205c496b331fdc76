//! The mails we write, and the channels they go out by: the one with the link, and the notice of a changed password.

mod leadsquared_channel;
mod password_notice;
mod text;

pub use leadsquared_channel::LeadSquaredChannel;
pub use password_notice::PasswordNotice;
pub use text::{LinkMail, Wording};
