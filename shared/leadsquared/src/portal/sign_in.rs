//! Sign-in to the portal with a password or a one-time code.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::{CodeChallenge, CodeRecipient, EmailAddress, LeadId, OneTimeCode, Password, SessionKey};
use crate::wire::Endpoint;

/// What identifies a portal user. `Debug` hides the value.
#[derive(Clone, PartialEq, Eq)]
pub enum Identifier {
    /// The lead's main e-mail address.
    Email(EmailAddress),
    /// Any unique field, such as `Phone`.
    Field {
        /// Its schema name.
        schema_name: String,
        /// Its value, written as LeadSquared stores it.
        value: String,
    },
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identifier::Email(_) => f.write_str("Identifier(EmailAddress)"),
            Identifier::Field { schema_name, .. } => write!(f, "Identifier({schema_name})"),
        }
    }
}

/// How a request writes an [`Identifier`].
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) enum IdentifierBody<'a> {
    EmailAddress(&'a EmailAddress),
    #[serde(rename_all = "PascalCase")]
    SearchKeyData {
        schema_name: &'a str,
        value: &'a str,
    },
}

impl<'a> IdentifierBody<'a> {
    pub(crate) fn of(identifier: &'a Identifier) -> Self {
        match identifier {
            Identifier::Email(email) => Self::EmailAddress(email),
            Identifier::Field { schema_name, value } => Self::SearchKeyData { schema_name, value },
        }
    }
}

/// A signed-in portal user.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Session {
    /// Their private key, valid for four hours.
    pub auth_key: SessionKey,
    /// Their lead.
    pub lead_id: LeadId,
}

/// A one-time code that LeadSquared sent. Signing in takes both parts unchanged, together with what the person typed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SentCode {
    /// By this LeadSquared recognises the code. How long it is valid is not documented.
    pub code: CodeChallenge,
    /// The number it was sent to, as LeadSquared wrote it.
    pub field_content: CodeRecipient,
}

impl Client {
    /// Sign in with a password (<https://apidocs.leadsquared.com/sign-in/>).
    ///
    /// # Errors
    /// [`Error::BadPortalPassword`] for a wrong password and for a person without a portal account. A 401 whose text is
    /// not in [`Texts`](crate::wire::Texts) may also mean a stale credential of the client: the client then fetches its
    /// credentials again, at most once in 30 seconds, and repeats the sign-in only if they have changed.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::portal::Identifier;
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let who = Identifier::Email("asha@example.com".parse()?);
    /// let session = client.sign_in(&who, &"Example@Pass1".into()).await?;
    /// println!("{} is signed in", session.lead_id);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn sign_in(&self, who: &Identifier, password: &Password) -> Result<Session, Error> {
        self.call(Call::new(Endpoint::SignIn).body(&WithPassword::of(who, password))).await
    }

    /// [`sign_in`](Self::sign_in) by the first version of the call, which needs no registration token.
    ///
    /// # Errors
    /// As there.
    pub async fn sign_in_v1(&self, who: &Identifier, password: &Password) -> Result<Session, Error> {
        self.call(Call::new(Endpoint::SignInV1).body(&WithPassword::of(who, password))).await
    }

    /// Get Sign In OTP: LeadSquared sends a code to the phone number in a unique field
    /// (<https://apidocs.leadsquared.com/get-sign-in-otp/>). A repeat sends another code. The number is written as
    /// LeadSquared stores it.
    ///
    /// # Errors
    /// [`Error::NoSuchLead`] if no lead has the number and LeadSquared's text says so.
    pub async fn send_sign_in_code(&self, field_schema_name: &str, number: &str) -> Result<SentCode, Error> {
        self.call(Call::new(Endpoint::SignInCode).body(&CodeRequest { field_schema_name, field_content: number })).await
    }

    /// [`send_sign_in_code`](Self::send_sign_in_code) by the first version of the call.
    ///
    /// # Errors
    /// As there.
    pub async fn send_sign_in_code_v1(&self, field_schema_name: &str, number: &str) -> Result<SentCode, Error> {
        let body = CodeRequest { field_schema_name, field_content: number };
        self.call(Call::new(Endpoint::SignInCodeV1).body(&body)).await
    }

    /// Sign in with a one-time code (<https://apidocs.leadsquared.com/sign-in-with-otp/>). There is no call that checks
    /// a code without signing in.
    ///
    /// # Errors
    /// [`Error::BadPortalPassword`] for a wrong or expired code.
    pub async fn sign_in_with_code(&self, sent: &SentCode, typed: &OneTimeCode) -> Result<Session, Error> {
        self.call(Call::new(Endpoint::SignInWithCode).body(&WithCode::of(sent, typed))).await
    }

    /// [`sign_in_with_code`](Self::sign_in_with_code) by the first version of the call.
    ///
    /// # Errors
    /// As there.
    pub async fn sign_in_with_code_v1(&self, sent: &SentCode, typed: &OneTimeCode) -> Result<Session, Error> {
        self.call(Call::new(Endpoint::SignInWithCodeV1).body(&WithCode::of(sent, typed))).await
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WithPassword<'a> {
    #[serde(flatten)]
    who: IdentifierBody<'a>,
    password: &'a str,
}

impl<'a> WithPassword<'a> {
    fn of(who: &'a Identifier, password: &'a Password) -> Self {
        Self { who: IdentifierBody::of(who), password: password.expose() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CodeRequest<'a> {
    field_schema_name: &'a str,
    field_content: &'a str,
}

#[derive(Serialize)]
struct WithCode<'a> {
    #[serde(rename = "OTPSigninRequest")]
    is_code: bool,
    #[serde(rename = "OTPSigninData")]
    code: TypedCode<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TypedCode<'a> {
    otp: &'a str,
    field_content: &'a str,
    code: &'a str,
}

impl<'a> WithCode<'a> {
    fn of(sent: &'a SentCode, typed: &'a OneTimeCode) -> Self {
        let code =
            TypedCode { otp: typed.expose(), field_content: sent.field_content.expose(), code: sent.code.expose() };
        Self { is_code: true, code }
    }
}
