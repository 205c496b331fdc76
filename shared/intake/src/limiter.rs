//! Counts the caps within the process while the table is unavailable.

use std::collections::HashMap;
use std::time::Duration;

/// The most places in memory, about 2 MB.
const MOST_PLACES: usize = 20_000;

/// The number of applications with the same key that are admitted in a window.
pub(crate) struct Cap<'a> {
    pub(crate) key: &'a str,
    pub(crate) count: u32,
    pub(crate) window: Duration,
}

/// The limiter's decision about an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimiterDecision {
    /// It is admitted and counted.
    Admitted,
    /// It was admitted before, and is not counted again.
    Repeat,
    /// A cap is reached.
    Full { retry_after: Duration },
    /// The memory is full. An application that cannot be counted is not admitted.
    OutOfMemory { retry_after: Duration },
}

/// The places that are taken: for each key, the times at which its places become free. Times are Unix milliseconds.
#[derive(Default)]
pub(crate) struct Limiter {
    taken: HashMap<String, Vec<i64>>,
    places: usize,
    /// The earliest time of the next sweep. Under a flood, not every request must search the whole memory.
    next_sweep: i64,
}

/// The least time between two sweeps of a full memory, in milliseconds.
const SWEEP_INTERVAL: i64 = 1_000;

impl Limiter {
    /// Takes a place of each cap and remembers the application by its mark, or changes nothing.
    pub(crate) fn admit(&mut self, caps: &[Cap<'_>], mark: &str, kept: Duration, now: i64) -> LimiterDecision {
        let is_taken = |until: &i64| *until > now;
        if self.taken.get(mark).is_some_and(|times| times.iter().any(is_taken)) {
            return LimiterDecision::Repeat;
        }
        for cap in caps {
            let Some(times) = self.taken.get_mut(cap.key) else { continue };
            self.places -= times.len();
            times.retain(is_taken);
            self.places += times.len();
            if times.len() >= cap.count.try_into().unwrap_or(usize::MAX) {
                let next = times.iter().min().copied().unwrap_or(now);
                return LimiterDecision::Full { retry_after: until(next, now).min(cap.window) };
            }
        }
        if self.places + caps.len() >= MOST_PLACES && now >= self.next_sweep {
            self.remove_free_places(now);
            self.next_sweep = now.saturating_add(SWEEP_INTERVAL);
        }
        if self.places + caps.len() >= MOST_PLACES {
            return LimiterDecision::OutOfMemory { retry_after: Duration::from_secs(60) };
        }
        for cap in caps {
            self.take(cap.key, now.saturating_add(milliseconds(cap.window)));
        }
        self.take(mark, now.saturating_add(milliseconds(kept)));
        LimiterDecision::Admitted
    }

    /// Gives back the places and the mark that [`admit`](Self::admit) took at this time.
    pub(crate) fn give_back(&mut self, caps: &[Cap<'_>], mark: &str, at: i64) {
        for cap in caps {
            let until = at.saturating_add(milliseconds(cap.window));
            let Some(times) = self.taken.get_mut(cap.key) else { continue };
            if let Some(position) = times.iter().rposition(|time| *time == until) {
                times.remove(position);
                self.places -= 1;
            }
        }
        self.places -= self.taken.remove(mark).map_or(0, |times| times.len());
    }

    fn take(&mut self, key: &str, until: i64) {
        self.taken.entry(key.to_owned()).or_default().push(until);
        self.places += 1;
    }

    fn remove_free_places(&mut self, now: i64) {
        self.taken.retain(|_, times| {
            times.retain(|until| *until > now);
            !times.is_empty()
        });
        self.places = self.taken.values().map(Vec::len).sum();
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn until(time: i64, now: i64) -> Duration {
    Duration::from_millis(time.saturating_sub(now).max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(100);

    fn cap(key: &str, count: u32) -> Cap<'_> {
        Cap { key, count, window: WINDOW }
    }

    #[test]
    fn every_cap_holds_and_a_refused_application_takes_no_place() {
        use LimiterDecision::{Admitted, Full, Repeat};
        let mut limiter = Limiter::default();
        let mut admit =
            |person: &str, mark: &str, now| limiter.admit(&[cap(person, 2), cap("network", 3)], mark, WINDOW, now);
        assert_eq!(admit("asha", "1", 0), Admitted);
        assert_eq!(admit("asha", "1", 1_000), Repeat);
        assert_eq!(admit("asha", "2", 1_000), Admitted);
        assert_eq!(admit("asha", "3", 2_000), Full { retry_after: Duration::from_secs(98) });
        assert_eq!(admit("ravi", "4", 2_000), Admitted);
        assert_eq!(admit("mira", "5", 2_000), Full { retry_after: Duration::from_secs(98) });
        assert_eq!(admit("asha", "3", 100_000), Admitted);
    }

    #[test]
    fn places_that_are_given_back_can_be_taken_again() {
        let mut limiter = Limiter::default();
        let caps = [cap("asha", 1)];
        assert_eq!(limiter.admit(&caps, "1", WINDOW, 5), LimiterDecision::Admitted);
        limiter.give_back(&caps, "1", 5);
        assert_eq!((limiter.places, limiter.admit(&caps, "1", WINDOW, 6)), (0, LimiterDecision::Admitted));
    }

    #[test]
    fn the_memory_is_bounded_and_free_places_are_removed() {
        let mut limiter = Limiter::default();
        let mut admit = |key: &str, now| limiter.admit(&[cap(&format!("person {key}"), 1)], key, WINDOW, now);
        let admitted = (0..MOST_PLACES).filter(|n| admit(&n.to_string(), 0) == LimiterDecision::Admitted).count();
        assert!(admitted > MOST_PLACES / 3, "{admitted}");
        assert!(matches!(admit("late", 0), LimiterDecision::OutOfMemory { .. }));
        assert!(limiter.places <= MOST_PLACES, "{}", limiter.places);
        assert_eq!(limiter.admit(&[cap("late", 1)], "late", WINDOW, 100_000), LimiterDecision::Admitted);
        assert_eq!(limiter.places, 2);
    }

    proptest! {
        #[test]
        fn no_stretch_as_long_as_a_window_has_more_than_the_cap(gaps in prop::collection::vec(0_i64..60_000, 1..100)) {
            let (mut now, mut limiter, mut admitted) = (0, Limiter::default(), Vec::new());
            for (n, gap) in gaps.into_iter().enumerate() {
                now += gap;
                if limiter.admit(&[cap("asha", 3)], &n.to_string(), WINDOW, now) == LimiterDecision::Admitted {
                    admitted.push(now);
                }
            }
            for window in admitted.windows(4) {
                prop_assert!(window[3] - window[0] >= 100_000, "{window:?}");
            }
        }
    }
}
