//! The steps of an invitation, in their order: person, mail book, lead, booking, link, mail.

mod lead;
mod link;
mod mail;
mod person;
mod postponed;
mod registration;

use std::ops::ControlFlow;

use leadsquared::schema_name::PHONE_NUMBERS;
use leadsquared::{Password, PortalId};
use time::OffsetDateTime;
use url::Url;

pub use postponed::Postponed;

use self::postponed::Stop;
use crate::{
    Action, Claim, Crm, Invitation, Lease, Ledger, LinkMode, LinkToken, Mail, MailLimits, Marking, Outcome, PASSWORD,
    Record, Rejection,
};

/// Takes invitations through their steps.
pub struct Flow<'a, C, L, M> {
    /// LeadSquared.
    pub crm: &'a C,
    /// The ledger, which knows the steps of earlier attempts.
    pub ledger: &'a L,
    /// The way mail goes out.
    pub mail: &'a M,
    /// The target of the mailed link.
    pub link: &'a LinkMode,
    /// How much mail may be sent.
    pub mail_limits: MailLimits,
    /// How leads with unproven identifiers are marked.
    pub marking: &'a Marking,
}

/// The portal that applicants are invited to.
#[derive(Clone, Debug)]
pub struct Portal {
    /// Its id in LeadSquared.
    pub id: PortalId,
    /// The page an auto-login link opens.
    pub page: Url,
}

/// One attempt at an invitation: its time and its randomness.
pub struct Attempt {
    /// When it began.
    pub now: OffsetDateTime,
    /// The lease that it asks for.
    pub lease: Lease,
    /// The random password of a new portal user who chose none.
    pub password: Password,
    /// The password that the applicant chose.
    pub chosen_password: Option<Password>,
    /// The random token of an on-click link.
    pub token: LinkToken,
}

/// How an attempt ended its invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The outcome.
    pub outcome: Outcome,
    /// Attributes that this invitation lost because LeadSquared has no such field or refused the value. An operator
    /// can change that, so phone numbers of another lead and passwords that the portal refuses are not counted.
    pub fields_left_out: usize,
}

/// An invitation that an attempt works on.
struct Work<'a> {
    invitation: &'a Invitation,
    attempt: &'a Attempt,
    /// The steps that this attempt and the earlier ones have completed.
    record: Record,
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    /// Takes an invitation as far as possible, from the step at which the earlier attempt stopped.
    ///
    /// # Errors
    /// When it is not finished and must be tried again.
    pub async fn run(&self, invitation: &Invitation, attempt: Attempt) -> Result<Completion, Postponed> {
        if invitation.action == Action::Activity {
            return Err(Postponed::NotSupported);
        }
        let (lease, now) = (&attempt.lease, attempt.now);
        let record = match begin(self.ledger, invitation, lease, now).await? {
            ControlFlow::Continue(record) => record,
            ControlFlow::Break(outcome) => return Ok(Completion { outcome, fields_left_out: 0 }),
        };
        let mut work = Work { invitation, attempt: &attempt, record };
        let outcome = match self.invite(&mut work).await {
            Ok(outcome) | Err(Stop::Ended(outcome)) => outcome,
            Err(Stop::Postponed(postponed)) => {
                release_claim(self.ledger, invitation, lease, &work.record, now).await;
                return Err(postponed);
            }
        };
        let outcome = end(self.ledger, invitation, lease, &work.record, outcome, now).await?;
        Ok(Completion { outcome, fields_left_out: work.fields_left_out() })
    }

    /// The steps. A later attempt may repeat each of them, because the record has the completed ones.
    async fn invite(&self, work: &mut Work<'_>) -> Result<Outcome, Stop> {
        // An earlier attempt sent the mail and crashed before it ended the invitation.
        if work.record.mailed {
            return Ok(invited(&work.record));
        }
        let person = self.find_person(work).await?;
        let book = self.open_mail_book(work, &person).await?;
        let lead = self.find_or_register_lead(work, &person).await?;
        let booking = self.book_mail(work, &person, &book)?;
        let link = self.make_link(work, &person, lead).await?;
        self.begin_mail(work, &booking, &link).await?;
        self.send_mail(work, &person, lead, &link).await
    }
}

impl Work<'_> {
    /// The attributes that [`Completion::fields_left_out`] counts.
    fn fields_left_out(&self) -> usize {
        let is_for_operator = |name: &str| name != PASSWORD && !PHONE_NUMBERS.contains(&name);
        self.record.left_out.iter().filter(|name| is_for_operator(name)).count()
    }
}

/// Ends an invitation that has reached its horizon. It continues if its dead letter is put back.
///
/// It uses only the ledger, because LeadSquared may be the failing service.
///
/// # Errors
/// When the ledger could not record the end.
pub async fn give_up<L: Ledger>(
    ledger: &L,
    invitation: &Invitation,
    lease: Lease,
    now: OffsetDateTime,
    cause: &str,
) -> Result<Outcome, Postponed> {
    let record = match begin(ledger, invitation, &lease, now).await? {
        ControlFlow::Continue(record) => record,
        ControlFlow::Break(outcome) => return Ok(outcome),
    };
    let outcome = if record.mailed { invited(&record) } else { Outcome::Exhausted { cause: cause.to_owned() } };
    end(ledger, invitation, &lease, &record, outcome, now).await
}

/// Claims an invitation. Returns its record, or its outcome if nothing is left to do.
async fn begin<L: Ledger>(
    ledger: &L,
    invitation: &Invitation,
    lease: &Lease,
    now: OffsetDateTime,
) -> Result<ControlFlow<Outcome, Record>, Postponed> {
    match ledger.claim(invitation, lease, now).await.map_err(Postponed::ledger)? {
        Claim::Granted(record) => Ok(ControlFlow::Continue(record)),
        Claim::Done => Ok(ControlFlow::Break(Outcome::AlreadyInvited)),
        Claim::OtherPayload => Ok(ControlFlow::Break(Outcome::Rejected(Rejection::IdReused))),
        Claim::Held => Err(Postponed::Held),
    }
}

async fn end<L: Ledger>(
    ledger: &L,
    invitation: &Invitation,
    lease: &Lease,
    record: &Record,
    outcome: Outcome,
    now: OffsetDateTime,
) -> Result<Outcome, Postponed> {
    match ledger.end(invitation, lease, record, &outcome, now).await {
        Ok(()) => Ok(outcome),
        Err(error) => {
            // Otherwise the next attempt would not know of a mail that was sent.
            release_claim(ledger, invitation, lease, record, now).await;
            Err(Postponed::ledger(error))
        }
    }
}

/// Records how far an attempt came. If this fails, the next attempt waits for the lease to run out and looks the
/// person up, so the caller reports only the error that it already has.
async fn release_claim<L: Ledger>(
    ledger: &L,
    invitation: &Invitation,
    lease: &Lease,
    record: &Record,
    now: OffsetDateTime,
) {
    if let Err(error) = ledger.release(invitation, lease, record, now).await {
        tracing::warn!(
            receipt = %invitation.id,
            error = %error,
            "the ledger did not release the claim: the next attempt waits until it runs out, no action needed"
        );
    }
}

fn invited(record: &Record) -> Outcome {
    if record.existing { Outcome::InvitedExisting } else { Outcome::Invited }
}
