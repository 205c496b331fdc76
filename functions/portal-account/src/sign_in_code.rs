//! Signing in with a texted code: sending it, and checking it.

use futures::future::join;
use leadsquared::portal::SentCode;
use leadsquared::{Error, OneTimeCode, Phone};

use crate::answers::{Done, RequestRefusal};
use crate::body::both;
use crate::codes::{self, Challenge, Pending, Texted};
use crate::cost::Step;
use crate::identity::{PhoneOwner, phone_look_up};
use crate::limits::{AttemptKind, AttemptPlaces};
use crate::proof::AcceptedText;
use crate::service::{AccountRequest, PortalAccount, codes_unavailable};
use crate::upstream::CallFailure;

impl PortalAccount {
    /// `POST /sign-in/code`: the same answer for a known and an unknown number.
    pub(crate) async fn send_code(&self, request: &AccountRequest<'_>) -> Result<Done, RequestRefusal> {
        let owner = self.config.identities.read_phone(&request.body, self.config.default_country);
        let PhoneOwner { schema_name, phone } = owner.map_err(|error| RequestRefusal::fields(vec![error]))?;
        let person = format!("{schema_name} {}", phone.expose());
        let places = self.admit_message(request, AttemptKind::Code, &person, None).await?;
        if let Some(places) = &places {
            self.charge(request, places, Step::SendCode(phone_look_up(&schema_name))).await?;
        }
        let mut random = [0; 32];
        (self.random)(&mut random);
        let challenge = Challenge::new(random);
        // Stored before the code is sent, so that no code is sent that could not be used.
        codes::begin(&self.ledger, &challenge, request.now)
            .await
            .map_err(|error| codes_unavailable(request, &error))?;
        let sent = self.text_code(request, places.as_ref(), &schema_name, &phone).await;
        if let Ok(sent) = &sent {
            let texted = Texted { sent: sent.clone(), schema_name, person };
            let filled = async {
                if let Err(error) = codes::fill(&self.ledger, &challenge, &texted).await {
                    tracing::warn!(
                        error = %error,
                        "the data of a texted code was not stored: the code is refused, and the person has to ask for a new one"
                    );
                }
            };
            self.in_time(request, filled).await;
        }
        self.wait_for_floor(request).await;
        sent.map(|_| Done::CodeSent { challenge: challenge.into_text(), valid_for: codes::VALID_FOR })
    }

    /// Asks LeadSquared to text a code. If it does not, a decoy takes the code's place, so that the answer is the same.
    async fn text_code(
        &self,
        request: &AccountRequest<'_>,
        places: Option<&AttemptPlaces>,
        schema_name: &str,
        phone: &Phone,
    ) -> Result<SentCode, RequestRefusal> {
        let mut random = [0; 48];
        (self.random)(&mut random);
        let decoy = || codes::decoy(random, phone);
        let Some(places) = places else { return Ok(decoy()) };
        if !self.take_text(request).await {
            return Ok(decoy());
        }
        let number = &self.phone_as_stored(request, schema_name, phone).await;
        match self.ask(request, |client| async move { client.send_sign_in_code(schema_name, number).await }).await {
            Ok(sent) => Ok(sent),
            Err(failure) => {
                if !failure.may_have_taken_effect() {
                    self.give_text_back(request).await;
                }
                self.conceal(request, places, &failure).await.map(|()| decoy())
            }
        }
    }

    /// Takes one of the day's text messages. False if none is left, and if the table is unavailable: texts cost money.
    async fn take_text(&self, request: &AccountRequest<'_>) -> bool {
        match self.ledger.take_text(self.config.texts_per_day.get(), request.now).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::error!(
                    "the day's text messages are used up: no code is texted until the next UTC day, mailed links still \
                     work; raise TextsPerDay if this is no attack"
                );
                false
            }
            Err(error) => {
                tracing::error!(
                    error = %error, "could not count text messages in the ledger: none is sent until it works again"
                );
                false
            }
        }
    }

    async fn give_text_back(&self, request: &AccountRequest<'_>) {
        let given_back = async {
            if let Err(error) = self.ledger.give_text_back(request.now).await {
                tracing::warn!(
                    error = %error,
                    "failed to return an unsent text to the day's budget: one text fewer today; no action needed"
                );
            }
        };
        self.in_time(request, given_back).await;
    }

    /// `POST /sign-in/code/verify`: a texted code, or the mailed code that follows it.
    pub(crate) async fn verify_code(&self, request: &AccountRequest<'_>) -> Result<Done, RequestRefusal> {
        let challenge = request.body.required("challenge").map(Challenge::of_text);
        let (challenge, code) = both(challenge, request.body.code("code")).map_err(RequestRefusal::fields)?;
        // The person is known only once the challenge is found: until then attempts are counted for the challenge.
        let places = self.admit(request, AttemptKind::SignIn, challenge.as_text(), None).await?;
        let pending = codes::try_code(&self.ledger, &challenge, request.now).await;
        match pending.map_err(|error| codes_unavailable(request, &error))? {
            Some(Pending::Texted(texted)) => self.verify_texted(request, places, challenge, texted, &code).await,
            Some(Pending::Accepted(accepted)) if accepted.is(&code) => {
                let by = AcceptedText { challenge, code: &code, texted: accepted.texted.clone() };
                self.finish_text_sign_in(request, &places, accepted.session(), by).await
            }
            Some(Pending::Mailed(mailed)) if mailed.is(&code) => {
                self.prove(request, &places, &challenge, &mailed).await
            }
            Some(Pending::Accepted(_) | Pending::Mailed(_)) | None => {
                self.wait_for_floor(request).await;
                Err(RequestRefusal::WrongCode)
            }
        }
    }

    /// Asks LeadSquared about a texted code.
    async fn verify_texted(
        &self,
        request: &AccountRequest<'_>,
        mut places: AttemptPlaces,
        challenge: Challenge,
        texted: Texted,
        code: &OneTimeCode,
    ) -> Result<Done, RequestRefusal> {
        if let Err(refusal) = self.admit_texted(request, &mut places, &texted).await {
            join(self.give_try_back(request, &challenge), self.give_back(request, &places)).await;
            return Err(refusal);
        }
        let sent = &texted.sent;
        match self.ask(request, |client| async move { client.sign_in_with_code(sent, code).await }).await {
            Ok(session) => {
                self.finish_text_sign_in(request, &places, session, AcceptedText { challenge, code, texted }).await
            }
            Err(failure) => {
                // A guess that LeadSquared refused stays counted, whatever the call after it shows.
                let is_refused = failure.is_about_the_person();
                let failure = self.about_code(request, failure).await;
                if !is_refused && !failure.may_be_about_the_person() {
                    join(self.give_try_back(request, &challenge), self.give_back(request, &places)).await;
                }
                Err(self.refused_in_time(request, &places, &failure, RequestRefusal::WrongCode).await)
            }
        }
    }

    /// What a failure says about a code. LeadSquared refuses a wrong code, and answers one that it cannot read, such as
    /// a decoy's, with a bare 500. So does a gateway when LeadSquared is unavailable. A call without a code shows
    /// whether it is: if LeadSquared answers that one, the failure was about the code. The call follows every failure
    /// that may be about the code, so known and unknown numbers make the same calls.
    async fn about_code(&self, request: &AccountRequest<'_>, failure: CallFailure) -> CallFailure {
        if !failure.may_be_about_the_person() {
            return failure;
        }
        CallFailure::LeadSquared(
            match self.ask(request, |client| async move { client.public_auth_key().await }).await {
                Ok(_) => Error::BadPortalPassword,
                Err(outage) if outage.may_have_taken_effect() => Error::ServerFault { status: 503 },
                // Nothing was learnt: the code may have been wrong.
                Err(_) => Error::ServerFault { status: 500 },
            },
        )
    }

    /// Counts an attempt at a texted code for its person and for the network.
    async fn admit_texted(
        &self,
        request: &AccountRequest<'_>,
        places: &mut AttemptPlaces,
        texted: &Texted,
    ) -> Result<(), RequestRefusal> {
        // Challenges of an earlier version do not name their person: only the limits of the challenge apply to them.
        let names_person = !texted.person.is_empty();
        if names_person {
            places.extend(self.admit(request, AttemptKind::TextedCode, &texted.person, None).await?);
        }
        self.charge(request, places, Step::CheckCode).await
    }
}
