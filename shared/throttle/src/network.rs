//! The networks by which addresses are counted, as salted hashes.

use std::fmt;
use std::net::IpAddr;

use onboarding::digest;

/// The salt of every network's hash. A hash of an IPv4 address alone is no secret: there are only 4 billion of them to
/// try. The salt is therefore kept outside of the table, and all functions of a stack have the same one.
#[derive(Clone)]
pub struct NetworkSalt(String);

impl NetworkSalt {
    /// The setting with the salt. The template sets it to the stack's id.
    pub const SETTING: &str = "NETWORK_SALT";

    /// A salt. Without a setting, as under an earlier template, the hashes of networks are unsalted.
    pub fn new(setting: Option<String>) -> Self {
        if setting.is_none() {
            tracing::warn!(
                "{} is not set: the ledger's hashes of networks are unsalted, so a reader of the table can find the \
                 addresses; deploy the template of this release",
                Self::SETTING
            );
        }
        Self(setting.unwrap_or_default())
    }

    /// The network of an address.
    pub fn network(&self, address: IpAddr) -> Network {
        let hash = |kind: &str, prefix: &[u8]| digest([kind.as_bytes(), self.0.as_bytes(), prefix]);
        match address.to_canonical() {
            IpAddr::V4(address) => Network { own: hash("network", &address.octets()), site: None },
            IpAddr::V6(address) => Network {
                own: hash("network", &address.octets()[..8]),
                site: Some(hash("site", &address.octets()[..6])),
            },
        }
    }
}

/// Shows nothing of the salt.
impl fmt::Debug for NetworkSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkSalt")
    }
}

/// A network. All addresses in it are counted together. It holds salted hashes and no address.
///
/// An IPv4 address is its own network. An IPv6 host can use every address of a /64, which is the network. A subscriber
/// gets up to a /48 free of charge (<https://www.rfc-editor.org/rfc/rfc6177>), which is the site.
#[derive(Clone, PartialEq, Eq)]
pub struct Network {
    own: [u8; 32],
    site: Option<[u8; 32]>,
}

impl Network {
    /// The limit of a site, as a multiple of a network's limit. A site may be one subscriber or many.
    pub const SITE_FACTOR: u32 = 5;

    /// The hash of the smallest network that one host can have for itself.
    pub fn own(&self) -> &[u8] {
        &self.own
    }

    /// The hash of the largest network that one subscriber can have, if it is larger than the host's network.
    pub fn site(&self) -> Option<&[u8]> {
        self.site.as_ref().map(|site| &site[..])
    }

    /// The hash of the largest network that one subscriber can have.
    pub fn largest(&self) -> &[u8] {
        self.site().unwrap_or(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salted(salt: &str, address: &str) -> Network {
        NetworkSalt::new(Some(salt.to_owned())).network(address.parse().unwrap())
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_the_first_half_of_an_ipv6_one_with_its_site() {
        let of = |text: &str| salted("a", text);
        assert!(of("203.0.113.7").site().is_none() && of("203.0.113.7").largest() == of("203.0.113.7").own());
        assert!(of("203.0.113.7") != of("203.0.113.8"));
        assert!(of("::ffff:203.0.113.7") == of("203.0.113.7"));
        assert!(of("2001:db8:1:2:3:4:5:6") == of("2001:db8:1:2::"));
        assert!(of("2001:db8:1:2::").own() != of("2001:db8:1:3::").own());
        assert_eq!(of("2001:db8:1:2::").site(), of("2001:db8:1:3::").site());
        assert_ne!(of("2001:db8:1:2::").site(), of("2001:db8:2:2::").site());
        assert_eq!(of("2001:db8:1:2::").site(), Some(of("2001:db8:1:2::").largest()));
    }

    #[test]
    fn a_network_depends_on_the_salt_and_holds_no_address() {
        for address in ["203.0.113.7", "2001:db8:1:2::"] {
            let (one, other) = (salted("a", address), salted("b", address));
            assert!(one == salted("a", address) && one.own() != other.own() && one.largest() != other.largest());
        }
        assert!(!salted("a", "203.0.113.7").own().windows(4).any(|bytes| bytes == [203, 0, 113, 7]));
        assert_eq!(format!("{:?}", NetworkSalt::new(Some("canary".to_owned()))), "NetworkSalt");
    }
}
