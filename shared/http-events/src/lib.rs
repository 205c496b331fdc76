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

/// Answers requests until Lambda ends the process; what they measure is printed after each.
///
/// # Errors
/// When the process cannot talk to Lambda any more.
pub async fn serve<F>(answer: impl Fn(Request) -> F) -> Result<(), Error>
where
    F: Future<Output = Response<String>> + Send,
{
    let mut requests = Adapter::from(service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Error>(answer.await) }
    }));
    let events = service_fn(|event: LambdaEvent<LambdaRequest>| {
        let context = event.context.clone();
        let answer = requests.call(LambdaEvent { payload: without_address(event.payload), context: event.context });
        async move { telemetry::invocation(&context, answer).await }
    });
    lambda_runtime::run(events).await
}
