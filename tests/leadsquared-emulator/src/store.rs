//! An account's database: one SQLite file, or memory.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use time::OffsetDateTime;

use crate::failure::Failure;

const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = "
CREATE TABLE run (
    starts INTEGER NOT NULL
);
INSERT INTO run (starts) VALUES (0);
CREATE TABLE lead (
    auto_id INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    modified_by TEXT NOT NULL
);
CREATE TABLE lead_value (
    lead_id TEXT NOT NULL REFERENCES lead (id) ON DELETE CASCADE,
    field TEXT NOT NULL,
    value TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (lead_id, field)
) WITHOUT ROWID;
CREATE INDEX lead_value_by_value ON lead_value (field, value);
CREATE TABLE portal_user (
    lead_id TEXT NOT NULL REFERENCES lead (id) ON DELETE CASCADE,
    portal_id TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    registrations INTEGER NOT NULL,
    PRIMARY KEY (lead_id, portal_id)
);
CREATE TABLE credential (
    value TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    lead_id TEXT,
    portal_id TEXT,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE TABLE mail (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    lead_id TEXT,
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,
    cc TEXT NOT NULL,
    subject TEXT NOT NULL,
    html TEXT NOT NULL,
    text TEXT NOT NULL,
    sent_at INTEGER NOT NULL
);
CREATE TABLE text_message (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    lead_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    text TEXT NOT NULL,
    sent_at INTEGER NOT NULL
);
CREATE TABLE one_time_code (
    challenge TEXT PRIMARY KEY,
    lead_id TEXT NOT NULL REFERENCES lead (id) ON DELETE CASCADE,
    portal_id TEXT NOT NULL,
    contact TEXT NOT NULL,
    code TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE TABLE activity_type (
    code INTEGER PRIMARY KEY,
    description TEXT NOT NULL
);
CREATE TABLE activity (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    lead_id TEXT NOT NULL REFERENCES lead (id) ON DELETE CASCADE,
    code INTEGER NOT NULL,
    note TEXT NOT NULL,
    fields TEXT NOT NULL,
    happened_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX activity_by_lead ON activity (lead_id, number);
CREATE TABLE webhook (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    status INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
);
CREATE TABLE delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER,
    status INTEGER,
    state TEXT NOT NULL
);
CREATE INDEX delivery_by_due ON delivery (due_at) WHERE due_at IS NOT NULL;
";

/// Why an account's database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite could not open the file. Usually the folder is missing or not writable.
    #[error("could not open the account's database; check that the data folder is writable")]
    Sqlite(#[from] rusqlite::Error),
    /// The file was written by another version of the emulator.
    #[error("the data folder was written by another version of the emulator; choose an empty one")]
    OtherVersion,
}

/// One account's database. Every use is short: one lock is enough.
pub(crate) struct Store {
    connection: Mutex<Connection>,
    starts: u64,
}

impl Store {
    /// Opens the file, or a database in memory without one, and creates missing tables.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, StoreError> {
        let connection = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(Duration::from_secs(5))?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
            SCHEMA_VERSION => {}
            0_i64 => {
                connection
                    .execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))?;
            }
            _ => return Err(StoreError::OtherVersion),
        }
        connection.set_prepared_statement_cache_capacity(64);
        let starts = connection
            .query_row("UPDATE run SET starts = starts + 1 RETURNING starts", [], |row| row.get::<_, i64>(0))?;
        Ok(Self { connection: Mutex::new(connection), starts: starts.unsigned_abs() })
    }

    /// How often the database was opened, including this time.
    pub(crate) fn starts(&self) -> u64 {
        self.starts
    }

    /// The connection, for reading and for single statements.
    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in a transaction, which is rolled back when it fails.
    pub(crate) fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// The kind of a stored credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    PublicKey,
    RegistrationToken,
    PrivateKey,
    TemporaryPassword,
    TenantAuthKey,
    LeadAuthKey,
    PageSession,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::PublicKey => "public key",
            Self::RegistrationToken => "registration token",
            Self::PrivateKey => "private key",
            Self::TemporaryPassword => "temporary password",
            Self::TenantAuthKey => "tenant auth key",
            Self::LeadAuthKey => "lead auth key",
            Self::PageSession => "page session",
        }
    }
}

/// The lead and the portal that a credential was issued for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) lead_id: Option<String>,
    pub(crate) portal_id: Option<String>,
}

/// Stores a credential. Without a lifetime it never expires.
pub(crate) fn issue(
    db: &Connection,
    kind: Kind,
    value: &str,
    holder: &Holder,
    now: OffsetDateTime,
    lifetime: Option<Duration>,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO credential (value, kind, lead_id, portal_id, issued_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        value,
        kind.name(),
        holder.lead_id,
        holder.portal_id,
        stamp(now),
        lifetime.map(|lifetime| stamp(now + lifetime)),
    ])?;
    Ok(())
}

/// Finds the holder of a credential that is valid at `now`.
pub(crate) fn redeem(
    db: &Connection,
    kind: Kind,
    value: &str,
    now: OffsetDateTime,
) -> rusqlite::Result<Option<Holder>> {
    db.prepare_cached(
        "SELECT lead_id, portal_id FROM credential
         WHERE value = ?1 AND kind = ?2 AND (expires_at IS NULL OR expires_at > ?3)",
    )?
    .query_row(params![value, kind.name(), stamp(now)], |row| {
        Ok(Holder { lead_id: row.get(0)?, portal_id: row.get(1)? })
    })
    .optional()
}

/// The newest credential of this kind.
pub(crate) fn latest(db: &Connection, kind: Kind) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT value FROM credential WHERE kind = ?1 ORDER BY issued_at DESC, rowid DESC LIMIT 1")?
        .query_row([kind.name()], |row| row.get(0))
        .optional()
}

/// Every issued credential that was not revoked. Leaves out temporary passwords, which are mailed on purpose.
pub(crate) fn all_keys(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT value FROM credential WHERE kind != ?1")?
        .query_map([Kind::TemporaryPassword.name()], |row| row.get(0))?
        .collect()
}

/// Revokes every credential of this kind.
pub(crate) fn revoke(db: &Connection, kind: Kind) -> rusqlite::Result<()> {
    db.execute("DELETE FROM credential WHERE kind = ?1", [kind.name()])?;
    Ok(())
}

/// Revokes one credential.
pub(crate) fn revoke_one(db: &Connection, kind: Kind, value: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM credential WHERE kind = ?1 AND value = ?2", [kind.name(), value])?;
    Ok(())
}

/// A time as it is stored: milliseconds since 1970.
pub(crate) fn stamp(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The time of a stored stamp.
pub(crate) fn time_of(stamp: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(stamp) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_valid_until_it_expires_and_for_its_kind_only() {
        let store = Store::open(None).unwrap();
        let db = store.connection();
        let holder = Holder { lead_id: Some("lead".to_owned()), portal_id: None };
        let start = OffsetDateTime::UNIX_EPOCH;
        issue(&db, Kind::LeadAuthKey, "key", &holder, start, Some(Duration::from_secs(60))).unwrap();
        let at = |kind, second| redeem(&db, kind, "key", start + Duration::from_secs(second)).unwrap();
        assert_eq!(at(Kind::LeadAuthKey, 59), Some(holder));
        assert_eq!(at(Kind::LeadAuthKey, 60), None);
        assert_eq!(at(Kind::TenantAuthKey, 1), None);
    }

    #[test]
    fn a_failed_transaction_changes_nothing() {
        let store = Store::open(None).unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        let failed: Result<(), Failure> = store.transaction(|db| {
            issue(db, Kind::PublicKey, "key", &Holder::default(), now, None)?;
            Err(Failure::no_such_lead())
        });
        assert_eq!(failed, Err(Failure::no_such_lead()));
        assert_eq!(redeem(&store.connection(), Kind::PublicKey, "key", now).unwrap(), None);
    }

    #[test]
    fn a_file_of_another_version_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("account.sqlite");
        Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(Store::open(Some(&file)), Err(StoreError::OtherVersion)));
    }
}
