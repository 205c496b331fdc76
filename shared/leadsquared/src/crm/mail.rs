//! E-mail that LeadSquared sends.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::{EmailAddress, LeadId, UserId, date_time, schema_name};
use crate::wire::Endpoint;

/// An e-mail to an existing lead (<https://apidocs.leadsquared.com/send-an-email-to-a-lead/>). `Debug` hides it: it may
/// contain a login link.
#[derive(Clone)]
pub struct EmailToLead {
    /// The sender, always a user of the account.
    pub sender: Sender,
    /// The recipient, always a lead.
    pub recipient: Recipient,
    /// Schema names of the fields whose addresses it goes to. Empty means **every** address stored on the lead.
    pub recipient_fields: Vec<String>,
    /// The recipients of a copy.
    pub cc: Option<EmailAddress>,
    /// The subject line.
    pub subject: String,
    /// The content.
    pub content: Content,
    /// Whether LeadSquared appends its footer, with the link to unsubscribe.
    pub include_footer: bool,
    /// When to send it; now, when absent.
    pub schedule: Option<UtcDateTime>,
    /// An e-mail category that exists in the account.
    pub category: Option<String>,
}

impl EmailToLead {
    /// A mail from the keys' own user to a lead's main address and to no other, without a footer.
    pub fn new(recipient: Recipient, subject: impl Into<String>, content: Content) -> Self {
        Self {
            sender: Sender::ApiCaller,
            recipient,
            recipient_fields: vec![schema_name::EMAIL_ADDRESS.to_owned()],
            cc: None,
            subject: subject.into(),
            content,
            include_footer: false,
            schedule: None,
            category: None,
        }
    }
}

impl fmt::Debug for EmailToLead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailToLead")
            .field("sender", &self.sender)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

/// The sender of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The user whose keys are used.
    ApiCaller,
    /// The lead's owner.
    LeadOwner,
    /// A user, by id.
    User(UserId),
    /// A user, by e-mail address.
    UserEmail(EmailAddress),
}

/// The recipient of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The lead that has this address.
    LeadEmail(EmailAddress),
    /// The lead with this id. The name of this variant, `LeadId`, is inferred: the page shows `LeadEmailAddress` only.
    Lead(LeadId),
}

/// The content of a mail.
#[derive(Clone)]
pub enum Content {
    /// The whole mail, in two formats.
    Html {
        /// For mail programs that show formatting.
        html: String,
        /// For mail programs that do not.
        text: String,
    },
    /// A template from the account's e-mail library.
    Template {
        /// Its name there.
        library_name: String,
    },
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Content::Html { .. } => "Html(hidden)",
            Content::Template { .. } => "Template(hidden)",
        })
    }
}

/// LeadSquared's receipt for a mail. It does not say whether the mail was delivered. The shape is from public clients,
/// so every part is optional: LeadSquared has accepted the mail unless the answer is a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SentEmail {
    /// The mail's id.
    #[serde(rename = "ID")]
    pub id: Option<String>,
    /// How many leads it is for.
    #[serde(rename = "MemberCount")]
    pub member_count: Option<u32>,
    /// How many of them it is sent to; leads that unsubscribed are not counted.
    #[serde(rename = "TotalRecipient")]
    pub total_recipient: Option<u32>,
}

impl Client {
    /// Send an e-mail to a lead. Not to be repeated blindly: a repeat is a second mail.
    ///
    /// # Errors
    /// Among others: [`Error::BadSender`], [`Error::NoSuchLead`], [`Error::MailNotDeliverable`].
    ///
    /// # Examples
    /// ```
    /// use leadsquared::crm::{Content, EmailToLead, Recipient};
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let content = Content::Html { html: "<p>Welcome!</p>".to_owned(), text: "Welcome!".to_owned() };
    /// let to = Recipient::LeadEmail("asha@example.com".parse()?);
    /// client.send_email_to_lead(&EmailToLead::new(to, "Your application", content)).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn send_email_to_lead(&self, email: &EmailToLead) -> Result<SentEmail, Error> {
        self.call(Call::new(Endpoint::SendEmailToLead).body(&Body::of(email))).await
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    sender_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(rename = "CCEmailAddress", skip_serializing_if = "Option::is_none")]
    cc: Option<&'a EmailAddress>,
    recipient_type: &'static str,
    recipient_email_fields: String,
    recipient: String,
    email_type: &'static str,
    email_library_name: &'a str,
    #[serde(rename = "ContentHTML")]
    content_html: &'a str,
    content_text: &'a str,
    subject: &'a str,
    include_email_footer: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_category: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn of(email: &'a EmailToLead) -> Self {
        let (sender_type, sender) = match &email.sender {
            Sender::ApiCaller => ("APICaller", None),
            Sender::LeadOwner => ("LeadOwner", None),
            Sender::User(id) => ("UserId", Some(id.to_string())),
            Sender::UserEmail(address) => ("UserEmailAddress", Some(address.expose().to_owned())),
        };
        let (recipient_type, recipient) = match &email.recipient {
            Recipient::LeadEmail(address) => ("LeadEmailAddress", address.expose().to_owned()),
            Recipient::Lead(id) => ("LeadId", id.to_string()),
        };
        let (email_type, email_library_name, content_html, content_text) = match &email.content {
            Content::Html { html, text } => ("Html", "", html.as_str(), text.as_str()),
            Content::Template { library_name } => ("Template", library_name.as_str(), "", ""),
        };
        Self {
            sender_type,
            sender,
            cc: email.cc.as_ref(),
            recipient_type,
            recipient_email_fields: email.recipient_fields.join(","),
            recipient,
            email_type,
            email_library_name,
            content_html,
            content_text,
            subject: &email.subject,
            include_email_footer: email.include_footer,
            schedule: email.schedule.map(date_time::write),
            email_category: email.category.as_deref(),
        }
    }
}
