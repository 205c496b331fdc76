//! The ledger's interface for the flow, and the record that the ledger keeps of an invitation.

use std::borrow::Cow;

use leadsquared::LeadId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    CallsMade, ContentFailures, Invitation, LinkTarget, LoneFailures, MailHistory, MailReservation, Outcome, PersonKey,
    Success,
};

/// The memory of the flow: the completed steps of each invitation, and the time of each person's last mail.
#[expect(async_fn_in_trait, reason = "used with static dispatch on one thread only")]
pub trait Ledger {
    /// Why the ledger could not be read or written.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Asks for exclusive work on an invitation until the lease runs out. The first claim counts the invitation as
    /// accepted, on the day of its receipt. [`Record::take_up`] decides whether an ended invitation is granted again.
    async fn claim(&self, invitation: &Invitation, lease: &Lease, now: OffsetDateTime) -> Result<Claim, Self::Error>;

    /// The mails that the limits count: the person's own, and the account's on the UTC day of `now`.
    async fn mail_book(&self, person: &PersonKey, now: OffsetDateTime) -> Result<MailHistory, Self::Error>;

    /// When this software registered the lead with the portal, if the ledger knows it: for 395 days at least.
    async fn registered_at(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// When the newest used link of the lead was made. Links made earlier are no longer valid.
    async fn newest_link_used(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// Takes one of the UTC day's look-ups that decide rules. False if none of `most` is left.
    async fn take_rule_lookup(&self, most: u32, now: OffsetDateTime) -> Result<bool, Self::Error>;

    /// Records that a mail is about to be sent, in one transaction: the record, which keeps the lease, the target of
    /// its link, and the registration, if there was one.
    ///
    /// Returns false and writes nothing when the book has changed since the reservation was made. Fails when another
    /// attempt has the lease.
    async fn begin_mail(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        reservation: &MailReservation,
        target: Option<&LinkTarget>,
    ) -> Result<bool, Self::Error>;

    /// Releases the lease in one transaction with the record, the attempt's [`Success`] and what is remembered of the
    /// person: the time of the last mail, if the invitation was mailed, and the time of a reduced registration
    /// ([`Record::has_reduced_person`]). Fails when another attempt has the lease.
    async fn release(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<(), Self::Error>;

    /// Ends the invitation. One transaction writes its record and outcome, the outcome's count for the day of its
    /// receipt, the attempt's [`Success`], the registration, if there was one, and what is remembered of the person, as
    /// [`release`](Self::release) does. So every invitation is counted once. Fails when another attempt has the lease.
    async fn end(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        outcome: &Outcome,
        now: OffsetDateTime,
    ) -> Result<(), Self::Error>;
}

/// The answer to a request for exclusive work on an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "an attempt makes one claim, and nearly all are granted")]
pub enum Claim {
    /// Granted until the lease runs out, with the record of earlier attempts.
    Granted(Record),
    /// Another attempt has the lease: the message is retried later.
    Held,
    /// An earlier attempt ended the invitation.
    Done,
    /// An earlier attempt ended the invitation without attributes that only the message has. Its dead letter may be
    /// missing.
    DoneWithout(LeftOut),
    /// An earlier message had the same id and another payload.
    OtherPayload,
}

/// The right to work on one invitation until the end of the invocation. Two attempts never work at the same time. After
/// a crash, the next attempt waits only until the lease runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The attempt that holds it: random, and never used again.
    pub holder: Uuid,
    /// The message that it works on: the same for every delivery, another one after a dead letter was put back.
    pub message: Uuid,
    /// When it runs out.
    pub until: OffsetDateTime,
}

/// The completed steps of an invitation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The lead, once it is known.
    pub lead: Option<LeadId>,
    /// Whether the lead existed before this invitation.
    pub existing: bool,
    /// Whether this invitation registered the lead with the portal, or may have.
    pub registered: bool,
    /// Whether that Register carried the mark of a public form's identifiers and password.
    pub mark: MarkSent,
    /// The person it is for, once their address is known.
    pub person: Option<PersonKey>,
    /// Whether an earlier attempt may have registered the person and crashed before it recorded that.
    pub in_doubt: bool,
    /// Whether the mail was certainly sent.
    pub mailed: bool,
    /// When a look-up that decides rules was taken whose call was not made. It is left for an attempt on the same day.
    pub unused_lookup: Option<OffsetDateTime>,
    /// Mails that were begun and may or may not have been sent.
    pub unresolved_mails: u32,
    /// Lead fields that were left out of the registration: LeadSquared refused them, or gave no answer of its own to a
    /// registration with them.
    pub left_out: Vec<String>,
    /// Those of them that the lead's notes have.
    pub noted: Vec<String>,
    /// Whether the registration had the identifying attributes only, because the content is the cause of a failure.
    /// Only the message has what was left out, apart from what is noted.
    pub is_reduced: bool,
    /// Failures that depend on what the message contains.
    pub content: ContentFailures,
    /// The calls of all attempts.
    pub calls: CallsMade,
    /// Whether the attempt before this one recorded nothing. The ledger does not keep it.
    pub is_taken_over: bool,
    /// What LeadSquared did for the person in this attempt. The ledger keeps it for other invitations only.
    pub success: Option<Success>,
    /// When a mail was begun that was certainly not sent. Its place in the [`MailHistory`] can still be used.
    pub unused_mail: Option<OffsetDateTime>,
    /// Attempts whose mail LeadSquared refused to deliver.
    pub mail_refusals: LoneFailures,
    /// How it ended before it was put back. This end stays counted until the invitation ends another way.
    pub ended: Option<Ended>,
}

/// Whether Register carried the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarkSent {
    /// It did not (an earlier release registered the lead, or LeadSquared refused the mark), or that is unknown.
    #[default]
    No,
    /// Register carried it.
    Yes,
    /// There was nothing to mark: Register sent no identifier and no password from a form.
    NotNeeded,
}

/// An [`Outcome`] as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its [`name`](Outcome::name).
    pub name: String,
    /// Its [`cause`](Outcome::cause).
    pub cause: Option<String>,
    /// The message that it ended with; none once another message was taken up.
    pub message: Option<Uuid>,
}

impl Ended {
    /// The outcome of an attempt with this lease.
    pub fn new(outcome: &Outcome, lease: &Lease) -> Self {
        let cause = outcome.cause().map(Cow::into_owned);
        Self { name: outcome.name().to_owned(), cause, message: Some(lease.message) }
    }
}

impl Record {
    /// Prepares an attempt at this message. Returns false when nothing is left to do.
    ///
    /// A rejected or exhausted invitation is tried again, because its dead letter could not be written or an operator
    /// put it back. Once put back it is another message: its calls and its mails with an unknown result no longer
    /// count, and a person who is not registered yet is registered with all attributes again.
    pub fn take_up(&mut self, message: Uuid) -> bool {
        let Some(ended) = &mut self.ended else { return true };
        if !["rejected", "exhausted"].contains(&&*ended.name) {
            return false;
        }
        if ended.message.is_some_and(|before| before != message) {
            ended.message = None;
            (self.unresolved_mails, self.mail_refusals) = (0, LoneFailures::default());
            self.calls = CallsMade::default();
            self.forget_failures();
        }
        true
    }

    /// Prepares an attempt after one that crashed, or could not record how far it came.
    pub fn take_over(&mut self) {
        self.in_doubt = self.lead.is_none();
        self.unused_lookup = None;
        self.is_taken_over = true;
    }

    /// Begins to count failures of the content anew. The suspicion stays while a registration has an unknown result,
    /// because that may have been a reduced one.
    pub(crate) fn forget_failures(&mut self) {
        let is_suspected = self.content.is_suspected && self.in_doubt;
        self.content = ContentFailures { is_suspected, ..ContentFailures::default() };
    }

    /// The claim of an invitation that has ended. Where only the message has some attributes, it becomes a dead letter:
    /// an earlier delivery may have crashed before it wrote one, or an operator put back one of another class.
    ///
    /// `is_repeat`: the application was sent once more, later. The message before it left the queue with a dead letter,
    /// so there is no second one, which any visitor could cause.
    pub fn done(self, is_repeat: bool) -> Claim {
        match self.withheld() {
            Some(left_out) if !is_repeat => Claim::DoneWithout(left_out),
            _ => Claim::Done,
        }
    }

    /// Whether this invitation registered the person without what only its message has. What the person types later is
    /// then kept, because LeadSquared may lack it too.
    pub fn has_reduced_person(&self) -> bool {
        self.registered && self.lead.is_some() && self.withheld().is_some()
    }

    /// The attributes that a dead letter has to keep, because only the message has them; none if nothing is missing.
    pub fn withheld(&self) -> Option<LeftOut> {
        if !self.is_reduced {
            return None;
        }
        let (noted, withheld): (Vec<_>, Vec<_>) =
            self.left_out.iter().cloned().partition(|name| self.noted.contains(name));
        (!withheld.is_empty()).then_some(LeftOut { withheld, noted })
    }
}

/// The attributes that a reduced registration left out, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Those that only the message has.
    pub withheld: Vec<String>,
    /// Those that the lead's notes have.
    pub noted: Vec<String>,
}
