//! The services that the worker uses. The function implements them on AWS, the simulation in memory.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use leadsquared::{Password, TurnedAway};
use time::OffsetDateTime;

use super::{DeadLetterReason, WorkerEvent};
use crate::retry::USUALLY_PASSES_WITHIN;
use crate::{Crm, Invitation, InvitationId, Ledger, Mail, SealedPassword};

/// The services for one delivery.
#[expect(async_fn_in_trait, reason = "used with static dispatch on one thread only")]
pub trait Services {
    /// The LeadSquared keys.
    type Access;
    /// A LeadSquared client with these keys.
    type Crm: Crm;
    /// The ledger, which knows the steps of earlier attempts.
    type Ledger: Ledger;

    /// Reads the LeadSquared keys, which may be cached.
    async fn access(&self) -> Result<Self::Access, ServiceFailure>;

    /// Reads the keys again after LeadSquared refused them; `None` if they are the same.
    async fn access_after_refusal(&self, refused: &Self::Access) -> Result<Option<Self::Access>, ServiceFailure>;

    /// A client with these keys that makes no call after `time_left`.
    fn crm(&self, access: &Self::Access, time_left: Duration) -> Self::Crm;

    /// The way mail goes out.
    fn mail<'a>(&'a self, crm: &'a Self::Crm) -> impl Mail + 'a;

    /// The ledger.
    fn ledger(&self) -> &Self::Ledger;

    /// Whether only an operator can remove the cause of this ledger error.
    fn is_ledger_broken(&self, error: &<Self::Ledger as Ledger>::Error) -> bool;

    /// The time until the next day, if a call was refused because the day's calls are used up.
    fn until_next_day(&self, turned_away: &TurnedAway) -> Option<Duration>;

    /// Opens the password that was sealed as part of this invitation.
    async fn open_password(
        &self,
        invitation: InvitationId,
        sealed: &SealedPassword,
    ) -> Result<Password, SealedPasswordError>;

    /// Stores the delivered message among the dead letters. A second dead letter of one message changes nothing.
    async fn dead_letter(&self, reason: &DeadLetterReason) -> Result<(), ServiceFailure>;

    /// Sends the delivered message, which is this question, to its queue again, as a new message. A second one changes
    /// nothing.
    async fn requeue(&self, question: &Invitation) -> Result<(), ServiceFailure>;

    /// Sends the delivered message, which is this invitation, to its queue again, with its age and its deliveries, into
    /// [`own_message_group`](Invitation::own_message_group). A second one changes nothing.
    async fn make_way(&self, invitation: &Invitation) -> Result<(), ServiceFailure>;

    /// The current time.
    fn now(&self) -> OffsetDateTime;

    /// Fills the bytes at random.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Takes note of what happened, for logs and metrics.
    fn report(&self, report: &WorkerEvent<'_>);
}

/// Why a sealed password cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealedPasswordError {
    /// It can never be opened. The invitation continues with a random password.
    #[error(transparent)]
    Unusable(Box<dyn Error + Send + Sync>),
    /// It may open later.
    #[error(transparent)]
    Unavailable(ServiceFailure),
}

/// The failure of a service. It displays as the service's own error.
#[derive(Debug)]
pub struct ServiceFailure {
    error: Box<dyn Error + Send + Sync>,
    is_transient: bool,
}

impl ServiceFailure {
    /// The service's error, and whether it usually passes without an operator.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>, is_transient: bool) -> Self {
        Self { error: error.into(), is_transient }
    }

    /// Whether an operator must act for a message of this age.
    pub(crate) fn needs_operator(&self, age: Duration) -> bool {
        !self.is_transient || age >= USUALLY_PASSES_WITHIN
    }
}

impl fmt::Display for ServiceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for ServiceFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
