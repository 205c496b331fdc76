//! The mail with the link: how it reads, and the channels it goes out by.

mod leadsquared_channel;
mod text;

pub use leadsquared_channel::LeadSquaredChannel;
pub use text::{LinkMail, Wording};
