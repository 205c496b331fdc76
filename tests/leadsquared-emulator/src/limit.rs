//! The account's call limit, which holds for *every* sliding window.

use std::collections::VecDeque;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The call limit of an account, and the form of the refusal.
///
/// The published limits are per account, across the keys of all users:
/// <https://apidocs.leadsquared.com/rate-limits/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Calls permitted in one window.
    pub calls: u32,
    /// Length of the sliding window.
    #[serde(with = "crate::settings::seconds")]
    pub window: Duration,
    /// The form of the refusal.
    pub refusal: LimitRefusal,
}

impl Default for Limit {
    fn default() -> Self {
        Self { calls: 25, window: Duration::from_secs(5), refusal: LimitRefusal::TooManyRequests }
    }
}

/// The status of the refusal: three were observed, with the same envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitRefusal {
    /// HTTP 429, as documented.
    #[default]
    TooManyRequests,
    /// HTTP 403, as one public client expects.
    Forbidden,
    /// HTTP 200 with `Status: "Error"`, as users report.
    UnderOk,
}

impl LimitRefusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::UnderOk => StatusCode::OK,
        }
    }
}

/// Calls of the last window, oldest first.
#[derive(Debug, Default)]
pub(crate) struct SlidingWindow {
    calls: VecDeque<OffsetDateTime>,
}

impl SlidingWindow {
    /// Counts a call at `now` unless that would exceed `limit` in a window; returns whether it was counted.
    pub(crate) fn admit(&mut self, limit: &Limit, now: OffsetDateTime) -> bool {
        self.forget_before(limit.window, now);
        let admitted = self.calls.len() < limit.calls as usize;
        if admitted {
            self.calls.push_back(now);
        }
        admitted
    }

    /// Counts a call at `now` without a limit; returns the number of calls in the window that ends there.
    pub(crate) fn count(&mut self, window: Duration, now: OffsetDateTime) -> usize {
        self.forget_before(window, now);
        self.calls.push_back(now);
        self.calls.len()
    }

    fn forget_before(&mut self, window: Duration, now: OffsetDateTime) {
        while self.calls.front().is_some_and(|oldest| now - *oldest >= window) {
            self.calls.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_limit(gaps in proptest::collection::vec(0_u64..900, 1..200)) {
            let limit = Limit { calls: 5, window: Duration::from_secs(2), ..Limit::default() };
            let mut window = SlidingWindow::default();
            let mut now = OffsetDateTime::UNIX_EPOCH;
            let mut admitted: Vec<OffsetDateTime> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                let inside = admitted.iter().filter(|call| now - **call < limit.window).count();
                let answer = window.admit(&limit, now);
                // A call is refused only when the window is full.
                prop_assert_eq!(answer, inside < 5);
                if answer {
                    admitted.push(now);
                }
            }
        }
    }

    #[test]
    fn a_burst_across_the_edge_of_two_fixed_windows_counts_as_one_window() {
        let limit = Limit::default();
        let mut window = SlidingWindow::default();
        let start = OffsetDateTime::UNIX_EPOCH;
        for _ in 0..25 {
            assert!(window.admit(&limit, start + Duration::from_millis(4_900)));
        }
        assert!(!window.admit(&limit, start + Duration::from_millis(5_100)));
        assert!(!window.admit(&limit, start + Duration::from_millis(9_899)));
        assert!(window.admit(&limit, start + Duration::from_millis(9_900)));
    }
}
