//! Calls for forgotten, reset and changed passwords.
//!
//! - <https://apidocs.leadsquared.com/forgot-password/>
//! - <https://apidocs.leadsquared.com/reset-password/>
//! - <https://apidocs.leadsquared.com/change-password/>

use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::{Admitted, unauthorized};
use crate::body;
use crate::failure::Failure;
use crate::leads::{self, Lead};
use crate::mails::{self, Mail, TextMessage};
use crate::portal_api::one_time_code::no_such_user;
use crate::portal_api::sign_in::Who;
use crate::store::{self, Holder, Kind};
use crate::tenant::DataType;
use crate::world::{Account, World};
use crate::{passwords, portal_users};

#[derive(Deserialize)]
struct Forgot {
    #[serde(flatten)]
    who: Who,
    #[serde(rename = "RecipientField")]
    recipient_field: Option<RecipientField>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecipientField {
    schema_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Reset {
    pub(crate) password: String,
    pub(crate) lead_id: String,
    pub(crate) temporary_password: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    current_password: String,
    new_password: String,
}

/// Sends a link with a temporary password by mail or text message.
pub(crate) fn forgot(call: &Admitted) -> Result<Value, Failure> {
    let asked: Forgot = body::read(&call.body)?;
    let settings = &call.world.settings;
    let temporary = call.world.randomness.hex64();
    call.account.store.transaction(|db| {
        let (searched, _) = asked.who.key(call)?;
        let lead_id = asked.who.portal_user(call, db)?;
        let lead_id = lead_id.ok_or_else(|| no_such_user(call))?;
        let lead = leads::existing(db, &lead_id)?;
        let holder = Holder { lead_id: Some(lead_id), portal_id: call.portal_id.clone() };
        let lifetime = settings.lifetimes.temporary_password;
        store::issue(db, Kind::TemporaryPassword, &temporary, &holder, call.now, Some(lifetime))?;
        let recipient_field = asked.recipient_field.as_ref().map_or(searched, |field| &field.schema_name);
        send_link(call, db, &lead, recipient_field, &temporary)
    })?;
    Ok(json!({ "Status": "Success", "Message": "Reset link sent successfully" }))
}

fn send_link(call: &Admitted, db: &Connection, lead: &Lead, field: &str, temporary: &str) -> Result<(), Failure> {
    let invalid = || Failure::invalid_input("Invalid Input! Parameter Name: RecipientField");
    let link = call.world.settings.reset_link.replace("{portal}", &call.world.portal_page());
    let link = link.replace("{leadId}", &lead.id).replace("{temporaryPassword}", temporary);
    let recipient = lead.field(field).ok_or_else(invalid)?.to_owned();
    let kind = call.account.tenant.fields.iter().find(|known| known.schema_name == field).map(|known| known.data_type);
    let text = format!("Set a new password: {link}");
    match kind {
        Some(DataType::Phone) => {
            mails::keep_text(db, &TextMessage { lead_id: lead.id.clone(), recipient, text, sent_at: call.now })?;
        }
        Some(DataType::Email) => mails::keep(
            db,
            &Mail {
                id: call.world.randomness.guid(),
                lead_id: Some(lead.id.clone()),
                sender: call.user.email.clone(),
                recipients: vec![recipient],
                cc: Vec::new(),
                subject: "Reset your password".to_owned(),
                html: format!("<p><a href=\"{}\">Set a new password</a></p>", link.replace('&', "&amp;")),
                text,
                sent_at: call.now,
            },
        )?,
        _ => return Err(invalid()),
    }
    Ok(())
}

pub(crate) async fn reset(call: &Admitted) -> Result<Value, Failure> {
    let asked: Reset = body::read(&call.body)?;
    let replaced = replace(&call.world, &call.account, asked).await;
    replaced.map_or_else(|failure| refused(call, failure), |()| Ok(changed()))
}

/// Sets a new password with a temporary one, which is valid once.
pub(crate) async fn replace(world: &World, account: &Account, asked: Reset) -> Result<(), Failure> {
    let texts = &world.settings.texts;
    let hash = hash(world, asked.password).await?;
    account.store.transaction(|db| {
        let holder = store::redeem(db, Kind::TemporaryPassword, &asked.temporary_password, world.now())?;
        let holder = holder.unwrap_or_default();
        let users_of = holder.portal_id.as_deref().filter(|_| world.settings.switches.users_per_portal);
        let lead_id = holder.lead_id.as_deref().filter(|lead_id| lead_id.eq_ignore_ascii_case(&asked.lead_id));
        let lead_id = lead_id.ok_or_else(|| unauthorized(world, &texts.wrong_temporary_password))?;
        store::revoke_one(db, Kind::TemporaryPassword, &asked.temporary_password)?;
        Ok(portal_users::change_password(db, lead_id, users_of, &hash)?)
    })
}

pub(crate) async fn change(call: &Admitted) -> Result<Value, Failure> {
    let asked: Change = body::read(&call.body)?;
    let texts = &call.world.settings.texts;
    let lead_id = call.signed_in.as_deref().ok_or_else(Failure::internal)?;
    let current = portal_users::password_hash(&call.account.store.connection(), lead_id, call.users_of())?;
    let matches = match current {
        Some(current) => passwords::matches(current, asked.current_password).await,
        None => false,
    };
    if !matches {
        return refused(call, unauthorized(&call.world, &texts.wrong_password));
    }
    let hash = match hash(&call.world, asked.new_password).await {
        Ok(hash) => hash,
        Err(failure) => return refused(call, failure),
    };
    portal_users::change_password(&call.account.store.connection(), lead_id, call.users_of(), &hash)?;
    Ok(changed())
}

/// The hash of a new password that meets the policy.
async fn hash(world: &World, password: String) -> Result<String, Failure> {
    let settings = &world.settings;
    if !settings.password_policy.accepts(&password) {
        return Err(Failure::invalid_input(&settings.texts.weak_password));
    }
    passwords::hash(settings.password_hashing, world.randomness.bytes(), password).await
}

fn changed() -> Value {
    json!({ "IsSuccessful": true, "ResponseText": "Password changed successfully" })
}

fn refused(call: &Admitted, failure: Failure) -> Result<Value, Failure> {
    if call.world.settings.switches.refused_change_under_ok {
        Ok(json!({ "IsSuccessful": false, "ResponseText": failure.message }))
    } else {
        Err(failure)
    }
}
