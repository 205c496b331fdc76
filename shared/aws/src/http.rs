//! The HTTP client of the AWS SDK: reqwest, as for LeadSquared, so that a function has one HTTP stack.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::ConfigError;

/// Sends the requests of the AWS SDK.
#[derive(Clone, Debug)]
pub(crate) struct Http(reqwest::Client);

impl Http {
    /// A client that trusts the root certificates of Mozilla and those in `extra_roots`, a file in PEM format.
    ///
    /// The root certificates are compiled in: loading the system's takes most of the time of a function's start.
    pub(crate) fn new(connect: Duration, extra_roots: Option<&str>) -> Result<Self, ConfigError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = extra_roots {
            let unreadable = || ConfigError::CaBundle { path: path.to_owned() };
            let before = roots.len();
            for root in CertificateDer::pem_file_iter(path).map_err(|_| unreadable())? {
                roots.add(root.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
            }
            if roots.len() == before {
                return Err(unreadable());
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| ConfigError::NoEncryption)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            // The SDK repeats calls itself.
            .retry(reqwest::retry::never())
            .connect_timeout(connect)
            .build()
            .map_err(|_| ConfigError::NoEncryption)?;
        Ok(Self(client))
    }
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = outgoing(request).map_err(ConnectorError::user)?;
            let mut answer = client.execute(request).await.map_err(unanswered)?;
            let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
            let body = answer.bytes().await.map_err(unanswered)?;
            let mut answer = http::Response::new(SdkBody::from(body));
            (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The request as reqwest sends it. Its body is in memory, because no function streams anything to AWS.
fn outgoing(request: HttpRequest) -> Result<reqwest::Request, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.try_into_http1x()?.into_parts();
    let body = body.bytes().ok_or("the body is a stream")?.to_vec();
    Ok(http::Request::from_parts(parts, body).try_into()?)
}

/// What the SDK decides by: whether it waited too long, or the network failed.
fn unanswered(error: reqwest::Error) -> ConnectorError {
    let (is_timeout, is_builder) = (error.is_timeout(), error.is_builder());
    let error = error.without_url().into();
    match (is_timeout, is_builder) {
        (true, _) => ConnectorError::timeout(error),
        (_, true) => ConnectorError::user(error),
        _ => ConnectorError::io(error),
    }
}
