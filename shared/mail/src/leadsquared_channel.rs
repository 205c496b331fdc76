//! Sends the mail with the login link through LeadSquared.

use leadsquared::crm::{Content, EmailToLead, Recipient, Sender};
use leadsquared::{Client, Error};
use onboarding::{LoginLinkMail, Mail, MailError};

use crate::Wording;

/// Mail that LeadSquared sends to the lead. It needs no mail service of its own, and the lead's history shows it.
pub struct LeadSquaredChannel<'a> {
    /// The client that calls LeadSquared.
    pub client: &'a Client,
    /// The LeadSquared user that the mail is from.
    pub sender: &'a Sender,
    /// The words that the operator chose.
    pub wording: &'a Wording,
}

impl Mail for LeadSquaredChannel<'_> {
    async fn send(&self, letter: LoginLinkMail<'_>) -> Result<(), MailError> {
        let mail = self.wording.write(letter.link, letter.valid_for, letter.code);
        let content = Content::Html { html: mail.html, text: mail.text };
        let mut email = EmailToLead::new(Recipient::LeadEmail(letter.to.clone()), mail.subject, content);
        email.sender = self.sender.clone();
        let sent = self.client.send_email_to_lead(&email).await.map_err(failure)?;
        match sent.total_recipient {
            // The lead unsubscribed or is marked "Do Not Email": LeadSquared counts no recipient
            // (<https://apidocs.leadsquared.com/send-an-email-to-a-lead/>).
            Some(0) => Err(MailError::NoRecipient),
            _ => Ok(()),
        }
    }
}

fn failure(error: Error) -> MailError {
    match error {
        error if error.may_have_taken_effect() => MailError::Unknown(error),
        // The lead existed a moment ago: LeadSquared's search lags behind its writes, so a retry finds it.
        error if !error.is_refusal() || matches!(error, Error::NoSuchLead) => MailError::NotSent(error),
        Error::Refused { exception_type, .. } => MailError::Refused(exception_type),
        other => MailError::Refused(other.name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_whether_the_mail_may_have_been_sent() {
        assert!(matches!(failure(Error::ServerFault { status: 502 }), MailError::Unknown(_)));
        assert!(matches!(failure(Error::RateLimited { limit: None }), MailError::NotSent(_)));
        assert!(matches!(failure(Error::BadSender), MailError::NotSent(_)));
        assert!(matches!(failure(Error::NoSuchLead), MailError::NotSent(_)));
        let refused =
            Error::Refused { exception_type: "MXInvalidInputException".to_owned(), message: Default::default() };
        assert!(matches!(failure(refused), MailError::Refused(cause) if cause == "MXInvalidInputException"));
        assert!(matches!(failure(Error::BadPortalPassword), MailError::Refused(cause) if cause == "BadPortalPassword"));
    }
}
