//! Webhook administration: `Webhook.svc`.

use leadsquared::wire::EventType;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::Admitted;
use crate::body::{self, Text};
use crate::core_api::lead_management::success;
use crate::deliveries;
use crate::failure::Failure;
use crate::webhooks::{self, Description, Stored, WebhookStatus};

/// <https://apidocs.leadsquared.com/create-a-webhook/>
pub(crate) async fn create(call: &Admitted) -> Result<Value, Failure> {
    let description: Description = body::read(&call.body)?;
    let id = call.world.randomness.guid();
    save(call, id.clone(), description, None).await?;
    Ok(success(json!({ "Id": id })))
}

#[derive(Deserialize)]
struct Update {
    #[serde(rename = "WebhookId")]
    id: String,
    #[serde(flatten)]
    description: Description,
}

/// <https://apidocs.leadsquared.com/update-a-webhook/>; a disabled webhook stays disabled until an administrator
/// enables it by hand.
pub(crate) async fn update(call: &Admitted) -> Result<Value, Failure> {
    let asked: Update = body::read(&call.body)?;
    let known = webhooks::by_id(&call.account.store.connection(), &asked.id)?;
    let known = known.filter(|known| known.description.automation.is_none()).ok_or_else(no_such_webhook)?;
    save(call, known.id.clone(), asked.description, Some(known)).await?;
    Ok(success(json!({ "AffectedRows": 1 })))
}

/// Checks and saves a webhook. One whose address does not answer the handshake is saved as failed.
async fn save(call: &Admitted, id: String, description: Description, known: Option<Stored>) -> Result<(), Failure> {
    // Only automations have it, and the API has none of them.
    let description = Description { automation: None, ..description };
    check(call, &id, &description)?;
    let answers = deliveries::handshake(&call.world, &description.url).await;
    let (status, failures) = known.map_or((WebhookStatus::Enabled, 0), |known| (known.status, known.failures));
    let status = if status == WebhookStatus::Enabled && !answers { WebhookStatus::Failed } else { status };
    call.account.store.transaction(|db| webhooks::save(db, &Stored { id, description, status, failures }, call.now))
}

fn check(call: &Admitted, id: &str, description: &Description) -> Result<(), Failure> {
    let unknown_event = match description.webhook_event.as_str() {
        "32" => "Opportunity Field value cannot be empty",
        _ => "Webhook Event not found",
    };
    let event = description.event().ok_or_else(|| Failure::invalid_input(unknown_event))?;
    let is_address = url::Url::parse(&description.url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
    if !is_address {
        return Err(Failure::invalid_input("Invalid Input! Parameter Name: URL"));
    }
    if description.custom_headers.as_ref().is_some_and(|headers| headers.len() > 10) {
        return Err(Failure::invalid_input("Invalid Input! Parameter Name: CustomHeaders"));
    }
    match &description.webhook_properties {
        Some(text) if serde_json::from_str::<Value>(text).is_err() => {
            return Err(Failure::invalid_input("Webhook Properties is not a valid JSON"));
        }
        None if webhooks::is_of_activities(event) => {
            return Err(Failure::invalid_input("Webhook Properties is not found"));
        }
        _ => {}
    }
    if webhooks::is_of_activities(event) && description.activity_event.is_none() {
        return Err(Failure::missing("ActivityEvent is mandatory."));
    }
    if event == EventType::LeadFieldChange {
        check_field(call, id, description.changed_lead_field.as_deref())?;
    }
    Ok(())
}

/// An account has one webhook for each changed field.
fn check_field(call: &Admitted, id: &str, field: Option<&str>) -> Result<(), Failure> {
    let field = field.ok_or_else(|| Failure::missing("ChangedLeadField is mandatory."))?;
    if !call.account.tenant.fields.iter().any(|known| known.schema_name == field) {
        return Err(Failure::unknown_attributes(&[field]));
    }
    let webhooks = webhooks::all(&call.account.store.connection())?;
    let taken = webhooks.iter().any(|other| {
        let of_field = other.description.changed_lead_field.as_deref() == Some(field);
        other.id != id && of_field && other.description.event() == Some(EventType::LeadFieldChange)
    });
    if taken {
        return Err(Failure::duplicate("A webhook for this field already exists."));
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Retrieve {
    parameter: Parameter,
    paging: Paging,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Parameter {
    webhook_event: Text,
    webhook_id: Text,
    search_text: Text,
    status_code: Option<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Paging {
    page_index: usize,
    page_size: usize,
}

impl Default for Paging {
    fn default() -> Self {
        Self { page_index: 1, page_size: 25 }
    }
}

/// <https://apidocs.leadsquared.com/retrieve-a-webhook/>
pub(crate) fn retrieve(call: &Admitted) -> Result<Value, Failure> {
    let asked: Retrieve = body::read(&call.body)?;
    let wanted = asked.parameter;
    let mut found = webhooks::all(&call.account.store.connection())?;
    found.retain(|webhook| {
        let description = &webhook.description;
        let event = description.event().map(EventType::name);
        let text = description.description.as_deref().unwrap_or_default();
        description.automation.is_none()
            && wanted.webhook_event.as_deref().is_none_or(|wanted| event == Some(wanted))
            && wanted.webhook_id.as_deref().is_none_or(|id| webhook.id == id)
            && wanted.search_text.as_deref().is_none_or(|searched| text.contains(searched))
            && wanted.status_code.is_none_or(|code| webhook.status.code() == code)
    });
    let page = asked.paging.page_index.saturating_sub(1).saturating_mul(asked.paging.page_size);
    let rows = found.iter().skip(page).take(asked.paging.page_size).map(|webhook| {
        json!({
            "WebhookId": webhook.id,
            "EventCode": webhook.description.event().map(EventType::name),
            "URL": webhook.description.url,
            "Description": webhook.description.description,
            "WebhookProperties": webhook.description.webhook_properties,
            "StatusCode": webhook.status.code(),
        })
    });
    Ok(json!({ "RecordCount": found.len(), "Response": rows.collect::<Value>() }))
}

/// <https://apidocs.leadsquared.com/delete-a-webhook/>
pub(crate) fn delete(call: &Admitted) -> Result<Value, Failure> {
    let id = call.query.get("webhookid").unwrap_or_default();
    if webhooks::delete(&call.account.store.connection(), id)? {
        Ok(success(json!({ "AffectedRows": 1 })))
    } else {
        Err(no_such_webhook())
    }
}

fn no_such_webhook() -> Failure {
    Failure::application("MXInvalidEntityException", "Webhook does not exist in the system")
}
