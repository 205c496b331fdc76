//! Calls to LeadSquared, within the time of a request, and what their failures mean.

use std::time::{Duration, Instant};

use leadsquared::{Client, Error, ErrorKind};
use leadsquared_account::{Account, AccountError};
use telemetry::in_full;
use web::TRY_AGAIN_AFTER;

use crate::answers::RequestRefusal;

/// How long after the deadline a call is cut off from outside. The client itself stops at the deadline, and must be the
/// first to do so: it knows whether the request was sent.
const GRACE: Duration = Duration::from_millis(100);

/// Why a call to LeadSquared failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailure {
    /// The keys could not be read.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// LeadSquared refused or failed.
    #[error(transparent)]
    LeadSquared(#[from] Error),
}

/// Makes a call that ends soon after the deadline at the latest.
pub(crate) async fn ask<T, F>(
    account: &Account,
    instant: fn() -> Instant,
    deadline: Instant,
    call: impl Fn(Client) -> F,
) -> Result<T, CallFailure>
where
    F: Future<Output = Result<T, Error>>,
{
    let call = &call;
    let asked = account.with_client(instant, CallFailure::leadsquared, |client| async move {
        Ok(call(client.within(deadline)).await?)
    });
    // The client keeps the deadline by itself; reading the keys from Secrets Manager does not.
    let time = (deadline + GRACE).saturating_duration_since(instant());
    tokio::time::timeout(time, asked).await.unwrap_or(Err(CallFailure::LeadSquared(Error::OutOfTime)))
}

impl CallFailure {
    /// Whether the failure is about the person or about what they sent, not about LeadSquared or this function.
    pub(crate) fn is_about_the_person(&self) -> bool {
        self.leadsquared().is_some_and(Error::is_refusal)
    }

    /// Whether LeadSquared may have judged what the person sent. LeadSquared sends refusals with HTTP 500 too: an
    /// answer that is not understood may be one, so a guess stays counted.
    pub(crate) fn may_be_about_the_person(&self) -> bool {
        match self {
            Self::LeadSquared(Error::Undocumented { .. } | Error::ServerFault { status: 500 }) => true,
            _ => self.is_about_the_person(),
        }
    }

    /// Whether LeadSquared may have carried out the request all the same.
    pub(crate) fn may_have_taken_effect(&self) -> bool {
        self.leadsquared().is_some_and(Error::may_have_taken_effect)
    }

    /// The refusal for a failure that is not about the person and changed nothing.
    pub(crate) fn unavailable(&self) -> RequestRefusal {
        let retry_after = match self {
            Self::LeadSquared(Error::TurnedAway(turned_away)) => turned_away.retry_after,
            _ => None,
        };
        RequestRefusal::Unavailable { retry_after: retry_after.unwrap_or(TRY_AGAIN_AFTER) }
    }

    /// The LeadSquared error, if it is one.
    pub(crate) fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::Account(_) => None,
            Self::LeadSquared(error) => Some(error),
        }
    }

    /// Logs the failure and what to do about it.
    pub(crate) fn report(&self, route: &'static str, account: &Account) {
        let error = in_full(self);
        match self {
            Self::Account(cause) if cause.is_transient() => {
                tracing::warn!(
                    route,
                    error,
                    cause = "NoKeys",
                    "could not read the LeadSquared keys this time: the request is answered 503; no action needed unless \
                     this lasts"
                );
            }
            Self::Account(_) => tracing::error!(
                route,
                error,
                cause = "NoKeys",
                secret = account.keys_secret(),
                "could not read the LeadSquared keys: every request is answered 503 until the secret is fixed"
            ),
            Self::LeadSquared(cause) => {
                let (kind, cause) = (cause.kind(), cause.name());
                match kind {
                    ErrorKind::Configuration => tracing::error!(
                        route,
                        error,
                        cause,
                        secret = account.keys_secret(),
                        "LeadSquared refuses the settings or keys: every request is answered 503 until they are fixed"
                    ),
                    ErrorKind::Transient | ErrorKind::Unknown => tracing::warn!(
                        route,
                        error,
                        cause,
                        "LeadSquared failed this time: no action needed unless this lasts"
                    ),
                    ErrorKind::Refusal => tracing::info!(route, error, cause, "LeadSquared refused the request"),
                }
            }
        }
    }
}
