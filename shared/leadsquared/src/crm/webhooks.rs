//! Webhooks: the addresses that LeadSquared calls when something happens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::schema_name;
use crate::wire::{Endpoint, EventType, Success, lenient};

/// What a webhook is called for (<https://apidocs.leadsquared.com/create-a-webhook/>).
///
/// A webhook for a lead's stage could not be created through the API on the one account known: use [`LeadFieldChange`]
/// of `ProspectStage`. Opportunity events are left out: the page and that account disagree on their numbers.
///
/// [`LeadFieldChange`]: Self::LeadFieldChange
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookEvent {
    /// A landing page was submitted.
    LandingPageSubmission,
    /// An activity was posted.
    ActivityCreate {
        /// The code of its type.
        event: u32,
    },
    /// An activity was changed.
    ActivityUpdate {
        /// The code of its type.
        event: u32,
    },
    /// A lead was created.
    LeadCreate,
    /// A lead got another owner.
    LeadOwnerChange,
    /// A lead was updated.
    LeadUpdate,
    /// A lead's score changed.
    LeadScoreChange,
    /// One field of a lead changed; each field can have one such webhook.
    LeadFieldChange {
        /// The field's schema name.
        schema_name: String,
    },
}

impl WebhookEvent {
    /// Its type: LeadSquared's name and number for it.
    pub fn event_type(&self) -> EventType {
        match self {
            WebhookEvent::LandingPageSubmission => EventType::LandingPageSubmission,
            WebhookEvent::ActivityCreate { .. } => EventType::ActivityCreate,
            WebhookEvent::ActivityUpdate { .. } => EventType::ActivityUpdate,
            WebhookEvent::LeadCreate => EventType::LeadCreate,
            WebhookEvent::LeadOwnerChange => EventType::LeadOwnerChange,
            WebhookEvent::LeadUpdate => EventType::LeadUpdate,
            WebhookEvent::LeadScoreChange => EventType::LeadScoreChange,
            WebhookEvent::LeadFieldChange { .. } => EventType::LeadFieldChange,
        }
    }

    pub(crate) fn activity(&self) -> Option<u32> {
        match self {
            WebhookEvent::ActivityCreate { event } | WebhookEvent::ActivityUpdate { event } => Some(*event),
            _ => None,
        }
    }

    pub(crate) fn field(&self) -> Option<&str> {
        match self {
            WebhookEvent::LeadFieldChange { schema_name } => Some(schema_name),
            _ => None,
        }
    }
}

/// The form for settings and command lines, such as `lead-create`, `activity-create=201` or
/// `lead-field-change=ProspectStage`.
impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebhookEvent::LandingPageSubmission => f.write_str("landing-page-submission"),
            WebhookEvent::ActivityCreate { event } => write!(f, "activity-create={event}"),
            WebhookEvent::ActivityUpdate { event } => write!(f, "activity-update={event}"),
            WebhookEvent::LeadCreate => f.write_str("lead-create"),
            WebhookEvent::LeadOwnerChange => f.write_str("lead-owner-change"),
            WebhookEvent::LeadUpdate => f.write_str("lead-update"),
            WebhookEvent::LeadScoreChange => f.write_str("lead-score-change"),
            WebhookEvent::LeadFieldChange { schema_name } => write!(f, "lead-field-change={schema_name}"),
        }
    }
}

/// The text names no event that a webhook can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be lead-create, lead-update, lead-owner-change, lead-score-change, lead-field-change=<schema name>, activity-create=<code>, activity-update=<code> or landing-page-submission"
)]
pub struct InvalidWebhookEvent;

impl FromStr for WebhookEvent {
    type Err = InvalidWebhookEvent;

    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// When the text is anything else.
    fn from_str(text: &str) -> Result<Self, InvalidWebhookEvent> {
        let (name, of) = text.split_once('=').map_or((text, None), |(name, of)| (name, Some(of)));
        let code = || of?.parse().ok();
        let event = match (name, of) {
            ("landing-page-submission", None) => Some(Self::LandingPageSubmission),
            ("lead-create", None) => Some(Self::LeadCreate),
            ("lead-owner-change", None) => Some(Self::LeadOwnerChange),
            ("lead-update", None) => Some(Self::LeadUpdate),
            ("lead-score-change", None) => Some(Self::LeadScoreChange),
            ("lead-field-change", Some(field)) if !field.is_empty() => {
                Some(Self::LeadFieldChange { schema_name: field.to_owned() })
            }
            ("activity-create", _) => code().map(|event| Self::ActivityCreate { event }),
            ("activity-update", _) => code().map(|event| Self::ActivityUpdate { event }),
            _ => None,
        };
        event.ok_or(InvalidWebhookEvent)
    }
}

/// A webhook to create. `Debug` hides the headers, and the address except its host: receivers keep secrets there.
#[derive(Clone)]
pub struct NewWebhook {
    /// What it is for.
    pub description: String,
    /// The address to call. LeadSquared accepts it only if it answers an empty request with 200.
    pub url: Url,
    /// The event that it is called for.
    pub event: WebhookEvent,
    /// Headers of every delivery, at most ten. LeadSquared signs nothing: a secret in here is the only proof of origin.
    pub headers: Vec<(String, String)>,
    /// Whether LeadSquared notifies the account's administrators when it switches the webhook off after failures.
    pub notify_on_failure: bool,
}

impl fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewWebhook")
            .field("host", &self.url.host_str())
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// A webhook as LeadSquared stores it. `Debug` hides the address except its host.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Webhook {
    /// Its id.
    pub webhook_id: String,
    /// LeadSquared's name of the event that it is called for, such as `Lead_Post_Create`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub event_code: String,
    /// The address that is called.
    #[serde(rename = "URL", default, deserialize_with = "lenient::text")]
    pub url: String,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub description: Option<String>,
    /// `WebhookProperties`: JSON inside a text, such as the code of the activity type it is called for.
    #[serde(rename = "WebhookProperties", default, deserialize_with = "lenient::optional_text")]
    pub properties: Option<String>,
    /// Whether it is switched on.
    #[serde(rename = "StatusCode", deserialize_with = "state")]
    pub state: WebhookState,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        f.debug_struct("Webhook")
            .field("webhook_id", &self.webhook_id)
            .field("event_code", &self.event_code)
            .field("host", &host)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Whether a webhook is switched on (<https://apidocs.leadsquared.com/retrieve-a-webhook/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    /// It is switched on.
    Enabled,
    /// A person switched it off.
    DisabledByHand,
    /// LeadSquared switched it off after failures. The events since then are lost. Only a person can switch it on
    /// again.
    DisabledAfterFailures,
}

impl Client {
    /// Create a webhook; returns its id (<https://apidocs.leadsquared.com/create-a-webhook/>). Read it back afterwards:
    /// LeadSquared's event numbers are not the same in every account.
    ///
    /// # Errors
    /// [`Error::Duplicate`] for a second webhook on one field's changes; [`Error::Refused`] for an address that does
    /// not answer.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::crm::{NewWebhook, WebhookEvent};
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let webhook = NewWebhook {
    ///     description: "applications".to_owned(),
    ///     url: "https://api.example.com/crm-events".parse()?,
    ///     event: WebhookEvent::LeadCreate,
    ///     headers: vec![("x-webhook-secret".to_owned(), "…".to_owned())],
    ///     notify_on_failure: true,
    /// };
    /// let id = client.create_webhook(&webhook).await?;
    /// client.delete_webhook(&id).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_webhook(&self, new: &NewWebhook) -> Result<String, Error> {
        let created: Success<Created> =
            self.call(Call::new(Endpoint::CreateWebhook).body(&WebhookBody::of(None, new))).await?;
        Ok(created.message.id)
    }

    /// Retrieve the webhooks in one state, at most 200 (<https://apidocs.leadsquared.com/retrieve-a-webhook/>).
    ///
    /// # Errors
    /// As for every call.
    pub async fn webhooks(&self, state: WebhookState) -> Result<Vec<Webhook>, Error> {
        let found: Retrieved = self.call(Call::new(Endpoint::Webhooks).body(&RetrieveBody::of(state))).await?;
        Ok(found.response)
    }

    /// Update a webhook: everything about it is replaced (<https://apidocs.leadsquared.com/update-a-webhook/>).
    ///
    /// # Errors
    /// As for [`create_webhook`](Self::create_webhook).
    pub async fn update_webhook(&self, webhook_id: &str, new: &NewWebhook) -> Result<(), Error> {
        let call = Call::new(Endpoint::UpdateWebhook).body(&WebhookBody::of(Some(webhook_id), new));
        self.call::<Success>(call).await.map(drop)
    }

    /// Delete a webhook (<https://apidocs.leadsquared.com/delete-a-webhook/>).
    ///
    /// # Errors
    /// As for every call.
    pub async fn delete_webhook(&self, webhook_id: &str) -> Result<(), Error> {
        self.call::<Success>(Call::new(Endpoint::DeleteWebhook).query("webhookId", webhook_id)).await.map(drop)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WebhookBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<&'a str>,
    description: &'a str,
    #[serde(rename = "URL")]
    url: &'a str,
    method: &'static str,
    content_type: &'static str,
    webhook_event: &'static str,
    is_specific_landing_page: bool,
    notify_on_failure: bool,
    webhook_properties: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_lead_field: Option<&'a str>,
    custom_headers: Vec<HeaderBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HeaderBody<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> WebhookBody<'a> {
    fn of(webhook_id: Option<&'a str>, new: &'a NewWebhook) -> Self {
        let activity_event = new.event.activity().map(|event| event.to_string());
        // LeadSquared needs the code twice: as JSON inside a text, and as a member of its own.
        let properties =
            |event: &String| format!(r#"{{"ActivityEvent":"{event}","ActivityData":"[]","WebPageNames":"[]"}}"#);
        Self {
            webhook_id,
            description: &new.description,
            url: new.url.as_str(),
            method: "POST",
            content_type: "application/json",
            webhook_event: new.event.event_type().number(),
            is_specific_landing_page: false,
            notify_on_failure: new.notify_on_failure,
            webhook_properties: activity_event.as_ref().map(properties),
            activity_event,
            changed_lead_field: new.event.field(),
            custom_headers: new.headers.iter().map(|(key, value)| HeaderBody { key, value }).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetrieveBody {
    parameter: RetrieveParameter,
    sorting: RetrieveSorting,
    paging: RetrievePaging,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetrieveParameter {
    r#type: &'static str,
    status_code: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetrieveSorting {
    column_name: &'static str,
    direction: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetrievePaging {
    page_index: u32,
    page_size: u32,
}

impl RetrieveBody {
    fn of(state: WebhookState) -> Self {
        let status_code = match state {
            WebhookState::Enabled => 0,
            WebhookState::DisabledByHand => 1,
            WebhookState::DisabledAfterFailures => 2,
        };
        Self {
            parameter: RetrieveParameter { r#type: "Webhook", status_code },
            sorting: RetrieveSorting { column_name: schema_name::MODIFIED_ON, direction: "1" },
            paging: RetrievePaging { page_index: 1, page_size: 200 },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retrieved {
    #[serde(deserialize_with = "lenient::list")]
    response: Vec<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WebhookState, D::Error> {
    match lenient::text(deserializer)?.as_str() {
        "0" => Ok(WebhookState::Enabled),
        "1" => Ok(WebhookState::DisabledByHand),
        "2" => Ok(WebhookState::DisabledAfterFailures),
        _ => Err(serde::de::Error::custom("not a webhook's status code")),
    }
}
