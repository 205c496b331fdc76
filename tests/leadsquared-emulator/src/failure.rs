//! LeadSquared's refusals: <https://apidocs.leadsquared.com/error-handling/>.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// A refusal: the status it is sent under and the envelope.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) exception_type: String,
    pub(crate) message: String,
    /// Some refusals carry the fourth key `IsMXException`.
    pub(crate) marked: bool,
}

impl Failure {
    /// A refusal by the application, which LeadSquared sends under 500. A retry is refused again.
    pub(crate) fn application(exception_type: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, exception_type, message)
    }

    pub(crate) fn new(status: StatusCode, exception_type: &str, message: impl Into<String>) -> Self {
        Self { status, exception_type: exception_type.to_owned(), message: message.into(), marked: false }
    }

    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::application("MXMandatoryAttributeMissingException", message)
    }

    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::application("MXInvalidInputException", message)
    }

    pub(crate) fn duplicate(message: impl Into<String>) -> Self {
        Self::application("MXDuplicateEntryException", message)
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        self.exception_type == "MXDuplicateEntryException"
    }

    pub(crate) fn unknown_attributes(names: &[&str]) -> Self {
        let message = format!("Attribute(s) does not exist - {}.", names.join(","));
        Self::application("MXUnknownAttributeException", message)
    }

    pub(crate) fn no_such_lead() -> Self {
        Self::application("MXInvalidEntityException", "Lead does not exist in the system")
    }

    /// A body that is not the JSON of the call.
    pub(crate) fn unreadable(line: usize, column: usize) -> Self {
        let message =
            format!("Unexpected character encountered while parsing value. Path '', line {line}, position {column}.");
        Self::new(StatusCode::BAD_REQUEST, "JsonReaderException", message)
    }

    /// A failure of the emulator itself.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "An error occurred in the emulator.")
    }

    /// The same with `IsMXException`.
    pub(crate) fn marked(self) -> Self {
        Self { marked: true, ..self }
    }

    pub(crate) fn envelope(&self) -> Value {
        let mut envelope =
            json!({"Status": "Error", "ExceptionType": self.exception_type, "ExceptionMessage": self.message});
        if self.marked {
            envelope["IsMXException"] = Value::Bool(true);
        }
        envelope
    }
}

/// A failure of the store is a bug or a full disk. The caller cannot act on it and gets no detail.
impl From<rusqlite::Error> for Failure {
    fn from(_: rusqlite::Error) -> Self {
        Self::internal()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        json_response(self.status, self.envelope().to_string())
    }
}

pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
