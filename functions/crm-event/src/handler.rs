//! Answers LeadSquared's webhooks.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use http::{Method, Response, StatusCode};
use lambda_http::Request;
use leadsquared::wire::webhook::{
    Change, Event, EventKind, FieldChange, Malformed, Modified, OtherSubject, WebhookRequest,
};
use ledger::Ledger;
use onboarding::rules::{Rule, RuleDecision, Verdict};
use onboarding::{INVITATION_ACCEPTED, Invitation, InvitationId, Invitee, Ledger as _, RuleQuestion, Source};
use queue::{Invitations, QueueError};
use serde::Serialize;
use telemetry::Metric;
use time::OffsetDateTime;

use crate::Config;

/// Reads of the ledger at the same time.
const LEDGER_READS_AT_ONCE: usize = 32;

/// Time-out of the ledger's answer whether an event is an echo of our own registration. Without an answer the
/// invitation is stored, and the worker's cool-down prevents a second mail.
const ECHO_TIMEOUT: Duration = Duration::from_millis(500);

/// Mistakes of one request that the answer names; the others are counted.
const MISTAKES_NAMED: usize = 3;

/// The longest body, in bytes, that is read although it came without an accepted secret. Any client can send one.
const LONGEST_UNAUTHENTICATED: usize = 1 << 20;

/// The stores that a webhook passes through.
pub struct Stores {
    /// The queue of invitations.
    pub invitations: Invitations,
    /// The ledger, which knows the leads that we registered.
    pub ledger: Ledger,
}

/// Answers one request.
pub async fn answer(config: &Config, stores: &Stores, request: &Request, now: OffsetDateTime) -> Response<String> {
    let body = request.body().as_ref();
    // LeadSquared sends these, without its secret, to check that the address exists.
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
        let looks_like_leadsquared = may_be_leadsquared(config, secret, request);
        if looks_like_leadsquared {
            Metric::WebhookSecret { is_wrong: true }.record();
        }
        return bad_secret(config, looks_like_leadsquared);
    }
    Metric::WebhookSecret { is_wrong: false }.record();
    if let Some(subject) = webhook_request(request).other_subject() {
        return answer_other(subject);
    }
    let events = match webhook_request(request).events() {
        Ok(events) => events,
        Err(malformed) => return unreadable(&[malformed]),
    };
    let (events, malformed): (Vec<_>, Vec<_>) = events.into_iter().partition(Result::is_ok);
    let events: Vec<Event> = events.into_iter().flatten().collect();
    let malformed: Vec<Malformed> = malformed.into_iter().filter_map(Result::err).collect();

    match invite(config, stores, &events, now).await {
        Err(cause) => {
            Metric::NotStored.record();
            tracing::error!(
                cause = "Queue", error = %cause,
                "invitations of a webhook not stored: LeadSquared sends the webhook again"
            );
            error(StatusCode::SERVICE_UNAVAILABLE, "the event could not be stored; send it again")
        }
        Ok(()) if malformed.is_empty() => success(),
        Ok(()) => unreadable(&malformed),
    }
}

/// Stores the invitations that the rules ask for.
async fn invite(config: &Config, stores: &Stores, events: &[Event], now: OffsetDateTime) -> Result<(), QueueError> {
    let mut seen = HashSet::new();
    let asked = events.iter().filter_map(|event| {
        let invitation = match config.rules.decide(event) {
            RuleDecision::NoRule => return None,
            RuleDecision::Fires(rule) => invitation(event, rule, now),
            RuleDecision::Undecided(rules) => undecided_invitation(event, &rules, now),
        };
        seen.insert(invitation.id).then_some((event, invitation))
    });
    let asked: Vec<_> = asked.collect();
    tracing::info!(events = events.len(), invitations = asked.len(), "webhook read");
    log_changes_not_shown(config, events);

    let ledger_answers = AtomicBool::new(true);
    let is_echo = asked.iter().map(|(event, _)| is_echo(config, &stores.ledger, event, &ledger_answers, now));
    let is_echo: Vec<_> = is_echo.collect();
    let is_echo: Vec<bool> = stream::iter(is_echo).buffered(LEDGER_READS_AT_ONCE).collect().await;
    let mut invitations = Vec::new();
    for ((_, invitation), is_echo) in asked.into_iter().zip(is_echo) {
        if is_echo {
            let (receipt, rule) = (invitation.id, invitation.rule.as_deref().unwrap_or_default());
            Metric::Echo.record();
            tracing::info!(
                %receipt, source = Source::Crm.name(), rule, outcome = "already-invited", cause = "echo",
                "the event is about our own registration of the lead: no invitation is stored"
            );
        } else {
            invitations.push(invitation);
        }
    }
    // LeadSquared sends the activities of a minute in one request.
    stores.invitations.send_all(&invitations).await?;
    for invitation in &invitations {
        let (receipt, rule) = (invitation.id, invitation.rule.as_deref().unwrap_or_default());
        let undecided = invitation.question.as_ref().map(|question| question.rules.join(", "));
        let action = invitation.action.name();
        tracing::info!(%receipt, source = Source::Crm.name(), rule, undecided, action, "{INVITATION_ACCEPTED}");
    }
    Ok(())
}

/// Logs each rule that does not fire because the events do not show the change that it reacts to.
fn log_changes_not_shown(config: &Config, events: &[Event]) {
    let mut silent: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in events.iter().filter(|event| matches!(event.kind, EventKind::Changed(_))) {
        for rule in config.rules.iter() {
            if let Verdict::No(objection) = rule.judge(event)
                && let Some(field) = objection.field_not_shown()
            {
                *silent.entry((&rule.name, field)).or_default() += 1;
            }
        }
    }
    for ((rule, field), events) in silent {
        tracing::info!(rule, field, events, "the rule does not fire: the events do not show how the field changed");
    }
}

/// The invitation that a rule asks for. It holds the lead's id only: the worker reads the rest from LeadSquared.
fn invitation(event: &Event, rule: &Rule, now: OffsetDateTime) -> Invitation {
    let invitation = Invitation::new(id(event, rule), Source::Crm, now, Invitee::Lead(event.lead), rule.action);
    Invitation { rule: Some(rule.name.clone()), ..invitation }
}

/// The invitation of an event that does not decide its rules: the worker looks the lead up and decides.
fn undecided_invitation(event: &Event, rules: &[&Rule], now: OffsetDateTime) -> Invitation {
    let question = RuleQuestion::new(rules, event);
    // Another id than a decided invitation's: a later event about the same activity may carry what this one lacks.
    let (event_id, known) = (id(event, rules[0]).to_string(), &question.known);
    let known = known.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let names = question.rules.iter().map(String::as_bytes);
    let id = InvitationId::of([b"crm-question", event_id.as_bytes()].into_iter().chain(names).chain(known));
    let invitation = Invitation::new(id, Source::Crm, now, Invitee::Lead(event.lead), rules[0].action);
    Invitation { question: Some(question), ..invitation }
}

/// The id of the invitation, the same for repeats of an event and for other webhooks about the same edit.
fn id(event: &Event, rule: &Rule) -> InvitationId {
    let lead = event.lead.to_string();
    let action = rule.action.name();
    let of = |parts: &[&str]| InvitationId::of(parts.iter().map(|part| part.as_bytes()));
    match &event.kind {
        EventKind::Activity { id, .. } => of(&["crm-activity", &id.to_string(), action]),
        EventKind::Created => of(&["crm-lead", &lead, "create", action]),
        EventKind::Changed(change) => {
            let field = rule.field().unwrap_or_default();
            let modified = match &change.modified {
                Modified::At(time) => time.unix_timestamp().to_string(),
                Modified::Unreadable(text) => text.clone(),
            };
            // With the value, because a score can change twice with the same modification time.
            let value = match change.of(field, &event.fields) {
                FieldChange::Changed { to, .. } => to.unwrap_or_default(),
                FieldChange::Unchanged | FieldChange::NotShown => "",
            };
            of(&["crm-lead", &lead, &modified, field, value, action])
        }
    }
}

/// Whether our own registration of the lead raised the event. The person has a link already then.
async fn is_echo(
    config: &Config,
    ledger: &Ledger,
    event: &Event,
    ledger_answers: &AtomicBool,
    now: OffsetDateTime,
) -> bool {
    let changed_at = match &event.kind {
        EventKind::Created => None,
        EventKind::Changed(Change { is_time_older: true, .. }) => Some(now),
        EventKind::Changed(Change { modified: Modified::At(time), .. }) => Some(*time),
        // A registration posts no activity, and a change without a time cannot be compared with the registration.
        EventKind::Changed(_) | EventKind::Activity { .. } => return false,
    };
    if !ledger_answers.load(Ordering::Relaxed) {
        return false;
    }
    let is_ours = |registered_at| changed_at.is_none_or(|time| time < registered_at + config.cool_down);
    let error = match ledger::within(ECHO_TIMEOUT, ledger.registered_at(&event.lead)).await {
        Ok(registered_at) => return registered_at.is_some_and(is_ours),
        Err(error) => error,
    };
    // While the ledger is unavailable, the other events of the request do not wait for it.
    if ledger_answers.swap(false, Ordering::Relaxed) {
        tracing::warn!(
            error = %error,
            "the ledger cannot say which events are echoes of our own registrations: their invitations are stored, and \
             the worker's cool-down prevents a second mail; no action needed unless this lasts"
        );
    }
    false
}

/// Whether a refused request may come from LeadSquared, so that a person is not invited: the stack accepts webhooks,
/// and the request has a secret and an event in LeadSquared's format. Most requests of strangers have neither.
///
/// A stranger can imitate such a request. The alarm `WebhookSecretWrong` of the template therefore also requires that
/// no accepted secret came in the same hour.
fn may_be_leadsquared(config: &Config, secret: &[u8], request: &Request) -> bool {
    let body = request.body().as_ref();
    let takes_webhooks = !config.secrets.is_empty() && config.rules.iter().next().is_some();
    let has_event = || webhook_request(request).events().is_ok_and(|events| events.iter().any(Result::is_ok));
    takes_webhooks && !secret.trim_ascii().is_empty() && body.len() <= LONGEST_UNAUTHENTICATED && has_event()
}

fn webhook_request(request: &Request) -> WebhookRequest<'_> {
    WebhookRequest {
        body: request.body().as_ref(),
        event_type: http_events::query(request, "eventType"),
        entity_type: http_events::query(request, "entityType"),
    }
}

/// Answers an event that no rule can react to. LeadSquared offers these events for the same webhooks and automations,
/// so one that arrives is no mistake.
fn answer_other(subject: OtherSubject) -> Response<String> {
    match subject {
        OtherSubject::Opportunity => {
            tracing::info!("event about an opportunity: no rule reacts to it, no action needed")
        }
        OtherSubject::Merge => tracing::info!("event about merged leads: no rule reacts to it, no action needed"),
        OtherSubject::UserStatus => {
            Metric::UserStatusChanged.record();
            tracing::info!(
                "event about a user of the account: the key check looks at once whether the keys still work"
            );
        }
    }
    success()
}

fn bad_secret(config: &Config, looks_like_leadsquared: bool) -> Response<String> {
    let (cause, reason) = match config.secrets.is_empty() {
        true => ("NoSecretSet", "no secret is accepted: set WEBHOOK_SECRET_HASHES"),
        false => ("WrongSecret", "the header holds no accepted secret"),
    };
    tracing::warn!(header = config.header.as_str(), cause, error = reason, looks_like_leadsquared, "webhook refused");
    let reason = format!("the header {} must hold the secret this address was set up with", config.header);
    error(config.bad_secret_status, &reason)
}

/// Answers unreadable events with 200: a repeat would not help, and LeadSquared disables a webhook after ten failures
/// (<https://apidocs.leadsquared.com/webhooks/>). The administrator finds the reason in the webhook's history, the
/// operator in the log.
fn unreadable(malformed: &[Malformed]) -> Response<String> {
    Metric::EventsUnreadable(malformed.len()).record();
    let mut reasons: Vec<String> = malformed.iter().take(MISTAKES_NAMED).map(Malformed::to_string).collect();
    if let Some(more) = malformed.len().checked_sub(MISTAKES_NAMED).filter(|more| *more > 0) {
        reasons.push(format!("and {more} more"));
    }
    let reason = reasons.join("; ");
    tracing::error!(
        events = malformed.len(),
        cause = malformed.first().map(Malformed::name),
        error = reason,
        "events of a webhook could not be read and are not repeated: invite their leads by hand, correct the webhook"
    );
    error(StatusCode::OK, &reason)
}

/// The answer, which LeadSquared shows in the webhook's history.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WebhookAnswer<'a> {
    status: &'static str,
    status_reason: &'a str,
}

fn success() -> Response<String> {
    web::json(StatusCode::OK, &WebhookAnswer { status: "Success", status_reason: "" })
}

fn error(status: StatusCode, reason: &str) -> Response<String> {
    web::json(status, &WebhookAnswer { status: "Error", status_reason: reason })
}
