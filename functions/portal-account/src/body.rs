//! The body of a request: its fields, each with text in it or missing.

use http::HeaderMap;
use leadsquared::{OneTimeCode, Password, text};
use web::{FieldError, Form, FormError};

use crate::codes;

/// A body in JSON or as a form.
#[derive(Default)]
pub(crate) struct Body(Form);

impl Body {
    pub(crate) async fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, FormError> {
        Form::read(headers, bytes).await.map(Self)
    }

    /// The text of a field without white space and invisible characters around it; none if it is empty.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, FieldError> {
        let text = self.0.text(name)?.map(|text| text::trim(text.expose()).to_owned());
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// The text of a required field.
    pub(crate) fn required(&self, name: &str) -> Result<String, FieldError> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A required password. White space around it is a part of it.
    pub(crate) fn password(&self, name: &str) -> Result<Password, FieldError> {
        let text = self.0.text(name)?.map(|text| passwords::normalised(text.expose())).filter(|text| !text.is_empty());
        text.map(Password::from).ok_or_else(|| missing(name))
    }

    /// A required one-time code.
    pub(crate) fn code(&self, name: &str) -> Result<OneTimeCode, FieldError> {
        let code = codes::typed(&self.required(name)?);
        code.ok_or_else(|| FieldError::new(name, "must be the code from the text message or the mail, such as 123456"))
    }
}

fn missing(name: &str) -> FieldError {
    FieldError::new(name, "is required")
}

/// Both values, or the errors of both.
pub(crate) fn both<A, B>(one: Result<A, FieldError>, other: Result<B, FieldError>) -> Result<(A, B), Vec<FieldError>> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => Err(one.err().into_iter().chain(other.err()).collect()),
    }
}

#[cfg(test)]
impl Body {
    pub(crate) fn of_json(json: &str) -> Self {
        let headers = [(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"))];
        futures::executor::block_on(Self::read(&headers.into_iter().collect(), json.as_bytes())).unwrap()
    }
}
