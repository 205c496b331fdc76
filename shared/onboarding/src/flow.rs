//! The steps of an invitation, in their order: person, mail book, lead, reservation, link, mail.

mod bookkeeping;
mod event;
mod lead;
mod link;
mod mail;
mod person;
mod postponed;
mod registration;

use std::borrow::Cow;
use std::ops::ControlFlow;

use leadsquared::{OneTimeCode, Password, PortalId};
use time::OffsetDateTime;
use url::Url;

pub use bookkeeping::Bookkeeping;
pub use event::{FlowEvent, RefusedMark};
pub use postponed::Postponed;

use self::postponed::Stop;
use crate::content::Verdict;
use crate::crm::Counted;
use crate::rules::RuleLookups;
use crate::{
    Action, Crm, Invitation, LastSuccesses, Lease, Ledger, LeftOut, LinkMode, LinkToken, Mail, MailLimits, Marking,
    Outcome, Provenance, Record, Rejection,
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
    /// The rules, for invitations whose event did not decide them.
    pub lookups: &'a RuleLookups,
    /// Takes note of what happened, for logs.
    pub report: &'a dyn Fn(&FlowEvent<'_>),
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
    /// The random code that its page asks for, if it asks for one.
    pub code: OneTimeCode,
    /// Whether later messages of the person may have been handled before this one, which
    /// [made way](crate::worker::Delivery::has_own_group).
    pub may_be_overtaken: bool,
}

/// How an attempt ended its invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The outcome.
    pub outcome: Outcome,
    /// Attributes that this invitation lost because LeadSquared has no such field or refused the value. An operator
    /// can change that, so phone numbers of another lead and passwords that the portal refuses are not counted.
    pub fields_left_out: usize,
    /// Attributes that only the message has, because its content is the cause of a failure. The message must be kept.
    pub withheld: Option<LeftOut>,
}

impl From<Outcome> for Completion {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, fields_left_out: 0, withheld: None }
    }
}

/// An invitation that an attempt works on.
struct Work<'a> {
    /// Once a look-up has decided its rules, with the rule that fires and its action.
    invitation: Cow<'a, Invitation>,
    attempt: &'a Attempt,
    /// The steps that this attempt and the earlier ones have completed.
    record: Record,
    /// When LeadSquared last worked for others, once the ledger was asked.
    others: LastSuccesses,
    /// Whether the lead may lack what this invitation has, because another one registered the person: one that came
    /// later, or with the identifying attributes only.
    may_lack_attributes: bool,
    /// Whether this attempt sent a registration with the identifying attributes only.
    has_tried_less: bool,
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
        let Attempt { lease, now, .. } = attempt;
        let books = Bookkeeping { ledger: self.ledger, invitation, lease, now, report: self.report };
        let record = match books.claim().await? {
            ControlFlow::Continue(record) => record,
            ControlFlow::Break(completion) => return Ok(completion),
        };
        let others = LastSuccesses::default();
        let mut work = Work {
            invitation: Cow::Borrowed(invitation),
            attempt: &attempt,
            record,
            others,
            may_lack_attributes: attempt.may_be_overtaken,
            has_tried_less: false,
        };
        let crm = Counted::new(self.crm);
        let Flow { ledger, mail, link, mail_limits, marking, lookups, report, .. } = *self;
        let flow = Flow { crm: &crm, ledger, mail, link, mail_limits, marking, lookups, report };
        flow.expect_reduced(&mut work);
        let invited = flow.invite(&mut work).await;
        work.record.calls.count += crm.made();
        let stop = match invited {
            Err(Stop::Postponed(postponed)) => work.after_failure(postponed),
            Ok(outcome) => Stop::Ended(outcome),
            Err(stop) => stop,
        };
        let outcome = match stop {
            Stop::Ended(outcome) => outcome,
            Stop::Postponed(postponed) => {
                books.release(&work.record).await;
                return Err(postponed);
            }
        };
        books.end(&work.record, outcome).await
    }

    /// The steps. A later attempt may repeat each of them, because the record has the completed ones.
    async fn invite(&self, work: &mut Work<'_>) -> Result<Outcome, Stop> {
        // An earlier attempt sent the mail and crashed before it ended the invitation.
        if work.record.mailed {
            return Ok(invited(&work.record));
        }
        self.back_off(work).await?;
        let person = self.find_person(work).await?;
        let book = self.open_mail_book(work, &person).await?;
        let lead = self.find_or_register_lead(work, &person).await?;
        let reservation = self.reserve_mail(work, &person, &book)?;
        let link = self.make_link(work, &person, lead, &book).await?;
        self.begin_mail(work, &reservation, &link).await?;
        self.send_mail(work, &person, lead, &link).await
    }

    /// Postpones an attempt that would make calls too soon after the one before: at what a visitor of a website typed,
    /// or at a question, whose attempts each take a look-up.
    async fn back_off(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let is_question = work.invitation.question.is_some();
        // Once the lead is known, no call contains what the visitor typed.
        let may_be_blocked = work.invitation.provenance != Provenance::System && work.record.lead.is_none();
        if !(is_question || may_be_blocked) || work.record.calls.backs_off_from().is_none() {
            return Ok(());
        }
        let person = work.record.person.clone().unwrap_or_else(|| work.invitation.person());
        let book = self.ledger.mail_book(&person, work.attempt.now).await.map_err(Stop::ledger)?;
        let others = match is_question {
            // A question has no content that a firewall could block, so these are no reason to suspect it.
            true => book.successes.looked_up.max(book.successes.registered),
            false => {
                work.others = book.successes;
                work.success_of_others()
            }
        };
        let Record { calls, content, .. } = &work.record;
        match calls.wait_until(others, content, work.attempt.now) {
            Some(until) => Err(Stop::Postponed(Postponed::BackingOff { until })),
            None => Ok(()),
        }
    }
}

impl Work<'_> {
    /// When LeadSquared last did for another person what this invitation needs next.
    fn success_of_others(&self) -> Option<OffsetDateTime> {
        match (self.record.lead, self.invitation.action) {
            (None, Action::Invite) => self.others.registered,
            (None, Action::MailLink | Action::Activity) => self.others.looked_up,
            (Some(_), _) => self.others.mailed,
        }
    }

    /// Decides whether the content of the message is the cause of a failure. Every call of LeadSquared that fails comes
    /// here, except for a mail with an unknown result, which has its own limit.
    fn after_failure(&mut self, postponed: Postponed) -> Stop {
        let Postponed::LeadSquared { step, source } = postponed else { return Stop::Postponed(postponed) };
        if !source.is_unanswered() {
            return Stop::Postponed(Postponed::LeadSquared { step, source });
        }
        let (others, has_answer, now) = (self.success_of_others(), self.record.success.is_some(), self.attempt.now);
        self.record.calls.last = Some(now);
        match self.record.content.failed(others, has_answer, self.has_tried_less, now) {
            Verdict::Unclear => Stop::Postponed(Postponed::LeadSquared { step, source }),
            Verdict::Lone => Stop::Postponed(Postponed::Lone { step, source }),
            Verdict::GiveUp => Rejection::Content { failure: source.name() }.into(),
        }
    }
}

fn invited(record: &Record) -> Outcome {
    if record.existing { Outcome::InvitedExisting } else { Outcome::Invited }
}
