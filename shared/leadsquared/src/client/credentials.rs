//! Credentials that the client derives from its keys, and keeps as long as they are valid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::admission::BoxFuture;
use crate::error::Error;

/// A fetch that has not begun. It never begins if there is a valid credential.
pub(crate) type Fetch<'a> = BoxFuture<'a, Result<SecretString, Error>>;

/// The shortest time between two renewals of a credential, however often it is refused.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// The credentials of one pair of keys. A new pair starts without any.
#[derive(Default)]
pub(crate) struct Credentials {
    pub(crate) public_auth_key: Cached,
    pub(crate) registration_token: Cached,
    pub(crate) tenant_auth_key: Cached,
}

impl Credentials {
    /// Forgets every credential: the keys they were derived from are refused.
    pub(crate) fn forget(&self) {
        for cached in [&self.public_auth_key, &self.registration_token, &self.tenant_auth_key] {
            cached.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// One credential. One caller at a time fetches it; the others wait for the result.
#[derive(Default)]
pub(crate) struct Cached {
    slot: Mutex<Slot>,
    failures: AtomicU64,
    /// A credential of an earlier epoch is forgotten. It is not behind the lock: the fetch that finds the keys refused
    /// may hold that lock.
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
    valid_until: Option<Instant>,
    epoch: u64,
}

/// A credential as one call used it.
#[derive(Clone, Debug)]
pub(crate) struct IssuedCredential {
    pub(crate) secret: SecretString,
    serial: u64,
}

/// The result of renewing a refused credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// There is another one: repeat the call.
    Changed,
    /// LeadSquared issued the same one: a repeat would be refused again.
    Same,
    /// It was renewed less than [`RENEWAL_PAUSE`] ago.
    TooSoon,
}

impl Cached {
    /// The credential. It is fetched if there is none or if its `lifetime` has ended.
    pub(crate) async fn get(
        &self,
        now: Instant,
        lifetime: Option<Duration>,
        fetch: Fetch<'_>,
    ) -> Result<IssuedCredential, Error> {
        let failures_before = self.failures.load(Ordering::SeqCst);
        let mut slot = self.slot.lock().await;
        if let Some(held) = &slot.held
            && held.valid_until.is_none_or(|end| now < end)
            && held.epoch == self.epoch.load(Ordering::SeqCst)
        {
            return Ok(IssuedCredential { secret: held.secret.clone(), serial: slot.serial });
        }
        match &slot.last_failure {
            // The fetch failed while this caller waited: a second fetch would fail too, one caller after another.
            Some((number, error)) if *number > failures_before => Err(error.clone()),
            _ => self.fetch(&mut slot, now, lifetime, fetch).await,
        }
    }

    /// Replaces a refused credential, unless another caller just did. The old one stays until there is a new one: the
    /// refusal may have had another reason.
    pub(crate) async fn renew(
        &self,
        refused: &IssuedCredential,
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
    ) -> Result<IssuedCredential, Error> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        match fetch.await {
            Ok(secret) => {
                let is_same =
                    slot.held.as_ref().is_some_and(|held| held.secret.expose_secret() == secret.expose_secret());
                // A caller that was refused with this secret must not take it for a new one.
                if !is_same {
                    slot.serial += 1;
                }
                let valid_until = lifetime.map(|lifetime| now + lifetime);
                slot.held = Some(Held { secret: secret.clone(), valid_until, epoch });
                Ok(IssuedCredential { secret, serial: slot.serial })
            }
            // These two are about this caller's deadline; the next caller may have more time.
            Err(error @ (Error::OutOfTime | Error::TurnedAway(_))) => Err(error),
            Err(error) => {
                let number = self.failures.fetch_add(1, Ordering::SeqCst) + 1;
                slot.last_failure = Some((number, error.clone()));
                Err(error)
            }
        }
    }
}
