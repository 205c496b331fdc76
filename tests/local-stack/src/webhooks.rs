//! Sets up LeadSquared's webhooks through its API, so that LeadSquared calls the functions as it does on AWS.

use anyhow::{Context, ensure};
use leadsquared::crm::WebhookEvent;
use leadsquared::tools::webhook_setup::WebhookSetup;
use leadsquared::{Client, Keys, Options};
use leadsquared_emulator::{Emulator, WebhookStatus};
use sha2::{Digest, Sha256};

/// The header with the secret, by the template's default.
pub(crate) const HEADER: &str = "x-webhook-secret";

/// A secret that proves to the functions that a request comes from LeadSquared, or from the site.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// A new random secret.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).context("the system gave no random bits")?;
        Ok(Self(hex::encode(bits)))
    }

    /// The text for a header.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The hash that the functions know.
    pub(crate) fn hash(&self) -> String {
        hex::encode(Sha256::digest(&self.0))
    }
}

/// Creates the webhook in LeadSquared that the template's rule needs.
pub(crate) async fn set_up(emulator: &Emulator, api_url: &str, secret: Secret) -> anyhow::Result<()> {
    let (access_key, secret_key) = emulator.keys();
    let keys = Keys { access_key: access_key.into(), secret_key: secret_key.into() };
    let options = Options::new(emulator.url(), emulator.portal_api_url(), emulator.portal_id().parse()?);
    let client = Client::new(options, keys)?;
    let setup = WebhookSetup {
        url: format!("{api_url}/crm-events").parse()?,
        header: HEADER.to_owned(),
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
