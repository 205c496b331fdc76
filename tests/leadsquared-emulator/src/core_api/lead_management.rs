//! Reading leads.

use serde_json::Value;

use crate::admission::Admitted;
use crate::failure::Failure;
use crate::leads::{self, Lead};

/// Linked from <https://apidocs.leadsquared.com/get-lead-by-phone/>; an unknown id gives an empty list.
pub(crate) fn by_id(call: &Admitted) -> Result<Value, Failure> {
    let lead = leads::by_id(&call.account.store.connection(), call.query.get("id").unwrap_or_default())?;
    Ok(list(call, lead))
}

/// <https://apidocs.leadsquared.com/get-a-lead-by-email-id/>; a misspelt parameter gives an empty list, as there.
pub(crate) fn by_email(call: &Admitted) -> Result<Value, Failure> {
    let db = call.account.store.connection();
    let email = call.query.get("emailaddress").unwrap_or_default();
    let lead = match leads::with_value(&db, "EmailAddress", email)? {
        Some(id) => leads::by_id(&db, &id)?,
        None => None,
    };
    Ok(list(call, lead))
}

fn list(call: &Admitted, leads: impl IntoIterator<Item = Lead>) -> Value {
    let users = call.account.users();
    let flat = leads.into_iter().map(|lead| Value::Object(leads::flat(&call.account.tenant, &users, &lead)));
    Value::Array(flat.collect())
}
