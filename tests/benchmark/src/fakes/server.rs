//! An HTTP/1.1 server on loopback, plain or over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::fakes::authority::Authority;

pub(crate) type Answer = Response<Full<Bytes>>;
pub(crate) type Handler = Arc<dyn Fn(&Parts, &[u8]) -> Answer + Send + Sync>;

/// How late an answer is if it is late.
const LATE: Duration = Duration::from_millis(100);

/// A server with an address of its own, as each service of AWS has. It stops when dropped.
pub(crate) struct Server {
    /// Its address, without a slash at the end.
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    late: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Server {
    /// Starts on a free port; with an authority, over TLS.
    pub(crate) async fn start(authority: Option<&Authority>, handler: Handler) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scheme = if authority.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let tls = authority.map(|authority| TlsAcceptor::from(Arc::clone(&authority.server)));
        let (connections, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let handler = Service { handler, late: Arc::clone(&late) };
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, handler, Arc::clone(&connections)));
        Ok(Self { url, connections, late, _accepting: accepting })
    }

    /// Makes this number of answers late.
    pub(crate) fn delay(&self, answers: usize) {
        self.late.store(answers, Ordering::Relaxed);
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// What the connections of a server share.
#[derive(Clone)]
struct Service {
    handler: Handler,
    /// The number of answers that will be late.
    late: Arc<AtomicUsize>,
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, service: Service, connections: Arc<AtomicUsize>) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        connections.fetch_add(1, Ordering::Relaxed);
        open.spawn(greet(stream, tls.clone(), service.clone()));
    }
}

/// A client that breaks the connection off needs no answer: the function reports the failure itself.
async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>, service: Service) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, service).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, service).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, service: Service) {
    let Service { handler, late } = &service;
    let service = service_fn(move |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        // A body that breaks off is seen as an empty one, which no operation accepts.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        if late.try_update(Ordering::Relaxed, Ordering::Relaxed, |late| late.checked_sub(1)).is_ok() {
            tokio::time::sleep(LATE).await;
        }
        Ok::<_, Infallible>(handler(&parts, &body))
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
