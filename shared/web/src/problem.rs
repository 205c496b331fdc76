//! An error as the client sees it: a problem document for programs, a page for people.

use askama::Template;
use std::fmt::Display;
use std::time::Duration;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::Preference;
use crate::response::{page, response};

/// Wait that a client is asked for after a failure that is likely to pass by itself.
pub const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What is wrong with a request. A program gets it as a problem document (<https://www.rfc-editor.org/rfc/rfc9457>), a
/// person as a page.
///
/// It names fields and what was expected of them. It never holds a submitted value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip)]
    status: StatusCode,
    #[serde(rename = "status")]
    code: u16,
    title: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    allow: Option<&'static str>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field's name in the form.
    pub field: String,
    /// What was expected, as the rest of a sentence that begins with the field: "must be at most 5 characters".
    pub detail: String,
    /// What the log says in place of the detail.
    #[serde(skip)]
    logged: Option<&'static str>,
}

impl FieldError {
    /// The error of one field.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into(), logged: None }
    }

    /// The same error of a field with another name.
    #[must_use]
    pub fn of_field(self, field: impl Into<String>) -> Self {
        Self { field: field.into(), ..self }
    }

    /// The same error with a text for the log, because the detail repeats a name that was submitted, or is long.
    #[must_use]
    pub fn logged_as(self, logged: &'static str) -> Self {
        Self { logged: Some(logged), ..self }
    }

    /// The field and what was expected of it, for the log: nothing that was submitted.
    pub fn reason(&self) -> String {
        format!("{} {}", self.field, self.logged.unwrap_or(&self.detail))
    }
}

/// The detail of a field that is no e-mail address, with the reason.
pub fn expected_email(reason: impl Display) -> String {
    format!("must be an e-mail address such as name@example.com; {reason}")
}

/// The detail of a field that is no phone number, with the reason.
pub fn expected_phone(reason: impl Display) -> String {
    format!("must be a phone number such as +91-9000000001; {reason}")
}

/// `Retry-After`: whole seconds, at least one, rounded up so that a client that waits as long is not early.
pub fn retry_after(time: Duration) -> HeaderValue {
    let whole = time.as_secs().saturating_add((time.subsec_nanos() > 0).into());
    HeaderValue::from(whole.max(1))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Page<'a> {
    problem: &'a Problem,
}

impl Problem {
    /// A problem with this status. `detail` says what the reader can do about it.
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        let (code, detail) = (status.as_u16(), detail.into());
        Self { kind: None, status, code, title, detail, errors: Vec::new(), retry_after: None, allow: None }
    }

    /// The same problem with a type: a relative reference such as `/problems/wrong-credentials`. Programs can rely on
    /// it, because it stays the same when the texts change (<https://www.rfc-editor.org/rfc/rfc9457#section-3.1.1>).
    #[must_use]
    pub fn of_type(self, kind: &'static str) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// The problem's type, if it has one.
    pub fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    /// 422 Unprocessable Content: the request is a form, and these fields of it are wrong.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "One field needs your attention.".to_owned(),
            n => format!("{n} fields need your attention."),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "The form is not complete", detail).with_errors(errors)
    }

    /// The same problem with a list of wrong fields.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// 503 Service Unavailable: nothing was stored, and the client can repeat the request after `retry_after`.
    pub fn try_again(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment", detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// 429 Too Many Requests: the client reached a limit and can repeat the request after `retry_after`.
    pub fn too_many_requests(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many attempts", detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// 405 Method Not Allowed: this path serves only the methods in `allow`.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("This address takes {allow} requests only.");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed", detail);
        Self { allow: Some(allow), ..problem }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The names of the wrong fields, for the log: those of the settings, and nothing that was submitted.
    pub fn field_names(&self) -> String {
        self.errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>().join(",")
    }

    /// What is wrong, for the log: nothing that was submitted.
    pub fn reasons(&self) -> String {
        match self.errors.is_empty() {
            true => self.detail.clone(),
            false => self.errors.iter().map(FieldError::reason).collect::<Vec<_>>().join(" | "),
        }
    }

    /// What the reader can do about the problem.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The response in the media type that the client prefers.
    pub fn respond(&self, preference: Preference) -> Response<String> {
        let mut response = match preference {
            Preference::Html => page(self.status, &Page { problem: self }),
            Preference::Json => {
                let text = serde_json::to_string(self).expect("a problem is a plain struct, which always serializes");
                response(self.status, "application/problem+json", text)
            }
        };
        let headers = response.headers_mut();
        headers.extend(self.retry_after.map(|time| (RETRY_AFTER, retry_after(time))));
        headers.extend(self.allow.map(|methods| (ALLOW, HeaderValue::from_static(methods))));
        // HTTP requires this header with every 401 (<https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2>). Browsers
        // do not know the scheme `Portal`, so they show no password dialog of their own.
        let is_unauthorized = self.status == StatusCode::UNAUTHORIZED;
        headers.extend(is_unauthorized.then_some((WWW_AUTHENTICATE, HeaderValue::from_static("Portal"))));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_fields() -> Problem {
        let errors = [("email", "is required"), ("<b>", "must be at most 5 characters")];
        Problem::fields(errors.map(|(field, detail)| FieldError::new(field, detail)).into())
    }

    #[test]
    fn a_program_gets_a_problem_document() {
        let response = two_fields().respond(Preference::Json);
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(
            response.body(),
            concat!(
                r#"{"status":422,"title":"The form is not complete","detail":"2 fields need your attention.","#,
                r#""errors":[{"field":"email","detail":"is required"},{"field":"<b>","detail":"must be at most 5 characters"}]}"#
            )
        );
    }

    #[test]
    fn a_log_has_the_reasons_without_what_was_submitted() {
        let hint = FieldError::new("email", "is required; it was sent as Typed").logged_as("is required");
        let problem = Problem::fields(vec![hint, FieldError::new("terms", "must be ticked")]);
        assert_eq!(problem.reasons(), "email is required | terms must be ticked");
        assert_eq!(Problem::method_not_allowed("POST").reasons(), "This address takes POST requests only.");
    }

    #[test]
    fn the_type_is_the_first_member_of_a_problem_document() {
        let problem =
            Problem::new(StatusCode::NOT_FOUND, "Not here", "Look elsewhere.").of_type("/problems/unknown-address");
        assert_eq!(
            problem.respond(Preference::Json).body(),
            r#"{"type":"/problems/unknown-address","status":404,"title":"Not here","detail":"Look elsewhere."}"#
        );
    }

    #[test]
    fn a_person_gets_a_page_with_every_field_escaped() {
        let response = two_fields().respond(Preference::Html);
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert!(response.body().contains("<strong>email</strong> is required"), "{}", response.body());
        assert!(response.body().contains("<strong>&#60;b&#62;</strong>"), "{}", response.body());
    }

    #[test]
    fn retry_after_is_rounded_up_to_a_whole_second() {
        for (milliseconds, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_001, "60"), (900_000, "900")]
        {
            assert_eq!(retry_after(Duration::from_millis(milliseconds)), seconds, "{milliseconds} ms");
        }
    }

    #[test]
    fn headers_say_when_and_how_to_repeat_the_request() {
        let busy = Problem::try_again("Your form was not stored.", Duration::from_secs(5)).respond(Preference::Json);
        assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].to_str().unwrap()), (503, "5"));
        let often = Problem::too_many_requests("Wait a minute.", Duration::from_secs(60)).respond(Preference::Json);
        assert_eq!((often.status().as_u16(), often.headers()["retry-after"].to_str().unwrap()), (429, "60"));
        let unknown = Problem::new(StatusCode::UNAUTHORIZED, "Not signed in", "Sign in.").respond(Preference::Json);
        assert_eq!(
            (unknown.status().as_u16(), unknown.headers()["www-authenticate"].to_str().unwrap()),
            (401, "Portal")
        );
        let wrong = Problem::method_not_allowed("POST").respond(Preference::Json);
        assert_eq!((wrong.status().as_u16(), wrong.headers()["allow"].to_str().unwrap()), (405, "POST"));
    }
}
