//! The networks by which addresses are counted.

use std::net::IpAddr;

/// A network. All addresses in it are counted together.
///
/// An IPv4 address is its own network. An IPv6 host can use every address of a /64, which is the network. A subscriber
/// gets up to a /48 free of charge (<https://www.rfc-editor.org/rfc/rfc6177>), which is the site.
#[derive(Clone, PartialEq, Eq)]
pub struct Network {
    own: Vec<u8>,
    site: Option<Vec<u8>>,
}

impl Network {
    /// The limit of a site, as a multiple of a network's limit. A site may be one subscriber or many.
    pub const OF_A_SITE: u32 = 5;

    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self { own: address.octets().into(), site: None },
            IpAddr::V6(address) => Self { own: address.octets()[..8].into(), site: Some(address.octets()[..6].into()) },
        }
    }

    /// The smallest network that one host can have for itself.
    pub fn own(&self) -> &[u8] {
        &self.own
    }

    /// The largest network that one subscriber can have, if it is larger than the host's network.
    pub fn site(&self) -> Option<&[u8]> {
        self.site.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_the_first_half_of_an_ipv6_one_with_its_site() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!((of("203.0.113.7").own(), of("203.0.113.7").site()), (&[203, 0, 113, 7][..], None));
        assert!(of("::ffff:203.0.113.7") == of("203.0.113.7"));
        assert!(of("2001:db8:1:2:3:4:5:6") == of("2001:db8:1:2::"));
        assert!(of("2001:db8:1:2::").own() != of("2001:db8:1:3::").own());
        assert_eq!(of("2001:db8:1:2::").site(), of("2001:db8:1:3::").site());
        assert_ne!(of("2001:db8:1:2::").site(), of("2001:db8:2:2::").site());
    }
}
