//! Every outcome of a request, and its answer.

use std::time::Duration;

use http::header::SET_COOKIE;
use http::{Response, StatusCode};
use leadsquared::portal::Session;
use serde::Serialize;
use web::{FieldError, Preference, Problem, json, notice};

use crate::cookie;

/// A successful outcome.
pub(crate) enum Done {
    SignedIn {
        session: Session,
        /// For how much longer LeadSquared's key is valid.
        valid_for: Duration,
    },
    /// A code is texted if the number belongs to a portal user. The browser sends `challenge` with it.
    CodeSent {
        challenge: String,
        valid_for: Duration,
    },
    /// The sign-in is right so far, and a code is mailed to the lead. The browser sends `challenge` with it.
    CodeMailed {
        challenge: String,
        valid_for: Duration,
    },
    /// A link is mailed if the person has an account.
    ResetMailed,
    PasswordChanged,
    /// The browser removes its cookie; the key itself stays valid until it expires.
    SignedOut,
}

/// Why a request was refused: a variant for each way in which the sender can react.
#[derive(Debug)]
pub(crate) enum RequestRefusal {
    /// The request is incomplete or invalid.
    Request(Problem),
    TooOften {
        retry_after: Duration,
    },
    /// A wrong password, or a person who is unknown, has no account or a locked one.
    WrongCredentials,
    WrongCode,
    /// The identifier is unproven, and this way to sign in cannot prove it.
    Unproven,
    NotSignedIn,
    WrongCurrentPassword,
    DeadResetLink,
    /// The portal's policy refuses the password in this field.
    PasswordRefused(&'static str),
    /// LeadSquared, its keys or the table is unavailable: nothing was done.
    Unavailable {
        retry_after: Duration,
    },
    /// It is unknown whether the password was changed.
    OutcomeUnknown,
}

impl RequestRefusal {
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        Self::Request(Problem::fields(errors).of_type("/problems/incomplete"))
    }
}

impl From<RequestRefusal> for Problem {
    fn from(refusal: RequestRefusal) -> Self {
        match refusal {
            RequestRefusal::Request(problem) => problem,
            RequestRefusal::TooOften { retry_after } => {
                Self::too_many_requests("There were too many attempts. Wait before you try again.", retry_after)
                    .of_type("/problems/too-many-attempts")
            }
            RequestRefusal::WrongCredentials => Self::new(
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "These do not match an account. Check what you typed, or ask for a link to set a new password.",
            )
            .of_type("/problems/wrong-credentials"),
            RequestRefusal::WrongCode => Self::new(
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "This code is wrong or no longer valid. Check what you typed, or ask for a new code.",
            )
            .of_type("/problems/wrong-code"),
            RequestRefusal::Unproven => Self::new(
                StatusCode::FORBIDDEN,
                "Not signed in",
                "What you signed in with has not been confirmed yet. Sign in with a code texted to your phone, or use the link in \
                 our mail; if neither works, ask us.",
            )
            .of_type("/problems/unproven"),
            RequestRefusal::NotSignedIn => Self::new(
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "Sign in first, and send the key you get in the Authorization header. A key lasts four hours.",
            )
            .of_type("/problems/not-signed-in"),
            RequestRefusal::WrongCurrentPassword => Self::new(
                StatusCode::FORBIDDEN,
                "Password not changed",
                "The current password is not right. Your password stays as it is.",
            )
            .of_type("/problems/wrong-current-password"),
            RequestRefusal::DeadResetLink => Self::new(
                StatusCode::FORBIDDEN,
                "Password not changed",
                "The link is wrong or no longer valid: each works once. Ask for a new one.",
            )
            .of_type("/problems/dead-reset-link"),
            RequestRefusal::PasswordRefused(field) => Self::fields(vec![FieldError::new(
                field,
                "is not accepted by the portal; choose a longer one with letters, digits and signs",
            )])
            .of_type("/problems/password-refused"),
            RequestRefusal::Unavailable { retry_after } => {
                Self::try_again("Nothing was done. Please try again.", retry_after).of_type("/problems/unavailable")
            }
            RequestRefusal::OutcomeUnknown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Your password may have changed",
                "Try to sign in with the new password first. If that fails, the old one is still valid: start again.",
            )
            .of_type("/problems/outcome-unknown"),
        }
    }
}

#[derive(Serialize)]
struct SignedIn<'a> {
    status: &'static str,
    lead_id: String,
    /// Absent if the key is given as a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_key: Option<&'a str>,
    expires_in: u64,
}

#[derive(Serialize)]
struct CodeSent<'a> {
    status: &'static str,
    challenge: &'a str,
    expires_in: u64,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

impl Done {
    /// The name of the outcome, in answers and logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SignedIn { .. } => "signed-in",
            Self::CodeMailed { .. } => "code-mailed",
            Self::CodeSent { .. } | Self::ResetMailed => "accepted",
            Self::PasswordChanged => "password-changed",
            Self::SignedOut => "signed-out",
        }
    }

    /// The answer. An answer that a program needs to continue is always JSON.
    pub(crate) fn respond(&self, preference: Preference, as_cookie: bool) -> Response<String> {
        let status = self.name();
        match (self, preference) {
            (Self::SignedIn { session, valid_for }, _) => {
                let auth_key = Some(session.auth_key.expose()).filter(|_| !as_cookie);
                let lead_id = session.lead_id.to_string();
                let body = SignedIn { status, lead_id, auth_key, expires_in: valid_for.as_secs() };
                let mut response = json(StatusCode::OK, &body);
                if as_cookie {
                    response.headers_mut().insert(SET_COOKIE, cookie::set(&session.auth_key, *valid_for));
                }
                response
            }
            (Self::CodeSent { challenge, valid_for } | Self::CodeMailed { challenge, valid_for }, _) => {
                json(StatusCode::ACCEPTED, &CodeSent { status, challenge, expires_in: valid_for.as_secs() })
            }
            (Self::ResetMailed, Preference::Html) => {
                let text = "If you have an account, a link to set a new password is on its way to you.";
                notice(StatusCode::ACCEPTED, "Look into your mailbox", &[text])
            }
            (Self::ResetMailed, Preference::Json) => json(StatusCode::ACCEPTED, &Status { status }),
            (Self::PasswordChanged, Preference::Html) => {
                notice(StatusCode::OK, "Your password is changed", &["Sign in with the new one from now on."])
            }
            (Self::PasswordChanged, Preference::Json) => json(StatusCode::OK, &Status { status }),
            (Self::SignedOut, preference) => {
                let mut response = match preference {
                    Preference::Html => notice(StatusCode::OK, "You are signed out", &["You can close this page."]),
                    Preference::Json => json(StatusCode::OK, &Status { status }),
                };
                response.headers_mut().insert(SET_COOKIE, cookie::forget());
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use leadsquared::portal::KEY_LIFETIME;

    use super::*;

    fn signed_in() -> Done {
        let lead_id = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let session = Session { auth_key: "c4nary/key=".into(), lead_id };
        Done::SignedIn { session, valid_for: KEY_LIFETIME }
    }

    #[test]
    fn a_key_is_in_the_answer_or_in_the_cookie_and_never_in_both() {
        let plain = signed_in().respond(Preference::Html, false);
        assert_eq!(
            plain.body(),
            r#"{"status":"signed-in","lead_id":"11111111-1111-4111-8111-111111111111","auth_key":"c4nary/key=","expires_in":14400}"#
        );
        assert!(!plain.headers().contains_key(SET_COOKIE));
        let cookie = signed_in().respond(Preference::Json, true);
        assert_eq!(
            cookie.body(),
            r#"{"status":"signed-in","lead_id":"11111111-1111-4111-8111-111111111111","expires_in":14400}"#
        );
        assert!(cookie.headers()[SET_COOKIE].is_sensitive());
        assert!(cookie.headers()[SET_COOKIE].to_str().unwrap().contains("=c4nary%2Fkey%3D;"));
    }

    #[test]
    fn every_refusal_has_a_type_and_a_retry_after_if_it_passes() {
        let minute = Duration::from_millis(59_001);
        for (refusal, status, kind, retry_after) in [
            (RequestRefusal::fields(Vec::new()), 422, "incomplete", None),
            (RequestRefusal::TooOften { retry_after: minute }, 429, "too-many-attempts", Some("60")),
            (RequestRefusal::WrongCredentials, 401, "wrong-credentials", None),
            (RequestRefusal::WrongCode, 401, "wrong-code", None),
            (RequestRefusal::Unproven, 403, "unproven", None),
            (RequestRefusal::NotSignedIn, 401, "not-signed-in", None),
            (RequestRefusal::WrongCurrentPassword, 403, "wrong-current-password", None),
            (RequestRefusal::DeadResetLink, 403, "dead-reset-link", None),
            (RequestRefusal::PasswordRefused("password"), 422, "password-refused", None),
            (RequestRefusal::Unavailable { retry_after: Duration::ZERO }, 503, "unavailable", Some("1")),
            (RequestRefusal::OutcomeUnknown, 503, "outcome-unknown", None),
        ] {
            let problem = Problem::from(refusal);
            assert_eq!(problem.kind().unwrap(), format!("/problems/{kind}"));
            let response = problem.respond(Preference::Json);
            let seen = response.headers().get("retry-after").map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), seen), (status, retry_after), "{kind}");
        }
    }
}
