//! Webhooks: which events they listen for, and the bodies that are delivered.
//!
//! - <https://apidocs.leadsquared.com/webhooks/>
//! - <https://support.leadsquared.com/support/solutions/articles/3000074525-overview-on-how-to-write-webhook-in-lsq>
//!
//! A delivery is stored in the transaction of the change that raises it. [`crate::deliveries`] sends it.

use leadsquared::schema_name::{MOBILE, MODIFIED_BY, MODIFIED_ON, OWNER_ID, PHONE, PROSPECT_ID, SCORE};
use leadsquared::wire::EventType;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::activities::Activity;
use crate::automations::{self, AutomationTrigger};
use crate::body::Text;
use crate::dates;
use crate::failure::Failure;
use crate::leads::{self, Lead, Writer};
use crate::store::stamp;
use crate::tenant::ActivityType;

/// The event of a number in a call. The API has no webhooks for stage changes, only for field changes.
pub(crate) fn event_of_number(number: &str) -> Option<EventType> {
    EventType::of_number(number).filter(|event| *event != EventType::LeadStageChange)
}

/// Whether a webhook for the event needs the code of an activity type.
pub(crate) fn is_of_activities(event: EventType) -> bool {
    matches!(event, EventType::ActivityCreate | EventType::ActivityUpdate)
}

/// The body of the call that created a webhook.
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
    /// What starts it, if it is the webhook action of an automation and not a webhook.
    #[serde(default)]
    pub(crate) automation: Option<AutomationTrigger>,
}

/// A header of every delivery. LeadSquared does not sign deliveries: a secret header is the receiver's only proof.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Header {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: Text,
}

impl Description {
    /// A description with an address only.
    pub(crate) fn of_url(url: String) -> Self {
        Self {
            description: None,
            url,
            content_type: None,
            webhook_event: String::new(),
            notify_on_failure: false,
            webhook_properties: None,
            activity_event: None,
            changed_lead_field: None,
            custom_headers: None,
            automation: None,
        }
    }

    /// The event that a webhook listens for; `None` for an automation.
    pub(crate) fn event(&self) -> Option<EventType> {
        event_of_number(&self.webhook_event)
    }

    /// The value of `entityType` in deliveries.
    pub(crate) fn entity_type(&self) -> &'static str {
        if self.automation.is_some() { "automation" } else { "webhook" }
    }
}

/// Whether a webhook gets deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WebhookStatus {
    /// Deliveries are made.
    Enabled,
    /// An administrator disabled it.
    Disabled,
    /// LeadSquared disabled it because its address did not answer.
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

/// A webhook of the account, or the webhook action of an automation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// GUID.
    pub id: String,
    /// The event it listens for, by name.
    pub event: String,
    /// `webhook`, or `automation` for the webhook action of an automation.
    pub entity_type: &'static str,
    /// The receiver's address without its query, which may hold a secret.
    pub address: String,
    /// Whether it gets deliveries.
    pub status: WebhookStatus,
    /// The number of failed deliveries since the last successful one.
    pub failures: u32,
}

/// A webhook with its complete description.
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) description: Description,
    pub(crate) status: WebhookStatus,
    pub(crate) failures: u32,
}

impl Stored {
    fn event(&self) -> &'static str {
        let of_automation = self.description.automation.as_ref().map(AutomationTrigger::event);
        of_automation.or_else(|| self.description.event().map(EventType::name)).unwrap_or_default()
    }

    pub(crate) fn shown(&self) -> Webhook {
        Webhook {
            id: self.id.clone(),
            event: self.event().to_owned(),
            entity_type: self.description.entity_type(),
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

/// The webhook with this id.
pub(crate) fn by_id(db: &Connection, id: &str) -> rusqlite::Result<Option<Stored>> {
    db.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?.query_row([id.to_ascii_lowercase()], read).optional()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    let description: String = row.get(1)?;
    let description = serde_json::from_str(&description).map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(Stored { id: row.get(0)?, description, status: WebhookStatus::of_code(row.get(2)?), failures: row.get(3)? })
}

/// Creates a webhook, or replaces the one with its id.
pub(crate) fn save(db: &Connection, webhook: &Stored, now: time::OffsetDateTime) -> Result<(), Failure> {
    let description = serde_json::to_string(&webhook.description).map_err(|_| Failure::internal())?;
    db.prepare_cached(
        "INSERT INTO webhook (id, description, status, failures, modified_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET description = ?2, status = ?3, failures = ?4, modified_at = ?5",
    )?
    .execute(params![webhook.id, description, webhook.status.code(), webhook.failures, stamp(now)])?;
    Ok(())
}

/// Enables or disables a webhook, as an administrator does by hand. Enabling resets its count of failures. Returns
/// whether the webhook exists.
pub(crate) fn switch(db: &Connection, id: &str, enabled: bool, now: time::OffsetDateTime) -> Result<bool, Failure> {
    let Some(mut webhook) = by_id(db, id)? else { return Ok(false) };
    webhook.status = if enabled { WebhookStatus::Enabled } else { WebhookStatus::Disabled };
    webhook.failures = 0;
    save(db, &webhook, now)?;
    Ok(true)
}

/// Deletes a webhook with its deliveries; returns whether it existed.
pub(crate) fn delete(db: &Connection, id: &str) -> rusqlite::Result<bool> {
    Ok(db.execute("DELETE FROM webhook WHERE id = ?1", [id.to_ascii_lowercase()])? > 0)
}

/// Raises the event of a created lead. The body is one flat object.
pub(crate) fn lead_created(writer: &Writer<'_>, lead: &Lead) -> Result<(), Failure> {
    let now = snapshot(writer, lead);
    automations::lead_created(writer, &now)?;
    raise(writer, &Value::Object(now), |event, _| event == EventType::LeadCreate)
}

/// Raises the events of a changed lead. The body holds the values before and after.
pub(crate) fn lead_updated(writer: &Writer<'_>, before: &Lead, after: &Lead) -> Result<(), Failure> {
    automations::lead_updated(writer, &every_field(writer, before), &snapshot(writer, after))?;
    let changed = |field: &str| before.field(field) != after.field(field);
    raise_change(writer, before, after, |event, description| match event {
        EventType::LeadUpdate => true,
        EventType::LeadOwnerChange => changed(OWNER_ID),
        EventType::LeadScoreChange => changed(SCORE),
        EventType::LeadFieldChange => description.changed_lead_field.as_deref().is_some_and(changed),
        _ => false,
    })
}

/// Raises the event of a score that an activity changed. The lead itself was not written.
pub(crate) fn score_changed(writer: &Writer<'_>, before: &Lead, after: &Lead) -> Result<(), Failure> {
    raise_change(writer, before, after, |event, _| event == EventType::LeadScoreChange)
}

fn raise_change(
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
    raise(writer, &json!({ "Before": old, "After": now }), listens)
}

/// The fields with a value, and both phone fields even without one. Dates are to the second.
pub(crate) fn snapshot(writer: &Writer<'_>, lead: &Lead) -> Map<String, Value> {
    let mut flat = every_field(writer, lead);
    flat.retain(|name, value| !value.is_null() || name == PHONE || name == MOBILE);
    flat
}

fn every_field(writer: &Writer<'_>, lead: &Lead) -> Map<String, Value> {
    leads::flat(&writer.account.tenant, &writer.account.users(), lead, dates::to_the_second)
}

fn raise(writer: &Writer<'_>, body: &Value, listens: impl Fn(EventType, &Description) -> bool) -> Result<(), Failure> {
    for webhook in all(writer.db)? {
        let event = webhook.description.event().filter(|event| listens(*event, &webhook.description));
        if let Some(event) = event.filter(|_| webhook.status == WebhookStatus::Enabled) {
            store_delivery(writer, &webhook.id, event.name(), body, stamp(writer.now))?;
        }
    }
    Ok(())
}

/// Stores a delivery that waits until it is due.
pub(crate) fn store_delivery(
    writer: &Writer<'_>,
    webhook_id: &str,
    event: &str,
    body: &Value,
    due_at: i64,
) -> Result<(), Failure> {
    let mut insert = writer.db.prepare_cached(
        "INSERT INTO delivery (webhook_id, event, body, attempts, due_at, state) VALUES (?1, ?2, ?3, 0, ?4, 'waiting')",
    )?;
    insert.execute(params![webhook_id, event, body.to_string(), due_at])?;
    Ok(())
}

/// Raises the event of a posted or changed activity. Activities of about a minute are delivered together as a list.
pub(crate) fn activity_written(
    writer: &Writer<'_>,
    event: EventType,
    kind: &ActivityType,
    activity: &Activity,
) -> Result<(), Failure> {
    let mut data = json!(activity.fields);
    data["Note"] = json!(activity.note);
    let body = json!({
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
    let lead = leads::existing(writer.db, &activity.lead_id)?;
    automations::activity_written(writer, activity.code, &body, &snapshot(writer, &lead))?;
    for webhook in all(writer.db)? {
        let concerns = webhook.description.event() == Some(event)
            && webhook.status == WebhookStatus::Enabled
            && webhook.description.activity_event.as_deref() == Some(&activity.code.to_string());
        if concerns {
            gather(writer, event, &webhook.id, &body)?;
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
        None => store_delivery(writer, webhook_id, event.name(), &json!([activity]), due)?,
    }
    Ok(())
}
