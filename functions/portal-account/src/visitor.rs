//! The network that the attempts of a request are counted for.
//!
//! A website's server sends the requests of all its visitors from one address. It proves itself with a secret and names
//! the visitor in a header. Without the secret that header is ignored, because any client can send it.

use http::StatusCode;
use http_events::{VISITOR_ADDRESS, visitor_address};
use lambda_http::Request;
use throttle::Network;
use web::Problem;

use crate::Config;

const SECRET: &str = "x-site-secret";

/// The visitor's network if the request is from the website's server, otherwise the sender's network if it is known.
///
/// # Errors
/// When the website's server names no visitor.
pub(crate) fn network(request: &Request, config: &Config) -> Result<Option<Network>, Problem> {
    let (headers, site) = (request.headers(), &config.site_secrets);
    let network = |address| config.network_salt.network(address);
    let is_site = match headers.get(SECRET) {
        Some(secret) if site.accept(secret.as_bytes()) => true,
        Some(_) if !site.is_empty() => {
            tracing::warn!(
                "the secret in {SECRET} is not in SITE_SECRET_HASHES: {VISITOR_ADDRESS} is ignored and the attempt \
                 counts for the sender's network; correct the secret on the website's server"
            );
            false
        }
        _ => false,
    };
    if !is_site {
        return Ok(http_events::network_address(request).map(network));
    }
    match visitor_address(headers) {
        Some(address) => Ok(Some(network(address))),
        None => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "The visitor is not named",
            "Next to x-site-secret, send the visitor's IP address such as 203.0.113.7 in x-visitor-address.",
        )
        .of_type("/problems/unreadable")),
    }
}
