//! Whose session a key is, so that a notice reaches the person whose password was changed and nobody else.
//!
//! LeadSquared has no call that tells (<https://apidocs.leadsquared.com/portal-api/>), and whoever changes a password must
//! not choose where its notice goes.

use leadsquared::{LeadId, Session, SessionKey};
use time::{Duration, OffsetDateTime};

use crate::answers::SESSION_SECONDS;
use crate::store::{self, Store, StoreError};

const LEAD_ID: &str = "lead_id";

impl Store {
    /// Remembers a session for as long as it lasts.
    pub(crate) async fn remember(&self, session: &Session, now: OffsetDateTime) -> Result<(), StoreError> {
        let update = self
            .update(key(&session.auth_key))
            .update_expression("SET #lead_id = :lead_id, #expires_at = :expires_at")
            .expression_attribute_names("#lead_id", LEAD_ID)
            .expression_attribute_names("#expires_at", "expires_at")
            .expression_attribute_values(":lead_id", store::text(&session.lead_id.to_string()))
            .expression_attribute_values(
                ":expires_at",
                store::seconds(now + Duration::seconds(SESSION_SECONDS.into())),
            );
        self.carry_out(update).await.map(drop)
    }

    /// Whose session this is, if it began here.
    pub(crate) async fn holder(&self, session: &SessionKey) -> Result<Option<LeadId>, StoreError> {
        let item = self.get(key(session)).await?;
        Ok(item.and_then(|item| item.get(LEAD_ID)?.as_s().ok()?.parse().ok()))
    }
}

fn key(session: &SessionKey) -> String {
    store::key("session", session.expose())
}
