//! Who may try how often.

use std::net::IpAddr;
use std::time::Duration;

use throttle::{Admission, Limit, Throttle, ThrottleError, ThrottleKey};
use time::OffsetDateTime;

use crate::answers::Refusal;

/// How long the table may take. Without it people sign in uncounted.
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

    /// So many for a person from one address, for the address, and for the person wherever it comes from. A stranger at one
    /// address can use up a tenth of what the person has, or a third of their messages.
    fn limits(self, per_address: u32) -> [(&'static str, Limit); 3] {
        let (here, anywhere, window) = match self {
            Self::SignIn | Self::Change | Self::Reset => (10, 100, QUARTER_OF_AN_HOUR),
            Self::Code | Self::Forgot => (3, 10, HOUR),
        };
        let limit = |count| Limit { count, window };
        [("here", limit(here)), ("address", limit(per_address)), ("person", limit(anywhere))]
    }
}

/// The places an attempt has taken.
pub(crate) struct Places {
    keys: Vec<ThrottleKey>,
    at: OffsetDateTime,
}

/// Takes places for an attempt on somebody's account from an address.
///
/// # Errors
/// When one of them is not free. Those before it stay taken: whoever asks on has so many fewer.
pub(crate) async fn admit(
    throttle: &Throttle,
    attempt: Attempt,
    person: &str,
    address: Option<IpAddr>,
    per_address: u32,
    now: OffsetDateTime,
) -> Result<Places, Refusal> {
    let address = network(address);
    let mut keys = Vec::new();
    for (kind, limit) in attempt.limits(per_address) {
        let parts: &[&[u8]] = match kind {
            "here" => &[person.as_bytes(), &address],
            "address" => &[&address],
            _ => &[person.as_bytes()],
        };
        let parts = [attempt.name().as_bytes(), kind.as_bytes()].into_iter().chain(parts.iter().copied());
        let key = ThrottleKey::new("portal-account", parts);
        match in_time(throttle.admit(&key, limit, now)).await {
            Ok(Admission::Admitted) => keys.push(key),
            Ok(Admission::Refused { retry_after }) => {
                tracing::info!(attempt = attempt.name(), limit = kind, "too many attempts");
                return Err(Refusal::TooOften { retry_after });
            }
            // So many at once are no person who mistyped.
            Err(ThrottleError::Contended) => return Err(Refusal::TooOften { retry_after: Duration::from_secs(1) }),
            Err(error) => {
                tracing::warn!(attempt = attempt.name(), error = %error, "attempts cannot be counted: this one goes on uncounted");
                break;
            }
        }
    }
    Ok(Places { keys, at: now })
}

/// Gives places back: it was the right person.
pub(crate) async fn give_back(throttle: &Throttle, places: &Places) {
    for key in &places.keys {
        if let Err(error) = in_time(throttle.give_back(key, places.at)).await {
            tracing::warn!(error = %error, "an attempt that was none stays counted");
            break;
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, ThrottleError>>) -> Result<T, ThrottleError> {
    let late = |_| Err(ThrottleError::Unavailable { cause: "no answer in time".to_owned() });
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(late)
}

/// What counts as one address: of IPv6 the half that a provider gives out whole. Requests that say none count together.
fn network(address: Option<IpAddr>) -> Vec<u8> {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => address.octets().into(),
        Some(IpAddr::V6(address)) => address.octets()[..8].into(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_of_the_old_and_a_network_of_the_new_kind() {
        let network = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(network("203.0.113.7"), [203, 0, 113, 7]);
        assert_eq!(network("::ffff:203.0.113.7"), [203, 0, 113, 7]);
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }

    #[test]
    fn a_person_has_more_than_one_address_can_use_up() {
        for attempt in [Attempt::SignIn, Attempt::Change, Attempt::Reset, Attempt::Code, Attempt::Forgot] {
            let [(_, here), _, (_, person)] = attempt.limits(60);
            assert!(here.count * 3 <= person.count && here.window == person.window, "{attempt:?}");
        }
    }
}
