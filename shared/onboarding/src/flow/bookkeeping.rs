//! What one attempt reads and writes in the ledger about its invitation as a whole: claim, release, end.

use std::ops::ControlFlow;

use time::OffsetDateTime;

use super::postponed::Postponed;
use super::{FlowEvent, invited};
use crate::{Claim, Invitation, Lease, Ledger, Outcome, Record, Rejection};

/// One attempt's entries in the ledger.
pub struct Bookkeeping<'a, L> {
    /// The ledger.
    pub ledger: &'a L,
    /// The invitation that the attempt works on.
    pub invitation: &'a Invitation,
    /// The lease that the attempt asks for.
    pub lease: Lease,
    /// When the attempt began.
    pub now: OffsetDateTime,
    /// Takes note of what happened, for logs.
    pub report: &'a dyn Fn(&FlowEvent<'_>),
}

impl<L: Ledger> Bookkeeping<'_, L> {
    /// Ends an invitation that has reached its horizon. It continues if its dead letter is put back.
    ///
    /// It uses only the ledger, because LeadSquared may be the failing service.
    ///
    /// # Errors
    /// When the ledger could not record the end.
    pub async fn give_up(&self, cause: &str) -> Result<Outcome, Postponed> {
        let record = match self.claim().await? {
            ControlFlow::Continue(record) => record,
            ControlFlow::Break(outcome) => return Ok(outcome),
        };
        let outcome = if record.mailed { invited(&record) } else { Outcome::Exhausted { cause: cause.to_owned() } };
        self.end(&record, outcome).await
    }

    /// Claims the invitation. Returns its record, or its outcome if nothing is left to do.
    pub(super) async fn claim(&self) -> Result<ControlFlow<Outcome, Record>, Postponed> {
        match self.ledger.claim(self.invitation, &self.lease, self.now).await.map_err(Postponed::ledger)? {
            Claim::Granted(record) => Ok(ControlFlow::Continue(record)),
            Claim::Done => Ok(ControlFlow::Break(Outcome::AlreadyInvited)),
            Claim::OtherPayload => Ok(ControlFlow::Break(Outcome::Rejected(Rejection::IdReused))),
            Claim::Held => Err(Postponed::Held),
        }
    }

    pub(super) async fn end(&self, record: &Record, outcome: Outcome) -> Result<Outcome, Postponed> {
        match self.ledger.end(self.invitation, &self.lease, record, &outcome, self.now).await {
            Ok(()) => Ok(outcome),
            Err(error) => {
                // Otherwise the next attempt would not know of a mail that was sent.
                self.release(record).await;
                Err(Postponed::ledger(error))
            }
        }
    }

    /// Records how far the attempt came. If this fails, the next attempt waits for the lease to run out and looks the
    /// person up, so the caller reports only the error that it already has.
    pub(super) async fn release(&self, record: &Record) {
        if let Err(error) = self.ledger.release(self.invitation, &self.lease, record, self.now).await {
            (self.report)(&FlowEvent::ClaimNotReleased { receipt: self.invitation.id, error: &error });
        }
    }
}
