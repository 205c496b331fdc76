//! The words of the mail with the login link.

use std::time::Duration;

use askama::Template;
use leadsquared::{LoginLink, OneTimeCode};

/// The words of the mail that the operator chooses.
///
/// The mail holds nothing that an applicant typed. Otherwise a sender could use the public form to mail a text of their
/// own to a stranger.
#[derive(Clone, Debug)]
pub struct Wording {
    /// The company's name, as applicants know it.
    pub organisation: String,
    /// The subject line.
    pub subject: String,
}

/// The finished mail. It contains the login link, so it must not be logged.
pub struct LinkMail {
    /// Subject line.
    pub subject: String,
    /// HTML part.
    pub html: String,
    /// Plain-text part.
    pub text: String,
}

#[derive(Template)]
#[template(path = "link.html")]
struct Html<'a> {
    subject: &'a str,
    organisation: &'a str,
    link: &'a str,
    hours: u64,
    code: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "link.txt", escape = "none")]
struct Text<'a> {
    organisation: &'a str,
    link: &'a str,
    hours: u64,
    code: Option<&'a str>,
}

impl Wording {
    /// Writes the mail with this login link. It says for how many whole hours the link is valid, and names the code
    /// that the link's page asks for, if it does.
    pub fn write(&self, link: &LoginLink, valid_for: Duration, code: Option<&OneTimeCode>) -> LinkMail {
        const REASON: &str = "a compiled template renders into memory";
        let Self { organisation, subject } = self;
        let link = link.expose();
        let (hours, code) = (valid_for.as_secs() / 3600, code.map(OneTimeCode::expose));
        LinkMail {
            subject: subject.clone(),
            html: Html { subject, organisation, link, hours, code }.render().expect(REASON),
            text: Text { organisation, link, hours, code }.render().expect(REASON),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_escaped_in_html_and_whole_in_text() {
        let wording = Wording { organisation: "Rao & Sons".to_owned(), subject: "Your <link>".to_owned() };
        let mail = wording.write(
            &LoginLink::from("https://portal.example.test/?leadId=1&authKey=a%2Bb"),
            Duration::from_secs(4 * 3600),
            None,
        );
        assert!(!mail.text.contains("code") && !mail.html.contains("code"), "{}", mail.text);
        assert_eq!(mail.subject, "Your <link>");
        assert!(
            mail.html.contains(r#"<a href="https://portal.example.test/?leadId=1&#38;authKey=a%2Bb""#),
            "{}",
            mail.html
        );
        assert!(mail.html.contains("<title>Your &#60;link&#62;</title>"), "{}", mail.html);
        assert!(mail.html.contains("Rao &#38; Sons"), "{}", mail.html);
        assert!(mail.text.contains("\nhttps://portal.example.test/?leadId=1&authKey=a%2Bb\n"), "{}", mail.text);
        assert!(mail.html.contains("works for 4 hours") && mail.text.contains("works for 4 hours"), "{}", mail.text);
        assert!(mail.text.starts_with("Your application at Rao & Sons\n"), "{}", mail.text);
    }

    #[test]
    fn a_link_whose_page_asks_for_a_code_is_mailed_with_the_code() {
        let wording = Wording { organisation: "Rao & Sons".to_owned(), subject: "Your link".to_owned() };
        let code = OneTimeCode::from("K7QXM-2RWZT");
        let mail = wording.write(&LoginLink::from("https://x.test/"), Duration::from_secs(3600), Some(&code));
        for body in [&mail.html, &mail.text] {
            assert!(body.contains("K7QXM-2RWZT") && body.contains("asks for this code"), "{body}");
        }
        assert!(!mail.subject.contains("K7QXM"));
    }
}
