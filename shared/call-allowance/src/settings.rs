//! What the line is told, and what follows from it.

use std::time::Duration;

use leadsquared::{Lane, Limit};

/// What this system may use of the account's allowance, and how its two lanes share that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What LeadSquared permits the account as a whole, whoever calls
    /// (<https://apidocs.leadsquared.com/rate-limits/>).
    pub limit: Limit,
    /// How much of that is ours, in percent; the rest is for whatever else uses the account.
    pub share: u8,
    /// What the background lane can count on while people are waiting, in percent of what is ours.
    pub background: u8,
    /// The most calls in one UTC day. LeadSquared's days may begin elsewhere: stay a little under its number.
    pub daily: Option<u32>,
    /// How much of `daily` is kept for people who wait, in percent: the background stops before it.
    pub daily_reserve: u8,
    /// By how much the delays of any two calls, from slot to arrival, may differ without a window overflowing.
    ///
    /// It has to cover the difference of two workers' clocks, the time to wake up and to connect, and the network's
    /// jitter. The price is `margin / (window + margin)` of the throughput.
    pub margin: Duration,
    /// How far ahead a slot may lie for a person who waits.
    pub patience: Duration,
}

impl Settings {
    /// The whole of `limit`, 40 % of it safe for the background, no daily cap, 10 % of one kept for people, a margin
    /// of 425 ms and a patience of 5 s.
    ///
    /// The margin is for clocks that are up to 200 ms wrong either way, and 25 ms besides. Where the clocks agree it
    /// is enough for a call that first has to connect. With a window of 5 s it costs 7.8 % of the throughput.
    pub fn new(limit: Limit) -> Self {
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

/// The value of the setting `ALLOWANCE_DAILY` that switches the daily cap off.
pub const NO_DAILY_CAP: &str = "none";

/// The calls of a day that are ours where nothing else is known: 10,000 on LeadSquared's Pro plan, which permits 10
/// calls in 5 s, and 100,000 on the larger ones, times our share in percent.
pub fn plan_daily(calls: u32, share: u8) -> u32 {
    let day: u32 = if calls <= 10 { 10_000 } else { 100_000 };
    (day / 100 * u32::from(share)).max(1)
}

/// Why settings are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// Less than one call in a window would be ours.
    #[error("{share} % of {calls} calls is less than one call in a window; raise the share")]
    NoCalls {
        /// The account's calls in a window.
        calls: u32,
        /// Our share of them.
        share: u8,
    },
    /// A percentage is not one.
    #[error("{name} must be from 1 to {most} percent")]
    Percentage {
        /// The setting.
        name: &'static str,
        /// The largest useful value.
        most: u8,
    },
    /// A time is zero, or longer than the line looks ahead.
    #[error("{name} must be longer than nothing and at most a minute")]
    Time {
        /// The setting.
        name: &'static str,
    },
    /// No call at all would be permitted.
    #[error("a daily cap of 0 permits no call; leave it out if there is none")]
    NoDailyCalls,
    /// The background would never get a call.
    #[error("daily_reserve must be at most 99 percent")]
    DailyReserve,
}

/// No window, patience or margin is longer, so nobody ever books much further ahead than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// Settings that were looked at, as the line uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    settings: Settings,
    interval: Duration,
}

impl Rules {
    /// Looks at the settings.
    ///
    /// # Errors
    /// When they permit no call, or a percentage or a time is out of its range.
    pub fn new(settings: Settings) -> Result<Self, InvalidSettings> {
        for (name, value, most) in [("share", settings.share, 100), ("background", settings.background, 99)] {
            if !(1..=most).contains(&value) {
                return Err(InvalidSettings::Percentage { name, most });
            }
        }
        for (name, time) in [("window", settings.limit.window), ("patience", settings.patience)] {
            if time.is_zero() || time > LONGEST {
                return Err(InvalidSettings::Time { name });
            }
        }
        if settings.margin.is_zero() || settings.margin > settings.limit.window {
            return Err(InvalidSettings::Time { name: "margin" });
        }
        if settings.daily_reserve > 99 {
            return Err(InvalidSettings::DailyReserve);
        }
        if settings.daily == Some(0) {
            return Err(InvalidSettings::NoDailyCalls);
        }
        let interval = interval(&settings, settings.limit)
            .ok_or(InvalidSettings::NoCalls { calls: settings.limit.calls, share: settings.share })?;
        Ok(Self { settings, interval })
    }

    /// What they were made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time from one slot to the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The time from one slot to the next under a limit that LeadSquared named, if that is slower than our own.
    ///
    /// A window of hours is the day's allowance: spreading it evenly would slow everybody down for no reason.
    pub(crate) fn slower(&self, limit: Limit) -> Option<Duration> {
        if limit.window.is_zero() || limit.window > LONGEST {
            return None;
        }
        // Of a limit that leaves us no whole call, one is still needed to find out when it is over.
        let interval = interval(&self.settings, limit).unwrap_or(limit.window + self.settings.margin);
        (interval > self.interval).then_some(interval)
    }

    /// The most calls that a lane may have made when it asks for another, in one UTC day.
    pub fn daily(&self, lane: Lane) -> Option<u32> {
        let daily = self.settings.daily?;
        let kept = u64::from(daily) * u64::from(self.settings.daily_reserve) / 100;
        match lane {
            Lane::Interactive => Some(daily),
            // A part of it, so it is no larger than it.
            Lane::Background => Some(daily - u32::try_from(kept).unwrap_or(daily)),
        }
    }

    /// How far ahead the background books while it has no turn: what a person who comes now waits for at most.
    pub(crate) fn ahead(&self) -> Duration {
        (self.settings.limit.window / 5).min(self.settings.patience / 2)
    }

    /// How far ahead the background books when it has a turn. More than a person may, or crowds of people who fill the
    /// line to the limit of their patience would keep the background from getting in.
    pub(crate) fn ahead_on_turn(&self) -> Duration {
        self.settings.patience * 2
    }

    /// The time from one turn of the background to the next.
    pub(crate) fn between_turns(&self, interval: Duration) -> Duration {
        interval * 100 / u32::from(self.settings.background)
    }

    /// How many slots people leave free for a background that has just asked: as many as lie within their patience,
    /// and as many as it may need to ask again.
    pub(crate) fn most_reserved(&self, interval: Duration) -> u32 {
        let within = self.settings.patience.as_nanos().div_ceil(self.between_turns(interval).as_nanos().max(1));
        u32::try_from(within).unwrap_or(u32::MAX).saturating_add(2)
    }

    /// When a reserved slot that nobody has booked goes to the next person who asks: so long before it.
    pub(crate) fn handover(&self, interval: Duration) -> Duration {
        (interval / 2).min(self.ahead())
    }

    /// The longest that a person who comes alone waits: behind what the background books ahead, and two of its turns.
    pub(crate) fn longest_wait_alone(&self, interval: Duration) -> Duration {
        self.ahead() + interval * 3
    }

    /// How late a call may leave. A later one would eat up the margin that is there for clocks and the network.
    pub(crate) fn lateness(&self) -> Duration {
        self.settings.margin / 4
    }
}

/// Calls that leave in slots this far apart, each delayed by up to the margin, are at most so many in any window:
/// one more would span all of `window + margin` when it leaves, and so at least `window` when it arrives.
fn interval(settings: &Settings, limit: Limit) -> Option<Duration> {
    let calls = u128::from(limit.calls) * u128::from(settings.share) / 100;
    let nanoseconds = (limit.window + settings.margin).as_nanos().checked_add(calls.checked_sub(1)?)? / calls;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(Limit { calls: 25, window: Duration::from_secs(5) })
    }

    #[test]
    fn the_interval_follows_from_limit_share_and_margin() {
        assert_eq!(Rules::new(settings()).unwrap().interval(), Duration::from_millis(217));
        let half = Settings { share: 50, ..settings() };
        // Half of 25 calls is 12.
        assert_eq!(Rules::new(half).unwrap().interval(), Duration::from_nanos(452_083_334));
    }

    #[test]
    fn the_default_margin_costs_less_than_a_twelfth() {
        let rate = 1.0 / Rules::new(settings()).unwrap().interval().as_secs_f64();
        assert!(rate / 5.0 > 0.92, "{rate} calls a second of 5");
    }

    #[test]
    fn settings_of_no_use_are_refused_by_name() {
        let refused = [
            (Settings { daily_reserve: 100, ..settings() }, InvalidSettings::DailyReserve),
            (Settings { share: 3, ..settings() }, InvalidSettings::NoCalls { calls: 25, share: 3 }),
            (Settings { share: 0, ..settings() }, InvalidSettings::Percentage { name: "share", most: 100 }),
            (Settings { share: 101, ..settings() }, InvalidSettings::Percentage { name: "share", most: 100 }),
            (Settings { background: 100, ..settings() }, InvalidSettings::Percentage { name: "background", most: 99 }),
            (Settings { patience: Duration::ZERO, ..settings() }, InvalidSettings::Time { name: "patience" }),
            (Settings { margin: Duration::ZERO, ..settings() }, InvalidSettings::Time { name: "margin" }),
            (Settings { margin: Duration::from_secs(6), ..settings() }, InvalidSettings::Time { name: "margin" }),
            (
                Settings { limit: Limit { calls: 25, window: Duration::from_secs(61) }, ..settings() },
                InvalidSettings::Time { name: "window" },
            ),
            (Settings { daily: Some(0), ..settings() }, InvalidSettings::NoDailyCalls),
        ];
        for (settings, error) in refused {
            assert_eq!(Rules::new(settings), Err(error), "{settings:?}");
        }
    }

    #[test]
    fn the_background_stops_before_the_reserve_of_the_day() {
        let background = |daily, daily_reserve| {
            Rules::new(Settings { daily, daily_reserve, ..settings() }).unwrap().daily(Lane::Background)
        };
        assert_eq!(background(None, 10), None);
        for (daily, reserve, expected) in
            [(10_000, 10, 9_000), (10_000, 0, 10_000), (15, 10, 14), (1, 99, 1), (u32::MAX, 50, u32::MAX / 2 + 1)]
        {
            assert_eq!(background(Some(daily), reserve), Some(expected), "{reserve} % of {daily}");
        }
    }

    #[test]
    fn only_a_slower_limit_of_a_short_window_counts() {
        let rules = Rules::new(settings()).unwrap();
        let limit = |calls, seconds| Limit { calls, window: Duration::from_secs(seconds) };
        assert_eq!(rules.slower(limit(10, 5)), Some(Duration::from_micros(542_500)));
        assert_eq!(rules.slower(limit(0, 5)), Some(Duration::from_millis(5_425)));
        for other in [limit(25, 5), limit(30, 5), limit(100_000, 86_400), limit(1, 0)] {
            assert_eq!(rules.slower(other), None, "{other:?}");
        }
    }
}
