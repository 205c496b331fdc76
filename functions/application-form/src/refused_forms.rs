//! Counts refused forms, so that a website whose form broke is noticed and one stranger is not.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use intake::Submitter;
use telemetry::Metric;
use throttle::Network;
use time::OffsetDateTime;

/// The period of the alarm `FormsRefused`, in seconds.
const PERIOD_SECONDS: i64 = 60 * 60;

/// The most networks that are remembered. The alarm needs far fewer.
const MOST: usize = 1_000;

/// Counts refused forms, each network once an hour of the clock in a process: one sender of many broken forms looks
/// like one applicant who mistypes. A form builder with a form key counts as the network that it names, or else as one
/// network.
#[derive(Debug, Default)]
pub struct RefusedForms(Mutex<CountedNetworks>);

/// The networks whose refused forms were counted in this hour.
#[derive(Debug, Default)]
struct CountedNetworks {
    hour: i64,
    networks: HashSet<Vec<u8>>,
}

impl RefusedForms {
    /// Counts a form that was refused because its body could not be read or a field was wrong.
    pub(crate) fn count(&self, sender: &Submitter, now: OffsetDateTime) {
        if self.is_new(sender, now) {
            Metric::FormRefused(true).record();
        }
    }

    fn is_new(&self, sender: &Submitter, now: OffsetDateTime) -> bool {
        let network = match sender {
            Submitter::Visitor(network) => network.as_ref().map_or(&[][..], Network::largest),
            Submitter::FormKey { hash, visitor } => visitor.as_ref().map_or(hash.as_bytes(), Network::largest),
            Submitter::System(name) => name.as_bytes(),
        };
        let hour = now.unix_timestamp().div_euclid(PERIOD_SECONDS);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.hour != hour {
            *counted = CountedNetworks { hour, networks: HashSet::new() };
        }
        counted.networks.len() < MOST && counted.networks.insert(network.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use throttle::NetworkSalt;
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_network_counts_once_an_hour_and_so_does_a_form_builder_that_names_none() {
        let refused = RefusedForms::default();
        let at = |minutes| datetime!(2026-01-02 03:00:00 UTC) + Duration::minutes(minutes);
        let salt = NetworkSalt::new(Some("salt".to_owned()));
        let network = |address: &str| salt.network(address.parse().unwrap());
        let visitor = |address| Submitter::Visitor(Some(network(address)));
        for (sender, minutes, is_new) in [
            (visitor("203.0.113.7"), 0, true),
            (visitor("203.0.113.7"), 59, false),
            (visitor("203.0.113.8"), 59, true),
            (visitor("203.0.113.7"), 60, true),
            // All networks of one subscriber are one.
            (visitor("2001:db8:1:2::1"), 60, true),
            (visitor("2001:db8:1:3::1"), 61, false),
            (Submitter::Visitor(None), 61, true),
            (Submitter::Visitor(None), 61, false),
            (Submitter::form_key(b"key", None), 62, true),
            (Submitter::form_key(b"key", None), 62, false),
            (Submitter::form_key(b"other", None), 62, true),
            (Submitter::form_key(b"key", Some(network("203.0.113.9"))), 62, true),
            (Submitter::form_key(b"key", Some(network("203.0.113.7"))), 62, false),
        ] {
            assert_eq!(refused.is_new(&sender, at(minutes)), is_new, "minute {minutes}");
        }
    }

    #[test]
    fn no_more_networks_are_remembered_than_the_alarm_needs() {
        let (refused, salt) = (RefusedForms::default(), NetworkSalt::new(Some("salt".to_owned())));
        let networks = (0..2_000_u32).map(|number| salt.network(std::net::Ipv4Addr::from_bits(number).into()));
        let now = datetime!(2026-01-02 03:00:00 UTC);
        let counted = networks.filter(|network| refused.is_new(&Submitter::Visitor(Some(network.clone())), now));
        assert_eq!(counted.count(), MOST);
    }
}
