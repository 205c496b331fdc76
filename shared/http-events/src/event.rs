//! Takes the sender's address parts out of an event, so that its conversion into a request cannot panic.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use lambda_http::request::LambdaRequest;

/// The event without the parts that `lambda_http` builds the request's URI from.
///
/// `lambda_http` panics when these parts make no valid URI. The sender chooses them: a stray `<` in the query or an odd
/// `Host` is enough. They move to fields in which [`path`](crate::path), [`query`](crate::query) and
/// [`host`](crate::host) find them.
///
/// A body that is marked as Base64 but cannot be decoded becomes plain text. Reading it as a form then fails.
pub fn without_address(event: LambdaRequest) -> LambdaRequest {
    match event {
        LambdaRequest::ApiGatewayV2(mut request) => {
            let context = &mut request.request_context;
            context.http.path = request.raw_path.take().or(context.http.path.take());
            request.raw_query_string = request.raw_query_string.as_deref().map(encoded_for_uri);
            request.query_string_parameters = Default::default();
            request.request_context.domain_prefix = request.request_context.domain_name.take();
            request.request_context.stage = None;
            remove_host(&mut request.headers);
            request.is_base64_encoded &= is_base64(request.body.as_deref());
            LambdaRequest::ApiGatewayV2(request)
        }
        LambdaRequest::ApiGatewayV1(mut request) => {
            let context = &mut request.request_context;
            context.path = request.path.take().or(context.path.take());
            let query = match request.multi_value_query_string_parameters.is_empty() {
                true => request.query_string_parameters.to_query_string(),
                false => request.multi_value_query_string_parameters.to_query_string(),
            };
            let Ok(parameters) = encoded_for_uri(&query).parse();
            request.query_string_parameters = Default::default();
            request.multi_value_query_string_parameters = parameters;
            request.request_context.domain_prefix = request.request_context.domain_name.take();
            request.request_context.stage = None;
            remove_host(&mut request.headers);
            remove_host(&mut request.multi_value_headers);
            request.is_base64_encoded &= is_base64(request.body.as_deref());
            LambdaRequest::ApiGatewayV1(request)
        }
        other => other,
    }
}

/// The query in an encoding that is valid in every URI. Empty if it becomes longer than `LONGEST`: API Gateway accepts
/// at most 10 KB (<https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>), and encoding can triple
/// that.
fn encoded_for_uri(query: &str) -> String {
    const LONGEST: usize = 32 * 1024;
    let pairs = form_urlencoded::parse(query.as_bytes());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.len() <= LONGEST { query } else { String::new() }
}

fn remove_host(headers: &mut HeaderMap) {
    for name in ["host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"] {
        headers.remove(name);
    }
}

fn is_base64(body: Option<&str>) -> bool {
    body.is_none_or(|body| BASE64_STANDARD.decode(body).is_ok())
}

#[cfg(test)]
mod tests {
    use lambda_http::request::from_str;

    use super::*;

    fn converted(version: &str, path: &str, query: &str, host: &str, scheme: &str, body: &str) -> lambda_http::Request {
        let context = r#"{"stage":"a b","domainName":"<>","http":{"method":"POST","path":"/"}}"#;
        let event = match version {
            "2.0" => serde_json::json!({
                "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": {"host": host, "x-forwarded-proto": scheme},
                "requestContext": serde_json::from_str::<serde_json::Value>(context).unwrap(), "body": body, "isBase64Encoded": true,
            }),
            _ => serde_json::json!({
                "httpMethod": "POST", "path": path, "queryStringParameters": {query: query},
                "headers": {"Host": host, "X-Forwarded-Proto": scheme}, "multiValueHeaders": {"Host": [host]},
                "requestContext": {"stage": "a b", "domainName": "<>", "httpMethod": "POST"}, "body": body, "isBase64Encoded": true,
            }),
        };
        without_address(serde_json::from_value(event).unwrap()).into()
    }

    #[test]
    fn an_event_with_any_address_is_converted_without_a_panic() {
        let odd = ["", "<script>", "a b\"", "%", "https,http", "[::1", "//", "x\u{e9}"];
        for version in ["1.0", "2.0"] {
            for text in odd {
                let request = converted(version, text, text, text, text, "YQ==");
                assert_eq!(
                    (request.method().as_str(), request.body().as_ref()),
                    ("POST", &b"a"[..]),
                    "{version} {text}"
                );
            }
        }
    }

    #[test]
    fn a_body_with_a_false_base64_mark_becomes_plain_text() {
        for version in ["1.0", "2.0"] {
            assert_eq!(converted(version, "/", "", "h", "https", "=not base64").body().as_ref(), b"=not base64");
        }
    }

    #[test]
    fn an_ordinary_event_keeps_its_body_and_its_headers() {
        let event = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../events/application-form/http-api-json.json"
        ));
        let event = event.unwrap();
        let plain: lambda_http::Request = without_address(serde_json::from_str(&event).unwrap()).into();
        let whole = from_str(&event).unwrap();
        assert_eq!(plain.body().as_ref(), whole.body().as_ref());
        assert_eq!(plain.headers()["content-type"], whole.headers()["content-type"]);
    }
}
