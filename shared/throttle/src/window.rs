//! Limits per window, and the decision whether one more attempt is admitted.

use std::time::Duration;

/// A limit on the attempts in any time span of the window's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimit {
    /// The number of attempts. With 0, no attempt is ever admitted.
    pub count: u32,
    /// The length of the window. Fractions of a millisecond are ignored.
    pub window: Duration,
}

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The attempt may be made, and has been counted.
    Admitted,
    /// The attempt may not be made, and has not been counted.
    Refused {
        /// The time until an attempt can succeed again; at most a window.
        retry_after: Duration,
    },
}

impl AttemptLimit {
    /// Admits one more attempt `now`, after the ones that were `taken` before. Returns the times of all attempts that
    /// then count. Times are Unix milliseconds.
    ///
    /// # Errors
    /// The time until one more attempt is admitted, if this one is not.
    pub fn slide(&self, taken: &[i64], now: i64) -> Result<Vec<i64>, Duration> {
        let window = i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX);
        let begin = now.saturating_sub(window);
        let mut recent: Vec<i64> = taken.iter().copied().filter(|time| *time > begin).collect();
        // Clocks differ a little, so the table's order may differ from the order of the times.
        recent.sort_unstable();
        let count = self.count.try_into().unwrap_or(usize::MAX);
        match recent.len().checked_sub(count).and_then(|first_to_go| recent.get(first_to_go)) {
            None if count > 0 => {
                recent.push(now);
                Ok(recent)
            }
            None => Err(self.window),
            Some(first_to_go) => {
                let left = first_to_go.saturating_sub(begin).unsigned_abs();
                // At most the window, even if the clock of this time was ahead.
                Err(Duration::from_millis(left).min(self.window))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: AttemptLimit = AttemptLimit { count: 3, window: Duration::from_millis(100) };

    #[test]
    fn a_place_is_free_again_a_window_after_it_was_taken() {
        assert_eq!(LIMIT.slide(&[], 1000), Ok(vec![1000]));
        assert_eq!(LIMIT.slide(&[1000, 1010], 1020), Ok(vec![1000, 1010, 1020]));
        assert_eq!(LIMIT.slide(&[1000, 1010, 1020], 1020), Err(Duration::from_millis(80)));
        assert_eq!(LIMIT.slide(&[1000, 1010, 1020], 1099), Err(Duration::from_millis(1)));
        assert_eq!(LIMIT.slide(&[1000, 1010, 1020], 1100), Ok(vec![1010, 1020, 1100]));
        assert_eq!(LIMIT.slide(&[1000, 1010, 1020], 9000), Ok(vec![9000]));
    }

    #[test]
    fn a_limit_that_was_lowered_waits_until_there_are_few_enough() {
        assert_eq!(LIMIT.slide(&[1000, 1001, 1002, 1003, 1004], 1010), Err(Duration::from_millis(92)));
    }

    #[test]
    fn a_clock_that_is_ahead_refuses_attempts_for_at_most_a_window() {
        assert_eq!(LIMIT.slide(&[99_000, 99_000, 99_000], 1000), Err(LIMIT.window));
    }

    #[test]
    fn of_none_nothing_is_admitted() {
        assert_eq!(AttemptLimit { count: 0, ..LIMIT }.slide(&[], 1000), Err(LIMIT.window));
    }

    proptest! {
        #[test]
        fn no_stretch_of_a_window_has_more_than_the_limit(gaps in prop::collection::vec(0_i64..60, 1..200)) {
            let (mut now, mut taken, mut admitted) = (0, Vec::new(), Vec::<i64>::new());
            for gap in gaps {
                now += gap;
                match LIMIT.slide(&taken, now) {
                    Ok(times) => {
                        taken = times;
                        admitted.push(now);
                    }
                    Err(retry_after) => {
                        let then = now + i64::try_from(retry_after.as_millis()).unwrap();
                        prop_assert!(LIMIT.slide(&taken, then - 1).is_err() && LIMIT.slide(&taken, then).is_ok());
                    }
                }
            }
            for window in admitted.windows(4) {
                prop_assert!(window[3] - window[0] >= 100, "{window:?}");
            }
        }
    }
}
