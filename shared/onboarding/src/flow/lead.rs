//! The person's lead: known from an earlier attempt, found, or newly registered as a portal user.

use leadsquared::LeadId;
use leadsquared::crm::Lead;

use super::person::Person;
use super::{Flow, Stop, Work};
use crate::{Action, Crm, Ledger, Mail, MarkSent, Outcome, Rejection, Suppression};

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    pub(super) async fn find_or_register_lead(&self, work: &mut Work<'_>, person: &Person) -> Result<LeadId, Stop> {
        if let Some(lead) = work.record.lead {
            return Ok(lead);
        }
        let lead = match work.invitation.action {
            Action::Invite => self.known_or_new_lead(work, person).await?,
            Action::MailLink | Action::Activity => self.known_lead(work, person).await?,
        };
        work.record.in_doubt = false;
        work.record.lead = Some(lead);
        Ok(lead)
    }

    /// A request for a link never makes a lead.
    async fn known_lead(&self, work: &mut Work<'_>, person: &Person) -> Result<LeadId, Stop> {
        match self.lead_by_email(person).await {
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
        // The result of an earlier Register is unknown: it is looked up, not repeated.
        let found = if work.record.in_doubt { self.lead_by_email(person).await? } else { None };
        // A lead found here may come from an earlier attempt; its webhook is then our own echo.
        work.record.registered = true;
        match found {
            Some(lead) => {
                work.record.existing = true;
                work.record.mark = self.mark_of(&lead);
                Ok(lead.id())
            }
            None => self.register(work, person).await,
        }
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

    /// Whether a lead that was found carries the mark. An earlier attempt may have created the lead without one.
    pub(super) fn mark_of(&self, lead: &Lead) -> MarkSent {
        if lead.field_ignoring_case(&self.marking.field).is_some() { MarkSent::Yes } else { MarkSent::No }
    }
}
