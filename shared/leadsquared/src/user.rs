//! Whose keys these are, and where the account lives.

use std::fmt;

use serde::Deserialize;
use url::Url;

use crate::client::{Call, Client};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::id::UserId;
use crate::lenient;
use crate::options::is_loopback;

/// The user whose keys made the call, and the account (<https://apidocs.leadsquared.com/user-authentication/>).
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// `Administrator` for keys that may use the portal calls.
    #[serde(default, deserialize_with = "lenient::text")]
    pub role: String,
    /// The address the user signs in with. It travels in `PassPhrase`; `EmailAddress` is null.
    #[serde(rename = "PassPhrase", default, deserialize_with = "lenient::text")]
    pub login_email: String,
    /// The user's name.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub name: Option<String>,
    /// The account's name.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub org_display_name: Option<String>,
    /// The account's number, which some of its credentials end with.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub org_short_code: Option<String>,
    /// The account's time zone, such as `Asia/Kolkata`; times in the API are UTC all the same.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub time_zone: Option<String>,
    /// The calling code of phone numbers written without one, such as `91`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub default_country_code: Option<String>,
    #[serde(rename = "LSQCommonServiceURLs")]
    service_urls: ServiceUrls,
}

#[derive(Clone, Deserialize)]
struct ServiceUrls {
    #[serde(default, deserialize_with = "lenient::text")]
    api: String,
}

impl User {
    /// The core API's host for this account, without scheme or path.
    pub fn api_host(&self) -> &str {
        &self.service_urls.api
    }

    /// The account's two hosts, the portal's derived from the core API's.
    pub fn hosts(&self) -> Option<Hosts> {
        Hosts::of_api_host(&self.service_urls.api)
    }

    /// Whether the keys may use the portal calls (<https://apidocs.leadsquared.com/portal-api/>).
    pub fn is_administrator(&self) -> bool {
        self.role.eq_ignore_ascii_case("administrator")
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("org_short_code", &self.org_short_code)
            .field("api_host", &self.service_urls.api)
            .finish_non_exhaustive()
    }
}

/// The two addresses that an account's region decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// The core API's.
    pub api: Url,
    /// The portal API's.
    pub portal_api: Url,
}

impl Hosts {
    /// From a core API host such as `api-in21.leadsquared.com`. That the portal's host has the same region suffix is
    /// inferred from <https://apidocs.leadsquared.com/portal-api/>, where it holds for every region listed. On this machine
    /// one server plays both parts. Of any other host nothing is known.
    pub fn of_api_host(host: &str) -> Option<Self> {
        let region = host.strip_prefix("api").and_then(|rest| rest.strip_suffix(".leadsquared.com"));
        if region.is_some_and(|region| region.is_empty() || region.starts_with('-')) {
            let portal_api = format!("https://portal{host}").parse().ok()?;
            return Some(Self { api: format!("https://{host}").parse().ok()?, portal_api });
        }
        let api: Url = format!("http://{host}").parse().ok()?;
        is_loopback(&api).then(|| Self { portal_api: api.clone(), api })
    }
}

impl Client {
    /// Authenticate a user: whose keys these are. It is the only call that every region's host answers, so it also finds
    /// the region of an account (<https://apidocs.leadsquared.com/user-authentication/>).
    ///
    /// # Errors
    /// [`Error::BadKeys`] when no active user has these keys.
    pub async fn authenticate_user(&self) -> Result<User, Error> {
        self.call(Call::new(Endpoint::AuthenticateUser)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portal_host_has_the_suffix_of_the_core_host() {
        let hosts =
            |host: &str| Hosts::of_api_host(host).map(|hosts| [hosts.api.to_string(), hosts.portal_api.to_string()]);
        for region in ["", "-in21", "-us11", "-ir31"] {
            let expected = ["api", "portalapi"].map(|name| format!("https://{name}{region}.leadsquared.com/"));
            assert_eq!(hosts(&format!("api{region}.leadsquared.com")), Some(expected));
        }
        let local = "http://127.0.0.1:8080/".to_owned();
        assert_eq!(hosts("127.0.0.1:8080"), Some([local.clone(), local]));
        for host in
            ["", "example.com", "apidocs.leadsquared.com", "api.leadsquared.com.example.com", "127.0.0.1.example.com"]
        {
            assert_eq!(hosts(host), None, "{host}");
        }
    }
}
