//! The interface for an account-wide call allowance, which decides when a call may be made.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The priority of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// A person waits for the answer.
    #[default]
    Interactive,
    /// The work comes from a queue or a schedule; no person waits.
    Background,
}

/// How many calls LeadSquared permits in how much time, for the whole account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many calls.
    pub calls: u32,
    /// In any period of this length.
    pub window: Duration,
}

/// A boxed future, so that [`Admission`] can be used as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides when a call may be made.
///
/// LeadSquared limits the calls of an account as a whole (<https://apidocs.leadsquared.com/rate-limits/>), so an
/// implementation has to look beyond one process. The client asks it before *every* request, also before a repeat and
/// before it fetches a credential.
///
/// # Examples
/// ```
/// use std::future::ready;
/// use std::time::Duration;
///
/// use leadsquared::{Admission, BoxFuture, Lane, PlannedCall, Throttled, TurnedAway};
///
/// /// Admits calls for which a person waits, and no others.
/// struct PeopleOnly;
///
/// impl Admission for PeopleOnly {
///     fn admit(&self, call: PlannedCall) -> BoxFuture<'_, Result<(), TurnedAway>> {
///         let turned_away = TurnedAway { retry_after: Some(Duration::from_secs(60)), source: None };
///         Box::pin(ready(if call.lane == Lane::Interactive { Ok(()) } else { Err(turned_away) }))
///     }
///
///     fn throttled(&self, _refusal: Throttled) -> BoxFuture<'_, ()> {
///         Box::pin(ready(()))
///     }
/// }
/// ```
pub trait Admission: Send + Sync {
    /// Waits for a slot and returns when the call may be made.
    ///
    /// # Errors
    /// When there is no slot before the deadline. The call is then not made.
    fn admit(&self, call: PlannedCall) -> BoxFuture<'_, Result<(), TurnedAway>>;

    /// Takes note that LeadSquared refused a call because the account's limit was exceeded.
    fn throttled(&self, refusal: Throttled) -> BoxFuture<'_, ()>;
}

/// A call that waits for its admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedCall {
    /// Its lane.
    pub lane: Lane,
    /// When it must be over.
    pub deadline: Instant,
    /// Whether the caller expects to make another call right after it. An implementation can then reserve the time of
    /// both at once, or refuse a call whose next one would come too late.
    pub is_followed: bool,
}

/// LeadSquared's refusal of a call because the account's limit was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// The lane of the call.
    pub lane: Lane,
    /// The limit that LeadSquared's text named.
    pub limit: Option<RateLimit>,
}

/// There was no slot for a call in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no slot for a call before the deadline")]
pub struct TurnedAway {
    /// How long to wait before the next attempt.
    pub retry_after: Option<Duration>,
    /// Why, if it was not simply the number of calls.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Admits every call at once: for programs that make few.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Admission for Unlimited {
    fn admit(&self, _: PlannedCall) -> BoxFuture<'_, Result<(), TurnedAway>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn throttled(&self, _: Throttled) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
