//! Who sends a form: a visitor's browser, or a form builder that proves itself with a form key.
//!
//! A form builder posts all its visitors' forms from one address. With its key it has caps of its own, and says whom
//! it posts for; a header of anybody else proves nothing about an address.

use http_events::SecretHashes;
use intake::Submitter;
use lambda_http::Request;
use throttle::Network;

const KEY: &str = "x-form-key";
const ADDRESS: &str = "x-visitor-address";

/// The sender of a request. A wrong key counts as no key: an applicant is not lost to a mistake in a form builder's
/// settings.
pub(crate) fn of(request: &Request, keys: &SecretHashes) -> Submitter {
    let headers = request.headers();
    match headers.get(KEY) {
        Some(key) if keys.accept(key.as_bytes()) => Submitter::form_key(key.as_bytes(), visitor(request)),
        Some(_) => {
            tracing::warn!(
                "{KEY} is none of FORM_KEY_HASHES: the form counts as a visitor's, from the sender's own network"
            );
            Submitter::Visitor(http_events::network_address(request).map(Network::of))
        }
        None => Submitter::Visitor(http_events::network_address(request).map(Network::of)),
    }
}

/// The network of the visitor that a form builder names.
fn visitor(request: &Request) -> Option<Network> {
    let address = request.headers().get(ADDRESS)?;
    let network = address.to_str().ok().and_then(|address| address.trim().parse().ok()).map(Network::of);
    if network.is_none() {
        tracing::warn!("{ADDRESS} is not an IP address such as 203.0.113.7: it is ignored");
    }
    network
}
