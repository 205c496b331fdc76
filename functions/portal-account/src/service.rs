//! The parts that all routes share: the stores and clients, one request, and common steps.

use std::time::{Duration, Instant};

use lambda_http::Request;
use leadsquared::{BoxFuture, Client, Error};
use leadsquared_account::Account;
use ledger::Ledger;
use throttle::Network;
use time::OffsetDateTime;
use web::TRY_AGAIN_AFTER;

use crate::answers::RequestRefusal;
use crate::body::Body;
use crate::pace::{BUDGET, TIME_TO_ANSWER};
use crate::route::Route;
use crate::upstream::{self, CallFailure};
use crate::{Config, wait};

/// The settings, stores and clients that requests are answered with.
pub struct PortalAccount {
    /// The settings.
    pub config: Config,
    /// LeadSquared.
    pub account: Account,
    /// Attempts, challenges, sessions, known networks and proofs, kept from one request to the next.
    pub ledger: Ledger,
    /// The time of day.
    pub now: fn() -> OffsetDateTime,
    /// The clock for deadlines within this process.
    pub instant: fn() -> Instant,
    /// Waits.
    pub sleep: fn(Duration) -> BoxFuture<'static, ()>,
    /// Fills bytes at random.
    pub random: fn(&mut [u8]),
}

/// One request on one of the routes.
pub(crate) struct AccountRequest<'a> {
    pub(crate) route: Route,
    pub(crate) http: &'a Request,
    pub(crate) body: Body,
    /// The visitor's network, if it is known.
    pub(crate) network: Option<Network>,
    pub(crate) began: Instant,
    pub(crate) now: OffsetDateTime,
}

impl PortalAccount {
    /// Calls LeadSquared, and logs a failure.
    pub(crate) async fn ask<T, F>(
        &self,
        request: &AccountRequest<'_>,
        make: impl Fn(Client) -> F,
    ) -> Result<T, CallFailure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = request.began + (BUDGET - TIME_TO_ANSWER);
        let outcome = upstream::ask(&self.account, self.instant, deadline, make).await;
        if let Err(failure) = &outcome {
            failure.report(request.route.path(), &self.account);
        }
        outcome
    }

    /// Runs work that the answer does not depend on, until the time of the request is used up.
    pub(crate) async fn in_time(&self, request: &AccountRequest<'_>, work: impl Future<Output = ()>) {
        let time = (request.began + BUDGET).saturating_duration_since((self.instant)());
        if tokio::time::timeout(time, work).await.is_err() {
            tracing::warn!(
                route = request.route.path(),
                "the table did not answer in time: not everything about this request is stored; no action needed \
                 unless this lasts"
            );
        }
    }

    /// Waits for the moment at which this answer goes out whatever its content. Work after it must not depend on the
    /// person.
    pub(crate) async fn wait_for_floor(&self, request: &AccountRequest<'_>) {
        telemetry::print_metrics();
        let elapsed = (self.instant)().saturating_duration_since(request.began);
        (self.sleep)(wait(elapsed, self.config.floor)).await;
    }
}

/// The refusal when the table is unavailable and codes cannot be checked without it.
pub(crate) fn codes_unavailable(request: &AccountRequest<'_>, error: &dyn std::error::Error) -> RequestRefusal {
    tracing::error!(
        route = request.route.path(),
        error = %error,
        "the table is unavailable: every sign-in by code fails until it answers"
    );
    RequestRefusal::Unavailable { retry_after: TRY_AGAIN_AFTER }
}
