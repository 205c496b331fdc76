//! LeadSquared: each call has the first success that its contract documents. Every registration makes a new lead.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use http::StatusCode;
use http::request::Parts;
use http_body_util::Full;
use serde_json::Value;

use crate::artifacts::workspace;
use crate::fakes::calls::Calls;
use crate::fakes::server::Answer;

/// The emulated LeadSquared.
pub(crate) struct Crm {
    /// Name and answer of a call, by method and path.
    answers: HashMap<String, (String, Value)>,
    leads: AtomicU64,
}

impl Crm {
    /// Reads the contract of the LeadSquared client.
    pub(crate) fn documented() -> anyhow::Result<Self> {
        let mut answers = HashMap::new();
        let folder = workspace().join("shared/leadsquared/contract");
        for file in std::fs::read_dir(&folder).with_context(|| format!("no folder {}", folder.display()))? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let exchange: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let route = route(&text(&exchange["request"]["method"]), &text(&exchange["request"]["path"]));
            let successes = exchange["answers"].as_array().into_iter().flatten();
            if let Some(success) = successes.into_iter().find(|answer| answer["outcome"] == "Ok") {
                answers.insert(route, (text(&exchange["endpoint"]), success["body"].clone()));
            }
        }
        Ok(Self { answers, leads: AtomicU64::new(0) })
    }

    /// Answers a request, and counts it.
    pub(crate) fn answer(&self, calls: &Mutex<Calls>, parts: &Parts) -> Answer {
        let known = self.answers.get(&route(parts.method.as_str(), parts.uri.path()));
        let name = known.map_or("unknown", |(name, _)| name);
        calls.lock().unwrap_or_else(PoisonError::into_inner).count_leadsquared(name);
        let (status, body) = match known {
            None => (StatusCode::NOT_FOUND, String::new()),
            Some((name, body)) if name == "Register" => {
                let lead = self.leads.fetch_add(1, Ordering::Relaxed);
                let mut body = body.clone();
                body["LeadId"] = format!("11111111-1111-4111-8111-{lead:012x}").into();
                (StatusCode::OK, body.to_string())
            }
            Some((_, body)) => (StatusCode::OK, body.to_string()),
        };
        let answer = http::Response::builder().status(status).header("content-type", "application/json");
        answer.body(Full::from(body)).expect("the headers are valid")
    }
}

fn route(method: &str, path: &str) -> String {
    format!("{method} {path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_an_invitation_are_documented() {
        let crm = Crm::documented().unwrap();
        for (method, path, name) in [
            ("GET", "/api/Access/PublicToken", "PublicAuthKey"),
            ("GET", "/api/Access/GetRegisterToken", "RegistrationToken"),
            ("POST", "/api/Authentication/v2/Register", "Register"),
            ("POST", "/v2/EmailMarketing.svc/SendEmailToLead", "SendEmailToLead"),
        ] {
            assert_eq!(crm.answers.get(&route(method, path)).map(|(name, _)| &**name), Some(name), "{path}");
        }
    }
}
