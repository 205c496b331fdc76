use std::time::Duration;

/// The longest wait before the first repeat.
const FIRST: Duration = Duration::from_secs(10);

/// The longest wait before any repeat.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// After this many deliveries, about a day, hours make no difference any more.
const PATIENT: u32 = 200;

/// The longest wait from then on.
const LONGEST_OF_ALL: Duration = Duration::from_secs(60 * 60);

/// How long a message waits before its next delivery: exponential, with full jitter.
///
/// `receive_count` is how often it was delivered so far, from 1; `random` is uniform over all of `u32`. Between 1 s and
/// 10 s after the first delivery, up to 15 min from the eighth on, and up to an hour after 200. Jitter is over the whole range, so that a thousand messages that
/// failed together do not come back together
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
pub fn backoff(receive_count: u32, random: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << receive_count.saturating_sub(1).min(16));
    let longest = doubled.min(if receive_count > PATIENT { LONGEST_OF_ALL } else { LONGEST });
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX)).max(Duration::from_secs(1))
}

/// How often a message may find no call left for it before its waits grow.
const THROTTLED: u32 = 50;

/// How long a message waits that found no call of the allowance left for it: 5 s to 20 s, and no longer the next time. That
/// is no failure of the message's, so it does not count as one. Only if it goes on for a quarter of an hour do the waits
/// grow like everybody's.
pub fn after_throttling(receive_count: u32, random: u32) -> Duration {
    match receive_count.checked_sub(THROTTLED) {
        None | Some(0) => {
            Duration::from_secs(5) + Duration::from_secs(15).mul_f64(f64::from(random) / f64::from(u32::MAX))
        }
        Some(further) => backoff(further, random),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_doubles_up_to_a_quarter_of_an_hour() {
        let longest: Vec<u64> = (0..=10).map(|count| backoff(count, u32::MAX).as_secs()).collect();
        assert_eq!(longest, [10, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
        assert_eq!([backoff(200, u32::MAX), backoff(201, u32::MAX)], [LONGEST, LONGEST_OF_ALL]);
        assert_eq!(backoff(u32::MAX, u32::MAX), LONGEST_OF_ALL);
    }

    #[test]
    fn throttling_is_waited_out_without_growing_impatient() {
        let waits: Vec<u64> = [1, 2, 50, 51, 52].map(|count| after_throttling(count, u32::MAX).as_secs()).into();
        assert_eq!(waits, [20, 20, 20, 10, 20]);
        assert_eq!(after_throttling(1, 0), Duration::from_secs(5));
    }

    #[test]
    fn the_wait_is_anywhere_in_the_range_and_never_nothing() {
        assert_eq!(backoff(5, 0), Duration::from_secs(1));
        assert_eq!(backoff(5, u32::MAX / 2).as_secs(), 79);
    }
}
