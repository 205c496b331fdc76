//! The mail: whether the limits allow it, its intent in the ledger, and sending it.

use leadsquared::{Error, LeadId};
use time::Duration;

use super::link::MailedLink;
use super::person::Person;
use super::postponed::{Postponed, Stop};
use super::{Flow, FlowEvent, Work, invited};
use crate::mail_limits::NoMail;
use crate::{
    Action, Crm, Invitee, Ledger, LoginLinkMail, Mail, MailError, MailHistory, MailReservation, Marking, Outcome,
    Record, Rejection, Suppression,
};

/// After this many mails with an unknown result no further mail is sent. One mail may be repeated, but a third could be
/// one too many.
const UNRESOLVED_MAILS: u32 = 2;

/// How long mail to one person is refused at least before the person is the cause. The account's mail credits may be
/// used up and topped up meanwhile.
const REFUSED_FOR: Duration = Duration::HOUR;

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    /// The person's mails so far. Ends the invitation if the person was mailed a moment ago.
    pub(super) async fn open_mail_book(&self, work: &mut Work<'_>, person: &Person) -> Result<MailHistory, Stop> {
        let (received_at, now) = (work.invitation.received_at, work.attempt.now);
        let mut book = self.ledger.mail_book(&person.key, now).await.map_err(Stop::ledger)?;
        work.others = book.successes;
        work.may_lack_attributes |= book.is_reduced;
        let is_served = |book: &MailHistory| self.mail_limits.is_served(book, received_at, now);
        let names_lead = matches!(work.invitation.invitee, Invitee::Lead(_));
        if work.invitation.action == Action::MailLink && (names_lead || is_served(&book)) {
            // An applicant who pressed twice has a used link seconds after its mail, and needs another one. The ledger
            // keeps used links by lead.
            let lead = self.find_or_register_lead(work, person).await?;
            book.link_used = self.ledger.newest_link_used(&lead).await.map_err(Stop::ledger)?;
        }
        match is_served(&book) {
            true => {
                work.keep_what_was_typed(self.marking);
                Err(Stop::Ended(Outcome::AlreadyInvited))
            }
            false => Ok(book),
        }
    }

    /// A place for the mail within the limits.
    pub(super) fn reserve_mail(
        &self,
        work: &Work<'_>,
        person: &Person,
        book: &MailHistory,
    ) -> Result<MailReservation, Stop> {
        let Work { invitation, attempt, record, .. } = work;
        if record.unresolved_mails >= UNRESOLVED_MAILS {
            return Err(Rejection::MailUnknown.into());
        }
        let limits = self.mail_limits.of(invitation);
        let (id, asked_at, unused) = (invitation.id, invitation.received_at, record.unused_mail);
        let reservation = limits.reserve(person.key.clone(), book, id, asked_at, unused, attempt.now);
        reservation.map_err(|no_mail| match no_mail {
            NoMail::Capped => Stop::Ended(Outcome::Suppressed(Suppression::MailCap)),
            NoMail::CappedUnseen => Rejection::MailUnknown.into(),
            NoMail::UnderWay => Stop::Postponed(Postponed::MailBookChanged),
            // Postponed and not suppressed: others were mailed too often, not this person.
            NoMail::BudgetSpent { until } => Stop::Postponed(Postponed::MailBudget { until }),
        })
    }

    /// Records that the mail is about to be sent.
    pub(super) async fn begin_mail(
        &self,
        work: &mut Work<'_>,
        reservation: &MailReservation,
        link: &MailedLink,
    ) -> Result<(), Stop> {
        let Work { invitation, attempt, record, .. } = work;
        let unused_before = record.unused_mail.take();
        record.unresolved_mails += 1;
        match self.ledger.begin_mail(invitation, &attempt.lease, record, reservation, link.target.as_ref()).await {
            Ok(true) => {
                if record.unresolved_mails > 1 {
                    (self.report)(&FlowEvent::MailRepeated { receipt: invitation.id });
                }
                Ok(())
            }
            // The ledger certainly did not write it, so the mail is not begun either.
            Ok(false) => {
                record.unresolved_mails -= 1;
                record.unused_mail = unused_before;
                Err(Stop::Postponed(Postponed::MailBookChanged))
            }
            Err(error) => {
                work.mail_was_not_sent();
                Err(Stop::ledger(error))
            }
        }
    }

    pub(super) async fn send_mail(
        &self,
        work: &mut Work<'_>,
        person: &Person,
        lead: LeadId,
        link: &MailedLink,
    ) -> Result<Outcome, Stop> {
        let letter = LoginLinkMail {
            lead,
            to: &person.email,
            link: &link.link,
            valid_for: link.valid_for,
            code: link.code.as_ref(),
        };
        match self.mail.send(letter).await {
            Ok(()) => {
                work.record.unresolved_mails -= 1;
                work.record.mailed = true;
                Ok(invited(&work.record))
            }
            Err(MailError::Unknown(source)) => Err(Stop::Postponed(Postponed::MailUnknown(source))),
            Err(MailError::NoRecipient) => {
                work.mail_was_not_sent();
                Err(Stop::suppressed(Suppression::NoRecipient))
            }
            Err(MailError::NotSent(source)) => {
                work.mail_was_not_sent();
                if matches!(source, Error::MailNotDeliverable) && work.is_about_recipient() {
                    return Err(Rejection::MailRefused.into());
                }
                Err(Stop::Postponed(Postponed::LeadSquared { step: "sending the mail", source }))
            }
            Err(MailError::Refused(exception_type)) => {
                work.mail_was_not_sent();
                Err(Stop::refused(exception_type))
            }
        }
    }
}

impl Work<'_> {
    /// Has a dead letter keep the attributes of an application whose person another one registered with other
    /// attributes, although this one came first; or with none, because its content was the cause of a failure, and any
    /// visitor may have sent it.
    pub(super) fn keep_what_was_typed(&mut self, marking: &Marking) {
        let Work { invitation, record, .. } = self;
        let names = invitation.attributes.iter().map(|(name, _)| name).filter(|name| marking.permits(name));
        if self.may_lack_attributes && invitation.action == Action::Invite && !record.is_reduced {
            record.left_out = names.map(str::to_owned).collect();
            record.is_reduced = !record.left_out.is_empty();
        }
    }

    /// Whether LeadSquared refuses to deliver mail to this person, and not all of the account's mail: again and again
    /// it sent another person's mail before it refused this one.
    fn is_about_recipient(&mut self) -> bool {
        let refusals = &mut self.record.mail_refusals;
        refusals.add(refusals.is_alone(self.others.mailed), REFUSED_FOR, self.attempt.now)
    }

    /// The mail that was begun certainly was not sent: the next one takes its place in the book.
    fn mail_was_not_sent(&mut self) {
        let record: &mut Record = &mut self.record;
        record.unresolved_mails -= 1;
        record.unused_mail = Some(self.attempt.now);
    }
}
