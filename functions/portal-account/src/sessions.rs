//! Whose session a key is, so that a notice reaches the person whose password was changed and nobody else.
//!
//! LeadSquared has no call that tells (<https://apidocs.leadsquared.com/portal-api/>), and whoever changes a password must
//! not choose where its notice goes.

use leadsquared::portal::Session;
use leadsquared::{LeadId, SessionKey};
use time::{Duration, OffsetDateTime};

use crate::answers::SESSION_SECONDS;
use crate::store::{self, Store, StoreError};

impl Store {
    /// Remembers a session for as long as it lasts.
    pub async fn remember(&self, session: &Session, now: OffsetDateTime) -> Result<(), StoreError> {
        let until = now + Duration::seconds(SESSION_SECONDS.into());
        self.keep_lead(key(&session.auth_key), &session.lead_id, until).await
    }

    /// Whose session this is, if it began here.
    pub async fn holder(&self, session: &SessionKey) -> Result<Option<LeadId>, StoreError> {
        let item = self.get(key(session)).await?;
        Ok(item.and_then(|item| item.get(store::LEAD_ID)?.as_s().ok()?.parse().ok()))
    }
}

fn key(session: &SessionKey) -> String {
    store::key("session", session.expose())
}
