//! Writing and finding leads.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::{Attributes, EmailAddress, LeadId, Phone};
use crate::wire::{Endpoint, Success};

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

    /// A field by its schema name, whatever its case: for fields whose name comes from a setting.
    pub fn field_ignoring_case(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
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

/// What Capture may do to a lead that matches; absent, it updates everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateBehavior {
    /// Leaves it as it is.
    DoNotUpdate,
    /// Fills in what it does not have.
    UpdateOnlyEmptyFields,
    /// Updates all but unique fields.
    DoNotUpdateUniqueFields,
}

impl Client {
    /// Capture a lead: updates the one that matches by `ProspectID`, `EmailAddress` or `Phone`, in this order, and
    /// creates one otherwise (<https://apidocs.leadsquared.com/capture-lead/>).
    ///
    /// With none of the three every call makes another lead. With a new e-mail and a known phone number it is refused
    /// as a duplicate; adding the pseudo-attribute `SearchBy` with the value `Phone` makes it an update.
    ///
    /// # Errors
    /// Among others: [`Error::Duplicate`], [`Error::UnknownAttributes`].
    pub async fn capture_lead(&self, fields: &Attributes, behavior: Option<UpdateBehavior>) -> Result<LeadId, Error> {
        let mut call = Call::new(Endpoint::CaptureLead).fields(fields).body(fields);
        if let Some(behavior) = behavior {
            call = call.query("LeadUpdateBehavior", format!("{behavior:?}"));
        }
        self.lead_written(call).await
    }

    /// Create or update a lead, matched by `search_by` where given, else by `EmailAddress`, then `Phone`
    /// (<https://apidocs.leadsquared.com/create-or-update/>).
    ///
    /// A match by `Phone` compares the text as it is stored: normalise it with [`Phone`].
    ///
    /// # Errors
    /// Among others: [`Error::Duplicate`], [`Error::UnknownAttributes`].
    pub async fn create_or_update_lead(
        &self,
        fields: &Attributes,
        search_by: Option<&str>,
        post_updated_lead: bool,
    ) -> Result<LeadId, Error> {
        let mut fields = fields.clone();
        if let Some(field) = search_by {
            // Last, because that is where at least one account insists on it.
            fields.remove("SearchBy");
            fields.set("SearchBy", field);
        }
        let call = Call::new(Endpoint::CreateOrUpdateLead).fields(&fields).body(&fields);
        self.lead_written(call.query("postUpdatedLead", post_updated_lead)).await
    }

    /// Update a lead; fields that are not sent stay as they are (<https://apidocs.leadsquared.com/update-a-lead/>).
    ///
    /// Webhooks and automations hear of it only with `post_updated_lead`, and they would hear of a repeat as well:
    /// such an update is not repeated when it may have happened.
    ///
    /// # Errors
    /// Among others: [`Error::NoSuchLead`], [`Error::Duplicate`], [`Error::UnknownAttributes`].
    pub async fn update_lead(&self, lead: &LeadId, fields: &Attributes, post_updated_lead: bool) -> Result<(), Error> {
        let mut call = Call::new(Endpoint::UpdateLead).query("leadId", lead).fields(fields).body(fields);
        if post_updated_lead {
            call = call.query("postUpdatedLead", true).harmful();
        }
        self.call::<Success>(call).await.map(drop)
    }

    /// Get a lead by its id. The call has no page of its own; <https://apidocs.leadsquared.com/get-lead-by-phone/>
    /// links it.
    ///
    /// # Errors
    /// As for every call; an unknown id is `None`.
    pub async fn lead_by_id(&self, lead: &LeadId) -> Result<Option<Lead>, Error> {
        let leads: Vec<Lead> = self.call(Call::new(Endpoint::LeadById).query("id", lead)).await?;
        Ok(leads.into_iter().next())
    }

    /// Get leads by e-mail (<https://apidocs.leadsquared.com/get-a-lead-by-email-id/>): none, one, or several where
    /// the account does not keep addresses unique.
    ///
    /// # Errors
    /// As for every call.
    pub async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error> {
        self.call(Call::new(Endpoint::LeadByEmail).query("emailaddress", email.expose())).await
    }

    /// Get leads by phone, looked for in `Phone` and `Mobile` (<https://apidocs.leadsquared.com/get-lead-by-phone/>):
    /// of several, the one with the latest activity.
    ///
    /// The page wants bare digits, and one account was seen to match the stored, dashed form only. This sends the
    /// stored form first and the digits if that finds nobody, so it can be two calls.
    ///
    /// # Errors
    /// As for every call.
    pub async fn leads_by_phone(&self, phone: &Phone) -> Result<Vec<Lead>, Error> {
        let stored: Vec<Lead> = self.call(Call::new(Endpoint::LeadByPhone).query("phone", phone.expose())).await?;
        if !stored.is_empty() {
            return Ok(stored);
        }
        let digits: String = phone.expose().chars().filter(char::is_ascii_digit).collect();
        self.call(Call::new(Endpoint::LeadByPhone).query("phone", digits)).await
    }

    async fn lead_written(&self, call: Call<'_>) -> Result<LeadId, Error> {
        let success: Success<Written> = self.call(call).await?;
        Ok(success.message.related_id.unwrap_or(success.message.id))
    }
}

/// Capture's `RelatedId` is what public clients use as the lead's id when it is there.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    id: LeadId,
    #[serde(default)]
    related_id: Option<LeadId>,
}
