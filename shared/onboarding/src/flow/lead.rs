//! The person's lead: known from an earlier attempt, found, or newly registered as a portal user.

use leadsquared::crm::Lead;
use leadsquared::schema_name::CREATED_ON;
use leadsquared::{LeadId, date_time};
use time::{Duration, UtcDateTime};

use super::person::Person;
use super::registration::{Extent, withheld};
use super::{Flow, Stop, Work};
use crate::{
    Action, ContentFailures, Crm, Invitation, Ledger, Mail, MarkSent, Outcome, PASSWORD, Rejection, Success,
    Suppression, Unproven,
};

/// By how much a date-time of LeadSquared is off at most, if it is in the time zone of an account and not in UTC. A
/// lead that was created longer before the request is not one that our registration made.
const TIME_ZONES: Duration = Duration::DAY;

/// When the lead was created, if LeadSquared says it.
fn created_on(lead: &Lead) -> Option<UtcDateTime> {
    lead.field(CREATED_ON).and_then(date_time::read)
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    pub(super) async fn find_or_register_lead(&self, work: &mut Work<'_>, person: &Person) -> Result<LeadId, Stop> {
        if let Some(lead) = work.record.lead {
            return Ok(lead);
        }
        let lead = match work.invitation.action {
            Action::Invite => self.known_or_new_lead(work, person).await?,
            Action::MailLink | Action::Activity => self.known_lead(work, person).await?,
        };
        let record = &mut work.record;
        (record.lead, record.in_doubt, record.content) = (Some(lead), false, ContentFailures::default());
        Ok(lead)
    }

    /// A request for a link never makes a lead.
    async fn known_lead(&self, work: &mut Work<'_>, person: &Person) -> Result<LeadId, Stop> {
        let found = self.lead_by_email(person).await;
        if found.is_ok() {
            work.record.success = Some(Success::LookedUp);
        }
        match found {
            Ok(Some(lead)) => {
                work.record.existing = true;
                Ok(lead.id())
            }
            Ok(None) | Err(Stop::Ended(Outcome::Rejected(Rejection::IdentityMismatch))) => {
                Err(Stop::Ended(Outcome::Suppressed(Suppression::UnknownPerson)))
            }
            Err(stop) => Err(stop),
        }
    }

    async fn known_or_new_lead(&self, work: &mut Work<'_>, person: &Person) -> Result<LeadId, Stop> {
        if let Some(lead) = self.lead_in_doubt(work, person).await? {
            return Ok(lead);
        }
        match self.register(work, person, Extent::Whole).await {
            // If the same call succeeds with less, its content is the cause. While LeadSquared is unavailable, it fails
            // too, and nothing is left out.
            Err(stop) if work.record.content.is_suspected && stop.is_unanswered() => {
                match self.lead_in_doubt(work, person).await? {
                    Some(lead) => Ok(lead),
                    None => {
                        work.has_tried_less = true;
                        self.register(work, person, Extent::Identifying).await
                    }
                }
            }
            registered => registered,
        }
    }

    /// The lead that a Register with an unknown result may have made: that is looked up, and Register not repeated.
    async fn lead_in_doubt(&self, work: &mut Work<'_>, person: &Person) -> Result<Option<LeadId>, Stop> {
        let found = if work.record.in_doubt {
            let found = self.lead_by_email(person).await?;
            work.record.success = Some(Success::LookedUp);
            found
        } else {
            None
        };
        // A lead found here may come from an earlier attempt; its webhook is then our own echo.
        work.record.registered = true;
        Ok(found.map(|lead| self.existing_lead(work, &lead)))
    }

    /// The lead that has exactly this e-mail address, in whichever spelling it is stored.
    pub(super) async fn lead_by_email(&self, person: &Person) -> Result<Option<Lead>, Stop> {
        let mut leads = Vec::new();
        for spelling in person.email.spellings() {
            let found = self.crm.leads_by_email(&spelling).await;
            leads = found.map_err(|error| Stop::because("looking the lead up by e-mail", error))?;
            if !leads.is_empty() {
                break;
            }
        }
        if leads.is_empty() {
            return Ok(None);
        }
        let is_same = |lead: &Lead| lead.email().is_some_and(|email| person.key.is_of(&email));
        Ok(Some(leads.into_iter().find(is_same).ok_or(Rejection::IdentityMismatch)?))
    }

    /// Records that the person is this lead. If our own registration may have made it, the lead shows what that
    /// registration left out.
    pub(super) fn existing_lead(&self, work: &mut Work<'_>, lead: &Lead) -> LeadId {
        let is_older = created_on(lead).is_some_and(|at| at < work.invitation.received_at.to_utc() - TIME_ZONES);
        if work.record.in_doubt && is_older {
            let record = &mut work.record;
            (record.in_doubt, record.is_reduced, record.left_out) = (false, false, Vec::new());
        }
        self.expect_reduced(work);
        work.keep_what_was_typed(self.marking);
        let Work { invitation, record, .. } = work;
        record.existing = true;
        record.registered = record.in_doubt;
        record.mark = self.mark_of(lead);
        if record.is_reduced {
            record.left_out.retain(|name| !self.has(lead, invitation, name));
        }
        lead.id()
    }

    /// A registration with an unknown result may have been a reduced one: until the lead is found, it counts as that.
    pub(super) fn expect_reduced(&self, work: &mut Work<'_>) {
        let Work { invitation, attempt, record, .. } = work;
        if record.in_doubt && record.content.is_suspected {
            let mut names = withheld(invitation, attempt, self.marking);
            // It may have been one without the notes, which had the identifiers.
            let before = record.left_out.drain(..).filter(|name| record.is_reduced && !names.contains(name));
            let before: Vec<_> = before.collect();
            names.extend(before);
            (record.is_reduced, record.left_out) = (true, names);
            // What another registration noted may be in no lead's notes.
            record.noted.clear();
        }
    }

    /// Whether a lead has this attribute of the invitation.
    fn has(&self, lead: &Lead, invitation: &Invitation, name: &str) -> bool {
        let value = lead.field_ignoring_case(if name == PASSWORD { &self.marking.field } else { name });
        match name {
            PASSWORD => value.and_then(|mark| mark.parse().ok()).is_some_and(|mark: Unproven| !mark.allows(PASSWORD)),
            _ => value.is_some() && value == invitation.attributes.value(name),
        }
    }

    /// Whether a lead that was found carries the mark. An earlier attempt may have created the lead without one.
    pub(super) fn mark_of(&self, lead: &Lead) -> MarkSent {
        if lead.field_ignoring_case(&self.marking.field).is_some() { MarkSent::Yes } else { MarkSent::No }
    }
}
