//! Webhooks: who wants to hear of what, and what they are told.
//!
//! - <https://apidocs.leadsquared.com/webhooks/>
//! - <https://support.leadsquared.com/support/solutions/articles/3000074525-overview-on-how-to-write-webhook-in-lsq>
//!
//! What is to be told is written in the transaction that causes it, so neither can be without the other; sending is
//! [`crate::deliveries`]' business.

use leadsquared::schema_name::{MOBILE, MODIFIED_BY, MODIFIED_ON, OWNER_ID, PHONE, PROSPECT_ID, SCORE};
use leadsquared::wire::EventType;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::activities::Activity;
use crate::body::Text;
use crate::dates;
use crate::failure::Failure;
use crate::leads::{self, Lead, Writer};
use crate::store::stamp;
use crate::tenant::ActivityType;

/// The event of a number that calls use. Stage change cannot be listened for through the API, field change can.
pub(crate) fn event_of_number(number: &str) -> Option<EventType> {
    EventType::of_number(number).filter(|event| *event != EventType::LeadStageChange)
}

/// Whether listening for an event needs the code of an activity type.
pub(crate) fn is_of_activities(event: EventType) -> bool {
    matches!(event, EventType::ActivityCreate | EventType::ActivityUpdate)
}

/// What a webhook was created with.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Description {
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(rename = "URL")]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) content_type: Option<String>,
    pub(crate) webhook_event: String,
    #[serde(default)]
    pub(crate) notify_on_failure: bool,
    #[serde(default)]
    pub(crate) webhook_properties: Option<String>,
    #[serde(default)]
    pub(crate) activity_event: Option<String>,
    #[serde(default)]
    pub(crate) changed_lead_field: Option<String>,
    #[serde(default)]
    pub(crate) custom_headers: Option<Vec<Header>>,
}

/// A header that every delivery carries; LeadSquared signs nothing, so this is the receiver's only proof.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Header {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: Text,
}

impl Description {
    pub(crate) fn event(&self) -> Option<EventType> {
        event_of_number(&self.webhook_event)
    }
}

/// Whether a webhook is delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WebhookStatus {
    /// Deliveries are made.
    Enabled,
    /// Somebody switched it off.
    Disabled,
    /// LeadSquared switched it off because its address did not answer.
    Failed,
}

impl WebhookStatus {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Enabled => 0,
            Self::Disabled => 1,
            Self::Failed => 2,
        }
    }

    fn of_code(code: u8) -> Self {
        match code {
            0 => Self::Enabled,
            1 => Self::Disabled,
            _ => Self::Failed,
        }
    }
}

/// A webhook of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// GUID.
    pub id: String,
    /// The event it listens for, by name.
    pub event: String,
    /// Where it is delivered, without the query, which may hold the receiver's secret.
    pub address: String,
    /// Whether it is delivered to.
    pub status: WebhookStatus,
    /// Deliveries that failed since the last that did not.
    pub failures: u32,
}

/// A webhook with all it was created with.
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) description: Description,
    pub(crate) status: WebhookStatus,
    pub(crate) failures: u32,
}

impl Stored {
    pub(crate) fn shown(&self) -> Webhook {
        Webhook {
            id: self.id.clone(),
            event: self.description.event().map(EventType::name).unwrap_or_default().to_owned(),
            address: self.description.url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            status: self.status,
            failures: self.failures,
        }
    }
}

const COLUMNS: &str = "SELECT id, description, status, failures FROM webhook";

/// Every webhook, oldest first.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Stored>> {
    db.prepare_cached(&format!("{COLUMNS} ORDER BY number"))?.query_map([], read)?.collect()
}

/// The webhook of that id.
pub(crate) fn by_id(db: &Connection, id: &str) -> rusqlite::Result<Option<Stored>> {
    db.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?.query_row([id.to_ascii_lowercase()], read).optional()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    let description: String = row.get(1)?;
    let description = serde_json::from_str(&description).map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(Stored { id: row.get(0)?, description, status: WebhookStatus::of_code(row.get(2)?), failures: row.get(3)? })
}

/// Creates the webhook, or replaces the one of that id.
pub(crate) fn save(db: &Connection, webhook: &Stored, now: time::OffsetDateTime) -> Result<(), Failure> {
    let description = serde_json::to_string(&webhook.description).map_err(|_| Failure::internal())?;
    db.prepare_cached(
        "INSERT INTO webhook (id, description, status, failures, modified_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET description = ?2, status = ?3, failures = ?4, modified_at = ?5",
    )?
    .execute(params![webhook.id, description, webhook.status.code(), webhook.failures, stamp(now)])?;
    Ok(())
}

/// Switches a webhook on or off, as somebody does by hand; on, its failures are forgotten. Says whether there is one.
pub(crate) fn switch(db: &Connection, id: &str, enabled: bool, now: time::OffsetDateTime) -> Result<bool, Failure> {
    let Some(mut webhook) = by_id(db, id)? else { return Ok(false) };
    webhook.status = if enabled { WebhookStatus::Enabled } else { WebhookStatus::Disabled };
    webhook.failures = 0;
    save(db, &webhook, now)?;
    Ok(true)
}

/// Deletes the webhook with its deliveries; says whether there was one.
pub(crate) fn delete(db: &Connection, id: &str) -> rusqlite::Result<bool> {
    Ok(db.execute("DELETE FROM webhook WHERE id = ?1", [id.to_ascii_lowercase()])? > 0)
}

/// Tells who listens that a lead was created: one flat object.
pub(crate) fn lead_created(writer: &Writer<'_>, lead: &Lead) -> Result<(), Failure> {
    tell(writer, &Value::Object(snapshot(writer, lead)), |event, _| event == EventType::LeadCreate)
}

/// Tells who listens that a lead was written: what it was before, and what it is now.
pub(crate) fn lead_updated(writer: &Writer<'_>, before: &Lead, after: &Lead) -> Result<(), Failure> {
    let changed = |field: &str| before.field(field) != after.field(field);
    tell_change(writer, before, after, |event, description| match event {
        EventType::LeadUpdate => true,
        EventType::LeadOwnerChange => changed(OWNER_ID),
        EventType::LeadScoreChange => changed(SCORE),
        EventType::LeadFieldChange => description.changed_lead_field.as_deref().is_some_and(changed),
        _ => false,
    })
}

/// Tells who listens that an activity raised or lowered a lead's score; nobody wrote to the lead itself.
pub(crate) fn score_changed(writer: &Writer<'_>, before: &Lead, after: &Lead) -> Result<(), Failure> {
    tell_change(writer, before, after, |event, _| event == EventType::LeadScoreChange)
}

fn tell_change(
    writer: &Writer<'_>,
    before: &Lead,
    after: &Lead,
    listens: impl Fn(EventType, &Description) -> bool,
) -> Result<(), Failure> {
    let now = snapshot(writer, after);
    let mut old = every_field(writer, before);
    old.retain(|name, value| {
        let always = [PROSPECT_ID, OWNER_ID, MODIFIED_BY, MODIFIED_ON].contains(&name.as_str());
        always || now.get(name).unwrap_or(&Value::Null) != value
    });
    tell(writer, &json!({ "Before": old, "After": now }), listens)
}

/// Fields with a value, and the two phones in any case; dates to the second.
fn snapshot(writer: &Writer<'_>, lead: &Lead) -> Map<String, Value> {
    let mut flat = every_field(writer, lead);
    flat.retain(|name, value| !value.is_null() || name == PHONE || name == MOBILE);
    flat
}

fn every_field(writer: &Writer<'_>, lead: &Lead) -> Map<String, Value> {
    leads::flat(&writer.account.tenant, &writer.account.users(), lead, dates::to_the_second)
}

fn tell(writer: &Writer<'_>, body: &Value, listens: impl Fn(EventType, &Description) -> bool) -> Result<(), Failure> {
    for webhook in all(writer.db)? {
        let event = webhook.description.event().filter(|event| listens(*event, &webhook.description));
        if let Some(event) = event.filter(|_| webhook.status == WebhookStatus::Enabled) {
            writer
                .db
                .prepare_cached(
                    "INSERT INTO delivery (webhook_id, event, body, attempts, due_at, state)
                     VALUES (?1, ?2, ?3, 0, ?4, 'waiting')",
                )?
                .execute(params![webhook.id, event.name(), body.to_string(), stamp(writer.now)])?;
        }
    }
    Ok(())
}

/// Tells who listens that an activity was posted or changed; those of about a minute go together, as a list.
pub(crate) fn activity_written(
    writer: &Writer<'_>,
    event: EventType,
    kind: &ActivityType,
    activity: &Activity,
) -> Result<(), Failure> {
    let mut data = json!(activity.fields);
    data["Note"] = json!(activity.note);
    let told = json!({
        "ProspectActivityId": activity.id,
        "RelatedProspectId": activity.lead_id,
        "ActivityEvent": activity.code.to_string(),
        "ActivityEventName": kind.name,
        "ActivityType": "2",
        "CreatedBy": activity.created_by,
        "CreatedOn": dates::to_the_second(activity.happened_at),
        "Score": f64::from(kind.score),
        "Data": data,
    });
    for webhook in all(writer.db)? {
        let concerns = webhook.description.event() == Some(event)
            && webhook.status == WebhookStatus::Enabled
            && webhook.description.activity_event.as_deref() == Some(&activity.code.to_string());
        if concerns {
            gather(writer, event, &webhook.id, &told)?;
        }
    }
    Ok(())
}

fn gather(writer: &Writer<'_>, event: EventType, webhook_id: &str, activity: &Value) -> Result<(), Failure> {
    let due = stamp(writer.now + writer.world.settings.webhooks.activity_batch);
    let open: Option<(i64, String)> = writer
        .db
        .prepare_cached(
            "SELECT number, body FROM delivery WHERE webhook_id = ?1 AND state = 'waiting' AND attempts = 0 AND due_at > ?2",
        )?
        .query_row(params![webhook_id, stamp(writer.now)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match open {
        Some((number, body)) => {
            let mut batch: Vec<Value> = serde_json::from_str(&body).map_err(|_| Failure::internal())?;
            batch.push(activity.clone());
            writer
                .db
                .prepare_cached("UPDATE delivery SET body = ?2 WHERE number = ?1")?
                .execute(params![number, Value::Array(batch).to_string()])?;
        }
        None => {
            writer
                .db
                .prepare_cached(
                    "INSERT INTO delivery (webhook_id, event, body, attempts, due_at, state)
                     VALUES (?1, ?2, ?3, 0, ?4, 'waiting')",
                )?
                .execute(params![webhook_id, event.name(), json!([activity]).to_string(), due])?;
        }
    }
    Ok(())
}
