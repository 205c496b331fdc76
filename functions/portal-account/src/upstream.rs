//! Asking LeadSquared, with the keys there are, within the time there is.

use std::time::{Duration, Instant};

use leadsquared::{Client, Error};
use leadsquared_account::{Account, AccountError};
use telemetry::in_full;

use crate::answers::Refusal;

/// When asking again makes sense after something that nobody has measured.
pub(crate) const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// How long after the deadline a call is cut off from outside: the client, which knows what was sent, has to be the
/// first.
const GRACE: Duration = Duration::from_millis(100);

/// Why LeadSquared gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There are no keys.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// It did not do what it was asked.
    #[error(transparent)]
    LeadSquared(#[from] Error),
}

/// Makes a call, and has it over soon after the deadline.
pub(crate) async fn ask<T, F>(
    account: &Account,
    instant: fn() -> Instant,
    deadline: Instant,
    call: impl Fn(Client) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Error>>,
{
    let call = &call;
    let asked = account
        .with_client(instant, Failure::leadsquared, |client| async move { Ok(call(client.within(deadline)).await?) });
    // The client keeps to the deadline by itself; Secrets Manager does not know it.
    let time = (deadline + GRACE).saturating_duration_since(instant());
    tokio::time::timeout(time, asked).await.unwrap_or(Err(Failure::LeadSquared(Error::OutOfTime)))
}

impl Failure {
    /// Whether it is about the person who was asked for, or about what they sent, and not about LeadSquared or us.
    pub(crate) fn is_about_the_person(&self) -> bool {
        match self {
            Self::Account(_) => false,
            Self::LeadSquared(error) => {
                matches!(
                    error,
                    Error::BadPortalPassword
                        | Error::NoSuchLead
                        | Error::NotAPortalUser
                        | Error::LeadExists
                        | Error::Refused { .. }
                        | Error::Duplicate { .. }
                        | Error::UnknownAttributes(_)
                        | Error::SessionEnded
                )
            }
        }
    }

    /// Whether whoever sent a guess has certainly learned nothing about it. LeadSquared has its refusals under HTTP
    /// 500 too, so an answer that is not understood may be one, and does not make guessing free.
    pub(crate) fn says_nothing(&self) -> bool {
        match self {
            Self::LeadSquared(Error::Undocumented { .. } | Error::ServerFault { status: 500 }) => false,
            _ => !self.is_about_the_person(),
        }
    }

    /// Whether what was asked for may have been done all the same.
    pub(crate) fn may_have_taken_effect(&self) -> bool {
        self.leadsquared().is_some_and(Error::may_have_taken_effect)
    }

    /// What to say when it is about neither the person nor an unknown outcome.
    pub(crate) fn unavailable(&self) -> Refusal {
        let retry_after = match self {
            Self::LeadSquared(Error::TurnedAway(turned_away)) => turned_away.retry_after,
            _ => None,
        };
        Refusal::Unavailable { retry_after: retry_after.unwrap_or(AFTER_TROUBLE) }
    }

    /// The LeadSquared error, if it is one.
    pub(crate) fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::Account(_) => None,
            Self::LeadSquared(error) => Some(error),
        }
    }

    /// Says once what happened, and what to do if somebody has to do something.
    pub(crate) fn report(&self, route: &'static str, account: &Account) {
        let error = in_full(self);
        match self {
            Self::Account(cause) if cause.is_transient() => {
                tracing::warn!(route, error, "the LeadSquared keys could not be read this time");
            }
            Self::Account(_) => tracing::error!(route, error, "there are no LeadSquared keys: nobody can be served"),
            Self::LeadSquared(cause) if cause.is_configuration() => tracing::error!(
                route,
                error,
                cause = cause.name(),
                secret = account.keys_secret(),
                "LeadSquared is not set up right: nobody can be served"
            ),
            Self::LeadSquared(cause) if cause.is_transient() => {
                tracing::warn!(route, error, cause = cause.name(), "LeadSquared did not do it this time");
            }
            Self::LeadSquared(cause) => tracing::info!(route, error, cause = cause.name(), "LeadSquared refused it"),
        }
    }
}
