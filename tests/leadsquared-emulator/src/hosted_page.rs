//! The portal page that LeadSquared hosts: opens a login link, or asks for e-mail and password.
//!
//! How the real page redeems a link is not documented beyond
//! <https://apidocs.leadsquared.com/portal-auto-login/>: it logs the lead in and shows the page.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use leadsquared::schema_name;
use serde::Deserialize;

use crate::admission::Query;
use crate::failure::Failure;
use crate::leads::{self, Lead};
use crate::portal_api::password::{self, Reset};
use crate::store::{self, Holder, Kind};
use crate::world::{Account, World};
use crate::{passwords, portal_users};

const COOKIE_NAME: &str = "portal-session";

#[derive(Template)]
#[template(path = "portal.html")]
struct Page {
    organisation: String,
    portal_id: String,
    portal_name: String,
    signed_in: Option<SignedIn>,
    message: Option<&'static str>,
    email: String,
}

struct SignedIn {
    name: String,
    email: String,
}

#[derive(Deserialize)]
struct SignIn {
    portal_id: String,
    email: String,
    password: String,
}

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/portal", get(open))
        .route("/portal/sign-in", post(sign_in))
        .route("/portal/sign-out", post(sign_out))
        .route("/portal/reset-password", get(ask_new_password).post(set_new_password))
}

async fn open(
    State(world): State<Arc<World>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let query = Query::parse(query.as_deref());
    let account = account_of(&world, query.get("portalid"));
    let Some(key) = query.get("authkey") else {
        let asked = query.get("portalid").map(str::to_ascii_lowercase);
        let session = session(&world, &headers, asked.as_deref())?;
        let portal_id = session.as_ref().and_then(|(_, portal_id)| portal_id.clone()).or(asked);
        return Ok(page(&account, portal_id.as_deref(), session.map(|(lead, _)| lead), None, String::new()));
    };
    match redeem(&world, &account, &query, key)? {
        Some((lead, cookie)) => {
            account.opened(world.now());
            world.changed.send_replace(());
            let page = page(&account, query.get("portalid"), Some(lead), None, String::new());
            Ok(([(SET_COOKIE, cookie)], page).into_response())
        }
        None => {
            let message = "This login link is not valid, or no longer. Sign in below, or ask for a new link.";
            Ok(page(&account, query.get("portalid"), None, Some(message), String::new()))
        }
    }
}

/// The lead that a link signs in, and the session's cookie. All three values of the link must belong together.
fn redeem(world: &World, account: &Account, query: &Query, key: &str) -> Result<Option<(Lead, String)>, Failure> {
    let now = world.now();
    let named = |name| query.get(name).map(str::to_ascii_lowercase);
    let asked = Holder { lead_id: named("leadid"), portal_id: named("portalid") };
    let db = account.store.connection();
    let Some(holder) = store::redeem(&db, Kind::LeadAuthKey, key, now)?.filter(|holder| *holder == asked) else {
        return Ok(None);
    };
    let lead = leads::by_id(&db, holder.lead_id.as_deref().unwrap_or_default())?;
    let Some(lead) = lead else { return Ok(None) };
    Ok(Some((lead, start_session(world, &db, &holder)?)))
}

async fn sign_in(State(world): State<Arc<World>>, Form(form): Form<SignIn>) -> Result<Response, Failure> {
    let account = account_of(&world, Some(&form.portal_id));
    let portal_id = form.portal_id.to_ascii_lowercase();
    let users_of = Some(portal_id.as_str()).filter(|_| world.settings.switches.users_per_portal);
    let lead = leads::with_value(&account.store.connection(), schema_name::EMAIL_ADDRESS, form.email.trim())?;
    let hash = match &lead {
        Some(lead) => portal_users::password_hash(&account.store.connection(), lead, users_of)?,
        None => None,
    };
    let matches = match hash {
        Some(hash) => passwords::matches(hash, form.password).await,
        None => false,
    };
    if !matches {
        let page = page(&account, Some(&form.portal_id), None, Some("E-mail or password is wrong."), form.email);
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    let holder = Holder { lead_id: lead, portal_id: Some(portal_id) };
    let cookie = start_session(&world, &account.store.connection(), &holder)?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/portal")).into_response())
}

#[derive(Template)]
#[template(path = "reset_password.html")]
struct ResetPage {
    lead_id: String,
    temporary_password: String,
    message: Option<String>,
    done: bool,
}

#[derive(Deserialize)]
struct NewPassword {
    lead_id: String,
    temporary_password: String,
    password: String,
}

/// Where reset links lead unless the settings say otherwise.
async fn ask_new_password(RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    let named = |name| query.get(name).unwrap_or_default().to_owned();
    let page = ResetPage {
        lead_id: named("leadid"),
        temporary_password: named("temporarypassword"),
        message: None,
        done: false,
    };
    html(page.render())
}

async fn set_new_password(State(world): State<Arc<World>>, Form(form): Form<NewPassword>) -> Response {
    let (lead_id, temporary_password) = (form.lead_id.clone(), form.temporary_password.clone());
    let mut message = None;
    for account in &world.accounts {
        let asked = Reset {
            password: form.password.clone(),
            lead_id: form.lead_id.clone(),
            temporary_password: form.temporary_password.clone(),
        };
        match password::replace(&world, account, asked).await {
            Ok(()) => {
                message = None;
                break;
            }
            Err(failure) => message = Some(failure.message),
        }
    }
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let done = message.is_none();
    let page = ResetPage { lead_id, temporary_password, message, done };
    (status, html(page.render())).into_response()
}

async fn sign_out(State(world): State<Arc<World>>, headers: HeaderMap) -> Result<Response, Failure> {
    if let Some(value) = cookie(&headers) {
        for account in &world.accounts {
            store::revoke_one(&account.store.connection(), Kind::PageSession, value)?;
        }
    }
    let expired = format!("{COOKIE_NAME}=; Path=/portal; Max-Age=0; HttpOnly; SameSite=Lax");
    Ok(([(SET_COOKIE, expired)], Redirect::to("/portal")).into_response())
}

fn start_session(world: &World, db: &rusqlite::Connection, holder: &Holder) -> Result<String, Failure> {
    let value = world.randomness.hex64();
    let lifetime = world.settings.lifetimes.lead_auth_key;
    store::issue(db, Kind::PageSession, &value, holder, world.now(), Some(lifetime))?;
    Ok(format!("{COOKIE_NAME}={value}; Path=/portal; Max-Age={}; HttpOnly; SameSite=Lax", lifetime.as_secs()))
}

/// Who is signed in at the portal that is asked for, or at any, and at which.
fn session(world: &World, headers: &HeaderMap, asked: Option<&str>) -> Result<Option<(Lead, Option<String>)>, Failure> {
    let Some(value) = cookie(headers) else { return Ok(None) };
    for account in &world.accounts {
        let db = account.store.connection();
        let holder = store::redeem(&db, Kind::PageSession, value, world.now())?;
        if let Some(Holder { lead_id: Some(lead), portal_id }) = holder {
            let elsewhere = asked.is_some() && asked != portal_id.as_deref();
            if elsewhere && world.settings.switches.users_per_portal {
                return Ok(None);
            }
            return Ok(leads::by_id(&db, &lead)?.map(|lead| (lead, portal_id)));
        }
    }
    Ok(None)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs =
        headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok()).flat_map(|header| header.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// The account whose portal that is; the first account for any other.
fn account_of(world: &World, portal_id: Option<&str>) -> Arc<Account> {
    let of_portal = portal_id.and_then(|id| world.accounts.iter().find(|account| account.has_portal(id)));
    of_portal.unwrap_or(&world.accounts[0]).clone()
}

fn page(
    account: &Account,
    portal_id: Option<&str>,
    lead: Option<Lead>,
    message: Option<&'static str>,
    email: String,
) -> Response {
    let portals = &account.tenant.portals;
    let portal = portals
        .iter()
        .find(|portal| portal_id.is_some_and(|id| portal.id.eq_ignore_ascii_case(id)))
        .or(portals.first());
    let page = Page {
        organisation: account.tenant.organisation.clone(),
        portal_id: portal.map(|portal| portal.id.clone()).unwrap_or_default(),
        portal_name: portal.map(|portal| portal.name.clone()).unwrap_or_default(),
        signed_in: lead.map(|lead| SignedIn {
            name: lead.display_name(),
            email: lead.field(schema_name::EMAIL_ADDRESS).unwrap_or_default().to_owned(),
        }),
        message,
        email,
    };
    html(page.render())
}

/// A page that loads nothing, runs nothing, is not kept, and does not tell others the address it was opened with.
pub(crate) fn html(rendered: askama::Result<String>) -> Response {
    let Ok(rendered) = rendered else { return Failure::internal().into_response() };
    let headers = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(rendered)).into_response()
}
