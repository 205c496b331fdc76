//! What one attempt reads and writes in the ledger about its invitation as a whole: claim, release, end.

use std::ops::ControlFlow;

use leadsquared::schema_name::PHONE_NUMBERS;
use time::OffsetDateTime;

use super::postponed::Postponed;
use super::{Completion, FlowEvent, invited};
use crate::{Claim, Invitation, Lease, Ledger, Outcome, PASSWORD, Record, Rejection};

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
    pub async fn give_up(&self, cause: &str) -> Result<Completion, Postponed> {
        let record = match self.claim().await? {
            ControlFlow::Continue(record) => record,
            ControlFlow::Break(completion) => return Ok(completion),
        };
        let outcome = if record.mailed { invited(&record) } else { Outcome::Exhausted { cause: cause.to_owned() } };
        self.end(&record, outcome).await
    }

    /// Claims the invitation. Returns its record, or how it ended if nothing is left to do.
    pub(super) async fn claim(&self) -> Result<ControlFlow<Completion, Record>, Postponed> {
        let ended = match self.ledger.claim(self.invitation, &self.lease, self.now).await.map_err(Postponed::ledger)? {
            Claim::Granted(record) => return Ok(ControlFlow::Continue(record)),
            Claim::Done => Outcome::AlreadyInvited.into(),
            Claim::DoneWithout(left_out) => Completion { withheld: Some(left_out), ..Outcome::AlreadyInvited.into() },
            Claim::OtherPayload => Outcome::Rejected(Rejection::IdReused).into(),
            Claim::Held => return Err(Postponed::Held),
        };
        Ok(ControlFlow::Break(ended))
    }

    pub(super) async fn end(&self, record: &Record, outcome: Outcome) -> Result<Completion, Postponed> {
        match self.ledger.end(self.invitation, &self.lease, record, &outcome, self.now).await {
            Ok(()) => Ok(Completion { outcome, fields_left_out: fields_left_out(record), withheld: record.withheld() }),
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

/// The attributes that [`Completion::fields_left_out`] counts.
fn fields_left_out(record: &Record) -> usize {
    let is_for_operator = |name: &str| name != PASSWORD && !PHONE_NUMBERS.contains(&name);
    record.left_out.iter().filter(|name| is_for_operator(name)).count()
}
