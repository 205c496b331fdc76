use http::HeaderMap;
use leadsquared::Password;
use onboarding::Private;
use web::{FieldError, Form, FormError, Value};

/// What was sent: JSON or a form.
#[derive(Default)]
pub(crate) struct Body(Form);

impl Body {
    pub(crate) async fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, FormError> {
        Form::read(headers, bytes).await.map(Self)
    }

    /// The text of a field without white space around it, if there is any.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, FieldError> {
        let text = self.one(name)?.map(|text| text.expose().trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// The text of a field that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<String, FieldError> {
        self.text(name)?.ok_or_else(|| fault(name, "is required"))
    }

    /// A password, with the white space that is a part of it.
    pub(crate) fn password(&self, name: &str) -> Result<Password, FieldError> {
        let text = self.one(name)?.map(Private::into_inner).filter(|text| !text.is_empty());
        text.map(Password::from).ok_or_else(|| fault(name, "is required"))
    }

    fn one(&self, name: &str) -> Result<Option<Private<String>>, FieldError> {
        let mut values = self.0.values(name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(Value::Text(text)), None) => Ok(Some(text.clone())),
            (Some(Value::NotText), None) => Err(fault(name, "must be text, not a file or a list")),
            (Some(_), Some(_)) => Err(fault(name, "was sent more than once; send it once")),
        }
    }
}

pub(crate) fn fault(name: &str, detail: &str) -> FieldError {
    FieldError { field: name.to_owned(), detail: detail.to_owned() }
}

/// Both values, or every fault of either.
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
