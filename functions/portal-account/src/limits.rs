//! Limits on attempts, by person and by network.

use std::time::Duration;

use futures::future::join_all;
use ledger::{Ledger, LedgerError, Owner, within};
use throttle::{AttemptLimit, Decision, Network, ThrottleKey};
use time::OffsetDateTime;

/// How long the table may take for each place. If it takes longer, the attempt is not counted.
pub(crate) const TABLE_TIMEOUT: Duration = Duration::from_millis(1000);

/// `Retry-After` for a network that has used up its requests of the day.
pub(crate) const RETRY_AFTER_DAY_LIMIT: Duration = Duration::from_secs(60 * 60);

const MINUTE: Duration = Duration::from_secs(60);
const QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The daily limit of a network, as a multiple of its limit in a shorter window.
const NETWORK_DAY_FACTOR: u32 = 5;

/// The kinds of attempts. Each kind is counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptKind {
    /// A sign-in with a password or a challenge, either of which may be a guess.
    SignIn,
    /// A change of the password. The current password may be a guess.
    Change,
    /// A reset of the password. The temporary password may be a guess.
    Reset,
    /// A text message to a phone number.
    Code,
    /// A texted code that may be a guess: one of a million.
    TextedCode,
    /// A mail to a person's address with a link that sets a password.
    Forgot,
    /// A mail to a lead's address with a code that proves the mailbox.
    MailedCode,
}

impl AttemptKind {
    fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Change => "change",
            Self::Reset => "reset",
            Self::Code => "code",
            Self::TextedCode => "texted-code",
            Self::Forgot => "forgot",
            Self::MailedCode => "mailed-code",
        }
    }

    /// The limits per person: attempts from one network (and from one site), attempts from anywhere, and the window.
    ///
    /// A stranger on one network can use up a third or a tenth of the person's attempts from anywhere. Strangers on
    /// many networks can use up all of them, but not the attempts of a network that the person has signed in from. A
    /// texted code is one of a million: in a year, guesses from strangers' networks find one for a chosen number with a
    /// chance of 1.1 %.
    fn limits(self) -> &'static [(u32, u32, Duration)] {
        match self {
            Self::SignIn | Self::Change | Self::Reset => &[(10, 100, QUARTER_OF_AN_HOUR)],
            Self::TextedCode => &[(10, 30, DAY)],
            Self::Code | Self::MailedCode => &[(3, 9, HOUR), (5, 15, DAY)],
            Self::Forgot => &[(3, 9, HOUR)],
        }
    }

    /// The counters of an attempt on a person's account. Counters that only this network uses up come first, then the
    /// counters that it shares with strangers, the narrowest first. An attempt that one limit refuses uses up no place
    /// in the counters after it. Requests without an address count together.
    fn counters(self, person: &str, network: Option<&Network>, per_address: u32) -> Vec<Counter> {
        let (person, own) = (person.as_bytes(), network.map_or(&[][..], Network::own));
        let site = network.and_then(Network::site);
        let of_network = |times: u32, window: Duration| {
            let times = if window == DAY { times * NETWORK_DAY_FACTOR } else { times };
            AttemptLimit { count: per_address.saturating_mul(times), window }
        };
        let mut counters = Vec::new();
        for &(here, _, window) in self.limits() {
            counters.push(self.counter("here", &[person, own], AttemptLimit { count: here, window }, false));
            counters.push(self.counter("address", &[own], of_network(1, window), false));
        }
        for &(here, anywhere, window) in self.limits() {
            if let Some(site) = site {
                counters.push(self.counter("nearby", &[person, site], AttemptLimit { count: here, window }, true));
                counters.push(self.counter("site", &[site], of_network(Network::SITE_FACTOR, window), true));
            }
            counters.push(self.counter("person", &[person], AttemptLimit { count: anywhere, window }, true));
        }
        counters
    }

    fn counter(self, kind: &'static str, parts: &[&[u8]], limit: AttemptLimit, is_shared: bool) -> Counter {
        let name: &[u8] = self.name().as_bytes();
        // A day's counter has a key of its own. The keys of the shorter windows stay as earlier releases wrote them.
        let window: &[&[u8]] = if limit.window == DAY { &[b"day"] } else { &[] };
        let parts = [name, kind.as_bytes()].into_iter().chain(window.iter().copied()).chain(parts.iter().copied());
        Counter { kind, key: ThrottleKey::new("portal-account", parts), limit, is_shared }
    }
}

/// The person whose account an attempt is for.
#[derive(Clone, Copy)]
pub(crate) struct CountedPerson<'a> {
    /// The person's identifier, in one spelling.
    pub(crate) text: &'a str,
    /// The owner of the counter's item, where the person of the account is known.
    pub(crate) owner: Option<&'a Owner>,
}

struct Counter {
    kind: &'static str,
    key: ThrottleKey,
    limit: AttemptLimit,
    /// Whether strangers on other networks can use up this counter.
    is_shared: bool,
}

/// The places an attempt has taken.
pub(crate) struct AttemptPlaces {
    keys: Vec<ThrottleKey>,
    at: OffsetDateTime,
    /// The limit that refused the attempt, if one did.
    pub(crate) limit_reached: Option<LimitReached>,
}

impl AttemptPlaces {
    /// Adds the places that the same request took in a second step.
    pub(crate) fn extend(&mut self, more: Self) {
        self.keys.extend(more.keys);
        self.limit_reached = self.limit_reached.take().or(more.limit_reached);
    }
}

/// A limit without a free place.
pub(crate) struct LimitReached {
    pub(crate) retry_after: Duration,
    /// Whether strangers on other networks can have taken all places.
    pub(crate) is_shared: bool,
}

/// Takes a place in each counter of an attempt on a person's account from a network. Stops at the first full counter.
pub(crate) async fn admit(
    ledger: &Ledger,
    attempt: AttemptKind,
    person: CountedPerson<'_>,
    network: Option<&Network>,
    per_address: u32,
    now: OffsetDateTime,
) -> AttemptPlaces {
    let mut places = AttemptPlaces { keys: Vec::new(), at: now, limit_reached: None };
    for Counter { kind, key, limit, is_shared } in attempt.counters(person.text, network, per_address) {
        // A counter of a whole network or site belongs to no person.
        let owner = person.owner.filter(|_| !["address", "site"].contains(&kind));
        let retry_after = match within(TABLE_TIMEOUT, ledger.admit_attempt(&key, owner, limit, now)).await {
            Ok(Decision::Admitted) => {
                places.keys.push(key);
                continue;
            }
            Ok(Decision::Refused { retry_after }) => retry_after,
            // A person who mistyped does not cause this many attempts at once.
            Err(LedgerError::Contended) => Duration::from_secs(1),
            Err(error) => {
                tracing::warn!(
                    attempt = attempt.name(), error = %error,
                    "could not count an attempt in the ledger; it continues uncounted"
                );
                break;
            }
        };
        tracing::info!(attempt = attempt.name(), limit = kind, "too many attempts");
        places.limit_reached = Some(LimitReached { retry_after, is_shared });
        break;
    }
    places
}

/// Gives places back, because the person proved to be the right one or the request was not an attempt.
pub(crate) async fn give_back(ledger: &Ledger, places: &AttemptPlaces) {
    let all = join_all(places.keys.iter().map(|key| ledger.give_attempt_back(key, places.at))).await;
    if let Some(error) = all.into_iter().find_map(Result::err) {
        tracing::warn!(
            error = %error, "failed to return a rate-limit place; this person reaches the limit one attempt early"
        );
    }
}

/// The share of LeadSquared's call allowance that one network gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NetworkShare {
    /// Calls per minute.
    in_a_minute: u32,
}

impl NetworkShare {
    /// The fewest calls per minute that a network gets, however small the allowance is: more than any step makes.
    pub(crate) const LEAST: u32 = 6;

    /// The most calls that are counted, because an item of the table has a place for each.
    const MOST: u32 = 300;

    /// This percentage of the calls that the allowance permits in a minute.
    pub(crate) fn new(allowed: leadsquared::RateLimit, percent: u8) -> Self {
        let seconds = allowed.window.as_secs_f64().max(f64::EPSILON);
        let share = f64::from(allowed.calls) * 60.0 / seconds * f64::from(percent) / 100.0;
        // `as` saturates a float that is out of range.
        Self { in_a_minute: (share as u32).clamp(Self::LEAST, Self::MOST) }
    }

    /// Takes places of a network, and of its site, for this many calls. They are not given back, whatever the result: a
    /// call that LeadSquared or the call allowance refuses has also delayed others.
    pub(crate) async fn admit(
        self,
        ledger: &Ledger,
        network: Option<&Network>,
        calls: u32,
        now: OffsetDateTime,
    ) -> Result<(), Duration> {
        self.take(ledger, "network", network.map_or(&[][..], Network::own), calls, now).await?;
        let Some(site) = network.and_then(Network::site) else { return Ok(()) };
        let of_site = self.in_a_minute.saturating_mul(Network::SITE_FACTOR).min(Self::MOST);
        Self { in_a_minute: of_site }.take(ledger, "site", site, calls, now).await
    }

    async fn take(
        self,
        ledger: &Ledger,
        kind: &'static str,
        part: &[u8],
        calls: u32,
        now: OffsetDateTime,
    ) -> Result<(), Duration> {
        let parts = [&b"asks"[..], kind.as_bytes(), part];
        let key = ThrottleKey::new("portal-account", parts);
        let limit = AttemptLimit { count: self.in_a_minute, window: MINUTE };
        match within(TABLE_TIMEOUT, ledger.admit_attempt_of(calls, &key, limit, now)).await {
            Ok(Decision::Admitted) => Ok(()),
            Ok(Decision::Refused { retry_after }) => {
                tracing::info!(limit = kind, "a network used up its share of the call allowance; request refused");
                Err(retry_after)
            }
            Err(LedgerError::Contended) => Err(Duration::from_secs(1)),
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "could not count a network's calls in the ledger; its request continues uncounted"
                );
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use throttle::NetworkSalt;

    use super::*;

    use AttemptKind::{Change, Code, Forgot, MailedCode, Reset, SignIn, TextedCode};

    const ALL: [AttemptKind; 7] = [SignIn, Change, Reset, Code, TextedCode, Forgot, MailedCode];

    fn counted(attempt: AttemptKind, person: &str, address: &str) -> Vec<Counter> {
        attempt.counters(person, Some(&NetworkSalt::new(Some("salt".to_owned())).network(address.parse().unwrap())), 60)
    }

    #[test]
    fn a_person_has_more_than_one_network_can_use_up() {
        for attempt in ALL {
            for (here, anywhere, _) in attempt.limits() {
                assert!(here * 3 <= *anywhere, "{attempt:?}");
            }
        }
    }

    #[test]
    fn networks_of_one_site_count_together_and_hosts_of_one_network_are_one() {
        let shared = |one: &str, other: &str| -> Vec<_> {
            let (one, other) = (counted(AttemptKind::SignIn, "asha", one), counted(AttemptKind::SignIn, "asha", other));
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
    fn a_counter_that_strangers_can_use_up_is_marked_as_shared() {
        for attempt in ALL {
            let strangers = counted(attempt, "asha", "2001:db8:1:3::1");
            for counter in counted(attempt, "asha", "2001:db8:1:2::1") {
                let theirs_too = strangers.iter().any(|other| other.key == counter.key);
                assert!(!theirs_too || counter.is_shared, "{attempt:?} {}", counter.kind);
            }
        }
    }

    #[test]
    fn a_days_counters_are_not_an_hours() {
        let keys: Vec<_> = counted(Code, "Phone +91-9000000001", "203.0.113.7").into_iter().map(|it| it.key).collect();
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!((keys.len(), different.len()), (6, 6));
    }

    #[test]
    fn a_network_gets_a_small_part_of_the_allowance_and_at_least_six_calls_a_minute() {
        let of = |calls, percent| {
            let allowed = leadsquared::RateLimit { calls, window: Duration::from_secs(5) };
            NetworkShare::new(allowed, percent).in_a_minute
        };
        assert_eq!((of(10, 10), of(20, 10), of(25, 5)), (12, 24, 15));
        assert_eq!((of(1, 10), of(10_000, 10)), (NetworkShare::LEAST, NetworkShare::MOST));
    }
}
