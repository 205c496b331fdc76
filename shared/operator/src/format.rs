//! Formats times and durations for reports.

use std::time::Duration;

use time::OffsetDateTime;

/// How long ago `at` was: `5 min`. A moment in the future is `0 s` ago.
pub(crate) fn ago(at: OffsetDateTime, now: OffsetDateTime) -> String {
    roughly((now - at).try_into().unwrap_or_default())
}

/// How long it is until `at`: `10 days`. It is `0 s` until a moment in the past.
pub(crate) fn until(at: OffsetDateTime, now: OffsetDateTime) -> String {
    ago(now, at)
}

/// A duration in its largest unit: `119 s`, `2 min`, `3 h`, `2 days`.
pub(crate) fn roughly(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match time.as_secs() {
        seconds if seconds < 2 * MINUTE => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} days", seconds / DAY),
    }
}

/// A short duration: `30 s`, or `500 ms` below a second.
pub(crate) fn exactly(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds => format!("{seconds} s"),
    }
}

/// A moment: `2026-01-02 03:04:05.678 UTC`.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    let (date, (hour, minute, second, millisecond)) = (at.date(), at.to_hms_milli());
    format!("{date} {hour:02}:{minute:02}:{second:02}.{millisecond:03} UTC")
}

/// A moment from Unix milliseconds, as SQS and CloudWatch Logs give it.
pub(crate) fn from_milliseconds(milliseconds: i64) -> OffsetDateTime {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    at.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05.678 UTC);

    #[test]
    fn an_age_has_one_unit_and_is_never_negative() {
        let ages =
            [-5, 0, 119, 120, 7199, 7200, 172_799, 172_800].map(|age| ago(NOW - time::Duration::seconds(age), NOW));
        assert_eq!(ages, ["0 s", "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
        assert_eq!(until(NOW + time::Duration::hours(3), NOW), "3 h");
        assert_eq!([Duration::from_millis(500), Duration::from_secs(30)].map(exactly), ["500 ms", "30 s"]);
    }

    #[test]
    fn a_moment_is_exact_to_the_millisecond() {
        let milliseconds = i64::try_from(NOW.unix_timestamp_nanos() / 1_000_000).unwrap();
        assert_eq!(moment(from_milliseconds(milliseconds)), "2026-01-02 03:04:05.678 UTC");
    }
}
