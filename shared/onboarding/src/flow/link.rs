//! The link for the mail.

use std::time::Duration;

use leadsquared::portal::{KEY_LIFETIME, auto_login_link};
use leadsquared::{AutoLoginKey, Error, LeadId, LoginLink};

use super::person::Person;
use super::postponed::{Postponed, Stop};
use super::{Flow, Work};
use crate::portal_key::{PortalKeyError, portal_key};
use crate::{Crm, Ledger, LinkMode, LinkTarget, Mail, MarkSent, Rejection};

/// A link, how long it works, and the target of an on-click link.
pub(super) struct MailedLink {
    pub(super) link: LoginLink,
    pub(super) valid_for: Duration,
    pub(super) target: Option<LinkTarget>,
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    pub(super) async fn make_link(
        &self,
        work: &mut Work<'_>,
        person: &Person,
        lead: LeadId,
    ) -> Result<MailedLink, Stop> {
        match self.link {
            LinkMode::Direct { portal } => {
                let key = self.auto_login_key(work, person, lead).await?;
                let link = auto_login_link(&portal.page, &lead, &portal.id, &key);
                Ok(MailedLink { link, valid_for: KEY_LIFETIME, target: None })
            }
            LinkMode::OnClick { page, valid_for } => {
                let (token, now) = (&work.attempt.token, work.attempt.now);
                let target = LinkTarget {
                    link: token.hash(),
                    lead,
                    person: person.key.clone(),
                    invitation: work.invitation.id,
                    made_at: now,
                    valid_until: now + *valid_for,
                };
                Ok(MailedLink { link: token.link(page), valid_for: *valid_for, target: Some(target) })
            }
        }
    }

    async fn auto_login_key(&self, work: &mut Work<'_>, person: &Person, lead: LeadId) -> Result<AutoLoginKey, Stop> {
        const STEP: &str = "making the auto-login key";
        let record = &mut work.record;
        let registered = async |_: &Result<LeadId, Error>| {
            // Register sent nothing that a form typed. If an earlier attempt may have, its mark stays as it is known.
            if !record.registered {
                record.mark = MarkSent::NotNeeded;
            }
            // The registration is also recorded if Register's answer was lost, because the webhook arrives anyway.
            record.registered = true;
        };
        let password = work.attempt.password.clone();
        match portal_key(self.crm, lead, &person.email, password, registered).await {
            Ok(key) => Ok(key),
            Err(PortalKeyError::Key(Error::NoSuchLead)) => {
                // The lead was deleted after an earlier attempt found it. The next attempt starts over.
                work.record.lead = None;
                Err(Stop::Postponed(Postponed::LeadSquared { step: STEP, source: Error::NoSuchLead }))
            }
            Err(PortalKeyError::Key(error)) => Err(Stop::because(STEP, error)),
            Err(PortalKeyError::Register(error)) => Err(Stop::because("making the lead a portal user", error)),
            Err(PortalKeyError::OtherLead) => Err(Rejection::IdentityMismatch.into()),
        }
    }
}
