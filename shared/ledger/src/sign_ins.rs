//! Sign-ins: whose session a key is, and from which networks a person signed in.

use leadsquared::{LeadId, SessionKey};
use throttle::Network;
use time::{Duration, OffsetDateTime};

use crate::item::{EXPIRES_AT, Reader, hashed, seconds, text};
use crate::owner::{OWNER, Owner};
use crate::{ItemType, Ledger, LedgerError};

/// How long a network counts as a person's after a sign-in from it.
const NETWORKS_KEPT: Duration = Duration::days(30);

impl Ledger {
    /// Remembers whose session a key is, so that the notice of a changed password reaches its owner: LeadSquared has no
    /// call that says (<https://apidocs.leadsquared.com/portal-api/>).
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn remember_session(
        &self,
        key: &SessionKey,
        lead: &LeadId,
        until: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        self.keep_lead(session_key(key), lead, until).await
    }

    /// Whose session this is, if it began here.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn session_holder(&self, key: &SessionKey) -> Result<Option<LeadId>, LedgerError> {
        let item = self.read(&session_key(key)).await?;
        Ok(item.and_then(|item| item.get("lead_id")?.as_s().ok()?.parse().ok()))
    }

    /// Remembers that a person signed in from a network, and to which lead.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn remember_network(
        &self,
        person: &str,
        network: &Network,
        lead: &LeadId,
        now: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        self.keep_lead(network_key(person, network), lead, now + NETWORKS_KEPT).await
    }

    /// Whether a person signed in from a network within the last 30 days.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn knows_network(
        &self,
        person: &str,
        network: &Network,
        now: OffsetDateTime,
    ) -> Result<bool, LedgerError> {
        let pk = network_key(person, network);
        let Some(item) = self.read(&pk).await? else { return Ok(false) };
        Ok(Reader { pk, item: &item }.optional_time(EXPIRES_AT)?.is_some_and(|expires_at| expires_at > now))
    }

    /// Keeps an item that says no more than whose it is.
    async fn keep_lead(&self, pk: String, lead: &LeadId, until: OffsetDateTime) -> Result<(), LedgerError> {
        let update = self
            .update(pk)
            .update_expression("SET #lead_id = :lead_id, #owner = :owner, #expires_at = :until")
            .expression_attribute_names("#lead_id", "lead_id")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":lead_id", text(&lead.to_string()))
            .expression_attribute_values(":owner", Owner::Lead(*lead).value())
            .expression_attribute_values(":until", seconds(until));
        self.carry_out(update).await.map(drop)
    }
}

fn session_key(key: &SessionKey) -> String {
    ItemType::Session.key(&hashed(key.expose()))
}

fn network_key(person: &str, network: &Network) -> String {
    let own = network.own();
    // The length first, so that no other network and person have the same bytes.
    ItemType::Network.key(&hashed([&[own.len() as u8], own, person.as_bytes()].concat()))
}
