//! The sender of a form: a visitor's browser, or a form builder that proves itself with a form key.
//!
//! A form builder posts the forms of all its visitors from one address. With its key it has caps of its own and may
//! name the visitor in a header. Without the key that header is ignored, because any client can send it.

use http_events::{VISITOR_ADDRESS, visitor_address};
use intake::Submitter;
use lambda_http::Request;
use throttle::{Network, NetworkSalt};

use crate::Config;

const KEY: &str = "x-form-key";

/// The sender of a request. A wrong key counts as no key, so that a mistake in a form builder's settings loses no
/// applicant.
pub(crate) fn of(request: &Request, config: &Config) -> Submitter {
    let salt = &config.network_salt;
    match request.headers().get(KEY) {
        Some(key) if config.form_keys.accept(key.as_bytes()) => {
            return Submitter::form_key(key.as_bytes(), visitor(request, salt));
        }
        Some(_) => tracing::warn!(
            "the form key in {KEY} is not in FORM_KEY_HASHES: the form counts as a visitor's, from the sender's \
             network; correct the key in the form builder"
        ),
        None => {}
    }
    Submitter::Visitor(http_events::network_address(request).map(|address| salt.network(address)))
}

/// The network of the visitor that a form builder names.
fn visitor(request: &Request, salt: &NetworkSalt) -> Option<Network> {
    let headers = request.headers();
    let address = visitor_address(headers);
    if address.is_none() && headers.contains_key(VISITOR_ADDRESS) {
        tracing::warn!("{VISITOR_ADDRESS} is not an IP address such as 203.0.113.7: the form counts without a network");
    }
    address.map(|address| salt.network(address))
}
