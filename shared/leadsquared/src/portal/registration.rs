//! Registration: makes a lead a portal user.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::schema_name::{PORTAL_CONFIRM_PASSWORD, PORTAL_PASSWORD};
use crate::values::{Attributes, LeadId, Password};
use crate::wire::Endpoint;

/// A person to register with the portal (<https://apidocs.leadsquared.com/register/>).
#[derive(Clone, Debug)]
pub struct Registration {
    /// `true`: LeadSquared refuses with [`Error::LeadExists`] if a lead matches. `false`: it updates the matching lead
    /// and makes it a portal user. LeadSquared does not document whether that replaces the password of a portal user:
    /// assume that it does.
    pub register_only_new_lead: bool,
    /// The password for the portal.
    pub password: Password,
    /// The lead's fields, with at least one unique identifier. LeadSquared matches leads by the first of them.
    pub fields: Attributes,
}

impl Client {
    /// Register (v2). After an error of the kind [`Unknown`](crate::ErrorKind::Unknown), look for the lead before you
    /// repeat it.
    ///
    /// # Errors
    /// Among others: [`Error::LeadExists`], [`Error::Duplicate`], [`Error::UnknownAttributes`].
    ///
    /// # Examples
    /// ```
    /// use leadsquared::portal::Registration;
    /// use leadsquared::{Attributes, Error, schema_name};
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let fields = Attributes::new()
    ///     .with(schema_name::EMAIL_ADDRESS, "asha@example.com")
    ///     .with(schema_name::FIRST_NAME, "Asha");
    /// let registration = Registration { register_only_new_lead: true, password: "Example@Pass1".into(), fields };
    /// match client.register(&registration).await {
    ///     Ok(lead) => println!("{lead} is a portal user"),
    ///     Err(Error::LeadExists) => println!("the lead exists; nothing was changed"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # });
    /// ```
    pub async fn register(&self, registration: &Registration) -> Result<LeadId, Error> {
        let registered: Registered = self.call(registering(Endpoint::Register, registration)).await?;
        Ok(registered.lead_id)
    }

    /// Register, first version: an e-mail address is mandatory, and no registration token is needed.
    ///
    /// # Errors
    /// As for [`register`](Self::register).
    pub async fn register_v1(&self, registration: &Registration) -> Result<LeadId, Error> {
        let registered: Registered = self.call(registering(Endpoint::RegisterV1, registration)).await?;
        Ok(registered.lead_id)
    }

    /// Get Public Auth Key (<https://apidocs.leadsquared.com/get-public-auth-key/>). It does not expire.
    ///
    /// The calls that need it fetch and keep it themselves.
    ///
    /// # Errors
    /// [`Error::BadKeys`] or [`Error::NotPermitted`] when the keys are not an administrator's.
    pub async fn public_auth_key(&self) -> Result<SecretString, Error> {
        let key: PublicAuthKey = self.call(Call::new(Endpoint::PublicAuthKey)).await?;
        Ok(key.public_auth_key.into())
    }

    /// Get Portal Registration Token (<https://apidocs.leadsquared.com/get-portal-registration-token/>). It does not
    /// expire.
    ///
    /// The calls that need it fetch and keep it themselves.
    ///
    /// # Errors
    /// As for [`public_auth_key`](Self::public_auth_key).
    pub async fn registration_token(&self) -> Result<SecretString, Error> {
        self.call::<String>(Call::new(Endpoint::RegistrationToken)).await.map(SecretString::from)
    }
}

fn registering(endpoint: Endpoint, registration: &Registration) -> Call<'static> {
    Call::new(endpoint).fields(&registration.fields).body(&Body::of(registration))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    register_only_new_lead: bool,
    lead_fields: Attributes,
}

impl Body {
    fn of(registration: &Registration) -> Self {
        let password = registration.password.expose();
        // Set last, so that no field of the caller replaces the password.
        let lead_fields = registration.fields.clone();
        let lead_fields = lead_fields.with(PORTAL_PASSWORD, password).with(PORTAL_CONFIRM_PASSWORD, password);
        Self { register_only_new_lead: registration.register_only_new_lead, lead_fields }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    lead_id: LeadId,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicAuthKey {
    public_auth_key: String,
}
