//! Trouble on demand: what goes wrong, with which call, when, and how often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::call::Call;
use crate::limit::LimitRefusal;
use crate::randomness::Randomness;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The answer takes that much longer, in real time.
    Latency(Duration),
    /// This answer instead of the right one; LeadSquared's gateways answer without an envelope.
    Answer {
        /// HTTP status.
        status: u16,
        /// Content type of the body.
        content_type: String,
        /// The body, as it stands.
        body: String,
    },
    /// The limit is said to be spent.
    LimitReached(LimitRefusal),
    /// The connection is closed without an answer.
    Cut,
    /// The work is done, and the connection closed after half of the answer's body.
    Truncate,
    /// The work is done, and the answer's body comes byte by byte.
    Drip {
        /// Real time between two bytes.
        every: Duration,
    },
}

/// One fault switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The call it concerns; every call when absent.
    pub call: Option<Call>,
    /// What goes wrong.
    pub effect: Effect,
    /// Whether the call has taken effect by then.
    pub after_work: bool,
    /// How many more calls it strikes; all when absent.
    pub times: Option<u32>,
    /// The probability with which it strikes a call that it concerns; from 0 for never to 1 for always.
    pub chance: f64,
}

impl Fault {
    /// `effect` on every use of `call`, before the work is done.
    pub fn on(call: Call, effect: Effect) -> Self {
        Self { call: Some(call), ..Self::everywhere(effect) }
    }

    /// `effect` on every call, before the work is done.
    pub fn everywhere(effect: Effect) -> Self {
        Self { call: None, effect, after_work: false, times: None, chance: 1.0 }
    }

    /// The same, after the work is done: the caller cannot know whether it was.
    #[must_use]
    pub fn after_work(self) -> Self {
        Self { after_work: true, ..self }
    }

    /// The same, for the next `times` calls only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same, for some calls only: each is struck with probability `chance`, whatever became of the others. An
    /// emulator with [`Settings::seed`](crate::Settings::seed) strikes the same calls of the same sequence again.
    #[must_use]
    pub fn with_chance(self, chance: f64) -> Self {
        Self { chance, ..self }
    }

    fn concerns(&self, call: Call) -> bool {
        self.call.is_none_or(|its| its == call) && self.times != Some(0)
    }
}

impl Effect {
    /// A gateway's answer: an HTML page without an envelope.
    pub fn gateway(status: u16) -> Self {
        Self::Answer { status, content_type: "text/html".to_owned(), body: "<h1>Bad gateway</h1>".to_owned() }
    }
}

/// The fault switches that are set.
pub struct Faults {
    switches: Mutex<Vec<Fault>>,
    /// Drawn from for switches that strike by chance; its own, so that they change no id.
    dice: Randomness,
}

/// What goes wrong with one call.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) latency_before: Duration,
    pub(crate) latency_after: Duration,
    pub(crate) before: Option<Effect>,
    pub(crate) after: Option<Effect>,
}

impl Faults {
    pub(crate) fn new(dice: Randomness) -> Self {
        Self { switches: Mutex::default(), dice }
    }

    /// Sets one more switch; for one call the first that strikes it wins, and latencies add up.
    pub fn add(&self, fault: Fault) {
        self.switches().push(fault);
    }

    /// Unsets all switches.
    pub fn clear(&self) {
        self.switches().clear();
    }

    /// The switches that still have calls to strike.
    pub fn list(&self) -> Vec<Fault> {
        self.switches().clone()
    }

    /// What goes wrong with a use of `call` that happens now.
    pub(crate) fn strike(&self, call: Call) -> Trouble {
        let mut trouble = Trouble::default();
        let mut switches = self.switches();
        for fault in switches.iter_mut().filter(|fault| fault.concerns(call)) {
            // One draw for each switch and call, so that what one switch does shifts nothing for the next.
            if fault.chance < 1.0 && self.dice.unit() >= fault.chance {
                continue;
            }
            match &fault.effect {
                Effect::Latency(more) if fault.after_work => trouble.latency_after += *more,
                Effect::Latency(more) => trouble.latency_before += *more,
                _ if trouble.before.is_some() || trouble.after.is_some() => continue,
                effect @ (Effect::Truncate | Effect::Drip { .. }) => trouble.after = Some(effect.clone()),
                effect if fault.after_work => trouble.after = Some(effect.clone()),
                effect => trouble.before = Some(effect.clone()),
            }
            fault.times = fault.times.map(|times| times - 1);
        }
        switches.retain(|fault| fault.times != Some(0));
        trouble
    }

    fn switches(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Faults").field(&*self.switches()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none_set() -> Faults {
        Faults::new(Randomness::seeded(1, &[]))
    }

    #[test]
    fn a_fault_strikes_its_call_as_often_as_it_says_and_one_at_a_time() {
        let faults = none_set();
        faults.add(Fault::on(Call::Register, Effect::Cut).times(2));
        faults.add(Fault::everywhere(Effect::gateway(502)).after_work().times(1));
        assert_eq!(faults.strike(Call::Register).before, Some(Effect::Cut));
        assert_eq!(faults.strike(Call::LeadById).after, Some(Effect::gateway(502)));
        assert_eq!(faults.strike(Call::Register).before, Some(Effect::Cut));
        assert!(faults.list().is_empty());
        let trouble = faults.strike(Call::Register);
        assert!(trouble.before.is_none() && trouble.after.is_none());
    }

    #[test]
    fn latencies_add_up_and_leave_room_for_another_effect() {
        let faults = none_set();
        faults.add(Fault::everywhere(Effect::Latency(Duration::from_secs(1))));
        faults.add(Fault::on(Call::Register, Effect::Latency(Duration::from_secs(2))));
        faults.add(Fault::on(Call::Register, Effect::Cut).after_work());
        let trouble = faults.strike(Call::Register);
        assert_eq!(trouble.latency_before, Duration::from_secs(3));
        assert_eq!(trouble.after, Some(Effect::Cut));
    }

    #[test]
    fn a_chance_strikes_about_as_often_as_it_says_and_the_same_calls_with_the_same_seed() {
        let strikes = |seed, chance| {
            let faults = Faults::new(Randomness::seeded(seed, &[]));
            faults.add(Fault::everywhere(Effect::Cut).with_chance(chance));
            let calls = (0..2_000).map(|_| faults.strike(Call::Register).before.is_some());
            calls.collect::<Vec<_>>()
        };
        let count = |chance| strikes(1, chance).into_iter().filter(|struck| *struck).count();
        assert_eq!((count(0.0), count(1.0)), (0, 2_000));
        // Five standard deviations to either side of 200.
        assert!((133..=267).contains(&count(0.1)), "{}", count(0.1));
        assert_eq!(strikes(1, 0.1), strikes(1, 0.1));
        assert_ne!(strikes(1, 0.1), strikes(2, 0.1));
    }

    #[test]
    fn a_chance_that_misses_uses_up_no_strike_and_leaves_the_call_to_the_next_switch() {
        let faults = none_set();
        faults.add(Fault::everywhere(Effect::Cut).with_chance(0.0).times(1));
        faults.add(Fault::everywhere(Effect::gateway(502)));
        assert_eq!(faults.strike(Call::Register).before, Some(Effect::gateway(502)));
        assert_eq!(faults.list()[0].times, Some(1));
    }
}
