//! Takes events as far as the queue, and says what became of them.

use std::time::Instant;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Response, StatusCode};
use intake::{Intake, Submission, Submitter};
use lambda_runtime::Diagnostic;
use onboarding::worker::DeadLetterReason;
use onboarding::{Invitation, InvitationId, Source};
use queue::{DeadLetters, Delivery, Invitations, QueueError};
use serde::Serialize;
use serde_json::Value;
use settings::{Secret, SecretError};
use telemetry::Metric;
use time::OffsetDateTime;
use web::{BODY_LIMIT, Preference, Problem, json};

use crate::envelope::{Arrival, Delivered, Event};
use crate::signature::Claim;
use crate::{Refusal, SignatureError, SigningSecrets, read};

/// When an event that could not be stored may be sent again, in seconds.
const RETRY_AFTER: u16 = 5;

/// Where events go, and what signatures are checked with.
pub struct Bus {
    /// What decides whether it may go to the queue.
    pub intake: Intake,
    /// The queue.
    pub invitations: Invitations,
    /// Where those go that no repeat would help.
    pub dead_letters: DeadLetters,
    /// What HTTPS senders sign with.
    pub signing_secrets: Secret<SigningSecrets>,
}

/// What whoever invoked the function is told.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// An HTTP answer, a problem document (RFC 9457) included.
    Http(Box<ApiGatewayV2httpResponse>),
    /// What became of the event that somebody invoked the function with.
    Invoked(Fate),
    /// What became of each event that was brought, in order. Lambda reads none of it.
    Delivered(Vec<Fate>),
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Fate {
    /// It is stored.
    Accepted {
        /// As the invitation with this id.
        receipt: InvitationId,
    },
    /// It is no good, nobody waits to be told so, and it lies among the dead letters.
    LaidAside,
}

/// An event that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It is no good, and never will be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be stored: whoever sent it has to send it again.
    #[error(transparent)]
    NotStored(#[from] QueueError),
    /// The ledger could not be asked whether it may be stored: whoever sent it has to send it again.
    #[error("the ledger could not be asked, and this process takes no more events of this kind for now")]
    Busy,
}

impl From<NotTaken> for Diagnostic {
    /// The error type is `EventRefused` or `EventNotStored`: what a caller, such as a state machine, can decide by.
    fn from(error: NotTaken) -> Self {
        let error_type = match error {
            NotTaken::Refused(_) => "EventRefused",
            NotTaken::NotStored(_) | NotTaken::Busy => "EventNotStored",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

impl Bus {
    /// Takes whatever the function was invoked with. `request_id` is Lambda's.
    ///
    /// # Errors
    /// When somebody has to come again with it, or waits to be told what is wrong with it.
    pub async fn handle(
        &self,
        event: Value,
        request_id: &str,
        now: OffsetDateTime,
        instant: Instant,
    ) -> Result<Answer, NotTaken> {
        let arrival = Arrival::of(event, request_id).inspect_err(refused)?;
        match arrival {
            Arrival::Http(request) => {
                let response = match self.answer(&request, now, instant).await {
                    Ok(receipt) => json(StatusCode::ACCEPTED, &Fate::Accepted { receipt }),
                    Err(problem) => {
                        tracing::warn!(
                            status = problem.status().as_u16(),
                            reason = problem.detail(),
                            "event not accepted"
                        );
                        problem.respond(Preference::Json)
                    }
                };
                Ok(Answer::Http(Box::new(api_gateway(response))))
            }
            Arrival::Delivered(delivered) => {
                let mut fates = Vec::new();
                for one in delivered {
                    fates.push(self.take_delivered(one, now).await?);
                }
                Ok(Answer::Delivered(fates))
            }
            Arrival::Invoked(event) => match self.take(event, now).await {
                Ok(receipt) => Ok(Answer::Invoked(Fate::Accepted { receipt })),
                Err(NotTaken::Refused(refusal)) => {
                    refused(&refusal);
                    Err(refusal.into())
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Takes an event as far as the queue.
    async fn take(&self, event: Event, now: OffsetDateTime) -> Result<InvitationId, NotTaken> {
        let Event { sender, id, detail_type, detail } = event;
        let request = read(&detail_type, detail)?;
        let (kind_of_id, id) = match &request.key {
            Some(key) => ("bus by key", key.expose()),
            None => ("bus by id", &id),
        };
        let parts = [kind_of_id, &sender, &detail_type, id];
        let id = InvitationId::of(parts.map(str::as_bytes));
        let invitation = Invitation::new(id, Source::Bus, now, request.whom, request.action);
        let invitation = Invitation { attributes: request.attributes, ..invitation };
        let receipt = invitation.id;
        let incoming = Submission { invitation: &invitation, sender: &Submitter::System(sender), by_robot: false };
        match self.intake.take(&self.invitations, &incoming, now).await {
            intake::IntakeDecision::Accepted => {
                tracing::info!(%receipt, source = "bus", event = detail_type, "invitation accepted");
                Ok(receipt)
            }
            intake::IntakeDecision::Held | intake::IntakeDecision::Dropped => Ok(receipt),
            intake::IntakeDecision::NotStored(error) => {
                Metric::NotStored.record();
                tracing::error!(%receipt, error = %error, "the event could not be stored");
                Err(error.into())
            }
            intake::IntakeDecision::Busy { .. } | intake::IntakeDecision::TooMany { .. } => {
                Metric::NotStored.record();
                Err(NotTaken::Busy)
            }
            intake::IntakeDecision::OtherPayload => Err(Refusal::OtherContent.into()),
        }
    }

    /// Takes an event that nobody waits for an answer to: one that is no good is laid aside, since to refuse it would
    /// only bring it again.
    async fn take_delivered(&self, delivered: Delivered, now: OffsetDateTime) -> Result<Fate, NotTaken> {
        let Delivered { by, id, whole, event } = delivered;
        let taken = match event {
            Ok(event) => self.take(event, now).await,
            Err(refusal) => Err(refusal.into()),
        };
        let refusal = match taken {
            Ok(receipt) => return Ok(Fate::Accepted { receipt }),
            Err(NotTaken::Refused(refusal)) => refusal,
            Err(error) => return Err(error),
        };
        // Hashed, because it may have characters that SQS does not take for an id.
        let message_id = InvitationId::of([b"refused", by.as_bytes(), id.as_bytes()]).to_string();
        let reason = DeadLetterReason { class: "malformed", cause: refusal.cause(), receipt: None };
        let delivery = Delivery::from_elsewhere(&message_id, &whole, now.into());
        self.dead_letters.send(&delivery, &reason).await.inspect_err(|error| {
            Metric::NotStored.record();
            tracing::error!(by, message.id = id, error = %error, "an event is refused and could not be laid aside");
        })?;
        tracing::error!(by, message.id = id, error = %refusal, "event refused and laid aside");
        Ok(Fate::LaidAside)
    }

    async fn answer(
        &self,
        request: &ApiGatewayV2httpRequest,
        now: OffsetDateTime,
        instant: Instant,
    ) -> Result<InvitationId, Problem> {
        if request.request_context.http.method != Method::POST {
            return Err(Problem::method_not_allowed("POST"));
        }
        let body = body(request)?;
        let id = self.verify(request, &body, now, instant).await?;
        let event = Event::of_request(&body, &id).map_err(problem)?;
        self.take(event, now).await.map_err(|error| match error {
            NotTaken::Refused(refusal) => problem(refusal),
            NotTaken::NotStored(_) | NotTaken::Busy => try_again(),
        })
    }

    /// The id of a signed request.
    async fn verify(
        &self,
        request: &ApiGatewayV2httpRequest,
        body: &str,
        now: OffsetDateTime,
        instant: Instant,
    ) -> Result<String, Problem> {
        let verify = |secrets: &SigningSecrets| secrets.verify(&request.headers, body, now).map(str::to_owned);
        // Before the secret is read: whatever is wrong with that is no matter of strangers', and no alarm.
        Claim::read(&request.headers, now).map_err(unsigned)?;
        let secrets = self.signing_secrets.current(instant).await.map_err(no_secret)?;
        let verified = match verify(&secrets) {
            Err(SignatureError::Mismatch | SignatureError::Secret) => {
                // That is what it looks like when the secret was replaced since it was read.
                verify(&*self.signing_secrets.renewed(&secrets, instant).await.map_err(no_newer_secret)?)
            }
            verified => verified,
        };
        verified.map_err(|error| match error {
            SignatureError::Secret => {
                Metric::NotStored.record();
                tracing::error!(secret = self.signing_secrets.id(), error = %error, "no signature can be checked: mend the secret");
                try_again()
            }
            error => unsigned(error),
        })
    }
}

fn unsigned(error: SignatureError) -> Problem {
    let detail = format!("Sign it as standardwebhooks.com has it: {error}.");
    Problem::new(StatusCode::UNAUTHORIZED, "The signature does not count", detail)
}

/// A refusal that whoever invoked the function is told, if they wait.
fn refused(refusal: &Refusal) {
    tracing::error!(error = %refusal, "event refused");
}

fn no_secret(error: SecretError) -> Problem {
    Metric::NotStored.record();
    match error.is_transient() {
        true => tracing::warn!(error = %error, "no signature can be checked now: the sender is told to send it again"),
        false => tracing::error!(error = %error, "no signature can be checked"),
    }
    try_again()
}

/// The signature is none of the secret at hand, and whether there is a newer one is not known. Most such requests are
/// forged: while Secrets Manager fails they are told to come again, and raise no alarm.
fn no_newer_secret(error: SecretError) -> Problem {
    match error.is_transient() {
        true => {
            tracing::warn!(error = %error, "a signature does not count, and the secret could not be read again");
            try_again()
        }
        false => no_secret(error),
    }
}

fn try_again() -> Problem {
    Problem::try_again("Your event was not stored. Please send it again.", RETRY_AFTER)
}

fn problem(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::NotJson(_) => Problem::new(StatusCode::BAD_REQUEST, "The event cannot be read", detail),
        Refusal::Detail { faults, .. } => {
            let title = "The event does not fit its schema";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, title, detail).with_errors(faults)
        }
        Refusal::OtherContent => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Another event has this id", detail),
        Refusal::NoEvent | Refusal::UnknownType | Refusal::UnknownVersion { .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "There is no such event", detail)
        }
    }
}

fn body(request: &ApiGatewayV2httpRequest) -> Result<String, Problem> {
    let unreadable = |expected| {
        let detail = format!("Send it as {expected}.");
        Problem::new(StatusCode::BAD_REQUEST, "The event cannot be read", detail)
    };
    let body = request.body.as_deref().unwrap_or_default();
    // In Base64 a body is a third longer.
    if body.len() > BODY_LIMIT * 4 / 3 {
        let detail = format!("Send at most {BODY_LIMIT} bytes.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The event is too large", detail));
    }
    if !request.is_base64_encoded {
        return Ok(body.to_owned());
    }
    let bytes = BASE64_STANDARD.decode(body).map_err(|_| unreadable("JSON"))?;
    String::from_utf8(bytes).map_err(|_| unreadable("JSON in UTF-8"))
}

fn api_gateway(response: Response<String>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.headers = parts.headers;
    answer.body = Some(Body::Text(body));
    answer
}
