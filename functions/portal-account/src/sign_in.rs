//! Signing in with a password, and the end of every attempt to sign in.

use futures::future::join3;
use leadsquared::portal::{KEY_LIFETIME, Session};

use crate::answers::{Done, RequestRefusal};
use crate::body::both;
use crate::claim::SignInClaim;
use crate::cost::Step;
use crate::identity::{owner, person};
use crate::limits::{AttemptKind, AttemptPlaces};
use crate::service::{AccountRequest, PortalAccount};
use crate::upstream::CallFailure;

impl PortalAccount {
    /// `POST /sign-in`.
    pub(crate) async fn sign_in(&self, request: &AccountRequest<'_>) -> Result<Done, RequestRefusal> {
        let who = self.config.identities.read(&request.body, self.config.default_country);
        let (who, password) = both(who, request.body.password("password")).map_err(RequestRefusal::fields)?;
        let person = person(&who);
        let places = self.admit(request, AttemptKind::SignIn, &person, owner(&who).as_ref()).await?;
        self.charge(request, &places, Step::CheckPassword(self.phone_look_up(&who))).await?;
        let (identifier, password) = (&self.as_stored(request, &who).await, &password);
        match self.ask(request, |client| async move { client.sign_in(identifier, password).await }).await {
            Ok(session) => {
                let claim = SignInClaim::by_password(&who, &person, &self.config.identities);
                self.finish_sign_in(request, &places, &session, &claim, None).await
            }
            Err(failure) => Err(self.not_signed_in(request, &places, &failure, RequestRefusal::WrongCredentials).await),
        }
    }

    /// Ends a successful attempt: gives its places back, remembers the session, and does `besides`.
    pub(crate) async fn signed_in(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        session: &Session,
        besides: impl Future<Output = ()>,
    ) {
        let remembered = async {
            let until = request.now + KEY_LIFETIME;
            if let Err(error) = self.ledger.remember_session(&session.auth_key, &session.lead_id, until).await {
                tracing::warn!(
                    error = %error,
                    "session not remembered: no notice is mailed if its password is changed; no action needed"
                );
            }
        };
        join3(self.give_back(request, places), self.in_time(request, remembered), self.in_time(request, besides)).await;
    }

    /// Ends a failed attempt: its refusal, which is `refused` if the failure is about the person.
    pub(crate) async fn not_signed_in(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        failure: &CallFailure,
        refused: RequestRefusal,
    ) -> RequestRefusal {
        if !failure.may_be_about_the_person() {
            self.give_back(request, places).await;
        }
        self.refused_in_time(request, places, failure, refused).await
    }

    /// The refusal of a failed attempt, at the time at which any attempt is answered: `refused` if the failure is about
    /// the person.
    pub(crate) async fn refused_in_time(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        failure: &CallFailure,
        refused: RequestRefusal,
    ) -> RequestRefusal {
        self.wait_for_floor(request).await;
        match &places.limit_reached {
            // The same answer as on a network that the person has not signed in from.
            Some(full) => RequestRefusal::TooOften { retry_after: full.retry_after },
            None if failure.is_about_the_person() => refused,
            None => failure.unavailable(),
        }
    }
}
