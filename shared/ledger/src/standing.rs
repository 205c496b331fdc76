//! What the ledger knows of how somebody may sign in to a lead.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use time::OffsetDateTime;

use crate::item::{LEADS_KEPT, Reader, lead_key, seconds, text};
use crate::{Ledger, LedgerError};

/// What was written down about signing in to a lead: what was proven, which stays so whatever becomes of the mark, and
/// what the ledger knows of leads that have no mark.
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
    /// With a mark. If the lead has none any more, it was lost or emptied, which proves nothing.
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

    /// Keeps for good what is known of leads that were registered unmarked: once it is forgotten, they would be taken
    /// for leads of the sales team. Says of how many that had an end before. What it reads may be a moment old.
    ///
    /// # Errors
    /// When the table cannot be read or written. Some may have been kept then.
    pub async fn keep_unmarked(&self) -> Result<u64, LedgerError> {
        const UNMARKED: &str = "begins_with(pk, :lead) AND attribute_exists(registered_at) AND \
                                (attribute_not_exists(marked_at) OR marked_at <> registered_at) AND \
                                attribute_exists(expires_at)";
        let failed = |cause| LedgerError::Unavailable { cause };
        let (mut kept, mut after) = (0, None);
        loop {
            let scan = self
                .client
                .scan()
                .table_name(&self.table)
                .projection_expression("pk")
                .filter_expression(UNMARKED)
                .expression_attribute_values(":lead", text("lead#"))
                .set_exclusive_start_key(after.take());
            let page = scan.send().await.map_err(|error| failed(aws::cause(&error)))?;
            for pk in page.items().iter().filter_map(|item| item.get("pk")) {
                let update = self.client.update_item().table_name(&self.table).key("pk", pk.clone());
                // An item that somebody erased meanwhile stays erased.
                let update = update.update_expression("REMOVE expires_at").condition_expression("attribute_exists(pk)");
                match update.send().await {
                    Ok(_) => kept += 1,
                    Err(error)
                        if error
                            .as_service_error()
                            .is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {}
                    Err(error) => return Err(failed(aws::cause(&error))),
                }
            }
            match page.last_evaluated_key {
                Some(next) => after = Some(next),
                None => return Ok(kept),
            }
        }
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
