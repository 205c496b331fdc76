//! The user that a pair of keys belongs to, and the account.

use std::fmt;

use serde::Deserialize;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::hosts::Hosts;
use crate::values::UserId;
use crate::wire::{Endpoint, lenient};

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

impl Client {
    /// Authenticate a user: whose keys these are. It is the only call that every region's host answers, so it also
    /// finds the region of an account (<https://apidocs.leadsquared.com/user-authentication/>).
    ///
    /// # Errors
    /// [`Error::BadKeys`] when no active user has these keys.
    ///
    /// # Examples
    /// ```
    /// # leadsquared_fake::run(async |client| {
    /// let user = client.authenticate_user().await?;
    /// assert!(user.is_administrator());
    /// println!("the account's API host is {}", user.api_host());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn authenticate_user(&self) -> Result<User, Error> {
        self.call(Call::new(Endpoint::AuthenticateUser)).await
    }
}
