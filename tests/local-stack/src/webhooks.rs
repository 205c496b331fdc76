//! LeadSquared calls the functions here as it does on AWS: by webhooks that its API was asked for.

use anyhow::{Context, ensure};
use leadsquared::crm::WebhookEvent;
use leadsquared::tools::webhook_setup::WebhookSetup;
use leadsquared::{Client, Keys, Options};
use leadsquared_emulator::{Emulator, WebhookStatus};
use sha2::{Digest, Sha256};

/// What proves to the functions that a request is LeadSquared's, or the site's.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// A new one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).context("the system gave no random bits")?;
        Ok(Self(hexadecimal(&bits)))
    }

    /// What goes into a header.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What the functions know of it.
    pub(crate) fn hash(&self) -> String {
        hexadecimal(&Sha256::digest(&self.0))
    }
}

/// Asks LeadSquared for the webhook that the template's rule needs.
pub(crate) async fn set_up(emulator: &Emulator, api_url: &str, secret: Secret) -> anyhow::Result<()> {
    let (access_key, secret_key) = emulator.keys();
    let keys = Keys { access_key: access_key.into(), secret_key: secret_key.into() };
    let options = Options::new(emulator.url(), emulator.portal_api_url(), emulator.portal_id().parse()?);
    let client = Client::new(options, keys)?;
    let setup = WebhookSetup {
        url: format!("{api_url}/crm-events").parse()?,
        header: "x-webhook-secret".to_owned(),
        mark: secret.hash()[..8].to_owned(),
        secret: secret.0.into(),
        events: vec![WebhookEvent::LeadFieldChange { schema_name: "ProspectStage".to_owned() }],
    };
    for step in setup.plan(&client).await? {
        ensure!(step.is_by_call(), "{step}");
        setup.carry_out(&step, &client).await.with_context(|| step.to_string())?;
    }
    let off: Vec<_> =
        emulator.webhooks().into_iter().filter(|webhook| webhook.status != WebhookStatus::Enabled).collect();
    ensure!(off.is_empty(), "the function crm-event does not answer LeadSquared's handshake");
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
