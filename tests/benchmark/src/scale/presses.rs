//! People who press the link in their mail: the calls of login-link, in the lane of people who wait.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leadsquared::{Admission, Lane, PlannedCall};
use leadsquared_account::INTERACTIVE_TIMEOUTS;
use virtual_clock::Chance;

use super::aws::Request;
use super::worker::{ProcessAllowance, allowance};
use super::world::{World, time_of};

/// When people press their links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presses {
    /// One press in each period, always at the same moment of it.
    Every(Duration),
    /// One press in each period, at any moment of it.
    OneInEach(Duration),
    /// Presses that do not know of each other, with this mean distance (a Poisson process).
    AtRandom(Duration),
}

impl Presses {
    /// The times of the presses before `end`, in order.
    pub(super) fn times(self, end: Duration, chance: &mut Chance) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut begin = Duration::ZERO;
        while begin < end {
            match self {
                Self::Every(period) => {
                    times.push(begin + period / 2);
                    begin += period;
                }
                Self::OneInEach(period) => {
                    times.push(begin + period.mul_f64(part(chance)));
                    begin += period;
                }
                Self::AtRandom(mean) => {
                    begin += mean.mul_f64(-part(chance).ln());
                    times.push(begin);
                }
            }
        }
        times.retain(|time| *time < end);
        times
    }
}

/// A number above 0 and below 1.
fn part(chance: &mut Chance) -> f64 {
    const PARTS: u64 = 1 << 40;
    (chance.below(PARTS) as f64 + 0.5) / PARTS as f64
}

/// What the people who pressed met.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How long each waited for the portal.
    pub(super) waits: Vec<Duration>,
    /// How many were asked to try again, because no slot was free in time.
    pub(super) turned_away: usize,
}

/// The processes of login-link. Lambda gives each press a free one, and starts one if none is free.
#[derive(Clone)]
pub(super) struct LoginLink {
    world: Arc<World>,
    free: Rc<RefCell<Vec<ProcessAllowance>>>,
    pub(super) seen: Rc<RefCell<Seen>>,
}

impl LoginLink {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, free: Rc::default(), seen: Rc::default() }
    }

    /// Presses a link at this time, unless all of the crowd's mails are sent by then.
    pub(super) async fn press(self, at: Duration, crowd: usize) {
        self.world.clock.sleep(at).await;
        if self.world.state().mails.len() == crowd {
            return;
        }
        let free = self.free.borrow_mut().pop();
        let process = free.unwrap_or_else(|| allowance(&self.world));
        let is_open = self.open(&process).await;
        self.free.borrow_mut().push(process);
        let mut seen = self.seen.borrow_mut();
        match is_open {
            true => seen.waits.push(self.world.clock.now() - at),
            false => seen.turned_away += 1,
        }
    }

    /// Whether the press opened the portal.
    async fn open(&self, process: &ProcessAllowance) -> bool {
        let world = &self.world;
        world.pass(time_of::GATEWAY).await;
        // The link, and whether a newer one was used.
        for _ in 0..2 {
            world.request(Request::Read, &[], |_| ()).await;
        }
        world.request(Request::Write, &[], |_| ()).await;
        let deadline = world.clock.instant() + INTERACTIVE_TIMEOUTS.total;
        // LeadById and LeadAuthKey.
        for _ in 0..2 {
            let planned = PlannedCall { lane: Lane::Interactive, deadline, is_followed: false };
            if process.admit(planned).await.is_err() {
                return false;
            }
            world.call().await;
        }
        world.request(Request::Write, &[], |_| ()).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(2);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn each_period_has_one_press() {
        for presses in [Presses::Every(PERIOD), Presses::OneInEach(PERIOD)] {
            let times = presses.times(HOUR, &mut Chance::new(1));
            let periods: Vec<_> = times.iter().map(|time| time.as_secs() / 2).collect();
            assert_eq!(periods, (0..1800).collect::<Vec<_>>(), "{presses:?}");
            let is_even = times.windows(2).all(|pair| pair[1] - pair[0] == PERIOD);
            assert_eq!(is_even, presses == Presses::Every(PERIOD));
        }
    }

    #[test]
    fn presses_at_random_have_their_mean_distance_and_come_in_order() {
        let times = Presses::AtRandom(PERIOD).times(HOUR, &mut Chance::new(1));
        assert!((1700..1900).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted() && times.iter().all(|time| *time < HOUR));
        // Of independent presses, 39 % come within a second of the one before.
        let close = times.windows(2).filter(|pair| pair[1] - pair[0] < PERIOD / 2).count();
        assert!((600..820).contains(&close), "{close}");
    }
}
