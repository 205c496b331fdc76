//! Tests of the connections: they are opened before the slot, used again, and replaced when they are old.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadsquared::{Admission, BoxFuture, Client, EmailAddress, Options, PlannedCall, Throttled, TurnedAway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{PORTAL, client_with};

/// A call that is turned away in [`Slots`].
fn turned_away() -> TurnedAway {
    TurnedAway { retry_after: Some(Duration::from_secs(5)), source: None }
}

/// Gives slots, and accepts the connection of a call before its slot. A call that connects only after its slot thus
/// never gets one.
struct Slots {
    host: TcpListener,
    /// Whether the next call has to open a connection.
    expects_connection: AtomicBool,
    is_closed: AtomicBool,
    /// The answer's header `Connection`.
    answer: &'static str,
    asked: Mutex<u32>,
}

impl Slots {
    async fn new(answer: &'static str) -> Arc<Self> {
        Arc::new(Self {
            host: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            expects_connection: AtomicBool::new(true),
            is_closed: AtomicBool::new(false),
            answer,
            asked: Mutex::default(),
        })
    }

    fn options(self: &Arc<Self>) -> Options {
        let host: url::Url = format!("http://{}", self.host.local_addr().unwrap()).parse().unwrap();
        let mut options = Options::new(host.clone(), host, PORTAL.parse().unwrap());
        options.admission = self.clone();
        options.repeats = 0;
        options
    }

    /// Makes a call that must, or must not, open a connection.
    async fn call(&self, client: &Client, opens: bool) -> Result<(), leadsquared::Error> {
        self.expects_connection.store(opens, Ordering::SeqCst);
        let email: EmailAddress = "asha@example.test".parse().unwrap();
        client.leads_by_email(&email).await.map(drop)
    }
}

impl Admission for Slots {
    fn admit(&self, _: PlannedCall) -> BoxFuture<'_, Result<(), TurnedAway>> {
        Box::pin(async {
            *self.asked.lock().unwrap() += 1;
            if self.expects_connection.load(Ordering::SeqCst) {
                let (connection, _) = self.host.accept().await.unwrap();
                let error = connection.try_read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "sent before the slot");
                tokio::spawn(serve(connection, self.answer));
            }
            if self.is_closed.load(Ordering::SeqCst) { Err(turned_away()) } else { Ok(()) }
        })
    }

    fn throttled(&self, _: Throttled) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Answers every request of a connection with an empty list.
async fn serve(mut connection: TcpStream, answer: &'static str) {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = connection.read(&mut part).await {
        request.extend_from_slice(&part[..length]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        let text = format!("HTTP/1.1 200 OK\r\nConnection: {answer}\r\nContent-Length: 2\r\n\r\n[]");
        connection.write_all(text.as_bytes()).await.unwrap();
        if answer == "close" {
            return;
        }
    }
}

#[tokio::test]
async fn a_call_connects_before_its_slot_and_the_next_one_uses_the_connection() {
    let slots = Slots::new("keep-alive").await;
    let client = client_with(slots.options());
    slots.call(&client, true).await.unwrap();
    slots.call(&client, false).await.unwrap();
    slots.call(&client.with_keys(crate::keys()), false).await.unwrap();
    assert_eq!(*slots.asked.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_connection_that_leadsquared_closes_is_replaced_before_the_next_slot() {
    let slots = Slots::new("close").await;
    let client = client_with(slots.options());
    for _ in 0..3 {
        slots.call(&client, true).await.unwrap();
    }
}

#[tokio::test]
async fn the_connection_of_a_call_without_a_slot_serves_the_next_call() {
    let slots = Slots::new("keep-alive").await;
    let client = client_with(slots.options());
    slots.is_closed.store(true, Ordering::SeqCst);
    for opens in [true, false, false] {
        assert_eq!(slots.call(&client, opens).await.unwrap_err().name(), "TurnedAway");
    }
    slots.is_closed.store(false, Ordering::SeqCst);
    slots.call(&client, false).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_was_unused_for_a_quarter_of_a_minute_is_replaced() {
    let slots = Slots::new("keep-alive").await;
    let (began, passed) = (Instant::now(), Arc::new(Mutex::new(Duration::ZERO)));
    let mut options = slots.options();
    options.clock = Arc::new({
        let passed = passed.clone();
        move || began + *passed.lock().unwrap()
    });
    let client = client_with(options);
    slots.is_closed.store(true, Ordering::SeqCst);
    for (seconds, opens) in [(0, true), (14, false), (15, true), (29, false), (40, true)] {
        *passed.lock().unwrap() = Duration::from_secs(seconds);
        assert_eq!(slots.call(&client, opens).await.unwrap_err().name(), "TurnedAway", "after {seconds} s");
    }
    slots.is_closed.store(false, Ordering::SeqCst);
    slots.call(&client, false).await.unwrap();
}

#[tokio::test]
async fn an_unreachable_host_costs_no_slot() {
    // Bound but not listening: the port is ours, and connections to it are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let slots = Slots::new("keep-alive").await;
    let mut options = slots.options();
    options.api = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    let error = slots.call(&client_with(options), true).await.unwrap_err();
    assert_eq!(error.name(), "Unreachable");
    assert_eq!(*slots.asked.lock().unwrap(), 0);
}
