//! The two hosts of an account, and which addresses are this machine's own.

use url::{Host, Url};

/// The two addresses that an account's region decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// The core API's.
    pub api: Url,
    /// The portal API's.
    pub portal_api: Url,
}

impl Hosts {
    /// Both addresses, from a core API host such as `api-in21.leadsquared.com`; `None` for a host of another form.
    ///
    /// The portal's host has the same region suffix: this is inferred from
    /// <https://apidocs.leadsquared.com/portal-api/>, where it holds for every region listed. A host of this machine
    /// serves both APIs.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::Hosts;
    ///
    /// let hosts = Hosts::of_api_host("api-in21.leadsquared.com").unwrap();
    /// assert_eq!(hosts.portal_api.as_str(), "https://portalapi-in21.leadsquared.com/");
    /// assert_eq!(Hosts::of_api_host("example.com"), None);
    /// ```
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

/// Whether an address is on this machine, where a request needs no encryption.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
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
