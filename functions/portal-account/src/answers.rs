//! Every way a request can end, and what is said about it.

use std::time::Duration;

use http::header::SET_COOKIE;
use http::{Response, StatusCode};
use leadsquared::portal::Session;
use serde::Serialize;
use web::{FieldError, Preference, Problem, json, notice};

use crate::cookie;

/// How long LeadSquared's key is good, in seconds (<https://apidocs.leadsquared.com/sign-in/>).
pub(crate) const SESSION_SECONDS: u32 = 4 * 60 * 60;

/// What was done.
pub(crate) enum Done {
    SignedIn {
        session: Session,
        /// For how many more seconds LeadSquared's key is valid.
        expires_in: u32,
    },
    /// The code is on its way, if the number is somebody's; `challenge` has to come back with it.
    CodeSent {
        challenge: String,
        valid_for: Duration,
    },
    /// What was sent is right, and a code is on its way to the lead's mailbox; `challenge` has to come back with it.
    CodeMailed {
        challenge: String,
        valid_for: Duration,
    },
    /// The mail is on its way, if the person has an account.
    ResetMailed,
    PasswordChanged,
    /// The browser is to forget its cookie; the key is good for as long as it would have been.
    SignedOut,
}

/// Why it was not done: a variant for each decision that whoever asked can take.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request itself is not as it must be.
    Request(Problem),
    TooOften {
        retry_after: Duration,
    },
    /// A wrong password, an unknown person, one without an account or with a locked one.
    WrongCredentials,
    WrongCode,
    /// The identifier is unproven, and this is no way to prove it.
    Unproven,
    NotSignedIn,
    WrongCurrentPassword,
    DeadResetLink,
    /// The portal's policy wants another password in this field.
    PasswordRefused(&'static str),
    /// LeadSquared, its keys or our table: nothing was done.
    Unavailable {
        retry_after: Duration,
    },
    /// Whether the password is the new one now.
    OutcomeUnknown,
}

impl Refusal {
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        Self::Request(Problem::fields(errors).of_type("/problems/incomplete"))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Request(problem) => problem,
            Refusal::TooOften { retry_after } => Self::too_many_requests(
                "There were too many attempts. Wait before you try again.",
                seconds(retry_after),
            )
            .of_type("/problems/too-many-attempts"),
            Refusal::WrongCredentials => Self::new(
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "Nobody can sign in with these. Check what you typed, or ask for a link to set a new password.",
            )
            .of_type("/problems/wrong-credentials"),
            Refusal::WrongCode => Self::new(
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "This code is not right, or no longer. Check what you typed, or ask for a new code.",
            )
            .of_type("/problems/wrong-code"),
            Refusal::Unproven => Self::new(
                StatusCode::FORBIDDEN,
                "Not signed in",
                "What you signed in with has not been confirmed yet. Sign in with a code texted to your phone, or use the link in \
                 our mail; if neither works, ask us.",
            )
            .of_type("/problems/unproven"),
            Refusal::NotSignedIn => Self::new(
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "Sign in first, and send the key you get in the Authorization header. A key lasts four hours.",
            )
            .of_type("/problems/not-signed-in"),
            Refusal::WrongCurrentPassword => Self::new(
                StatusCode::FORBIDDEN,
                "Password not changed",
                "The current password is not right. Your password stays as it is.",
            )
            .of_type("/problems/wrong-current-password"),
            Refusal::DeadResetLink => Self::new(
                StatusCode::FORBIDDEN,
                "Password not changed",
                "The link is not right, or no longer: each works once. Ask for a new one.",
            )
            .of_type("/problems/dead-reset-link"),
            Refusal::PasswordRefused(field) => Self::fields(vec![FieldError {
                field: field.to_owned(),
                detail: "is not accepted by the portal; choose a longer one with letters, digits and signs".to_owned(),
            }])
            .of_type("/problems/password-refused"),
            Refusal::Unavailable { retry_after } => {
                Self::try_again("Nothing was done. Please try again.", seconds(retry_after))
                    .of_type("/problems/unavailable")
            }
            Refusal::OutcomeUnknown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Your password may have changed",
                "Try to sign in with the new password first. If that fails, the old one still holds: start again.",
            )
            .of_type("/problems/outcome-unknown"),
        }
    }
}

/// Whole seconds, at least one.
fn seconds(time: Duration) -> u16 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u16::try_from(whole).unwrap_or(u16::MAX).max(1)
}

#[derive(Serialize)]
struct SignedIn<'a> {
    status: &'static str,
    lead_id: String,
    /// Absent where it is a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_key: Option<&'a str>,
    expires_in: u32,
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
    /// The word for it, in answers and logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SignedIn { .. } => "signed-in",
            Self::CodeMailed { .. } => "code-mailed",
            Self::CodeSent { .. } | Self::ResetMailed => "accepted",
            Self::PasswordChanged => "password-changed",
            Self::SignedOut => "signed-out",
        }
    }

    /// The answer. What a program goes on with is JSON for everybody.
    pub(crate) fn respond(&self, preference: Preference, as_cookie: bool) -> Response<String> {
        let status = self.name();
        match (self, preference) {
            (Self::SignedIn { session, expires_in }, _) => {
                let auth_key = Some(session.auth_key.expose()).filter(|_| !as_cookie);
                let lead_id = session.lead_id.to_string();
                let body = SignedIn { status, lead_id, auth_key, expires_in: *expires_in };
                let mut response = json(StatusCode::OK, &body);
                if as_cookie {
                    response.headers_mut().insert(SET_COOKIE, cookie::set(&session.auth_key, *expires_in));
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
    use super::*;

    fn signed_in() -> Done {
        let lead_id = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let session = Session { auth_key: "c4nary/key=".into(), lead_id };
        Done::SignedIn { session, expires_in: SESSION_SECONDS }
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
    fn every_refusal_has_a_type_and_says_when_to_come_back() {
        let minute = Duration::from_millis(59_001);
        for (refusal, status, kind, retry_after) in [
            (Refusal::fields(Vec::new()), 422, "incomplete", None),
            (Refusal::TooOften { retry_after: minute }, 429, "too-many-attempts", Some("60")),
            (Refusal::WrongCredentials, 401, "wrong-credentials", None),
            (Refusal::WrongCode, 401, "wrong-code", None),
            (Refusal::Unproven, 403, "unproven", None),
            (Refusal::NotSignedIn, 401, "not-signed-in", None),
            (Refusal::WrongCurrentPassword, 403, "wrong-current-password", None),
            (Refusal::DeadResetLink, 403, "dead-reset-link", None),
            (Refusal::PasswordRefused("password"), 422, "password-refused", None),
            (Refusal::Unavailable { retry_after: Duration::ZERO }, 503, "unavailable", Some("1")),
            (Refusal::OutcomeUnknown, 503, "outcome-unknown", None),
        ] {
            let problem = Problem::from(refusal);
            assert_eq!(problem.kind().unwrap(), format!("/problems/{kind}"));
            let response = problem.respond(Preference::Json);
            let told = response.headers().get("retry-after").map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), told), (status, retry_after), "{kind}");
        }
    }
}
