//! Filling a deployed stack's ledger from a table that was restored from its backups.

use std::fmt;

use serde::Deserialize;
use serde_json::json;

use crate::operate::Place;
use crate::steps::Steps;

/// What became of the restored table's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Restored {
    /// How many were copied into the ledger.
    pub copied: u64,
    /// How many the ledger has, as they were or newer: those stay as they are.
    pub there: u64,
}

/// Copies the items of this table that the ledger does not have. Doing it twice has no second effect.
///
/// # Errors
/// When the stack does not answer, or there is no such table; some items may have been copied then.
pub async fn restore(place: &Place, table: &str, steps: &Steps) -> anyhow::Result<Restored> {
    place.ask("restore", json!({ "table": table }), steps).await
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { copied, there } = self;
        writeln!(f, "{copied} items copied into the ledger, {there} were there.")?;
        writeln!(f, "Who was forgotten since the time it was restored to is back: forget them again.")
    }
}
