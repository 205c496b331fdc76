//! What the ledger knows of signing in to a lead: how it was registered, and what was proven.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use time::OffsetDateTime;

use crate::item::{EXPIRES_AT, Item, LEADS_KEPT, Reader, lead_key, seconds, text};
use crate::owner::{OWNER, Owner};
use crate::{ItemType, Ledger, LedgerError};

/// The ledger's record about signing in to a lead: what was proven, which does not depend on the mark, and what is
/// known of leads without a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInRecord {
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
    NothingToProve,
    /// With a mark. If the lead has none any more, it was lost or emptied, which proves nothing.
    Marked,
    /// With what a form typed and without a mark: by an earlier version, or where LeadSquared refused the mark.
    Unmarked,
}

impl Ledger {
    /// How a person may sign in to a lead, as far as it was written down.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn sign_in_record(&self, lead: &LeadId) -> Result<SignInRecord, LedgerError> {
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
            (None, _) => Registered::NothingToProve,
            (Some(at), Some("sent")) if marked_at == Some(at) => Registered::Marked,
            (Some(at), Some("not-needed")) if marked_at == Some(at) => Registered::NothingToProve,
            (Some(_), _) => Registered::Unmarked,
        };
        Ok(SignInRecord { registered, proven })
    }

    /// Keeps for good what is known of leads that were registered unmarked: once that is forgotten, they would be taken
    /// for leads of the sales team. Returns how many had an expiry before. What it reads may be a moment old. A call
    /// that is cut short is continued by the next one.
    ///
    /// # Errors
    /// When the table cannot be read or written. Some may have been kept then.
    pub async fn keep_unmarked(&self, now: OffsetDateTime) -> Result<u64, LedgerError> {
        const UNMARKED: &str = "begins_with(#pk, :lead) AND attribute_exists(#registered_at) AND \
                                (attribute_not_exists(#marked_at) OR #marked_at <> #registered_at) AND \
                                attribute_exists(#expires_at)";
        let mut scan = self.shared_scan("unmarked-leads", now).await?;
        let mut kept = 0;
        loop {
            let values = Item::from([(":lead".to_owned(), text(&ItemType::Lead.key("")))]);
            let others = ["registered_at", "marked_at", EXPIRES_AT];
            let page = self.page(UNMARKED, &["pk"], &others, values, false, scan.after.clone()).await?;
            for item in &page.items {
                let pk = Reader { pk: String::new(), item }.text("pk")?;
                let update = self
                    .update(pk.to_owned())
                    .update_expression("REMOVE #expires_at")
                    // An item that was erased meanwhile stays erased.
                    .condition_expression("attribute_exists(#pk)")
                    .expression_attribute_names("#expires_at", EXPIRES_AT)
                    .expression_attribute_names("#pk", "pk");
                kept += u64::from(self.carry_out(update).await?.is_none());
            }
            if self.turn_page(&mut scan, page.next, now).await? {
                return Ok(kept);
            }
        }
    }

    /// Remembers what may be used to sign in to a lead: it was proven, or need not be.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn proven(&self, lead: &LeadId, what: &[String], now: OffsetDateTime) -> Result<(), LedgerError> {
        let update = self
            .update(lead_key(lead))
            .update_expression(
                "ADD #proven :names SET #owner = if_not_exists(#owner, :owner), #expires_at = :expires_at",
            )
            .expression_attribute_names("#proven", "proven")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":names", AttributeValue::Ss(what.to_vec()))
            .expression_attribute_values(":owner", Owner::Lead(*lead).value())
            .expression_attribute_values(":expires_at", seconds(now + LEADS_KEPT));
        self.carry_out(update).await.map(drop)
    }
}
