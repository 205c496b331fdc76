//! Forgotten, reset and changed portal passwords.

use serde::{Deserialize, Serialize};

use super::sign_in::{Identifier, IdentifierBody};
use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::{LeadId, Password, SessionKey, TemporaryPassword};
use crate::wire::Endpoint;

/// A new password for somebody who has the mail that [`Client::forgot_password`] made LeadSquared send. Lead and temporary
/// password are in the address of the link in it; under which names is not documented.
#[derive(Clone, Debug)]
pub struct PasswordReset {
    /// Whose.
    pub lead: LeadId,
    /// The proof.
    pub temporary_password: TemporaryPassword,
    /// The new one.
    pub password: Password,
}

impl Client {
    /// Forgot Password: LeadSquared sends a link with a temporary password, in words set in the portal
    /// (<https://apidocs.leadsquared.com/forgot-password/>). A repeat sends another.
    ///
    /// `recipient_field` is the schema name of another phone or e-mail field of the lead to send it to.
    ///
    /// # Errors
    /// [`Error::NoSuchLead`] and the like tell who has an account: answer people the same in every case.
    pub async fn forgot_password(&self, who: &Identifier, recipient_field: Option<&str>) -> Result<(), Error> {
        let sent: Done = self.call(Call::new(Endpoint::ForgotPassword).body(&Forgot::of(who, recipient_field))).await?;
        sent.into()
    }

    /// [`forgot_password`](Self::forgot_password) by the first version of the call, which needs no registration token.
    ///
    /// # Errors
    /// As there.
    pub async fn forgot_password_v1(&self, who: &Identifier, recipient_field: Option<&str>) -> Result<(), Error> {
        let call = Call::new(Endpoint::ForgotPasswordV1).body(&Forgot::of(who, recipient_field));
        self.call::<Done>(call).await?.into()
    }

    /// Reset Password (<https://apidocs.leadsquared.com/reset-password/>).
    ///
    /// # Errors
    /// [`Error::BadPortalPassword`] when the temporary password is wrong or has been used, [`Error::Refused`] when the new
    /// one is against the portal's policy.
    pub async fn reset_password(&self, reset: &PasswordReset) -> Result<(), Error> {
        self.call::<Done>(Call::new(Endpoint::ResetPassword).body(&Reset::of(reset))).await?.into()
    }

    /// [`reset_password`](Self::reset_password) by the first version of the call.
    ///
    /// # Errors
    /// As there.
    pub async fn reset_password_v1(&self, reset: &PasswordReset) -> Result<(), Error> {
        self.call::<Done>(Call::new(Endpoint::ResetPasswordV1).body(&Reset::of(reset))).await?.into()
    }

    /// Change Password of somebody who is signed in (<https://apidocs.leadsquared.com/change-password/>).
    ///
    /// # Errors
    /// [`Error::BadPortalPassword`] for a wrong current password, [`Error::SessionEnded`] when they have to sign in again.
    pub async fn change_password(&self, session: &SessionKey, current: &Password, new: &Password) -> Result<(), Error> {
        let call = Call::new(Endpoint::ChangePassword).session(session).body(&Change::of(current, new));
        self.call::<Done>(call).await?.into()
    }

    /// [`change_password`](Self::change_password) by the first version of the call.
    ///
    /// # Errors
    /// As there.
    pub async fn change_password_v1(
        &self,
        session: &SessionKey,
        current: &Password,
        new: &Password,
    ) -> Result<(), Error> {
        let call = Call::new(Endpoint::ChangePasswordV1).session(session).body(&Change::of(current, new));
        self.call::<Done>(call).await?.into()
    }
}

/// `{"Status":"Success",…}` or `{"IsSuccessful":true,…}`; the opposite of either never gets past decoding, and a body with
/// neither is no confirmation of anything.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    is_successful: bool,
}

impl From<Done> for Result<(), Error> {
    fn from(done: Done) -> Self {
        match done {
            Done { is_successful: true, .. } | Done { status: Some(_), .. } => Ok(()),
            Done { is_successful: false, status: None } => Err(Error::Undocumented { status: 200, line: 0, column: 0 }),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Forgot<'a> {
    #[serde(flatten)]
    who: IdentifierBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_field: Option<RecipientField<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecipientField<'a> {
    schema_name: &'a str,
}

impl<'a> Forgot<'a> {
    fn of(who: &'a Identifier, recipient_field: Option<&'a str>) -> Self {
        let recipient_field = recipient_field.map(|schema_name| RecipientField { schema_name });
        Self { who: IdentifierBody::of(who), recipient_field }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reset<'a> {
    password: &'a str,
    lead_id: LeadId,
    temporary_password: &'a str,
}

impl<'a> Reset<'a> {
    fn of(reset: &'a PasswordReset) -> Self {
        let temporary_password = reset.temporary_password.expose();
        Self { password: reset.password.expose(), lead_id: reset.lead, temporary_password }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change<'a> {
    current_password: &'a str,
    new_password: &'a str,
}

impl<'a> Change<'a> {
    fn of(current: &'a Password, new: &'a Password) -> Self {
        Self { current_password: current.expose(), new_password: new.expose() }
    }
}
