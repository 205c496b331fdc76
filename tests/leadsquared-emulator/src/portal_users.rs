//! Portal users: leads with a portal password.
//!
//! Functions with the argument `portal` read `None` as any portal of the account.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use time::OffsetDateTime;

use crate::store::{stamp, time_of};

/// A lead with a portal password, which no call returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortalUser {
    /// GUID of the lead.
    pub lead_id: String,
    /// GUID of the portal that it registered at; the account's first when the call named none.
    pub portal_id: String,
    /// When it became a portal user.
    #[serde(with = "time::serde::rfc3339")]
    pub registered_at: OffsetDateTime,
    /// How often it was registered. More than once means that its password was replaced.
    pub registrations: u32,
}

/// Makes a lead a user of a portal, or replaces that user's password.
pub(crate) fn register(
    db: &Connection,
    lead_id: &str,
    portal_id: &str,
    password_hash: &str,
    now: OffsetDateTime,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO portal_user (lead_id, portal_id, password_hash, registered_at, registrations)
         VALUES (?1, ?2, ?3, ?4, 1)
         ON CONFLICT (lead_id, portal_id) DO UPDATE SET password_hash = ?3, registrations = registrations + 1",
    )?
    .execute(params![lead_id, portal_id, password_hash, stamp(now)])?;
    Ok(())
}

/// Changes the password of a portal user.
pub(crate) fn change_password(
    db: &Connection,
    lead_id: &str,
    portal: Option<&str>,
    password_hash: &str,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE portal_user SET password_hash = ?3 WHERE lead_id = ?1 AND (?2 IS NULL OR portal_id = ?2)",
    )?
    .execute(params![lead_id, portal, password_hash])?;
    Ok(())
}

const COLUMNS: &str = "SELECT lead_id, portal_id, registered_at, registrations FROM portal_user";

/// The portal user of a lead.
pub(crate) fn of_lead(db: &Connection, lead_id: &str, portal: Option<&str>) -> rusqlite::Result<Option<PortalUser>> {
    db.prepare_cached(&format!(
        "{COLUMNS} WHERE lead_id = ?1 AND (?2 IS NULL OR portal_id = ?2) ORDER BY rowid LIMIT 1"
    ))?
    .query_row(params![lead_id, portal], read)
    .optional()
}

/// The hash of a lead's portal password.
pub(crate) fn password_hash(db: &Connection, lead_id: &str, portal: Option<&str>) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(
        "SELECT password_hash FROM portal_user
         WHERE lead_id = ?1 AND (?2 IS NULL OR portal_id = ?2) ORDER BY rowid LIMIT 1",
    )?
    .query_row(params![lead_id, portal], |row| row.get(0))
    .optional()
}

/// Every portal user, in the order of registration.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<PortalUser>> {
    db.prepare_cached(&format!("{COLUMNS} ORDER BY registered_at, rowid"))?.query_map([], read)?.collect()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<PortalUser> {
    Ok(PortalUser {
        lead_id: row.get(0)?,
        portal_id: row.get(1)?,
        registered_at: time_of(row.get(2)?),
        registrations: row.get(3)?,
    })
}
