//! The fields that a lead has in an account.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::wire::{Endpoint, lenient};

/// A field of a lead (<https://apidocs.leadsquared.com/meta-data/>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct LeadField {
    /// The name the API knows it by, in its exact case.
    pub schema_name: String,
    /// The name people see.
    #[serde(default, deserialize_with = "lenient::text")]
    pub display_name: String,
    /// `Text`, `Number`, `Email`, `Phone`, `Website`, `Date`, `Time`, `Select` or `Boolean`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub data_type: String,
    /// Whether a lead cannot be created without it.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub is_mandatory: bool,
    /// Whether leads can be matched by it.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub is_lead_identifier: bool,
    /// Whether it refuses updates after the lead was created. It is a number in the samples; other flags are booleans.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub lock_after_create: bool,
    /// How many characters fit. `None` if the account sets no limit.
    #[serde(default, deserialize_with = "length")]
    pub max_length: Option<u32>,
    /// The values of a `Select`.
    #[serde(default, deserialize_with = "options")]
    pub options: Vec<String>,
}

impl Client {
    /// Lead field metadata: every field with its type and rules (<https://apidocs.leadsquared.com/meta-data/>).
    ///
    /// # Errors
    /// As for every call.
    ///
    /// # Examples
    /// ```
    /// # leadsquared_fake::run(async |client| {
    /// for field in client.lead_fields().await?.iter().filter(|field| field.is_mandatory) {
    ///     println!("every lead needs {} ({})", field.schema_name, field.data_type);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn lead_fields(&self) -> Result<Vec<LeadField>, Error> {
        self.call(Call::new(Endpoint::LeadFields)).await
    }
}

/// The samples have `"10"`. A bare number means the same; anything else means that no limit is known.
fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok()),
        _ => None,
    })
}

/// `[{"Value":"…"}]`, or null.
fn options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Choice {
        #[serde(default, deserialize_with = "lenient::optional_text")]
        value: Option<String>,
    }
    let choices: Vec<Choice> = lenient::list(deserializer)?;
    Ok(choices.into_iter().filter_map(|choice| choice.value).collect())
}
