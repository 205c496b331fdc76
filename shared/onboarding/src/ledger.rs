//! What the flow asks of the ledger, and what the ledger keeps of an invitation.

use std::borrow::Cow;

use leadsquared::LeadId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Booking, Invitation, MailBook, Outcome, PersonKey, Pointer};

/// The memory of the flow: what was done of each invitation, and when each person was last mailed.
#[expect(async_fn_in_trait, reason = "used with static dispatch on one thread only")]
pub trait Ledger {
    /// Why the ledger could not be read or written.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Asks for exclusive work on an invitation until the lease runs out. The first time, it is counted as accepted on
    /// the day on which it was. One that ended is granted as [`Record::take_up`] has it.
    async fn claim(&self, invitation: &Invitation, lease: &Lease, now: OffsetDateTime) -> Result<Claim, Self::Error>;

    /// What the limits of mail go by: the person's mails and everybody's on the day of `now`.
    async fn mail_book(&self, person: &PersonKey, now: OffsetDateTime) -> Result<MailBook, Self::Error>;

    /// When we registered this lead with the portal, if we did in the last 30 days.
    async fn registered_at(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// When the newest of the lead's links was made that opened the portal. Older links are not valid any more.
    async fn newest_link_used(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// Records that a mail is about to be sent: the record, which keeps the lease, what its link points at, and the
    /// registration, if there was one; all of it or nothing.
    ///
    /// False, and nothing written, when the book is no longer the one that the booking was made from. Fails when
    /// another attempt has the lease.
    async fn begin_mail(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        booking: &Booking,
        pointer: Option<&Pointer>,
    ) -> Result<bool, Self::Error>;

    /// Writes the record and, if the invitation was mailed, the time of the person's last mail, and releases the lease;
    /// all of it or nothing. Fails when another attempt has the lease.
    async fn release(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<(), Self::Error>;

    /// Ends the invitation: its record and outcome, the outcome's count for the day on which it was accepted, the
    /// registration, if there was one, and for one that was mailed the time of the person's last mail; all of it or
    /// nothing, so that every invitation is counted once. Fails when another attempt has the lease.
    async fn end(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        outcome: &Outcome,
        now: OffsetDateTime,
    ) -> Result<(), Self::Error>;
}

/// What asking for exclusive work on an invitation led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Granted until the lease runs out, with what earlier attempts did.
    Granted(Record),
    /// Another attempt is at work: the message has to be tried again.
    Held,
    /// Done before.
    Done,
    /// The same id came before with another payload.
    OtherPayload,
}

/// The right to work on one invitation until the end of the invocation. No two attempts work at the same time, and the
/// next one does not wait longer than necessary for a process that crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The attempt that holds it: random, and never used again.
    pub holder: Uuid,
    /// The message it works on: the same for every delivery, another one after a dead letter was put back.
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
    /// Whether we registered the lead with the portal, or may have.
    pub registered: bool,
    /// Whether that Register marked what a form had typed.
    pub mark: MarkSent,
    /// The person it is for, once their address is known.
    pub person: Option<PersonKey>,
    /// Whether an earlier attempt may have registered the person and crashed before it recorded that.
    pub in_doubt: bool,
    /// Whether the mail was sent, for sure.
    pub mailed: bool,
    /// Mails that were begun and may or may not have been sent.
    pub unresolved_mails: u32,
    /// Lead fields that had to be left out.
    pub left_out: Vec<String>,
    /// When the mail was begun that certainly was not sent: its place in the [`MailBook`] can still be used.
    pub unused_mail: Option<OffsetDateTime>,
    /// How it ended before it was put back. That stands, and is counted, until it ends another way.
    pub ended: Option<Ended>,
}

/// What became of the mark on a lead that we registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarkSent {
    /// It was not sent (by an earlier version, or because LeadSquared refuses it), or that is unknown.
    #[default]
    No,
    /// Register carried it.
    Yes,
    /// There was nothing to mark: Register sent nothing that a form typed.
    NotNeeded,
}

/// An [`Outcome`] as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its [`name`](Outcome::name).
    pub name: String,
    /// Its [`cause`](Outcome::cause).
    pub cause: Option<String>,
    /// The message it ended with; none once another one was taken up.
    pub message: Option<Uuid>,
}

impl Ended {
    /// The outcome to which an attempt with this lease led.
    pub fn new(outcome: &Outcome, lease: &Lease) -> Self {
        let cause = outcome.cause().map(Cow::into_owned);
        Self { name: outcome.name().to_owned(), cause, message: Some(lease.message) }
    }
}

impl Record {
    /// Prepares an attempt at this message. False when there is nothing left to do.
    ///
    /// A rejected or exhausted invitation is tried again: its dead letter could not be written, or an operator looked
    /// at it and put it back. Put back, it is another message, and its mails of unknown fate no longer count.
    pub fn take_up(&mut self, message: Uuid) -> bool {
        let Some(ended) = &mut self.ended else { return true };
        if !["rejected", "exhausted"].contains(&&*ended.name) {
            return false;
        }
        if ended.message.is_some_and(|before| before != message) {
            ended.message = None;
            self.unresolved_mails = 0;
        }
        true
    }
}
