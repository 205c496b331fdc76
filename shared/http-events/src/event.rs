use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use lambda_http::request::LambdaRequest;

/// The event without the parts of the request's address; its path stays where [`path`](crate::path) finds it, its query where
/// [`query`](crate::query) does, and its host where [`host`](crate::host) does.
///
/// `lambda_http` makes a URI of them and panics when they do not fit together: a stray `<` in a query or an odd `Host` is
/// enough, and both come from whoever sends the request. A body that claims to be Base64 and is not becomes plain text,
/// which a form then refuses.
pub fn without_address(event: LambdaRequest) -> LambdaRequest {
    match event {
        LambdaRequest::ApiGatewayV2(mut request) => {
            let context = &mut request.request_context;
            context.http.path = request.raw_path.take().or(context.http.path.take());
            request.raw_query_string = request.raw_query_string.as_deref().map(harmless);
            request.query_string_parameters = Default::default();
            request.request_context.domain_prefix = request.request_context.domain_name.take();
            request.request_context.stage = None;
            forget_host(&mut request.headers);
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
            let Ok(harmless) = harmless(&query).parse();
            request.query_string_parameters = Default::default();
            request.multi_value_query_string_parameters = harmless;
            request.request_context.domain_prefix = request.request_context.domain_name.take();
            request.request_context.stage = None;
            forget_host(&mut request.headers);
            forget_host(&mut request.multi_value_headers);
            request.is_base64_encoded &= is_base64(request.body.as_deref());
            LambdaRequest::ApiGatewayV1(request)
        }
        other => other,
    }
}

/// The query in a spelling that every URI takes; none if it is longer than a URI may be. API Gateway lets no more than 10 KB
/// through (<https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>), which encoding can treble.
fn harmless(query: &str) -> String {
    const LONGEST: usize = 32 * 1024;
    let pairs = form_urlencoded::parse(query.as_bytes());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.len() <= LONGEST { query } else { String::new() }
}

fn forget_host(headers: &mut HeaderMap) {
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
    fn no_address_makes_the_conversion_panic() {
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
    fn a_body_that_is_no_base64_is_taken_as_it_is() {
        for version in ["1.0", "2.0"] {
            assert_eq!(converted(version, "/", "", "h", "https", "=not base64").body().as_ref(), b"=not base64");
        }
    }

    #[test]
    fn an_ordinary_event_keeps_what_counts() {
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
