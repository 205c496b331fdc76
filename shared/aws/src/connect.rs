//! Connections that are opened in a function's start. Lambda gives a starting function a full core, and the first event
//! only the share of its memory, at which a TLS handshake takes seven times as long.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// The longest time that a start waits for its connections. A packet that opens a connection and is lost is sent again
/// after a second (RFC 6298, section 2), and Lambda ends a start after ten.
const LIMIT: Duration = Duration::from_secs(3);

/// Opens connections in a function's start, for at most three seconds. After a failure, the first event opens them.
pub async fn in_start(opening: impl Future) {
    // Either way the start goes on.
    let _ = tokio::time::timeout(LIMIT, opening).await;
}

/// A client that opens the connection of a call and does not send the call, which then fails. The SDK does everything
/// else as for a call, so that the first event does none of it for the first time.
pub fn only_connecting(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(OnlyConnecting(client))
}

#[derive(Debug)]
struct OnlyConnecting(SharedHttpClient);

impl HttpClient for OnlyConnecting {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector(self.0.http_connector(settings, components)))
    }
}

#[derive(Debug)]
struct Connector(SharedHttpConnector);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.0.clone();
        HttpConnectorFuture::new(async move {
            connector.call(of_root(&request).map_err(ConnectorError::user)?).await?;
            Err(ConnectorError::user("only the connection is wanted".into()))
        })
    }
}

/// A request for the root of the same host. It has no signature and asks for nothing.
fn of_root(request: &HttpRequest) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
    let mut parts = request.uri().parse::<http::Uri>()?.into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    Ok(HttpRequest::get(http::Uri::from_parts(parts)?.to_string())?)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    /// Answers every request, and keeps its method, its address and whether it is signed.
    #[derive(Clone, Debug, Default)]
    struct Answering(Arc<Mutex<Vec<(String, String, bool)>>>);

    impl HttpClient for Answering {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl HttpConnector for Answering {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let is_signed = request.headers().contains_key("authorization");
            let seen = (request.method().to_owned(), request.uri().to_owned(), is_signed);
            self.0.lock().unwrap().push(seen);
            let answer = http::Response::new(SdkBody::from("healthy"));
            HttpConnectorFuture::ready(
                HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None)),
            )
        }
    }

    #[tokio::test]
    async fn the_connection_of_a_call_is_opened_and_the_call_not_sent() {
        let answering = Answering::default();
        let client = only_connecting(SharedHttpClient::new(answering.clone()));
        let components = RuntimeComponentsBuilder::for_tests().build().unwrap();
        let connector = client.http_connector(&HttpConnectorSettings::default(), &components);
        let mut call = HttpRequest::new(SdkBody::from("{}"));
        call.set_method("POST").unwrap();
        call.set_uri("https://sqs.eu-west-1.amazonaws.com:8443/queue?action=send").unwrap();
        call.headers_mut().insert("authorization", "AWS4-HMAC-SHA256");
        assert!(connector.call(call).await.is_err());
        let root = "https://sqs.eu-west-1.amazonaws.com:8443/".to_owned();
        assert_eq!(*answering.0.lock().unwrap(), [("GET".to_owned(), root, false)]);
    }
}
