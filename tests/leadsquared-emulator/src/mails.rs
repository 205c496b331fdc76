//! The mails and text messages that the emulator keeps instead of sending them.

use rusqlite::{Connection, params};
use serde::Serialize;
use time::OffsetDateTime;

use crate::store::{stamp, time_of};

/// A mail as its recipient sees it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// GUID.
    pub id: String,
    /// GUID of the lead; `None` for LeadSquared's notices to administrators.
    pub lead_id: Option<String>,
    /// Address of the sending user.
    pub sender: String,
    /// Addresses of the recipients.
    pub recipients: Vec<String>,
    /// Addresses that get a copy.
    pub cc: Vec<String>,
    /// Subject line.
    pub subject: String,
    /// Body as HTML.
    pub html: String,
    /// Body as text.
    pub text: String,
    /// The time of sending, now or as scheduled.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
}

/// Mails hold login links: the debug output shows the id and no content.
impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).field("sent_at", &self.sent_at).finish_non_exhaustive()
    }
}

/// Keeps a mail.
pub(crate) fn keep(db: &Connection, mail: &Mail) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO mail (id, lead_id, sender, recipients, cc, subject, html, text, sent_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        mail.id,
        mail.lead_id,
        mail.sender,
        mail.recipients.join(","),
        mail.cc.join(","),
        mail.subject,
        mail.html,
        mail.text,
        stamp(mail.sent_at),
    ])?;
    Ok(())
}

/// Every mail, oldest first.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Mail>> {
    after(db, 0)
}

/// The mails after the first `seen`, oldest first.
pub(crate) fn after(db: &Connection, seen: usize) -> rusqlite::Result<Vec<Mail>> {
    let mut mails = db.prepare_cached(
        "SELECT id, lead_id, sender, recipients, cc, subject, html, text, sent_at FROM mail ORDER BY number
         LIMIT -1 OFFSET ?1",
    )?;
    mails
        .query_map([i64::try_from(seen).unwrap_or(i64::MAX)], |row| {
            Ok(Mail {
                id: row.get(0)?,
                lead_id: row.get(1)?,
                sender: row.get(2)?,
                recipients: addresses(&row.get::<_, String>(3)?),
                cc: addresses(&row.get::<_, String>(4)?),
                subject: row.get(5)?,
                html: row.get(6)?,
                text: row.get(7)?,
                sent_at: time_of(row.get(8)?),
            })
        })?
        .collect()
}

/// A text message to a phone.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct TextMessage {
    /// GUID of the lead.
    pub lead_id: String,
    /// The phone number of the recipient.
    pub recipient: String,
    /// The text.
    pub text: String,
    /// The time of sending.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
}

/// Text messages hold one-time codes: the debug output shows only the time of sending.
impl std::fmt::Debug for TextMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextMessage").field("sent_at", &self.sent_at).finish_non_exhaustive()
    }
}

/// Keeps a text message.
pub(crate) fn keep_text(db: &Connection, message: &TextMessage) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO text_message (lead_id, recipient, text, sent_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![message.lead_id, message.recipient, message.text, stamp(message.sent_at)])?;
    Ok(())
}

/// Every text message, oldest first.
pub(crate) fn all_texts(db: &Connection) -> rusqlite::Result<Vec<TextMessage>> {
    let mut messages =
        db.prepare_cached("SELECT lead_id, recipient, text, sent_at FROM text_message ORDER BY number")?;
    messages
        .query_map([], |row| {
            Ok(TextMessage {
                lead_id: row.get(0)?,
                recipient: row.get(1)?,
                text: row.get(2)?,
                sent_at: time_of(row.get(3)?),
            })
        })?
        .collect()
}

/// Reads a comma-separated list of addresses.
pub(crate) fn addresses(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect()
}
