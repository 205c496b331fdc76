#![doc = include_str!("../README.md")]

use std::fmt::Debug;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use settings::{SettingError, Variables};

/// The allocator of every function.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Starts logs and metrics, and reads the function's settings from the environment with `read`.
///
/// # Errors
/// When a setting is missing or invalid; the error names it.
pub fn start<C>(read: impl FnOnce(&Variables<'_>) -> Result<C, SettingError>) -> Result<C, SettingError> {
    telemetry::init(variable);
    read(&Variables::new(&variable))
}

/// A variable of the environment, if it is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Handles events until Lambda ends the process. The metrics of each event are printed when it ends.
///
/// # Errors
/// When the process cannot reach Lambda's runtime API any more.
pub async fn serve<E, A, X, F>(mut handle: impl FnMut(LambdaEvent<E>) -> F) -> anyhow::Result<()>
where
    E: DeserializeOwned,
    A: Serialize,
    X: Into<Diagnostic> + Debug,
    F: Future<Output = Result<A, X>>,
{
    let service = service_fn(|event: LambdaEvent<E>| {
        let context = event.context.clone();
        let handled = handle(event);
        async move { telemetry::invocation(&context, handled).await }
    });
    lambda_runtime::run(service).await.map_err(anyhow::Error::from_boxed)
}

/// Fills `bytes` from the operating system's random generator.
pub fn random_bytes(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("Linux has random bytes once it has started");
}
