use askama::Template;
use leadsquared::crm::{Content, EmailToLead, Recipient, Sender};
use leadsquared::{Client, EmailAddress, Error};

/// The mail that says that somebody's password is another one: the owner hears of it whoever did it.
///
/// It has no link: whoever is not sure asks for a new password where they always sign in, and learns no habit that a forger
/// could use.
pub struct PasswordNotice<'a> {
    /// The name applicants know the company by.
    pub organisation: &'a str,
    /// The LeadSquared user it is from; the keys' own user when absent.
    pub sender: Option<&'a EmailAddress>,
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
    /// Mails it to a lead by LeadSquared. A repeat is a second mail.
    ///
    /// # Errors
    /// When LeadSquared does not take it.
    pub async fn send(&self, client: &Client, to: &EmailAddress) -> Result<(), Error> {
        let (subject, content) = self.write();
        let mut email = EmailToLead::new(Recipient::LeadEmail(to.clone()), subject, content);
        if let Some(sender) = self.sender {
            email.sender = Sender::UserEmail(sender.clone());
        }
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
    fn it_names_the_company_and_has_no_link() {
        let (subject, content) = PasswordNotice { organisation: "Rao & Sons", sender: None }.write();
        let Content::Html { html, text } = content else { panic!("it is written here") };
        assert_eq!(subject, "Your Rao & Sons password was changed");
        assert!(html.contains("Rao &#38; Sons") && text.contains("Rao & Sons"));
        assert!(!html.contains("href") && !text.contains("http"));
    }
}
