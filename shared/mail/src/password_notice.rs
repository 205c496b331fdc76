//! The mail that notifies an applicant of a changed password.

use askama::Template;
use leadsquared::crm::{Content, EmailToLead, Recipient, Sender};
use leadsquared::{Client, EmailAddress, Error};

/// The notice of a changed password. The applicant gets it after every change, including a change by another person.
///
/// It has no link. An applicant who did not make the change goes to the usual sign-in page, and does not learn to
/// follow links in such mails, which a forger would send as well.
pub struct PasswordNotice<'a> {
    /// The company's name, as applicants know it.
    pub organisation: &'a str,
    /// The LeadSquared user that the mail is from.
    pub sender: &'a Sender,
}

#[derive(Template)]
#[template(path = "password-changed.html")]
struct Html<'a> {
    organisation: &'a str,
}

#[derive(Template)]
#[template(path = "password-changed.txt", escape = "none")]
struct Text<'a> {
    organisation: &'a str,
}

impl PasswordNotice<'_> {
    /// Mails the notice to a lead through LeadSquared. A repeated call sends a second mail.
    ///
    /// # Errors
    /// When LeadSquared does not accept the mail.
    pub async fn send(&self, client: &Client, to: &EmailAddress) -> Result<(), Error> {
        let (subject, content) = self.write();
        let mut email = EmailToLead::new(Recipient::LeadEmail(to.clone()), subject, content);
        email.sender = self.sender.clone();
        client.send_email_to_lead(&email).await.map(drop)
    }

    fn write(&self) -> (String, Content) {
        const REASON: &str = "a compiled template renders into memory";
        let organisation = self.organisation;
        let html = Html { organisation }.render().expect(REASON);
        let text = Text { organisation }.render().expect(REASON);
        (format!("Your {organisation} password was changed"), Content::Html { html, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_names_the_company_and_has_no_link() {
        let (subject, content) = PasswordNotice { organisation: "Rao & Sons", sender: &Sender::ApiCaller }.write();
        let Content::Html { html, text } = content else { panic!("it is written here") };
        assert_eq!(subject, "Your Rao & Sons password was changed");
        assert!(html.contains("Rao &#38; Sons") && text.contains("Rao & Sons"));
        assert!(!html.contains("href") && !text.contains("http"));
    }
}
