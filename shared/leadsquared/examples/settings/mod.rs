//! What every example reads from its environment.

use std::env;

use anyhow::Context;
use leadsquared::{Client, Keys, Options};

/// A client for the account in the environment:
///
/// - `LEADSQUARED_ACCESS_KEY`, `LEADSQUARED_SECRET_KEY`: of an administrator; quote them, there is a `$` in one;
/// - `LEADSQUARED_API`, `LEADSQUARED_PORTAL_API`: addresses such as `https://api-in21.leadsquared.com` and
///   `https://portalapi-in21.leadsquared.com`;
/// - `LEADSQUARED_PORTAL_ID`: from the address of the portal's page under Workflow > Manage Portals.
pub(crate) fn client() -> anyhow::Result<Client> {
    let options = Options::new(
        setting("LEADSQUARED_API")?.parse()?,
        setting("LEADSQUARED_PORTAL_API")?.parse()?,
        setting("LEADSQUARED_PORTAL_ID")?.parse()?,
    );
    let keys = Keys {
        access_key: setting("LEADSQUARED_ACCESS_KEY")?.into(),
        secret_key: setting("LEADSQUARED_SECRET_KEY")?.into(),
    };
    Ok(Client::new(options, keys)?)
}

fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("set {name}; examples/settings/mod.rs says what it is"))
}
