//! Whose attempts a request counts as.
//!
//! A website's server that asks for its visitors connects from one address for all of them. So it proves with a secret that it
//! is that server, and says whom it asks for; what headers of anybody else say of an address is anybody's word.

use http::StatusCode;
use http_events::SecretHashes;
use lambda_http::Request;
use throttle::Network;
use web::Problem;

const SECRET: &str = "x-site-secret";
const ADDRESS: &str = "x-visitor-address";

/// The visitor's network, if the request is from the website's server; otherwise that of whoever connected, if the door says.
///
/// # Errors
/// When the website's server does not say for whom it asks.
pub(crate) fn network(request: &Request, site: &SecretHashes) -> Result<Option<Network>, Problem> {
    let headers = request.headers();
    let is_site = match headers.get(SECRET) {
        Some(secret) if site.accept(secret.as_bytes()) => true,
        Some(_) if !site.is_empty() => {
            tracing::warn!("{SECRET} is not the secret of SITE_SECRET_HASHES: {ADDRESS} is not looked at");
            false
        }
        _ => false,
    };
    if !is_site {
        return Ok(http_events::network_address(request).map(Network::of));
    }
    let address = headers.get(ADDRESS).and_then(|address| address.to_str().ok()?.trim().parse().ok());
    match address {
        Some(address) => Ok(Some(Network::of(address))),
        None => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "Nobody knows for whom this is",
            "Next to x-site-secret, send the visitor's IP address such as 203.0.113.7 in x-visitor-address.",
        )
        .of_type("/problems/unreadable")),
    }
}
