//! The Lambda Runtime API that functions run under here, tried with a function whose AWS is a listener that never answers.

pub(crate) use ::runtime_api::{Function, FunctionError, TRACE};

mod tests {
    use std::{os::unix::process::ExitStatusExt, time::Duration};

    use axum::body::Bytes;
    use serde_json::Value;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{application_form::Request, fixtures};

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
        let function = Function::start(fixtures::binary("application-form").await, environment.into()).await;
        (function.unwrap(), silent)
    }

    /// An event whose handling waits for the queue.
    fn waiting() -> Value {
        Request::urlencoded(&[("email", "asha@example.com")]).event()
    }

    /// An event that is answered without the queue.
    fn incomplete() -> Value {
        Request::urlencoded(&[]).event()
    }

    async fn is_closed(connection: TcpStream) -> bool {
        let mut rest = Vec::new();
        let mut connection = connection;
        // Ends when the other side does; a killed process may also reset the connection.
        tokio::time::timeout(FOREVER, connection.read_to_end(&mut rest)).await.is_ok()
    }

    #[tokio::test]
    async fn an_event_that_is_none_is_reported_and_the_process_lives_on() {
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
    async fn two_processes_take_events_side_by_side_and_kill_ends_both() {
        let (mut function, aws) = start().await;
        function.add_process().await.unwrap();
        let killed = async {
            // Both are at work at once when both have called.
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
        // A new process gets new events, not those whose sender has gone away.
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
    async fn a_dropped_function_takes_its_processes_along() {
        let (function, aws) = start().await;
        let event = waiting();
        let call = tokio::select! {
            answer = function.invoke(&event, FOREVER) => panic!("{answer:?}"),
            call = aws.accept() => call.unwrap().0,
        };
        drop(function);
        assert!(is_closed(call).await);
    }
}
