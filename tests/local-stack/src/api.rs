//! A proxy that serves the HTTP API at a plain loopback address, as a custom domain name does on AWS.

use std::net::TcpListener;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;

use crate::flow::{Event, Flow};
use crate::http::{self, Client};

/// Headers that belong to one connection, and not to the message:
/// <https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1>.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
];

#[derive(Clone)]
struct Api {
    client: Client,
    /// The address of the MiniStack that serves the API, such as `127.0.0.1:4303`.
    upstream: String,
    /// The API's host name on MiniStack.
    host: HeaderValue,
    flow: Flow,
}

/// Serves the API that has this id on the MiniStack at `port`, until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, port: u16, api: String, flow: Flow) -> anyhow::Result<()> {
    let host = HeaderValue::try_from(format!("{api}.execute-api.localhost:{port}"))?;
    let api = Api { client: http::client(), upstream: format!("127.0.0.1:{port}"), host, flow };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, Router::new().fallback(forward).with_state(api)).await?;
    Ok(())
}

/// Forwards the request and returns the answer. Both are streamed.
async fn forward(State(api): State<Api>, mut request: Request) -> Response {
    let is_application = request.method() == Method::POST && request.uri().path() == "/applications";
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let target = Uri::builder().scheme("http").authority(api.upstream.as_str()).path_and_query(path).build();
    let Ok(target) = target else { return StatusCode::BAD_REQUEST.into_response() };
    *request.uri_mut() = target;
    remove_connection_headers(request.headers_mut());
    request.headers_mut().insert(HOST, api.host.clone());

    match api.client.request(request).await {
        Ok(mut response) => {
            let accepted = [StatusCode::ACCEPTED, StatusCode::SEE_OTHER].contains(&response.status());
            if is_application && accepted {
                api.flow.record(Event::Accepted, OffsetDateTime::now_utc());
            }
            remove_connection_headers(response.headers_mut());
            response.map(Body::new)
        }
        Err(_) => {
            let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            (StatusCode::BAD_GATEWAY, plain, "MiniStack, which runs the functions, does not answer.\n").into_response()
        }
    }
}

fn remove_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_THE_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::body::to_bytes;
    use axum::http::header::SET_COOKIE;

    use super::*;
    use crate::ports;
    use crate::steps::Steps;

    /// Starts a proxy in front of `upstream`. Returns its address and the events that it has recorded.
    async fn proxy_of(upstream: Router) -> (String, Flow) {
        let behind = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = behind.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(behind, upstream).await });
        proxy_to(port)
    }

    fn proxy_to(port: u16) -> (String, Flow) {
        let listener = ports::listener(None, "the API", &Steps::hidden()).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let flow = Flow::new();
        tokio::spawn({
            let flow = flow.clone();
            async move { serve(listener, port, "abcd1234".to_owned(), flow).await }
        });
        (address, flow)
    }

    async fn send(request: Request) -> (StatusCode, HeaderMap, String) {
        let response = http::client().request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(Body::new(body), http::LIMIT).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn method_path_query_headers_and_body_go_through_and_the_answer_comes_back() {
        let echo = Router::new().fallback(async |request: Request| {
            let (parts, body) = request.into_parts();
            let host = parts.headers[HOST].to_str().unwrap().split(':').next().unwrap().to_owned();
            let seen = format!(
                "{} {} {host} {:?} {:?} {:?}",
                parts.method,
                parts.uri,
                parts.headers.get("idempotency-key"),
                parts.headers.get("te"),
                to_bytes(body, 100).await.unwrap()
            );
            let mut response = (StatusCode::IM_A_TEAPOT, seen).into_response();
            response.headers_mut().append(SET_COOKIE, HeaderValue::from_static("a=1"));
            response.headers_mut().append(SET_COOKIE, HeaderValue::from_static("b=2"));
            response
        });
        let (address, _) = proxy_of(echo).await;
        let request =
            Request::put(format!("{address}/a%20b/c?d=e&f")).header("idempotency-key", "k").header("te", "trailers");
        let (status, headers, body) = send(request.body(Body::from("text")).unwrap()).await;
        assert_eq!(status, StatusCode::IM_A_TEAPOT);
        assert_eq!(headers.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(body, r#"PUT /a%20b/c?d=e&f abcd1234.execute-api.localhost Some("k") None b"text""#);
    }

    #[tokio::test]
    async fn only_an_accepted_application_is_an_event() {
        let answer = async |request: Request| match request.uri().query() {
            Some("html") => StatusCode::SEE_OTHER,
            Some("json") => StatusCode::ACCEPTED,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let (address, flow) = proxy_of(Router::new().fallback(answer)).await;
        for (method, path) in [
            ("POST", "applications?bad"),
            ("GET", "applications?json"),
            ("POST", "other?json"),
            ("POST", "applications?html"),
            ("POST", "applications?json"),
        ] {
            send(Request::builder().method(method).uri(format!("{address}/{path}")).body(Body::empty()).unwrap()).await;
        }
        let moments = flow.watch().borrow().clone();
        assert_eq!(moments.iter().map(|moment| moment.event).collect::<Vec<_>>(), [Event::Accepted; 2]);
    }

    #[tokio::test]
    async fn without_ministack_the_answer_is_502() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let (address, _) = proxy_to(closed);
        let (status, _, body) = send(Request::get(address).body(Body::empty()).unwrap()).await;
        assert_eq!((status, body.starts_with("MiniStack")), (StatusCode::BAD_GATEWAY, true));
    }
}
