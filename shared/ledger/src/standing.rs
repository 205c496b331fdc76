//! What the ledger knows of how somebody may sign in to a lead.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use time::OffsetDateTime;

use crate::item::{LEADS_KEPT, Reader, lead_key, seconds, text};
use crate::{Ledger, LedgerError};

/// What was written down about signing in to a lead. The lead's own mark in LeadSquared has the first word; this says what
/// was proven since, and which leads are from before there were marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether a version of this system registered the lead that marked nothing.
    pub registered_unmarked: bool,
    /// What may be used to sign in: fields' schema names, and `password`.
    pub proven: BTreeSet<String>,
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
        let registered_unmarked = registered_at.is_some() && reader.optional_time("marked_at")? != registered_at;
        Ok(Standing { registered_unmarked, proven })
    }

    /// Remembers what may be used to sign in to a lead: it was proven, or there is no need to.
    ///
    /// # Errors
    /// When DynamoDB does not say.
    pub async fn proven(&self, lead: &LeadId, what: &[&str], now: OffsetDateTime) -> Result<(), LedgerError> {
        let names = what.iter().map(|&name| name.to_owned()).collect();
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
