//! Writing and finding leads.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::schema_name::{EMAIL_ADDRESS, PROSPECT_ID, SEARCH_BY};
use crate::values::{Attributes, EmailAddress, LeadId};
#[cfg(feature = "phone")]
use crate::values::{CallingCode, Phone};
use crate::wire::{Endpoint, Success};

/// A lead as LeadSquared stores it. `Debug` shows the id only: the rest is personal data.
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

    /// `EmailAddress`, when the lead has one and it is well-formed: as it is stored, because LeadSquared finds the lead
    /// by that text.
    pub fn email(&self) -> Option<EmailAddress> {
        let text = self.field(EMAIL_ADDRESS)?;
        EmailAddress::try_from(text.to_owned()).or_else(|_| text.parse()).ok()
    }

    /// A field by its schema name in any letter case: for names that come from a setting.
    pub fn field_ignoring_case(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A field by its schema name. `None` stands for LeadSquared's null, for an empty text and for an absent field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.field_or_empty(name).filter(|value| !value.is_empty())
    }

    /// A field by its schema name: an empty text for LeadSquared's null. `None` if LeadSquared's answer does not have
    /// the field.
    pub fn field_or_empty(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl TryFrom<BTreeMap<String, Value>> for Lead {
    type Error = &'static str;

    fn try_from(fields: BTreeMap<String, Value>) -> Result<Self, &'static str> {
        // Every value is documented as text or null. A number or a flag is read as text, so that it does not cost the
        // lead.
        let texts = fields.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Null => Some((name, String::new())),
            Value::Number(number) => Some((name, number.to_string())),
            Value::Bool(flag) => Some((name, flag.to_string())),
            _ => None,
        });
        let fields: BTreeMap<String, String> = texts.collect();
        let id = fields.get(PROSPECT_ID).and_then(|id| id.parse().ok()).ok_or("a lead without a ProspectID")?;
        Ok(Self { id, fields })
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What Capture may change on a lead that matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateBehavior {
    /// Every field that is sent.
    #[default]
    UpdateAllFields,
    /// Nothing.
    DoNotUpdate,
    /// Fields that are empty on the lead.
    UpdateOnlyEmptyFields,
    /// Every field that is sent, except unique ones.
    DoNotUpdateUniqueFields,
}

impl UpdateBehavior {
    /// The value of `LeadUpdateBehavior`; LeadSquared's default has none.
    fn parameter(self) -> Option<&'static str> {
        match self {
            UpdateBehavior::UpdateAllFields => None,
            UpdateBehavior::DoNotUpdate => Some("DoNotUpdate"),
            UpdateBehavior::UpdateOnlyEmptyFields => Some("UpdateOnlyEmptyFields"),
            UpdateBehavior::DoNotUpdateUniqueFields => Some("DoNotUpdateUniqueFields"),
        }
    }
}

/// How "Create or update" finds the lead to update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchBy<'a> {
    /// By `EmailAddress`, then by `Phone`.
    #[default]
    EmailThenPhone,
    /// By this unique field.
    Field(&'a str),
}

/// Whether webhooks and automations are notified of an update; LeadSquared calls it `postUpdatedLead`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notify {
    /// The update is silent.
    #[default]
    Nothing,
    /// Webhooks and automations get the lead before and after the update.
    Webhooks,
}

impl Client {
    /// Capture a lead: updates the one that matches by `ProspectID`, `EmailAddress` or `Phone`, in this order, and
    /// creates one otherwise (<https://apidocs.leadsquared.com/capture-lead/>).
    ///
    /// Without any of the three, every call creates another lead. LeadSquared refuses a new e-mail with a known phone
    /// number as a duplicate; the pseudo-attribute `SearchBy` with the value `Phone` makes it an update.
    ///
    /// # Errors
    /// Among others: [`Error::Duplicate`], [`Error::UnknownAttributes`].
    ///
    /// # Examples
    /// ```
    /// use leadsquared::crm::UpdateBehavior;
    /// use leadsquared::{Attributes, schema_name};
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let fields = Attributes::new().with(schema_name::EMAIL_ADDRESS, "asha@example.com").with("mx_City", "Pune");
    /// let lead = client.capture_lead(&fields, UpdateBehavior::UpdateOnlyEmptyFields).await?;
    /// let stored = client.lead_by_id(&lead).await?.expect("it was captured");
    /// assert_eq!(stored.id(), lead);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn capture_lead(&self, fields: &Attributes, behavior: UpdateBehavior) -> Result<LeadId, Error> {
        let mut call = Call::new(Endpoint::CaptureLead).fields(fields).body(fields);
        if let Some(behavior) = behavior.parameter() {
            call = call.query("LeadUpdateBehavior", behavior);
        }
        self.lead_written(call).await
    }

    /// Create or update a lead (<https://apidocs.leadsquared.com/create-or-update/>).
    ///
    /// A match by `Phone` compares the text as it is stored: `+91-9000000001`, as [`Phone`] writes it.
    ///
    /// # Errors
    /// Among others: [`Error::Duplicate`], [`Error::UnknownAttributes`].
    pub async fn create_or_update_lead(
        &self,
        fields: &Attributes,
        search_by: SearchBy<'_>,
        notify: Notify,
    ) -> Result<LeadId, Error> {
        let mut fields = fields.clone();
        if let SearchBy::Field(field) = search_by {
            // At least one account accepts it in the last place only.
            fields.remove(SEARCH_BY);
            fields.set(SEARCH_BY, field);
        }
        let call = Call::new(Endpoint::CreateOrUpdateLead).fields(&fields).body(&fields);
        self.lead_written(call.query("postUpdatedLead", notify == Notify::Webhooks)).await
    }

    /// Update a lead; fields that are not sent stay as they are (<https://apidocs.leadsquared.com/update-a-lead/>).
    ///
    /// With [`Notify::Webhooks`], webhooks and automations would be notified of a repeat as well: such an update is not
    /// repeated when it may have taken effect.
    ///
    /// # Errors
    /// Among others: [`Error::NoSuchLead`], [`Error::Duplicate`], [`Error::UnknownAttributes`].
    pub async fn update_lead(&self, lead: &LeadId, fields: &Attributes, notify: Notify) -> Result<(), Error> {
        let mut call = Call::new(Endpoint::UpdateLead).query("leadId", lead).fields(fields).body(fields);
        if notify == Notify::Webhooks {
            call = call.query("postUpdatedLead", true).harmful();
        }
        self.call::<Success>(call).await.map(drop)
    }

    /// Get a lead by its id. The call has no page of its own; <https://apidocs.leadsquared.com/get-lead-by-phone/>
    /// links it.
    ///
    /// # Errors
    /// As for every call; an unknown id is `None`, whether LeadSquared answers with an empty list or with an error.
    pub async fn lead_by_id(&self, lead: &LeadId) -> Result<Option<Lead>, Error> {
        let leads: Result<Vec<Lead>, Error> = self.call(Call::new(Endpoint::LeadById).query("id", lead)).await;
        match leads {
            Ok(leads) => Ok(leads.into_iter().next()),
            Err(Error::NoSuchLead) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Get leads by e-mail (<https://apidocs.leadsquared.com/get-a-lead-by-email-id/>). There can be several if the
    /// account does not keep addresses unique.
    ///
    /// # Errors
    /// As for every call.
    pub async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error> {
        self.call(Call::new(Endpoint::LeadByEmail).query("emailaddress", email.expose())).await
    }

    /// Get leads by phone, matched by `Phone` and `Mobile` (<https://apidocs.leadsquared.com/get-lead-by-phone/>). If
    /// several match, LeadSquared returns the one with the latest activity. Needs the feature `phone`.
    ///
    /// The page asks for bare digits, and one account was seen to match the stored, dashed form only. This sends the
    /// stored form first, and the digits if no lead was found: it can take two calls.
    ///
    /// # Errors
    /// As for every call.
    #[cfg(feature = "phone")]
    pub async fn leads_by_phone(&self, phone: &Phone) -> Result<Vec<Lead>, Error> {
        let stored: Vec<Lead> = self.call(Call::new(Endpoint::LeadByPhone).query("phone", phone.expose())).await?;
        if !stored.is_empty() {
            return Ok(stored);
        }
        let digits: String = phone.expose().chars().filter(char::is_ascii_digit).collect();
        self.call(Call::new(Endpoint::LeadByPhone).query("phone", digits)).await
    }

    /// The text in which a lead has a number in `Phone` or `Mobile`, such as `9000000001` after an import. A number
    /// without a country is of `default_country`. One call, by [Get leads by phone](Self::leads_by_phone). Needs the
    /// feature `phone`.
    ///
    /// The portal's calls compare a number by its exact text, and this call compares digits. On an account where it
    /// compares texts too, it finds a number that is stored without its country.
    ///
    /// # Errors
    /// As for every call; a number that no lead has is `None`.
    #[cfg(feature = "phone")]
    pub async fn phone_as_stored(
        &self,
        field: &str,
        phone: &Phone,
        default_country: CallingCode,
    ) -> Result<Option<String>, Error> {
        // The page asks for digits, with or without the country.
        let digits = phone.digits(default_country);
        let found: Vec<Lead> = self.call(Call::new(Endpoint::LeadByPhone).query("phone", digits)).await?;
        let mut texts = found.iter().filter_map(|lead| lead.field(field));
        let stored = texts.find(|text| Phone::parse(text, default_country).as_ref() == Ok(phone));
        Ok(stored.map(str::to_owned))
    }

    async fn lead_written(&self, call: Call<'_>) -> Result<LeadId, Error> {
        let success: Success<Written> = self.call(call).await?;
        Ok(success.message.related_id.unwrap_or(success.message.id))
    }
}

/// Public clients use Capture's `RelatedId`, if there is one, as the lead's id.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    id: LeadId,
    #[serde(default)]
    related_id: Option<LeadId>,
}
