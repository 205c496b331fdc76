//! Requests, from the route to the answer.

use std::time::{Duration, Instant};

use futures::future::{join, join3};
use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};
use lambda_http::Request;
use leadsquared::{
    BoxFuture, Client, Error, Identifier, LeadId, OneTimeCode, Password, PasswordReset, Session, SessionKey,
    TemporaryPassword,
};
use leadsquared_account::Account;
use ledger::{Ledger, Owner};
use mail::PasswordNotice;
use onboarding::PersonKey;
use throttle::Network;
use time::OffsetDateTime;
use web::{FieldError, Preference, Problem};

use crate::answers::{Done, Refusal, SESSION_SECONDS};
use crate::body::{Body, both, fault};
use crate::claim::Claim;
use crate::codes::{self, Challenge, Pending, Texted};
use crate::identity::person;
use crate::limits::{self, Attempt, Counted, Full, Places};
use crate::pace::{BUDGET, TO_ANSWER};
use crate::proof::ByText;
use crate::upstream::{self, AFTER_TROUBLE, Failure};
use crate::{Config, cookie, visitor, wait};

/// Everything requests are answered with.
pub struct PortalAccount {
    /// The settings.
    pub config: Config,
    /// LeadSquared.
    pub account: Account,
    /// What is remembered from one request to the next.
    pub ledger: Ledger,
    /// What time it is.
    pub now: fn() -> OffsetDateTime,
    /// The same for deadlines within this process.
    pub instant: fn() -> Instant,
    /// Waits.
    pub sleep: fn(Duration) -> BoxFuture<'static, ()>,
    /// Fills bytes at random.
    pub random: fn(&mut [u8]),
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    SignIn,
    SendCode,
    VerifyCode,
    ChangePassword,
    ForgotPassword,
    ResetPassword,
    SignOut,
}

impl Route {
    const ALL: [Self; 7] = [
        Self::SignIn,
        Self::SendCode,
        Self::VerifyCode,
        Self::ChangePassword,
        Self::ForgotPassword,
        Self::ResetPassword,
        Self::SignOut,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in",
            Self::SendCode => "/sign-in/code",
            Self::VerifyCode => "/sign-in/code/verify",
            Self::ChangePassword => "/password/change",
            Self::ForgotPassword => "/password/forgot",
            Self::ResetPassword => "/password/reset",
            Self::SignOut => "/sign-out",
        }
    }

    /// The route of a path, which may have a stage in front.
    fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| path.ends_with(route.path()))
    }
}

/// What became of asking for leave to make an attempt.
pub(crate) enum Admitted {
    /// It may be made.
    Yes(Places),
    /// It is not made, and answered as if it had been.
    AsIf,
}

/// One request that is for one of the routes.
pub(crate) struct Call<'a> {
    route: Route,
    request: &'a Request,
    body: Body,
    network: Option<Network>,
    began: Instant,
    pub(crate) now: OffsetDateTime,
}

impl PortalAccount {
    /// Answers one request.
    pub async fn answer(&self, request: &Request) -> Response<String> {
        let (began, now) = ((self.instant)(), (self.now)());
        let preference = Preference::of(request.headers());
        let route = Route::of(http_events::path(request)).map(Route::path);
        let outcome = match self.open(request, began, now).await {
            // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the
            // compiler.
            Ok(call) => Box::pin(self.serve(&call)).await,
            Err(problem) => Err(Refusal::Request(problem)),
        };
        match outcome {
            Ok(done) => {
                tracing::info!(route, outcome = done.name(), "done");
                done.respond(preference, self.config.session_cookie)
            }
            Err(refusal) => {
                let problem = Problem::from(refusal);
                tracing::info!(route, status = problem.status().as_u16(), problem = problem.kind(), "not done");
                problem.respond(preference)
            }
        }
    }

    async fn open<'a>(&self, request: &'a Request, began: Instant, now: OffsetDateTime) -> Result<Call<'a>, Problem> {
        let unknown = || {
            Problem::new(StatusCode::NOT_FOUND, "Not here", "There is nothing at this address.")
                .of_type("/problems/unknown-address")
        };
        let route = Route::of(http_events::path(request)).ok_or_else(unknown)?;
        if request.method() != Method::POST {
            return Err(Problem::method_not_allowed("POST").of_type("/problems/wrong-method"));
        }
        if route == Route::SendCode && !self.config.identities.have_phone() {
            return Err(unknown());
        }
        // SameSite keeps cookies from being sent, not from being set: a form elsewhere could sign its visitor in as
        // somebody else, who would then read what the visitor writes.
        let sets_cookie =
            self.config.session_cookie && matches!(route, Route::SignIn | Route::VerifyCode | Route::SignOut);
        if sets_cookie && cookie::is_from_elsewhere(request.headers(), http_events::host(request)) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "Sent by another site",
                "Another site sent this request: nothing was done. Use the site itself.",
            )
            .of_type("/problems/other-site"));
        }
        let body = match route {
            Route::SignOut => Body::default(),
            _ => Body::read(request.headers(), request.body().as_ref())
                .await
                .map_err(|error| Problem::from(error).of_type("/problems/unreadable"))?,
        };
        let network = visitor::network(request, &self.config.site_secrets)?;
        Ok(Call { route, request, body, network, began, now })
    }

    async fn serve(&self, call: &Call<'_>) -> Result<Done, Refusal> {
        match call.route {
            Route::SignIn => self.sign_in(call).await,
            Route::SendCode => self.send_code(call).await,
            Route::VerifyCode => self.verify_code(call).await,
            Route::ChangePassword => self.change_password(call).await,
            Route::ForgotPassword => self.forgot_password(call).await,
            Route::ResetPassword => self.reset_password(call).await,
            // LeadSquared documents no call that ends a session: a key, and a cookie of an earlier setting, can only
            // be forgotten.
            Route::SignOut => Ok(Done::SignedOut),
        }
    }

    async fn sign_in(&self, call: &Call<'_>) -> Result<Done, Refusal> {
        let who = self.config.identities.read(&call.body, self.config.default_country);
        let (who, password) = both(who, call.body.password("password")).map_err(Refusal::fields)?;
        let person = person(&who);
        let Admitted::Yes(places) = self.admit(call, Attempt::SignIn, &person, owner_of(&who).as_ref()).await? else {
            return Err(Refusal::TooOften { retry_after: AFTER_TROUBLE });
        };
        self.admit_network(call, &places).await?;
        let (identifier, password) = (&who, &password);
        match self.ask(call, |client| async move { client.sign_in(identifier, password).await }).await {
            Ok(session) => {
                let claim = Claim::by_password(&who, &person, &self.config.identities);
                self.enter(call, &places, &session, &claim, None).await
            }
            Err(failure) => Err(self.not_signed_in(call, &places, &failure, Refusal::WrongCredentials).await),
        }
    }

    async fn send_code(&self, call: &Call<'_>) -> Result<Done, Refusal> {
        let owner = self.config.identities.read_phone(&call.body, self.config.default_country);
        let owner = owner.map_err(|error| Refusal::fields(vec![error]))?;
        let person = format!("{} {}", owner.schema_name, owner.phone.expose());
        let admitted = self.admit(call, Attempt::Code, &person, None).await?;
        if let Admitted::Yes(places) = &admitted {
            self.admit_network(call, places).await?;
        }
        let (mut random, mut decoy) = ([0; 32], [0; 48]);
        (self.random)(&mut random);
        (self.random)(&mut decoy);
        let challenge = Challenge::new(random);
        // First, so that no code is sent that could not be used.
        codes::begin(&self.ledger, &challenge, call.now).await.map_err(|error| unstored(call, &error))?;
        let (schema_name, phone) = (&*owner.schema_name, &owner.phone);
        let is_admitted = match &admitted {
            Admitted::Yes(_) => self.is_within_text_budget(call).await,
            Admitted::AsIf => false,
        };
        let outcome = match admitted {
            Admitted::Yes(places) if is_admitted => {
                match self.ask(call, |client| async move { client.send_sign_in_code(schema_name, phone).await }).await {
                    Ok(sent) => Ok(sent),
                    Err(failure) => {
                        if !failure.may_have_taken_effect() {
                            self.give_text_back(call).await;
                        }
                        self.promised(call, &places, &failure).await.map(|()| codes::decoy(decoy, phone))
                    }
                }
            }
            // No text goes out, and the answer is the one that everybody gets.
            Admitted::Yes(_) | Admitted::AsIf => Ok(codes::decoy(decoy, phone)),
        };
        let outcome = outcome.map(|sent| Texted { sent, schema_name: owner.schema_name.clone(), person });
        if let Ok(texted) = &outcome {
            self.in_time(call, async {
                if let Err(error) = codes::fill(&self.ledger, &challenge, texted).await {
                    tracing::warn!(error = %error, "this challenge signs nobody in: what belongs to it was not stored");
                }
            })
            .await;
        }
        self.hold(call).await;
        outcome.map(|_| Done::CodeSent { challenge: challenge.into_text(), valid_for: codes::VALID_FOR })
    }

    async fn verify_code(&self, call: &Call<'_>) -> Result<Done, Refusal> {
        let challenge = call.body.required("challenge").map(Challenge::of_text);
        let (challenge, code) = both(challenge, call.body.required("code")).map_err(Refusal::fields)?;
        let code = OneTimeCode::from(code);
        // Whose it is shows only once it is found: until then one challenge stands for one person.
        let Admitted::Yes(places) = self.admit(call, Attempt::SignIn, challenge.as_text(), None).await? else {
            return Err(Refusal::TooOften { retry_after: AFTER_TROUBLE });
        };
        let pending =
            codes::try_code(&self.ledger, &challenge, call.now).await.map_err(|error| unstored(call, &error))?;
        match pending {
            Some(Pending::Texted(texted)) => self.verify_texted(call, places, challenge, texted, &code).await,
            Some(Pending::Accepted(accepted)) if accepted.is(&code) => {
                self.admit_network(call, &places).await?;
                let by = ByText { challenge, code: &code, texted: accepted.texted.clone() };
                self.enter_by_text(call, &places, accepted.session(), by).await
            }
            Some(Pending::Mailed(mailed)) if mailed.is(&code) => {
                Ok(self.prove(call, &places, &challenge, &mailed).await)
            }
            Some(Pending::Accepted(_) | Pending::Mailed(_)) | None => {
                self.hold(call).await;
                Err(Refusal::WrongCode)
            }
        }
    }

    async fn verify_texted(
        &self,
        call: &Call<'_>,
        mut places: Places,
        challenge: Challenge,
        texted: Texted,
        code: &OneTimeCode,
    ) -> Result<Done, Refusal> {
        // A challenge of an earlier version does not say whose it is.
        let more = match texted.person.is_empty() {
            true => Ok(Admitted::AsIf),
            false => self.admit(call, Attempt::TextedCode, &texted.person, None).await,
        };
        let admitted = match more {
            Ok(Admitted::Yes(more)) => {
                places.extend(more);
                self.admit_network(call, &places).await
            }
            Ok(Admitted::AsIf) => self.admit_network(call, &places).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = admitted {
            join(self.untry(call, &challenge), self.give_back(call, &places)).await;
            return Err(refusal);
        }
        let sent = &texted.sent;
        match self.ask(call, |client| async move { client.sign_in_with_code(sent, code).await }).await {
            Ok(session) => self.enter_by_text(call, &places, session, ByText { challenge, code, texted }).await,
            Err(failure) => {
                if failure.says_nothing() {
                    self.untry(call, &challenge).await;
                }
                Err(self.not_signed_in(call, &places, &failure, Refusal::WrongCode).await)
            }
        }
    }

    /// Whether a text may still be sent today. Without the table's word it may not: texts cost money.
    async fn is_within_text_budget(&self, call: &Call<'_>) -> bool {
        match self.ledger.take_text(self.config.texts_per_day.get(), call.now).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::error!(
                    "the day's text messages are used up: codes are mailed links only; raise TextsPerDay if this is no attack"
                );
                false
            }
            Err(error) => {
                tracing::error!(error = %error, "text messages cannot be counted: none is sent");
                false
            }
        }
    }

    async fn give_text_back(&self, call: &Call<'_>) {
        let given_back = async {
            if let Err(error) = self.ledger.give_text_back(call.now).await {
                tracing::warn!(error = %error, "a text that was not sent stays counted in the day's budget");
            }
        };
        self.in_time(call, given_back).await;
    }

    async fn change_password(&self, call: &Call<'_>) -> Result<Done, Refusal> {
        let session = self.session(call).ok_or(Refusal::NotSignedIn)?;
        let (current, new) = both(call.body.password("current_password"), self.new_password(call, "new_password"))
            .map_err(Refusal::fields)?;
        if current.expose() == new.expose() {
            return Err(Refusal::fields(vec![fault("new_password", "must differ from the current password")]));
        }
        let Admitted::Yes(places) = self.admit(call, Attempt::Change, session.expose(), None).await? else {
            return Err(Refusal::TooOften { retry_after: AFTER_TROUBLE });
        };
        self.admit_network(call, &places).await?;
        let (session, current, new) = (&session, &current, &new);
        let changed = self.ask(call, |client| async move { client.change_password(session, current, new).await }).await;
        if let Err(failure) = changed {
            return Err(match failure.leadsquared() {
                Some(Error::BadPortalPassword) => Refusal::WrongCurrentPassword,
                Some(Error::SessionEnded) => Refusal::NotSignedIn,
                Some(Error::Refused { .. }) => Refusal::PasswordRefused("new_password"),
                _ => self.unsure(call, &places, &failure).await,
            });
        }
        let told = async {
            match self.ledger.session_holder(session).await {
                Ok(Some(lead)) => self.notify(call, lead).await,
                Ok(None) => tracing::info!("no notice of a changed password: the session did not begin here"),
                Err(error) => tracing::warn!(error = %error, "no notice of a changed password"),
            }
        };
        join(self.give_back(call, &places), self.in_time(call, told)).await;
        Ok(Done::PasswordChanged)
    }

    async fn forgot_password(&self, call: &Call<'_>) -> Result<Done, Refusal> {
        let who = self.config.identities.read(&call.body, self.config.default_country);
        let who = who.map_err(|error| Refusal::fields(vec![error]))?;
        // Whatever names the person, the link goes to the lead's mailbox: another field of the lead may hold what a
        // stranger typed in a form.
        let recipient = match &who {
            Identifier::Email(_) => None,
            Identifier::Field { .. } => Some("EmailAddress"),
        };
        let outcome = match self.admit(call, Attempt::Forgot, &person(&who), owner_of(&who).as_ref()).await? {
            Admitted::AsIf => Ok(()),
            Admitted::Yes(places) => {
                self.admit_network(call, &places).await?;
                let who = &who;
                match self.ask(call, |client| async move { client.forgot_password(who, recipient).await }).await {
                    Ok(()) => Ok(()),
                    Err(failure) => self.promised(call, &places, &failure).await,
                }
            }
        };
        self.hold(call).await;
        outcome.map(|()| Done::ResetMailed)
    }

    async fn reset_password(&self, call: &Call<'_>) -> Result<Done, Refusal> {
        let lead = call.body.required("lead_id").and_then(|text| {
            text.parse::<LeadId>().map_err(|_| fault("lead_id", "must be the lead id from the link in the mail"))
        });
        let proof = call.body.required("temporary_password").map(TemporaryPassword::from);
        let link = both(lead, proof);
        let new = self.new_password(call, "password");
        let ((lead, temporary_password), password) = match (link, new) {
            (Ok(link), Ok(new)) => (link, new),
            (link, new) => return Err(Refusal::fields(link.err().into_iter().flatten().chain(new.err()).collect())),
        };
        let Admitted::Yes(places) =
            self.admit(call, Attempt::Reset, &lead.to_string(), Some(&Owner::Lead(lead))).await?
        else {
            return Err(Refusal::TooOften { retry_after: AFTER_TROUBLE });
        };
        self.admit_network(call, &places).await?;
        let reset = &PasswordReset { lead, temporary_password, password };
        if let Err(failure) = self.ask(call, |client| async move { client.reset_password(reset).await }).await {
            let refusal = match failure.leadsquared() {
                Some(Error::BadPortalPassword | Error::NoSuchLead | Error::NotAPortalUser) => Refusal::DeadResetLink,
                Some(Error::Refused { .. }) => Refusal::PasswordRefused("password"),
                _ => self.unsure(call, &places, &failure).await,
            };
            self.hold(call).await;
            return Err(refusal);
        }
        join(self.give_back(call, &places), self.notify(call, lead)).await;
        Ok(Done::PasswordChanged)
    }

    /// Ends an attempt that signed somebody in, with what else there is to write down about it.
    pub(crate) async fn signed_in(
        &self,
        call: &Call<'_>,
        places: &Places,
        session: &Session,
        besides: impl Future<Output = ()>,
    ) {
        let remembered = async {
            let until = call.now + time::Duration::seconds(SESSION_SECONDS.into());
            if let Err(error) = self.ledger.remember_session(&session.auth_key, &session.lead_id, until).await {
                tracing::warn!(error = %error, "the session is not remembered: a change of password will have no notice");
            }
        };
        join3(self.give_back(call, places), self.in_time(call, remembered), self.in_time(call, besides)).await;
    }

    /// Ends an attempt that did not.
    async fn not_signed_in(&self, call: &Call<'_>, places: &Places, failure: &Failure, refused: Refusal) -> Refusal {
        if failure.says_nothing() {
            self.give_back(call, places).await;
        }
        self.hold(call).await;
        match &places.full {
            // As from a network that is not the person's.
            Some(full) => Refusal::TooOften { retry_after: full.retry_after },
            None if failure.is_about_the_person() => refused,
            None => failure.unavailable(),
        }
    }

    /// What is said of a failure where everybody is promised the same: only what is certainly not about the person
    /// shows.
    async fn promised(&self, call: &Call<'_>, places: &Places, failure: &Failure) -> Result<(), Refusal> {
        if failure.is_about_the_person() || failure.may_have_taken_effect() {
            return Ok(());
        }
        self.give_back(call, places).await;
        Err(failure.unavailable())
    }

    /// What is said when the password may be the new one, or is certainly the old one.
    async fn unsure(&self, call: &Call<'_>, places: &Places, failure: &Failure) -> Refusal {
        if failure.may_have_taken_effect() {
            return Refusal::OutcomeUnknown;
        }
        if failure.says_nothing() {
            self.give_back(call, places).await;
        }
        failure.unavailable()
    }

    /// Takes places for an attempt on a person's account, and one of the network's share of the call allowance.
    pub(crate) async fn admit(
        &self,
        call: &Call<'_>,
        attempt: Attempt,
        person: &str,
        owner: Option<&Owner>,
    ) -> Result<Admitted, Refusal> {
        let (network, per_address) = (call.network.as_ref(), self.config.attempts_per_address.get());
        let counted = Counted { text: person, owner };
        let mut places = limits::admit(&self.ledger, attempt, counted, network, per_address, call.now).await;
        if let Some(Full { retry_after, is_shared }) = places.full {
            // Strangers elsewhere use up nothing of what the person has where they have signed in before.
            if !is_shared || !self.knows(person, call).await {
                self.give_back(call, &places).await;
                if is_shared && matches!(attempt, Attempt::Code | Attempt::Forgot) {
                    // A message that is promised here and refused there would tell whose network it is.
                    return Ok(Admitted::AsIf);
                }
                if is_shared {
                    // As late as where LeadSquared was asked, for the same reason.
                    self.hold(call).await;
                }
                return Err(Refusal::TooOften { retry_after });
            }
            if matches!(attempt, Attempt::Code | Attempt::Forgot) {
                places.full = None;
            }
        }
        Ok(Admitted::Yes(places))
    }

    /// Takes one of the requests that a network may have LeadSquared asked by in a minute, and in a day. A person whose
    /// network it is has no more than others there: who has signed in from where must not show.
    async fn admit_network(&self, call: &Call<'_>, places: &Places) -> Result<(), Refusal> {
        let network = call.network.as_ref();
        let mut admitted = self.config.network_share().admit(&self.ledger, network, call.now).await;
        if let (Ok(()), Some(most)) = (admitted, self.config.network_day()) {
            // A subscriber's networks count together: a day is long.
            let network = network.map_or(&[][..], |network| network.site().unwrap_or(network.own()));
            match self.ledger.take_request(network, most, call.now).await {
                Ok(true) => {}
                Ok(false) => admitted = Err(limits::UNTIL_THE_DAY_IS_LATER),
                Err(error) => tracing::warn!(error = %error, "a network's requests of the day cannot be counted"),
            }
        }
        match admitted {
            Ok(()) => Ok(()),
            Err(retry_after) => {
                self.give_back(call, places).await;
                Err(Refusal::TooOften { retry_after })
            }
        }
    }

    /// Whether the person signed in with a password from where the call is from.
    async fn knows(&self, person: &str, call: &Call<'_>) -> bool {
        let Some(network) = &call.network else { return false };
        self.ledger.knows_network(person, network, call.now).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "whose network this is cannot be told: it counts as a stranger's");
            false
        })
    }

    pub(crate) async fn remember_network(&self, call: &Call<'_>, person: &str, lead: &LeadId) {
        let Some(network) = &call.network else { return };
        if let Err(error) = self.ledger.remember_network(person, network, lead, call.now).await {
            tracing::warn!(error = %error, "the network is not remembered: strangers could use up this person's attempts there");
        }
    }

    pub(crate) async fn give_back(&self, call: &Call<'_>, places: &Places) {
        self.in_time(call, limits::give_back(&self.ledger, places)).await;
    }

    /// Does what the answer does not depend on any more, as far as there is time for it.
    pub(crate) async fn in_time(&self, call: &Call<'_>, work: impl Future<Output = ()>) {
        let time = (call.began + BUDGET).saturating_duration_since((self.instant)());
        if tokio::time::timeout(time, work).await.is_err() {
            tracing::warn!(route = call.route.path(), "the table is slow: not all of this request is written down");
        }
    }

    pub(crate) async fn ask<T, F>(&self, call: &Call<'_>, make: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = call.began + (BUDGET - TO_ANSWER);
        let outcome = upstream::ask(&self.account, self.instant, deadline, make).await;
        if let Err(failure) = &outcome {
            failure.report(call.route.path(), &self.account);
        }
        outcome
    }

    /// Waits until the moment at which this answer goes out whatever it says. Nothing that is done afterwards may
    /// depend on the person.
    async fn hold(&self, call: &Call<'_>) {
        telemetry::print_metrics();
        let elapsed = (self.instant)().saturating_duration_since(call.began);
        (self.sleep)(wait(elapsed, self.config.floor)).await;
    }

    /// The key in the `Authorization` header, as LeadSquared has it or after `Bearer`; or in the cookie, where that is
    /// how keys are given.
    fn session(&self, call: &Call<'_>) -> Option<SessionKey> {
        let headers = call.request.headers();
        let in_header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(|value| {
            let is_bearer = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
            value[if is_bearer { 7 } else { 0 }..].trim()
        });
        let in_header = in_header.filter(|key| !key.is_empty()).map(SessionKey::from);
        let in_cookie = || cookie::session(headers, http_events::host(call.request));
        in_header.or_else(|| in_cookie().filter(|_| self.config.session_cookie))
    }

    fn new_password(&self, call: &Call<'_>, field: &'static str) -> Result<Password, FieldError> {
        let password = call.body.password(field)?;
        self.config.rules.check(password.expose()).map_err(|broken| fault(field, &broken.to_string()))?;
        Ok(password)
    }

    /// Mails that the password is another one. It is, whatever becomes of this.
    async fn notify(&self, call: &Call<'_>, lead: LeadId) {
        let Config { organisation, mail_sender, .. } = &self.config;
        let notice = &PasswordNotice { organisation, sender: mail_sender.as_ref() };
        let sent = self.ask(call, |client| async move {
            let known = client.lead_by_id(&lead).await?.ok_or(Error::NoSuchLead)?;
            let address = known.email().ok_or(Error::NoSuchLead)?;
            notice.send(&client, &address).await
        });
        match sent.await {
            Ok(()) => tracing::info!(lead.id = %lead, "notice of a changed password mailed"),
            Err(failure) => {
                tracing::warn!(lead.id = %lead, error = %failure, "no notice of a changed password");
            }
        }
    }
}

/// Whose account an e-mail address names. Whose any other identifier is only LeadSquared knows.
fn owner_of(who: &Identifier) -> Option<Owner> {
    match who {
        Identifier::Email(email) => Some(Owner::Person(PersonKey::of(email))),
        Identifier::Field { .. } => None,
    }
}

pub(crate) fn unstored(call: &Call<'_>, error: &dyn std::error::Error) -> Refusal {
    tracing::error!(route = call.route.path(), error = %error, "the table is needed for codes: nobody can sign in by one");
    Refusal::Unavailable { retry_after: AFTER_TROUBLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_the_end_of_a_path() {
        for (path, route) in [
            ("/sign-in", Some(Route::SignIn)),
            ("/prod/sign-in/code", Some(Route::SendCode)),
            ("/sign-in/code/verify", Some(Route::VerifyCode)),
            ("/password/reset", Some(Route::ResetPassword)),
            ("/sign-out", Some(Route::SignOut)),
            ("/reset", None),
            ("/sign-in/", None),
            ("/SIGN-IN", None),
            ("", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
