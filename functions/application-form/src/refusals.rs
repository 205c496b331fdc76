//! Counts refused forms, so that a website whose form broke is noticed and one stranger is not.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use intake::Submitter;
use telemetry::Metric;
use throttle::Network;
use time::OffsetDateTime;

/// The period of the alarm `FormsRefused`, in seconds.
const PERIOD_SECONDS: i64 = 60 * 60;

/// The most networks that are remembered. The alarm needs far fewer.
const MOST: usize = 1_000;

/// The networks whose refused forms were counted in this hour of the clock.
///
/// A network counts once an hour in a process, so one sender of many broken forms looks like one applicant who
/// mistypes. A sender with a form key counts each time, because it is the company's own.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Hour>);

#[derive(Debug, Default)]
struct Hour {
    number: i64,
    networks: HashSet<Vec<u8>>,
}

impl Refusals {
    /// Counts a refused form, if its sender could have sent a right one: no method or limit stopped it.
    pub(crate) fn count(&self, status: StatusCode, sender: &Submitter, now: OffsetDateTime) {
        const OF_THE_FORM: [StatusCode; 4] = [
            StatusCode::BAD_REQUEST,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        if OF_THE_FORM.contains(&status) && self.is_new(sender, now) {
            Metric::FormAnswered { is_refused: true }.record();
        }
    }

    fn is_new(&self, sender: &Submitter, now: OffsetDateTime) -> bool {
        let network = match sender {
            Submitter::Visitor(network) => network.as_ref().map_or(&[][..], Network::largest),
            Submitter::FormKey { .. } | Submitter::System(_) => return true,
        };
        let number = now.unix_timestamp().div_euclid(PERIOD_SECONDS);
        let mut hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hour.number != number {
            *hour = Hour { number, networks: HashSet::new() };
        }
        hour.networks.len() < MOST && hour.networks.insert(network.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use throttle::NetworkSalt;
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_network_counts_once_an_hour_and_a_form_key_each_time() {
        let refusals = Refusals::default();
        let at = |minutes| datetime!(2026-01-02 03:00:00 UTC) + Duration::minutes(minutes);
        let salt = NetworkSalt::new(Some("salt".to_owned()));
        let visitor = |address: &str| Submitter::Visitor(Some(salt.network(address.parse().unwrap())));
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
            (Submitter::form_key(b"key", None), 62, true),
        ] {
            assert_eq!(refusals.is_new(&sender, at(minutes)), is_new, "minute {minutes}");
        }
    }

    #[test]
    fn no_more_networks_are_remembered_than_the_alarm_needs() {
        let (refusals, salt) = (Refusals::default(), NetworkSalt::new(Some("salt".to_owned())));
        let networks = (0..2_000_u32).map(|number| salt.network(std::net::Ipv4Addr::from_bits(number).into()));
        let now = datetime!(2026-01-02 03:00:00 UTC);
        let counted = networks.filter(|network| refusals.is_new(&Submitter::Visitor(Some(network.clone())), now));
        assert_eq!(counted.count(), MOST);
    }
}
