//! An HTTP server that does what API Gateway's HTTP API does between client and function, with events of payload format
//! 2.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_stack::steps::Steps;
use percent_encoding::percent_decode_str;
use runtime_api::Function;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::tally::Tally;

/// The largest request body: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>.
const LARGEST: usize = 10 * 1024 * 1024;

/// A function with its routes and its time-out.
pub(crate) struct Integration {
    pub(crate) function: Arc<Function>,
    /// For example `POST /applications`.
    pub(crate) routes: Vec<String>,
    pub(crate) timeout: Duration,
}

/// Serves the functions' routes. Counts each answer, and prints the failures of a function.
///
/// # Errors
/// When a route is malformed.
pub(crate) fn router(integrations: &[Integration], tally: &Tally, steps: &Steps) -> anyhow::Result<Router> {
    let requests = Arc::new(AtomicU32::new(0));
    let mut router = Router::new();
    for Integration { function, routes, timeout } in integrations {
        for route in routes {
            let (method, path) = route.split_once(' ').with_context(|| format!("the route {route} has no method"))?;
            let method = MethodFilter::try_from(method.parse::<Method>()?)?;
            let endpoint = Endpoint {
                route: route.clone(),
                function: function.clone(),
                timeout: *timeout,
                requests: requests.clone(),
                tally: tally.clone(),
                steps: steps.clone(),
            };
            // axum writes the parameter `{proxy+}` of several segments as `{*proxy}`.
            let path = match path.strip_suffix("+}").and_then(|path| path.rsplit_once('{')) {
                Some((before, name)) => format!("{before}{{*{name}}}"),
                None => path.to_owned(),
            };
            router = router.route(&path, on(method, move |request: Request| endpoint.serve(request)));
        }
    }
    // API Gateway has no 405: it answers an unknown method like an unknown path.
    Ok(router.fallback(not_found).method_not_allowed_fallback(not_found))
}

async fn not_found() -> Response {
    own_answer(StatusCode::NOT_FOUND, "Not Found")
}

/// An answer of API Gateway itself.
fn own_answer(status: StatusCode, message: &str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], json!({ "message": message }).to_string()).into_response()
}

/// One route and its function.
#[derive(Clone)]
struct Endpoint {
    route: String,
    function: Arc<Function>,
    timeout: Duration,
    requests: Arc<AtomicU32>,
    tally: Tally,
    steps: Steps,
}

impl Endpoint {
    async fn serve(self, request: Request) -> Response {
        let response = self.answer(request).await;
        self.tally.count(&self.route, response.status().as_u16());
        response
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, LARGEST).await else {
            return own_answer(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        };
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let event = event(&self.route, &parts, &body, number, OffsetDateTime::now_utc());
        let failure = match self.function.invoke(&event, self.timeout).await {
            Ok(answer) => match response(&answer) {
                Some(response) => return response,
                None => "its answer is not an HTTP response".to_owned(),
            },
            Err(error) => format!("{error:?}"),
        };
        self.steps.say(&format!("{}: {failure}", self.route));
        own_answer(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    }
}

/// The event for the function. Each request comes from a network address of its own: the limits per address would
/// refuse most requests.
fn event(route: &str, parts: &Parts, body: &[u8], number: u32, now: OffsetDateTime) -> Value {
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() | number).to_string();
    // Real events have a decoded path and an encoded query.
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let query = parts.uri.query().unwrap_or_default();

    let (mut headers, mut cookies) = (BTreeMap::new(), Vec::new());
    for (name, value) in &parts.headers {
        match name == COOKIE {
            true => cookies.extend(text(value).split("; ").map(str::to_owned)),
            false => add(&mut headers, name.as_str(), &text(value)),
        }
    }
    add(&mut headers, "x-forwarded-for", &address);
    add(&mut headers, "x-forwarded-port", "443");
    add(&mut headers, "x-forwarded-proto", "https");

    let mut event = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": headers.get("host"),
            "domainPrefix": "a1b2c3d4e5",
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": address,
                "userAgent": headers.get("user-agent"),
            },
            "requestId": format!("request-{number}"),
            "routeKey": route,
            "stage": "$default",
            "time": now.format(format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000")).ok(),
            "timeEpoch": now.unix_timestamp() * 1000,
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if !query.is_empty() {
        let mut parameters = BTreeMap::new();
        form_urlencoded::parse(query.as_bytes()).for_each(|(name, value)| add(&mut parameters, &name, &value));
        event["queryStringParameters"] = json!(parameters);
    }
    if let Some((before, name)) = route.strip_suffix("+}").and_then(|route| route.split_once(' ')?.1.rsplit_once('{')) {
        event["pathParameters"] = json!({ name: path.strip_prefix(before) });
    }
    let kind = headers.get(CONTENT_TYPE.as_str()).map(String::as_str).unwrap_or_default();
    let is_text = ["text/", "application/json", "application/javascript", "application/xml"];
    match std::str::from_utf8(body) {
        Ok("") => {}
        Ok(text) if is_text.iter().any(|start| kind.starts_with(start)) => event["body"] = text.into(),
        _ => {
            event["body"] = BASE64_STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event
}

/// A header's value. Bytes that are not ASCII are read as Latin-1.
fn text(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

/// Adds a value; several values of a name are joined with commas.
fn add(all: &mut BTreeMap<String, String>, name: &str, value: &str) {
    all.entry(name.to_owned())
        .and_modify(|values| {
            values.push(',');
            values.push_str(value);
        })
        .or_insert_with(|| value.to_owned());
}

/// The response to the client; `None` for an answer that is not in format 2.0.
fn response(answer: &Value) -> Option<Response> {
    let status = u16::try_from(answer["statusCode"].as_u64()?).ok()?;
    let body = answer["body"].as_str().unwrap_or_default();
    let body = match answer["isBase64Encoded"] == true {
        true => BASE64_STANDARD.decode(body).ok()?,
        false => body.as_bytes().to_vec(),
    };
    let mut response = Response::builder().status(status);
    let empty = Map::new();
    for (name, value) in answer["headers"].as_object().unwrap_or(&empty) {
        response = response.header(name, value.as_str()?);
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        response = response.header(SET_COOKIE, cookie.as_str()?);
    }
    response.body(Body::from(body)).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn made_of(route: &str, request: axum::http::request::Builder, body: &[u8]) -> Value {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        event(route, &parts, body, 258, OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_request_becomes_an_event_of_format_2() {
        let request = Request::post("/login-links/a%2Fb%20%C3%A9/c?x=1&y=%20&x=2")
            .header("Content-Type", "application/json")
            .header("x-many", "a")
            .header("x-many", HeaderValue::from_bytes(b"\xe9").unwrap())
            .header("cookie", "a=1; b=2")
            .header("host", "h:1");
        let event = made_of("POST /login-links/{proxy+}", request, b"{}");
        assert_eq!(
            (&event["rawPath"], &event["rawQueryString"]),
            (&json!("/login-links/a/b é/c"), &json!("x=1&y=%20&x=2"))
        );
        assert_eq!(event["queryStringParameters"], json!({"x": "1,2", "y": " "}));
        assert_eq!(event["pathParameters"], json!({"proxy": "a/b é/c"}));
        assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
        assert_eq!((&event["headers"]["x-many"], &event["headers"]["cookie"]), (&json!("a,é"), &Value::Null));
        let context = &event["requestContext"];
        assert_eq!((&context["http"]["method"], &context["http"]["sourceIp"]), (&json!("POST"), &json!("10.0.1.2")));
        assert_eq!(context["time"], "01/Jan/1970:00:00:00 +0000");
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{}"), &json!(false)));
    }

    #[test]
    fn a_body_is_text_or_base64_by_its_content_type() {
        for (kind, body, sent) in [
            ("application/json; charset=utf-8", &b"{}"[..], json!(["{}", false])),
            ("text/plain", b"a", json!(["a", false])),
            ("text/plain", b"\xff", json!(["/w==", true])),
            ("application/x-www-form-urlencoded", b"a=b", json!(["YT1i", true])),
            ("application/x-www-form-urlencoded", b"", json!([null, false])),
        ] {
            let event = made_of("POST /a", Request::post("/a").header("content-type", kind), body);
            assert_eq!(json!([event["body"], event["isBase64Encoded"]]), sent, "{kind}");
        }
    }

    #[tokio::test]
    async fn an_answer_becomes_a_response() {
        let answer = json!({
            "statusCode": 202, "headers": {"vary": "accept"}, "multiValueHeaders": {"vary": ["accept"]},
            "cookies": ["a=1", "b=2"], "body": "YQ==", "isBase64Encoded": true,
        });
        let response = response(&answer).unwrap();
        assert_eq!(
            (response.status(), &response.headers()["vary"]),
            (StatusCode::ACCEPTED, &HeaderValue::from_static("accept"))
        );
        assert_eq!(response.headers().get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(to_bytes(response.into_body(), 10).await.unwrap(), "a");
    }

    #[test]
    fn a_malformed_answer_becomes_no_response() {
        for answer in [
            json!({}),
            json!({"statusCode": 99}),
            json!({"statusCode": 200, "headers": {"a": ["b"]}}),
            json!({"statusCode": 200, "headers": {"a": "b\n"}}),
            json!({"statusCode": 200, "body": "?", "isBase64Encoded": true}),
        ] {
            assert!(response(&answer).is_none(), "{answer}");
        }
    }
}
