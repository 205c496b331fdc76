//! Mail that LeadSquared sends: <https://apidocs.leadsquared.com/send-an-email-to-a-lead/>.

use leadsquared::schema_name;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::Admitted;
use crate::body::{self, Text};
use crate::dates;
use crate::failure::Failure;
use crate::leads::{self, Lead};
use crate::mails::{self, Mail};
use crate::tenant::{DataType, User};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Email {
    sender_type: Text,
    sender: Text,
    #[serde(rename = "CCEmailAddress")]
    cc_email_address: Text,
    recipient_type: Text,
    recipient_email_fields: Text,
    recipient: Text,
    email_type: Text,
    email_library_name: Text,
    #[serde(rename = "ContentHTML")]
    content_html: Text,
    content_text: Text,
    subject: Text,
    include_email_footer: bool,
    schedule: Text,
    email_category: Text,
}

/// Checks in the order that was observed: the sender, the lead, whether the account may deliver.
pub(crate) fn send_email_to_lead(call: &Admitted) -> Result<Value, Failure> {
    let asked: Email = body::read(&call.body)?;
    let tenant = &call.account.tenant;
    let db = call.account.store.connection();
    let named_sender = sender(call, &asked)?;
    let lead = recipient(&db, &asked)?;
    let sender = match named_sender {
        Some(user) => user,
        None => owner(call, &lead)?,
    };
    if !tenant.can_deliver_mail {
        return Err(Failure::application("MXMailDeliveryException", "Email delivery is not enabled for the account."));
    }
    let mut mail = compose(call, &asked, &lead)?;
    mail.sender = sender.email;
    mail.recipients = if lead.field("DoNotEmail") == Some("1") { Vec::new() } else { addresses(call, &asked, &lead)? };
    let count = mail.recipients.len();
    if count > 0 {
        mails::keep(&db, &mail)?;
    }
    Ok(json!({ "ID": mail.id, "MemberCount": 1, "TotalRecipient": count }))
}

/// The user that the call names; `None` stands for the lead's owner.
fn sender(call: &Admitted, asked: &Email) -> Result<Option<User>, Failure> {
    let named = asked.sender.as_deref().unwrap_or_default();
    let is_named: fn(&User, &str) -> bool = match asked.sender_type.as_deref() {
        Some("APICaller") => return Ok(Some(call.user.clone())),
        Some("LeadOwner") => return Ok(None),
        Some("UserId") => |user, named| user.id.eq_ignore_ascii_case(named),
        Some("UserEmailAddress") => |user, named| user.email.eq_ignore_ascii_case(named),
        _ => return Err(invalid_sender()),
    };
    let user = call.account.users().into_iter().find(|user| user.active && is_named(user, named));
    user.map(Some).ok_or_else(invalid_sender)
}

fn owner(call: &Admitted, lead: &Lead) -> Result<User, Failure> {
    let owner = lead.field(schema_name::OWNER_ID);
    call.account.users().into_iter().find(|user| owner == Some(&user.id)).ok_or_else(invalid_sender)
}

fn invalid_sender() -> Failure {
    Failure::missing("Invalid Sender details.")
}

fn recipient(db: &Connection, asked: &Email) -> Result<Lead, Failure> {
    let recipient = asked.recipient.as_deref().unwrap_or_default();
    let kind = asked.recipient_type.as_deref().unwrap_or_default();
    let lead = match kind {
        "LeadEmailAddress" => match leads::with_value(db, schema_name::EMAIL_ADDRESS, recipient)? {
            Some(id) => leads::by_id(db, &id)?,
            None => None,
        },
        "LeadId" => leads::by_id(db, recipient)?,
        _ => None,
    };
    lead.ok_or_else(|| {
        Failure::invalid_input(format!("No lead found with RecipientType: {kind} and the given Recipient."))
    })
}

/// The lead's addresses: those of the fields that the call names, or all it has.
fn addresses(call: &Admitted, asked: &Email, lead: &Lead) -> Result<Vec<String>, Failure> {
    let fields = &call.account.tenant.fields;
    let mut addresses: Vec<String> = Vec::new();
    let named = mails::addresses(asked.recipient_email_fields.as_deref().unwrap_or_default());
    let is_email =
        |name: &str| fields.iter().any(|field| field.schema_name == name && field.data_type == DataType::Email);
    if let Some(unknown) = named.iter().find(|name| !is_email(name)) {
        return Err(Failure::unknown_attributes(&[unknown]));
    }
    for field in fields.iter().filter(|field| field.data_type == DataType::Email) {
        let wanted = named.is_empty() || named.contains(&field.schema_name);
        if let Some(address) = lead.field(&field.schema_name).filter(|_| wanted)
            && !addresses.iter().any(|known| known.eq_ignore_ascii_case(address))
        {
            addresses.push(address.to_owned());
        }
    }
    Ok(addresses)
}

fn compose(call: &Admitted, asked: &Email, lead: &Lead) -> Result<Mail, Failure> {
    let tenant = &call.account.tenant;
    if let Some(category) = asked.email_category.as_deref()
        && !tenant.email_categories.iter().any(|known| known == category)
    {
        return Err(Failure::invalid_input("Invalid Input! Parameter Name: EmailCategory"));
    }
    let content = |text: &Text| text.as_deref().unwrap_or_default().to_owned();
    let (subject, html) = match asked.email_type.as_deref() {
        Some("Html") => (content(&asked.subject), content(&asked.content_html)),
        Some("Template") => {
            let named = asked.email_library_name.as_deref();
            let template = tenant.email_templates.iter().find(|template| named == Some(&template.name));
            let template =
                template.ok_or_else(|| Failure::invalid_input("Invalid Input! Parameter Name: EmailLibraryName"))?;
            let subject = asked.subject.as_deref().unwrap_or(&template.subject);
            (subject.to_owned(), template.html.clone())
        }
        _ => return Err(Failure::invalid_input("Invalid Input! Parameter Name: EmailType")),
    };
    if subject.is_empty() {
        return Err(Failure::missing("Subject is mandatory."));
    }
    let sent_at = match asked.schedule.as_deref() {
        None => call.now,
        Some(schedule) => {
            dates::parse(schedule).ok_or_else(|| Failure::invalid_input("Invalid Input! Parameter Name: Schedule"))?
        }
    };
    let footer = if asked.include_email_footer {
        "<p>To unsubscribe from mails of this account, reply to this mail.</p>"
    } else {
        ""
    };
    let merge = |text: String| {
        if call.world.settings.switches.expand_merge_fields { merge(&text, lead) } else { text }
    };
    Ok(Mail {
        id: call.world.randomness.guid(),
        lead_id: Some(lead.id.clone()),
        sender: String::new(),
        recipients: Vec::new(),
        cc: mails::addresses(asked.cc_email_address.as_deref().unwrap_or_default()),
        subject: merge(subject),
        html: merge(html) + footer,
        text: merge(content(&asked.content_text)),
        sent_at,
    })
}

/// Fills in `@{Lead:Field,fallback}`.
fn merge(text: &str, lead: &Lead) -> String {
    let mut merged = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{Lead:") {
        let Some((placeholder, next)) = after.split_once('}') else { break };
        let (field, fallback) = placeholder.split_once(',').unwrap_or((placeholder, ""));
        merged.push_str(before);
        merged.push_str(lead.field(field.trim()).unwrap_or(fallback));
        rest = next;
    }
    merged + rest
}
