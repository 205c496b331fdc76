use leadsquared::crm::{Content, EmailToLead, Recipient, Sender};
use leadsquared::{Client, EmailAddress, Error};
use onboarding::{Letter, Mail, MailError};

use crate::Wording;

/// Mail that LeadSquared itself sends to the lead: nothing else to set up, and it shows in the lead's history.
pub struct LeadSquaredChannel<'a> {
    /// The client to send with.
    pub client: &'a Client,
    /// The LeadSquared user it is from; the keys' own user when absent.
    pub sender: Option<&'a EmailAddress>,
    /// How it reads.
    pub wording: &'a Wording,
}

impl Mail for LeadSquaredChannel<'_> {
    async fn send(&self, letter: Letter<'_>) -> Result<(), MailError> {
        let mail = self.wording.write(letter.link, letter.valid_for);
        let content = Content::Html { html: mail.html, text: mail.text };
        let mut email = EmailToLead::new(Recipient::LeadEmail(letter.to.clone()), mail.subject, content);
        if let Some(sender) = self.sender {
            email.sender = Sender::UserEmail(sender.clone());
        }
        let sent = self.client.send_email_to_lead(&email).await.map_err(failure)?;
        match sent.total_recipient {
            // The lead unsubscribed, or is marked "do not e-mail".
            Some(0) => Err(MailError::Refused("NoRecipient".to_owned())),
            _ => Ok(()),
        }
    }
}

fn failure(error: Error) -> MailError {
    match error {
        error if error.may_have_taken_effect() => MailError::Unknown(error),
        // The lead was there a moment ago. LeadSquared's search is allowed a moment too.
        error if error.is_transient() || error.is_configuration() || matches!(error, Error::NoSuchLead) => {
            MailError::NotSent(error)
        }
        Error::Refused { exception_type, .. } => MailError::Refused(exception_type),
        other => MailError::Refused(other.name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_whether_the_mail_may_be_on_its_way() {
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
