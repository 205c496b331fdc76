//! Admission of a call: its keys, headers and tokens, and the account's call limit.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use http::{HeaderMap, StatusCode};
use rusqlite::Connection;
use time::OffsetDateTime;

use crate::call::{Access, Call};
use crate::failure::Failure;
use crate::leads::Writer;
use crate::store::{self, Holder, Kind};
use crate::tenant::{Role, User};
use crate::world::{Account, World};

/// A received request.
pub(crate) struct Request {
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Query parameters. Names are case-insensitive; the first value of a name counts.
#[derive(Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut parameters = HashMap::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            parameters.entry(name.to_ascii_lowercase()).or_insert_with(|| value.into_owned());
        }
        Self(parameters)
    }

    /// The parameter with this lower-case name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// An admitted call.
pub(crate) struct Admitted {
    pub(crate) world: Arc<World>,
    pub(crate) account: Arc<Account>,
    /// The user whose keys the call carries; the account's first administrator for a call without keys.
    pub(crate) user: User,
    /// The portal of the call, in lower case: `x-lsq-portalid`, or the portal of the session, or the account's first.
    /// `None` for calls with keys only.
    pub(crate) portal_id: Option<String>,
    /// The lead whose private key the call carries.
    pub(crate) signed_in: Option<String>,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    pub(crate) now: OffsetDateTime,
}

impl Admitted {
    /// Writes leads in the caller's name.
    pub(crate) fn writer<'a>(&'a self, db: &'a Connection, raises: bool) -> Writer<'a> {
        Writer { world: &self.world, account: &self.account, db, user: &self.user, now: self.now, raises }
    }

    /// The portal whose users the call can find; `None` when portal users belong to the whole account.
    pub(crate) fn users_of(&self) -> Option<&str> {
        self.portal_id.as_deref().filter(|_| self.world.settings.switches.users_per_portal)
    }
}

/// Admits a call, or returns LeadSquared's refusal.
pub(crate) fn admit(world: &Arc<World>, call: Call, request: Request) -> Result<Admitted, Failure> {
    let now = world.now();
    let mut session = Holder::default();
    let (account, user) = match call.access() {
        Access::KeysAnywhere | Access::Keys => by_keys(world, &request, true)?,
        Access::AdministratorKeys => administrator(world, &request)?,
        Access::PublicKey | Access::ThreeHeaders => {
            let (account, user, _) = by_authorization(world, &request, Kind::PublicKey, now)?;
            (account, user)
        }
        Access::PrivateKey | Access::ThreeHeadersPrivate => {
            let (account, user, holder) = by_authorization(world, &request, Kind::PrivateKey, now)?;
            session = holder;
            (account, user)
        }
        Access::ThreeHeadersAndKeys => {
            let (account, user) = administrator(world, &request)?;
            if authorization(&account, &request, Kind::PublicKey, now)?.is_none() {
                return Err(stale(world));
            }
            (account, user)
        }
    };
    let portal_id = match call.access() {
        Access::ThreeHeaders | Access::ThreeHeadersPrivate | Access::ThreeHeadersAndKeys => {
            Some(portal(world, &account, &request, now)?)
        }
        Access::PublicKey | Access::PrivateKey => {
            let portal = session.portal_id.clone().or_else(|| account.first_portal());
            Some(portal.ok_or_else(|| unauthorized(world, &world.settings.texts.unknown_portal))?)
        }
        Access::KeysAnywhere | Access::Keys | Access::AdministratorKeys => None,
    };
    let elsewhere = session.portal_id.is_some() && session.portal_id != portal_id;
    if elsewhere && world.settings.switches.users_per_portal {
        return Err(stale(world));
    }
    if !account.admit(world) {
        return Err(limit_reached(world));
    }
    let (world, signed_in) = (world.clone(), session.lead_id);
    Ok(Admitted { world, account, user, portal_id, signed_in, query: request.query, body: request.body, now })
}

/// The refusal of a call over the limit. Its status is set where it is sent: LeadSquared uses three.
pub(crate) fn limit_reached(world: &World) -> Failure {
    let limit = &world.settings.limit;
    let message = format!("API calls exceeded the limit of {} in {} second(s)", limit.calls, limit.window.as_secs());
    Failure::new(limit.refusal.status(), "MXAPIRateLimitExceededException", message)
}

/// The refusal of a call to another region's host, which names the right host of the same API.
pub(crate) fn wrong_host(world: &World, call: Call) -> Failure {
    let host = &world.settings.right_host;
    // `api-in21` and `portalapi-in21`: every host has the same suffix for the region.
    let is_of_portal = call.is_of_portal() && host.starts_with("api");
    let host = if is_of_portal { format!("portal{host}") } else { host.clone() };
    unauthorized(world, &world.settings.texts.wrong_host.replace("{host}", &host))
}

pub(crate) fn unauthorized(world: &World, text: &str) -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, &world.settings.texts.unauthorized_type, text)
}

fn by_keys(world: &World, request: &Request, in_headers: bool) -> Result<(Arc<Account>, User), Failure> {
    let header = |name: &str| request.headers.get(name).filter(|_| in_headers).and_then(|value| value.to_str().ok());
    let access_key = request.query.get("accesskey").or_else(|| header("x-lsq-accesskey"));
    let secret_key = request.query.get("secretkey").or_else(|| header("x-lsq-secretkey"));
    let found = access_key.zip(secret_key).and_then(|(access, secret)| world.by_keys(access, secret));
    found
        .map(|(account, user)| (account.clone(), user))
        .ok_or_else(|| unauthorized(world, &world.settings.texts.bad_keys))
}

fn administrator(world: &World, request: &Request) -> Result<(Arc<Account>, User), Failure> {
    let found = by_keys(world, request, world.settings.switches.portal_takes_key_headers)?;
    if found.1.role == Role::Administrator {
        Ok(found)
    } else {
        Err(unauthorized(world, &world.settings.texts.not_an_administrator))
    }
}

/// The account that issued the key in `Authorization`, and the key's holder.
fn by_authorization(
    world: &World,
    request: &Request,
    kind: Kind,
    now: OffsetDateTime,
) -> Result<(Arc<Account>, User, Holder), Failure> {
    for account in &world.accounts {
        if let Some(holder) = authorization(account, request, kind, now)? {
            let administrator = account.users().into_iter().find(|user| user.role == Role::Administrator);
            return administrator.map(|user| (account.clone(), user, holder)).ok_or_else(Failure::internal);
        }
    }
    Err(stale(world))
}

fn authorization(
    account: &Account,
    request: &Request,
    kind: Kind,
    now: OffsetDateTime,
) -> Result<Option<Holder>, Failure> {
    let key = request.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match key {
        Some(key) => Ok(store::redeem(&account.store.connection(), kind, key, now)?),
        None => Ok(None),
    }
}

fn stale(world: &World) -> Failure {
    unauthorized(world, &world.settings.texts.stale_credential)
}

fn portal(world: &World, account: &Account, request: &Request, now: OffsetDateTime) -> Result<String, Failure> {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = header("x-lsq-registertoken");
    if store::redeem(&account.store.connection(), Kind::RegistrationToken, token, now)?.is_none() {
        return Err(stale(world));
    }
    let portal_id = header("x-lsq-portalid");
    if !account.has_portal(portal_id) {
        return Err(unauthorized(world, &world.settings.texts.unknown_portal));
    }
    Ok(portal_id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_names_are_case_insensitive_and_values_are_decoded_like_forms() {
        let query = Query::parse(Some("accessKey=u%24r1&ACCESSKEY=other&authkey=a+b%2Bc&empty&bad=%zz%ff"));
        assert_eq!(query.get("accesskey"), Some("u$r1"));
        assert_eq!(query.get("authkey"), Some("a b+c"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(query.get("bad"), Some("%zz\u{fffd}"));
        assert_eq!(query.get("missing"), None);
    }
}
