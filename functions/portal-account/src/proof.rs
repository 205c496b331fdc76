//! From LeadSquared's session to the browser's: what a form typed has to be proven in between.

use futures::future::{join3, join4};
use leadsquared::{Attributes, Error, Lead, LeadId, OneTimeCode, Session};
use ledger::{Owner, Registered};
use mail::SignInCode;
use onboarding::Unproven;
use time::OffsetDateTime;

use crate::Config;
use crate::answers::{Done, Refusal, SESSION_SECONDS};
use crate::claim::Claim;
use crate::codes::{self, Accepted, Challenge, Mailed, Texted};
use crate::handler::{Admitted, Call, PortalAccount, unstored};
use crate::limits::{self, Attempt, Places};
use crate::upstream::AFTER_TROUBLE;

/// What has to be proven, and the lead, where LeadSquared was asked for it.
struct Checked {
    unproven: Vec<String>,
    lead: Option<Lead>,
    /// Whether the table does not say yet that nothing is unproven.
    is_news: bool,
}

/// A texted code that LeadSquared has accepted, and the challenge it came with.
pub(crate) struct ByText<'a> {
    pub(crate) challenge: Challenge,
    pub(crate) code: &'a OneTimeCode,
    pub(crate) texted: Texted,
}

impl PortalAccount {
    /// Lets a browser in that proved the number it has a code of, as far as the number is proven to be the lead's.
    pub(crate) async fn enter_by_text(
        &self,
        call: &Call<'_>,
        places: &Places,
        session: Session,
        by: ByText<'_>,
    ) -> Result<Done, Refusal> {
        let ByText { challenge, code, texted } = by;
        let number = texted.sent.field_content.expose();
        let claim = Claim::by_text(&texted.schema_name, number, &texted.person);
        let entered = self.enter(call, places, &session, &claim, Some(&challenge)).await;
        if let Err(Refusal::Unavailable { .. }) = entered {
            // LeadSquared takes a code once: what it gave for it is kept, and the same code goes on from here.
            let accepted = Accepted::new(code, &session, texted, call.now);
            let kept = async {
                if let Err(error) =
                    codes::keep_accepted(&self.ledger, &challenge, accepted, self.nonce(), call.now).await
                {
                    tracing::warn!(error = %error, "an accepted code is lost: the person has to ask for another");
                }
            };
            self.in_time(call, kept).await;
        }
        entered
    }

    /// Lets somebody in whom LeadSquared has signed in, if nothing they did it with is unproven; otherwise has them
    /// prove the lead's mailbox first, under the challenge they have or a new one.
    pub(crate) async fn enter(
        &self,
        call: &Call<'_>,
        places: &Places,
        session: &Session,
        claim: &Claim<'_>,
        challenge: Option<&Challenge>,
    ) -> Result<Done, Refusal> {
        let Checked { unproven, lead, is_news } = match self.unproven(call, session, claim).await {
            Ok(checked) => checked,
            Err(refusal) => {
                self.give_back(call, places).await;
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
                if is_news {
                    let uses: Vec<String> = claim.uses().map(str::to_owned).collect();
                    self.write_proven(&session.lead_id, &uses, call.now).await;
                }
            };
            let besides = async {
                join3(self.remember_network(call, claim.person, &session.lead_id), ended, written).await;
            };
            self.signed_in(call, places, session, besides).await;
            return Ok(Done::SignedIn { session: session.clone(), expires_in: SESSION_SECONDS });
        }
        // It was the right person for what was asked so far.
        self.give_back(call, places).await;
        if claim.wants_text_for(&unproven) {
            return Err(Refusal::Unproven);
        }
        let Some(lead) = lead else { return Err(Refusal::Unavailable { retry_after: AFTER_TROUBLE }) };
        self.mail_code(call, session, claim, &unproven, &lead, challenge).await
    }

    /// What of a claim has to be proven before it signs in to the lead.
    async fn unproven(&self, call: &Call<'_>, session: &Session, claim: &Claim<'_>) -> Result<Checked, Refusal> {
        let lead_id = &session.lead_id;
        let unreadable = || Refusal::Unavailable { retry_after: AFTER_TROUBLE };
        let standing = match tokio::time::timeout(limits::PATIENCE, self.ledger.standing(lead_id)).await {
            Ok(Ok(standing)) => Some(standing),
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "what was proven cannot be read: the lead's mark alone decides");
                None
            }
            Err(_) => {
                tracing::warn!("the table is slow to say what was proven: the lead's mark alone decides");
                None
            }
        };
        let is_proven = |what: &&str| standing.as_ref().is_some_and(|standing| standing.proven.contains(*what));
        let mut unproven: Vec<String> = claim.uses().filter(|what| !is_proven(what)).map(str::to_owned).collect();
        if unproven.is_empty() {
            return Ok(Checked { unproven, lead: None, is_news: false });
        }
        let found = self.ask(call, |client| async move { client.lead_by_id(lead_id).await?.ok_or(Error::NoSuchLead) });
        let lead = found.await.map_err(|failure| failure.unavailable())?;
        let field = self.config.unproven_field.as_str();
        match (lead.field_ignoring_case(field), standing.map(|standing| standing.registered)) {
            (Some(mark), _) => {
                let mark: Unproven = mark.parse().map_err(|error| {
                    tracing::error!(lead.id = %lead_id, field, error = %error, "nobody can sign in to this lead");
                    unreadable()
                })?;
                unproven.retain(|what| !mark.allows(what));
            }
            // Only the table knows whether an earlier version registered the lead.
            (None, None) => return Err(unreadable()),
            // A mark that is gone proves nothing: the field may have been emptied by an import, or be missing.
            (None, Some(Registered::Marked)) => {
                tracing::warn!(lead.id = %lead_id, field, "the lead was marked and the field is empty: its identifiers are unproven");
            }
            (None, Some(Registered::Unmarked)) => {}
            (None, Some(Registered::WithoutForm)) => unproven.clear(),
        }
        let is_news = unproven.is_empty();
        Ok(Checked { unproven, lead: Some(lead), is_news })
    }

    /// Mails a code to the lead, and keeps the session until the code comes back with the challenge.
    async fn mail_code(
        &self,
        call: &Call<'_>,
        session: &Session,
        claim: &Claim<'_>,
        unproven: &[String],
        lead: &Lead,
        challenge: Option<&Challenge>,
    ) -> Result<Done, Refusal> {
        let Some(address) = lead.email() else { return Err(Refusal::Unproven) };
        let limited = format!("{} {}", session.lead_id, claim.person);
        let Admitted::Yes(places) =
            self.admit(call, Attempt::MailedCode, &limited, Some(&Owner::Lead(session.lead_id))).await?
        else {
            return Err(Refusal::TooOften { retry_after: AFTER_TROUBLE });
        };
        let (mut random, mut code) = ([0; 32], [0; codes::MAILED_CODE_BYTES]);
        (self.random)(&mut random);
        (self.random)(&mut code);
        let new = Challenge::new(random);
        let challenge = challenge.unwrap_or(&new);
        let code = &codes::mailed_code(code);
        let is_marked = lead.field_ignoring_case(&self.config.unproven_field).is_some();
        let mailed = Mailed::new(code, session, claim.person, call.now).proving(unproven, is_marked);
        // First, so that no code is mailed that could not be used.
        let awaited = codes::await_mailed(&self.ledger, challenge, mailed, self.nonce(), call.now).await;
        awaited.map_err(|error| unstored(call, &error))?;
        let Config { organisation, mail_sender, .. } = &self.config;
        let mail = &SignInCode { organisation, sender: mail_sender.as_ref(), valid_for: codes::VALID_FOR };
        let address = &address;
        match self.ask(call, |client| async move { mail.send(&client, address, code).await }).await {
            Ok(()) => {}
            Err(failure) if failure.may_have_taken_effect() => {}
            Err(failure) => {
                self.give_back(call, &places).await;
                return Err(if failure.is_about_the_person() { Refusal::Unproven } else { failure.unavailable() });
            }
        }
        tracing::info!(lead.id = %session.lead_id, "a code that proves the mailbox is mailed");
        Ok(Done::CodeMailed { challenge: challenge.as_text().to_owned(), valid_for: codes::VALID_FOR })
    }

    /// Lets somebody in who has proven the mailbox as well, and writes down what is proven by that.
    pub(crate) async fn prove(&self, call: &Call<'_>, places: &Places, challenge: &Challenge, mailed: &Mailed) -> Done {
        let session = mailed.session();
        let lead = &session.lead_id;
        let marked = async {
            if mailed.is_marked {
                self.write_mark(call, lead, &mailed.proves).await;
            }
        };
        let besides = async {
            join4(
                self.write_proven(lead, &mailed.proves, call.now),
                marked,
                self.end(challenge),
                self.remember_network(call, &mailed.person, lead),
            )
            .await;
        };
        self.signed_in(call, places, &session, besides).await;
        let passed = call.now.unix_timestamp() - mailed.signed_in_at();
        let expires_in = SESSION_SECONDS.saturating_sub(u32::try_from(passed).unwrap_or_default());
        Done::SignedIn { session, expires_in }
    }

    /// Adds what was proven to the lead's mark as it is now: a counsellor may have changed it meanwhile.
    async fn write_mark(&self, call: &Call<'_>, lead: &LeadId, proves: &[String]) {
        let field = self.config.unproven_field.as_str();
        let written = self.ask(call, |client| async move {
            let found = client.lead_by_id(lead).await?.ok_or(Error::NoSuchLead)?;
            let mark = found.field_ignoring_case(field).and_then(|mark| mark.parse::<Unproven>().ok());
            let Some(mark) = mark else { return Ok(()) };
            let mark = mark.proving(proves.iter().map(String::as_str)).to_string();
            client.update_lead(lead, &Attributes::new().with(field, mark), false).await
        });
        if let Err(failure) = written.await {
            tracing::warn!(lead.id = %lead, error = %failure, "the lead's mark does not say what was proven; the ledger does");
        }
    }

    async fn write_proven(&self, lead: &LeadId, what: &[String], now: OffsetDateTime) {
        if let Err(error) = self.ledger.proven(lead, what, now).await {
            tracing::warn!(lead.id = %lead, error = %error, "what is proven is not written down: it is asked for again");
        }
    }

    async fn end(&self, challenge: &Challenge) {
        if let Err(error) = codes::end(&self.ledger, challenge).await {
            tracing::warn!(error = %error, "a used code can be tried again; LeadSquared decides");
        }
    }

    /// Gives back a try of a challenge of which nothing was learned.
    pub(crate) async fn untry(&self, call: &Call<'_>, challenge: &Challenge) {
        let given_back = async {
            if let Err(error) = self.ledger.untry_challenge(challenge.as_text()).await {
                tracing::warn!(error = %error, "a code has one try fewer than it should");
            }
        };
        self.in_time(call, given_back).await;
    }

    fn nonce(&self) -> [u8; codes::NONCE_BYTES] {
        let mut nonce = [0; codes::NONCE_BYTES];
        (self.random)(&mut nonce);
        nonce
    }
}
