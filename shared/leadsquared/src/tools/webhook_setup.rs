//! Sets up an account's webhooks, so that an address receives the wanted events and no others.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::client::Client;
use crate::crm::{NewWebhook, Webhook, WebhookEvent, WebhookState};
use crate::error::Error;

/// The events that an address should receive. `Debug` hides the secret, and the address except its host.
#[derive(Clone)]
pub struct WebhookSetup {
    /// The address. It must answer an empty request with 200.
    pub url: Url,
    /// The header that proves to the address where a delivery comes from.
    pub header: String,
    /// The value of that header.
    pub secret: SecretString,
    /// A few characters that identify the secret, such as the start of its hash. Each webhook's description holds them,
    /// because LeadSquared does not list the headers.
    pub mark: String,
    /// The events.
    pub events: Vec<WebhookEvent>,
}

impl fmt::Debug for WebhookSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSetup")
            .field("host", &self.url.host_str())
            .field("header", &self.header)
            .field("mark", &self.mark)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// What to do about one webhook. `Display` is a line or two for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The event has no webhook.
    Create(WebhookEvent),
    /// The webhook has another secret or description.
    Update {
        /// Its id.
        webhook_id: String,
        /// What it is for.
        event: WebhookEvent,
    },
    /// The webhook is as it should be.
    Keep {
        /// Its id.
        webhook_id: String,
        /// What it is for.
        event: WebhookEvent,
    },
    /// The webhook is switched off, and only a person can switch it on.
    SwitchOn {
        /// Its id.
        webhook_id: String,
        /// What it is for.
        event: WebhookEvent,
        /// Who switched it off.
        state: WebhookState,
    },
    /// The webhook calls the address for an event that is not wanted. A person decides what to do with it.
    Surplus {
        /// Its id.
        webhook_id: String,
        /// LeadSquared's name for what it is for.
        event_code: String,
    },
}

impl Step {
    /// Whether [`WebhookSetup::carry_out`] does it.
    pub fn is_by_call(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Update { .. })
    }

    /// Whether a person has to do it, in LeadSquared.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::SwitchOn { .. } | Self::Surplus { .. })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(event) => write!(f, "create     {event}"),
            Self::Update { webhook_id, event } => {
                write!(f, "update     {event} ({webhook_id}): it has another secret, header or description")
            }
            Self::Keep { webhook_id, event } => write!(f, "unchanged  {event} ({webhook_id})"),
            Self::SwitchOn { webhook_id, event, state } => {
                let why = match state {
                    WebhookState::DisabledAfterFailures => "LeadSquared switched it off, because the address failed",
                    _ => "a person switched it off",
                };
                write!(
                    f,
                    "BY HAND    {event} ({webhook_id}): {why}; what it missed is lost\n           -> switch it on in LeadSquared, under Settings > API and Webhooks > Webhooks"
                )
            }
            Self::Surplus { webhook_id, event_code } => write!(
                f,
                "surplus    {event_code} ({webhook_id}): it calls this address, and nothing asks for that\n           -> delete it in LeadSquared, under Settings > API and Webhooks > Webhooks"
            ),
        }
    }
}

impl WebhookSetup {
    /// Compares the account's webhooks with the wanted events: one step for each event in its order, then the surplus.
    /// Webhooks that call other addresses are left alone.
    ///
    /// # Errors
    /// As for every call.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::crm::WebhookEvent;
    /// use leadsquared::tools::webhook_setup::WebhookSetup;
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let setup = WebhookSetup {
    ///     url: "https://api.example.com/crm-events".parse()?,
    ///     header: "x-webhook-secret".to_owned(),
    ///     secret: "0123456789abcdef0123456789abcdef".to_owned().into(),
    ///     mark: "9f86d081".to_owned(),
    ///     events: vec![WebhookEvent::LeadCreate, "lead-field-change=ProspectStage".parse()?],
    /// };
    /// for step in setup.plan(&client).await? {
    ///     println!("{step}");
    ///     setup.carry_out(&step, &client).await?;
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn plan(&self, client: &Client) -> Result<Vec<Step>, Error> {
        let mut existing = Vec::new();
        for state in [WebhookState::Enabled, WebhookState::DisabledByHand, WebhookState::DisabledAfterFailures] {
            existing.extend(client.webhooks(state).await?);
        }
        Ok(self.steps(existing))
    }

    /// Carries out one step. A step for a person does nothing.
    ///
    /// # Errors
    /// [`Error::Duplicate`] for a field that another webhook listens to, since each field can have one.
    pub async fn carry_out(&self, step: &Step, client: &Client) -> Result<(), Error> {
        match step {
            Step::Create(event) => client.create_webhook(&self.webhook(event)).await.map(drop),
            Step::Update { webhook_id, event } => client.update_webhook(webhook_id, &self.webhook(event)).await,
            Step::Keep { .. } | Step::SwitchOn { .. } | Step::Surplus { .. } => Ok(()),
        }
    }

    fn steps(&self, mut existing: Vec<Webhook>) -> Vec<Step> {
        existing.retain(|webhook| Url::parse(&webhook.url).is_ok_and(|url| url == self.url));
        let mut steps = Vec::new();
        for (number, event) in self.events.iter().enumerate() {
            // An event that is listed twice is one webhook.
            if self.events[..number].contains(event) {
                continue;
            }
            let Some(position) = existing.iter().position(|webhook| is_for(webhook, event)) else {
                steps.push(Step::Create(event.clone()));
                continue;
            };
            let webhook = existing.remove(position);
            let is_current = webhook.description.as_deref() == Some(&self.description(event));
            let (webhook_id, event) = (webhook.webhook_id, event.clone());
            let switch_on =
                Step::SwitchOn { webhook_id: webhook_id.clone(), event: event.clone(), state: webhook.state };
            match is_current {
                false => steps.push(Step::Update { webhook_id, event }),
                true if webhook.state == WebhookState::Enabled => steps.push(Step::Keep { webhook_id, event }),
                true => {}
            }
            if webhook.state != WebhookState::Enabled {
                steps.push(switch_on);
            }
        }
        let surplus =
            existing.into_iter().map(|Webhook { webhook_id, event_code, .. }| Step::Surplus { webhook_id, event_code });
        steps.extend(surplus);
        steps
    }

    fn webhook(&self, event: &WebhookEvent) -> NewWebhook {
        NewWebhook {
            description: self.description(event),
            url: self.url.clone(),
            event: event.clone(),
            headers: vec![(self.header.clone(), self.secret.expose_secret().to_owned())],
            notify_on_failure: true,
        }
    }

    /// What a list of webhooks does not show otherwise: the field, the header and the mark of the secret.
    fn description(&self, event: &WebhookEvent) -> String {
        format!("{event}, {} {}", self.header, self.mark)
    }
}

/// Whether a webhook is for an event. LeadSquared does not list the field that a webhook is about, and not always the
/// activity type: then the description decides.
fn is_for(webhook: &Webhook, event: &WebhookEvent) -> bool {
    let code = || -> Option<u32> {
        let properties: Value = serde_json::from_str(webhook.properties.as_deref()?).ok()?;
        match properties.get("ActivityEvent")? {
            Value::String(code) => code.parse().ok(),
            code => code.as_u64()?.try_into().ok(),
        }
    };
    let described =
        || webhook.description.as_deref().unwrap_or_default().split(", ").next() == Some(&event.to_string());
    webhook.event_code == event.event_type().name()
        && match event.activity() {
            Some(event) => code().map_or_else(described, |code| code == event),
            None => event.field().is_none() || described(),
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn setup(mark: &str, events: &[&str]) -> WebhookSetup {
        WebhookSetup {
            url: "https://api.example.com/crm-events".parse().unwrap(),
            header: "x-webhook-secret".to_owned(),
            secret: "s3cret".to_owned().into(),
            mark: mark.to_owned(),
            events: events.iter().map(|event| event.parse().unwrap()).collect(),
        }
    }

    /// What LeadSquared's list has of a webhook that was made for this event.
    fn listed(setup: &WebhookSetup, event: &str, state: u8) -> Webhook {
        let event: WebhookEvent = event.parse().unwrap();
        let properties = event.activity().map(|code| json!({"ActivityEvent": code.to_string()}).to_string());
        serde_json::from_value(
            json!({"WebhookId": event.to_string(), "EventCode": event.event_type().name(), "URL": setup.url.as_str(),
            "Description": setup.description(&event), "WebhookProperties": properties, "StatusCode": state}),
        )
        .unwrap()
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        let first = |step: &Step| step.to_string().lines().next().unwrap_or_default().to_owned();
        steps.iter().map(first).collect()
    }

    #[test]
    fn an_event_is_written_as_it_is_read() {
        for text in [
            "landing-page-submission",
            "lead-create",
            "lead-update",
            "lead-owner-change",
            "lead-score-change",
            "lead-field-change=mx_City",
            "activity-create=201",
            "activity-update=12000",
        ] {
            assert_eq!(text.parse::<WebhookEvent>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "lead",
            "lead-create=1",
            "lead-field-change",
            "lead-field-change=",
            "activity-create",
            "activity-create=x",
        ] {
            assert!(text.parse::<WebhookEvent>().is_err(), "{text}");
        }
    }

    #[test]
    fn missing_webhooks_are_created_and_existing_ones_kept() {
        let setup = setup("ab12", &["lead-create", "activity-create=201", "lead-field-change=ProspectStage"]);
        assert_eq!(
            lines(&setup.steps(Vec::new())),
            ["create     lead-create", "create     activity-create=201", "create     lead-field-change=ProspectStage"]
        );
        let there = setup.events.iter().map(|event| listed(&setup, &event.to_string(), 0)).collect();
        assert_eq!(
            lines(&setup.steps(there)),
            [
                "unchanged  lead-create (lead-create)",
                "unchanged  activity-create=201 (activity-create=201)",
                "unchanged  lead-field-change=ProspectStage (lead-field-change=ProspectStage)",
            ]
        );
    }

    #[test]
    fn a_new_secret_is_an_update_and_a_webhook_that_is_off_is_for_a_person() {
        let (old, new) = (setup("old", &["lead-create"]), setup("new", &["lead-create"]));
        let steps = new.steps(vec![listed(&old, "lead-create", 2)]);
        assert_eq!(steps[0], Step::Update { webhook_id: "lead-create".to_owned(), event: WebhookEvent::LeadCreate });
        assert!(steps[1].to_string().starts_with("BY HAND    lead-create (lead-create): LeadSquared switched it off"));
        let by_hand = new.steps(vec![listed(&new, "lead-create", 1)]);
        assert_eq!(by_hand.len(), 1);
        assert!(by_hand[0].to_string().contains("a person switched it off") && by_hand[0].is_by_hand());
    }

    #[test]
    fn another_code_field_or_address_is_another_webhook() {
        let setup = setup("m", &["activity-create=201", "lead-field-change=ProspectStage"]);
        let mut elsewhere = listed(&setup, "activity-create=201", 0);
        elsewhere.url = "https://other.example.com/crm-events".to_owned();
        let there = ["activity-create=202", "lead-field-change=mx_City"].map(|event| listed(&setup, event, 0));
        let steps = setup.steps(there.into_iter().chain([elsewhere]).collect());
        assert_eq!(
            lines(&steps),
            [
                "create     activity-create=201",
                "create     lead-field-change=ProspectStage",
                "surplus    LeadActivity_Post_Create (activity-create=202): it calls this address, and nothing asks for that",
                "surplus    Lead_Field_Change (lead-field-change=mx_City): it calls this address, and nothing asks for that",
            ]
        );
    }

    #[test]
    fn an_activity_webhook_is_known_however_its_code_is_listed() {
        let setup = setup("m", &["activity-create=201"]);
        for (properties, step) in [
            (Some(r#"{"ActivityEvent":201}"#), "unchanged"),
            (Some(r#"{"ActivityEvent":"201"}"#), "unchanged"),
            (None, "unchanged"),
            (Some("{}"), "unchanged"),
            (Some(r#"{"ActivityEvent":202}"#), "create"),
        ] {
            let mut there = listed(&setup, "activity-create=201", 0);
            there.properties = properties.map(str::to_owned);
            assert!(lines(&setup.steps(vec![there]))[0].starts_with(step), "{properties:?}");
        }
    }

    #[test]
    fn an_event_asked_for_twice_is_one_webhook() {
        let setup = setup("m", &["lead-create", "activity-create=201", "lead-create"]);
        assert_eq!(lines(&setup.steps(Vec::new())), ["create     lead-create", "create     activity-create=201"]);
        let there = vec![listed(&setup, "lead-create", 0), listed(&setup, "lead-create", 0)];
        assert!(lines(&setup.steps(there))[2].starts_with("surplus    Lead_Post_Create"));
    }

    #[test]
    fn it_does_not_print_its_secret() {
        let setup = setup("m", &["lead-create"]);
        let printed = format!("{setup:?} {:?} {:?}", setup.webhook(&setup.events[0]), setup.steps(Vec::new()));
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
