//! Which persons and leads the items of the table are about, so that a person can be forgotten.

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use onboarding::{InvitationId, PersonKey};

use crate::item::{Item, Reader, text};
use crate::{Ledger, LedgerError};

/// Whom an item of the table is about. An item of an early version may name only the lead, or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The item's key.
    pub pk: String,
    /// The persons that it names.
    pub persons: Vec<PersonKey>,
    /// The leads that it names.
    pub leads: Vec<LeadId>,
    /// The invitations to which mails of its person belong.
    pub invitations: Vec<InvitationId>,
}

impl Trace {
    /// The type of the item: what its key begins with, such as `link`.
    pub fn item_type(&self) -> &str {
        self.pk.split('#').next().unwrap_or_default()
    }

    fn of(item: &Item) -> Self {
        let of = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
        let pk = of("pk").unwrap_or_default();
        let in_key = |prefix| pk.strip_prefix(prefix);
        let owner = of("owner").map(|owner| owner.rsplit('#').next().unwrap_or(owner));
        Self {
            pk: pk.to_owned(),
            persons: known([in_key("person#"), of("person"), owner]),
            leads: known([in_key("lead#"), of("lead_id"), owner]),
            invitations: Reader { pk: pk.to_owned(), item }
                .begun_mails()
                .map(|mails| mails.into_iter().map(|mail| mail.invitation).collect())
                .unwrap_or_default(),
        }
    }
}

/// Those of the texts that can be read.
fn known<T: std::str::FromStr + PartialEq>(texts: [Option<&str>; 3]) -> Vec<T> {
    let mut all: Vec<T> = texts.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
    all.dedup();
    all
}

impl Ledger {
    /// Whom each item is about that names a person or a lead.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn traces(&self) -> Result<Vec<Trace>, LedgerError> {
        const NAMES: [&str; 5] = ["pk", "person", "lead_id", "owner", "begun"];
        let names = NAMES.map(|name| (format!("#{name}"), name.to_owned()));
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .projection_expression(NAMES.map(|name| format!("#{name}")).join(", "))
            .filter_expression(
                "attribute_exists(#person) OR attribute_exists(#lead_id) OR attribute_exists(#owner) \
                 OR attribute_exists(#begun) OR begins_with(#pk, :person) OR begins_with(#pk, :lead)",
            )
            .set_expression_attribute_names(Some(names.into()))
            .expression_attribute_values(":person", text("person#"))
            .expression_attribute_values(":lead", text("lead#"))
            .consistent_read(true);
        let mut items = scan.into_paginator().items().send();
        let mut traces = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| LedgerError::Unavailable { cause: aws::cause(&error) })?;
            traces.push(Trace::of(&item));
        }
        Ok(traces)
    }

    /// Deletes an item. One that is gone already counts as deleted.
    ///
    /// # Errors
    /// When DynamoDB does not answer. It may be deleted then.
    pub async fn erase_trace(&self, trace: &Trace) -> Result<(), LedgerError> {
        let key = AttributeValue::S(trace.pk.clone());
        let delete = self.client.delete_item().table_name(&self.table).key("pk", key);
        let unavailable = |error| LedgerError::Unavailable { cause: aws::cause(&error) };
        delete.send().await.map(drop).map_err(unavailable)
    }
}
