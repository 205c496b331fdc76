//! Asking for leave before a call: where an account-wide allowance plugs in.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who is asking for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// A person waits for the answer.
    #[default]
    Interactive,
    /// Nobody waits; the work comes from a queue or a schedule.
    Background,
}

/// How many calls LeadSquared permits in how much time, for the whole account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many calls.
    pub calls: u32,
    /// In any period of this length.
    pub window: Duration,
}

/// A boxed future, so that [`Admission`] can be used as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides when a call may be made.
///
/// LeadSquared limits calls for an account as a whole (<https://apidocs.leadsquared.com/rate-limits/>), so whatever
/// implements this has to look beyond one process. It is asked before *every* request, repeats and the fetching of
/// credentials included.
pub trait Admission: Send + Sync {
    /// Returns when the call may be made now, or soon enough; waiting happens in here.
    ///
    /// # Errors
    /// When leave cannot be had before the deadline. The call is then not made.
    fn admit(&self, lane: Lane, deadline: Instant) -> BoxFuture<'_, Result<(), TurnedAway>>;

    /// LeadSquared said that the limit was exceeded; `limit` is what its text named.
    fn throttled(&self, lane: Lane, limit: Option<Limit>) -> BoxFuture<'_, ()>;
}

/// Leave for a call could not be had in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no leave for a call before the deadline")]
pub struct TurnedAway {
    /// When asking again makes sense, counted from now.
    pub retry_after: Option<Duration>,
    /// Why, if it was not simply the number of calls.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Lets every call through at once: for programs that make few.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Admission for Unlimited {
    fn admit(&self, _: Lane, _: Instant) -> BoxFuture<'_, Result<(), TurnedAway>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn throttled(&self, _: Lane, _: Option<Limit>) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
