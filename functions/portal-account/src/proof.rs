//! From LeadSquared's session to the browser's: in between, an identifier or password that a form typed must be proven.

use std::time::Duration;

use futures::future::{join3, join4};
use leadsquared::crm::{Lead, Notify};
use leadsquared::portal::{KEY_LIFETIME, Session};
use leadsquared::{Attributes, Error, LeadId, OneTimeCode, Phone};
use ledger::{Owner, Registered};
use mail::SignInCode;
use onboarding::{MAILED_CODE_BYTES, Unproven, mailed_code};
use time::OffsetDateTime;
use web::TRY_AGAIN_AFTER;

use crate::Config;
use crate::answers::{Done, RequestRefusal};
use crate::claim::SignInClaim;
use crate::codes::{self, Accepted, Challenge, Mailed, Texted};
use crate::cost::Step;
use crate::limits::{self, AttemptKind, AttemptPlaces};
use crate::service::{AccountRequest, PortalAccount, codes_unavailable};

/// The result of checking a claim.
struct CheckedClaim {
    /// The parts of the claim that are still to be proven.
    unproven: Vec<String>,
    /// The lead, if LeadSquared was asked for it.
    lead: Option<Lead>,
    /// Whether everything is proven and the ledger does not have all of it yet.
    has_unstored_proofs: bool,
}

/// A texted code that LeadSquared has accepted, and the challenge it belongs to.
pub(crate) struct AcceptedText<'a> {
    pub(crate) challenge: Challenge,
    pub(crate) code: &'a OneTimeCode,
    pub(crate) texted: Texted,
}

impl PortalAccount {
    /// Signs in with a texted code that LeadSquared has accepted.
    pub(crate) async fn finish_text_sign_in(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        session: Session,
        by: AcceptedText<'_>,
    ) -> Result<Done, RequestRefusal> {
        let AcceptedText { challenge, code, texted } = by;
        let number = texted.sent.field_content.expose();
        // Proofs are kept of the usual spelling. LeadSquared's own may be another.
        let phone = Phone::parse(number, self.config.default_country);
        let number = phone.as_ref().map_or(number, Phone::expose);
        let claim = SignInClaim::by_text(&texted.schema_name, number, &texted.person);
        let entered = self.finish_sign_in(request, places, &session, &claim, Some(&challenge)).await;
        if let Err(RequestRefusal::Unavailable { .. } | RequestRefusal::TooOften { .. }) = entered {
            // LeadSquared accepts a code once: its session is kept, so that the same code works when it is sent again.
            let accepted = Accepted::new(code, &session, texted, request.now);
            let kept = async {
                if let Err(error) =
                    codes::keep_accepted(&self.ledger, &challenge, accepted, self.nonce(), request.now).await
                {
                    tracing::warn!(
                        error = %error,
                        "the session of an accepted code was not stored: the person has to ask for another code"
                    );
                }
            };
            self.in_time(request, kept).await;
        }
        entered
    }

    /// Ends a sign-in that LeadSquared has accepted: signed in, if nothing in the claim is unproven. Otherwise a code
    /// is mailed to the lead first, under the given challenge or a new one.
    pub(crate) async fn finish_sign_in(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        session: &Session,
        claim: &SignInClaim<'_>,
        challenge: Option<&Challenge>,
    ) -> Result<Done, RequestRefusal> {
        let CheckedClaim { unproven, lead, has_unstored_proofs } = match self.unproven(request, session, claim).await {
            Ok(checked) => checked,
            Err(refusal) => {
                self.give_back(request, places).await;
                return Err(refusal);
            }
        };
        if unproven.is_empty() {
            let ended = async {
                if let Some(challenge) = challenge {
                    self.end(challenge).await;
                }
            };
            let written = async {
                if has_unstored_proofs {
                    let uses: Vec<String> = claim.uses().map(str::to_owned).collect();
                    self.write_proven(&session.lead_id, &uses, request.now).await;
                }
            };
            let besides = async {
                join3(self.remember_network(request, claim.person, &session.lead_id), ended, written).await;
            };
            self.signed_in(request, places, session, besides).await;
            return Ok(Done::SignedIn { session: session.clone(), valid_for: KEY_LIFETIME });
        }
        // The attempt was no guess: LeadSquared accepted it.
        self.give_back(request, places).await;
        if claim.wants_text_for(&unproven) {
            return Err(RequestRefusal::Unproven);
        }
        let Some(lead) = lead else { return Err(RequestRefusal::Unavailable { retry_after: TRY_AGAIN_AFTER }) };
        self.mail_code(request, session, claim, &unproven, &lead, challenge).await
    }

    /// Checks which parts of a claim must still be proven: by the ledger, and by the mark on the lead if the ledger
    /// leaves a part open.
    async fn unproven(
        &self,
        request: &AccountRequest<'_>,
        session: &Session,
        claim: &SignInClaim<'_>,
    ) -> Result<CheckedClaim, RequestRefusal> {
        let lead_id = &session.lead_id;
        let unreadable = || RequestRefusal::Unavailable { retry_after: TRY_AGAIN_AFTER };
        let standing = match ledger::within(limits::TABLE_TIMEOUT, self.ledger.sign_in_record(lead_id)).await {
            Ok(standing) => Some(standing),
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "proofs cannot be read from the ledger: the lead's mark alone decides; no action needed unless it lasts"
                );
                None
            }
        };
        let is_proven = |what: &&str| standing.as_ref().is_some_and(|standing| standing.proven.contains(*what));
        let mut unproven: Vec<String> = claim.uses().filter(|what| !is_proven(what)).map(str::to_owned).collect();
        if unproven.is_empty() {
            return Ok(CheckedClaim { unproven, lead: None, has_unstored_proofs: false });
        }
        self.charge_network(request, Step::AskForProof).await?;
        let found =
            self.ask(request, |client| async move { client.lead_by_id(lead_id).await?.ok_or(Error::NoSuchLead) });
        let lead = found.await.map_err(|failure| failure.unavailable())?;
        let field = self.config.unproven_field.as_str();
        match (lead.field_ignoring_case(field), standing.map(|standing| standing.registered)) {
            (Some(mark), _) => {
                let mark: Unproven = mark.parse().map_err(|error| {
                    tracing::error!(
                        lead.id = %lead_id, field, error = %error,
                        "could not read the lead's mark: every sign-in to this lead fails until the field is corrected"
                    );
                    unreadable()
                })?;
                unproven.retain(|what| !mark.allows(what));
            }
            // Only the ledger knows whether an earlier version registered the lead.
            (None, None) => return Err(unreadable()),
            // A missing mark proves nothing: an import may have emptied the field, or the field does not exist.
            (None, Some(Registered::Marked)) => {
                tracing::warn!(
                    lead.id = %lead_id, field,
                    "the lead was marked and the field is empty now: its identifiers count as unproven; find out what \
                     empties the field"
                );
            }
            (None, Some(Registered::Unmarked)) => {}
            (None, Some(Registered::NothingToProve)) => unproven.clear(),
        }
        let has_unstored_proofs = unproven.is_empty();
        Ok(CheckedClaim { unproven, lead: Some(lead), has_unstored_proofs })
    }

    /// Mails a code to the lead, and keeps the session until the browser sends the code with the challenge.
    async fn mail_code(
        &self,
        request: &AccountRequest<'_>,
        session: &Session,
        claim: &SignInClaim<'_>,
        unproven: &[String],
        lead: &Lead,
        challenge: Option<&Challenge>,
    ) -> Result<Done, RequestRefusal> {
        let Some(address) = lead.email() else { return Err(RequestRefusal::Unproven) };
        let limited = format!("{} {}", session.lead_id, claim.person);
        let owner = Owner::Lead(session.lead_id);
        let places = self.admit(request, AttemptKind::MailedCode, &limited, Some(&owner)).await?;
        let (mut random, mut code) = ([0; 32], [0; MAILED_CODE_BYTES]);
        (self.random)(&mut random);
        (self.random)(&mut code);
        let new = Challenge::new(random);
        let challenge = challenge.unwrap_or(&new);
        let code = &mailed_code(code);
        let is_marked = lead.field_ignoring_case(&self.config.unproven_field).is_some();
        let mailed = Mailed::new(code, session, claim.person, request.now).proving(unproven, is_marked);
        // Stored before the code is mailed, so that no code is mailed that could not be used.
        let awaited = codes::await_mailed(&self.ledger, challenge, mailed, self.nonce(), request.now).await;
        awaited.map_err(|error| codes_unavailable(request, &error))?;
        let Config { organisation, mail_sender, .. } = &self.config;
        let mail = &SignInCode { organisation, sender: mail_sender, valid_for: codes::VALID_FOR };
        let address = &address;
        match self.ask(request, |client| async move { mail.send(&client, address, code).await }).await {
            Ok(()) => {}
            Err(failure) if failure.may_have_taken_effect() => {}
            Err(failure) => {
                self.give_back(request, &places).await;
                return Err(if failure.is_about_the_person() {
                    RequestRefusal::Unproven
                } else {
                    failure.unavailable()
                });
            }
        }
        tracing::info!(lead.id = %session.lead_id, "mailed the code that proves the mailbox");
        Ok(Done::CodeMailed { challenge: challenge.as_text().to_owned(), valid_for: codes::VALID_FOR })
    }

    /// Ends a sign-in whose mailed code is right, and stores what the code proves.
    pub(crate) async fn prove(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        challenge: &Challenge,
        mailed: &Mailed,
    ) -> Result<Done, RequestRefusal> {
        if mailed.is_marked
            && let Err(refusal) = self.charge(request, places, Step::WriteMark).await
        {
            // The code was right: it works when it is sent again.
            self.give_try_back(request, challenge).await;
            return Err(refusal);
        }
        let session = mailed.session();
        let lead = &session.lead_id;
        let marked = async {
            if mailed.is_marked {
                self.write_mark(request, lead, &mailed.proves).await;
            }
        };
        let besides = async {
            join4(
                self.write_proven(lead, &mailed.proves, request.now),
                marked,
                self.end(challenge),
                self.remember_network(request, &mailed.person, lead),
            )
            .await;
        };
        self.signed_in(request, places, &session, besides).await;
        let passed = request.now.unix_timestamp() - mailed.signed_in_at();
        let passed = Duration::from_secs(u64::try_from(passed).unwrap_or_default());
        Ok(Done::SignedIn { session, valid_for: KEY_LIFETIME.saturating_sub(passed) })
    }

    /// Adds the proofs to the lead's mark. Reads the mark again first: a counsellor may have changed it meanwhile.
    async fn write_mark(&self, request: &AccountRequest<'_>, lead: &LeadId, proves: &[String]) {
        let field = self.config.unproven_field.as_str();
        let written = self.ask(request, |client| async move {
            let found = client.lead_by_id(lead).await?.ok_or(Error::NoSuchLead)?;
            let mark = found.field_ignoring_case(field).and_then(|mark| mark.parse::<Unproven>().ok());
            let Some(mark) = mark else { return Ok(()) };
            let mark = mark.proving(proves.iter().map(String::as_str)).to_string();
            client.update_lead(lead, &Attributes::new().with(field, mark), Notify::Nothing).await
        });
        if let Err(failure) = written.await {
            tracing::warn!(
                lead.id = %lead, error = %failure,
                "proofs not added to the lead's mark: the ledger has them; no action needed"
            );
        }
    }

    async fn write_proven(&self, lead: &LeadId, what: &[String], now: OffsetDateTime) {
        if let Err(error) = self.ledger.proven(lead, what, now).await {
            tracing::warn!(
                lead.id = %lead, error = %error,
                "proofs not stored: the person has to prove the mailbox again next time; no action needed unless it lasts"
            );
        }
    }

    async fn end(&self, challenge: &Challenge) {
        if let Err(error) = codes::end(&self.ledger, challenge).await {
            tracing::warn!(
                error = %error,
                "a used challenge was not ended: its code can be sent again until it expires; no action needed"
            );
        }
    }

    /// Gives back a try of a challenge from which nothing was learned.
    pub(crate) async fn give_try_back(&self, request: &AccountRequest<'_>, challenge: &Challenge) {
        let given_back = async {
            if let Err(error) = self.ledger.return_challenge_try(challenge.as_text()).await {
                tracing::warn!(
                    error = %error,
                    "failed to return a try of a code: the person has one try fewer; no action needed"
                );
            }
        };
        self.in_time(request, given_back).await;
    }

    fn nonce(&self) -> [u8; codes::NONCE_BYTES] {
        let mut nonce = [0; codes::NONCE_BYTES];
        (self.random)(&mut nonce);
        nonce
    }
}
