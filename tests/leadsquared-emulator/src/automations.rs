//! Automations with a webhook action: a second sender beside webhooks, with its own payload.
//!
//! LeadSquared has no API for automations, so a test or the admin page creates them. Apart from the payload and the
//! query, a delivery follows the rules of webhooks. No page documents the payload: several public receivers show it.

use leadsquared::schema_name::{MODIFIED_ON, PROSPECT_ID};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::body::Text;
use crate::failure::Failure;
use crate::leads::Writer;
use crate::store::stamp;
use crate::webhooks::{self, Description, Header, Stored, WebhookStatus};

/// An automation whose only action is a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Automation {
    /// The receiver's address.
    pub url: String,
    /// The headers of every delivery, at most ten.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The event that starts it.
    pub trigger: AutomationTrigger,
}

/// The event that starts an automation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutomationTrigger {
    /// A lead is created.
    LeadCreated,
    /// A field of a lead changes, by its schema name.
    LeadChanged(String),
    /// An activity of this type is posted or changed.
    Activity(u32),
}

impl AutomationTrigger {
    /// LeadSquared's name of the event. No page has the names that automations send; these are those of webhooks.
    pub(crate) fn event(&self) -> &'static str {
        match self {
            Self::LeadCreated => "Lead_Post_Create",
            Self::LeadChanged(_) => "Lead_Post_Update",
            Self::Activity(_) => "LeadActivity_Post_Create",
        }
    }
}

/// Creates an automation; returns its id.
pub(crate) fn add(writer: &Writer<'_>, automation: &Automation) -> Result<String, Failure> {
    let is_address = url::Url::parse(&automation.url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
    if !is_address || automation.headers.len() > 10 {
        return Err(Failure::invalid_input("Invalid Input! Parameter Name: URL or CustomHeaders"));
    }
    let header = |(key, value): &(String, String)| Header { key: key.clone(), value: Text(Some(value.clone())) };
    let description = Description {
        automation: Some(automation.trigger.clone()),
        custom_headers: Some(automation.headers.iter().map(header).collect()),
        ..Description::of_url(automation.url.clone())
    };
    let id = writer.world.randomness.guid();
    let stored = Stored { id: id.clone(), description, status: WebhookStatus::Enabled, failures: 0 };
    webhooks::save(writer.db, &stored, writer.now)?;
    Ok(id)
}

/// Starts the automations for a created lead.
pub(crate) fn lead_created(writer: &Writer<'_>, now: &Map<String, Value>) -> Result<(), Failure> {
    start(writer, |trigger| *trigger == AutomationTrigger::LeadCreated, |_| json!({ "Before": null, "Current": now }))
}

/// Starts the automations for a changed lead. `Before` has the lead's id, its time and the changed field alone.
pub(crate) fn lead_updated(
    writer: &Writer<'_>,
    before: &Map<String, Value>,
    now: &Map<String, Value>,
) -> Result<(), Failure> {
    let changed = |field: &str| before.get(field).unwrap_or(&Value::Null) != now.get(field).unwrap_or(&Value::Null);
    let is_started =
        |trigger: &AutomationTrigger| matches!(trigger, AutomationTrigger::LeadChanged(field) if changed(field));
    start(writer, is_started, |trigger| {
        let AutomationTrigger::LeadChanged(field) = trigger else { return Value::Null };
        let is_shown = |name: &String| [PROSPECT_ID, MODIFIED_ON, field.as_str()].contains(&name.as_str());
        let before: Map<_, _> = before.clone().into_iter().filter(|(name, _)| is_shown(name)).collect();
        json!({ "Before": before, "Current": now })
    })
}

/// Starts the automations for an activity. `activity` is what a webhook would deliver.
pub(crate) fn activity_written(
    writer: &Writer<'_>,
    code: u32,
    activity: &Value,
    lead: &Map<String, Value>,
) -> Result<(), Failure> {
    let is_started = |trigger: &AutomationTrigger| *trigger == AutomationTrigger::Activity(code);
    let members = ["ActivityEventName", "ProspectActivityId", "RelatedProspectId", "Data"];
    let body = |named: bool| -> Value {
        let members = members.into_iter().filter(|name| named || *name != "ActivityEventName");
        let mut body: Map<_, _> = members.map(|name| (name.to_owned(), activity[name].clone())).collect();
        body.insert("Current".to_owned(), json!(lead));
        Value::Object(body)
    };
    start(writer, is_started, |_| body(true))?;
    match writer.world.settings.switches.automation_follows_up {
        true => start(writer, is_started, |_| body(false)),
        false => Ok(()),
    }
}

/// Stores a delivery for each enabled automation that is started.
fn start(
    writer: &Writer<'_>,
    is_started: impl Fn(&AutomationTrigger) -> bool,
    body: impl Fn(&AutomationTrigger) -> Value,
) -> Result<(), Failure> {
    for webhook in webhooks::all(writer.db)? {
        let started = webhook.description.automation.as_ref().filter(|trigger| is_started(trigger));
        if let Some(trigger) = started.filter(|_| webhook.status == WebhookStatus::Enabled) {
            let body = body(trigger);
            let body = if writer.world.settings.switches.automation_sends_list { json!([body]) } else { body };
            webhooks::store_delivery(writer, &webhook.id, trigger.event(), &body, stamp(writer.now))?;
        }
    }
    Ok(())
}
