//! One-time sign-in codes by text message: <https://apidocs.leadsquared.com/get-sign-in-otp/>.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rusqlite::{OptionalExtension, params};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::{Admitted, unauthorized};
use crate::body::{self, Text};
use crate::failure::Failure;
use crate::mails::{self, TextMessage};
use crate::store::stamp;
use crate::tenant::DataType;
use crate::{leads, portal_users};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    field_schema_name: String,
    field_content: String,
}

/// The fields of sign-in with a code: the code, and the challenge unchanged.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    #[serde(default)]
    otp: Text,
    #[serde(default)]
    field_content: Text,
    #[serde(default)]
    code: Text,
}

pub(crate) fn send(call: &Admitted) -> Result<Value, Failure> {
    let asked: Request = body::read(&call.body)?;
    let settings = &call.world.settings;
    let is_phone = call.account.tenant.fields.iter().any(|field| {
        field.unique && field.data_type == DataType::Phone && field.schema_name == asked.field_schema_name
    });
    if !is_phone {
        return Err(Failure::invalid_input("Invalid Input! Parameter Name: FieldSchemaName"));
    }
    let challenge = BASE64_STANDARD.encode(call.world.randomness.bytes::<48>());
    let code = call.world.randomness.six_digits();
    let portal_id = call.portal_id.as_deref().ok_or_else(Failure::internal)?;
    call.account.store.transaction(|db| {
        let lead_id = leads::with_value(db, &asked.field_schema_name, &asked.field_content)?;
        let user = match lead_id {
            Some(lead_id) => portal_users::of_lead(db, &lead_id, call.users_of())?,
            None => None,
        };
        let user = user.ok_or_else(|| no_such_user(call))?;
        db.prepare_cached(
            "INSERT INTO one_time_code (challenge, lead_id, portal_id, contact, code, attempts, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
        )?
        .execute(params![
            challenge,
            user.lead_id,
            portal_id,
            asked.field_content,
            code,
            stamp(call.now + settings.lifetimes.one_time_code)
        ])?;
        let text = format!("{code} is your code to sign in to {}.", call.account.tenant.organisation);
        let recipient = asked.field_content.clone();
        mails::keep_text(db, &TextMessage { lead_id: user.lead_id, recipient, text, sent_at: call.now })?;
        Ok(())
    })?;
    Ok(json!({ "Code": challenge, "FieldContent": asked.field_content, "Message": null, "Status": "Success" }))
}

/// The refusal of a message to a person who is not a portal user.
pub(crate) fn no_such_user(call: &Admitted) -> Failure {
    Failure::application("MXInvalidEntityException", &call.world.settings.texts.no_such_user)
}

/// The lead of a right code. A code is valid once, and a challenge has a limited number of wrong codes.
pub(crate) fn redeem(call: &Admitted, answer: &Answer) -> Result<String, Failure> {
    let settings = &call.world.settings;
    let refused = || unauthorized(&call.world, &settings.texts.wrong_code);
    let challenge = answer.code.as_deref().unwrap_or_default();
    let db = call.account.store.connection();
    let open = db
        .prepare_cached(
            "SELECT lead_id, contact, code FROM one_time_code
             WHERE challenge = ?1 AND expires_at > ?2 AND attempts < ?3
                 AND (?4 IS NULL OR portal_id = ?4)",
        )?
        .query_row(params![challenge, stamp(call.now), settings.code_attempts, call.users_of()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    let (lead_id, contact, code) = open.ok_or_else(refused)?;
    if answer.otp.as_deref() == Some(&code) && answer.field_content.as_deref() == Some(&contact) {
        db.execute("DELETE FROM one_time_code WHERE challenge = ?1", [challenge])?;
        Ok(lead_id)
    } else {
        db.execute("UPDATE one_time_code SET attempts = attempts + 1 WHERE challenge = ?1", [challenge])?;
        Err(refused())
    }
}
