//! The flow's interface to a mail channel.

use std::time::Duration;

use leadsquared::{EmailAddress, LeadId, LoginLink, OneTimeCode};

/// The content of the mail.
#[derive(Debug)]
pub struct LoginLinkMail<'a> {
    /// The lead that gets it.
    pub lead: LeadId,
    /// The address that it goes to.
    pub to: &'a EmailAddress,
    /// The link to sign in with.
    pub link: &'a LoginLink,
    /// How long the link works.
    pub valid_for: Duration,
    /// The code that the link's page asks for, if it does.
    pub code: Option<&'a OneTimeCode>,
}

/// A way to send mail.
#[expect(async_fn_in_trait, reason = "used with static dispatch on one thread only")]
pub trait Mail {
    /// Sends the mail with the link.
    ///
    /// # Errors
    /// The error says whether the mail was certainly not sent or may have been.
    async fn send(&self, letter: LoginLinkMail<'_>) -> Result<(), MailError>;
}

/// Why a mail was not sent, or may not have been sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It was not sent, and the same mail will be refused again. Holds the channel's word for the reason.
    #[error("the mail was refused ({0})")]
    Refused(String),
    /// It was not sent, because this person gets no mail: they unsubscribed, or their address is refused.
    #[error("the recipient is refused")]
    NoRecipient,
    /// It was not sent; the same mail may be sent later.
    #[error("the mail was not sent")]
    NotSent(#[source] leadsquared::Error),
    /// It is unknown whether it was sent.
    #[error("it is not known whether the mail was sent")]
    Unknown(#[source] leadsquared::Error),
}
