//! Signing in with a password or a one-time code.
//!
//! - <https://apidocs.leadsquared.com/sign-in/>
//! - <https://apidocs.leadsquared.com/sign-in-with-otp/>

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use leadsquared::schema_name;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::{Admitted, unauthorized};
use crate::body::{self, Text};
use crate::failure::Failure;
use crate::portal_api::one_time_code::{self, Answer};
use crate::store::{self, Holder, Kind};
use crate::{leads, passwords, portal_users};

/// Whom a portal call is about: by e-mail address or by any unique field.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Who {
    #[serde(default)]
    email_address: Text,
    search_key_data: Option<SearchKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SearchKey {
    schema_name: String,
    value: String,
}

impl Who {
    /// The field and value that are searched for.
    pub(crate) fn key(&self, call: &Admitted) -> Result<(&str, &str), Failure> {
        match (&self.search_key_data, self.email_address.as_deref()) {
            (Some(key), _) => {
                let fields = &call.account.tenant.fields;
                let unique = fields.iter().any(|field| field.unique && field.schema_name == key.schema_name);
                let invalid = || Failure::invalid_input("Invalid Input! Parameter Name: SchemaName");
                if unique { Ok((&key.schema_name, &key.value)) } else { Err(invalid()) }
            }
            (None, Some(email)) => Ok((schema_name::EMAIL_ADDRESS, email)),
            (None, None) => Err(Failure::missing("EmailAddress or SearchKeyData is mandatory.")),
        }
    }

    /// The portal user, if there is one.
    pub(crate) fn portal_user(&self, call: &Admitted, db: &Connection) -> Result<Option<String>, Failure> {
        let (field, value) = self.key(call)?;
        let Some(lead_id) = leads::with_value(db, field, value)? else { return Ok(None) };
        Ok(portal_users::of_lead(db, &lead_id, call.users_of())?.map(|user| user.lead_id))
    }
}

#[derive(Deserialize)]
struct SignIn {
    #[serde(flatten)]
    who: Who,
    #[serde(rename = "Password", default)]
    password: Text,
    #[serde(rename = "OTPSigninRequest", default)]
    with_code: bool,
    #[serde(rename = "OTPSigninData")]
    answer: Option<Answer>,
}

pub(crate) async fn sign_in(call: &Admitted) -> Result<Value, Failure> {
    let asked: SignIn = body::read(&call.body)?;
    let lead_id = if asked.with_code {
        let answer = asked.answer.ok_or_else(|| Failure::missing("OTPSigninData is mandatory."))?;
        one_time_code::redeem(call, &answer)?
    } else {
        by_password(call, &asked).await?
    };
    let key = BASE64_STANDARD.encode(call.world.randomness.bytes::<600>());
    let holder = Holder { lead_id: Some(lead_id.clone()), portal_id: call.portal_id.clone() };
    let lifetime = call.world.settings.lifetimes.private_key;
    store::issue(&call.account.store.connection(), Kind::PrivateKey, &key, &holder, call.now, Some(lifetime))?;
    Ok(json!({ "AuthKey": key, "LeadId": lead_id }))
}

async fn by_password(call: &Admitted, asked: &SignIn) -> Result<String, Failure> {
    let texts = &call.world.settings.texts;
    let password = asked.password.as_deref().ok_or_else(|| Failure::missing("Password is mandatory."))?;
    let found = {
        let db = call.account.store.connection();
        let lead_id = asked.who.portal_user(call, &db)?;
        let lead_id = lead_id.ok_or_else(|| unauthorized(&call.world, &texts.no_account))?;
        portal_users::password_hash(&db, &lead_id, call.users_of())?.map(|hash| (lead_id, hash))
    };
    let (lead_id, hash) = found.ok_or_else(|| unauthorized(&call.world, &texts.no_account))?;
    if passwords::matches(hash, password.to_owned()).await {
        Ok(lead_id)
    } else {
        Err(unauthorized(&call.world, &texts.wrong_password))
    }
}
