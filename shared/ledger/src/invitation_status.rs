//! The status of one invitation, as an operator sees it.

use onboarding::{InvitationId, Record};
use time::OffsetDateTime;

use crate::item::{Reader, invitation_key};
use crate::{Ledger, LedgerError};

/// What the ledger knows of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationStatus {
    /// When it was accepted.
    pub received_at: OffsetDateTime,
    /// What has been done so far, and how it ended.
    pub record: Record,
    /// Until when the attempt under way has it, if there is one.
    pub leased_until: Option<OffsetDateTime>,
}

impl Ledger {
    /// The status of an invitation, once its first attempt has begun.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn invitation_status(&self, id: InvitationId) -> Result<Option<InvitationStatus>, LedgerError> {
        let Some(item) = self.read(&invitation_key(id)).await? else { return Ok(None) };
        let item = Reader::new(id, &item);
        Ok(Some(InvitationStatus {
            received_at: item.time("received_at")?,
            record: item.record()?,
            leased_until: item.optional_time("lease_until")?,
        }))
    }
}
