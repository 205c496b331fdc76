//! Faults on demand: what goes wrong, with which call, when, and how often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::call::Call;
use crate::limit::LimitRefusal;
use crate::randomness::Randomness;

/// The effect of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The answer takes this much longer, in real time.
    Latency(Duration),
    /// The call gets this answer. LeadSquared's gateways answer without an envelope.
    Answer {
        /// HTTP status.
        status: u16,
        /// Content type of the body.
        content_type: String,
        /// The body, unchanged.
        body: String,
    },
    /// The call is refused as if the limit were reached.
    LimitReached(LimitRefusal),
    /// The connection is closed without an answer.
    Cut,
    /// The call takes effect, and the connection is closed after half of the answer's body.
    Truncate,
    /// The call takes effect, and the answer's body is sent byte by byte.
    Drip {
        /// Real time between two bytes.
        every: Duration,
    },
}

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The call that it strikes; `None` for every call.
    pub call: Option<Call>,
    /// It strikes only calls whose body or query contains this text; empty for any content.
    pub content: String,
    /// What goes wrong.
    pub effect: Effect,
    /// Whether the call takes effect before the fault.
    pub after_work: bool,
    /// How many more calls it strikes; `None` for no limit.
    pub times: Option<u32>,
    /// The probability with which it strikes a matching call, from 0 (never) to 1 (always).
    pub chance: f64,
}

impl Fault {
    /// A fault that strikes every use of `call` before it takes effect.
    pub fn on(call: Call, effect: Effect) -> Self {
        Self { call: Some(call), ..Self::everywhere(effect) }
    }

    /// A fault that strikes every call before it takes effect.
    pub fn everywhere(effect: Effect) -> Self {
        Self { call: None, content: String::new(), effect, after_work: false, times: None, chance: 1.0 }
    }

    /// Strikes only calls whose body or query contains `content`, as a firewall does that blocks what people type.
    #[must_use]
    pub fn with_content(self, content: impl Into<String>) -> Self {
        Self { content: content.into(), ..self }
    }

    /// Strikes after the call has taken effect, which the caller cannot know.
    #[must_use]
    pub fn after_work(self) -> Self {
        Self { after_work: true, ..self }
    }

    /// Strikes the next `times` calls only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Strikes each call with probability `chance`, independently of the others. With the same
    /// [`Settings::seed`](crate::Settings::seed), it strikes the same calls of a sequence.
    #[must_use]
    pub fn with_chance(self, chance: f64) -> Self {
        Self { chance, ..self }
    }

    fn concerns(&self, call: Call, content: &str) -> bool {
        self.call.is_none_or(|its| its == call) && content.contains(&self.content) && self.times != Some(0)
    }
}

impl Effect {
    /// A gateway's answer: an HTML page without an envelope.
    pub fn gateway(status: u16) -> Self {
        Self::Answer { status, content_type: "text/html".to_owned(), body: "<h1>Bad gateway</h1>".to_owned() }
    }
}

/// The faults that are set.
pub struct Faults {
    switches: Mutex<Vec<Fault>>,
    /// Random numbers for faults that strike by chance. Separate from those of ids, which faults must not change.
    dice: Randomness,
}

/// The faults that strike one call.
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

    /// Sets one more fault. The first fault that strikes a call wins; latencies add up.
    pub fn add(&self, fault: Fault) {
        self.switches().push(fault);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.switches().clear();
    }

    /// The faults that can still strike calls.
    pub fn list(&self) -> Vec<Fault> {
        self.switches().clone()
    }

    /// The faults that strike a use of `call` now. `content`: its query and its body.
    pub(crate) fn strike(&self, call: Call, content: &str) -> Trouble {
        let mut trouble = Trouble::default();
        let mut switches = self.switches();
        for fault in switches.iter_mut().filter(|fault| fault.concerns(call, content)) {
            // One draw for each fault and call: a fault does not change the draws of the next one.
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
    fn a_fault_strikes_its_call_the_set_number_of_times_and_one_fault_strikes_at_a_time() {
        let faults = none_set();
        faults.add(Fault::on(Call::Register, Effect::Cut).times(2));
        faults.add(Fault::everywhere(Effect::gateway(502)).after_work().times(1));
        assert_eq!(faults.strike(Call::Register, "").before, Some(Effect::Cut));
        assert_eq!(faults.strike(Call::LeadById, "").after, Some(Effect::gateway(502)));
        assert_eq!(faults.strike(Call::Register, "").before, Some(Effect::Cut));
        assert!(faults.list().is_empty());
        let trouble = faults.strike(Call::Register, "");
        assert!(trouble.before.is_none() && trouble.after.is_none());
    }

    #[test]
    fn a_fault_of_a_content_strikes_the_calls_that_contain_it() {
        let faults = none_set();
        faults.add(Fault::on(Call::Register, Effect::gateway(403)).with_content("<svg").times(1));
        assert_eq!(faults.strike(Call::Register, r#"{"Value":"Asha"}"#).before, None);
        assert_eq!(faults.strike(Call::LeadById, r#"{"Value":"<svg>"}"#).before, None);
        assert_eq!(faults.strike(Call::Register, r#"{"Value":"<svg>"}"#).before, Some(Effect::gateway(403)));
        assert!(faults.list().is_empty());
    }

    #[test]
    fn latencies_add_up_and_combine_with_another_effect() {
        let faults = none_set();
        faults.add(Fault::everywhere(Effect::Latency(Duration::from_secs(1))));
        faults.add(Fault::on(Call::Register, Effect::Latency(Duration::from_secs(2))));
        faults.add(Fault::on(Call::Register, Effect::Cut).after_work());
        let trouble = faults.strike(Call::Register, "");
        assert_eq!(trouble.latency_before, Duration::from_secs(3));
        assert_eq!(trouble.after, Some(Effect::Cut));
    }

    #[test]
    fn a_chance_strikes_with_its_probability_and_the_same_calls_with_the_same_seed() {
        let strikes = |seed, chance| {
            let faults = Faults::new(Randomness::seeded(seed, &[]));
            faults.add(Fault::everywhere(Effect::Cut).with_chance(chance));
            let calls = (0..2_000).map(|_| faults.strike(Call::Register, "").before.is_some());
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
    fn a_chance_that_misses_uses_up_no_strike_and_leaves_the_call_to_the_next_fault() {
        let faults = none_set();
        faults.add(Fault::everywhere(Effect::Cut).with_chance(0.0).times(1));
        faults.add(Fault::everywhere(Effect::gateway(502)));
        assert_eq!(faults.strike(Call::Register, "").before, Some(Effect::gateway(502)));
        assert_eq!(faults.list()[0].times, Some(1));
    }
}
