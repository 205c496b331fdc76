//! The mail with a sign-in code, which proves that the applicant reads the lead's mailbox.

use std::time::Duration;

use askama::Template;
use leadsquared::crm::{Content, EmailToLead, Recipient, Sender};
use leadsquared::{Client, EmailAddress, Error, OneTimeCode};

/// The mail with a code that the applicant types into the page where the sign-in began.
///
/// It has no link: a reader of the mail who did not begin the sign-in could open a link, but has no page for the code.
pub struct SignInCode<'a> {
    /// The company's name, as applicants know it.
    pub organisation: &'a str,
    /// The LeadSquared user that the mail is from.
    pub sender: &'a Sender,
    /// How long the code is valid, in whole minutes.
    pub valid_for: Duration,
}

#[derive(Template)]
#[template(path = "sign-in-code.html")]
struct Html<'a> {
    organisation: &'a str,
    code: &'a str,
    minutes: u64,
}

#[derive(Template)]
#[template(path = "sign-in-code.txt", escape = "none")]
struct Text<'a> {
    organisation: &'a str,
    code: &'a str,
    minutes: u64,
}

impl SignInCode<'_> {
    /// Mails a code to a lead through LeadSquared. A repeated call sends a second mail.
    ///
    /// # Errors
    /// When LeadSquared does not accept the mail. [`Error::NoSuchLead`] also when LeadSquared has no recipient for it,
    /// because the lead unsubscribed.
    pub async fn send(&self, client: &Client, to: &EmailAddress, code: &OneTimeCode) -> Result<(), Error> {
        let (subject, content) = self.write(code);
        let mut email = EmailToLead::new(Recipient::LeadEmail(to.clone()), subject, content);
        email.sender = self.sender.clone();
        match client.send_email_to_lead(&email).await?.total_recipient {
            Some(0) => Err(Error::NoSuchLead),
            _ => Ok(()),
        }
    }

    fn write(&self, code: &OneTimeCode) -> (String, Content) {
        const REASON: &str = "a compiled template renders into memory";
        let Self { organisation, valid_for, .. } = *self;
        let (code, minutes) = (code.expose(), valid_for.as_secs() / 60);
        let html = Html { organisation, code, minutes }.render().expect(REASON);
        let text = Text { organisation, code, minutes }.render().expect(REASON);
        (format!("Your {organisation} sign-in code"), Content::Html { html, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_only_in_the_body_and_there_is_no_link() {
        let mail =
            SignInCode { organisation: "Rao & Sons", sender: &Sender::ApiCaller, valid_for: Duration::from_secs(900) };
        let (subject, content) = mail.write(&OneTimeCode::from("K7QXM-2RWZT"));
        let Content::Html { html, text } = content else { panic!("it is written here") };
        assert_eq!(subject, "Your Rao & Sons sign-in code");
        for body in [&html, &text] {
            assert!(body.contains("K7QXM-2RWZT") && body.contains("valid for 15 minutes"), "{body}");
            assert!(!body.contains("href") && !body.contains("http"), "{body}");
        }
        assert!(html.contains("Rao &#38; Sons") && text.contains("Rao & Sons"));
    }
}
