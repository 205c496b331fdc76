//! Forgotten, reset and changed portal passwords.

use serde::{Deserialize, Serialize};

use super::sign_in::{Identifier, IdentifierBody};
use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::{LeadId, Password, SessionKey, TemporaryPassword};
use crate::wire::Endpoint;

/// A new password for a portal user who has the mail of [`Client::forgot_password`]. The link in that mail holds the
/// lead and the temporary password; LeadSquared does not document under which names.
#[derive(Clone, Debug)]
pub struct PasswordReset {
    /// The lead whose password it is.
    pub lead: LeadId,
    /// The proof from the mail.
    pub temporary_password: TemporaryPassword,
    /// The new password.
    pub password: Password,
}

/// Where the mail or text with a temporary password goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetRecipient<'a> {
    /// Where the portal's own settings send it.
    #[default]
    PortalDefault,
    /// To the phone number or e-mail address in this field of the lead, named by its schema name.
    Field(&'a str),
}

impl Client {
    /// Forgot Password: LeadSquared sends a link with a temporary password
    /// (<https://apidocs.leadsquared.com/forgot-password/>). The portal's settings hold the text. A repeat sends
    /// another link.
    ///
    /// # Errors
    /// [`Error::NoSuchLead`] and [`Error::NotAPortalUser`] reveal who has an account. Give people one answer in every
    /// case.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::portal::{Identifier, ResetRecipient};
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let who = Identifier::Email("asha@example.com".parse()?);
    /// client.forgot_password(&who, ResetRecipient::PortalDefault).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn forgot_password(&self, who: &Identifier, recipient: ResetRecipient<'_>) -> Result<(), Error> {
        let sent: Done = self.call(Call::new(Endpoint::ForgotPassword).body(&Forgot::of(who, recipient))).await?;
        sent.into()
    }

    /// [`forgot_password`](Self::forgot_password) by the first version of the call, which needs no registration token.
    ///
    /// # Errors
    /// As there.
    pub async fn forgot_password_v1(&self, who: &Identifier, recipient: ResetRecipient<'_>) -> Result<(), Error> {
        let call = Call::new(Endpoint::ForgotPasswordV1).body(&Forgot::of(who, recipient));
        self.call::<Done>(call).await?.into()
    }

    /// Reset Password (<https://apidocs.leadsquared.com/reset-password/>).
    ///
    /// # Errors
    /// [`Error::BadPortalPassword`] when the temporary password is wrong or has been used, [`Error::Refused`] when the
    /// new one is against the portal's policy.
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

    /// Change Password of a signed-in portal user (<https://apidocs.leadsquared.com/change-password/>).
    ///
    /// # Errors
    /// [`Error::BadPortalPassword`] for a wrong current password, [`Error::SessionEnded`] when they have to sign in
    /// again.
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

/// `{"Status":"Success",…}` or `{"IsSuccessful":true,…}`. Decoding turns the opposite of either into an error. A body
/// with neither confirms nothing.
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
    fn of(who: &'a Identifier, recipient: ResetRecipient<'a>) -> Self {
        let recipient_field = match recipient {
            ResetRecipient::PortalDefault => None,
            ResetRecipient::Field(schema_name) => Some(RecipientField { schema_name }),
        };
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
