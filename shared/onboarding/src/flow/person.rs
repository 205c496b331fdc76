//! The person an invitation is for.

use leadsquared::{EmailAddress, LeadId};

use super::{Flow, Stop, Work};
use crate::{Action, Crm, Ledger, Mail, Outcome, PersonKey, Rejection, Suppression, Whom};

/// The person, by the address that the invitation names or that LeadSquared has on record.
pub(super) struct Person {
    pub(super) email: EmailAddress,
    pub(super) key: PersonKey,
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    pub(super) async fn find_person(&self, work: &mut Work<'_>) -> Result<Person, Stop> {
        let email = match &work.invitation.whom {
            Whom::Email(email) => email.clone(),
            Whom::Lead(lead) => self.email_on_record(work, *lead).await?,
        };
        let key = PersonKey::of(&email);
        work.record.person = Some(key.clone());
        Ok(Person { email, key })
    }

    async fn email_on_record(&self, work: &mut Work<'_>, lead: LeadId) -> Result<EmailAddress, Stop> {
        let invites = work.invitation.action == Action::Invite;
        if invites && self.is_registered_since_asked(work, lead).await? {
            return Err(Stop::Ended(Outcome::AlreadyInvited));
        }
        let found = self.crm.lead_by_id(&lead).await;
        let found = found.map_err(|error| Stop::because("looking the lead up by its id", error))?;
        let Some(found) = found else {
            return Err(match invites {
                true => Rejection::NoSuchLead.into(),
                false => Stop::Ended(Outcome::Suppressed(Suppression::UnknownPerson)),
            });
        };
        let email = found.email().ok_or(Rejection::NoEmailAddress)?;
        work.record.lead = Some(lead);
        work.record.existing = true;
        Ok(email)
    }

    /// Whether we registered the lead since the invitation was asked for, or a moment before: then the person has a
    /// link. LeadSquared's webhooks on our own registrations arrive as such invitations, and late.
    async fn is_registered_since_asked(&self, work: &Work<'_>, lead: LeadId) -> Result<bool, Stop> {
        let registered_at = self.ledger.registered_at(&lead).await.map_err(Stop::ledger)?;
        let asked_for = work.invitation.received_at - self.mail_limits.cool_down;
        Ok(registered_at.is_some_and(|at| at > asked_for))
    }
}
