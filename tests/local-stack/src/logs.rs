//! Reads the functions' logs from CloudWatch Logs.

use std::collections::BTreeMap;

use anyhow::Context;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::http::{self, Client};

/// The logs of a deployment's functions.
#[derive(Clone, Debug)]
pub struct Logs {
    client: Client,
    endpoint: String,
    /// The functions' names on MiniStack by their names in the template.
    functions: BTreeMap<String, String>,
    /// Their log groups, by the same names.
    groups: BTreeMap<String, String>,
}

impl Logs {
    pub(crate) fn new(endpoint: String, functions: BTreeMap<String, String>, groups: BTreeMap<String, String>) -> Self {
        Self { client: http::client(), endpoint, functions, groups }
    }

    /// The functions' names in the template.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// The name of a function of the template on MiniStack.
    pub(crate) fn deployed_name(&self, function: &str) -> anyhow::Result<&str> {
        let name = self.functions.get(function).with_context(|| format!("the template has no function {function}"))?;
        Ok(name)
    }

    /// The lines that a function has logged so far, the oldest first, including Lambda's own lines.
    ///
    /// # Errors
    /// When the template has no such function, or MiniStack does not answer.
    pub async fn lines(&self, function: &str) -> anyhow::Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            events: Vec<Event>,
            #[serde(rename = "nextToken")]
            next: Option<String>,
        }
        #[derive(Deserialize)]
        struct Event {
            message: String,
        }
        let group = self.groups.get(function).with_context(|| format!("the template has no function {function}"))?;
        let mut question = serde_json::json!({"logGroupName": group});
        let mut lines = Vec::new();
        loop {
            let (status, body) =
                http::aws(&self.client, &self.endpoint, "Logs_20140328.FilterLogEvents", &question).await?;
            // A log group may not exist before its function first runs.
            if status == StatusCode::BAD_REQUEST && body.contains("ResourceNotFoundException") {
                return Ok(lines);
            }
            let page: Page = serde_json::from_str(&body)
                .with_context(|| format!("MiniStack answered {status} when asked for the log of {function}"))?;
            lines.extend(page.events.into_iter().map(|event| event.message));
            match page.next {
                Some(token) => question["nextToken"] = token.into(),
                None => return Ok(lines),
            }
        }
    }

    /// The error texts among a function's [`lines`](Self::lines).
    ///
    /// # Errors
    /// As for [`lines`](Self::lines).
    pub async fn errors(&self, function: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.lines(function).await?.iter().filter_map(|line| error_in(line)).collect())
    }

    /// What a person who tries the functions should see of a function's [`lines`](Self::lines): errors, refused forms,
    /// fields that were not stored, and invitations that were not mailed.
    ///
    /// # Errors
    /// As for [`lines`](Self::lines).
    pub async fn notices(&self, function: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.lines(function).await?.iter().filter_map(|line| notice_in(line)).collect())
    }
}

/// The text for a person in a line of a function's JSON log.
fn notice_in(line: &str) -> Option<String> {
    let json: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| [&json[name], &json["fields"][name]].into_iter().find_map(Value::as_str);
    let message = text("message").unwrap_or_default();
    let details = |names: &[&str]| {
        let details = names.iter().filter_map(|name| text(name)).filter(|text| !text.is_empty());
        details.map(|detail| format!(": {detail}")).collect::<String>()
    };
    match text("outcome") {
        Some(outcome @ ("rejected" | "suppressed" | "exhausted")) => {
            let receipt = text("receipt").unwrap_or("unknown");
            Some(format!("{outcome}{}, receipt {receipt}", details(&["cause"])))
        }
        _ if json["level"] == "ERROR" => Some(error_in(line)? + &details(&["what", "fix"])),
        _ if text("reasons").is_some() => Some(message.to_owned() + &details(&["reasons"])),
        _ if json["level"] == "WARN" && text("fields").is_some() => Some(message.to_owned() + &details(&["fields"])),
        _ => None,
    }
}

/// The error text of a line of a function's JSON log, if the line is an error.
fn error_in(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["level"] != "ERROR" {
        return None;
    }
    let texts = [&line["error"], &line["fields"]["error"], &line["message"], &line["fields"]["message"]];
    texts.into_iter().find_map(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_in_flat_and_nested_log_lines_and_nowhere_else() {
        for (line, error) in [
            (r#"{"level":"ERROR","error":"bad keys","message":"record failed"}"#, Some("bad keys")),
            (r#"{"level":"ERROR","fields":{"message":"record failed","error":"bad keys"}}"#, Some("bad keys")),
            (r#"{"level":"ERROR","fields":{"message":"no reason"}}"#, Some("no reason")),
            (r#"{"level":"ERROR"}"#, None),
            (r#"{"level":"INFO","error":"none"}"#, None),
            ("START RequestId: 1 Version: $LATEST", None),
        ] {
            assert_eq!(error_in(line).as_deref(), error, "{line}");
        }
    }

    #[test]
    fn the_terminal_shows_what_a_person_who_tries_the_functions_must_know() {
        for (line, notice) in [
            (
                r#"{"level":"INFO","message":"form not accepted","status":422,"fields":"email","reasons":"email is required"}"#,
                Some("form not accepted: email is required"),
            ),
            (
                r#"{"level":"WARN","message":"fields were ignored","fields":"phone","receipt":"4b9d"}"#,
                Some("fields were ignored: phone"),
            ),
            (
                r#"{"level":"ERROR","outcome":"rejected","cause":"no-such-lead","receipt":"4b9d","message":"invitation ended"}"#,
                Some("rejected: no-such-lead, receipt 4b9d"),
            ),
            (
                r#"{"level":"ERROR","message":"something has to be fixed","what":"no field X","fix":"create it"}"#,
                Some("something has to be fixed: no field X: create it"),
            ),
            (r#"{"level":"INFO","outcome":"invited","message":"invitation ended"}"#, None),
            (r#"{"level":"INFO","message":"invitation accepted","receipt":"4b9d"}"#, None),
            ("START RequestId: 1 Version: $LATEST", None),
        ] {
            assert_eq!(notice_in(line).as_deref(), notice, "{line}");
        }
    }
}
