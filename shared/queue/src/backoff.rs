//! How long a message waits for its next delivery, and how often and how long SQS keeps delivering it.

use std::time::Duration;

/// How often SQS delivers a message before it moves it to the dead letters by itself, without a reason: the queue's
/// `maxReceiveCount`.
pub const MOST_RECEIVES: u32 = 1000;

/// How long SQS keeps a message, from when it was put on the queue: the queue's `MessageRetentionPeriod`. Then it is
/// deleted.
pub const RETENTION: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// From this delivery on a message is given up whatever its age, so that it becomes a dead letter with its reason and
/// not one of SQS's without.
pub const LAST_RECEIVE: u32 = MOST_RECEIVES - 10;

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
/// `receive_count` is how often it was delivered so far, from 1; `random` is uniform over all of `u32`. Between 1 s
/// and 10 s after the first delivery, up to 15 min from the eighth on, and up to an hour after 200. Jitter is over the
/// whole range, so that a thousand messages that failed together do not come back together
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
pub fn backoff(receive_count: u32, random: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << receive_count.saturating_sub(1).min(16));
    let longest = doubled.min(if receive_count > PATIENT { LONGEST_OF_ALL } else { LONGEST });
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX)).max(Duration::from_secs(1))
}

/// How often a message may find no call left for it before its waits grow.
const THROTTLED: u32 = 50;

/// How long a message waits that found no call of the allowance left for it: 5 s to 20 s, and no longer the next time.
/// That is no failure of the message's, so it does not count as one. Only if it goes on for a quarter of an hour do
/// the waits grow like everybody's.
pub fn after_throttling(receive_count: u32, random: u32) -> Duration {
    match receive_count.checked_sub(THROTTLED) {
        None | Some(0) => {
            Duration::from_secs(5) + Duration::from_secs(15).mul_f64(f64::from(random) / f64::from(u32::MAX))
        }
        Some(further) => backoff(further, random),
    }
}

/// How often a message may find no time left in an invocation before it waits.
const UNLUCKY: u32 = 3;

/// How long a message waits for which an invocation had no time left. It comes back at once, since that is mostly the
/// fault of those before it in its batch; but not again and again, or a function whose time-out is too short for any
/// message would use up all of a message's deliveries within minutes.
pub fn after_no_time(receive_count: u32, random: u32) -> Duration {
    match receive_count.checked_sub(UNLUCKY) {
        None | Some(0) => Duration::ZERO,
        Some(further) => backoff(further, random),
    }
}

/// Time before the end of retention by which SQS has to have moved a message.
const MARGIN: Duration = Duration::from_secs(2 * 60 * 60);

/// How long a message of this age waits that belongs among the dead letters and cannot be put there: so short that its
/// deliveries are used up before its time on the queue is. Then SQS moves it there itself, which needs no permission
/// of the function's and no URL in its settings.
pub fn before_retention_ends(receive_count: u32, age: Duration) -> Duration {
    let deliveries = (MOST_RECEIVES + 1).saturating_sub(receive_count).max(1);
    let left = RETENTION.saturating_sub(MARGIN).saturating_sub(age);
    (left / deliveries).clamp(Duration::from_secs(1), LONGEST_OF_ALL)
}

/// About how long ago a message was put on the queue that was delivered so often and does not say when: as long as the
/// usual waits add up to.
pub(crate) fn usual_age(receive_count: u32) -> Duration {
    const MIDDLE: u32 = u32::MAX / 2;
    (1..receive_count.min(2 * MOST_RECEIVES)).map(|count| backoff(count, MIDDLE)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_that_cannot_be_written_uses_up_its_deliveries_in_time() {
        for (first, day) in [(1, 13), (30, 13), (774, 13), (999, 13), (1, 1)] {
            let mut age = Duration::from_secs(day * 86_400);
            for received in first..=MOST_RECEIVES {
                age += before_retention_ends(received, age);
            }
            assert!(age < RETENTION - Duration::from_secs(3600), "from delivery {first} on day {day}: {age:?}");
        }
        assert_eq!(before_retention_ends(u32::MAX, RETENTION), Duration::from_secs(1));
    }

    #[test]
    fn what_there_is_no_time_for_comes_back_at_once_but_not_for_ever() {
        let waits: Vec<u64> = [0, 1, 3, 4, 5].map(|count| after_no_time(count, u32::MAX).as_secs()).into();
        assert_eq!(waits, [0, 0, 0, 10, 20]);
    }

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
