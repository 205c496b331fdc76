//! Requests as AWS's front doors hand them to a function: an HTTP API (payload 2.0), a REST API or a Function URL.
//!
//! Whoever sends a request chooses its address, and its text must not end the process: the address is left out of what
//! `lambda_http` makes of the event, and [`path`], [`query`], [`host`] and [`network_address`] say what of it counts.

mod event;
mod origin;
mod secret;

use http::Response;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Error, LambdaEvent, Request, Service, lambda_runtime, service_fn};

pub use event::without_address;
pub use origin::{host, network_address, path, query};
pub use secret::{InvalidHashes, SecretHashes};

/// Passes each request to `respond` until Lambda ends the process, and prints the metrics after each.
///
/// # Errors
/// When the Lambda runtime API no longer answers.
pub async fn serve<F>(respond: impl Fn(Request) -> F) -> Result<(), Error>
where
    F: Future<Output = Response<String>> + Send,
{
    let mut requests = Adapter::from(service_fn(|request| {
        let response = respond(request);
        async { Ok::<_, Error>(response.await) }
    }));
    let events = service_fn(|event: LambdaEvent<LambdaRequest>| {
        let context = event.context.clone();
        let response = requests.call(LambdaEvent { payload: without_address(event.payload), context: event.context });
        async move { telemetry::invocation(&context, response).await }
    });
    lambda_runtime::run(events).await
}
