//! Making a lead a portal user: <https://apidocs.leadsquared.com/register/>.

use leadsquared::schema_name::{EMAIL_ADDRESS, PORTAL_CONFIRM_PASSWORD as CONFIRMATION, PORTAL_PASSWORD as PASSWORD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::Admitted;
use crate::body::{self, Attribute};
use crate::failure::Failure;
use crate::settings::Settings;
use crate::{leads, passwords, portal_users};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Register {
    #[serde(default)]
    register_only_new_lead: bool,
    lead_fields: Vec<Attribute>,
}

/// The first version: the e-mail address itself is mandatory.
pub(crate) async fn register_v1(call: &Admitted) -> Result<Value, Failure> {
    let asked: Register = body::read(&call.body)?;
    let mut emails = asked.lead_fields.iter().filter(|field| field.name == EMAIL_ADDRESS);
    if !emails.any(|email| email.value.as_deref().is_some()) {
        return Err(Failure::missing("EmailAddress is mandatory."));
    }
    make_portal_user(call, asked).await
}

/// The second version: any unique field is enough, and the first one in the list finds the lead.
pub(crate) async fn register(call: &Admitted) -> Result<Value, Failure> {
    let asked: Register = body::read(&call.body)?;
    make_portal_user(call, asked).await
}

async fn make_portal_user(call: &Admitted, asked: Register) -> Result<Value, Failure> {
    let settings = &call.world.settings;
    let password = password(call, &asked.lead_fields)?;
    let changes = leads::check(&call.account.tenant, &settings.switches, &asked.lead_fields)?;
    let identifiers: Vec<_> = changes.identifiers(&call.account.tenant).collect();
    let Some(&(field, value)) = identifiers.first() else {
        return Err(Failure::missing("At least one unique lead identifier is mandatory."));
    };
    let hash = passwords::hash(settings.password_hashing, call.world.randomness.bytes(), password).await?;
    let lead_id = call.account.store.transaction(|db| {
        let writer = call.writer(db, settings.switches.register_raises_webhooks);
        if asked.register_only_new_lead && settings.switches.register_matches_any_identifier {
            for (field, value) in &identifiers {
                if leads::with_value(db, field, value)?.is_some() {
                    return Err(already_exists(settings));
                }
            }
        }
        let lead_id = match leads::with_value(db, field, value)? {
            Some(_) if asked.register_only_new_lead => {
                return Err(already_exists(settings));
            }
            Some(known) => {
                writer.update(&known, &changes)?;
                known
            }
            None => writer.create(&changes)?,
        };
        let user = portal_users::of_lead(db, &lead_id, call.users_of())?;
        if user.is_none() || settings.switches.register_replaces_password {
            let asked = || call.portal_id.clone().ok_or_else(Failure::internal);
            let portal_id = user.map_or_else(asked, |user| Ok(user.portal_id))?;
            portal_users::register(db, &lead_id, &portal_id, &hash, call.now)?;
        }
        Ok(lead_id)
    })?;
    Ok(json!({ "LeadId": lead_id, "Message": "Registration Successful" }))
}

fn already_exists(settings: &Settings) -> Failure {
    Failure::application(&settings.texts.portal_type, &settings.texts.already_exists)
}

fn password(call: &Admitted, attributes: &[Attribute]) -> Result<String, Failure> {
    let settings = &call.world.settings;
    let sent = |name| {
        let attribute = attributes.iter().find(|attribute| attribute.name == name);
        attribute
            .and_then(|attribute| attribute.value.as_deref())
            .ok_or_else(|| Failure::missing(format!("{name} is mandatory.")))
    };
    let (password, confirmation) = (sent(PASSWORD)?, sent(CONFIRMATION)?);
    if password != confirmation {
        return Err(Failure::invalid_input(&settings.texts.passwords_differ));
    }
    if !settings.password_policy.accepts(password) {
        return Err(Failure::invalid_input(&settings.texts.weak_password));
    }
    Ok(password.to_owned())
}
