#![doc = include_str!("../README.md")]

mod allowed_origins;
mod event;
mod origin;
mod secret;
mod visitor;

use std::future::ready;
use std::pin::Pin;

use http::Response;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Error, IntoResponse, LambdaEvent, Request, Service, service_fn};

pub use allowed_origins::AllowedOrigins;
pub use event::without_address;
pub use origin::{host, network_address, path, query};
pub use secret::{InvalidHashes, SecretHashes};
pub use visitor::{VISITOR_ADDRESS, visitor_address};

/// Passes each request to `respond` until Lambda ends the process, and prints the metrics after each.
///
/// # Errors
/// When the Lambda runtime API no longer answers.
pub async fn serve<F>(respond: impl Fn(Request) -> F) -> anyhow::Result<()>
where
    F: Future<Output = Response<String>> + Send,
{
    let mut requests = Adapter::from(service_fn(|request| {
        let response = respond(request);
        async { Ok::<_, Error>(Text(response.await)) }
    }));
    runtime::serve(|LambdaEvent { payload, context }: LambdaEvent<LambdaRequest>| {
        requests.call(LambdaEvent { payload: without_address(payload), context })
    })
    .await
}

/// An answer with a body in UTF-8.
///
/// `lambda_http` would look up the charset of a plain `Response<String>`, with tables of 0.15 MB.
struct Text(Response<String>);

impl IntoResponse for Text {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let Self(response) = self;
        Box::pin(ready(response.map(|text| if text.is_empty() { Body::Empty } else { Body::Text(text) })))
    }
}
