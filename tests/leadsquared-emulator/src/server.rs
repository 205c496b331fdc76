//! The HTTP server: listening, answering calls, and carrying out faults.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admission::{self, Admitted, Query, Request};
use crate::call::{Call, NoRoute};
use crate::core_api::{authentication, email_marketing, lead_management, prospect_activity, webhook};
use crate::failure::{Failure, json_response};
use crate::faults::Effect;
use crate::limit::LimitRefusal;
use crate::portal_api::{access, auto_login, one_time_code, password, register, sign_in};
use crate::world::World;

/// Longest request body. LeadSquared's own limit is not documented.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// The region of a listener's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    Right,
    Wrong,
}

/// The host that a listener stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) region: Region,
    /// Whether it serves the core API.
    pub(crate) core: bool,
    /// Whether it serves the portal API.
    pub(crate) portal: bool,
}

impl Host {
    /// The host of the account's region.
    pub(crate) fn first(world: &World) -> Self {
        Self { region: Region::Right, core: true, portal: world.settings.portal_port.is_none() }
    }

    fn has(self, call: Call) -> bool {
        if call.is_of_portal() { self.portal } else { self.core }
    }
}

/// Adds LeadSquared's calls to a router, for requests that `own` does not handle.
pub(crate) fn calls(own: Router<Arc<World>>, host: Host, world: Arc<World>) -> Router {
    own.fallback(move |State(world): State<Arc<World>>, request: http::Request<Body>| async move {
        // In a task of its own: the work continues when the caller disconnects, as on a real server.
        let answer = tokio::spawn(answer_request(world, host, request));
        answer.await.unwrap_or_else(|_| Failure::internal().into_response())
    })
    .with_state(world)
}

/// Answers one call without a connection.
pub(crate) async fn answer(world: Arc<World>, host: Host, request: http::Request<Body>) -> http::Response<Vec<u8>> {
    let (parts, body) = answer_request(world, host, request).await.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    http::Response::from_parts(parts, body.into())
}

async fn answer_request(world: Arc<World>, host: Host, request: http::Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let route = world.routes.find(&parts.method, parts.uri.path());
    let route = route.and_then(|call| if host.has(call) { Ok(call) } else { Err(NoRoute::UnknownPath) });
    let number = world.log.arrival(
        &world,
        route.as_ref().ok().copied(),
        host.region == Region::Wrong,
        world.settings.limit.window,
    );
    let body = read_body(body).await;
    let response = match (route, body) {
        (Ok(call), Ok(body)) => answer_call(&world, host.region, call, parts, body).await,
        (Err(NoRoute::UnknownPath), _) => {
            Failure::new(StatusCode::NOT_FOUND, "EndpointNotFound", "Endpoint not found.").into_response()
        }
        (Err(NoRoute::WrongMethod), _) => {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "Method not allowed.").into_response()
        }
        (Ok(_), Err(failure)) => failure.into_response(),
    };
    if response.extensions().get::<Cut>().is_none() {
        world.log.answer(number, response.status().as_u16());
    }
    response
}

async fn read_body(body: Body) -> Result<Bytes, Failure> {
    let limited = Limited::new(body, MAX_BODY);
    limited.collect().await.map(Collected::to_bytes).map_err(|_| {
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "The request body is longer than 8 MiB.")
    })
}

async fn answer_call(world: &Arc<World>, region: Region, call: Call, parts: Parts, body: Bytes) -> Response {
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let query: String = query.map(|(name, value)| format!("{name}={value}\n")).collect();
    let trouble = world.faults.strike(call, &(query + &String::from_utf8_lossy(&body)));
    let request = Request { query: Query::parse(parts.uri.query()), headers: parts.headers, body };
    pause(trouble.latency_before).await;
    if let Some(effect) = &trouble.before {
        return apply(world, effect, StatusCode::OK.into_response()).await;
    }
    let right_host = region == Region::Right || call == Call::AuthenticateUser;
    let done = if right_host { serve(world, call, request).await } else { Err(admission::wrong_host(world, call)) };
    let response = match done {
        Ok(value) => json_response(StatusCode::OK, value.to_string()),
        Err(failure) => failure.into_response(),
    };
    pause(trouble.latency_after).await;
    match &trouble.after {
        Some(effect) => apply(world, effect, response).await,
        None => response,
    }
}

async fn serve(world: &Arc<World>, call: Call, request: Request) -> Result<Value, Failure> {
    let admitted = admission::admit(world, call, request)?;
    let answer = work(call, &admitted).await;
    world.report_change();
    answer
}

async fn work(call: Call, admitted: &Admitted) -> Result<Value, Failure> {
    match call {
        Call::PublicAuthKey => access::public_auth_key(admitted),
        Call::RegistrationToken => access::registration_token(admitted),
        Call::RegisterV1 => register::register_v1(admitted).await,
        Call::Register => register::register(admitted).await,
        Call::SignInV1 | Call::SignIn => sign_in::sign_in(admitted).await,
        Call::SignInCodeV1 | Call::SignInCode => one_time_code::send(admitted),
        Call::ForgotPasswordV1 | Call::ForgotPassword => password::forgot(admitted),
        Call::ResetPasswordV1 | Call::ResetPassword => password::reset(admitted).await,
        Call::ChangePasswordV1 | Call::ChangePassword => password::change(admitted).await,
        Call::TenantAuthKey => auto_login::tenant_auth_key(admitted),
        Call::LeadAuthKey => auto_login::lead_auth_key(admitted),
        Call::AuthenticateUser => Ok(authentication::authenticate_user(admitted)),
        Call::CaptureLead => lead_management::capture(admitted),
        Call::CreateLead => lead_management::create(admitted),
        Call::UpdateLead => lead_management::update(admitted),
        Call::CreateOrUpdateLead => lead_management::create_or_update(admitted),
        Call::LeadById => lead_management::by_id(admitted),
        Call::LeadByEmail => lead_management::by_email(admitted),
        Call::LeadByPhone => lead_management::by_phone(admitted),
        Call::LeadFields => Ok(lead_management::fields(admitted)),
        Call::PostActivity => prospect_activity::create(admitted),
        Call::PostLeadAndActivity => prospect_activity::create_custom(admitted),
        Call::Activities => prospect_activity::retrieve(admitted),
        Call::ActivityDetails => prospect_activity::details(admitted),
        Call::ActivityTypes => prospect_activity::types(admitted),
        Call::CreateActivityType => prospect_activity::create_type(admitted),
        Call::SendEmailToLead => email_marketing::send_email_to_lead(admitted),
        Call::CreateWebhook => webhook::create(admitted).await,
        Call::Webhooks => webhook::retrieve(admitted),
        Call::UpdateWebhook => webhook::update(admitted).await,
        Call::DeleteWebhook => webhook::delete(admitted),
    }
}

async fn pause(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

/// Marks a response that must not be sent: the connection is closed instead.
#[derive(Clone, Copy)]
struct Cut;

async fn apply(world: &World, effect: &Effect, response: Response) -> Response {
    match effect {
        Effect::Latency(_) => response,
        Effect::Answer { status, content_type, body } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let content_type = HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("text/plain"));
            (status, [(CONTENT_TYPE, content_type)], body.clone()).into_response()
        }
        Effect::LimitReached(refusal) => limit_reached(world, *refusal).into_response(),
        Effect::Cut => {
            let mut response = response;
            response.extensions_mut().insert(Cut);
            response
        }
        Effect::Truncate => slowly(response, Duration::ZERO, |length| length / 2).await,
        Effect::Drip { every } => slowly(response, *every, |length| length).await,
    }
}

fn limit_reached(world: &World, refusal: LimitRefusal) -> Failure {
    Failure { status: refusal.status(), ..admission::limit_reached(world) }
}

/// Sends a body byte by byte, and closes the connection after `sent` bytes when the body is longer.
async fn slowly(response: Response, every: Duration, sent: fn(usize) -> usize) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let end = sent(whole.len());
    let broken = (end < whole.len()).then(|| Err(io::Error::from(io::ErrorKind::ConnectionReset)));
    let drops = (0..end).map(move |at| Ok(whole.slice(at..at + 1))).chain(broken);
    let dripping = futures::stream::iter(drops).then(move |drop| async move {
        pause(every).await;
        // Lets the connection send this byte before the next one or the break.
        tokio::task::yield_now().await;
        drop
    });
    Response::from_parts(parts, Body::from_stream(dripping))
}

/// Accepts connections until `stop` changes.
pub(crate) async fn listen(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, router.clone(), stop.clone())); }
                // Usually out of file descriptors: other connections must close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn converse(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Without this, a small answer waits for the peer's acknowledgement.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request| {
        let answer = router.call(request);
        async move {
            let response: Result<Response, Infallible> = answer.await;
            let Ok(response) = response;
            if response.extensions().get::<Cut>().is_some() {
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            } else {
                Ok(response)
            }
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // An error here means that the peer disconnected, or that a fault cut the connection.
        _ = connection.as_mut() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
