//! The admin page `/_admin` and the JSON API `/_admin/api/…`: they show the emulator's state and set faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode};
use leadsquared::schema_name;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::automations::{self, Automation};
use crate::body::{Attribute, Text};
use crate::call::Call;
use crate::dates;
use crate::failure::Failure;
use crate::faults::{Effect, Fault};
use crate::hosted_page;
use crate::leads;
use crate::limit::LimitRefusal;
use crate::mails::{self, Mail};
use crate::world::{Account, World};
use crate::{deliveries, portal_users, webhooks};

/// The number of rows of each kind that the page shows, newest first. The API returns all.
const SHOWN: usize = 50;

/// The field that holds a lead's stage.
const STAGE: &str = schema_name::PROSPECT_STAGE;

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/_admin", get(page))
        .route("/_admin/mails/{id}", get(mail))
        .route("/_admin/faults", post(set_fault))
        .route("/_admin/faults/clear", post(clear_faults))
        .route("/_admin/leads", post(add_lead))
        .route("/_admin/leads/{id}", post(update_lead))
        .route("/_admin/webhooks/{id}", post(switch_webhook))
        .route("/_admin/clock", post(advance_clock))
        .route("/_admin/credentials/revoke", post(revoke_credentials))
        .route("/_admin/api/overview", get(overview))
        .route("/_admin/api/faults", get(faults).post(set_fault).delete(clear_faults))
        .route("/_admin/api/clock", post(advance_clock))
        .route("/_admin/api/credentials/revoke", post(revoke_credentials))
        .route("/_admin/api/calls", get(async |State(world): Shared| Json(json!(world.log.calls()))))
        .route("/_admin/api/leads", get(async |State(world): Shared| list(&world, leads::all)).post(add_lead))
        .route("/_admin/api/leads/{id}", post(update_lead))
        .route("/_admin/api/portal-users", get(async |State(world): Shared| list(&world, portal_users::all)))
        .route("/_admin/api/mails", get(async |State(world): Shared| list(&world, mails::all)))
        .route("/_admin/api/text-messages", get(async |State(world): Shared| list(&world, mails::all_texts)))
        .route("/_admin/api/deliveries", get(async |State(world): Shared| list(&world, deliveries::all)))
        .route("/_admin/api/webhooks", get(async |State(world): Shared| list(&world, shown_webhooks)))
        .route("/_admin/api/webhooks/{id}", post(switch_webhook))
        .route("/_admin/api/automations", post(add_automation))
        .layer(middleware::from_fn(only_from_here))
}

type Shared = State<Arc<World>>;

/// Refuses requests that another site could make a browser send: foreign host names, and writes from foreign pages.
async fn only_from_here(request: Request, next: Next) -> Response {
    if is_from_here(request.method(), request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "This page is for this machine only: open it at 127.0.0.1 or localhost.\n")
            .into_response()
    }
}

fn is_from_here(method: &Method, headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let same_origin = header(ORIGIN).is_none_or(|origin| origin == format!("http://{host}"));
    ["127.0.0.1", "localhost"].contains(&name) && (method == Method::GET || same_origin)
}

fn list<T: serde::Serialize>(
    world: &World,
    read: fn(&rusqlite::Connection) -> rusqlite::Result<Vec<T>>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(json!(read(&first(world).store.connection())?)))
}

fn shown_webhooks(db: &rusqlite::Connection) -> rusqlite::Result<Vec<webhooks::Webhook>> {
    Ok(webhooks::all(db)?.iter().map(webhooks::Stored::shown).collect())
}

fn first(world: &World) -> &Account {
    &world.accounts[0]
}

async fn overview(State(world): Shared) -> Json<Value> {
    let limit = &world.settings.limit;
    let now = world.now();
    Json(json!({
        "now": dates::to_the_second(now),
        "limit": { "calls": limit.calls, "window_seconds": limit.window.as_secs_f64() },
        "window_now": in_window(&world, now),
        "window_max": world.log.window_max(),
        "calls": world.log.total(),
        "faults": world.faults.list().len(),
    }))
}

/// Calls that arrived within the window that ends now.
fn in_window(world: &World, now: OffsetDateTime) -> usize {
    let calls = world.log.calls();
    calls.iter().rev().take_while(|call| now - call.at < world.settings.limit.window).count()
}

async fn faults(State(world): Shared) -> Json<Value> {
    Json(world.faults.list().iter().map(described).collect())
}

fn described(fault: &Fault) -> Value {
    let (effect, milliseconds, status) = match &fault.effect {
        Effect::Latency(latency) => ("latency", Some(latency.as_millis()), None),
        Effect::Answer { status, .. } => ("answer", None, Some(*status)),
        Effect::LimitReached(refusal) => ("limit", None, Some(refusal.status().as_u16())),
        Effect::Cut => ("cut", None, None),
        Effect::Truncate => ("truncate", None, None),
        Effect::Drip { every } => ("drip", Some(every.as_millis()), None),
    };
    json!({
        "call": fault.call, "content": fault.content, "effect": effect, "milliseconds": milliseconds, "status": status,
        "after_work": fault.after_work, "times": fault.times, "chance": fault.chance,
    })
}

/// A fault, as a form or as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultForm {
    /// The name of a call. Empty: every call.
    #[serde(default)]
    call: String,
    /// A text in the calls' content. Empty: any content.
    #[serde(default)]
    content: String,
    effect: String,
    /// For `latency` and `drip`.
    #[serde(default)]
    milliseconds: Input,
    /// For `answer` and `limit`.
    #[serde(default)]
    status: Input,
    /// For `answer`.
    #[serde(default)]
    body: String,
    #[serde(default)]
    after_work: Input,
    #[serde(default)]
    times: Input,
    /// From 0 to 1. Absent: always.
    #[serde(default)]
    chance: Input,
}

/// A value that a form sends as text, and a program as a number or a boolean.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Input(crate::body::Text);

impl Input {
    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, String> {
        let text = self.0.as_deref();
        text.map(|text| text.trim().parse().map_err(|_| format!("{name} must be a whole number"))).transpose()
    }

    fn is_set(&self) -> bool {
        matches!(self.0.as_deref(), Some("on" | "true" | "1"))
    }
}

impl FaultForm {
    fn fault(&self) -> Result<Fault, String> {
        let call = match self.call.as_str() {
            "" => None,
            name => Some(Call::named(name).ok_or("call must be the name of a call, or empty for all")?),
        };
        let time = || Ok::<_, String>(Duration::from_millis(self.milliseconds.number("milliseconds")?.unwrap_or(100)));
        let status = self.status.number("status")?;
        let effect = match self.effect.as_str() {
            "latency" => Effect::Latency(time()?),
            "answer" => answer(status.unwrap_or(502), &self.body)?,
            "limit" => Effect::LimitReached(match status {
                None | Some(429) => LimitRefusal::TooManyRequests,
                Some(403) => LimitRefusal::Forbidden,
                Some(200) => LimitRefusal::UnderOk,
                Some(_) => return Err("the limit is refused with status 429, 403 or 200".to_owned()),
            }),
            "cut" => Effect::Cut,
            "truncate" => Effect::Truncate,
            "drip" => Effect::Drip { every: time()? },
            _ => return Err("effect must be latency, answer, limit, cut, truncate or drip".to_owned()),
        };
        let chance = self.chance.0.as_deref().map_or(Ok(1.0), str::parse);
        let chance = chance.ok().filter(|chance| (0.0..=1.0).contains(chance)).ok_or("chance must be from 0 to 1")?;
        let (content, after_work) = (self.content.clone(), self.after_work.is_set());
        Ok(Fault { call, content, effect, after_work, times: self.times.number("times")?, chance })
    }
}

fn answer(status: u16, body: &str) -> Result<Effect, String> {
    if !(200..=599).contains(&status) {
        return Err("status must be from 200 to 599".to_owned());
    }
    if body.is_empty() {
        return Ok(Effect::gateway(status));
    }
    let content_type = if serde_json::from_str::<Value>(body).is_ok() { "application/json" } else { "text/html" };
    Ok(Effect::Answer { status, content_type: content_type.to_owned(), body: body.to_owned() })
}

async fn set_fault(State(world): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let fault = read::<FaultForm>(&headers, &body).and_then(|form| form.fault());
    written(&headers, fault.map(|fault| world.faults.add(fault)))
}

async fn clear_faults(State(world): Shared, headers: HeaderMap) -> Response {
    world.faults.clear();
    done(&headers)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: Input,
}

async fn advance_clock(State(world): Shared, headers: HeaderMap, body: Bytes) -> Response {
    /// One year for each request, so that no reasonable number of requests exceeds the calendar.
    const MOST: u64 = 366 * 24 * 3600;
    let seconds = read::<Advance>(&headers, &body).and_then(|form| form.seconds.number::<u64>("seconds"));
    match seconds {
        Ok(Some(seconds)) if seconds <= MOST => {
            world.settings.clock.advance(Duration::from_secs(seconds));
            done(&headers)
        }
        _ => (StatusCode::UNPROCESSABLE_ENTITY, "seconds must be a whole number up to a year\n").into_response(),
    }
}

/// Fields of a lead by schema name, as a form or as JSON. Empty ones are left out.
fn lead_fields(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Attribute>, String> {
    let fields: BTreeMap<String, Text> = read(headers, body)?;
    let filled = fields.into_iter().filter(|(_, value)| value.as_deref().is_some());
    Ok(filled.map(|(name, value)| Attribute { name, value }).collect())
}

async fn add_lead(State(world): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let fields = lead_fields(&headers, &body);
    written(&headers, fields.and_then(|fields| world.add_lead(&fields).map(drop).map_err(|failure| failure.message)))
}

async fn update_lead(State(world): Shared, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = lead_fields(&headers, &body);
    written(&headers, fields.and_then(|fields| world.update_lead(&id, &fields).map_err(|failure| failure.message)))
}

fn written(headers: &HeaderMap, outcome: Result<(), String>) -> Response {
    match outcome {
        Ok(()) => done(headers),
        Err(reason) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{reason}\n")).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    enabled: Input,
}

async fn switch_webhook(
    State(world): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let enabled = match read::<Switch>(&headers, &body) {
        Ok(form) => form.enabled.is_set(),
        Err(reason) => return Ok((StatusCode::UNPROCESSABLE_ENTITY, format!("{reason}\n")).into_response()),
    };
    if webhooks::switch(&first(&world).store.connection(), &id, enabled, world.now())? {
        Ok(done(&headers))
    } else {
        Ok((StatusCode::NOT_FOUND, "no webhook has this id\n").into_response())
    }
}

async fn add_automation(State(world): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let added = read::<Automation>(&headers, &body).and_then(|automation| {
        let added = world.in_the_crm(|writer| automations::add(writer, &automation));
        added.map(drop).map_err(|failure| failure.message)
    });
    written(&headers, added)
}

async fn revoke_credentials(State(world): Shared, headers: HeaderMap) -> Result<Response, Failure> {
    first(&world).revoke_credentials()?;
    Ok(done(&headers))
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.starts_with("application/x-www-form-urlencoded")
}

fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, String> {
    // curl -d sends JSON with the content type of a form. No form begins with a brace.
    if is_form(headers) && !body.trim_ascii_start().starts_with(b"{") {
        let pairs =
            form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        return serde_json::from_value(Value::Object(pairs.collect())).map_err(|error| error.to_string());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A form is redirected to the page; a program gets an empty answer.
fn done(headers: &HeaderMap) -> Response {
    if is_form(headers) { Redirect::to("/_admin").into_response() } else { StatusCode::NO_CONTENT.into_response() }
}

#[derive(Template)]
#[template(path = "admin.html")]
struct Page {
    organisation: String,
    now: String,
    limit: u32,
    over_limit: bool,
    window_seconds: f64,
    window_now: usize,
    window_max: usize,
    total: u64,
    shown: usize,
    call_names: Vec<&'static str>,
    faults: Vec<FaultRow>,
    calls: Vec<CallRow>,
    leads: Vec<LeadRow>,
    mails: Vec<MailRow>,
    texts: Vec<TextRow>,
    stages: Vec<String>,
    webhooks: Vec<webhooks::Webhook>,
}

struct FaultRow {
    call: &'static str,
    content: String,
    effect: String,
    when: &'static str,
    times: String,
    chance: String,
}

struct CallRow {
    at: String,
    call: &'static str,
    status: String,
    refused: bool,
}

struct LeadRow {
    id: String,
    name: String,
    email: String,
    phone: String,
    portal_user: bool,
    stage: String,
}

struct MailRow {
    id: String,
    sent_at: String,
    recipients: String,
    subject: String,
}

struct TextRow {
    sent_at: String,
    recipient: String,
    text: String,
}

async fn page(State(world): Shared) -> Result<Response, Failure> {
    let account = first(&world);
    let now = world.now();
    let (leads, users, mails, texts, webhooks) = {
        let db = account.store.connection();
        (leads::all(&db)?, portal_users::all(&db)?, mails::all(&db)?, mails::all_texts(&db)?, shown_webhooks(&db)?)
    };
    let mut fields = account.tenant.fields.iter();
    let name_of = |call: Option<Call>| call.map_or("(no call)", Call::name);
    let page = Page {
        organisation: account.tenant.organisation.clone(),
        now: dates::to_the_second(now),
        limit: world.settings.limit.calls,
        over_limit: world.log.window_max() > world.settings.limit.calls as usize,
        window_seconds: world.settings.limit.window.as_secs_f64(),
        window_now: in_window(&world, now),
        window_max: world.log.window_max(),
        total: world.log.total(),
        shown: SHOWN,
        call_names: Call::ALL.iter().map(|call| call.name()).collect(),
        faults: world.faults.list().iter().map(fault_row).collect(),
        calls: newest(world.log.calls(), |call| CallRow {
            at: dates::to_the_second(call.at),
            call: name_of(call.call),
            status: call.status.map_or("no answer".to_owned(), |status| status.to_string()),
            refused: call.status.is_none_or(|status| status != 200),
        }),
        leads: newest(leads, |lead| LeadRow {
            name: lead.display_name(),
            email: lead.field(schema_name::EMAIL_ADDRESS).unwrap_or_default().to_owned(),
            phone: lead.field(schema_name::PHONE).unwrap_or_default().to_owned(),
            stage: lead.field(STAGE).unwrap_or_default().to_owned(),
            portal_user: users.iter().any(|user| user.lead_id == lead.id),
            id: lead.id,
        }),
        mails: newest(mails, |mail| MailRow {
            sent_at: dates::to_the_second(mail.sent_at),
            recipients: mail.recipients.join(", "),
            subject: mail.subject,
            id: mail.id,
        }),
        texts: newest(texts, |text| TextRow {
            sent_at: dates::to_the_second(text.sent_at),
            recipient: text.recipient,
            text: text.text,
        }),
        stages: fields.find(|field| field.schema_name == STAGE).map(|field| field.options.clone()).unwrap_or_default(),
        webhooks,
    };
    Ok(hosted_page::html(page.render()))
}

fn newest<T, R>(rows: Vec<T>, row: impl FnMut(T) -> R) -> Vec<R> {
    rows.into_iter().rev().take(SHOWN).map(row).collect()
}

fn fault_row(fault: &Fault) -> FaultRow {
    let effect = match &fault.effect {
        Effect::Latency(latency) => format!("{} ms later", latency.as_millis()),
        Effect::Answer { status, .. } => format!("answers {status}"),
        Effect::LimitReached(refusal) => format!("limit reached, {}", refusal.status().as_u16()),
        Effect::Cut => "connection cut".to_owned(),
        Effect::Truncate => "answer cut in half".to_owned(),
        Effect::Drip { every } => format!("a byte every {} ms", every.as_millis()),
    };
    let always_after = matches!(fault.effect, Effect::Truncate | Effect::Drip { .. });
    FaultRow {
        call: fault.call.map_or("every call", Call::name),
        content: if fault.content.is_empty() { "any".to_owned() } else { fault.content.clone() },
        effect,
        when: if fault.after_work || always_after { "after it took effect" } else { "before it takes effect" },
        times: fault.times.map_or("always".to_owned(), |times| format!("{times} more")),
        chance: format!("{}%", fault.chance * 100.0),
    }
}

/// One mail as its recipient sees it: no scripts, only pictures are loaded, links open in the whole window.
async fn mail(State(world): Shared, Path(id): Path<String>) -> Result<Response, Failure> {
    let mails: Vec<Mail> = mails::all(&first(&world).store.connection())?;
    let Some(mail) = mails.into_iter().find(|mail| mail.id == id) else {
        return Ok((StatusCode::NOT_FOUND, "no mail has this id\n").into_response());
    };
    let headers = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; img-src * data:; form-action 'none'; frame-ancestors 'none'",
        ),
        (CACHE_CONTROL, "no-store"),
    ];
    if mail.html.is_empty() {
        return Ok((headers, mail.text).into_response());
    }
    Ok((headers, Html(mail.html)).into_response())
}
