use leadsquared::LeadId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Invitation, InvitationId, Outcome, PersonKey};

/// The memory of the flow: what was done of each invitation, and when each person was last mailed.
#[expect(async_fn_in_trait, reason = "used with static dispatch on one thread only")]
pub trait Ledger {
    /// Why the memory could not be asked or told.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Asks for exclusive work on an invitation until the lease runs out.
    ///
    /// A rejected invitation is granted again. Where it comes in another message, somebody has looked at it and put it back:
    /// then mails of unknown fate count no more.
    async fn claim(&self, invitation: &Invitation, lease: &Lease, now: OffsetDateTime) -> Result<Claim, Self::Error>;

    /// Writes the record and keeps the lease. Fails when the lease is no longer ours.
    async fn save(&self, invitation: &Invitation, lease: &Lease, record: &Record) -> Result<(), Self::Error>;

    /// Writes the record and lets go of the lease: with an outcome for good, without one until the next attempt.
    async fn release(&self, invitation: &Invitation, lease: &Lease, record: &Record) -> Result<(), Self::Error>;

    /// The last mail to a person, if it is recent enough to be remembered.
    async fn last_mail(&self, person: &PersonKey) -> Result<Option<Mailed>, Self::Error>;

    /// Remembers a mail to a person.
    async fn mailed(&self, person: &PersonKey, mail: Mailed) -> Result<(), Self::Error>;
}

/// What asking for exclusive work on an invitation led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours until the lease runs out; what earlier attempts left behind.
    Granted(Record),
    /// Another attempt is at work: let the queue bring the message back.
    Held,
    /// Done before.
    Done,
    /// The same id came before with another payload.
    OtherPayload,
}

/// The right to work on one invitation. Its end is the end of the invocation, so that work is never done twice at a time
/// and never waits for a process that is gone longer than it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The attempt that holds it: random, and never used again.
    pub holder: Uuid,
    /// The message it works on: the same for every delivery, another one after somebody put a dead letter back.
    pub message: Uuid,
    /// When it runs out.
    pub until: OffsetDateTime,
}

/// What has been done of an invitation so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The lead, once it is known.
    pub lead: Option<LeadId>,
    /// Whether the lead was there before this invitation.
    pub existing: bool,
    /// Whether an earlier attempt may have registered the person without living to say so.
    pub in_doubt: bool,
    /// Whether the mail was sent, for sure.
    pub mailed: bool,
    /// Mails that were begun and of which nobody knows whether they were sent.
    pub unresolved_mails: u32,
    /// Lead fields that had to be left out.
    pub left_out: Vec<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// A mail that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailed {
    /// When.
    pub at: OffsetDateTime,
    /// For which invitation.
    pub invitation: InvitationId,
}
