//! Who may try how often.

use std::time::Duration;

use futures::future::join_all;
use throttle::{Admission, Limit, Network, Throttle, ThrottleError, ThrottleKey};
use time::OffsetDateTime;

/// How long the table may take for each place. Without it people sign in uncounted.
const PATIENCE: Duration = Duration::from_millis(1000);

const QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What is counted apart from everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// A password or code that may be a guess.
    SignIn,
    /// A current password that may be a guess.
    Change,
    /// A proof that may be a guess.
    Reset,
    /// A text message to somebody's phone.
    Code,
    /// A mail to somebody's address.
    Forgot,
}

impl Attempt {
    fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Change => "change",
            Self::Reset => "reset",
            Self::Code => "code",
            Self::Forgot => "forgot",
        }
    }

    /// So many for a person from one network and from one site; so many from anywhere. A stranger with one of them can use
    /// up a tenth of what the person has, or a third of their messages.
    fn limits(self) -> (Limit, Limit) {
        let (here, anywhere, window) = match self {
            Self::SignIn | Self::Change | Self::Reset => (10, 100, QUARTER_OF_AN_HOUR),
            Self::Code | Self::Forgot => (3, 10, HOUR),
        };
        (Limit { count: here, window }, Limit { count: anywhere, window })
    }

    /// All that an attempt on somebody's account is counted by, the narrowest first: who is stopped by one does not even for a
    /// moment use up those behind it. Requests that say no address count together.
    fn counters(self, person: &str, network: Option<&Network>, per_address: u32) -> Vec<Counter> {
        let (here, anywhere) = self.limits();
        let of_network = |times: u32| Limit { count: per_address.saturating_mul(times), ..here };
        let (person, own) = (person.as_bytes(), network.map_or(&[][..], Network::own));
        let mut counters = vec![
            self.counter("here", &[person, own], here, false),
            self.counter("address", &[own], of_network(1), false),
        ];
        if let Some(site) = network.and_then(Network::site) {
            counters.push(self.counter("nearby", &[person, site], here, true));
            counters.push(self.counter("site", &[site], of_network(Network::OF_A_SITE), true));
        }
        counters.push(self.counter("person", &[person], anywhere, true));
        counters
    }

    fn counter(self, kind: &'static str, parts: &[&[u8]], limit: Limit, is_shared: bool) -> Counter {
        let parts = [self.name().as_bytes(), kind.as_bytes()].into_iter().chain(parts.iter().copied());
        Counter { kind, key: ThrottleKey::new("portal-account", parts), limit, is_shared }
    }
}

struct Counter {
    kind: &'static str,
    key: ThrottleKey,
    limit: Limit,
    /// Whether strangers on other networks can use it up.
    is_shared: bool,
}

/// The places an attempt has taken.
pub(crate) struct Places {
    keys: Vec<ThrottleKey>,
    at: OffsetDateTime,
    /// The limit at which there was none, if it is not all of them.
    pub(crate) full: Option<Full>,
}

/// A limit without a free place.
pub(crate) struct Full {
    pub(crate) retry_after: Duration,
    /// Whether strangers on other networks can have taken them all.
    pub(crate) is_shared: bool,
}

/// Takes places for an attempt on somebody's account from a network, until one is not free.
pub(crate) async fn admit(
    throttle: &Throttle,
    attempt: Attempt,
    person: &str,
    network: Option<&Network>,
    per_address: u32,
    now: OffsetDateTime,
) -> Places {
    let mut places = Places { keys: Vec::new(), at: now, full: None };
    for Counter { kind, key, limit, is_shared } in attempt.counters(person, network, per_address) {
        let retry_after = match in_time(throttle.admit(&key, limit, now)).await {
            Ok(Admission::Admitted) => {
                places.keys.push(key);
                continue;
            }
            Ok(Admission::Refused { retry_after }) => retry_after,
            // So many at once are no person who mistyped.
            Err(ThrottleError::Contended) => Duration::from_secs(1),
            Err(error) => {
                tracing::warn!(attempt = attempt.name(), error = %error, "attempts cannot be counted: this one goes on uncounted");
                break;
            }
        };
        tracing::info!(attempt = attempt.name(), limit = kind, "too many attempts");
        places.full = Some(Full { retry_after, is_shared });
        break;
    }
    places
}

/// Gives places back: it was the right person, or no attempt after all.
pub(crate) async fn give_back(throttle: &Throttle, places: &Places) {
    let all = join_all(places.keys.iter().map(|key| throttle.give_back(key, places.at))).await;
    if let Some(error) = all.into_iter().find_map(Result::err) {
        tracing::warn!(error = %error, "an attempt that was none stays counted");
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, ThrottleError>>) -> Result<T, ThrottleError> {
    let late = |_| Err(ThrottleError::Unavailable { cause: "no answer in time".to_owned() });
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Attempt; 5] = [Attempt::SignIn, Attempt::Change, Attempt::Reset, Attempt::Code, Attempt::Forgot];

    fn counted(attempt: Attempt, person: &str, address: &str) -> Vec<Counter> {
        attempt.counters(person, Some(&Network::of(address.parse().unwrap())), 60)
    }

    #[test]
    fn a_person_has_more_than_one_network_can_use_up() {
        for attempt in ALL {
            let (here, anywhere) = attempt.limits();
            assert!(here.count * 3 <= anywhere.count && here.window == anywhere.window, "{attempt:?}");
        }
    }

    #[test]
    fn networks_of_one_site_count_together_and_hosts_of_one_network_are_one() {
        let shared = |one: &str, other: &str| -> Vec<_> {
            let (one, other) = (counted(Attempt::SignIn, "asha", one), counted(Attempt::SignIn, "asha", other));
            let same = one.into_iter().filter(|its| other.iter().any(|others| others.key == its.key));
            same.map(|its| (its.kind, its.limit.count)).collect()
        };
        let all = [("here", 10), ("address", 60), ("nearby", 10), ("site", 300), ("person", 100)];
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"), all);
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:1:3::1"), all[2..]);
        assert_eq!(shared("2001:db8:1:2::1", "2001:db8:2:2::1"), all[4..]);
        assert_eq!(shared("203.0.113.7", "203.0.113.7"), [all[0], all[1], all[4]]);
        assert_eq!(shared("203.0.113.7", "203.0.113.8"), all[4..]);
    }

    #[test]
    fn what_strangers_on_other_networks_can_use_up_is_known_as_that() {
        for attempt in ALL {
            let strangers = counted(attempt, "asha", "2001:db8:1:3::1");
            for counter in counted(attempt, "asha", "2001:db8:1:2::1") {
                let theirs_too = strangers.iter().any(|other| other.key == counter.key);
                assert!(!theirs_too || counter.is_shared, "{attempt:?} {}", counter.kind);
            }
        }
    }
}
