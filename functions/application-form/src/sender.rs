//! The sender of a form: a visitor's browser, or a form builder that proves itself with a form key.
//!
//! A form builder posts the forms of all its visitors from one address. With its key it has caps of its own and may
//! name the visitor in a header. Without the key that header is ignored, because any client can send it.

use http_events::{SecretHashes, VISITOR_ADDRESS, visitor_address};
use intake::Submitter;
use lambda_http::Request;
use throttle::Network;

const KEY: &str = "x-form-key";

/// The sender of a request. A wrong key counts as no key, so that a mistake in a form builder's settings loses no
/// applicant.
pub(crate) fn of(request: &Request, keys: &SecretHashes) -> Submitter {
    let headers = request.headers();
    match headers.get(KEY) {
        Some(key) if keys.accept(key.as_bytes()) => Submitter::form_key(key.as_bytes(), visitor(request)),
        Some(_) => {
            tracing::warn!(
                "the form key in {KEY} is not in FORM_KEY_HASHES: the form counts as a visitor's, from the sender's \
                 network; correct the key in the form builder"
            );
            Submitter::Visitor(http_events::network_address(request).map(Network::of))
        }
        None => Submitter::Visitor(http_events::network_address(request).map(Network::of)),
    }
}

/// The network of the visitor that a form builder names.
fn visitor(request: &Request) -> Option<Network> {
    let headers = request.headers();
    let network = visitor_address(headers).map(Network::of);
    if network.is_none() && headers.contains_key(VISITOR_ADDRESS) {
        tracing::warn!("{VISITOR_ADDRESS} is not an IP address such as 203.0.113.7: the form counts without a network");
    }
    network
}
