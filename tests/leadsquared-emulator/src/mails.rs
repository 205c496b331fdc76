//! The mails that the emulator "sent".

use rusqlite::{Connection, params};
use time::OffsetDateTime;

use crate::store::{stamp, time_of};

/// A mail as its recipient would see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// GUID.
    pub id: String,
    /// GUID of the lead it is for.
    pub lead_id: String,
    /// Address of the user it comes from.
    pub sender: String,
    /// Addresses it goes to.
    pub recipients: Vec<String>,
    /// Addresses that get a copy.
    pub cc: Vec<String>,
    /// Subject line.
    pub subject: String,
    /// Body as HTML.
    pub html: String,
    /// Body as text.
    pub text: String,
    /// When it is sent: at once, or as scheduled.
    pub sent_at: OffsetDateTime,
}

/// Mails hold login links: printing one shows which it is and nothing that it says.
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
    let mut mails = db.prepare_cached(
        "SELECT id, lead_id, sender, recipients, cc, subject, html, text, sent_at FROM mail ORDER BY number",
    )?;
    mails
        .query_map([], |row| {
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

/// Reads a comma-separated list of addresses.
pub(crate) fn addresses(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect()
}
