//! HTTP requests as AWS's entry points hand them to a function, and the function's answers.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::functions;

/// The `Accept` header of a browser that opens a page.
pub(crate) const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// The content type of a `<form>`.
pub(crate) const URLENCODED: &str = "application/x-www-form-urlencoded";

/// A form key, and its hash as the settings hold it. SHA-256 of `abc`:
/// <https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values>.
pub(crate) const FORM_KEY: &str = "abc";
pub(crate) const FORM_KEY_HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// The AWS service that turned a request into an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EntryPoint {
    HttpApi,
    RestApi,
    FunctionUrl,
}

/// A request; by default a POST to `/applications` through an HTTP API.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    entry_point: EntryPoint,
    method: &'a str,
    path: &'a str,
    /// The address of the client that connected to the entry point.
    address: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the event carries the body in base64. A body that is not UTF-8 is always carried so.
    base64: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            entry_point: EntryPoint::HttpApi,
            method: "POST",
            path: "/applications",
            address: "203.0.113.7",
            headers: vec![("content-type", content_type.into()), ("accept", "application/json".to_owned())],
            body: body.into(),
            base64: true,
        }
    }

    pub(crate) fn urlencoded(fields: &[(&str, &str)]) -> Self {
        Self::new(URLENCODED, form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
    }

    pub(crate) fn json(fields: &[(&str, &str)]) -> Self {
        Self::new("application/json", json!(fields.iter().copied().collect::<BTreeMap<_, _>>()).to_string())
    }

    pub(crate) fn multipart(fields: &[(&str, &str)]) -> Self {
        let part = |(name, value): &(&str, &str)| {
            format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let parts: String = fields.iter().map(part).collect();
        Self::new("multipart/form-data; boundary=frontier", format!("{parts}--frontier--\r\n"))
    }

    pub(crate) fn method(self, method: &'a str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn at(self, path: &'a str) -> Self {
        Self { path, ..self }
    }

    pub(crate) fn through(self, entry_point: EntryPoint) -> Self {
        Self { entry_point, ..self }
    }

    pub(crate) fn from(self, address: &'a str) -> Self {
        Self { address, ..self }
    }

    pub(crate) fn base64(self, base64: bool) -> Self {
        Self { base64, ..self }
    }

    pub(crate) fn without_headers(self) -> Self {
        Self { headers: Vec::new(), ..self }
    }

    pub(crate) fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn accept(self, accept: &str) -> Self {
        self.header("accept", accept)
    }

    /// The event that the entry point makes of this request.
    pub(crate) fn event(&self) -> Value {
        let mut event = functions::sample(
            "application-form",
            match self.entry_point {
                EntryPoint::HttpApi => "http-api-json.json",
                EntryPoint::RestApi => "rest-api-urlencoded.json",
                EntryPoint::FunctionUrl => "function-url-json.json",
            },
        );
        let (body, base64) = match std::str::from_utf8(&self.body) {
            Ok(text) if !self.base64 => (text.to_owned(), false),
            _ => (BASE64_STANDARD.encode(&self.body), true),
        };
        event["body"] = body.into();
        event["isBase64Encoded"] = base64.into();
        event["headers"] = self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        match self.entry_point {
            EntryPoint::HttpApi | EntryPoint::FunctionUrl => {
                event["rawPath"] = self.path.into();
                let http = &mut event["requestContext"]["http"];
                (http["method"], http["path"]) = (self.method.into(), self.path.into());
                http["sourceIp"] = self.address.into();
            }
            EntryPoint::RestApi => {
                event["path"] = self.path.into();
                event["requestContext"]["identity"]["sourceIp"] = self.address.into();
                event["httpMethod"] = self.method.into();
                event["requestContext"]["httpMethod"] = self.method.into();
                event["multiValueHeaders"] =
                    self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
            }
        }
        event
    }
}

/// A function's answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    /// Headers by lower-case name; the first value of each.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(answer: Value) -> Self {
        let status = answer["statusCode"].as_u64().expect("an answer has a status");
        let mut headers = BTreeMap::new();
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            headers.insert(name.to_ascii_lowercase(), value.as_str().unwrap().to_owned());
        }
        for (name, values) in answer["multiValueHeaders"].as_object().into_iter().flatten() {
            headers.insert(name.to_ascii_lowercase(), values[0].as_str().unwrap().to_owned());
        }
        // Payload format 2.0 has a list of its own for cookies.
        for cookie in answer["cookies"].as_array().into_iter().flatten() {
            headers.insert("set-cookie".to_owned(), cookie.as_str().unwrap().to_owned());
        }
        let body = answer["body"].as_str().unwrap_or_default();
        let body = match answer["isBase64Encoded"].as_bool() {
            Some(true) => String::from_utf8(BASE64_STANDARD.decode(body).unwrap()).unwrap(),
            _ => body.to_owned(),
        };
        Self { status, headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// The receipt of an accepted application.
    pub(crate) fn receipt(&self) -> String {
        assert_eq!(self.status, 202, "{}", self.body);
        self.json()["receipt"].as_str().expect("an accepted form has a receipt").to_owned()
    }

    /// The status and the type of a problem document (<https://www.rfc-editor.org/rfc/rfc9457>).
    pub(crate) fn problem(&self) -> (u64, String) {
        (self.status, self.json()["type"].as_str().unwrap_or_default().to_owned())
    }

    /// The names of the fields that a problem document lists errors for.
    pub(crate) fn faulty_fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether the answer has a `Retry-After` of at least a second and at most this many.
    pub(crate) fn retries_within(&self, seconds: u32) -> bool {
        let retry_after = self.headers.get("retry-after").and_then(|value| value.parse::<u32>().ok());
        retry_after.is_some_and(|value| (1..=seconds).contains(&value))
    }
}

/// The event of a POST of this body to portal-account, from this address.
pub(crate) fn portal_account_event(path: &str, body: String, address: &str, headers: &[(&str, &str)]) -> Value {
    let mut event = functions::sample("portal-account", "sign-in.json");
    event["rawPath"] = path.into();
    event["requestContext"]["http"]["path"] = path.into();
    event["requestContext"]["http"]["sourceIp"] = address.into();
    for (name, value) in headers {
        event["headers"][*name] = (*value).into();
    }
    event["body"] = body.into();
    event
}
