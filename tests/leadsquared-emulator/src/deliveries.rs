//! Delivering webhooks: <https://apidocs.leadsquared.com/webhook-best-practices/>.

use std::sync::Arc;

use reqwest::Client;
use reqwest::redirect::Policy;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use crate::failure::Failure;
use crate::mails::{self, Mail};
use crate::store::{stamp, time_of};
use crate::tenant::Role;
use crate::webhooks::{self, Stored, WebhookStatus};
use crate::world::{Account, World};

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DeliveryState {
    /// Waits for its first or next attempt.
    Waiting,
    /// An attempt is under way.
    Sending,
    /// Was answered with 200.
    Delivered,
    /// Every attempt failed.
    Failed,
    /// Was due while the webhook was disabled; LeadSquared does not deliver it later.
    Dropped,
}

impl DeliveryState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Sending, Self::Delivered, Self::Failed, Self::Dropped];

    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The delivery of one event to a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// GUID of the webhook.
    pub webhook_id: String,
    /// Name of the event.
    pub event: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Status of the last answer; `None` without an answer.
    pub status: Option<u16>,
    /// State of the delivery.
    pub state: DeliveryState,
}

/// Every delivery, oldest first.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Delivery>> {
    let mut deliveries =
        db.prepare_cached("SELECT webhook_id, event, attempts, status, state FROM delivery ORDER BY number")?;
    deliveries
        .query_map([], |row| {
            let state: String = row.get(4)?;
            Ok(Delivery {
                webhook_id: row.get(0)?,
                event: row.get(1)?,
                attempts: row.get(2)?,
                status: row.get(3)?,
                state: DeliveryState::ALL
                    .into_iter()
                    .find(|known| known.name() == state)
                    .ok_or(rusqlite::Error::InvalidQuery)?,
            })
        })?
        .collect()
}

/// The HTTP client for deliveries. It follows no redirects and uses no proxy.
pub(crate) fn http_client() -> Option<Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none()).no_proxy().build().ok()
}

/// Whether an address answers 200 to a HEAD request, which LeadSquared sends when a webhook is saved.
pub(crate) async fn handshake(world: &World, address: &str) -> bool {
    let request = world.http.head(address).timeout(world.settings.webhooks.timeout);
    request.send().await.is_ok_and(|answer| answer.status() == 200)
}

/// Makes deliveries due that were under way when the previous run ended.
pub(crate) fn resume(db: &Connection, now: OffsetDateTime) -> rusqlite::Result<()> {
    db.execute("UPDATE delivery SET state = 'waiting', due_at = ?1 WHERE state = 'sending'", [stamp(now)])?;
    Ok(())
}

/// Makes each delivery when it is due, until `stop` changes.
pub(crate) async fn run(world: Arc<World>, mut stop: watch::Receiver<bool>) {
    let mut under_way = JoinSet::new();
    loop {
        let mut next = None;
        for account in &world.accounts {
            // A failing database also fails the calls, which report it.
            for job in take_due(account, world.now()).unwrap_or_default() {
                under_way.spawn(attempt(world.clone(), account.clone(), job));
            }
            let due = next_due(&account.store.connection()).unwrap_or_default();
            next = next.into_iter().chain(due).min();
        }
        let due = async {
            match next {
                Some(time) => world.settings.clock.reached(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = world.deliverable.notified() => {}
            Some(_) = under_way.join_next() => {}
            _ = stop.changed() => return,
        }
    }
}

struct Job {
    number: i64,
    webhook_id: String,
    event: String,
    body: String,
    attempts: u32,
}

fn take_due(account: &Account, now: OffsetDateTime) -> Result<Vec<Job>, Failure> {
    account.store.transaction(|db| {
        let mut due = db.prepare_cached(
            "SELECT number, webhook_id, event, body, attempts FROM delivery WHERE due_at <= ?1 ORDER BY number",
        )?;
        let jobs = due.query_map([stamp(now)], |row| {
            Ok(Job {
                number: row.get(0)?,
                webhook_id: row.get(1)?,
                event: row.get(2)?,
                body: row.get(3)?,
                attempts: row.get(4)?,
            })
        })?;
        let jobs: Vec<Job> = jobs.collect::<Result<_, _>>()?;
        for job in &jobs {
            db.prepare_cached("UPDATE delivery SET state = 'sending', due_at = NULL WHERE number = ?1")?
                .execute([job.number])?;
        }
        Ok(jobs)
    })
}

fn next_due(db: &Connection) -> rusqlite::Result<Option<OffsetDateTime>> {
    let mut due = db.prepare_cached("SELECT min(due_at) FROM delivery WHERE due_at IS NOT NULL")?;
    let due: Option<i64> = due.query_row([], |row| row.get(0))?;
    Ok(due.map(time_of))
}

async fn attempt(world: Arc<World>, account: Arc<Account>, job: Job) {
    let webhook = webhooks::by_id(&account.store.connection(), &job.webhook_id);
    let Ok(Some(webhook)) = webhook else { return };
    if webhook.status != WebhookStatus::Enabled {
        // When this fails, the delivery stays under way, and the next start drops it.
        let _ = record(&account, &job, job.attempts, None, DeliveryState::Dropped, None);
    } else {
        let status = post(&world, &webhook, &job).await;
        let _ = conclude(&world, &account, &job, status);
    }
    world.changed.send_replace(());
}

/// The status of the receiver's answer, if there is one.
async fn post(world: &World, webhook: &Stored, job: &Job) -> Option<u16> {
    let mut url = Url::parse(&webhook.description.url).ok()?;
    let entity_type = webhook.description.entity_type();
    url.query_pairs_mut().extend_pairs([("entityType", entity_type), ("entityId", webhook.id.as_str())]);
    if webhook.description.automation.is_none() || world.settings.switches.automation_names_event {
        url.query_pairs_mut().append_pair("eventType", &job.event);
    }
    let content_type = webhook.description.content_type.as_deref().unwrap_or("application/json");
    let mut request =
        world.http.post(url).timeout(world.settings.webhooks.timeout).header("content-type", content_type);
    for header in webhook.description.custom_headers.iter().flatten() {
        request = request.header(&header.key, header.value.as_deref().unwrap_or_default());
    }
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    let body = if is_form { form(&job.body) } else { job.body.clone() };
    let answer = request.body(body).send().await.ok()?;
    Some(answer.status().as_u16())
}

/// A JSON body as a form: a pair for each member of an object, or one pair `data` for a list. Nested values stay JSON.
/// LeadSquared documents that forms are sent, but not their layout.
fn form(json: &str) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    match serde_json::from_str(json) {
        Ok(Value::Object(members)) => {
            for (name, value) in members {
                let value = match value {
                    Value::Null => String::new(),
                    Value::String(text) => text,
                    nested => nested.to_string(),
                };
                form.append_pair(&name, &value);
            }
        }
        _ => drop(form.append_pair("data", json)),
    }
    form.finish()
}

fn conclude(world: &World, account: &Account, job: &Job, status: Option<u16>) -> Result<(), Failure> {
    let attempts = job.attempts + 1;
    if status == Some(200) {
        record(account, job, attempts, status, DeliveryState::Delivered, None)?;
        account.store.connection().execute("UPDATE webhook SET failures = 0 WHERE id = ?1", [&job.webhook_id])?;
        return Ok(());
    }
    let gaps = &world.settings.webhooks.gaps;
    if let Some(gap) = gaps.get(job.attempts as usize) {
        return record(account, job, attempts, status, DeliveryState::Waiting, Some(world.now() + *gap));
    }
    record(account, job, attempts, status, DeliveryState::Failed, None)?;
    account.store.transaction(|db| {
        let Some(mut webhook) = webhooks::by_id(db, &job.webhook_id)? else { return Ok(()) };
        webhook.failures += 1;
        if webhook.failures >= world.settings.webhooks.disable_after && webhook.status == WebhookStatus::Enabled {
            webhook.status = WebhookStatus::Failed;
            if webhook.description.notify_on_failure {
                notify(world, account, db, &webhook)?;
            }
        }
        webhooks::save(db, &webhook, world.now())
    })
}

fn record(
    account: &Account,
    job: &Job,
    attempts: u32,
    status: Option<u16>,
    state: DeliveryState,
    due: Option<OffsetDateTime>,
) -> Result<(), Failure> {
    account.store.connection().execute(
        "UPDATE delivery SET attempts = ?2, status = ?3, state = ?4, due_at = ?5 WHERE number = ?1",
        params![job.number, attempts, status, state.name(), due.map(stamp)],
    )?;
    Ok(())
}

/// Mails every administrator that a webhook was disabled.
fn notify(world: &World, account: &Account, db: &Connection, webhook: &Stored) -> Result<(), Failure> {
    let administrators = account.users().into_iter().filter(|user| user.active && user.role == Role::Administrator);
    let text = format!("The webhook {} was disabled because its address did not answer with 200.", webhook.id);
    mails::keep(
        db,
        &Mail {
            id: world.randomness.guid(),
            lead_id: None,
            sender: "noreply@leadsquared.example.test".to_owned(),
            recipients: administrators.map(|user| user.email).collect(),
            cc: Vec::new(),
            subject: "A webhook was disabled".to_owned(),
            html: format!("<p>{text}</p>"),
            text,
            sent_at: world.now(),
        },
    )?;
    Ok(())
}
