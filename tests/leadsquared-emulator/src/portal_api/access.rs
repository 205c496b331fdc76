//! The two lasting portal credentials of an account: public key and registration token.
//!
//! - <https://apidocs.leadsquared.com/get-public-auth-key/>
//! - <https://apidocs.leadsquared.com/get-portal-registration-token/>

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::admission::Admitted;
use crate::failure::Failure;
use crate::store::{self, Holder, Kind};

pub(crate) fn public_auth_key(call: &Admitted) -> Result<Value, Failure> {
    // Decodes to text that is again Base64, as real keys do.
    let inner = BASE64_STANDARD.encode(call.world.randomness.bytes::<180>());
    let key = lasting(call, Kind::PublicKey, BASE64_STANDARD.encode(inner))?;
    Ok(json!({ "PublicAuthKey": key }))
}

pub(crate) fn registration_token(call: &Admitted) -> Result<Value, Failure> {
    lasting(call, Kind::RegistrationToken, token(call)).map(Value::String)
}

/// 64 hexadecimal digits, two letters and the account's short code.
pub(crate) fn token(call: &Admitted) -> String {
    format!("{}MX{}", call.world.randomness.hex64(), call.account.tenant.short_code)
}

/// The current credential, or a new one when each call gets its own.
fn lasting(call: &Admitted, kind: Kind, new: String) -> Result<String, Failure> {
    call.account.store.transaction(|db| {
        if !call.world.settings.switches.keys_change_per_call
            && let Some(old) = store::latest(db, kind)?
        {
            return Ok(old);
        }
        store::issue(db, kind, &new, &Holder::default(), call.now, None)?;
        Ok(new)
    })
}
