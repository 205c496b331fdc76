//! From where people signed in: there nobody is kept out because strangers elsewhere used up their attempts.

use leadsquared::LeadId;
use throttle::Network;
use time::{Duration, OffsetDateTime};

use crate::store::{self, Store, StoreError};

/// How long a network counts as somebody's after they signed in from it.
const KEPT: Duration = Duration::days(30);

impl Store {
    /// Remembers that somebody signed in from a network, and whose lead that was, so that it can be erased with them.
    pub async fn remember_network(
        &self,
        person: &str,
        network: &Network,
        lead: &LeadId,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.keep_lead(key(person, network), lead, now + KEPT).await
    }

    /// Whether somebody signed in from a network within the last 30 days.
    pub async fn knows_network(
        &self,
        person: &str,
        network: &Network,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let item = self.get(key(person, network)).await?;
        // DynamoDB deletes what has expired some days later.
        let expires_at = item.and_then(|item| item.get(store::EXPIRES_AT)?.as_n().ok()?.parse::<i64>().ok());
        Ok(expires_at.is_some_and(|expires_at| expires_at > now.unix_timestamp()))
    }
}

fn key(person: &str, network: &Network) -> String {
    let own = network.own();
    // The length first, so that no other network and person have the same bytes.
    store::key("network", [&[own.len() as u8], own, person.as_bytes()].concat())
}
