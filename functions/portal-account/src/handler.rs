//! Answers requests: checks what every route requires, serves the route, and logs one line about the outcome.

use std::time::Instant;

use http::{Method, Response, StatusCode};
use lambda_http::Request;
use time::OffsetDateTime;
use web::{Preference, Problem};

use crate::answers::{Done, RequestRefusal};
use crate::body::Body;
use crate::route::Route;
use crate::service::{AccountRequest, PortalAccount};
use crate::{cookie, visitor};

impl PortalAccount {
    /// Answers one request.
    pub async fn answer(&self, http: &Request) -> Response<String> {
        let (began, now) = ((self.instant)(), (self.now)());
        let preference = Preference::of(http.headers());
        let route = Route::of(http_events::path(http)).map(Route::path);
        let outcome = match self.open(http, began, now).await {
            // Boxed: the future reaches down to the TLS handshake, and its type is too deep for the compiler.
            Ok(request) => Box::pin(self.serve(&request)).await,
            Err(problem) => Err(RequestRefusal::Request(problem)),
        };
        match outcome {
            Ok(done) => {
                tracing::info!(route, outcome = done.name(), "request done");
                done.respond(preference, self.config.session_cookie)
            }
            Err(refusal) => {
                let problem = Problem::from(refusal);
                tracing::info!(route, status = problem.status().as_u16(), problem = problem.kind(), "request refused");
                problem.respond(preference)
            }
        }
    }

    /// Checks everything that does not depend on the route's own fields.
    async fn open<'a>(
        &self,
        http: &'a Request,
        began: Instant,
        now: OffsetDateTime,
    ) -> Result<AccountRequest<'a>, Problem> {
        let unknown = || {
            Problem::new(StatusCode::NOT_FOUND, "Not here", "There is nothing at this address.")
                .of_type("/problems/unknown-address")
        };
        let route = Route::of(http_events::path(http)).ok_or_else(unknown)?;
        if http.method() != Method::POST {
            return Err(Problem::method_not_allowed("POST").of_type("/problems/wrong-method"));
        }
        if route == Route::SendCode && !self.config.identities.have_phone() {
            return Err(unknown());
        }
        // SameSite keeps a browser from sending a cookie, not from accepting one: another site's form could sign its
        // visitor in to an account of the attacker, who would then read what the visitor writes.
        let sets_cookie =
            self.config.session_cookie && matches!(route, Route::SignIn | Route::VerifyCode | Route::SignOut);
        if sets_cookie && cookie::is_from_elsewhere(http.headers(), http_events::host(http)) {
            return Err(other_site("Another site sent this request: nothing was done. Use the site itself."));
        }
        // Each visitor of another site's page has a network of its own, so the limits of networks would not stop a form
        // there that has texts or mails sent.
        let sends = matches!(route, Route::SendCode | Route::ForgotPassword);
        if sends && !self.config.allowed_origins.permit(http) {
            tracing::info!(
                "refused a request for a code or a reset mail from a page of another site: no action needed, or add it \
                 to AllowedOrigins"
            );
            return Err(other_site(
                "A page that is not among the allowed origins sent this request: nothing was sent. The operator can \
                 allow it.",
            ));
        }
        let body = match route {
            Route::SignOut => Body::default(),
            _ => Body::read(http.headers(), http.body().as_ref())
                .await
                .map_err(|error| Problem::from(error).of_type("/problems/unreadable"))?,
        };
        let network = visitor::network(http, &self.config)?;
        Ok(AccountRequest { route, http, body, network, began, now })
    }

    async fn serve(&self, request: &AccountRequest<'_>) -> Result<Done, RequestRefusal> {
        match request.route {
            Route::SignIn => self.sign_in(request).await,
            Route::SendCode => self.send_code(request).await,
            Route::VerifyCode => self.verify_code(request).await,
            Route::ChangePassword => self.change_password(request).await,
            Route::ForgotPassword => self.forgot_password(request).await,
            Route::ResetPassword => self.reset_password(request).await,
            // LeadSquared has no call that ends a session (<https://apidocs.leadsquared.com/portal-api/>). Only the
            // browser's cookie is removed, also one from a time when sessions were cookies here.
            Route::SignOut => Ok(Done::SignedOut),
        }
    }
}

fn other_site(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "Sent by another site", detail).of_type("/problems/other-site")
}
