//! What every example reads from its environment.

use std::env;

use anyhow::Context;
use leadsquared::{Client, Keys, Options};
use url::Url;

/// A client for the account in the environment:
///
/// - `LEADSQUARED_ACCESS_KEY`, `LEADSQUARED_SECRET_KEY`: of an administrator; quote them, there is a `$` in one;
/// - `LEADSQUARED_API`, `LEADSQUARED_PORTAL_API`: hosts such as `api-in21.leadsquared.com` and
///   `portalapi-in21.leadsquared.com`, with or without `https://`;
/// - `LEADSQUARED_PORTAL_ID`: from the address of the portal's page under Workflow > Manage Portals.
pub(crate) fn client() -> anyhow::Result<Client> {
    let portal_id = setting("LEADSQUARED_PORTAL_ID")?.parse().context("LEADSQUARED_PORTAL_ID is no portal's id")?;
    let options = Options::new(address("LEADSQUARED_API")?, address("LEADSQUARED_PORTAL_API")?, portal_id);
    let keys = Keys {
        access_key: setting("LEADSQUARED_ACCESS_KEY")?.into(),
        secret_key: setting("LEADSQUARED_SECRET_KEY")?.into(),
    };
    Ok(Client::new(options, keys)?)
}

fn address(name: &str) -> anyhow::Result<Url> {
    let given = setting(name)?;
    let address = if given.contains("://") { given } else { format!("https://{given}") };
    address.parse().with_context(|| format!("{name} is no host, such as api-in21.leadsquared.com"))
}

fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("set {name}; examples/settings/mod.rs says what it is"))
}
