//! Credentials that are obtained with the keys and kept for as long as they are good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::admission::BoxFuture;
use crate::error::Error;

/// A fetch that has not begun; it never does when there is a good credential.
pub(crate) type Fetch<'a> = BoxFuture<'a, Result<SecretString, Error>>;

/// A credential is fetched anew at most this often, however often it is refused.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// What a client derives from its keys. A new pair of keys starts with none of it.
#[derive(Default)]
pub(crate) struct Credentials {
    pub(crate) public_auth_key: Cached,
    pub(crate) registration_token: Cached,
    pub(crate) tenant_auth_key: Cached,
}

impl Credentials {
    /// Forgets everything, because the keys it came from are refused.
    pub(crate) fn forget(&self) {
        for cached in [&self.public_auth_key, &self.registration_token, &self.tenant_auth_key] {
            cached.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// One credential, fetched by one caller at a time while the others wait for what that one gets.
#[derive(Default)]
pub(crate) struct Cached {
    slot: Mutex<Slot>,
    failures: AtomicU64,
    /// What was fetched in an earlier epoch is forgotten. Not behind the lock: whoever finds the keys refused may be the
    /// very fetch that holds it.
    epoch: AtomicU64,
}

#[derive(Default)]
struct Slot {
    held: Option<Held>,
    serial: u64,
    renewed_at: Option<Instant>,
    last_failure: Option<(u64, Error)>,
}

struct Held {
    secret: SecretString,
    good_until: Option<Instant>,
    epoch: u64,
}

/// A credential as one call used it.
#[derive(Clone, Debug)]
pub(crate) struct Issue {
    pub(crate) secret: SecretString,
    serial: u64,
}

/// What became of a credential that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// There is another one now: the call is worth repeating.
    Changed,
    /// LeadSquared issued the same one again: the call would be refused again.
    Same,
    /// It was renewed moments ago.
    TooSoon,
}

impl Cached {
    /// The credential, fetched if there is none or it has run out `lifetime` after it was fetched.
    pub(crate) async fn get(&self, now: Instant, lifetime: Option<Duration>, fetch: Fetch<'_>) -> Result<Issue, Error> {
        let failures_before = self.failures.load(Ordering::SeqCst);
        let mut slot = self.slot.lock().await;
        if let Some(held) = &slot.held
            && held.good_until.is_none_or(|end| now < end)
            && held.epoch == self.epoch.load(Ordering::SeqCst)
        {
            return Ok(Issue { secret: held.secret.clone(), serial: slot.serial });
        }
        match &slot.last_failure {
            // Whoever waited while the fetch failed would only fail once more, one after another.
            Some((number, error)) if *number > failures_before => Err(error.clone()),
            _ => self.fetch(&mut slot, now, lifetime, fetch).await,
        }
    }

    /// Replaces a credential that was refused, unless somebody else just did. The old one stays until there is another:
    /// what refused it may have meant something else.
    pub(crate) async fn renew(
        &self,
        refused: &Issue,
        now: Instant,
        lifetime: Option<Duration>,
        fetch: Fetch<'_>,
    ) -> Result<Renewal, Error> {
        let mut slot = self.slot.lock().await;
        if slot.serial != refused.serial {
            return Ok(Renewal::Changed);
        }
        if slot.renewed_at.is_some_and(|at| now < at + RENEWAL_PAUSE) {
            return Ok(Renewal::TooSoon);
        }
        slot.renewed_at = Some(now);
        let fresh = self.fetch(&mut slot, now, lifetime, fetch).await?;
        let same = fresh.secret.expose_secret() == refused.secret.expose_secret();
        Ok(if same { Renewal::Same } else { Renewal::Changed })
    }

    async fn fetch(
        &self,
        slot: &mut Slot,
        now: Instant,
        lifetime: Option<Duration>,
        fetch: Fetch<'_>,
    ) -> Result<Issue, Error> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        match fetch.await {
            Ok(secret) => {
                let is_same =
                    slot.held.as_ref().is_some_and(|held| held.secret.expose_secret() == secret.expose_secret());
                // Whoever was refused with this very secret must not take it for another one.
                if !is_same {
                    slot.serial += 1;
                }
                let good_until = lifetime.map(|lifetime| now + lifetime);
                slot.held = Some(Held { secret: secret.clone(), good_until, epoch });
                Ok(Issue { secret, serial: slot.serial })
            }
            // These two are about the time of the caller that fetched; the next one may have more.
            Err(error @ (Error::OutOfTime | Error::TurnedAway(_))) => Err(error),
            Err(error) => {
                let number = self.failures.fetch_add(1, Ordering::SeqCst) + 1;
                slot.last_failure = Some((number, error.clone()));
                Err(error)
            }
        }
    }
}
