use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use intake::{Arrival, Dropped, Fate, Intake, Sender};
use leadsquared::portal::{Registration, auto_login_link};
use leadsquared::wire::Endpoint;
use leadsquared::{Attributes, AutoLoginKey, Client, EmailAddress, Error, LeadId, LoginLink, Timeouts};
use leadsquared_account::{Account, AccountError};
use ledger::{Ledger, LedgerError};
use onboarding::{
    Action, Invitation, InvitationId, Ledger as _, LinkHash, LinkToken, PASSWORD_BYTES, PersonKey, Pointer, Source,
    Whom, generated_password,
};
use queue::{Invitations, QueueError};
use telemetry::{Metric, in_full};
use throttle::Network;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Config;
use crate::page_id::PageId;

/// How long LeadSquared has to sign somebody in who waits for it, all calls together. On the smallest plan, beside a
/// busy background, each call stands in line for up to a second and a half, and the first press of a lead that is no
/// portal user takes seven.
const PATIENCE: Duration = Duration::from_secs(15);

/// For each of these calls; the total never counts, since `PATIENCE` is no longer.
pub const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(1), attempt: Duration::from_secs(4), total: PATIENCE };

/// How long the same request for a link counts as one, in seconds. The worker mails nobody twice within a minute
/// anyway; somebody who asks again after that has a reason.
const SAME_REQUEST: i64 = 60;

/// Everything a login link works with.
pub struct LoginLinks {
    /// LeadSquared.
    pub account: Account,
    /// The links.
    pub ledger: Ledger,
    /// Where fresh ones are asked for.
    pub invitations: Invitations,
    /// How many may be asked for.
    pub intake: Intake<Dropped>,
    /// The settings.
    pub config: Config,
    /// What time it is.
    pub now: fn() -> OffsetDateTime,
    /// The same for deadlines within this process.
    pub instant: fn() -> Instant,
    /// Fills bytes at random.
    pub random: fn(&mut [u8]),
}

/// What came of pressing the button.
pub(crate) enum Opened {
    /// The portal, signed in.
    Portal(LoginLink),
    /// The link cannot be used, or not any more.
    Dead,
    /// It did not work, and the link is as good as it was.
    Later,
    /// It will not work until somebody mends the lead's record.
    Never,
}

/// The same request may be made again.
pub(crate) struct TryAgain;

/// What came of asking for a link by an e-mail address.
pub(crate) enum Asked {
    /// It is on the queue, whoever the address belongs to; or over a cap and dropped, which nobody is told.
    Accepted,
    /// It is not certain that it is on the queue.
    TryAgain,
}

/// Whether a link can be used.
enum Standing {
    Live(Pointer),
    /// Used up: the same page may have been pressed twice.
    Used(Pointer),
    /// For the log: the invitation it is from, if that is known, and why it cannot.
    Dead(Option<InvitationId>, &'static str),
}

impl LoginLinks {
    /// Whether the button would open the portal, as far as the ledger knows.
    pub(crate) async fn is_live(&self, token: &LinkToken) -> Result<bool, TryAgain> {
        match self.standing(&token.hash(), (self.now)()).await {
            Ok(standing) => Ok(matches!(standing, Standing::Live(_))),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Uses the link up for whoever has this page and signs its lead in; gives it back if that does not work.
    pub(crate) async fn open(&self, token: &LinkToken, page: PageId) -> Opened {
        let (link, now) = (token.hash(), (self.now)());
        let pointer = match self.standing(&link, now).await {
            Ok(Standing::Live(pointer) | Standing::Used(pointer)) => pointer,
            Ok(Standing::Dead(receipt, cause)) => return dead(receipt, cause),
            Err(error) => {
                unusable(&error);
                return Opened::Later;
            }
        };
        let (receipt, holder) = (pointer.invitation, page.holder());
        match self.ledger.use_link(&link, holder, now).await {
            Ok(true) => {}
            Ok(false) => return dead(Some(receipt), "used"),
            Err(error) => {
                unusable(&error);
                return if self.give_back(&pointer, holder).await { Opened::Later } else { Opened::Dead };
            }
        }
        let failure = match self.portal_link(&pointer).await {
            Ok(portal) => {
                if let Err(error) = self.ledger.link_opened(&pointer, now).await {
                    tracing::warn!(%receipt, error = %error, "older links of this lead stay good: it could not be written down that a newer one was used");
                }
                tracing::info!(%receipt, "login link opened the portal");
                return Opened::Portal(portal);
            }
            Err(failure) => failure,
        };
        match failure {
            // Deleted, or merged into another one: its other links are as useless, a request by e-mail is not.
            Failure::LeadSquared(Error::NoSuchLead) => return dead(Some(receipt), "no such lead"),
            Failure::OtherAddress => return dead(Some(receipt), "mailed to another address"),
            _ => {}
        }
        let is_good_again = self.give_back(&pointer, holder).await;
        self.report(receipt, &failure);
        match (failure.is_final(), is_good_again) {
            (true, _) => Opened::Never,
            (false, true) => Opened::Later,
            (false, false) => Opened::Dead,
        }
    }

    /// Asks for a fresh link in place of this one. Nobody hears whether it was ever a link.
    pub(crate) async fn ask_fresh(&self, token: &LinkToken) -> Result<(), TryAgain> {
        let (link, now) = (token.hash(), (self.now)());
        let not_stored = |error| {
            Metric::NotStored.record();
            unusable(&error)
        };
        let Some(found) = self.ledger.link(&link, now).await.map_err(not_stored)? else {
            tracing::info!("a fresh link was asked for in place of an unknown one");
            return Ok(());
        };
        if found.used {
            // A process that died with LeadSquared's answer could not write it down, and a worker that takes the mail
            // of a moment ago for an unused one sends no other.
            self.ledger.link_opened(&found.pointer, now).await.map_err(not_stored)?;
        }
        let invitation = request(Whom::Lead(found.pointer.lead), link.as_str(), now);
        self.send(&invitation).await.map_err(|_| TryAgain)
    }

    /// Asks for a link for whoever has this address. Nobody hears whether anybody has, nor whether a cap is reached,
    /// and it takes as long.
    pub(crate) async fn ask_by_email(&self, email: EmailAddress, from: Option<IpAddr>) -> Asked {
        let now = (self.now)();
        let text = email.expose().to_owned();
        let invitation = request(Whom::Email(email), &text, now);
        let sender = Sender::Visitor(from.map(Network::of));
        let arrival = Arrival { invitation: &invitation, sender: &sender, by_robot: false };
        let receipt = invitation.id;
        match self.intake.take(&self.invitations, &arrival, now).await {
            Fate::Accepted => {
                tracing::info!(%receipt, source = invitation.source.name(), "invitation accepted");
                Asked::Accepted
            }
            Fate::Dropped | Fate::Held => Asked::Accepted,
            Fate::NotStored(error) => {
                Metric::NotStored.record();
                tracing::error!(%receipt, error = %error, "the request for a link could not be stored");
                Asked::TryAgain
            }
            Fate::Busy { .. } | Fate::TooMany { .. } | Fate::OtherPayload => {
                Metric::NotStored.record();
                Asked::TryAgain
            }
        }
    }

    async fn standing(&self, link: &LinkHash, now: OffsetDateTime) -> Result<Standing, LedgerError> {
        let Some(found) = self.ledger.link(link, now).await? else { return Ok(Standing::Dead(None, "unknown")) };
        let pointer = found.pointer;
        let receipt = Some(pointer.invitation);
        if found.used {
            return Ok(Standing::Used(pointer));
        }
        if pointer.valid_until <= now {
            return Ok(Standing::Dead(receipt, "expired"));
        }
        let newest = self.ledger.newest_link_used(&pointer.lead).await?;
        Ok(match newest.map(|newest| newest.cmp(&pointer.made_at)) {
            Some(Ordering::Greater) => Standing::Dead(receipt, "superseded"),
            // It has let somebody in, and another press of the same page did not work and gave it back. No other link
            // is meant: nobody is mailed twice in a second.
            Some(Ordering::Equal) => Standing::Dead(receipt, "used"),
            Some(Ordering::Less) | None => Standing::Live(pointer),
        })
    }

    /// The link into the portal.
    async fn portal_link(&self, pointer: &Pointer) -> Result<LoginLink, Failure> {
        let deadline = (self.instant)() + PATIENCE;
        let key = self.account.ask(self.instant, Failure::leadsquared, |client| async move {
            self.auto_login_key(&client.within(deadline), pointer).await
        });
        let Config { portal_page, account, .. } = &self.config;
        Ok(auto_login_link(portal_page, &pointer.lead, &account.leadsquared.portal_id, &key.await?))
    }

    async fn auto_login_key(&self, client: &Client, pointer: &Pointer) -> Result<AutoLoginKey, Failure> {
        // Side by side, for each waits in line. What the key's call carries that call gets itself, if it is not there
        // by then.
        let (lead, _) = tokio::join!(client.lead_by_id(&pointer.lead), client.prepare(Endpoint::LeadAuthKey));
        let lead = lead?.ok_or(Error::NoSuchLead)?;
        let email = lead.email().ok_or(Failure::NoEmailAddress)?;
        // An address that was mistyped and put right belongs to a stranger, and so does the mail that went there.
        if PersonKey::of(&email) != pointer.person {
            return Err(Failure::OtherAddress);
        }
        match client.lead_auto_login_key(&pointer.lead).await {
            Err(Error::NotAPortalUser) => {
                self.register(client, pointer, &email).await?;
                Ok(client.lead_auto_login_key(&pointer.lead).await?)
            }
            other => Ok(other?),
        }
    }

    /// Makes a lead a portal user who is none: it has no password to overwrite, and whoever holds the link has read
    /// the mail to its address. Not to be repeated blindly, and it is not: the next press first asks for a key again.
    /// Two presses of one page at once may both do it, which sets one random password after another.
    async fn register(&self, client: &Client, pointer: &Pointer, email: &EmailAddress) -> Result<(), Failure> {
        let mut password = [0; PASSWORD_BYTES];
        (self.random)(&mut password);
        let registration = Registration {
            register_only_new_lead: false,
            password: generated_password(password),
            // Only what identifies it is sent: the lead's own data stays as the company has it.
            fields: Attributes::new().with("EmailAddress", email.expose()),
        };
        let registered = client.register(&registration).await?;
        self.remember_registration(&registered, pointer.invitation).await;
        match registered == pointer.lead {
            true => Ok(()),
            false => Err(Failure::IdentityMismatch),
        }
    }

    /// Without this, LeadSquared's own news of the registration could look like somebody else's.
    async fn remember_registration(&self, lead: &LeadId, receipt: InvitationId) {
        if let Err(error) = self.ledger.lead_registered(lead, (self.now)()).await {
            tracing::warn!(%receipt, error = %error, "it could not be written down that the lead was registered");
        }
    }

    /// Whether the link is as good as before it was used.
    async fn give_back(&self, pointer: &Pointer, holder: Uuid) -> bool {
        let receipt = pointer.invitation;
        match self.ledger.give_link_back(&pointer.link, holder).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%receipt, error = %error, "the login link could not be given back: a fresh one has to be asked for");
                false
            }
        }
    }

    async fn send(&self, invitation: &Invitation) -> Result<(), QueueError> {
        let receipt = invitation.id;
        match self.invitations.send(invitation).await {
            Ok(()) => {
                tracing::info!(%receipt, source = invitation.source.name(), "invitation accepted");
                Ok(())
            }
            Err(error) => {
                Metric::NotStored.record();
                tracing::error!(%receipt, error = %error, "the request for a link could not be stored");
                Err(error)
            }
        }
    }

    /// The id of a page that is shown now.
    pub(crate) fn new_page(&self) -> PageId {
        let mut bytes = [0; 16];
        (self.random)(&mut bytes);
        PageId::new(bytes)
    }

    /// Says once why a link did not open the portal, and what to do if somebody has to do something.
    fn report(&self, receipt: InvitationId, failure: &Failure) {
        let error = in_full(failure);
        match failure {
            Failure::Account(cause) if cause.is_transient() => {
                tracing::warn!(%receipt, error, "the LeadSquared keys could not be read this time: the login link can be pressed again");
            }
            Failure::Account(_) => {
                tracing::error!(%receipt, error, "there are no LeadSquared keys: no login link works until there are");
            }
            Failure::LeadSquared(cause) if cause.is_configuration() => tracing::error!(
                %receipt, error, cause = cause.name(), secret = self.account.keys_secret(),
                "LeadSquared is not set up right: no login link works until it is"
            ),
            Failure::LeadSquared(cause) if cause.is_transient() => {
                tracing::warn!(%receipt, error, cause = cause.name(), "login link did not open the portal and can be pressed again");
            }
            _ => {
                tracing::error!(%receipt, error, "login link cannot open the portal: look into the lead's record in LeadSquared")
            }
        }
    }
}

/// Why a link that was good did not open the portal.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    LeadSquared(#[from] Error),
    #[error("LeadSquared has another lead under this lead's e-mail address: merge the two")]
    IdentityMismatch,
    #[error("the lead has no usable e-mail address: give it one")]
    NoEmailAddress,
    #[error("the link was mailed to an address that is not the lead's any more")]
    OtherAddress,
}

impl Failure {
    /// What LeadSquared had against it, if it was LeadSquared.
    fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::LeadSquared(error) => Some(error),
            Self::Account(_) | Self::IdentityMismatch | Self::NoEmailAddress | Self::OtherAddress => None,
        }
    }

    /// Whether neither time nor the operator changes it: the lead's own record has to be mended.
    fn is_final(&self) -> bool {
        match self {
            Self::Account(_) => false,
            Self::LeadSquared(error) => !error.is_transient() && !error.is_configuration(),
            Self::IdentityMismatch | Self::NoEmailAddress | Self::OtherAddress => true,
        }
    }
}

fn dead(receipt: Option<InvitationId>, cause: &'static str) -> Opened {
    match receipt {
        Some(receipt) => tracing::info!(%receipt, cause, "a dead login link was pressed"),
        None => tracing::info!(cause, "a dead login link was pressed"),
    }
    Opened::Dead
}

fn unusable(error: &LedgerError) -> TryAgain {
    match error.is_for_operator() {
        true => tracing::error!(error = %error, "the ledger could not be used: a login link has to be tried again"),
        false => tracing::warn!(error = %error, "the ledger could not be used: a login link has to be tried again"),
    }
    TryAgain
}

/// The invitation for somebody who asks for a link: the same for a minute.
fn request(whom: Whom, identity: &str, now: OffsetDateTime) -> Invitation {
    let period = now.unix_timestamp().div_euclid(SAME_REQUEST).to_be_bytes();
    let id = InvitationId::of([&b"link-request"[..], identity.as_bytes(), &period]);
    Invitation::new(id, Source::LinkRequest, now, whom, Action::MailLink)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    #[test]
    fn a_request_is_the_same_for_a_minute_and_one_persons() {
        let of = |email: &str, now| request(Whom::Email(email.parse().unwrap()), email, now);
        let first = of("asha@example.test", NOW);
        assert_eq!(first.id, of("asha@example.test", NOW + Duration::from_secs(54)).id);
        assert_ne!(first.id, of("asha@example.test", NOW + Duration::from_secs(55)).id);
        assert_ne!(first.id, of("ravi@example.test", NOW).id);
        assert_eq!(
            (first.source, first.action, first.attributes.iter().count()),
            (Source::LinkRequest, Action::MailLink, 0)
        );
        assert_eq!(first.payload_hash(), of("asha@example.test", NOW + Duration::from_secs(54)).payload_hash());
    }
}
