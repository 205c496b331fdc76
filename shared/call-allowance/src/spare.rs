//! A fallback for people who wait, while the table with the call schedule is unavailable.

use leadsquared::Limit;
use time::OffsetDateTime;

use crate::in_process::InProcess;
use crate::line::{Answer, Ask, Line, LineError};
use crate::settings::{Rules, Settings};

/// A call schedule with a fallback in the process: while the table is unavailable, people can still sign in.
///
/// The fallback has half of the calls. In such an outage the background makes no calls, because all its work needs the
/// table. Two processes together thus stay within the allowance. If there are more, LeadSquared refuses some calls.
#[derive(Debug)]
pub struct WithSpare<L> {
    line: L,
    spare: InProcess,
}

impl<L: Line> WithSpare<L> {
    /// This schedule, with a fallback that has half of its calls.
    pub fn new(line: L) -> Self {
        let rules = line.rules();
        let half = Settings { share: rules.settings().share.div_ceil(2), ..*rules.settings() };
        // Half of a single call would be none.
        let spare = InProcess::new(Rules::new(half).unwrap_or(*rules));
        Self { line, spare }
    }
}

impl<L: Line> Line for WithSpare<L> {
    fn rules(&self) -> &Rules {
        self.line.rules()
    }

    async fn book(&self, ask: Ask) -> Result<Answer, LineError> {
        match self.line.book(ask).await {
            Err(LineError::Unavailable { .. }) => self.spare.book(ask).await,
            booked => booked,
        }
    }

    async fn push_back(&self, now: OffsetDateTime, limit: Option<Limit>) -> Result<(), LineError> {
        self.spare.push_back(now, limit).await?;
        self.line.push_back(now, limit).await
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
    struct Unavailable(Rules);

    impl Line for Unavailable {
        fn rules(&self) -> &Rules {
            &self.0
        }

        async fn book(&self, _: Ask) -> Result<Answer, LineError> {
            Err(LineError::Unavailable { cause: "not reached".to_owned() })
        }

        async fn push_back(&self, _: OffsetDateTime, _: Option<Limit>) -> Result<(), LineError> {
            Err(LineError::Unavailable { cause: "not reached".to_owned() })
        }
    }

    fn rules(calls: u32) -> Rules {
        Rules::new(Settings::new(Limit { calls, window: Duration::from_secs(5) })).unwrap()
    }

    fn slots(line: &impl Line, now: OffsetDateTime, number: usize) -> Vec<OffsetDateTime> {
        let ask = Ask { lane: Lane::Interactive, now, latest: now + Duration::from_secs(4) };
        let slot = |_| match block_on(line.book(ask)).unwrap() {
            Answer::Leave { slot } => Some(slot),
            _ => None,
        };
        (0..number).map_while(slot).collect()
    }

    #[test]
    fn while_the_table_is_unavailable_a_process_has_half_the_calls() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let (whole, half) = (rules(10), rules(5));
        assert_eq!(slots(&WithSpare::new(Unavailable(whole)), now, 3), slots(&InProcess::new(half), now, 3));
        // A limit of one call stays one.
        assert_eq!(slots(&WithSpare::new(Unavailable(rules(1))), now, 2), slots(&InProcess::new(rules(1)), now, 2));
    }

    #[test]
    fn while_the_table_is_available_the_fallback_is_not_used() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let line = WithSpare::new(InProcess::new(rules(10)));
        assert_eq!(slots(&line, now, 3), slots(&InProcess::new(rules(10)), now, 3));
    }

    #[test]
    fn a_rate_limit_refusal_pauses_the_fallback_too() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let line = WithSpare::new(Unavailable(rules(10)));
        assert!(block_on(line.push_back(now, None)).is_err(), "the other processes were not informed");
        assert!(slots(&line, now, 1).is_empty());
    }
}
