#![doc = include_str!("../README.md")]

mod leadsquared_channel;
mod password_notice;
mod sign_in_code;
mod text;

pub use leadsquared_channel::LeadSquaredChannel;
pub use password_notice::PasswordNotice;
pub use sign_in_code::SignInCode;
pub use text::{LinkMail, Wording};
