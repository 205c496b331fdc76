//! Makes a webhook for new leads, shows those that LeadSquared has switched off, and deletes the new one:
//!
//! ```sh
//! cargo run -p leadsquared --example webhooks -- https://example.com/hooks/leads
//! ```

#![expect(clippy::print_stdout, reason = "it says what it found")]

mod settings;

use std::env;

use anyhow::Context;
use leadsquared::{NewWebhook, WebhookEvent, WebhookState};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = settings::client()?;
    let url = env::args().nth(1).context("usage: webhooks ADDRESS")?.parse()?;
    let new = NewWebhook {
        description: "made by an example".to_owned(),
        url,
        event: WebhookEvent::LeadCreate,
        headers: Vec::new(),
        notify_on_failure: true,
    };
    let id = client.create_webhook(&new).await?;
    println!("made {id}");
    for webhook in client.webhooks(WebhookState::DisabledAfterFailures).await? {
        println!("switched off after failures: {} for {}", webhook.webhook_id, webhook.event_code);
    }
    client.delete_webhook(&id).await?;
    println!("deleted it again");
    Ok(())
}
