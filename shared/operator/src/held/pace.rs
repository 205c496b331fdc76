//! How fast held applications are accepted, so that other people's invitations do not wait behind them.

use std::time::Duration;

use onboarding::{Action, Cost, MailLimits};

use super::BATCH;
use crate::Parameters;

/// Accepted applications use one part in this many of the worker's time, of the day's calls and of the day's mails.
const SHARE: u64 = 2;

/// How fast held applications are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time from one batch of ten to the next. The worker can handle twice as many applications in it.
    pub every: Duration,
    /// How many applications a day: half of the number that the day's mails and the plan's daily calls suffice for.
    pub a_day: u64,
}

impl Pace {
    /// The pace for a stack with these parameters. A parameter that an older template does not have counts with its
    /// default.
    pub fn of(parameters: &Parameters) -> Self {
        let calls = parameters.number("AllowanceCalls", call_allowance::DEFAULT_CALLS).max(1);
        let window: u64 = parameters.number("AllowanceWindowSeconds", 5).max(1);
        let share: u8 = parameters.number("AllowanceShare", 100).clamp(1, 100);
        let mails = u64::from(parameters.number("MailBudget", MailLimits::default().budget));
        let setting = parameters.text("AllowanceDaily").filter(|text| !text.is_empty());
        // A stack with an invalid setting does not start, so there is nothing to accept.
        let daily = call_allowance::daily_cap(setting, calls, share).ok().flatten().map_or(u64::MAX, u64::from);
        let calls_each = u64::from(Cost::of(Action::Invite).calls);
        let (calls, share) = (u64::from(calls), u64::from(share));
        let milliseconds = BATCH as u64 * calls_each * SHARE * window * 1000 * 100 / (calls * share);
        Self { every: Duration::from_millis(milliseconds), a_day: (mails.min(daily / calls_each) / SHARE).max(1) }
    }

    /// How long it takes to accept this many.
    pub fn time_for(&self, count: usize) -> Duration {
        let pauses = count.div_ceil(BATCH).saturating_sub(1);
        self.every.saturating_mul(u32::try_from(pauses).unwrap_or(u32::MAX))
    }

    /// How many more may be accepted today.
    pub(super) fn left(&self, accepted_today: u64) -> usize {
        usize::try_from(self.a_day.saturating_sub(accepted_today)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(values: &[(&str, &str)]) -> Parameters {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn accepted_applications_leave_half_of_the_calls_and_mails_to_others() {
        for (values, every, a_day) in [
            // 10 calls in 5 s suffice for 40 invitations a minute. Ten of them, and ten of other people, take 30 s.
            (&[][..], 30_000, 1_666),
            (&[("AllowanceDaily", "")], 30_000, 1_666),
            (&[("AllowanceShare", "50")], 60_000, 833),
            (&[("AllowanceCalls", "20")], 15_000, 5_000),
            (&[("AllowanceDaily", "none")], 30_000, 5_000),
            (&[("AllowanceDaily", "600")], 30_000, 100),
            (&[("AllowanceDaily", "1")], 30_000, 1),
            (&[("MailBudget", "100")], 30_000, 50),
        ] {
            let pace = Pace::of(&parameters(values));
            assert_eq!((pace.every, pace.a_day), (Duration::from_millis(every), a_day), "{values:?}");
        }
    }

    #[test]
    fn the_duration_and_the_rest_of_the_day_are_known_beforehand() {
        let pace = Pace::of(&Parameters::default());
        let minutes = [0, 1, 10, 11, 100, 10_000].map(|count| pace.time_for(count).as_secs() / 60);
        assert_eq!(minutes, [0, 0, 0, 0, 4, 499]);
        assert_eq!([pace.left(0), pace.left(1_666), pace.left(2_000)], [1_666, 0, 0]);
    }
}
