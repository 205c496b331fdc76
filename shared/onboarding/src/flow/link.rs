//! The link for the mail.

use std::time::Duration;

use leadsquared::portal::{KEY_LIFETIME, auto_login_link};
use leadsquared::{AutoLoginKey, Error, LeadId, LoginLink, OneTimeCode};

use super::person::Person;
use super::postponed::{Postponed, Stop};
use super::{Attempt, Flow, Work};
use crate::portal_key::{PortalKeyError, portal_key};
use crate::{Crm, Ledger, LinkMode, LinkTarget, Mail, MailHistory, MarkSent, Rejection, USED_LINKS};

/// A link, how long it works, and the target of an on-click link.
pub(super) struct MailedLink {
    pub(super) link: LoginLink,
    pub(super) valid_for: Duration,
    /// The code that the link's page asks for, if it does.
    pub(super) code: Option<OneTimeCode>,
    pub(super) target: Option<LinkTarget>,
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    pub(super) async fn make_link(
        &self,
        work: &mut Work<'_>,
        person: &Person,
        lead: LeadId,
        book: &MailHistory,
    ) -> Result<MailedLink, Stop> {
        match self.link {
            LinkMode::Direct { portal } => {
                let key = self.auto_login_key(work, person, lead).await?;
                let link = auto_login_link(&portal.page, &lead, &portal.id, &key);
                Ok(MailedLink { link, valid_for: KEY_LIFETIME, code: None, target: None })
            }
            LinkMode::OnClick { page, valid_for } => {
                let Attempt { token, code, now, .. } = work.attempt;
                let before = book.used_links.map_or(0, |used| used.before(*now));
                // A message of an earlier release has a count of its own.
                let used_links = work.invitation.used_links.max(before);
                let code = (used_links >= USED_LINKS).then(|| code.clone());
                let target = LinkTarget {
                    link: token.hash(),
                    lead,
                    person: person.key.clone(),
                    invitation: work.invitation.id,
                    made_at: *now,
                    valid_until: *now + *valid_for,
                    used_links,
                    code: code.as_ref().map(|code| token.code_hash(code.expose())),
                };
                Ok(MailedLink { link: token.link(page), valid_for: *valid_for, code, target: Some(target) })
            }
        }
    }

    async fn auto_login_key(&self, work: &mut Work<'_>, person: &Person, lead: LeadId) -> Result<AutoLoginKey, Stop> {
        const STEP: &str = "making the auto-login key";
        let record = &mut work.record;
        if record.is_taken_over && record.existing && !record.registered {
            // The attempt before may have made the lead a portal user: LeadSquared's webhook on that is our own echo.
            (record.registered, record.mark) = (true, MarkSent::NotNeeded);
        }
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
