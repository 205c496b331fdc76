//! The time of a request: its budget, and the moments at which its answer may go out.

use std::time::Duration;

/// The longest that a request may take, including the wait before its answer.
pub const BUDGET: Duration = Duration::from_secs(5);

/// Time kept free at the end of the budget, when LeadSquared is not called any more.
pub(crate) const TIME_TO_ANSWER: Duration = Duration::from_millis(250);

/// How long to wait with an answer that is ready after `elapsed`, so that it goes out at a multiple of `floor`. The
/// time that LeadSquared takes would otherwise show whether it knows the person.
pub fn wait(elapsed: Duration, floor: Duration) -> Duration {
    if floor.is_zero() {
        return Duration::ZERO;
    }
    let steps = elapsed.as_nanos().div_ceil(floor.as_nanos()).max(1);
    let target = floor.saturating_mul(steps.try_into().unwrap_or(u32::MAX));
    target.min(BUDGET).saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_out_at_multiples_of_the_floor_and_within_the_budget() {
        let at = |elapsed, floor| {
            let elapsed = Duration::from_millis(elapsed);
            (elapsed + wait(elapsed, Duration::from_millis(floor))).as_millis()
        };
        for (elapsed, moment) in
            [(0, 1500), (1, 1500), (1499, 1500), (1500, 1500), (1501, 3000), (4400, 4500), (4501, 5000), (5200, 5200)]
        {
            assert_eq!(at(elapsed, 1500), moment, "ready after {elapsed} ms");
        }
        assert_eq!(at(37, 0), 37);
    }
}
