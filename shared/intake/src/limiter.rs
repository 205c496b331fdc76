//! Caps within one process, for as long as the table cannot be asked: the same ones for a person and for a network.

use std::collections::HashMap;
use std::time::Duration;

/// How many places are remembered at most, about two megabytes of them.
const MOST: usize = 20_000;

/// What is counted together, and how often within which time.
pub(crate) struct Cap<'a> {
    pub(crate) key: &'a str,
    pub(crate) count: u32,
    pub(crate) window: Duration,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It may go on, and is counted.
    Admitted,
    /// It was admitted before, and is not counted again.
    Repeat,
    /// A cap is reached.
    Full { retry_after: Duration },
    /// Nothing more can be remembered, and what cannot be counted is not admitted.
    OutOfMemory { retry_after: Duration },
}

/// The places that are taken, by key, with when each becomes free. Times are Unix milliseconds.
#[derive(Default)]
pub(crate) struct Limiter {
    taken: HashMap<String, Vec<i64>>,
    places: usize,
    /// When what is free is looked for again: a flood must not have it done for each request.
    next_sweep: i64,
}

/// How long the memory stays full at least, once it is.
const BETWEEN_SWEEPS: i64 = 1_000;

impl Limiter {
    /// Takes a place of each of these caps and remembers the application by its mark; or does neither.
    pub(crate) fn ask(&mut self, caps: &[Cap<'_>], mark: &str, kept: Duration, now: i64) -> Asked {
        let free = |until: &i64| *until > now;
        if self.taken.get(mark).is_some_and(|times| times.iter().any(free)) {
            return Asked::Repeat;
        }
        for cap in caps {
            let Some(times) = self.taken.get_mut(cap.key) else { continue };
            self.places -= times.len();
            times.retain(free);
            self.places += times.len();
            if times.len() >= cap.count.try_into().unwrap_or(usize::MAX) {
                let next = times.iter().min().copied().unwrap_or(now);
                return Asked::Full { retry_after: until(next, now).min(cap.window) };
            }
        }
        if self.places + caps.len() >= MOST && now >= self.next_sweep {
            self.forget_what_is_free(now);
            self.next_sweep = now.saturating_add(BETWEEN_SWEEPS);
        }
        if self.places + caps.len() >= MOST {
            return Asked::OutOfMemory { retry_after: Duration::from_secs(60) };
        }
        for cap in caps {
            self.take(cap.key, now.saturating_add(milliseconds(cap.window)));
        }
        self.take(mark, now.saturating_add(milliseconds(kept)));
        Asked::Admitted
    }

    /// Gives back what was taken at this moment.
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

    fn forget_what_is_free(&mut self, now: i64) {
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
    fn every_cap_holds_and_a_full_one_takes_nothing_of_the_others() {
        let mut limiter = Limiter::default();
        let mut ask =
            |person: &str, mark: &str, now| limiter.ask(&[cap(person, 2), cap("network", 3)], mark, WINDOW, now);
        assert_eq!(ask("asha", "1", 0), Asked::Admitted);
        assert_eq!(ask("asha", "1", 1_000), Asked::Repeat);
        assert_eq!(ask("asha", "2", 1_000), Asked::Admitted);
        assert_eq!(ask("asha", "3", 2_000), Asked::Full { retry_after: Duration::from_secs(98) });
        assert_eq!(ask("ravi", "4", 2_000), Asked::Admitted);
        assert_eq!(ask("mira", "5", 2_000), Asked::Full { retry_after: Duration::from_secs(98) });
        assert_eq!(ask("asha", "3", 100_000), Asked::Admitted);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut limiter = Limiter::default();
        let caps = [cap("asha", 1)];
        assert_eq!(limiter.ask(&caps, "1", WINDOW, 5), Asked::Admitted);
        limiter.give_back(&caps, "1", 5);
        assert_eq!((limiter.places, limiter.ask(&caps, "1", WINDOW, 6)), (0, Asked::Admitted));
    }

    #[test]
    fn its_memory_is_bounded_and_frees_itself() {
        let mut limiter = Limiter::default();
        let admitted = (0..MOST)
            .filter(|n| limiter.ask(&[cap(&format!("person {n}"), 1)], &format!("{n}"), WINDOW, 0) == Asked::Admitted)
            .count();
        assert!(admitted > MOST / 3 && limiter.places <= MOST, "{admitted} {}", limiter.places);
        assert!(matches!(limiter.ask(&[cap("late", 1)], "late", WINDOW, 0), Asked::OutOfMemory { .. }));
        assert_eq!(limiter.ask(&[cap("late", 1)], "late", WINDOW, 100_000), Asked::Admitted);
        assert_eq!(limiter.places, 2);
    }

    proptest! {
        #[test]
        fn no_stretch_of_a_window_has_more_than_the_cap(gaps in prop::collection::vec(0_i64..60_000, 1..100)) {
            let (mut now, mut limiter, mut admitted) = (0, Limiter::default(), Vec::new());
            for (n, gap) in gaps.into_iter().enumerate() {
                now += gap;
                if limiter.ask(&[cap("asha", 3)], &n.to_string(), WINDOW, now) == Asked::Admitted {
                    admitted.push(now);
                }
            }
            for window in admitted.windows(4) {
                prop_assert!(window[3] - window[0] >= 100_000, "{window:?}");
            }
        }
    }
}
