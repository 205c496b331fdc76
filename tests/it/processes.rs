//! The local Lambda Runtime API under a built function: unreadable events, deadlines, kills and several processes. The
//! function's AWS endpoint is a listener that never answers.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use axum::body::Bytes;
use runtime_api::{Function, FunctionError};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::{functions, http::Request};

/// Longer than any test takes.
const FOREVER: Duration = Duration::from_secs(600);

async fn start() -> (Function, TcpListener) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let queue = format!("{endpoint}/000000000000/invitations.fifo");
    let environment = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("INVITATIONS_QUEUE_URL", &queue),
        ("FORM_FIELDS", r#"[{"name":"email","attribute":"EmailAddress","kind":"email","required":true}]"#),
        ("DEFAULT_COUNTRY_CODE", "91"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let function = functions::start("application-form", environment.into()).await;
    (function.unwrap(), silent)
}

/// An event that the function cannot answer without its queue.
fn waiting() -> Value {
    Request::urlencoded(&[("email", "asha@example.com")]).event()
}

/// An event that the function answers without its queue.
fn incomplete() -> Value {
    Request::urlencoded(&[]).event()
}

async fn is_closed(connection: TcpStream) -> bool {
    let mut rest = Vec::new();
    let mut connection = connection;
    // A process that ends closes its connection; a killed one may also reset it.
    tokio::time::timeout(FOREVER, connection.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn an_unreadable_event_is_reported_and_the_process_takes_the_next_one() {
    let (function, _aws) = start().await;
    for garbage in [&b"\xff\x00"[..], b"", b"{", b"[]"] {
        let answer = function.invoke_bytes(Bytes::from_static(garbage), FOREVER).await;
        assert!(
            matches!(&answer, Err(FunctionError::Reported { error_type, message }) if !error_type.is_empty() && !message.is_empty()),
            "{garbage:?}: {answer:?}"
        );
    }
    assert_eq!(function.invoke(&incomplete(), FOREVER).await.unwrap()["statusCode"], 422);
}

#[tokio::test]
async fn two_processes_work_on_two_events_at_once_and_kill_ends_both() {
    let (mut function, aws) = start().await;
    function.add_process().await.unwrap();
    let killed = async {
        // Both processes have called AWS: both are at work.
        let calls = [aws.accept().await.unwrap(), aws.accept().await.unwrap()];
        function.kill().await;
        drop(calls);
    };
    let event = waiting();
    let (one, other, ()) = tokio::join!(function.invoke(&event, FOREVER), function.invoke(&event, FOREVER), killed);
    for answer in [one, other] {
        assert!(matches!(answer, Err(FunctionError::Exited(status)) if status.signal() == Some(9)), "{answer:?}");
    }
    assert!(matches!(function.invoke(&event, FOREVER).await, Err(FunctionError::NoProcess)));
    // A new process gets new events only: the callers of the old ones no longer wait.
    function.add_process().await.unwrap();
    assert_eq!(function.invoke(&incomplete(), FOREVER).await.unwrap()["statusCode"], 422);
}

#[tokio::test]
async fn a_process_that_misses_its_deadline_is_killed() {
    let (function, aws) = start().await;
    let event = waiting();
    let (answer, call) = tokio::join!(function.invoke(&event, Duration::from_secs(1)), aws.accept());
    assert!(matches!(answer, Err(FunctionError::TimedOut)), "{answer:?}");
    assert!(is_closed(call.unwrap().0).await);
}

#[tokio::test]
async fn dropping_a_function_kills_its_processes() {
    let (function, aws) = start().await;
    let event = waiting();
    let call = tokio::select! {
        answer = function.invoke(&event, FOREVER) => panic!("{answer:?}"),
        call = aws.accept() => call.unwrap().0,
    };
    drop(function);
    assert!(is_closed(call).await);
}
