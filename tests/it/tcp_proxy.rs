//! A TCP proxy that a test can switch off: an outage of the network between a function and a server.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A loopback address that forwards to another one while it is on. Switching it off breaks its connections.
pub(crate) struct TcpProxy {
    address: SocketAddr,
    is_on: watch::Sender<bool>,
    /// Ends with the proxy.
    _connections: JoinSet<()>,
}

impl TcpProxy {
    /// A proxy to `target`, such as `http://127.0.0.1:4566`, switched on.
    pub(crate) async fn to(target: &str) -> Self {
        let target = target.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_on = watch::Sender::new(true);
        let switch = is_on.subscribe();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(forward(stream, target.clone(), switch.clone()));
            }
        });
        Self { address, is_on, _connections: connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn switch(&self, is_on: bool) {
        self.is_on.send_replace(is_on);
    }
}

/// Copies bytes both ways until either side closes the connection or the proxy is switched off.
async fn forward(mut from: TcpStream, target: String, mut is_on: watch::Receiver<bool>) {
    if !*is_on.borrow_and_update() {
        return;
    }
    let Ok(mut to) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = is_on.wait_for(|is_on| !is_on) => {}
    }
}
