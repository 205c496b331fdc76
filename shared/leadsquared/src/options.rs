//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use crate::admission::{Admission, Unlimited};
use crate::hosts::is_loopback;
use crate::values::PortalId;
use crate::wire::{Endpoint, Paths, Texts};

/// The settings of a [`Client`](crate::Client), except the keys.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use leadsquared::{Options, Timeouts};
///
/// let mut options = Options::new(
///     "https://api-in21.leadsquared.com".parse()?,
///     "https://portalapi-in21.leadsquared.com".parse()?,
///     "22222222-2222-4222-8222-222222222222".parse()?,
/// );
/// options.timeouts = Timeouts { total: Duration::from_secs(5), ..Timeouts::default() };
/// options.observer = Arc::new(|call| println!("{} {} {:?}", call.endpoint.name(), call.result, call.took));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The core API's address, such as `https://api-in21.leadsquared.com`
    /// (<https://apidocs.leadsquared.com/api-host/>).
    pub api: Url,
    /// The portal API's address, such as `https://portalapi-in21.leadsquared.com`
    /// (<https://apidocs.leadsquared.com/portal-api/>).
    pub portal_api: Url,
    /// The portal that people are registered with.
    pub portal_id: PortalId,
    /// Paths that the documentation does not give.
    pub paths: Paths,
    /// Texts that identify answers without a documented type.
    pub texts: Texts,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// How often a call is repeated after a transient failure, if a repeat does no harm. Default: 2.
    pub repeats: u32,
    /// Root certificates, in DER, that are trusted beside those that are compiled in. Default: none.
    pub further_roots: Vec<Vec<u8>>,
    /// Decides when a call may be made. Default: [`Unlimited`].
    pub admission: Arc<dyn Admission>,
    /// Called after every request, also after a repeat and after one that fetches a credential.
    pub observer: Arc<dyn Fn(&CallReport) + Send + Sync>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// A random number from 0 to 1, for the pause before a repeat.
    pub chance: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Options {
    /// Options with every default: documented or likeliest paths, no allowance, two repeats.
    pub fn new(api: Url, portal_api: Url, portal_id: PortalId) -> Self {
        Self {
            api,
            portal_api,
            portal_id,
            paths: Paths::default(),
            texts: Texts::default(),
            timeouts: Timeouts::default(),
            repeats: 2,
            further_roots: Vec::new(),
            admission: Arc::new(Unlimited),
            observer: Arc::new(|_| ()),
            clock: Arc::new(Instant::now),
            chance: Arc::new(|| f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)),
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidOptions> {
        for (name, url) in [("api", &self.api), ("portal_api", &self.portal_api)] {
            let encrypted = url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
            if !encrypted {
                return Err(InvalidOptions::NotEncrypted { name });
            }
            let bare = url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            if !bare {
                return Err(InvalidOptions::NotAHost { name });
            }
        }
        for &endpoint in Endpoint::ALL {
            let path = endpoint.path(&self.paths);
            if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
                return Err(InvalidOptions::BadPath { endpoint });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("api", &self.api.host_str())
            .field("portal_api", &self.portal_api.host_str())
            .field("portal_id", &self.portal_id)
            .field("paths", &self.paths)
            .field("timeouts", &self.timeouts)
            .field("repeats", &self.repeats)
            .finish_non_exhaustive()
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, its encryption included.
    pub connect: Duration,
    /// From sending one request to the last byte of its answer.
    pub attempt: Duration,
    /// For a call as a whole: the wait for a slot, the credentials, every attempt and the pauses between them.
    pub total: Duration,
}

impl Default for Timeouts {
    /// 2 s, 10 s and 25 s: LeadSquared documents no times of its own.
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), attempt: Duration::from_secs(10), total: Duration::from_secs(25) }
    }
}

/// A request that is over. It holds nothing of what was sent or answered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallReport {
    /// Which call.
    pub endpoint: Endpoint,
    /// `Ok`, or the error's [name](crate::Error::name). Of those, `TurnedAway` and `OutOfTime` mean that nothing was
    /// sent.
    pub result: &'static str,
    /// How long it waited for [`Admission`].
    pub waited: Duration,
    /// How long the call itself took.
    pub took: Duration,
}

/// Why a client could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOptions {
    /// The keys would travel unencrypted.
    #[error("{name} must be an https address; http is for addresses of this machine only")]
    NotEncrypted {
        /// The option.
        name: &'static str,
    },
    /// The address has more than scheme, host and port.
    #[error("{name} must be a scheme and a host only, such as https://api-in21.leadsquared.com")]
    NotAHost {
        /// The option.
        name: &'static str,
    },
    /// A path in [`Paths`] is malformed.
    #[error("the path of {} must start with a slash and contain no '?', '#' or space", .endpoint.name())]
    BadPath {
        /// The call it is for.
        endpoint: Endpoint,
    },
    /// One of the further roots is no certificate.
    #[error("a further root is not a certificate in DER")]
    BadRoot,
    /// The operating system's random numbers or the encryption library failed.
    #[error("encryption could not be set up")]
    NoEncryption,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(api: &str) -> Options {
        let portal_id = "22222222-2222-4222-8222-222222222222".parse().unwrap();
        Options::new(api.parse().unwrap(), "https://portalapi-in21.leadsquared.com".parse().unwrap(), portal_id)
    }

    #[test]
    fn keys_never_travel_in_the_clear() {
        for api in
            ["https://api-in21.leadsquared.com", "http://127.0.0.1:8080", "http://[::1]:8080/", "http://localhost"]
        {
            assert_eq!(options(api).check(), Ok(()), "{api}");
        }
        for api in
            ["http://api-in21.leadsquared.com", "http://127.0.0.1.example.com", "ftp://localhost", "http://10.0.0.1"]
        {
            assert_eq!(options(api).check(), Err(InvalidOptions::NotEncrypted { name: "api" }), "{api}");
        }
    }

    #[test]
    fn an_address_with_more_than_a_host_is_refused() {
        for api in [
            "https://a.leadsquared.com/v2",
            "https://a.leadsquared.com/?accessKey=1",
            "https://u:p@a.leadsquared.com",
            "https://a.leadsquared.com/#x",
        ] {
            assert_eq!(options(api).check(), Err(InvalidOptions::NotAHost { name: "api" }), "{api}");
        }
    }

    #[test]
    fn a_path_that_would_change_the_query_is_refused() {
        for path in ["", "api", "/api?x=1", "/api#x", "/a b"] {
            let mut options = options("https://api.leadsquared.com");
            options.paths.tenant_auth_key = path.to_owned();
            assert_eq!(options.check(), Err(InvalidOptions::BadPath { endpoint: Endpoint::TenantAuthKey }), "{path:?}");
        }
    }
}
