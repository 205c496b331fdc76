//! Stores the invitation of each event, and answers with the outcome.

use std::time::Instant;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::sqs::SqsBatchResponse;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Response, StatusCode};
use intake::{Intake, IntakeDecision, StoreError, Submission, Submitter};
use lambda_runtime::Diagnostic;
use leadsquared::CallingCode;
use onboarding::worker::DeadLetterReason;
use onboarding::{INVITATION_ACCEPTED, Invitation, InvitationId, Source};
use queue::{DeadLetters, Invitations, MessageDelivery, QueueError};
use serde::Serialize;
use serde_json::Value;
use settings::{Secret, SecretError};
use telemetry::Metric;
use time::OffsetDateTime;
use web::{BODY_LIMIT, Preference, Problem, TRY_AGAIN_AFTER, json};

use crate::envelope::{BusEvent, DeliveredEvent, Envelope, PipedEvent};
use crate::signature::SignedHeaders;
use crate::{Refusal, SignatureError, SigningSecrets, read};

/// The stores that an event passes through, and the secrets of its senders.
pub struct Bus {
    /// The caps that decide whether an event goes to the queue or is held.
    pub intake: Intake,
    /// The queue of invitations.
    pub invitations: Invitations,
    /// The dead letters, for refused events whose sender does not wait.
    pub dead_letters: DeadLetters,
    /// The secrets that HTTPS senders sign with.
    pub signing_secrets: Secret<SigningSecrets>,
    /// The country whose phone numbers must be assigned.
    pub default_country: CallingCode,
}

/// The answer of an invocation.
#[derive(Serialize)]
#[serde(untagged)]
pub enum BusAnswer {
    /// An HTTP response, which can be a problem document (RFC 9457).
    Http(Box<ApiGatewayV2httpResponse>),
    /// The outcome of the event that a caller invoked the function with.
    Invoked(EventOutcome),
    /// The outcome of each delivered event, in order. EventBridge and SNS do not read it.
    Delivered(Vec<EventOutcome>),
    /// The elements that a pipe has to deliver again
    /// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html>).
    Piped(SqsBatchResponse),
}

/// The result of handling an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum EventOutcome {
    /// The invitation is stored.
    Accepted {
        /// The id of the invitation.
        receipt: InvitationId,
    },
    /// The event is refused, and is now a dead letter because its sender does not wait for an answer.
    DeadLettered,
}

/// Why an event is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// The event is refused for good.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The event could not be stored: its sender has to send it again.
    #[error(transparent)]
    NotStored(#[from] StoreError),
    /// The event is refused and could not be dead-lettered: its sender has to send it again.
    #[error(transparent)]
    NotDeadLettered(#[from] QueueError),
}

impl From<NotAccepted> for Diagnostic {
    /// The error type is `EventRefused` or `EventNotStored`. A caller, such as a state machine, decides by it.
    fn from(error: NotAccepted) -> Self {
        let error_type = match error {
            NotAccepted::Refused(_) => "EventRefused",
            NotAccepted::NotStored(_) | NotAccepted::NotDeadLettered(_) => "EventNotStored",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

impl Bus {
    /// Handles one invocation, with Lambda's `request_id`.
    ///
    /// # Errors
    /// When the caller has to repeat the invocation, or waits for the reason of a refusal.
    pub async fn handle(
        &self,
        event: Value,
        request_id: &str,
        now: OffsetDateTime,
        instant: Instant,
    ) -> Result<BusAnswer, NotAccepted> {
        match Envelope::of(event, request_id).inspect_err(log_refusal)? {
            Envelope::Http(request) => {
                let response = match self.answer(&request, now, instant).await {
                    Ok(receipt) => json(StatusCode::ACCEPTED, &EventOutcome::Accepted { receipt }),
                    Err(problem) => {
                        let (status, reason) = (problem.status().as_u16(), problem.detail());
                        tracing::warn!(status, reason, "event not accepted, the answer says why");
                        problem.respond(Preference::Json)
                    }
                };
                Ok(BusAnswer::Http(Box::new(api_gateway(response))))
            }
            Envelope::Delivered(events) => {
                let mut outcomes = Vec::new();
                for event in events {
                    outcomes.push(self.accept_delivered(event, now).await?);
                }
                Ok(BusAnswer::Delivered(outcomes))
            }
            Envelope::Piped(events) => self.accept_piped(events, now).await.map(BusAnswer::Piped),
            Envelope::Invoked(event) => match self.accept(event, now).await {
                Ok(receipt) => Ok(BusAnswer::Invoked(EventOutcome::Accepted { receipt })),
                Err(NotAccepted::Refused(refusal)) => {
                    log_refusal(&refusal);
                    Err(refusal.into())
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Reads an event and stores its invitation.
    async fn accept(&self, event: BusEvent, now: OffsetDateTime) -> Result<InvitationId, NotAccepted> {
        let BusEvent { sender, id, detail_type, detail } = event;
        let request = read(&detail_type, detail, self.default_country)?;
        let (kind_of_id, id) = match &request.key {
            Some(key) => ("bus by key", key.expose()),
            None => ("bus by id", &id),
        };
        let parts = [kind_of_id, &sender, &detail_type, id];
        let id = InvitationId::of(parts.map(str::as_bytes));
        let invitation = Invitation::new(id, Source::Bus, now, request.invitee, request.action);
        let invitation = Invitation { attributes: request.attributes, ..invitation };
        let receipt = invitation.id;
        let incoming = Submission { invitation: &invitation, sender: &Submitter::System(sender), by_robot: false };
        match self.intake.take(&self.invitations, &incoming, now).await {
            IntakeDecision::Accepted => {
                tracing::info!(%receipt, source = Source::Bus.name(), event = detail_type, "{INVITATION_ACCEPTED}");
                Ok(receipt)
            }
            IntakeDecision::Held | IntakeDecision::Dropped => Ok(receipt),
            IntakeDecision::NotStored(error) => Err(error.into()),
            IntakeDecision::TooMany { retry_after } => Err(StoreError::LimiterFull { retry_after }.into()),
            IntakeDecision::OtherPayload => Err(Refusal::OtherContent.into()),
        }
    }

    /// The same for an event from EventBridge or SNS. A refused one becomes a dead letter: an error would only make
    /// them deliver it again.
    async fn accept_delivered(&self, event: DeliveredEvent, now: OffsetDateTime) -> Result<EventOutcome, NotAccepted> {
        let DeliveredEvent { by, id, whole, event } = event;
        let accepted = match event {
            Ok(event) => self.accept(event, now).await,
            Err(refusal) => Err(refusal.into()),
        };
        let refusal = match accepted {
            Ok(receipt) => return Ok(EventOutcome::Accepted { receipt }),
            Err(NotAccepted::Refused(refusal)) => refusal,
            Err(error) => return Err(error),
        };
        // Hashed, because the id may have characters that SQS does not allow in a deduplication id.
        let message_id = InvitationId::of([b"refused", by.as_bytes(), id.as_bytes()]).to_string();
        let reason = DeadLetterReason { class: "malformed", cause: refusal.cause(), receipt: None };
        let delivery = MessageDelivery::from_elsewhere(&message_id, &whole, now.into());
        self.dead_letters.send(&delivery, &reason).await.inspect_err(|error| {
            Metric::NotStored.record();
            tracing::error!(
                by, message.id = id, cause = "DeadLetterQueue", error = %error,
                "refused event not dead-lettered: {by} delivers it again; if this lasts, check DEAD_LETTERS_QUEUE_URL \
                 and the role"
            );
        })?;
        tracing::error!(by, message.id = id, error = %refusal, "event refused and dead-lettered");
        Ok(EventOutcome::DeadLettered)
    }

    /// The same for a batch of a pipe. One element that could not be stored does not make the pipe repeat the others,
    /// if the pipe knows its elements by ids.
    async fn accept_piped(
        &self,
        events: Vec<PipedEvent>,
        now: OffsetDateTime,
    ) -> Result<SqsBatchResponse, NotAccepted> {
        let (mut failures, mut failure) = (SqsBatchResponse::default(), None);
        for PipedEvent { item, delivered } in events {
            match (self.accept_delivered(delivered, now).await, item) {
                (Ok(_), _) => {}
                (Err(_), Some(item)) => failures.add_failure(item),
                (Err(error), None) => failure = Some(error),
            }
        }
        failure.map_or(Ok(failures), Err)
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
        let event = BusEvent::of_request(&body, &id).map_err(problem)?;
        self.accept(event, now).await.map_err(|error| match error {
            NotAccepted::Refused(refusal) => problem(refusal),
            NotAccepted::NotStored(_) | NotAccepted::NotDeadLettered(_) => try_again(),
        })
    }

    /// The `webhook-id` of a signed request.
    async fn verify(
        &self,
        request: &ApiGatewayV2httpRequest,
        body: &str,
        now: OffsetDateTime,
        instant: Instant,
    ) -> Result<String, Problem> {
        let verify = |secrets: &SigningSecrets| secrets.verify(&request.headers, body, now).map(str::to_owned);
        // Before the secret is read: a stranger's request must not raise an alarm about a missing secret.
        SignedHeaders::read(&request.headers, now).map_err(unsigned)?;
        let secrets = self.signing_secrets.current(instant).await.map_err(no_secret)?;
        let verified = match verify(&secrets) {
            Err(SignatureError::Mismatch | SignatureError::Secret) => {
                // The secret may have been replaced since it was read.
                verify(&*self.signing_secrets.renewed(&secrets, instant).await.map_err(no_newer_secret)?)
            }
            verified => verified,
        };
        verified.map_err(|error| match error {
            SignatureError::Secret => {
                Metric::NotStored.record();
                let secret = self.signing_secrets.id();
                tracing::error!(
                    secret, cause = "SigningSecret", error = %error,
                    "no signature can be checked: fix the secret"
                );
                try_again()
            }
            error => unsigned(error),
        })
    }
}

fn unsigned(error: SignatureError) -> Problem {
    let detail = format!("Sign it as standardwebhooks.com describes: {error}.");
    Problem::new(StatusCode::UNAUTHORIZED, "The signature is not accepted", detail)
}

fn log_refusal(refusal: &Refusal) {
    tracing::error!(error = %refusal, "event refused: correct it at its sender");
}

fn no_secret(error: SecretError) -> Problem {
    Metric::NotStored.record();
    match error.is_transient() {
        true => {
            tracing::warn!(
                cause = "SigningSecret", error = %error,
                "no signature can be checked this time: the sender is asked to send the event again; no action needed unless \
                 this lasts"
            )
        }
        false => tracing::error!(
            cause = "SigningSecret", error = %error,
            "no signature can be checked until the secret can be read"
        ),
    }
    try_again()
}

/// The signature does not match the known secret, and whether there is a newer one is unknown. Most such requests are
/// forged: while Secrets Manager fails, their senders are asked to try again and no alarm is raised.
fn no_newer_secret(error: SecretError) -> Problem {
    match error.is_transient() {
        true => {
            tracing::warn!(
                cause = "SigningSecret", error = %error,
                "signature not accepted, and the secret could not be read again: the sender is asked to send the event \
                 again; no action needed"
            );
            try_again()
        }
        false => no_secret(error),
    }
}

fn try_again() -> Problem {
    Problem::try_again("Your event was not stored. Please send it again.", TRY_AGAIN_AFTER)
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
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "This event is unknown", detail)
        }
    }
}

fn body(request: &ApiGatewayV2httpRequest) -> Result<String, Problem> {
    let unreadable = |expected| {
        let detail = format!("Send it as {expected}.");
        Problem::new(StatusCode::BAD_REQUEST, "The event cannot be read", detail)
    };
    let body = request.body.as_deref().unwrap_or_default();
    let body = match request.is_base64_encoded {
        true => {
            let bytes = BASE64_STANDARD.decode(body).map_err(|_| unreadable("JSON"))?;
            String::from_utf8(bytes).map_err(|_| unreadable("JSON in UTF-8"))?
        }
        false => body.to_owned(),
    };
    if body.len() > BODY_LIMIT {
        let detail = format!("Send at most {BODY_LIMIT} bytes.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The event is too large", detail));
    }
    Ok(body)
}

fn api_gateway(response: Response<String>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.headers = parts.headers;
    answer.body = Some(Body::Text(body));
    answer
}
