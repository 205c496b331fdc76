use leadsquared::Limit;
use time::OffsetDateTime;

use crate::in_process::InProcess;
use crate::line::{Answer, Ask, Line, LineError};
use crate::settings::{Rules, Settings};

/// A line that this process goes on without while it cannot be reached, for people who wait: an outage of the table must
/// not keep everybody from signing in.
///
/// The process then has a line of its own with half of the calls. The background stands still in such an outage, as all its
/// work needs the table, so two processes stay within the allowance; if there are more, LeadSquared turns calls away.
#[derive(Debug)]
pub struct WithSpare<L> {
    line: L,
    spare: InProcess,
}

impl<L: Line> WithSpare<L> {
    /// This line, and a spare one made by its rules.
    pub fn new(line: L) -> Self {
        let rules = line.rules();
        let half = Settings { share: rules.settings().share.div_ceil(2), ..*rules.settings() };
        // Half of a single call is none.
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

    /// A line that cannot be reached.
    struct Away(Rules);

    impl Line for Away {
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
    fn while_its_line_is_away_a_process_has_half_the_calls() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let (whole, half) = (rules(10), rules(5));
        assert_eq!(slots(&WithSpare::new(Away(whole)), now, 3), slots(&InProcess::new(half), now, 3));
        // A limit of one call stays one.
        assert_eq!(slots(&WithSpare::new(Away(rules(1))), now, 2), slots(&InProcess::new(rules(1)), now, 2));
    }

    #[test]
    fn a_line_that_answers_has_no_spare() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let line = WithSpare::new(InProcess::new(rules(10)));
        assert_eq!(slots(&line, now, 3), slots(&InProcess::new(rules(10)), now, 3));
    }

    #[test]
    fn a_complaint_holds_back_the_spare_as_well() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let line = WithSpare::new(Away(rules(10)));
        assert!(block_on(line.push_back(now, None)).is_err(), "the others did not hear of it");
        assert!(slots(&line, now, 1).is_empty());
    }
}
