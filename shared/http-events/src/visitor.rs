//! The visitor's address as a website's server names it.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;

/// The header in which a server names the visitor behind a request that it sends.
pub const VISITOR_ADDRESS: &str = "x-visitor-address";

/// The visitor's address in the header [`VISITOR_ADDRESS`]. Read it only if the request proves that it is from a
/// server of yours, because any client can send the header.
pub fn visitor_address(headers: &HeaderMap) -> Option<IpAddr> {
    let values = headers.get_all(VISITOR_ADDRESS).iter().filter_map(|value| value.to_str().ok());
    last_public(&values.collect::<Vec<_>>().join(","))
}

/// Reads the address of a visitor as servers and proxies write it: with a port, in brackets, in quotes, or as a list.
///
/// Of a list the last public address counts. Each proxy appends the address of its peer, so the last ones are the
/// proxies of your own network, and the first one is what the visitor's own request said. A list with private addresses
/// only is that of a test, and its last address counts.
fn last_public(text: &str) -> Option<IpAddr> {
    let addresses: Vec<IpAddr> = text.split(',').filter_map(address).collect();
    addresses.iter().rev().find(|address| !is_private(address)).or(addresses.last()).copied()
}

fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let text = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => text,
    };
    // The interface of a link-local address.
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    let without_port = || text.rsplit_once(':').and_then(|(address, _)| address.parse().ok());
    text.parse().ok().or_else(without_port).map(|address: IpAddr| address.to_canonical())
}

/// Whether the address is of a private network, so that it can be a proxy's but not a visitor's.
fn is_private(address: &IpAddr) -> bool {
    /// Shared by a carrier's customers (<https://www.rfc-editor.org/rfc/rfc6598>).
    const CARRIER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
    match address {
        IpAddr::V4(v4) => {
            let is_of_carrier = v4.to_bits() >> 22 == CARRIER.to_bits() >> 22;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || is_of_carrier
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_every_spelling_of_a_proxy() {
        for (text, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            (" 203.0.113.7:61598 ", Some("203.0.113.7")),
            ("\"203.0.113.7:61598\"", Some("203.0.113.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:DB8::1]:443", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("::ffff:203.0.113.7:12345", Some("203.0.113.7")),
            ("2001:db8:0:0:0:0:0:1:443", Some("2001:db8::1")),
            ("[2620:0:d60:ac1a::10]", Some("2620:0:d60:ac1a::10")),
            ("177.139.233.139:17085, 10.0.0.6", Some("177.139.233.139")),
            ("10.200.80.7:60604", Some("10.200.80.7")),
            ("198.51.100.1, 203.0.113.7", Some("203.0.113.7")),
            ("198.51.100.1, 203.0.113.7:80, 10.0.0.1", Some("203.0.113.7")),
            ("203.0.113.7, 172.16.0.1,192.168.1.1 , fd00::1, 100.64.3.2, 127.0.0.1", Some("203.0.113.7")),
            ("203.0.113.7, unknown", Some("203.0.113.7")),
            ("10.0.0.1, 127.0.0.1", Some("127.0.0.1")),
            ("", None),
            ("unknown", None),
            ("203.0.113", None),
            ("203.0.113.256", None),
            ("[2001:db8::1", None),
            ("example.com:80", None),
            ("203.0.113.7:80:80", None),
        ] {
            assert_eq!(last_public(text), expected.map(|address| address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn repeated_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(visitor_address(&headers), None);
        for value in ["198.51.100.1", "203.0.113.7", "10.0.0.1"] {
            headers.append(VISITOR_ADDRESS, value.parse().unwrap());
        }
        assert_eq!(visitor_address(&headers), "203.0.113.7".parse().ok());
    }
}
