use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode};
use invitation_flow::InvitationId;
use lambda_http::Request;
use queue::Invitations;
use sealing::Sealer;
use serde::Serialize;
use telemetry::Metric;
use time::OffsetDateTime;
use web::{Form, Preference, Problem, json, notice, see_other};

use crate::Config;
use crate::submission::read;

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 255;

/// When a form that could not be stored may be sent again, in seconds.
const RETRY_AFTER: u16 = 5;

/// Where a form goes.
pub struct Stores {
    /// The queue.
    pub invitations: Invitations,
    /// What seals passwords, where the form asks for one.
    pub sealer: Option<Sealer>,
}

/// Answers one request.
pub async fn answer(config: &Config, stores: &Stores, request: &Request, now: OffsetDateTime) -> Response<String> {
    let preference = Preference::of(request.headers());
    match accept(config, stores, request, now).await {
        Ok(receipt) => accepted(config, preference, receipt),
        Err(problem) => {
            tracing::info!(status = problem.status().as_u16(), "form not accepted");
            problem.respond(preference)
        }
    }
}

/// Takes a form as far as the queue.
async fn accept(
    config: &Config,
    stores: &Stores,
    request: &Request,
    now: OffsetDateTime,
) -> Result<InvitationId, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let key = idempotency_key(request.headers())?;
    let form = Form::read(request.headers(), request.body().as_ref()).await?;
    let mut submission = read(&form, &config.fields, config.default_country).map_err(Problem::fields)?;

    let by_robot = submission.by_robot;
    let password = submission.password.take();
    let mut invitation = submission.invitation(key, now);
    if by_robot {
        // A robot gets the answer a person gets, and nothing to learn from.
        Metric::Ended { outcome: "suppressed", source: invitation.source.name(), age: Duration::ZERO }.record();
        tracing::info!(receipt = %invitation.id, outcome = "suppressed", cause = "honeypot", "invitation ended");
        return Ok(invitation.id);
    }
    let receipt = invitation.id;
    let not_stored = |error: &dyn std::error::Error| {
        Metric::NotStored.record();
        tracing::error!(%receipt, error = %error, "the form could not be stored");
        Problem::try_again("Your application was not stored. Please send it again.", RETRY_AFTER)
    };
    if let (Some(password), Some(sealer)) = (password, &stores.sealer) {
        let sealed = sealer.seal(invitation.id, &password).await.map_err(|error| not_stored(&error))?;
        invitation.password = Some(sealed);
    }
    stores.invitations.send(&invitation).await.map_err(|error| not_stored(&error))?;
    tracing::info!(receipt = %invitation.id, source = "form", "invitation accepted");
    Ok(invitation.id)
}

/// The sender's own name for this application, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok(key) if !key.is_empty() && key.len() <= LONGEST_KEY => Ok(Some(key)),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "The Idempotency-Key cannot be used",
            format!("Send 1 to {LONGEST_KEY} visible ASCII characters, or leave the header out."),
        )),
    }
}

#[derive(Serialize)]
struct Accepted {
    status: &'static str,
    receipt: InvitationId,
}

/// The same answer for everybody: whether the person is known already is nobody's business.
fn accepted(config: &Config, preference: Preference, receipt: InvitationId) -> Response<String> {
    match (preference, &config.thank_you_url) {
        (Preference::Json, _) => json(StatusCode::ACCEPTED, &Accepted { status: "accepted", receipt }),
        (Preference::Html, Some(url)) => see_other(url),
        (Preference::Html, None) => {
            let promise =
                "We are sending you an e-mail with a link that opens your application. It can take a few minutes.";
            notice(StatusCode::ACCEPTED, "Thank you for applying", &[promise, &format!("Your receipt: {receipt}")])
        }
    }
}
