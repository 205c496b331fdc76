//! Auto-login keys: <https://apidocs.leadsquared.com/portal-auto-login/>.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::{Admitted, unauthorized};
use crate::body;
use crate::failure::Failure;
use crate::portal_api::access::token;
use crate::store::{self, Holder, Kind};
use crate::{leads, portal_users};

/// <https://apidocs.leadsquared.com/portal-auto-login-generate-tenant-auth-key/>
pub(crate) fn tenant_auth_key(call: &Admitted) -> Result<Value, Failure> {
    let key = token(call);
    let lifetime = call.world.settings.lifetimes.tenant_auth_key;
    let db = call.account.store.connection();
    store::issue(&db, Kind::TenantAuthKey, &key, &Holder::default(), call.now, Some(lifetime))?;
    Ok(Value::String(key))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Generate {
    lead_id: String,
    portal_id: String,
}

/// <https://apidocs.leadsquared.com/portal-auto-login-generate-lead-level-auth-key/>
pub(crate) fn lead_auth_key(call: &Admitted) -> Result<Value, Failure> {
    let asked: Generate = body::read(&call.body)?;
    let settings = &call.world.settings;
    let db = call.account.store.connection();
    if store::redeem(&db, Kind::TenantAuthKey, call.query.get("authkey").unwrap_or_default(), call.now)?.is_none() {
        return Err(unauthorized(&call.world, &settings.texts.stale_credential));
    }
    let lead = leads::existing(&db, &asked.lead_id)?;
    if !call.account.has_portal(&asked.portal_id) {
        return Err(Failure::application("MXInvalidEntityException", &settings.texts.unknown_portal));
    }
    let portal_id = asked.portal_id.to_ascii_lowercase();
    let users_of = Some(portal_id.as_str()).filter(|_| settings.switches.users_per_portal);
    if settings.switches.auto_login_needs_portal_user && portal_users::of_lead(&db, &lead.id, users_of)?.is_none() {
        return Err(Failure::application(&settings.texts.portal_type, &settings.texts.not_a_portal_user));
    }
    let key = lead_key(call);
    let holder = Holder { lead_id: Some(lead.id.clone()), portal_id: Some(portal_id) };
    store::issue(&db, Kind::LeadAuthKey, &key, &holder, call.now, Some(settings.lifetimes.lead_auth_key))?;
    Ok(json!({ "AuthKey": key, "LeadId": lead.id }))
}

/// About 200 characters of Base64. The first bytes make every key contain `+`, `/` and `=`: a link without
/// percent-encoding always fails.
fn lead_key(call: &Admitted) -> String {
    let mut bytes: [u8; 152] = call.world.randomness.bytes();
    bytes[..3].copy_from_slice(&[0xfb, 0xff, 0xbf]);
    BASE64_STANDARD.encode(bytes)
}
