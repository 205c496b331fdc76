//! Answers the requests of the application form.

use http::{HeaderMap, Method, Response, StatusCode};
use intake::{Intake, IntakeDecision, Submission, Submitter};
use lambda_http::Request;
use onboarding::{INVITATION_ACCEPTED, InvitationId, Provenance, Source};
use password_sealing::Sealer;
use queue::Invitations;
use serde::Serialize;
use telemetry::Metric;
use time::OffsetDateTime;
use web::{FieldError, Form, Preference, Problem, TRY_AGAIN_AFTER, json, notice, see_other};

use crate::submission::{InvalidOptional, read};
use crate::{Config, RefusedForms, sender};

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 255;

const NOT_STORED: &str = "Your application was not stored. Please send it again.";

/// The stores that a form passes through.
pub struct Stores {
    /// The caps that decide whether an application goes to the queue or is held.
    pub intake: Intake,
    /// The queue of invitations.
    pub invitations: Invitations,
    /// Seals the chosen password, if the form has a password field.
    pub sealer: Option<Sealer>,
    /// The count of refused forms.
    pub refused: RefusedForms,
}

/// Answers one request.
pub async fn answer(config: &Config, stores: &Stores, request: &Request, now: OffsetDateTime) -> Response<String> {
    let preference = Preference::of(request.headers());
    let sender = sender::of(request, config);
    match accept(config, stores, request, &sender, now).await {
        Ok(receipt) => accepted(config, preference, receipt),
        Err(problem) => {
            let (status, fields, reasons) = (problem.status().as_u16(), problem.field_names(), problem.reasons());
            tracing::info!(status, fields, reasons, "form not accepted, the answer says why");
            problem.respond(preference)
        }
    }
}

/// Reads a form and stores its invitation.
async fn accept(
    config: &Config,
    stores: &Stores,
    request: &Request,
    sender: &Submitter,
    now: OffsetDateTime,
) -> Result<InvitationId, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let key = idempotency_key(request.headers())?;
    let count_refused = || stores.refused.count(sender, now);
    let form = Form::read(request.headers(), request.body().as_ref()).await.inspect_err(|_| count_refused())?;
    let invalid_optional = match sender.has_form_key() {
        // A form builder has thanked its visitor, and no applicant sees the answer.
        true => InvalidOptional::Noted,
        false => InvalidOptional::Refused,
    };
    let read = read(form, &config.fields, config.default_country, invalid_optional);
    let mut submission = read.map_err(|faulty| {
        // A robot's form does not show that the website's form is broken.
        if !faulty.by_robot {
            count_refused();
        }
        Problem::fields(faulty.errors)
    })?;
    let (noted, ignored) = (std::mem::take(&mut submission.noted), std::mem::take(&mut submission.ignored));

    let (by_robot, password) = (submission.by_robot, submission.password.take());
    let mut invitation = submission.invitation(key, now);
    let receipt = invitation.id;
    report(receipt, &noted, &ignored);
    if sender.has_form_key() {
        invitation.provenance = Provenance::Keyed;
        if let (Some(password), Some(sealer)) = (password, &stores.sealer) {
            // Sealed before the caps are checked, so that a held application takes as long as an accepted one.
            let sealed = sealer.seal(receipt, &password).await.map_err(|error| {
                Metric::NotStored.record();
                tracing::error!(
                    %receipt, source = Source::Form.name(), cause = "PasswordSealing", error = %error,
                    "not stored, because its password could not be sealed: the sender is asked to send it again"
                );
                Problem::try_again(NOT_STORED, TRY_AGAIN_AFTER)
            })?;
            invitation.password = Some(sealed);
        }
    } else if password.is_some() {
        Metric::PasswordDiscarded.record();
        tracing::info!(%receipt, "chosen password discarded: the form came without a form key; no action needed");
    }
    let arrival = Submission { invitation: &invitation, sender, by_robot };
    let decision = stores.intake.take(&stores.invitations, &arrival, now).await;
    // A robot's form does not show that the website's form works.
    if !by_robot && matches!(decision, IntakeDecision::Accepted | IntakeDecision::Held) {
        Metric::FormRefused(false).record();
    }
    match decision {
        IntakeDecision::Accepted => {
            tracing::info!(%receipt, source = Source::Form.name(), "{INVITATION_ACCEPTED}");
            Ok(receipt)
        }
        // The same answer as for an accepted form: a robot learns nothing from it.
        IntakeDecision::Held | IntakeDecision::Dropped => Ok(receipt),
        IntakeDecision::TooMany { retry_after } => Err(Problem::too_many_requests(
            "Your application was not stored: too many came from your network. Please send it again later.",
            retry_after,
        )),
        IntakeDecision::NotStored(error) => Err(Problem::try_again(NOT_STORED, error.retry_after())),
        IntakeDecision::OtherPayload => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The Idempotency-Key was used before",
            "Another form was accepted under this Idempotency-Key. Send the corrected form with a new key, or leave the \
             header out.",
        )
        .with_errors(vec![FieldError::new(
            "Idempotency-Key",
            "was used for another application; send a corrected one under a new key",
        )])),
    }
}

/// Reports the fields of a readable form that are not stored as fields.
fn report(receipt: InvitationId, noted: &[FieldError], ignored: &[String]) {
    if !noted.is_empty() {
        let reasons = noted.iter().map(FieldError::reason).collect::<Vec<_>>().join(" | ");
        tracing::warn!(
            %receipt, reasons,
            "optional fields are not valid and go to the lead's notes: correct them in the lead, and check them in the form \
             builder"
        );
    }
    if !ignored.is_empty() {
        let fields = ignored.join(",");
        tracing::warn!(
            %receipt, fields,
            "fields were ignored: they came in another group of fields than the e-mail address, or under several similar \
             names; send each once, under its name in FORM_FIELDS"
        );
    }
}

/// The `Idempotency-Key`, if the request has one.
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
struct StoredApplication {
    status: &'static str,
    receipt: InvitationId,
}

/// The same answer for every applicant: it does not show whether LeadSquared knows the person.
fn accepted(config: &Config, preference: Preference, receipt: InvitationId) -> Response<String> {
    match (preference, &config.thank_you_url) {
        (Preference::Json, _) => json(StatusCode::ACCEPTED, &StoredApplication { status: "accepted", receipt }),
        (Preference::Html, Some(url)) => see_other(url),
        (Preference::Html, None) => {
            let promise =
                "We are sending you an e-mail with a link that opens your application. It can take a few minutes.";
            notice(StatusCode::ACCEPTED, "Thank you for applying", &[promise, &format!("Your receipt: {receipt}")])
        }
    }
}
