//! What the ledger knows of how somebody may sign in to a lead.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use time::OffsetDateTime;

use crate::item::{LEADS_KEPT, Reader, lead_key, seconds, text};
use crate::{Ledger, LedgerError};

/// What was written down about signing in to a lead: what was proven, which stays so whatever becomes of the mark, and what
/// the ledger knows of leads that have no mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How we registered the lead, if we did.
    pub registered: Registered,
    /// What may be used to sign in: a field with a hash of its value, or `password`.
    pub proven: BTreeSet<String>,
}

/// How a lead was registered with the portal, as far as the ledger knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registered {
    /// Not by us, or with nothing that a form typed: without a mark it may sign in.
    #[default]
    WithoutForm,
    /// With a mark. If the field is not among the lead's any more, the mark is lost and not emptied.
    Marked,
    /// With what a form typed and without a mark: by an earlier version, or where LeadSquared refused the mark.
    Unmarked,
}

impl Ledger {
    /// How somebody may sign in to a lead, as far as it was written down.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn standing(&self, lead: &LeadId) -> Result<Standing, LedgerError> {
        let pk = lead_key(lead);
        let item = self.read(&pk).await?.unwrap_or_default();
        let reader = Reader { pk, item: &item };
        let registered_at = reader.optional_time("registered_at")?;
        let proven = match item.get("proven") {
            None => BTreeSet::new(),
            Some(names) => names.as_ss().map_err(|_| reader.corrupt("proven"))?.iter().cloned().collect(),
        };
        let marked_at = reader.optional_time("marked_at")?;
        let registered = match (registered_at, reader.optional_text("mark")) {
            (None, _) => Registered::WithoutForm,
            (Some(at), Some("sent")) if marked_at == Some(at) => Registered::Marked,
            (Some(at), Some("not-needed")) if marked_at == Some(at) => Registered::WithoutForm,
            (Some(_), _) => Registered::Unmarked,
        };
        Ok(Standing { registered, proven })
    }

    /// Remembers what may be used to sign in to a lead: it was proven, or need not be.
    ///
    /// # Errors
    /// When DynamoDB does not say.
    pub async fn proven(&self, lead: &LeadId, what: &[String], now: OffsetDateTime) -> Result<(), LedgerError> {
        let names = what.to_vec();
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&lead_key(lead)))
            .update_expression("ADD #proven :names SET #expires_at = :expires_at")
            .expression_attribute_names("#proven", "proven")
            .expression_attribute_names("#expires_at", "expires_at")
            .expression_attribute_values(":names", AttributeValue::Ss(names))
            .expression_attribute_values(":expires_at", seconds(now + LEADS_KEPT));
        let done = update.send().await;
        done.map(drop).map_err(|error| LedgerError::Unavailable { cause: aws::cause(&error) })
    }
}
