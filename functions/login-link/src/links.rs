//! The handling of login links: a link opens the portal once, and the applicant can request a new one.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use intake::{DropOverCap, Intake, IntakeDecision, Submission, Submitter};
use leadsquared::portal::auto_login_link;
use leadsquared::wire::Endpoint;
use leadsquared::{AutoLoginKey, Client, EmailAddress, Error, ErrorKind, LeadId, LoginLink};
use leadsquared_account::{Account, AccountError};
use ledger::{Ledger, LedgerError, Owner};
use onboarding::{
    Action, INVITATION_ACCEPTED, Invitation, InvitationId, Invitee, Ledger as _, LinkHash, LinkTarget, LinkToken,
    PASSWORD_BYTES, PortalKeyError, Source, UsedLinks, generated_password, may_be_mailed, portal_key, typed_code,
};
use queue::{Invitations, QueueError};
use telemetry::{Metric, in_full};
use throttle::{AttemptLimit, Decision, ThrottleKey};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Config;
use crate::page_id::PageId;

/// How long all LeadSquared calls of one press may take together. On the smallest plan, beside a busy background, each
/// call waits up to 1.2 s for its slot, and the first press of a lead that is no portal user takes eight calls.
const PRESS_TIMEOUT: Duration = Duration::from_secs(15);

/// How long repeated requests for a link count as one, in seconds. Within a minute the worker mails a person only once
/// anyway; a later request has a reason.
const REQUEST_PERIOD_SECONDS: i64 = 60;

/// How many new links can be requested with the links of one lead. Each costs a look-up, also when the person has got
/// all mails of the day. No lead gets as many mails.
const FRESH_LINKS: AttemptLimit = AttemptLimit { count: 20, window: Duration::from_hours(24) };

/// The ledger's name as a cause in the log.
const LEDGER: &str = "Ledger";

/// The clients and settings of the login links.
pub struct LoginLinks {
    /// LeadSquared.
    pub account: Account,
    /// The links.
    pub ledger: Ledger,
    /// The queue to which a request for a new link goes.
    pub invitations: Invitations,
    /// The limits on these requests.
    pub intake: Intake<DropOverCap>,
    /// The settings.
    pub config: Config,
    /// The current time.
    pub now: fn() -> OffsetDateTime,
    /// The current time for deadlines within this process.
    pub instant: fn() -> Instant,
    /// Fills bytes at random.
    pub random: fn(&mut [u8]),
}

/// The result of a press of the button.
pub(crate) enum PressResult {
    /// The link to the portal, signed in.
    Portal(LoginLink),
    /// The link is not valid, or not any more.
    DeadLink,
    /// The page asks for the mailed code, and the press had none or a wrong one. The link stays valid.
    WrongCode,
    /// All tries of the mailed code are taken: the link opens nothing any more.
    OutOfTries,
    /// The portal could not be opened this time, and the link stays valid.
    TryAgain {
        /// Whether the page asks for the mailed code.
        needs_code: bool,
    },
    /// The portal cannot be opened until the lead's record is fixed.
    LeadUnusable,
}

/// What the page of a link shows.
pub(crate) enum LinkPage {
    /// The button.
    Button,
    /// The button, and a field for the mailed code.
    Code,
    /// All tries of the mailed code are taken.
    OutOfTries,
    /// The link does not work.
    Dead,
}

/// The request failed and may be repeated.
pub(crate) struct TryAgain;

/// The state of a link.
enum LinkState {
    Live(LinkTarget),
    /// Used: the same page may have been pressed twice.
    Used(LinkTarget),
    /// All tries of its code are taken.
    OutOfTries(InvitationId),
    /// Not valid. For the log: the invitation it is from, if that is known, and why.
    Dead(Option<InvitationId>, &'static str),
}

impl LoginLinks {
    /// What the link's page shows, as far as the ledger knows.
    pub(crate) async fn page(&self, token: &LinkToken) -> Result<LinkPage, TryAgain> {
        match self.link_state(&token.hash(), (self.now)()).await {
            Ok(LinkState::Live(target)) if target.code.is_some() => Ok(LinkPage::Code),
            Ok(LinkState::Live(_)) => Ok(LinkPage::Button),
            Ok(LinkState::OutOfTries(_)) => Ok(LinkPage::OutOfTries),
            Ok(LinkState::Used(_) | LinkState::Dead(..)) => Ok(LinkPage::Dead),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Uses the link for this page and signs its lead in. If that does not work, the link becomes valid again. `typed`
    /// is the text in the page's field for the code.
    pub(crate) async fn open(&self, token: &LinkToken, page: PageId, typed: Option<&str>) -> PressResult {
        let (link, now) = (token.hash(), (self.now)());
        let (target, sent_code) = match self.link_state(&link, now).await {
            Ok(LinkState::Live(target)) => match self.check_code(token, &target, typed, now).await {
                Ok(()) => {
                    let sent_code = target.code.is_some();
                    (target, sent_code)
                }
                Err(stopped) => return stopped,
            },
            // The page that used it sent the code.
            Ok(LinkState::Used(target)) => (target, false),
            Ok(LinkState::OutOfTries(receipt)) => return out_of_tries(receipt),
            Ok(LinkState::Dead(receipt, cause)) => return dead(receipt, cause),
            Err(error) => {
                unusable(&error);
                return PressResult::TryAgain { needs_code: typed.is_some() };
            }
        };
        let needs_code = target.code.is_some();
        let (receipt, holder) = (target.invitation, page.holder());
        // Another press may have failed and made the link valid again since then: without the code it stays closed.
        let is_used = match needs_code && !sent_code {
            true => self.ledger.has_used_link(&link, holder, now).await,
            false => self.ledger.use_link(&link, holder, now).await,
        };
        match is_used {
            Ok(true) => {}
            Ok(false) => return dead(Some(receipt), "used"),
            Err(error) => {
                unusable(&error);
                return if self.give_back(&target, holder, sent_code).await {
                    PressResult::TryAgain { needs_code }
                } else {
                    PressResult::DeadLink
                };
            }
        }
        let failure = match self.portal_link(&target).await {
            Ok(portal) => {
                self.record_use(&target, now).await;
                tracing::info!(%receipt, "login link opened the portal");
                return PressResult::Portal(portal);
            }
            Err(failure) => failure,
        };
        match failure {
            // Deleted, or merged into another lead. Its other links fail too; a request by e-mail address works.
            OpenFailure::LeadSquared(Error::NoSuchLead) => return dead(Some(receipt), "no such lead"),
            OpenFailure::OtherAddress => return dead(Some(receipt), "mailed to another address"),
            _ => {}
        }
        let is_valid_again = self.give_back(&target, holder, sent_code).await;
        self.report(receipt, &failure);
        match (failure.is_final(), is_valid_again) {
            (true, _) => PressResult::LeadUnusable,
            (false, true) => PressResult::TryAgain { needs_code },
            (false, false) => PressResult::DeadLink,
        }
    }

    /// Compares the typed code with the one that was mailed together with the link, if there is one. A text that cannot
    /// be a code uses no try: a robot presses the button without one.
    async fn check_code(
        &self,
        token: &LinkToken,
        target: &LinkTarget,
        typed: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<(), PressResult> {
        let Some(code) = &target.code else { return Ok(()) };
        let typed = typed.and_then(typed_code).filter(|typed| may_be_mailed(typed)).ok_or(PressResult::WrongCode)?;
        match self.ledger.try_link_code(&target.link, now).await {
            Ok(Some(_)) if token.code_hash(&typed) == *code => Ok(()),
            Ok(Some(left)) => {
                tracing::info!(receipt = %target.invitation, "a wrong code was typed on the page of a login link");
                Err(if left > 0 { PressResult::WrongCode } else { PressResult::OutOfTries })
            }
            Ok(None) => Err(out_of_tries(target.invitation)),
            Err(error) => {
                unusable(&error);
                Err(PressResult::TryAgain { needs_code: true })
            }
        }
    }

    /// Requests a new link in place of this one. The answer does not show whether it was ever a link.
    pub(crate) async fn ask_fresh(&self, token: &LinkToken) -> Result<(), TryAgain> {
        let (link, now) = (token.hash(), (self.now)());
        let not_stored = |error| {
            Metric::NotStored.record();
            unusable(&error)
        };
        let Some(found) = self.ledger.link(&link, now).await.map_err(not_stored)? else {
            tracing::info!("a new link was requested in place of an unknown one");
            return Ok(());
        };
        if found.used {
            // A process that crashed after LeadSquared's answer did not record the use. The worker would then take the
            // recent mail's link for an unused one and send no other.
            let opened = self.ledger.link_opened(&found.target, now);
            // A reader who requests a link so soon after a used one may not have pressed that one.
            let counted = self.ledger.count_used_link(&found.target, UsedLinks::IN_A_ROW, now);
            tokio::try_join!(opened, counted).map_err(not_stored)?;
        }
        let lead = found.target.lead;
        let key = ThrottleKey::new("fresh-link", [lead.to_string().as_bytes()]);
        let place = self.ledger.admit_attempt(&key, Some(&Owner::Lead(lead)), FRESH_LINKS, now).await;
        if let Decision::Refused { .. } = place.map_err(not_stored)? {
            let receipt = found.target.invitation;
            Metric::LinkRequestDropped.record();
            tracing::warn!(%receipt, "dropped a link request: its lead has requested too many today; no action needed");
            return Ok(());
        }
        let invitation = request(Invitee::Lead(lead), link.as_str(), now);
        self.send(&invitation).await.map_err(|_| TryAgain)
    }

    /// Requests a link for the person with this address. Neither the answer nor its time shows whether the address is
    /// known, or whether the request was over a cap and dropped.
    pub(crate) async fn ask_by_email(&self, email: EmailAddress, from: Option<IpAddr>) -> Result<(), TryAgain> {
        let now = (self.now)();
        let text = email.expose().to_owned();
        let invitation = request(Invitee::Email(email), &text, now);
        let sender = Submitter::Visitor(from.map(|address| self.config.network_salt.network(address)));
        let arrival = Submission { invitation: &invitation, sender: &sender, by_robot: false };
        let receipt = invitation.id;
        match self.intake.take(&self.invitations, &arrival, now).await {
            IntakeDecision::Accepted => {
                tracing::info!(%receipt, source = invitation.source.name(), "{INVITATION_ACCEPTED}");
                Ok(())
            }
            IntakeDecision::Dropped | IntakeDecision::Held => Ok(()),
            IntakeDecision::NotStored(_) | IntakeDecision::TooMany { .. } | IntakeDecision::OtherPayload => {
                Err(TryAgain)
            }
        }
    }

    async fn link_state(&self, link: &LinkHash, now: OffsetDateTime) -> Result<LinkState, LedgerError> {
        let Some(found) = self.ledger.link(link, now).await? else { return Ok(LinkState::Dead(None, "unknown")) };
        let target = found.target;
        let receipt = Some(target.invitation);
        if found.used {
            return Ok(LinkState::Used(target));
        }
        if target.valid_until <= now {
            return Ok(LinkState::Dead(receipt, "expired"));
        }
        let newest = self.ledger.newest_link_used(&target.lead).await?;
        Ok(match newest.map(|newest| newest.cmp(&target.made_at)) {
            Some(Ordering::Greater) => LinkState::Dead(receipt, "superseded"),
            // This link opened the portal, and another press of the same page failed and gave it back. No other link
            // has this time, because a person is not mailed twice in a second.
            Some(Ordering::Equal) => LinkState::Dead(receipt, "used"),
            Some(Ordering::Less) | None if found.is_out_of_tries => LinkState::OutOfTries(target.invitation),
            Some(Ordering::Less) | None => LinkState::Live(target),
        })
    }

    /// The link into the portal.
    async fn portal_link(&self, target: &LinkTarget) -> Result<LoginLink, OpenFailure> {
        let deadline = (self.instant)() + PRESS_TIMEOUT;
        let key = self.account.with_client(self.instant, OpenFailure::leadsquared, |client| async move {
            self.auto_login_key(&client.within(deadline), target).await
        });
        let Config { portal_page, account, .. } = &self.config;
        Ok(auto_login_link(portal_page, &target.lead, &account.leadsquared.portal_id, &key.await?))
    }

    async fn auto_login_key(&self, client: &Client, target: &LinkTarget) -> Result<AutoLoginKey, OpenFailure> {
        // At the same time, because each waits for a slot. If the preparation fails, the key's call repeats it.
        let (lead, _) = tokio::join!(client.lead_by_id(&target.lead), client.prepare(Endpoint::LeadAuthKey));
        let lead = lead?.ok_or(Error::NoSuchLead)?;
        let email = lead.email().ok_or(OpenFailure::NoEmailAddress)?;
        // A mistyped address that was corrected since belongs to a stranger, and so does the mail that went there.
        if !target.person.is_of(&email) {
            return Err(OpenFailure::OtherAddress);
        }
        let mut password = [0; PASSWORD_BYTES];
        (self.random)(&mut password);
        let remember = async |registered: &Result<LeadId, Error>| {
            if let Ok(registered) = registered {
                self.remember_registration(registered, target.invitation).await;
            }
        };
        Ok(portal_key(client, target.lead, &email, generated_password(password), remember).await?)
    }

    /// Records that the link opened the portal: older links end, and the person's used links are counted.
    async fn record_use(&self, target: &LinkTarget, now: OffsetDateTime) {
        let receipt = target.invitation;
        let opened = self.ledger.link_opened(target, now);
        let counted = self.ledger.count_used_link(target, UsedLinks::AT_ONCE, now);
        let (opened, counted) = tokio::join!(opened, counted);
        if let Err(error) = opened {
            tracing::warn!(
                %receipt, cause = LEDGER, error = %error,
                "the ledger did not record that this link opened the portal: older links of its lead stay valid, no \
                 action needed"
            );
        }
        if let Err(error) = counted {
            tracing::warn!(
                %receipt, cause = LEDGER, error = %error,
                "the ledger did not count this used link: if a robot pressed it, the code in the person's mails comes \
                 one mail later; no action needed"
            );
        }
    }

    /// Records the registration, so that LeadSquared's webhook about it is recognised as an echo.
    async fn remember_registration(&self, lead: &LeadId, receipt: InvitationId) {
        if let Err(error) = self.ledger.lead_registered(lead, (self.now)()).await {
            tracing::warn!(
                %receipt, cause = LEDGER, error = %error,
                "the ledger did not record that the lead was registered: its webhook may lead to a second mail, no \
                 action needed"
            );
        }
    }

    /// Makes the link valid again, and its try of the code if this press took one. Whether the link is valid again.
    async fn give_back(&self, target: &LinkTarget, holder: Uuid, took_try: bool) -> bool {
        let receipt = target.invitation;
        if took_try && let Err(error) = self.ledger.untry_link_code(&target.link).await {
            tracing::warn!(
                %receipt,
                cause = LEDGER,
                error = %error,
                "failed to return a try of a link's code: the link has one try less; no action needed"
            );
        }
        match self.ledger.give_link_back(&target.link, holder).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    %receipt,
                    cause = LEDGER,
                    error = %error,
                    "could not make the login link valid again in the ledger: the applicant needs a new one; no action \
                     needed unless this lasts"
                );
                false
            }
        }
    }

    async fn send(&self, invitation: &Invitation) -> Result<(), QueueError> {
        let receipt = invitation.id;
        match self.invitations.send(invitation).await {
            Ok(()) => {
                tracing::info!(%receipt, source = invitation.source.name(), "{INVITATION_ACCEPTED}");
                Ok(())
            }
            Err(error) => {
                Metric::NotStored.record();
                tracing::error!(
                    %receipt, cause = "Queue", error = %error,
                    "the request for a link could not be stored: the applicant is asked to repeat it"
                );
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

    /// Logs why a link did not open the portal, and what an operator has to do, if anything.
    fn report(&self, receipt: InvitationId, failure: &OpenFailure) {
        let (cause, error) = (failure.name(), in_full(failure));
        let kind = failure.leadsquared().map(Error::kind);
        match (failure, kind) {
            (OpenFailure::Account(account), _) if account.is_transient() => tracing::warn!(
                %receipt, cause, error,
                "could not read the LeadSquared keys: the login link can be pressed again, no action needed unless \
                 this lasts"
            ),
            (OpenFailure::Account(_), _) => tracing::error!(
                %receipt, cause, error, secret = self.account.keys_secret(),
                "could not read the LeadSquared keys: no login link works until the secret or the role is fixed"
            ),
            (_, Some(ErrorKind::Configuration)) => tracing::error!(
                %receipt, cause, error, secret = self.account.keys_secret(),
                "LeadSquared refuses the account's keys or settings: no login link works until they are fixed; run \
                 the key check"
            ),
            (_, Some(ErrorKind::Transient | ErrorKind::Unknown)) => tracing::warn!(
                %receipt, cause, error,
                "the login link did not open the portal and can be pressed again, no action needed unless this lasts"
            ),
            (_, Some(ErrorKind::Refusal) | None) => tracing::error!(
                %receipt, cause, error,
                "the login link cannot open the portal: check the lead's record in LeadSquared"
            ),
        }
    }
}

/// Why a valid link did not open the portal.
#[derive(Debug, thiserror::Error)]
enum OpenFailure {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    LeadSquared(#[from] Error),
    #[error("LeadSquared has another lead under this lead's e-mail address: merge the two")]
    OtherLead,
    #[error("the lead has no usable e-mail address: give it one")]
    NoEmailAddress,
    #[error("the lead no longer has the address that the link was mailed to")]
    OtherAddress,
}

impl From<PortalKeyError> for OpenFailure {
    fn from(error: PortalKeyError) -> Self {
        match error {
            PortalKeyError::Key(error) | PortalKeyError::Register(error) => Self::LeadSquared(error),
            PortalKeyError::OtherLead => Self::OtherLead,
        }
    }
}

impl OpenFailure {
    /// The failure's word in the log.
    fn name(&self) -> &'static str {
        match self {
            Self::Account(_) => "NoKeys",
            Self::LeadSquared(error) => error.name(),
            Self::OtherLead => "OtherLead",
            Self::NoEmailAddress => "NoEmailAddress",
            Self::OtherAddress => "OtherAddress",
        }
    }

    /// LeadSquared's error, if LeadSquared failed.
    fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::LeadSquared(error) => Some(error),
            Self::Account(_) | Self::OtherLead | Self::NoEmailAddress | Self::OtherAddress => None,
        }
    }

    /// Whether neither time nor an operator changes it: the lead's own record has to be fixed.
    fn is_final(&self) -> bool {
        match self {
            Self::Account(_) => false,
            Self::LeadSquared(error) => error.is_refusal(),
            Self::OtherLead | Self::NoEmailAddress | Self::OtherAddress => true,
        }
    }
}

fn dead(receipt: Option<InvitationId>, cause: &'static str) -> PressResult {
    match receipt {
        Some(receipt) => tracing::info!(%receipt, cause, "a login link that is not valid was pressed"),
        None => tracing::info!(cause, "a login link that is not valid was pressed"),
    }
    PressResult::DeadLink
}

fn out_of_tries(receipt: InvitationId) -> PressResult {
    dead(Some(receipt), "all tries of its code are taken");
    PressResult::OutOfTries
}

fn unusable(error: &LedgerError) -> TryAgain {
    match error.is_for_operator() {
        true => tracing::error!(
            cause = LEDGER, error = %error,
            "the ledger could not be used: the login link has to be pressed again; check the table and the function's \
             role"
        ),
        false => tracing::warn!(
            cause = LEDGER, error = %error,
            "the ledger could not be used: the login link has to be pressed again; no action needed unless this lasts"
        ),
    }
    TryAgain
}

/// The invitation for a request for a link: the same for a minute.
fn request(invitee: Invitee, identity: &str, now: OffsetDateTime) -> Invitation {
    let period = now.unix_timestamp().div_euclid(REQUEST_PERIOD_SECONDS).to_be_bytes();
    let id = InvitationId::of([&b"link-request"[..], identity.as_bytes(), &period]);
    Invitation::new(id, Source::LinkRequest, now, invitee, Action::MailLink)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    #[test]
    fn a_request_is_the_same_for_a_minute_and_one_persons() {
        let of = |email: &str, now| request(Invitee::Email(email.parse().unwrap()), email, now);
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
