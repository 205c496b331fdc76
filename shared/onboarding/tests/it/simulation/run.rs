//! One run: the system, its sources, and the promises that must hold at the end.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use call_allowance::{Allowance, AllowanceRules, AllowanceSettings, InProcess};
use leadsquared::{Attributes, EmailAddress, LeadId};
use onboarding::rules::RuleLookups;
use onboarding::{
    Action, Invitation, InvitationId, Invitee, LinkMode, Marking, Outcome, PersonKey, RuleQuestion, Source,
};
use serde_json::json;
use time::Date;
use uuid::Uuid;

use super::plan::{BLOCKED, Kind, Plan, REMOVED_RULE, RULE, START};
use super::queue::{Message, Queue};
use super::timeline::{Chance, Task, Timeline};
use super::worker::{Fate, LATEST, work};
use super::{Flaw, say, seconds};
use crate::world::{KnownLead, LeadSquared, Memory, direct, on_click};

/// A run with more turns than this counts as endless.
const MOST_TURNS: u64 = 500_000;

/// How much later a call or a mail can arrive than the attempt that took its place in the caps.
const CALL_DELAY: Duration = seconds(60).saturating_add(LATEST);

/// The simulated system, with a record of what happened in it.
pub(super) struct System {
    pub(super) timeline: Timeline,
    pub(super) plan: Plan,
    pub(super) flaw: Option<Flaw>,
    pub(super) queue: RefCell<Queue>,
    pub(super) memory: RefCell<Memory>,
    pub(super) allowance: Allowance<InProcess, Timeline>,
    /// Dead letters by message: a message that is dead-lettered twice counts once.
    pub(super) dead_letters: RefCell<BTreeMap<Uuid, Invitation>>,
    /// The invitations that became dead letters without a record in the ledger.
    pub(super) unrecorded: RefCell<HashSet<InvitationId>>,
    /// When attempts at each invitation failed without an answer of LeadSquared's own.
    pub(super) unanswered: RefCell<HashMap<InvitationId, BTreeSet<Duration>>>,
    /// The invitations that were delivered after they made way for the person's later ones.
    pub(super) made_way: RefCell<HashSet<InvitationId>>,
    /// When attempts at each invitation began in which LeadSquared refused a registration.
    pub(super) refused: RefCell<HashMap<InvitationId, BTreeSet<Duration>>>,
    /// The invitations with a dead letter of what LeadSquared lacks, each with whether there was a reason: all of its
    /// attempts of the last quarter of an hour had failed, or those of an invitation that registered the person.
    pub(super) reduced: RefCell<HashMap<InvitationId, bool>>,
    /// The version of the keys in LeadSquared, and of the keys in Secrets Manager.
    pub(super) keys: Cell<u32>,
    pub(super) secret: Cell<u32>,
    pub(super) direct: LinkMode,
    pub(super) on_click: LinkMode,
    pub(super) marking: Marking,
    pub(super) lookups: RuleLookups,
    leadsquared: RefCell<LeadSquared>,
    dice: RefCell<Chance>,
    started: RefCell<Vec<Task>>,
    calls: RefCell<Vec<Duration>>,
    /// The look-ups by id that arrived, each with its invitation.
    lookups_by_id: RefCell<Vec<(InvitationId, Duration)>>,
    mails: RefCell<Vec<(LeadId, Duration)>>,
    /// How many sends are still to come.
    to_send: Cell<usize>,
    /// The times of LeadSquared's coming webhooks about registrations.
    news: RefCell<Vec<Duration>>,
    /// The invitations that these webhooks led to.
    echoes: RefCell<Vec<Invitation>>,
    seen: RefCell<BTreeSet<&'static str>>,
    aloud: bool,
}

/// The result of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) steps: u64,
    pub(super) broken: Vec<String>,
    /// The events that occurred in the run.
    pub(super) seen: BTreeSet<&'static str>,
}

pub(super) struct Run(Rc<System>);

impl Run {
    pub(super) fn new(seed: u64, flaw: Option<Flaw>, aloud: bool) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::new(&mut chance);
        let timeline = Timeline::new(Chance::new(chance.number()));
        let rules = AllowanceRules::new(AllowanceSettings::new(plan.allowance)).unwrap();
        let mut leadsquared = LeadSquared { blocked: Some(BLOCKED), ..LeadSquared::default() };
        if !plan.has_mark {
            leadsquared.unknown.push(Marking::FIELD);
        }
        for (number, person) in plan.people.iter().enumerate() {
            match person.kind {
                Kind::Stranger | Kind::Family | Kind::Blocked | Kind::BlockedAddress => {}
                Kind::Lead => drop(leadsquared.add_lead(1 + number as u128, &person.email, None, false)),
                Kind::PortalUser => drop(leadsquared.add_lead(1 + number as u128, &person.email, None, true)),
                Kind::Refused => drop(leadsquared.refused.insert(person.email.clone())),
            }
        }
        let rule = json!({"name": RULE, "on": "lead-create", "action": "invite",
            "when": [{"field": "EmailAddress", "is-not": ""}]});
        let lookups = RuleLookups { rules: json!([rule]).to_string().parse().unwrap(), a_day: plan.rule_lookups };
        let memory = Memory {
            flaw: match flaw {
                Some(Flaw::Ledger(flaw)) => Some(flaw),
                _ => None,
            },
            ..Memory::default()
        };
        Self(Rc::new(System {
            allowance: Allowance::with_clock(InProcess::new(rules), timeline.clone()),
            timeline,
            plan,
            flaw,
            queue: RefCell::default(),
            memory: RefCell::new(memory),
            dead_letters: RefCell::default(),
            unrecorded: RefCell::default(),
            unanswered: RefCell::default(),
            made_way: RefCell::default(),
            refused: RefCell::default(),
            reduced: RefCell::default(),
            keys: Cell::default(),
            secret: Cell::default(),
            direct: direct(),
            on_click: on_click(),
            marking: Marking::default(),
            lookups,
            leadsquared: RefCell::new(leadsquared),
            dice: RefCell::new(chance),
            started: RefCell::default(),
            calls: RefCell::default(),
            lookups_by_id: RefCell::default(),
            mails: RefCell::default(),
            to_send: Cell::default(),
            news: RefCell::default(),
            echoes: RefCell::default(),
            seen: RefCell::default(),
            aloud,
        }))
    }

    pub(super) fn finish(self) -> Summary {
        let system = &self.0;
        system.to_send.set(system.plan.sends.len());
        system.start(send_all(system.clone()));
        if let Some((at_leadsquared, in_secrets_manager)) = system.plan.rotation {
            system.start(at(system.clone(), at_leadsquared, |system| system.keys.set(1)));
            system.start(at(system.clone(), in_secrets_manager, |system| system.secret.set(1)));
        }
        let mut steps = 0;
        let mut comes_to_its_end = self.work(&mut steps);
        if system.plan.puts_back {
            system.leadsquared.borrow_mut().refused.clear();
            // What a reduced registration left out is entered by hand.
            let letters = std::mem::take(&mut *system.dead_letters.borrow_mut());
            let reduced = system.reduced.borrow();
            let (kept, back) = letters.into_iter().partition(|(_, invitation)| reduced.contains_key(&invitation.id));
            drop(reduced);
            *system.dead_letters.borrow_mut() = kept;
            for invitation in BTreeMap::into_values(back) {
                system.saw("put back");
                system.queue.borrow_mut().put_back(&invitation, system.timeline.now());
            }
            comes_to_its_end &= self.work(&mut steps);
        }
        let mut broken = self.broken_promises();
        if !comes_to_its_end {
            broken.push("it goes on and on".to_owned());
        }
        Summary { steps, broken, seen: system.seen.take() }
    }

    /// Lets the workers empty the queue, and again if a call that was still under way then led to another message.
    fn work(&self, steps: &mut u64) -> bool {
        let system = &self.0;
        loop {
            for _ in 0..system.plan.workers {
                system.start(work(system.clone()));
            }
            let turns = system.timeline.run(|| system.started.take(), MOST_TURNS);
            *steps += turns.unwrap_or(MOST_TURNS);
            if turns.is_none() || system.queue.borrow().is_empty() {
                return turns.is_some();
            }
        }
    }

    /// The promises of the flow that were broken.
    fn broken_promises(&self) -> Vec<String> {
        let system = &self.0;
        let (memory, leadsquared) = (system.memory.borrow(), system.leadsquared.borrow());
        let (mails, dead_letters) = (system.mails.borrow(), system.dead_letters.borrow());
        let mut broken = Vec::new();
        let mut must = |holds: bool, promise: &str| {
            if !holds {
                broken.push(promise.to_owned());
            }
        };

        // Every input has one named outcome, and every rejected or exhausted invitation is a dead letter.
        let echoes = system.echoes.borrow();
        let sent = system.plan.sends.iter().map(|(_, invitation)| invitation);
        let accepted: HashSet<InvitationId> = sent.chain(&*echoes).map(|invitation| invitation.id).collect();
        let outcome = |id: &InvitationId| memory.items.get(id).and_then(|item| item.record.ended.clone());
        must(
            system.queue.borrow().is_empty() && system.queue.borrow().given_up == 0,
            "left on the queue, or given up by it",
        );
        // The ledger was unavailable when the invitation became a dead letter. It records the outcome when the dead
        // letter is put back.
        let unrecorded = system.unrecorded.borrow();
        let is_unrecorded =
            |id: &InvitationId| unrecorded.contains(id) && dead_letters.values().any(|invitation| invitation.id == *id);
        must(accepted.iter().all(|id| outcome(id).is_some() || is_unrecorded(id)), "lost: no outcome");
        for id in &accepted {
            let name = outcome(id).and_then(|ended| Outcome::NAMES.into_iter().find(|name| *name == ended.name));
            self.0.seen.borrow_mut().extend(name);
            let is_dead = dead_letters.values().any(|invitation| invitation.id == *id);
            let has_failed = matches!(name, Some("rejected" | "exhausted"));
            must(is_dead || !has_failed, "lost: refused or given up, and no dead letter");
        }

        // The number accepted is the sum of the outcomes, apart from what the ledger could not record.
        let known = accepted.iter().filter(|id| memory.items.contains_key(id)).count();
        let mut expected: HashMap<String, i64> = HashMap::from([("accepted".to_owned(), known as i64)]);
        for outcome in accepted.iter().filter_map(outcome) {
            *expected.entry(outcome.name).or_default() += 1;
        }
        for name in Outcome::NAMES.into_iter().chain(["accepted"]) {
            let counted: i64 =
                memory.counts.iter().filter(|((_, other), _)| other == name).map(|(_, count)| count).sum();
            must(counted == expected.get(name).copied().unwrap_or_default(), "the counts are wrong");
        }

        let is_removed = |echo: &&Invitation| echo.question.iter().any(|question| question.rules == [REMOVED_RULE]);
        let of_removed = echoes.iter().filter(is_removed).filter_map(|echo| outcome(&echo.id));
        let mut of_removed = of_removed.map(|ended| ended.name);
        must(of_removed.all(|name| !name.starts_with("invited")), "invited by a rule that does not exist");
        let is_question = |id: &InvitationId| echoes.iter().any(|echo| echo.id == *id && echo.question.is_some());
        let lookups = system.lookups_by_id.borrow();
        let of_questions = lookups.iter().filter(|(id, _)| is_question(id)).map(|(_, time)| *time);
        let most = system.plan.rule_lookups;
        must(by_day(of_questions).values().all(|lookups| *lookups <= most), "over the day's look-ups");

        for person in &system.plan.people {
            let invitations = system.plan.sends.iter().map(|(_, invitation)| invitation);
            let email: EmailAddress = person.email.parse().unwrap();
            let invitations = invitations.filter(|invitation| invitation.invitee == Invitee::Email(email.clone()));
            let applications: HashSet<InvitationId> = invitations.map(|invitation| invitation.id).collect();
            let key = PersonKey::of(&email);
            let leads: Vec<_> = leadsquared.leads.iter().filter(|lead| lead.email == person.email).collect();
            let lead = leads.first().map(|lead| lead.id);
            let echoes = echoes.iter().filter(|echo| lead.is_some_and(|lead| echo.invitee == Invitee::Lead(lead)));
            let ids: HashSet<_> = applications.iter().copied().chain(echoes.map(|echo| echo.id)).collect();
            must(leads.len() <= 1, "two leads of one person");
            let registrations = leadsquared.registrations.iter().filter(|other| Some(**other) == lead).count();
            must(registrations <= 1, "registered twice");

            let mailed: Vec<Duration> =
                mails.iter().filter(|(other, _)| Some(*other) == lead).map(|(_, time)| *time).collect();
            let invited = ids.iter().filter_map(outcome);
            let invited = invited.filter(|outcome| ["invited", "invited-existing"].contains(&&*outcome.name)).count();
            // The ledger could not record the end of these, so their mails are not among the unknown ones yet.
            let unsettled = ids.iter().filter_map(|id| memory.items.get(id)).filter(|item| !item.is_settled);
            let unrecorded = unsettled.map(|item| item.record.unresolved_mails + u32::from(item.record.mailed));
            let unknown = memory.unknown_mails.get(&key).copied().unwrap_or_default() + unrecorded.sum::<u32>();
            let unknown = unknown as usize;
            if system.aloud {
                let registered_at = lead.and_then(|lead| memory.registered.get(&lead).copied());
                let ends: Vec<_> = ids.iter().map(|id| (id, outcome(id).map(|ended| ended.name))).collect();
                say(&format!("{}: mailed {mailed:?}, registered {registered_at:?}, {ends:?}", person.email));
            }
            let is_blocked = matches!(person.kind, Kind::Blocked | Kind::BlockedAddress);
            let causes = ids.iter().filter_map(outcome).filter_map(|ended| ended.cause);
            let is_given_up = causes.into_iter().any(|cause| cause.starts_with("content"));
            must(is_blocked || !is_given_up, "given up for a content that nothing blocks");
            let reduced = system.reduced.borrow();
            let have_reasons = ids.iter().filter_map(|id| reduced.get(id)).all(|has_reason| *has_reason);
            must(is_blocked || have_reasons, "reduced although LeadSquared answered within 15 minutes");
            must(mailed.len() <= invited + unknown, "mailed too often");
            must(invited <= applications.len(), "mailed too often: on the webhook of our own registration");
            let is_dead = dead_letters.values().any(|invitation| ids.contains(&invitation.id));
            must(!mailed.is_empty() || is_dead, "lost: neither mailed nor a dead letter");
            // An existing lead is registered only when the applicant presses the button of an on-click link.
            // What LeadSquared does not have is in the lead's notes or in a dead letter.
            let is_of_sales = matches!(person.kind, Kind::Lead | Kind::PortalUser);
            let is_noted = |lead: &KnownLead| lead.notes.as_ref().is_some_and(|notes| notes.contains("mx_Essay"));
            let is_whole = is_of_sales || leads.iter().all(|lead| lead.essay.is_some() || is_noted(lead));
            if system.aloud && !is_whole && !is_dead {
                say(&format!("{}: left out without a record", person.email));
            }
            must(is_whole || is_dead, "left out without a record");
            let is_registered = leads.iter().any(|lead| lead.portal_user || system.plan.on_click);
            must(is_registered || is_dead, "lost: neither registered nor a dead letter");
            let limits = &system.plan.mail_limits;
            must(most_within(&mailed, seconds(3600) - CALL_DELAY) <= limits.hourly, "over the cap of an hour");
            must(most_within(&mailed, seconds(86_400) - CALL_DELAY) <= limits.daily, "over the cap of a day");
        }

        must(system.plan.on_click || memory.link_targets.is_empty(), "link targets that no mail has");
        must(!system.plan.on_click || memory.link_targets.len() >= mails.len(), "a mail whose link points nowhere");

        let days = by_day(mails.iter().map(|(_, time)| *time));
        must(days.values().all(|mails| *mails <= system.plan.mail_limits.budget), "over the day's budget");

        let limit = system.plan.allowance;
        must(most_within(&system.calls.borrow(), limit.window) <= limit.calls as usize, "over the allowance");
        broken
    }
}

/// How many of these calls arrived on each day. One that is under way at midnight may count for either day, so it is
/// left out.
fn by_day(times: impl Iterator<Item = Duration>) -> HashMap<Date, u32> {
    let mut days = HashMap::new();
    for time in times {
        let (early, late) = ((START + time - CALL_DELAY).date(), (START + time).date());
        if early == late {
            *days.entry(late).or_default() += 1;
        }
    }
    days
}

/// The largest number of these sorted times in any span of this length.
fn most_within(times: &[Duration], span: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while *time - times[first] >= span {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

async fn send_all(system: Rc<System>) {
    for (time, invitation) in &system.plan.sends {
        system.timeline.sleep(time.saturating_sub(system.timeline.now())).await;
        system.queue.borrow_mut().send(invitation, system.timeline.now());
        system.to_send.update(|left| left - 1);
    }
}

/// LeadSquared's webhook about a registration. Like the receiving function, this ignores registrations that the ledger
/// knows as the flow's own.
async fn news(system: Rc<System>, lead: LeadId, time: Duration) {
    system.timeline.sleep(time.saturating_sub(system.timeline.now())).await;
    system.news.borrow_mut().retain(|other| *other != time);
    if system.memory.borrow().registered.contains_key(&lead) {
        return system.saw("echo recognised");
    }
    system.saw("echo not recognised yet");
    let (at, lead_id) = (START + system.timeline.now(), lead.to_string());
    let echo = |what: &str| {
        let id = InvitationId::of([what.as_bytes(), lead_id.as_bytes()]);
        Invitation::new(id, Source::Crm, at, Invitee::Lead(lead), Action::Invite)
    };
    let question = |rule: &str| RuleQuestion { rules: vec![rule.to_owned()], known: Attributes::new() };
    let undecided =
        system.plan.undecided.map(|rule| Invitation { question: Some(question(rule)), ..echo("undecided") });
    // Both are handled at the same time, because a question has a group of its own.
    let is_decided = undecided.is_none() || system.dice().in_a_thousand(500);
    let decided = is_decided.then(|| Invitation { rule: Some(RULE.to_owned()), ..echo("created") });
    for echo in undecided.into_iter().chain(decided) {
        system.queue.borrow_mut().send(&echo, system.timeline.now());
        system.echoes.borrow_mut().push(echo);
    }
}

async fn at(system: Rc<System>, time: Duration, change: impl FnOnce(&System)) {
    system.timeline.sleep(time).await;
    change(&system);
}

impl System {
    pub(super) fn dice(&self) -> RefMut<'_, Chance> {
        self.dice.borrow_mut()
    }

    /// Starts a task that runs beside the others.
    pub(super) fn start(&self, task: impl Future<Output = ()> + 'static) {
        self.started.borrow_mut().push(Box::pin(task));
    }

    pub(super) fn receive(&self) -> Vec<Message> {
        let mut queue = self.queue.borrow_mut();
        let batch = queue.receive(self.timeline.now(), &mut self.dice());
        if queue.delivered_twice {
            self.saw("delivered twice");
        }
        if queue.question_was_beside_another {
            self.saw("a question beside another message");
        }
        batch
    }

    /// How long until a message may be received; none if no message will ever come.
    pub(super) fn next_delivery(&self) -> Option<Duration> {
        let now = self.timeline.now();
        let next_send = (self.plan.sends.len() - self.to_send.get()..self.plan.sends.len()).next();
        let next_send = next_send.map(|place| self.plan.sends[place].0);
        let next_news = self.news.borrow().iter().min().copied();
        let next = self.queue.borrow().next().into_iter().chain(next_send).chain(next_news).min()?;
        Some(next.saturating_sub(now) + self.dice().up_to(&[seconds(1)]) + Duration::from_millis(1))
    }

    pub(super) fn leadsquared<T>(self: &Rc<Self>, work: impl FnOnce(&mut LeadSquared) -> T) -> T {
        let mut leadsquared = self.leadsquared.borrow_mut();
        let before = leadsquared.mails.len();
        let registered_before = leadsquared.registrations.len();
        let answer = work(&mut leadsquared);
        let now = self.timeline.now();
        self.mails.borrow_mut().extend(leadsquared.mails[before..].iter().map(|lead| (*lead, now)));
        if self.plan.echoes {
            for lead in leadsquared.registrations[registered_before..].iter().copied() {
                let time = now + self.dice().up_to(&[seconds(1), seconds(180)]);
                self.news.borrow_mut().push(time);
                self.start(news(self.clone(), lead, time));
            }
        }
        answer
    }

    /// Records that a dead letter keeps what LeadSquared may lack of this invitation. Either the invitation may have
    /// been registered with the identifying attributes only; or its person was, by another one; or it made way, and
    /// another one of the person may have been handled first.
    pub(super) fn was_reduced(&self, invitation: &Invitation) {
        let memory = self.memory.borrow();
        let record = &memory.items[&invitation.id].record;
        let name = record.ended.as_ref().map(|ended| &*ended.name);
        // Its person was a lead, whether the mail was sent or capped.
        let is_later = record.existing || name == Some("already-invited");
        let of_person = || memory.items.iter().filter(|(_, item)| item.record.person == record.person);
        let mut others = of_person().filter(|(_, item)| item.record.has_reduced_person());
        let may_be = |id: &InvitationId| self.has_failed_for_long(id) || self.may_be_without_notes(id);
        // The person's messages were not in their order.
        let may_be_overtaken = of_person().any(|(id, _)| self.made_way.borrow().contains(id));
        let has_reason =
            may_be(&invitation.id) || is_later && (may_be_overtaken || others.any(|(other, _)| may_be(other)));
        if self.aloud {
            say(&format!("{}: reduced, and ended as {name:?}, for a reason: {has_reason}", invitation.id));
        }
        self.reduced.borrow_mut().entry(invitation.id).or_insert(has_reason);
    }

    /// Whether LeadSquared refused registrations of an attempt and did not answer another, which may have been the one
    /// without notes.
    fn may_be_without_notes(&self, invitation: &InvitationId) -> bool {
        let (refused, unanswered) = (self.refused.borrow(), self.unanswered.borrow());
        let attempts = refused.get(invitation).zip(unanswered.get(invitation));
        attempts.is_some_and(|(refused, unanswered)| !refused.is_disjoint(unanswered))
    }

    /// Whether all of an invitation's attempts of a quarter of an hour had no answer.
    fn has_failed_for_long(&self, invitation: &InvitationId) -> bool {
        let unanswered = self.unanswered.borrow();
        let failures: Vec<Duration> = unanswered.get(invitation).into_iter().flatten().copied().collect();
        match &failures[..] {
            [first, _, .., last] => *last - *first >= seconds(15 * 60),
            _ => false,
        }
    }

    /// Records that a call arrived. `looked_up`: the invitation, if it is a look-up by id.
    pub(super) fn count_call(&self, looked_up: Option<InvitationId>) {
        let now = self.timeline.now();
        self.calls.borrow_mut().push(now);
        self.lookups_by_id.borrow_mut().extend(looked_up.map(|id| (id, now)));
    }

    /// Whether LeadSquared refuses this call because other software uses up the account's call allowance.
    pub(super) fn is_throttling(&self) -> bool {
        self.is_in(&self.plan.storms) && self.dice().in_a_thousand(600)
    }

    pub(super) fn is_broken(&self) -> bool {
        let fails = if self.is_in(&self.plan.outages) { 950 } else { self.plan.brownout };
        self.dice().in_a_thousand(fails)
    }

    fn is_in(&self, spells: &[(Duration, Duration)]) -> bool {
        let now = self.timeline.now();
        spells.iter().any(|(begin, end)| (*begin..*end).contains(&now))
    }

    /// Records that this event occurred.
    pub(super) fn saw(&self, what: &'static str) {
        self.seen.borrow_mut().insert(what);
    }

    pub(super) fn log_request(&self, request: &str, fate: Fate) {
        if self.aloud {
            say(&format!(
                "{:10.3} s  task {:4}  {request}: {fate:?}",
                self.timeline.now().as_secs_f64(),
                self.timeline.current()
            ));
        }
    }
}
