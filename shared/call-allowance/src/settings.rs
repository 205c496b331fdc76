//! The settings of the call allowance, and the distances between slots that follow from them.

use std::num::{NonZeroU32, ParseIntError};
use std::time::Duration;

use leadsquared::{Lane, RateLimit};

/// The part of the account's allowance that this system uses, and how its two lanes share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowanceSettings {
    /// The limit of the whole account, for all callers together (<https://apidocs.leadsquared.com/rate-limits/>).
    pub limit: RateLimit,
    /// Our share of the limit, in percent. The rest is for other callers of the account.
    pub share: u8,
    /// The part of our share that the background lane is guaranteed while people are waiting, in percent.
    pub background: u8,
    /// The most calls in one UTC day; none for no daily cap. LeadSquared's day may begin at another hour, so the number
    /// should be a little below the plan's.
    pub daily: Option<u32>,
    /// The part of `daily` that is reserved for people who wait, in percent. The background cannot use it.
    pub daily_reserve: u8,
    /// The largest difference between the delays of two calls, from slot to arrival, at which no window overflows.
    ///
    /// It must cover the difference between two workers' clocks, the time to wake up and to connect, and the network's
    /// jitter. It costs `margin / (window + margin)` of the throughput.
    pub margin: Duration,
    /// The longest time that a person waits for a slot.
    pub patience: Duration,
}

impl AllowanceSettings {
    /// The whole of `limit`, 40 % of it guaranteed for the background, no daily cap, 10 % of a cap reserved for people,
    /// a margin of 425 ms and a patience of 5 s.
    ///
    /// The margin covers clocks that are up to 200 ms wrong in either direction, and another 25 ms. If the clocks
    /// agree, it also covers the handshakes of a connection that is replaced after the slot. With a window of 5 s it
    /// costs 7.8 % of the throughput.
    pub fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            share: 100,
            background: 40,
            daily: None,
            daily_reserve: 10,
            margin: Duration::from_millis(425),
            patience: Duration::from_secs(5),
        }
    }
}

/// The calls in 5 s of LeadSquared's Pro plan, the smallest with an API
/// (<https://apidocs.leadsquared.com/rate-limits/>). Default of `ALLOWANCE_CALLS`.
pub const DEFAULT_CALLS: u32 = 10;

/// Reads the setting `ALLOWANCE_DAILY`: a number of calls in a UTC day, or `none` for no cap. Without the setting the
/// plan decides.
///
/// # Errors
/// When the text is neither.
pub fn daily_cap(setting: Option<&str>, calls: u32, share: u8) -> Result<Option<u32>, ParseIntError> {
    match setting.map(str::trim) {
        None => Ok(Some(plan_daily(calls, share))),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => text.parse::<NonZeroU32>().map(|calls| Some(calls.get())),
    }
}

/// The daily cap that follows from the plan: `share` percent of 10,000 calls on LeadSquared's Pro plan, which permits
/// 10 calls in 5 s, and of 100,000 calls on larger plans (<https://apidocs.leadsquared.com/rate-limits/>).
fn plan_daily(calls: u32, share: u8) -> u32 {
    let day: u32 = if calls <= DEFAULT_CALLS { 10_000 } else { 100_000 };
    (day / 100 * u32::from(share)).max(1)
}

/// Why settings are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAllowance {
    /// Our share is less than one call in a window.
    #[error("{share} % of {calls} calls is less than one call in a window; raise the share")]
    NoCalls {
        /// The account's calls in a window.
        calls: u32,
        /// Our share of them, in percent.
        share: u8,
    },
    /// A percentage is out of range.
    #[error("{name} must be from 1 to {most} percent")]
    Percentage {
        /// The setting.
        name: &'static str,
        /// The largest valid value.
        most: u8,
    },
    /// A time is zero or too long.
    #[error("{name} must be longer than 0 s and at most 60 s; the margin at most the window")]
    Time {
        /// The setting.
        name: &'static str,
    },
    /// The daily cap is 0.
    #[error("a daily cap of 0 permits no call; for no daily cap, use the value `none`")]
    NoDailyCalls,
    /// The reserve for people is the whole day, so the background would never get a call.
    #[error("daily_reserve must be at most 99 percent")]
    DailyReserve,
}

/// The longest window, patience and margin. Slots are never booked much further ahead than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// How far ahead the background books, so that its calls leave on time: several times as long as DynamoDB takes for a
/// booking. It is no longer than that, because every slot that the background books ahead is one that a person who
/// arrives now waits for. That person's second call then finds the slot after the first one free.
const BOOKING_TIME: Duration = Duration::from_millis(50);

/// Checked settings, and the interval between slots that follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowanceRules {
    settings: AllowanceSettings,
    interval: Duration,
}

impl AllowanceRules {
    /// Checks the settings.
    ///
    /// # Errors
    /// When they permit no call, or a percentage or a time is out of range.
    pub fn new(settings: AllowanceSettings) -> Result<Self, InvalidAllowance> {
        for (name, value, most) in [("share", settings.share, 100), ("background", settings.background, 99)] {
            if !(1..=most).contains(&value) {
                return Err(InvalidAllowance::Percentage { name, most });
            }
        }
        for (name, time) in [("window", settings.limit.window), ("patience", settings.patience)] {
            if time.is_zero() || time > LONGEST {
                return Err(InvalidAllowance::Time { name });
            }
        }
        if settings.margin.is_zero() || settings.margin > settings.limit.window {
            return Err(InvalidAllowance::Time { name: "margin" });
        }
        if settings.daily_reserve > 99 {
            return Err(InvalidAllowance::DailyReserve);
        }
        if settings.daily == Some(0) {
            return Err(InvalidAllowance::NoDailyCalls);
        }
        let interval = interval(&settings, settings.limit)
            .ok_or(InvalidAllowance::NoCalls { calls: settings.limit.calls, share: settings.share })?;
        Ok(Self { settings, interval })
    }

    /// The settings.
    pub fn settings(&self) -> &AllowanceSettings {
        &self.settings
    }

    /// The time from one slot to the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The time from one slot to the next under a limit that LeadSquared named, if that is longer than the interval.
    ///
    /// A limit with a window of hours is a daily limit. It is ignored: to spread it evenly would slow down every call
    /// for no reason.
    pub(crate) fn slower(&self, limit: RateLimit) -> Option<Duration> {
        if limit.window.is_zero() || limit.window > LONGEST {
            return None;
        }
        // If our share of the limit is less than one call, one call in a window is still made: it shows when the limit
        // no longer applies.
        let interval = interval(&self.settings, limit).unwrap_or(limit.window + self.settings.margin);
        (interval > self.interval).then_some(interval)
    }

    /// The daily cap of a lane: when this many calls were made in a UTC day, the lane gets no further slot.
    pub fn daily(&self, lane: Lane) -> Option<u32> {
        let daily = self.settings.daily?;
        let reserved = u64::from(daily) * u64::from(self.settings.daily_reserve) / 100;
        match lane {
            Lane::Interactive => Some(daily),
            // The reserve is a part of `daily`, so it fits into its type.
            Lane::Background => Some(daily - u32::try_from(reserved).unwrap_or(daily)),
        }
    }

    /// How far ahead the background can book outside its turns.
    pub(crate) fn ahead(&self) -> Duration {
        BOOKING_TIME.min(self.settings.patience / 2)
    }

    /// How far ahead the background can book on its turn. This is further than a person can book. Otherwise crowds of
    /// people who fill the schedule to the end of their patience would keep the background out.
    pub(crate) fn ahead_on_turn(&self) -> Duration {
        self.settings.patience * 2
    }

    /// The time from one turn of the background to the next.
    pub(crate) fn between_turns(&self, interval: Duration) -> Duration {
        interval * 100 / u32::from(self.settings.background)
    }

    /// How many slots are reserved for a background that has just booked: the turns within the patience of people, and
    /// two more, so that the reserve lasts until it books again.
    pub(crate) fn most_reserved(&self, interval: Duration) -> u32 {
        let within = self.settings.patience.as_nanos().div_ceil(self.between_turns(interval).as_nanos().max(1));
        u32::try_from(within).unwrap_or(u32::MAX).saturating_add(2)
    }

    /// How long before its time a reserved slot that is still free goes to the next person.
    pub(crate) fn handover(&self, interval: Duration) -> Duration {
        (interval / 2).min(self.settings.limit.window / 5)
    }

    /// The longest wait of a person who arrives alone: behind a slot and a turn of the background, and for a second
    /// call one slot more. Nearer slots are not reserved.
    pub(crate) fn longest_wait_alone(&self, interval: Duration) -> Duration {
        self.ahead() + interval * 3
    }

    /// How late after its slot a call can start. A later start would use up the margin for clocks and the network.
    pub(crate) fn lateness(&self) -> Duration {
        self.settings.margin / 4
    }
}

/// The distance between slots at which no window has more calls than our share, if each call is delayed by up to the
/// margin. One call more would start at least `window + margin` after the first, and so arrive at least `window` after
/// it.
fn interval(settings: &AllowanceSettings, limit: RateLimit) -> Option<Duration> {
    let calls = u128::from(limit.calls) * u128::from(settings.share) / 100;
    let nanoseconds = (limit.window + settings.margin).as_nanos().checked_add(calls.checked_sub(1)?)? / calls;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> AllowanceSettings {
        AllowanceSettings::new(RateLimit { calls: 25, window: Duration::from_secs(5) })
    }

    #[test]
    fn the_interval_follows_from_limit_share_and_margin() {
        assert_eq!(AllowanceRules::new(settings()).unwrap().interval(), Duration::from_millis(217));
        let half = AllowanceSettings { share: 50, ..settings() };
        // Half of 25 calls is 12.
        assert_eq!(AllowanceRules::new(half).unwrap().interval(), Duration::from_nanos(452_083_334));
    }

    #[test]
    fn the_default_margin_costs_less_than_a_twelfth_of_the_throughput() {
        let rate = 1.0 / AllowanceRules::new(settings()).unwrap().interval().as_secs_f64();
        assert!(rate / 5.0 > 0.92, "{rate} calls a second of 5");
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        let refused = [
            (AllowanceSettings { daily_reserve: 100, ..settings() }, InvalidAllowance::DailyReserve),
            (AllowanceSettings { share: 3, ..settings() }, InvalidAllowance::NoCalls { calls: 25, share: 3 }),
            (AllowanceSettings { share: 0, ..settings() }, InvalidAllowance::Percentage { name: "share", most: 100 }),
            (AllowanceSettings { share: 101, ..settings() }, InvalidAllowance::Percentage { name: "share", most: 100 }),
            (
                AllowanceSettings { background: 100, ..settings() },
                InvalidAllowance::Percentage { name: "background", most: 99 },
            ),
            (AllowanceSettings { patience: Duration::ZERO, ..settings() }, InvalidAllowance::Time { name: "patience" }),
            (AllowanceSettings { margin: Duration::ZERO, ..settings() }, InvalidAllowance::Time { name: "margin" }),
            (
                AllowanceSettings { margin: Duration::from_secs(6), ..settings() },
                InvalidAllowance::Time { name: "margin" },
            ),
            (
                AllowanceSettings { limit: RateLimit { calls: 25, window: Duration::from_secs(61) }, ..settings() },
                InvalidAllowance::Time { name: "window" },
            ),
            (AllowanceSettings { daily: Some(0), ..settings() }, InvalidAllowance::NoDailyCalls),
        ];
        for (settings, error) in refused {
            assert_eq!(AllowanceRules::new(settings), Err(error), "{settings:?}");
        }
    }

    #[test]
    fn the_background_stops_at_the_daily_reserve_for_people() {
        let background = |daily, daily_reserve| {
            AllowanceRules::new(AllowanceSettings { daily, daily_reserve, ..settings() })
                .unwrap()
                .daily(Lane::Background)
        };
        assert_eq!(background(None, 10), None);
        for (daily, reserve, expected) in
            [(10_000, 10, 9_000), (10_000, 0, 10_000), (15, 10, 14), (1, 99, 1), (u32::MAX, 50, u32::MAX / 2 + 1)]
        {
            assert_eq!(background(Some(daily), reserve), Some(expected), "{reserve} % of {daily}");
        }
    }

    #[test]
    fn only_a_slower_limit_with_a_short_window_counts() {
        let rules = AllowanceRules::new(settings()).unwrap();
        let limit = |calls, seconds| RateLimit { calls, window: Duration::from_secs(seconds) };
        assert_eq!(rules.slower(limit(10, 5)), Some(Duration::from_micros(542_500)));
        assert_eq!(rules.slower(limit(0, 5)), Some(Duration::from_millis(5_425)));
        for other in [limit(25, 5), limit(30, 5), limit(100_000, 86_400), limit(1, 0)] {
            assert_eq!(rules.slower(other), None, "{other:?}");
        }
    }
}
