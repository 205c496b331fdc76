//! Reads path, query, host and network address of a request from the parts of the event that API Gateway vouches for.

use std::net::IpAddr;

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

/// The path that API Gateway or the Function URL reports. It may be decoded and may begin with the stage. Empty if the
/// event has none.
pub fn path(request: &Request) -> &str {
    let path = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.path.as_deref(),
        Some(RequestContext::ApiGatewayV1(context)) => context.path.as_deref(),
        _ => None,
    };
    path.unwrap_or_default()
}

/// The first query parameter with this name, decoded.
pub fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.query_string_parameters_ref()?.first(name)
}

/// The domain name of the request, such as `api.example.com`: the API's own or one of its custom domain names.
pub fn host(request: &Request) -> Option<&str> {
    // `without_address` moves the domain name into this field.
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.domain_prefix.as_deref(),
        RequestContext::ApiGatewayV1(context) => context.domain_prefix.as_deref(),
        _ => None,
    }
}

/// The network address of the connection. `X-Forwarded-For` is not read, because a sender can put any address at its
/// front (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
pub fn network_address(request: &Request) -> Option<IpAddr> {
    let address = match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref(),
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.as_deref(),
        _ => None,
    };
    address?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::without_address;

    fn request(event: Value) -> Request {
        without_address(serde_json::from_value(event).unwrap()).into()
    }

    #[test]
    fn path_host_and_network_address_come_from_the_request_context() {
        let headers = json!({"x-forwarded-for": "198.51.100.1", "host": "forged.test"});
        let http_api = json!({
            "version": "2.0", "rawPath": "/a b/<c>", "headers": headers,
            "requestContext": {
                "domainName": "api.example.test", "domainPrefix": "api",
                "http": {"method": "GET", "path": "/", "sourceIp": "2001:db8::1"},
            },
        });
        let rest_api = json!({
            "httpMethod": "GET", "path": "/a", "headers": headers, "multiValueHeaders": {},
            "requestContext": {
                "domainName": "rest.example.test", "httpMethod": "GET", "path": "/prod/a",
                "identity": {"sourceIp": "203.0.113.7"},
            },
        });
        for (event, its_path, its_host, its_address) in [
            (http_api, "/a b/<c>", "api.example.test", "2001:db8::1"),
            (rest_api, "/a", "rest.example.test", "203.0.113.7"),
        ] {
            let request = request(event);
            assert_eq!((path(&request), host(&request)), (its_path, Some(its_host)));
            assert_eq!(network_address(&request), its_address.parse().ok());
        }
    }

    #[test]
    fn a_query_parameter_may_hold_any_characters() {
        let value = "a b<\"\u{e9}&=%";
        let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let event = |version: &str, query: &str| match version {
            "2.0" => json!({
                "version": "2.0", "rawQueryString": query, "headers": {},
                "requestContext": {"http": {"method": "POST", "path": "/"}},
            }),
            _ => json!({
                "httpMethod": "POST", "queryStringParameters": {"other": "<", "eventType": value},
                "requestContext": {"httpMethod": "POST"},
            }),
        };
        for version in ["2.0", "1.0"] {
            let request = request(event(version, &format!("<&eventType={encoded}&eventType=second&%")));
            assert_eq!((query(&request, "eventType"), query(&request, "none")), (Some(value), None), "{version}");
        }
        let endless = "%00".repeat(100_000);
        assert_eq!(query(&request(event("2.0", &format!("eventType=a&b={endless}"))), "eventType"), None);
    }

    #[test]
    fn a_part_that_the_event_lacks_is_none() {
        let request = request(
            json!({"version": "2.0", "requestContext": {"domainPrefix": "a", "http": {"method": "GET", "sourceIp": "?"}}}),
        );
        assert_eq!((path(&request), host(&request), network_address(&request)), ("", None, None));
    }
}
