//! Answers LeadSquared's webhooks.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use http::{Method, Response, StatusCode};
use lambda_http::Request;
use leadsquared::wire::webhook::{Change, Event, Malformed, Modified, What, read};
use ledger::Ledger;
use onboarding::rules::Rule;
use onboarding::{Invitation, InvitationId, Ledger as _, Source, Whom};
use queue::{Invitations, QueueError};
use serde::Serialize;
use telemetry::Metric;
use time::OffsetDateTime;

use crate::Config;

/// Questions to the ledger at the same time.
const AT_ONCE: usize = 32;

/// How long the ledger may take to say whether an event is an echo. Without its word the invitation goes out, and the
/// worker's cool-down keeps the person from a second mail.
const LEDGER_PATIENCE: Duration = Duration::from_millis(500);

/// Mistakes of one request that the answer names; the rest are counted.
const MISTAKES_TOLD: usize = 3;

/// The longest body, in bytes, that is looked into although it came without an accepted secret. Anybody can send one.
const LONGEST_UNPROVEN: usize = 1 << 20;

/// What the function asks on the way.
pub struct Stores {
    /// The queue.
    pub invitations: Invitations,
    /// Whom we registered.
    pub ledger: Ledger,
}

/// Answers one request.
pub async fn answer(config: &Config, stores: &Stores, request: &Request, now: OffsetDateTime) -> Response<String> {
    let body = request.body().as_ref();
    // What LeadSquared sends, without its secret, to see whether the address is there.
    let is_handshake = match *request.method() {
        Method::GET | Method::HEAD => true,
        Method::POST => body.trim_ascii().is_empty(),
        _ => return error(StatusCode::METHOD_NOT_ALLOWED, "send the event with POST"),
    };
    if is_handshake {
        return success();
    }
    let secret = request.headers().get(&config.header).map_or(&b""[..], |value| value.as_bytes());
    if !config.secrets.accept(secret) {
        Metric::WebhookRefused.record();
        let is_lost = may_be_lost(config, secret, request);
        if is_lost {
            Metric::WebhookSecret { is_wrong: true }.record();
        }
        return bad_secret(config, is_lost);
    }
    Metric::WebhookSecret { is_wrong: false }.record();
    let events = match read(body, http_events::query(request, "eventType")) {
        Ok(events) => events,
        Err(malformed) => return mistaken(&[malformed]),
    };
    let (events, malformed): (Vec<_>, Vec<_>) = events.into_iter().partition(Result::is_ok);
    let events: Vec<Event> = events.into_iter().flatten().collect();
    let malformed: Vec<Malformed> = malformed.into_iter().filter_map(Result::err).collect();

    match invite(config, stores, &events, now).await {
        Err(cause) => {
            Metric::NotStored.record();
            tracing::error!(error = %cause, "the webhook's invitations could not be stored: LeadSquared sends it again");
            error(StatusCode::SERVICE_UNAVAILABLE, "the event could not be stored; send it again")
        }
        Ok(()) if malformed.is_empty() => success(),
        Ok(()) => mistaken(&malformed),
    }
}

/// Takes the invitations that the events ask for as far as the queue.
async fn invite(config: &Config, stores: &Stores, events: &[Event], now: OffsetDateTime) -> Result<(), QueueError> {
    let mut seen = HashSet::new();
    let asked = events.iter().filter_map(|event| {
        let rule = config.rules.first(event)?;
        let invitation = invitation(event, rule, now);
        seen.insert(invitation.id).then_some((event, invitation))
    });
    let asked: Vec<_> = asked.collect();
    tracing::info!(events = events.len(), invitations = asked.len(), "webhook read");

    let ledger_answers = AtomicBool::new(true);
    let is_echo = asked.iter().map(|(event, _)| is_echo(config, &stores.ledger, event, &ledger_answers, now));
    let is_echo: Vec<_> = is_echo.collect();
    let is_echo: Vec<bool> = stream::iter(is_echo).buffered(AT_ONCE).collect().await;
    let mut invitations = Vec::new();
    for ((_, invitation), is_echo) in asked.into_iter().zip(is_echo) {
        if is_echo {
            let (receipt, rule) = (invitation.id, invitation.rule.as_deref().unwrap_or_default());
            Metric::Echo.record();
            tracing::info!(%receipt, rule, outcome = "already-invited", cause = "echo", "invitation ended");
        } else {
            invitations.push(invitation);
        }
    }
    // A minute's activities come in one request.
    stores.invitations.send_all(&invitations).await?;
    for invitation in &invitations {
        let (receipt, rule) = (invitation.id, invitation.rule.as_deref().unwrap_or_default());
        tracing::info!(%receipt, source = "crm", rule, action = invitation.action.name(), "invitation accepted");
    }
    Ok(())
}

/// What a rule asks for. Nothing of the lead is in it but its id: the worker takes the rest from LeadSquared.
fn invitation(event: &Event, rule: &Rule, now: OffsetDateTime) -> Invitation {
    let invitation = Invitation::new(id(event, rule), Source::Crm, now, Whom::Lead(event.lead), rule.action);
    Invitation { rule: Some(rule.name.clone()), ..invitation }
}

/// The same for everything that tells of one event: repeats, and other webhooks on the same edit.
fn id(event: &Event, rule: &Rule) -> InvitationId {
    let lead = event.lead.to_string();
    let action = rule.action.name();
    let of = |parts: &[&str]| InvitationId::of(parts.iter().map(|part| part.as_bytes()));
    match &event.what {
        What::Activity { id, .. } => of(&["crm-activity", &id.to_string(), action]),
        What::Created => of(&["crm-lead", &lead, "create", action]),
        What::Changed(change) => {
            let field = rule.field().unwrap_or_default();
            let modified = match &change.modified {
                Modified::At(time) => time.unix_timestamp().to_string(),
                Modified::Unreadable(text) => text.clone(),
            };
            // A score can change twice while the lead's time stands still.
            of(&["crm-lead", &lead, &modified, field, event.fields.get(field), action])
        }
    }
}

/// Whether our own registration of the lead is what raised the event. Whoever it is has the link already.
async fn is_echo(
    config: &Config,
    ledger: &Ledger,
    event: &Event,
    ledger_answers: &AtomicBool,
    now: OffsetDateTime,
) -> bool {
    let changed_at = match &event.what {
        What::Created => None,
        What::Changed(Change { is_time_older: true, .. }) => Some(now),
        What::Changed(Change { modified: Modified::At(time), .. }) => Some(*time),
        // No registration posts an activity, and a change without a time can be of any time.
        What::Changed(_) | What::Activity { .. } => return false,
    };
    if !ledger_answers.load(Ordering::Relaxed) {
        return false;
    }
    let is_ours = |registered_at| changed_at.is_none_or(|time| time < registered_at + config.cool_down);
    let cause = match tokio::time::timeout(LEDGER_PATIENCE, ledger.registered_at(&event.lead)).await {
        Ok(Ok(registered_at)) => return registered_at.is_some_and(is_ours),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the ledger did not answer in time".to_owned(),
    };
    // One that is away is not waited for again and again.
    if ledger_answers.swap(false, Ordering::Relaxed) {
        tracing::warn!(
            error = cause,
            "echoes of our own registrations cannot be told from news: they are invited again"
        );
    }
    false
}

/// Whether a request without an accepted secret may be LeadSquared's, so that somebody is not invited who should be:
/// this stack takes webhooks, the request has a secret, and its body has an event of LeadSquared's. What strangers
/// send to a public address is mostly none of that.
///
/// A stranger can imitate it. So the alarm also asks that no accepted secret came in the same hour: see
/// `WebhookSecretWrong` in the template.
fn may_be_lost(config: &Config, secret: &[u8], request: &Request) -> bool {
    let body = request.body().as_ref();
    let takes_webhooks = !config.secrets.is_empty() && config.rules.iter().next().is_some();
    let has_event =
        || read(body, http_events::query(request, "eventType")).is_ok_and(|events| events.iter().any(Result::is_ok));
    takes_webhooks && !secret.trim_ascii().is_empty() && body.len() <= LONGEST_UNPROVEN && has_event()
}

fn bad_secret(config: &Config, is_lost: bool) -> Response<String> {
    let cause = match config.secrets.is_empty() {
        true => "no secret is accepted: set WEBHOOK_SECRET_HASHES",
        false => "the header holds no accepted secret",
    };
    tracing::warn!(header = config.header.as_str(), cause, looks_like_leadsquared = is_lost, "webhook refused");
    let reason = format!("the header {} must hold the secret this address was set up with", config.header);
    error(config.bad_secret_status, &reason)
}

/// What cannot be read is read no better a second time, and LeadSquared switches off a webhook after ten failures: so
/// it is answered 200, where the administrator finds it in the webhook's history, and logged for the operator.
fn mistaken(malformed: &[Malformed]) -> Response<String> {
    Metric::EventsUnreadable(malformed.len()).record();
    let mut reasons: Vec<String> = malformed.iter().take(MISTAKES_TOLD).map(Malformed::to_string).collect();
    if let Some(more) = malformed.len().checked_sub(MISTAKES_TOLD).filter(|more| *more > 0) {
        reasons.push(format!("and {more} more"));
    }
    let reason = reasons.join("; ");
    tracing::error!(events = malformed.len(), error = reason, "what LeadSquared posted could not be read");
    error(StatusCode::OK, &reason)
}

/// What LeadSquared shows in a webhook's history.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    status_reason: &'a str,
}

fn success() -> Response<String> {
    web::json(StatusCode::OK, &Answer { status: "Success", status_reason: "" })
}

fn error(status: StatusCode, reason: &str) -> Response<String> {
    web::json(status, &Answer { status: "Error", status_reason: reason })
}
