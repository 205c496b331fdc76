//! Finding leads.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::client::{Call, Client};
use crate::email_address::EmailAddress;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::id::LeadId;

/// A lead as it is stored. `Debug` shows the id only: the rest is personal data.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub struct Lead {
    id: LeadId,
    fields: BTreeMap<String, String>,
}

impl Lead {
    /// `ProspectID`.
    pub fn id(&self) -> LeadId {
        self.id
    }

    /// `EmailAddress`, when the lead has one and it is well-formed.
    pub fn email(&self) -> Option<EmailAddress> {
        self.field("EmailAddress")?.parse().ok()
    }

    /// A field by its schema name. LeadSquared's null, empty and absent all mean "none".
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl TryFrom<BTreeMap<String, Value>> for Lead {
    type Error = &'static str;

    fn try_from(fields: BTreeMap<String, Value>) -> Result<Self, &'static str> {
        // Every value is documented as text or null; a number or flag would not be worth losing the lead for.
        let texts = fields.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) if !text.is_empty() => Some((name, text)),
            Value::Number(number) => Some((name, number.to_string())),
            Value::Bool(flag) => Some((name, flag.to_string())),
            _ => None,
        });
        let fields: BTreeMap<String, String> = texts.collect();
        let id = fields.get("ProspectID").and_then(|id| id.parse().ok()).ok_or("a lead without a ProspectID")?;
        Ok(Self { id, fields })
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Client {
    /// Get leads by e-mail (<https://apidocs.leadsquared.com/get-a-lead-by-email-id/>): none, one, or several where the
    /// account does not keep addresses unique.
    ///
    /// # Errors
    /// As for every call.
    pub async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error> {
        self.call(Call::new(Endpoint::LeadsByEmail).query("emailaddress", email.expose())).await
    }
}
