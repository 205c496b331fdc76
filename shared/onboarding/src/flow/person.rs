//! The person an invitation is for.

use leadsquared::crm::Lead;
use leadsquared::{EmailAddress, LeadId};
use time::Duration;

use super::{Flow, FlowEvent, Postponed, Stop, Work};
use crate::rules::{Rule, RuleLookups};
use crate::{Action, Crm, Invitee, Ledger, Mail, Outcome, PersonKey, Rejection, RuleQuestion, Success, Suppression};

/// How long further questions about a lead are one message: the queue drops what has the same deduplication id.
const SAME_QUESTION: Duration = Duration::minutes(5);

/// The person, by the address that the invitation names or that LeadSquared has on record.
pub(super) struct Person {
    pub(super) email: EmailAddress,
    pub(super) key: PersonKey,
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    pub(super) async fn find_person(&self, work: &mut Work<'_>) -> Result<Person, Stop> {
        let email = match &work.invitation.invitee {
            Invitee::Email(email) => email.clone(),
            Invitee::Lead(lead) => self.email_on_record(work, *lead).await?,
        };
        let key = PersonKey::of(&email);
        work.record.person = Some(key.clone());
        Ok(Person { email, key })
    }

    async fn email_on_record(&self, work: &mut Work<'_>, lead: LeadId) -> Result<EmailAddress, Stop> {
        let found = match work.invitation.question.clone() {
            Some(question) => {
                let found = self.decide_rules(work, &question, lead).await?;
                self.end_if_registered(work, lead).await?;
                found
            }
            None => {
                self.end_if_registered(work, lead).await?;
                self.lead_by_id(work, lead).await?.ok_or_else(|| match work.invitation.action {
                    Action::Invite => Rejection::NoSuchLead.into(),
                    Action::MailLink | Action::Activity => Stop::suppressed(Suppression::UnknownPerson),
                })?
            }
        };
        let email = found.email().ok_or_else(|| Stop::suppressed(Suppression::NoEmailAddress))?;
        work.record.lead = Some(lead);
        work.record.existing = true;
        Ok(email)
    }

    /// Decides the rules that the event did not decide, and returns the lead. Each attempt asks again, because the lead
    /// may have changed.
    async fn decide_rules(&self, work: &mut Work<'_>, question: &RuleQuestion, lead: LeadId) -> Result<Lead, Stop> {
        let now = work.attempt.now;
        self.take_rule_lookup(work).await?;
        let found = self.lead_by_id(work, lead).await;
        work.record.unused_lookup = found.as_ref().is_err_and(Stop::is_without_a_call).then_some(now);
        let found = found?;
        let receipt = work.invitation.id;
        let report_unknown = |rule: &Rule, field: &str| {
            (self.report)(&FlowEvent::RuleNeedsUnknownField { receipt, rule: &rule.name, field });
        };
        let Some(lead) = found else { return Err(Stop::suppressed(Suppression::NoRuleApplies)) };
        let asked_at = work.invitation.received_at;
        let Some(rule) = self.lookups.rules.answer(question, now - asked_at, &lead, report_unknown) else {
            let until = asked_at + SAME_QUESTION;
            return Err(match now < until {
                true => Stop::Postponed(Postponed::RulesUndecided { until }),
                false => Stop::suppressed(Suppression::NoRuleApplies),
            });
        };
        (self.report)(&FlowEvent::RuleDecided { receipt, rule: &rule.name });
        let invitation = work.invitation.to_mut();
        (invitation.rule, invitation.action) = (Some(rule.name.clone()), rule.action);
        Ok(lead)
    }

    /// Takes one of the day's look-ups. They count calls, so each attempt takes one, whether LeadSquared answers or
    /// not.
    async fn take_rule_lookup(&self, work: &mut Work<'_>) -> Result<(), Stop> {
        let (now, a_day) = (work.attempt.now, self.lookups.a_day);
        if work.record.unused_lookup.take().is_some_and(|at| at.date() == now.date()) {
            return Ok(());
        }
        let is_first = RuleLookups::is_first(work.invitation.received_at, work.record.calls, now);
        match self.ledger.take_rule_lookup(self.lookups.most(is_first, now), now).await.map_err(Stop::ledger)? {
            true => Ok(()),
            false => Err(Stop::Postponed(Postponed::RuleLookups { a_day, is_first })),
        }
    }

    async fn lead_by_id(&self, work: &mut Work<'_>, lead: LeadId) -> Result<Option<Lead>, Stop> {
        let found = self.crm.lead_by_id(&lead).await;
        let found = found.map_err(|error| Stop::because("looking the lead up by its id", error))?;
        work.record.success = Some(Success::LookedUp);
        Ok(found)
    }

    /// Ends an invitation to the portal whose person has a link already.
    async fn end_if_registered(&self, work: &Work<'_>, lead: LeadId) -> Result<(), Stop> {
        if work.invitation.action == Action::Invite && self.is_registered_since_asked(work, lead).await? {
            return Err(Stop::Ended(Outcome::AlreadyInvited));
        }
        Ok(())
    }

    /// Whether we registered the lead since the invitation was asked for, or a moment before: then the person has a
    /// link. LeadSquared's webhooks on our own registrations arrive as such invitations, and late.
    async fn is_registered_since_asked(&self, work: &Work<'_>, lead: LeadId) -> Result<bool, Stop> {
        let registered_at = self.ledger.registered_at(&lead).await.map_err(Stop::ledger)?;
        let asked_for = work.invitation.received_at - self.mail_limits.cool_down;
        Ok(registered_at.is_some_and(|at| at > asked_for))
    }
}
