use std::time::Duration;

/// How long a request may take in all, the wait at its end included.
pub const BUDGET: Duration = Duration::from_secs(5);

/// The time kept free of LeadSquared at the end of it.
pub(crate) const TO_ANSWER: Duration = Duration::from_millis(250);

/// How long to wait with an answer after `elapsed`, so that it goes out at the floor, at twice the floor and so on, and not
/// when it happens to be ready: how long LeadSquared took would tell whether it knows the person.
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
