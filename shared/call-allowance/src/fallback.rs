//! A fallback for people who wait, while the table with the call schedule is unavailable.

use leadsquared::RateLimit;
use time::OffsetDateTime;

use crate::in_process::InProcess;
use crate::schedule::{CallSchedule, ScheduleError, SlotDecision, SlotRequest};
use crate::settings::{AllowanceRules, AllowanceSettings};

/// A call schedule with a fallback in the process: while the table is unavailable, people can still sign in.
///
/// The fallback has half of the calls. In such an outage the background makes no calls, because all its work needs the
/// table. Two processes together thus stay within the allowance. If there are more, LeadSquared refuses some calls.
#[derive(Debug)]
pub struct WithFallback<L> {
    schedule: L,
    fallback: InProcess,
}

impl<L: CallSchedule> WithFallback<L> {
    /// This schedule, with a fallback that has half of its calls.
    pub fn new(schedule: L) -> Self {
        let rules = schedule.rules();
        let half = AllowanceSettings { share: rules.settings().share.div_ceil(2), ..*rules.settings() };
        // Half of a single call would be none.
        let fallback = InProcess::new(AllowanceRules::new(half).unwrap_or(*rules));
        Self { schedule, fallback }
    }
}

impl<L: CallSchedule> CallSchedule for WithFallback<L> {
    fn rules(&self) -> &AllowanceRules {
        self.schedule.rules()
    }

    async fn book(&self, request: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        match self.schedule.book(request).await {
            Err(ScheduleError::Unavailable { .. }) => self.fallback.book(request).await,
            booked => booked,
        }
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<RateLimit>) -> Result<(), ScheduleError> {
        self.fallback.back_off(now, limit).await?;
        self.schedule.back_off(now, limit).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::executor::block_on;
    use leadsquared::Lane;
    use time::macros::datetime;

    use super::*;

    /// A schedule that is always unavailable.
    struct Unavailable(AllowanceRules);

    impl CallSchedule for Unavailable {
        fn rules(&self) -> &AllowanceRules {
            &self.0
        }

        async fn book(&self, _: SlotRequest) -> Result<SlotDecision, ScheduleError> {
            Err(ScheduleError::Unavailable { cause: "not reached".to_owned() })
        }

        async fn back_off(&self, _: OffsetDateTime, _: Option<RateLimit>) -> Result<(), ScheduleError> {
            Err(ScheduleError::Unavailable { cause: "not reached".to_owned() })
        }
    }

    fn rules(calls: u32) -> AllowanceRules {
        AllowanceRules::new(AllowanceSettings::new(RateLimit { calls, window: Duration::from_secs(5) })).unwrap()
    }

    fn slots(schedule: &impl CallSchedule, now: OffsetDateTime, number: usize) -> Vec<OffsetDateTime> {
        let request =
            SlotRequest { lane: Lane::Interactive, now, latest: now + Duration::from_secs(4), takes_next: false };
        let slot = |_| match block_on(schedule.book(request)).unwrap() {
            SlotDecision::Granted { slot, .. } => Some(slot),
            _ => None,
        };
        (0..number).map_while(slot).collect()
    }

    #[test]
    fn while_the_table_is_unavailable_a_process_has_half_the_calls() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let (whole, half) = (rules(10), rules(5));
        assert_eq!(slots(&WithFallback::new(Unavailable(whole)), now, 3), slots(&InProcess::new(half), now, 3));
        // A limit of one call stays one.
        assert_eq!(slots(&WithFallback::new(Unavailable(rules(1))), now, 2), slots(&InProcess::new(rules(1)), now, 2));
    }

    #[test]
    fn while_the_table_is_available_the_fallback_is_not_used() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let schedule = WithFallback::new(InProcess::new(rules(10)));
        assert_eq!(slots(&schedule, now, 3), slots(&InProcess::new(rules(10)), now, 3));
    }

    #[test]
    fn a_rate_limit_refusal_pauses_the_fallback_too() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let schedule = WithFallback::new(Unavailable(rules(10)));
        assert!(block_on(schedule.back_off(now, None)).is_err(), "the other processes were not informed");
        assert!(slots(&schedule, now, 1).is_empty());
    }
}
