//! The flow against an in-memory LeadSquared and an in-memory ledger. A test chooses which requests fail and where the
//! process crashes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use leadsquared::crm::Lead;
use leadsquared::portal::Registration;
use leadsquared::{Attributes, AutoLoginKey, EmailAddress, Error, LeadId, OneTimeCode, Password};
use onboarding::retry::backoff;
use onboarding::rules::{RuleLookups, Rules};
use onboarding::{
    Action, Attempt, Bookkeeping, Completion, ContentFailures, Crm, Ended, Flow, FlowEvent, Invitation, InvitationId,
    Invitee, LINK_TOKEN_BYTES, Lease, LinkToken, MAILED_CODE_BYTES, MailLimits, MarkSent, Marking, Outcome, Postponed,
    Provenance, Record, Rejection, RuleQuestion, Source, Suppression, UsedLinks, generated_password, mailed_code,
};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use virtual_clock::Chance;

use crate::world::{
    LeadSquared, LedgerUnavailable, MarkRefusal, Memory, Outside, Undeliverable, Via, direct, on_click,
};

const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const LEASE: Duration = Duration::minutes(1);

/// What happens to one request to LeadSquared or to the ledger.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The process crashes before the request is carried out.
    DieBefore,
    /// The process crashes after the request was carried out and before the answer arrives.
    DieAfter,
    /// The request certainly is not carried out.
    NotSent,
    /// The request is carried out, and the answer is lost.
    AnswerLost,
    /// The request is not carried out, and the answer does not show that.
    Broken,
    /// LeadSquared cannot be connected to.
    Unreachable,
}

#[derive(Default)]
struct World {
    /// How many mails were reported as repeated.
    repeated_mails: Cell<usize>,
    /// What was reported of refused values and of the mark.
    reports: RefCell<Vec<String>>,
    now: Cell<Duration>,
    calls: RefCell<Vec<&'static str>>,
    faults: RefCell<HashMap<usize, Fault>>,
    leadsquared: RefCell<LeadSquared>,
    memory: RefCell<Memory>,
    limits: MailLimits,
    on_click: Cell<bool>,
    /// The id of the delivered message.
    message: Cell<Uuid>,
    /// Whether it has made way for later ones of the person.
    has_made_way: Cell<bool>,
    chosen_password: RefCell<Option<Password>>,
    marking: Marking,
    lookups: RuleLookups,
}

impl World {
    fn now(&self) -> OffsetDateTime {
        START + self.now.get()
    }

    /// One request to LeadSquared or to the ledger. `work` carries it out. `unsure` is the error for an unknown result,
    /// `failed` the error for a request that certainly did nothing.
    async fn request<T, E>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, E>,
        unsure: impl FnOnce() -> E,
        failed: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let number = self.calls.borrow().len();
        self.calls.borrow_mut().push(name);
        let fault = self.faults.borrow().get(&number).copied();
        match fault {
            None => work(),
            Some(Fault::DieBefore) => std::future::pending().await,
            Some(Fault::DieAfter) => {
                let _ = work();
                std::future::pending().await
            }
            Some(Fault::NotSent) => Err(failed()),
            Some(Fault::AnswerLost) => {
                let _ = work();
                Err(unsure())
            }
            Some(Fault::Broken | Fault::Unreachable) => Err(unsure()),
        }
    }

    /// One delivery of the message: `None` when the process crashed.
    fn deliver(&self, invitation: &Invitation) -> Option<Result<Outcome, Postponed>> {
        Some(self.attempt(invitation)?.map(|completion| completion.outcome))
    }

    /// The same, with all of the result.
    fn attempt(&self, invitation: &Invitation) -> Option<Result<Completion, Postponed>> {
        let link = if self.on_click.get() { on_click() } else { direct() };
        let outside = Via(self);
        let flow = Flow {
            crm: &outside,
            ledger: &outside,
            mail: &outside,
            link: &link,
            mail_limits: self.limits,
            marking: &self.marking,
            lookups: &self.lookups,
            report: &|event| match event {
                FlowEvent::MailRepeated { .. } => self.repeated_mails.update(|count| count + 1),
                FlowEvent::ValuesRefused { names, .. } => {
                    self.reports.borrow_mut().push(format!("values: {}", names.join(", ")));
                }
                FlowEvent::Withheld { .. } => self.reports.borrow_mut().push("withheld".to_owned()),
                FlowEvent::Unmarked { refused, .. } => self.reports.borrow_mut().push(format!("mark: {refused:?}")),
                _ => {}
            },
        };
        let attempt = Attempt {
            now: self.now(),
            lease: Lease {
                holder: Uuid::from_u128(self.calls.borrow().len() as u128 + 1),
                message: self.message.get(),
                until: self.now() + LEASE,
            },
            password: generated_password([7; 20]),
            chosen_password: self.chosen_password.borrow().clone(),
            token: LinkToken::new([7; LINK_TOKEN_BYTES]),
            code: mailed_code([7; MAILED_CODE_BYTES]),
            may_be_overtaken: self.has_made_way.get(),
        };
        flow.run(invitation, attempt).now_or_never()
    }

    /// Delivers the message with the longest waits of the queue until it has an outcome. If `others_succeed`, other
    /// people are registered and mailed meanwhile, one in two minutes. Returns the result, and how long it took.
    fn deliver_with_others(&self, invitation: &Invitation, others_succeed: bool) -> (Completion, Duration) {
        let began = self.now.get();
        let mut others = others_succeed.then(|| Others::new(1, Duration::minutes(2)));
        for delivery in 1..200 {
            let wait: std::time::Duration = match self.attempt(invitation).unwrap() {
                Ok(completion) => return (completion, self.now.get() - began),
                Err(Postponed::Lone { .. }) => backoff(delivery, u32::MAX).min(std::time::Duration::from_secs(300)),
                Err(Postponed::BackingOff { until }) => (until - self.now()).try_into().unwrap(),
                Err(_) => backoff(delivery, u32::MAX),
            };
            let end = self.now.get() + wait;
            while let Some(at) = others.as_mut().and_then(|others| others.next_until(end)) {
                self.now.set(self.now.get().max(at));
                self.invite_another();
            }
            self.now.set(end);
        }
        panic!("never done: {:?}", self.memory.borrow().items[&invitation.id].record)
    }

    /// Another person is registered and mailed.
    fn invite_another(&self) {
        let other = format!("other{}@example.test", self.calls.borrow().len());
        let id = InvitationId::of([other.as_bytes()]);
        let other = Invitation { id, received_at: self.now(), ..invitation_of(&other) };
        let chosen_password = self.chosen_password.take();
        assert_eq!(self.deliver(&other).unwrap().unwrap(), Outcome::Invited);
        *self.chosen_password.borrow_mut() = chosen_password;
    }

    /// What only the message has after this delivery.
    fn withheld(&self, invitation: &Invitation) -> Vec<String> {
        let completion = self.attempt(invitation).unwrap().unwrap();
        completion.withheld.map(|left_out| left_out.withheld).unwrap_or_default()
    }

    /// Delivers the message every two minutes, as the queue does, until it has an outcome.
    fn deliver_until_done(&self, invitation: &Invitation) -> Outcome {
        for _ in 0..40 {
            let wait = match self.deliver(invitation) {
                Some(Ok(outcome)) => return outcome,
                Some(Err(Postponed::BackingOff { until })) => until - self.now(),
                Some(Err(_)) | None => Duration::minutes(2),
            };
            self.now.set(self.now.get() + wait);
        }
        panic!("never done: {:?}", self.calls.borrow());
    }

    fn add_lead(&self, number: u128, email: &str, phone: Option<&str>, portal_user: bool) -> LeadId {
        self.leadsquared.borrow_mut().add_lead(number, email, phone, portal_user)
    }

    fn registered(&self) -> usize {
        self.leadsquared.borrow().leads.iter().filter(|lead| lead.portal_user).count()
    }

    fn mails(&self) -> usize {
        self.leadsquared.borrow().mails.len()
    }

    fn left_out(&self, invitation: &Invitation) -> Vec<String> {
        self.memory.borrow().items[&invitation.id].record.left_out.clone()
    }

    /// How many invitations of the first day were accepted (`accepted`) or ended with this outcome.
    fn count(&self, name: &str) -> i64 {
        self.memory.borrow().counts.get(&(START.date(), name.to_owned())).copied().unwrap_or_default()
    }
}

impl Outside for World {
    async fn call<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error> {
        if matches!(self.faults.borrow().get(&self.calls.borrow().len()), Some(Fault::Unreachable)) {
            self.calls.borrow_mut().push(name);
            return Err(Error::Unreachable(Arc::new(std::io::Error::other("no connection"))));
        }
        let work = || work(&mut self.leadsquared.borrow_mut());
        self.request(name, work, || Error::ServerFault { status: 502 }, || Error::OutOfTime).await
    }

    async fn store<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Memory) -> Result<T, LedgerUnavailable> + 'static,
    ) -> Result<T, LedgerUnavailable> {
        self.request(name, || work(&mut self.memory.borrow_mut()), || LedgerUnavailable, || LedgerUnavailable).await
    }
}

/// Other people, whom LeadSquared registers at random times.
struct Others {
    chance: Chance,
    every: Duration,
    next: Duration,
}

impl Others {
    /// One person in this time on average.
    fn new(seed: u64, every: Duration) -> Self {
        Self { chance: Chance::new(seed), every, next: Duration::ZERO }
    }

    /// When the next one comes, if that is by then.
    fn next_until(&mut self, end: Duration) -> Option<Duration> {
        let at = Some(self.next).filter(|at| *at <= end)?;
        let share = (self.chance.number() as f64 + 1.0) / u64::MAX as f64;
        self.next += self.every * -share.ln();
        Some(at)
    }
}

fn asha() -> Invitation {
    invitation("asha@example.test", Attributes::new().with("FirstName", "Asha").with("Phone", "+91-9000000001"), 1)
}

fn invitation(email: &str, attributes: Attributes, number: u8) -> Invitation {
    let (id, invitee) = (InvitationId::of([&[number][..]]), Invitee::Email(email.parse().unwrap()));
    Invitation { attributes, ..Invitation::new(id, Source::Form, START, invitee, Action::Invite) }
}

fn invitation_of(email: &str) -> Invitation {
    invitation(email, Attributes::new(), 99)
}

const HAPPY: [&str; 7] = ["claim", "mail_book", "register", "lead_auto_login_key", "begin_mail", "mail", "end"];

#[test]
fn a_new_person_takes_two_calls_and_one_mail() {
    let world = World::default();
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
    assert_eq!(*world.calls.borrow(), HAPPY);
    assert_eq!((world.registered(), world.mails()), (1, 1));
}

#[test]
fn a_registration_of_a_known_lead_that_no_attempt_recorded_is_still_ours() {
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", None, false);
    // The first key of each of two attempts, and the record of the second attempt, which registers the lead.
    world.faults.borrow_mut().extend([(4, Fault::Broken), (11, Fault::Broken), (12, Fault::Broken)]);
    for _ in 0..2 {
        world.deliver(&asha()).unwrap().unwrap_err();
        world.now.set(world.now.get() + LEASE * 2);
    }
    assert_eq!(world.calls.borrow()[10..], ["register", "lead_auto_login_key", "release"]);
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::InvitedExisting);
    assert!(world.memory.borrow().registered.contains_key(&lead), "LeadSquared's webhook is known as our own echo");
}

#[test]
fn a_second_delivery_changes_nothing() {
    let world = World::default();
    world.deliver_until_done(&asha());
    world.now.set(Duration::days(3));
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::AlreadyInvited);
    assert_eq!((world.registered(), world.mails()), (1, 1));
}

#[test]
fn another_application_of_the_person_waits_for_the_cool_down() {
    let world = World::default();
    world.deliver_until_done(&asha());
    let again = |number| Invitation { id: InvitationId::of([&[number][..]]), received_at: world.now(), ..asha() };
    assert_eq!(world.deliver_until_done(&again(2)), Outcome::AlreadyInvited);
    world.now.set(world.now.get() + Duration::seconds(61));
    assert_eq!(world.deliver_until_done(&again(3)), Outcome::InvitedExisting);
    assert_eq!((world.registered(), world.mails()), (1, 2));
}

#[test]
fn a_known_lead_gets_a_link_and_keeps_its_data() {
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", None, false);
    assert_eq!(world.deliver_until_done(&asha()), Outcome::InvitedExisting);
    assert_eq!(world.leadsquared.borrow().mails, [lead]);
    assert_eq!(world.registered(), 1);
    assert_eq!(world.leadsquared.borrow().leads[0].phone, None);
}

/// An earlier version stored domains as they were typed, and queued such addresses.
#[test]
fn a_lead_is_the_same_person_in_every_spelling_of_its_address() {
    let stored = |email: &str| Invitee::Email(EmailAddress::try_from(email.to_owned()).unwrap());
    for address in ["asha@bücher.example", "asha@exa_mple.com"] {
        let world = World::default();
        let lead = world.add_lead(5, address, None, false);
        let queued = Invitation { invitee: stored(address), ..asha() };
        assert_eq!(world.deliver_until_done(&queued), Outcome::InvitedExisting, "{address}");
        world.now.set(Duration::hours(2));
        let by_id = Invitation { received_at: world.now(), ..by_lead(lead, Action::MailLink) };
        assert_eq!(world.deliver_until_done(&by_id), Outcome::InvitedExisting, "{address}");
        assert_eq!(world.leadsquared.borrow().mails, [lead, lead], "{address}");
    }
    let world = World::default();
    let lead = world.add_lead(5, "asha@bücher.example", None, true);
    let asked = invitation("asha@bücher.example", Attributes::new(), 1);
    let asked = Invitation { source: Source::LinkRequest, action: Action::MailLink, ..asked };
    assert_eq!(world.deliver_until_done(&asked), Outcome::InvitedExisting);
    assert_eq!(world.leadsquared.borrow().mails, [lead]);
}

#[test]
fn a_lead_with_another_address_never_gets_a_link() {
    // LeadSquared reports that the lead exists and finds none by this address: it matched another identifier.
    struct Impostor(World);
    impl Crm for Impostor {
        async fn register(&self, _: &Registration) -> Result<LeadId, Error> {
            Err(Error::LeadExists)
        }
        async fn leads_by_email(&self, _: &EmailAddress) -> Result<Vec<Lead>, Error> {
            let lead = serde_json::json!({"ProspectID": Uuid::from_u128(9), "EmailAddress": "victim@example.test"});
            Ok(vec![serde_json::from_value(lead).unwrap()])
        }
        async fn lead_by_id(&self, _: &LeadId) -> Result<Option<Lead>, Error> {
            panic!("no invitation named a lead")
        }
        async fn lead_auto_login_key(&self, _: &LeadId) -> Result<AutoLoginKey, Error> {
            panic!("a key for a stranger's lead was asked for")
        }
    }
    let impostor = Impostor(World::default());
    let link = direct();
    let world = &impostor.0;
    let outside = Via(world);
    let limits = MailLimits::default();
    let flow = Flow {
        crm: &impostor,
        ledger: &outside,
        mail: &outside,
        link: &link,
        mail_limits: limits,
        marking: &Marking::default(),
        lookups: &world.lookups,
        report: &|_| (),
    };
    let attempt = Attempt {
        now: START,
        lease: Lease { holder: Uuid::nil(), message: Uuid::nil(), until: START + LEASE },
        password: generated_password([0; 20]),
        chosen_password: None,
        token: LinkToken::new([7; LINK_TOKEN_BYTES]),
        code: mailed_code([7; MAILED_CODE_BYTES]),
        may_be_overtaken: false,
    };
    let outcome = flow.run(&asha(), attempt).now_or_never().unwrap().unwrap().outcome;
    assert_eq!(outcome, Outcome::Rejected(Rejection::IdentityMismatch));
    assert_eq!(world.mails(), 0);
}

fn by_lead(lead: LeadId, action: Action) -> Invitation {
    Invitation {
        source: Source::Crm,
        invitee: Invitee::Lead(lead),
        action,
        ..invitation("x@example.test", Attributes::new(), 9)
    }
}

#[test]
fn a_lead_that_is_named_gets_its_link_at_the_address_on_record() {
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", None, false);
    assert_eq!(world.deliver(&by_lead(lead, Action::Invite)).unwrap().unwrap(), Outcome::InvitedExisting);
    assert_eq!(
        *world.calls.borrow(),
        [
            "claim",
            "registered_at",
            "lead_by_id",
            "mail_book",
            "lead_auto_login_key",
            "leads_by_email",
            "register",
            "lead_auto_login_key",
            "begin_mail",
            "mail",
            "end"
        ]
    );
    assert_eq!(world.leadsquared.borrow().mails, [lead]);
    // An application with this lead's address is from the same person.
    assert_eq!(world.deliver_until_done(&asha()), Outcome::AlreadyInvited);
}

#[test]
fn a_lead_whose_address_another_lead_has_too_is_not_registered() {
    for is_portal_user in [true, false] {
        let world = World::default();
        let lead = world.add_lead(5, "asha@example.test", None, false);
        world.add_lead(6, "asha@example.test", None, is_portal_user);
        let outcome = world.deliver_until_done(&by_lead(lead, Action::Invite));
        assert_eq!(outcome, Outcome::Rejected(Rejection::IdentityMismatch));
        assert!(world.leadsquared.borrow().passwords.is_empty(), "no password was overwritten");
        assert_eq!(world.mails(), 0);
    }
    // A lead that is a portal user needs no registration.
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", None, true);
    world.add_lead(6, "asha@example.test", None, true);
    assert_eq!(world.deliver_until_done(&by_lead(lead, Action::Invite)), Outcome::InvitedExisting);
    assert_eq!(world.leadsquared.borrow().mails, [lead]);
}

#[test]
fn the_webhook_of_our_own_registration_starts_no_invitation() {
    let world = World::default();
    world.deliver_until_done(&asha());
    let lead = world.leadsquared.borrow().leads[0].id;
    let later = |minutes| START + Duration::minutes(minutes);
    world.now.set(Duration::minutes(5));
    let asked = |minutes| Invitation {
        id: InvitationId::of([&[100 + minutes as u8][..]]),
        received_at: later(minutes),
        ..by_lead(lead, Action::Invite)
    };
    assert_eq!(world.deliver_until_done(&asked(0)), Outcome::AlreadyInvited);
    assert_eq!(world.deliver_until_done(&asked(1)), Outcome::InvitedExisting);
    assert_eq!(world.mails(), 2);
}

#[test]
fn a_deleted_lead_is_rejected_or_suppressed() {
    let world = World::default();
    let gone: LeadId = Uuid::from_u128(5).to_string().parse().unwrap();
    let outcome = |action: Action| {
        world.deliver(&Invitation { id: InvitationId::of([action.name().as_bytes()]), ..by_lead(gone, action) })
    };
    let rejected = Outcome::Rejected(Rejection::NoSuchLead);
    assert_eq!(outcome(Action::Invite).unwrap().unwrap(), rejected);
    let suppressed = Outcome::Suppressed(Suppression::UnknownPerson);
    assert_eq!(outcome(Action::MailLink).unwrap().unwrap(), suppressed);
}

#[test]
fn a_lead_without_an_email_address_is_suppressed() {
    let world = World::default();
    let lead = world.add_lead(5, "", None, false);
    for action in [Action::Invite, Action::MailLink] {
        let invitation = Invitation { id: InvitationId::of([action.name().as_bytes()]), ..by_lead(lead, action) };
        let outcome = world.deliver(&invitation).unwrap().unwrap();
        assert_eq!(outcome, Outcome::Suppressed(Suppression::NoEmailAddress));
        assert_eq!((outcome.name(), outcome.cause().as_deref()), ("suppressed", Some("no-e-mail-address")));
    }
}

/// An invitation of an event that left these rules undecided.
fn undecided(number: u8, lead: LeadId, rules: &[&str], known: &[(&str, &str)]) -> Invitation {
    let known = known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let question = RuleQuestion { rules: rules.iter().map(|rule| (*rule).to_owned()).collect(), known };
    let id = InvitationId::of([&[number][..]]);
    Invitation { id, question: Some(question), ..by_lead(lead, Action::Invite) }
}

fn lookups(a_day: u32) -> RuleLookups {
    let rules = serde_json::json!([
        {"name": "marked", "on": "lead-create", "action": "invite", "when": [{"field": Marking::FIELD, "is-not": ""}]},
        {"name": "asha", "on": "lead-change", "field": "EmailAddress", "to": "asha@example.test", "action": "mail-link"},
    ]);
    RuleLookups { rules: rules.to_string().parse().unwrap(), a_day }
}

#[test]
fn a_lookup_of_the_lead_decides_the_rules_that_the_event_left_undecided() {
    let world = World { lookups: lookups(10), ..World::default() };
    let lead = world.add_lead(5, "asha@example.test", None, true);
    let no_rule = Outcome::Suppressed(Suppression::NoRuleApplies);
    let gone: LeadId = Uuid::from_u128(6).to_string().parse().unwrap();
    for (number, invitation) in [
        undecided(1, lead, &["marked"], &[]),
        undecided(2, lead, &["marked", "asha"], &[("EmailAddress", "ravi@example.test")]),
        undecided(3, lead, &["renamed"], &[]),
        undecided(4, gone, &["asha"], &[]),
    ]
    .into_iter()
    .enumerate()
    {
        world.now.set(Duration::minutes(5));
        assert_eq!(world.deliver(&invitation).unwrap().unwrap(), no_rule, "{number}");
    }
    assert_eq!((no_rule.name(), no_rule.cause().as_deref()), ("suppressed", Some("no-rule-applies")));
    assert_eq!((world.calls.borrow().len(), world.mails()), (4 * 4, 0));

    // The rule that holds is for mailing a link, which does not ask when the lead was registered.
    world.calls.borrow_mut().clear();
    let invitation = undecided(5, lead, &["marked", "asha"], &[]);
    assert_eq!(world.deliver(&invitation).unwrap().unwrap(), Outcome::InvitedExisting);
    let begin = ["claim", "take_rule_lookup", "lead_by_id", "mail_book", "newest_link_used"];
    assert_eq!(world.calls.borrow()[..begin.len()], begin);

    // The event's value takes precedence over the lead's.
    let invitation = undecided(6, lead, &["marked"], &[(Marking::FIELD, "unproven")]);
    world.now.set(Duration::hours(1));
    let invitation = Invitation { received_at: world.now(), ..invitation };
    assert_eq!(world.deliver(&invitation).unwrap().unwrap(), Outcome::InvitedExisting);
    assert_eq!(world.mails(), 2);
}

#[test]
fn a_lead_that_no_rule_fits_is_looked_up_again_once_its_next_event_is_a_message_of_its_own() {
    let world = World { lookups: lookups(10), ..World::default() };
    let lead = world.add_lead(5, "asha@example.test", None, true);
    let invitation = undecided(1, lead, &["marked"], &[]);
    let Err(Postponed::RulesUndecided { until }) = world.deliver(&invitation).unwrap() else { panic!("it has ended") };
    assert_eq!(until, START + Duration::minutes(5));
    // An event that followed was dropped by the queue as a repeat.
    world.leadsquared.borrow_mut().leads[0].mark = Some("unproven: identifiers".to_owned());
    world.now.set(Duration::minutes(5));
    assert_eq!(world.deliver(&invitation).unwrap().unwrap(), Outcome::InvitedExisting);
}

#[test]
fn a_lookup_over_the_days_share_waits_until_one_is_left() {
    let world = World { lookups: lookups(1), ..World::default() };
    let lead = world.add_lead(5, "asha@example.test", None, true);
    world.now.set(Duration::minutes(5));
    world.deliver(&undecided(1, lead, &["renamed"], &[])).unwrap().unwrap();
    let waiting = undecided(2, lead, &["renamed"], &[]);
    assert!(matches!(world.deliver(&waiting).unwrap(), Err(Postponed::RuleLookups { a_day: 1, is_first: true })));
    assert_eq!(world.calls.borrow().iter().filter(|call| **call == "lead_by_id").count(), 1);
    world.now.set(Duration::DAY);
    assert_eq!(world.deliver(&waiting).unwrap().unwrap(), Outcome::Suppressed(Suppression::NoRuleApplies));
}

#[test]
fn each_call_of_a_question_takes_a_lookup_and_an_outage_slows_the_calls() {
    let world = World { lookups: lookups(100), ..World::default() };
    let lead = world.add_lead(5, "asha@example.test", None, true);
    let invitation = Invitation { provenance: Provenance::System, ..undecided(1, lead, &["asha"], &[]) };
    let calls = || world.calls.borrow().iter().filter(|call| **call == "lead_by_id").count();
    let taken = || world.memory.borrow().rule_lookups[&START.date()] as usize;
    world.leadsquared.borrow_mut().blocked_call = Some("lead_by_id");
    for _ in 0..10 * 60 {
        assert!(world.deliver(&invitation).unwrap().is_err());
        world.now.set(world.now.get() + Duration::MINUTE);
    }
    assert_eq!((calls(), taken()), (12, 12), "three at once, then after one minute, after two, after four…");

    world.leadsquared.borrow_mut().blocked_call = None;
    assert!(matches!(world.deliver(&invitation).unwrap(), Err(Postponed::BackingOff { .. })));
    world.invite_another();
    world.now.set(world.now.get() + Duration::minutes(5));
    assert_eq!(world.deliver(&invitation).unwrap().unwrap(), Outcome::InvitedExisting);
    assert_eq!((calls(), taken()), (13, 13));
}

#[test]
fn a_lookup_whose_call_was_not_made_is_left_for_the_next_attempt_of_the_day() {
    for (wait, taken) in [(Duration::MINUTE, 1), (Duration::DAY, 2)] {
        let world = World { lookups: lookups(10), ..World::default() };
        let lead = world.add_lead(5, "asha@example.test", None, true);
        let invitation = undecided(1, lead, &["asha"], &[]);
        world.faults.borrow_mut().insert(2, Fault::NotSent);
        assert!(world.deliver(&invitation).unwrap().is_err());
        assert_eq!(world.calls.borrow()[..3], ["claim", "take_rule_lookup", "lead_by_id"]);
        world.now.set(wait);
        assert_eq!(world.deliver(&invitation).unwrap().unwrap(), Outcome::InvitedExisting);
        assert_eq!(world.calls.borrow().iter().filter(|call| **call == "take_rule_lookup").count(), taken);
    }
    // The process crashes after the call of the next attempt.
    let world = World { lookups: lookups(10), ..World::default() };
    let lead = world.add_lead(5, "asha@example.test", None, true);
    world.faults.borrow_mut().extend([(2, Fault::NotSent), (5, Fault::DieAfter)]);
    let invitation = undecided(1, lead, &["asha"], &[]);
    assert!(world.deliver(&invitation).unwrap().is_err());
    assert!(world.deliver(&invitation).is_none());
    world.now.set(LEASE * 2);
    assert_eq!(world.deliver(&invitation).unwrap().unwrap(), Outcome::InvitedExisting);
    assert_eq!(world.memory.borrow().rule_lookups[&START.date()], 2, "the second and the third attempt made a call");
}

#[test]
fn a_question_whose_lookup_failed_keeps_its_turn() {
    let world = World { lookups: lookups(20), ..World::default() };
    let lead = world.add_lead(5, "ravi@example.test", None, true);
    let question = |number| undecided(number, lead, &["asha"], &[]);
    world.leadsquared.borrow_mut().blocked_call = Some("lead_by_id");
    assert!(matches!(world.deliver(&question(0)).unwrap(), Err(Postponed::LeadSquared { .. })));
    world.leadsquared.borrow_mut().blocked_call = None;
    world.now.set(Duration::hours(2));
    let is_decided = |number| world.deliver(&question(number)).unwrap().is_ok();
    assert_eq!((1..20).filter(|number| is_decided(*number)).count(), 4, "the half that is for those that wait");
    assert!(is_decided(0));
}

#[test]
fn a_call_that_never_arrived_does_not_slow_an_invitation() {
    let world = World::default();
    let request = Invitation { action: Action::MailLink, ..asha() };
    world.add_lead(5, "asha@example.test", None, true);
    for number in 0..20 {
        let first = world.calls.borrow().len();
        world.faults.borrow_mut().insert(first + 2, Fault::Unreachable);
        let postponed = world.deliver(&request).unwrap().unwrap_err();
        let is_unreachable = matches!(&postponed, Postponed::LeadSquared { source: Error::Unreachable(_), .. });
        assert!(is_unreachable, "{number}: {postponed:?} {:?}", world.calls.borrow());
    }
    let first = world.calls.borrow().len();
    world.faults.borrow_mut().insert(first + 2, Fault::Broken);
    assert!(matches!(world.deliver(&request).unwrap(), Err(Postponed::LeadSquared { .. })));
    assert_eq!(world.deliver(&request).unwrap().unwrap(), Outcome::InvitedExisting);
}

#[test]
fn questions_of_a_bulk_edit_leave_half_of_the_lookups_to_later_events() {
    let world = World { lookups: lookups(100), ..World::default() };
    let lead = world.add_lead(5, "ravi@example.test", None, true);
    let ask = |hours: i64, number: u8| {
        let received_at = START + Duration::hours(hours);
        world.deliver(&Invitation { received_at, ..undecided(number, lead, &["asha"], &[]) }).unwrap()
    };
    world.now.set(Duration::minutes(6));
    let is_left = |answer: &Result<Outcome, Postponed>| !matches!(answer, Err(Postponed::RuleLookups { .. }));
    // A quarter of the day's at once, and what has come in the first three hours of the day.
    assert_eq!((0..100).filter(|number| is_left(&ask(0, *number))).count(), 34);
    world.now.set(Duration::hours(15));
    // Half of what has come by then.
    assert_eq!((34..100).filter(|number| is_left(&ask(0, *number))).count(), 7);
    assert!((200..230).all(|number| is_left(&ask(15, number))), "events of this hour");
}

#[test]
fn a_tenth_of_the_days_calls_may_decide_rules() {
    let a_day = |daily_calls| RuleLookups::new(Rules::default(), daily_calls).a_day;
    assert_eq!([Some(20_000), Some(7), None].map(a_day), [2_000, 1, 1_000], "an account without a cap has a plan too");
}

#[test]
fn a_link_request_creates_no_lead() {
    let world = World::default();
    let ask = |number| Invitation {
        source: Source::LinkRequest,
        action: Action::MailLink,
        ..invitation("asha@example.test", Attributes::new(), number)
    };
    let unknown = Outcome::Suppressed(Suppression::UnknownPerson);
    assert_eq!(world.deliver_until_done(&ask(1)), unknown);
    assert_eq!((world.leadsquared.borrow().leads.len(), world.mails()), (0, 0));
    world.add_lead(5, "asha@example.test", None, true);
    assert_eq!(world.deliver_until_done(&ask(2)), Outcome::InvitedExisting);
    assert_eq!((world.leadsquared.borrow().leads.len(), world.mails()), (1, 1));
}

#[test]
fn a_used_link_is_replaced_after_the_cool_down() {
    for by_address in [false, true] {
        let world = World::default();
        world.on_click.set(true);
        let lead = world.add_lead(5, "asha@example.test", None, true);
        let by_address = by_address.then(|| Invitee::Email("asha@example.test".parse().unwrap()));
        let ask = |number, seconds| Invitation {
            source: Source::LinkRequest,
            received_at: START + Duration::seconds(seconds),
            invitee: by_address.clone().unwrap_or(Invitee::Lead(lead)),
            action: Action::MailLink,
            ..invitation("x@example.test", Attributes::new(), number)
        };
        assert_eq!(world.deliver(&ask(1, 0)).unwrap().unwrap(), Outcome::InvitedExisting);
        world.now.set(Duration::seconds(20));
        // An unused link serves the request; a used link does not.
        assert_eq!(world.deliver(&ask(2, 20)).unwrap().unwrap(), Outcome::AlreadyInvited);
        world.memory.borrow_mut().links_used.insert(lead, START);
        assert!(matches!(world.deliver(&ask(3, 20)).unwrap(), Err(Postponed::MailBookChanged)));
        assert_eq!(world.mails(), 1);
        world.now.set(Duration::seconds(60));
        assert_eq!(world.deliver(&ask(3, 20)).unwrap().unwrap(), Outcome::InvitedExisting);
        assert_eq!(world.mails(), 2);
    }
}

#[test]
fn the_link_after_two_used_ones_in_a_row_is_mailed_with_a_code() {
    let world = World::default();
    world.on_click.set(true);
    let lead = world.add_lead(5, "asha@example.test", None, true);
    for used_links in 0..4 {
        world.now.set(Duration::days(i64::from(used_links)));
        let asked = Invitation { used_links, source: Source::LinkRequest, ..by_lead(lead, Action::MailLink) };
        let id = InvitationId::of([&[used_links as u8][..]]);
        let asked = Invitation { id, received_at: world.now(), ..asked };
        assert_eq!(world.deliver(&asked).unwrap().unwrap(), Outcome::InvitedExisting);
        let target = world.memory.borrow().link_targets.last().unwrap().clone();
        let code = (used_links >= 2).then(|| mailed_code([7; MAILED_CODE_BYTES]));
        let token = LinkToken::new([7; LINK_TOKEN_BYTES]);
        assert_eq!(target.code, code.as_ref().map(|code| token.code_hash(code.expose())));
        let leadsquared = world.leadsquared.borrow();
        let mailed = leadsquared.codes.last().unwrap().as_ref().map(OneTimeCode::expose);
        assert_eq!((target.used_links, mailed), (used_links, code.as_ref().map(OneTimeCode::expose)));
    }
}

#[test]
fn the_link_after_two_used_ones_brings_a_code_whichever_way_it_was_asked_for() {
    let lead: LeadId = Uuid::from_u128(5).to_string().parse().unwrap();
    let by_email = Invitation { source: Source::LinkRequest, action: Action::MailLink, ..asha() };
    for invitation in [asha(), by_email, by_lead(lead, Action::MailLink), by_lead(lead, Action::Invite)] {
        for (count, hours, has_code) in [(1, 0, false), (2, 0, true), (2, 12, true), (2, 13, false), (9, 1, true)] {
            let world = World::default();
            world.on_click.set(true);
            world.add_lead(5, "asha@example.test", None, true);
            let used = UsedLinks { count, made_at: START - Duration::hours(hours) };
            world.memory.borrow_mut().used_links.insert(asha().person(), used);
            assert_eq!(world.deliver(&invitation).unwrap().unwrap(), Outcome::InvitedExisting);
            assert_eq!(world.leadsquared.borrow().codes[0].is_some(), has_code, "{count} used, {hours} hours ago");
            let target = world.memory.borrow().link_targets[0].clone();
            assert_eq!(target.used_links, if hours <= 12 { count } else { 0 });
        }
    }
}

#[test]
fn an_on_click_link_takes_one_call_and_points_at_the_lead() {
    let world = World::default();
    world.on_click.set(true);
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
    assert_eq!(*world.calls.borrow(), ["claim", "mail_book", "register", "begin_mail", "mail", "end"]);
    let lead = world.leadsquared.borrow().leads[0].id;
    let link_targets = world.memory.borrow().link_targets.clone();
    assert_eq!(link_targets.len(), 1);
    assert_eq!((link_targets[0].lead, link_targets[0].invitation), (lead, asha().id));
    assert_eq!(link_targets[0].person, asha().person());
    assert_eq!((link_targets[0].made_at, link_targets[0].valid_until), (START, START + Duration::hours(1)));

    // An existing lead becomes a portal user only when the applicant presses the button.
    let mei = world.add_lead(5, "mei@example.test", None, false);
    let application = invitation("mei@example.test", Attributes::new(), 3);
    assert_eq!(world.deliver_until_done(&application), Outcome::InvitedExisting);
    assert_eq!(world.leadsquared.borrow().mails, [lead, mei]);
    assert_eq!(world.registered(), 1);
}

#[test]
fn a_family_members_phone_is_left_out_and_noted() {
    // LeadSquared names the field, or answers that the user exists.
    for matches_phones in [false, true] {
        let world = World::default();
        world.leadsquared.borrow_mut().matches_phones = matches_phones;
        world.add_lead(5, "parent@example.test", Some("+91-9000000001"), true);
        assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
        let leadsquared = world.leadsquared.borrow();
        assert_eq!(leadsquared.leads[1].phone, None);
        assert_eq!(
            leadsquared.leads[1].notes.as_deref(),
            Some("Left out on registration because another lead has it: Phone +91-9000000001.")
        );
        assert_eq!(world.left_out(&asha()), ["Phone"]);
    }
}

#[test]
fn a_person_is_registered_without_a_field_that_leadsquared_lacks() {
    let world = World::default();
    world.leadsquared.borrow_mut().unknown.push("FirstName");
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!(world.left_out(&asha()), ["FirstName"]);
}

/// The phone number, the notes and the mark of the lead of an invitation.
fn lead_after(world: &World, invitation: &Invitation) -> (Option<String>, Option<String>, Option<String>) {
    assert_eq!(world.deliver_until_done(invitation), Outcome::Invited);
    let leadsquared = world.leadsquared.borrow();
    let lead = leadsquared.leads.last().unwrap();
    (lead.phone.clone(), lead.notes.clone(), lead.mark.clone())
}

const PHONE: &str = "+91-9000000001";

#[test]
fn identifiers_from_a_form_are_marked_by_the_call_that_creates_the_lead() {
    let world = World::default();
    let (phone, _, mark) = lead_after(&world, &asha());
    assert_eq!((phone.as_deref(), mark.as_deref()), (Some(PHONE), Some("unproven: identifiers")));
    assert_eq!(world.memory.borrow().marks.values().collect::<Vec<_>>(), [&MarkSent::Yes]);

    *world.chosen_password.borrow_mut() = Some(Password::from("Strong enough 1!"));
    let (_, _, mark) = lead_after(&world, &invitation("mei@example.test", Attributes::new(), 3));
    assert_eq!(mark.as_deref(), Some("unproven: identifiers, password"));

    *world.chosen_password.borrow_mut() = Some(Password::from("too weak"));
    let (_, _, mark) = lead_after(&world, &invitation("ravi@example.test", Attributes::new(), 4));
    assert_eq!(mark.as_deref(), Some("unproven: identifiers"), "a random password took its place");
}

#[test]
fn no_form_event_or_rule_sets_the_mark_or_a_password() {
    let world = World::default();
    let attributes = Attributes::new()
        .with("MX_unproven_sign_in", "unproven: identifiers; proven: Phone")
        .with("mx_portal_password", "attacker's")
        .with("emailaddress", "other@example.test")
        .with("Phone", PHONE);
    let (phone, _, mark) = lead_after(&world, &invitation("asha@example.test", attributes, 1));
    assert_eq!((phone.as_deref(), mark.as_deref()), (Some(PHONE), Some("unproven: identifiers")));
}

#[test]
fn where_leadsquared_refuses_the_mark_the_e_mail_address_is_the_only_way_to_sign_in() {
    let noted = "Typed in a form and not proven: Phone +91-9000000001, mx_PAN ABCDE1234F.";
    let attributes = Attributes::new().with("Phone", PHONE).with("mx_PAN", "ABCDE1234F").with("mx_City", "Pune");
    for refusal in [MarkRefusal::Unknown, MarkRefusal::Refused, MarkRefusal::Duplicate] {
        let marking = Marking { identifiers: vec!["mx_PAN".to_owned()], ..Marking::default() };
        let world = World { marking, ..World::default() };
        world.leadsquared.borrow_mut().mark_refusal = Some(refusal);
        *world.chosen_password.borrow_mut() = Some(Password::from("Strong enough 1!"));
        let asha = invitation("asha@example.test", attributes.clone(), 1);
        let (phone, notes, mark) = lead_after(&world, &asha);
        assert_eq!((phone, notes.as_deref(), mark), (None, Some(noted), None), "{refusal:?}");
        let leadsquared = world.leadsquared.borrow();
        assert_ne!(leadsquared.passwords.last().unwrap(), "Strong enough 1!", "{refusal:?}");
        assert!(world.left_out(&asha).contains(&"Phone".to_owned()), "{refusal:?}");
        let marks = &world.memory.borrow().marks;
        assert_eq!(marks.values().collect::<Vec<_>>(), [&MarkSent::No], "the ledger takes the lead for unproven");
    }
}

#[test]
fn a_person_is_registered_without_a_value_that_leadsquared_refuses() {
    let world = World::default();
    world.leadsquared.borrow_mut().refused_value = Some("<b>Chess</b>");
    let attributes = Attributes::new().with("FirstName", "Asha").with("Phone", PHONE).with("mx_Course", "<b>Chess</b>");
    let asha = invitation("asha@example.test", attributes, 1);
    let (phone, notes, mark) = lead_after(&world, &asha);
    let noted = "LeadSquared did not take these as fields: mx_Course \u{2039}b\u{203a}Chess\u{2039}/b\u{203a}.";
    assert_eq!(notes.as_deref(), Some(noted));
    assert_eq!((phone.as_deref(), mark.as_deref()), (Some(PHONE), Some("unproven: identifiers")));
    assert_eq!(world.left_out(&asha), ["mx_Course"]);
    assert_eq!(world.calls.borrow().iter().filter(|call| **call == "register").count(), 4);
}

#[test]
fn a_person_is_registered_with_the_address_alone_if_leadsquared_refuses_a_value_in_the_notes_too() {
    for is_typed_in_notes in [false, true] {
        let world = World::default();
        world.leadsquared.borrow_mut().refused_value = Some("chess");
        let field = if is_typed_in_notes { "Notes" } else { "mx_Course" };
        let attributes = Attributes::new().with("FirstName", "Asha").with("Phone", PHONE).with(field, "I like chess");
        let asha = invitation("asha@example.test", attributes, 1);
        let completion = world.attempt(&asha).unwrap().unwrap();
        assert_eq!(completion.outcome, Outcome::Invited);
        let left_out = completion.withheld.unwrap();
        let mut names = left_out.withheld;
        names.sort();
        let mut all = ["FirstName", "Phone", field];
        all.sort_unstable();
        assert_eq!((&*names, left_out.noted.len()), (&*all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), 0));
        let leadsquared = world.leadsquared.borrow();
        let lead = &leadsquared.leads[0];
        assert_eq!((&lead.phone, &lead.notes, &lead.mark), (&None, &None, &None));
        assert_eq!(*world.reports.borrow(), ["withheld"]);
        assert!(made(&world.calls.borrow()) <= 7, "{:?}", world.calls.borrow());
    }
}

#[test]
fn a_rejected_registration_without_notes_leaves_nothing_to_keep() {
    let world = World::default();
    world.leadsquared.borrow_mut().refused.insert("asha@example.test".to_owned());
    let completion = world.attempt(&asha()).unwrap().unwrap();
    assert!(matches!(completion.outcome, Outcome::Rejected(Rejection::Refused { .. })));
    assert_eq!(completion.withheld, None);
    // Another application of the person is invited, and an operator puts the dead letter back.
    world.leadsquared.borrow_mut().refused.clear();
    let other = invitation("asha@example.test", Attributes::new(), 2);
    assert_eq!(world.deliver(&other).unwrap().unwrap(), Outcome::Invited);
    world.message.set(Uuid::from_u128(9));
    let completion = world.attempt(&asha()).unwrap().unwrap();
    assert_eq!((completion.outcome, completion.withheld), (Outcome::AlreadyInvited, None));
}

#[test]
fn refused_values_cost_few_calls_however_many_there_are() {
    // One value costs its third of the fields, two in one third cost no more, and two in two thirds everything.
    for (refused, left_out, calls) in [(&[0][..], 3, 3), (&[8], 3, 5), (&[3, 5], 3, 4), (&[0, 8], 10, 6)] {
        let world = World::default();
        world.leadsquared.borrow_mut().refused_value = Some("<b>");
        let field = |n: usize| (format!("mx_Field{n}"), if refused.contains(&n) { "<b>" } else { "fine" }.to_owned());
        let attributes: Attributes = (0..9).map(field).collect();
        let asha = invitation("asha@example.test", attributes.with("Phone", PHONE), 1);
        assert_eq!(world.deliver_until_done(&asha), Outcome::Invited);
        assert_eq!(world.left_out(&asha).len(), left_out, "{refused:?}: {:?}", world.left_out(&asha));
        let registrations = world.calls.borrow().iter().filter(|call| **call == "register").count();
        assert_eq!(registrations, calls, "{refused:?}");
        let has_phone = world.leadsquared.borrow().leads[0].phone.is_some();
        assert_eq!(has_phone, left_out < 10, "{refused:?}");
    }
}

#[test]
fn a_search_for_a_refused_value_keeps_out_what_leadsquared_has_refused_meanwhile() {
    // It names one unknown field in each answer, after it has looked at the values.
    let world = World::default();
    world.leadsquared.borrow_mut().refused_value = Some("<b>");
    world.leadsquared.borrow_mut().unknown = vec!["mx_Field0", "mx_Field4"];
    world.leadsquared.borrow_mut().names_one_field = true;
    world.add_lead(5, "parent@example.test", Some(PHONE), true);
    *world.chosen_password.borrow_mut() = Some(Password::from("too weak"));
    let fields = (0..9).map(|n| (format!("mx_Field{n}"), if n == 1 { "<b>" } else { "fine" }.to_owned()));
    let asha = invitation("asha@example.test", fields.collect::<Attributes>().with("Phone", PHONE), 1);
    assert_eq!(world.deliver(&asha).unwrap().unwrap(), Outcome::Invited);
    let registrations = world.calls.borrow().iter().filter(|call| **call == "register").count();
    assert!(registrations <= 8, "{registrations}");
    let mut left_out = world.left_out(&asha);
    left_out.sort();
    assert_eq!(left_out, ["Phone", "mx_Field0", "mx_Field1", "mx_Field2", "mx_Field4", "password"]);
}

#[test]
fn a_person_is_registered_with_the_address_before_the_calls_of_an_attempt_are_used_up() {
    const UNKNOWN: [&str; 12] =
        ["mx_A", "mx_B", "mx_C", "mx_D", "mx_E", "mx_F", "mx_G", "mx_H", "mx_I", "mx_J", "mx_K", "mx_L"];
    let world = World::default();
    world.leadsquared.borrow_mut().unknown = UNKNOWN.to_vec();
    world.leadsquared.borrow_mut().names_one_field = true;
    *world.chosen_password.borrow_mut() = Some(Password::from("Strong enough 1!"));
    let fields: Attributes = UNKNOWN.iter().map(|name| ((*name).to_owned(), "fine".to_owned())).collect();
    let asha = invitation("asha@example.test", fields, 1);
    assert_eq!(world.deliver(&asha).unwrap().unwrap(), Outcome::Invited);
    let leadsquared = world.leadsquared.borrow();
    assert!(leadsquared.leads[0].notes.as_ref().unwrap().contains("mx_L fine"));
    assert_ne!(leadsquared.passwords, ["Strong enough 1!"], "no password without the mark");
}

#[test]
fn a_refused_value_and_a_refused_mark_are_reported_each_with_its_own_names() {
    for (mark_refusal, expected) in [
        (None, &["values: mx_Course"][..]),
        (Some(MarkRefusal::Unknown), &["values: mx_Course", "mark: Field"]),
        (Some(MarkRefusal::Refused), &["mark: Value"]),
    ] {
        let world = World::default();
        world.add_lead(5, "parent@example.test", Some(PHONE), true);
        let mut leadsquared = world.leadsquared.borrow_mut();
        leadsquared.mark_refusal = mark_refusal;
        leadsquared.refused_value = (mark_refusal != Some(MarkRefusal::Refused)).then_some("<b>");
        drop(leadsquared);
        let attributes = Attributes::new().with("Phone", PHONE).with("FirstName", "Asha").with("mx_Course", "<b>");
        assert_eq!(world.deliver(&invitation("asha@example.test", attributes, 1)).unwrap().unwrap(), Outcome::Invited);
        assert_eq!(*world.reports.borrow(), expected, "{mark_refusal:?}");
    }
}

/// Asha's application with a text that a firewall blocks in one of its fields.
fn blocked(world: &World, field: &str) -> Invitation {
    world.leadsquared.borrow_mut().blocked = Some("<svg");
    let attributes = Attributes::new().with("FirstName", "Asha").with("Phone", PHONE).with("mx_Essay", "I like law");
    invitation("asha@example.test", attributes.with(field, "<svg onload=1>"), 1)
}

#[test]
fn a_text_that_a_firewall_blocks_is_withheld_while_others_are_registered() {
    let world = World::default();
    let asha = blocked(&world, "mx_Essay");
    let (completion, took) = world.deliver_with_others(&asha, true);
    assert_eq!(completion.outcome, Outcome::Invited);
    assert_eq!(completion.withheld.unwrap().withheld, ["FirstName", "mx_Essay"]);
    assert!(took < Duration::minutes(30), "the person's next message waited for {took}");
    let leadsquared = world.leadsquared.borrow();
    let lead = leadsquared.leads.iter().find(|lead| lead.email == "asha@example.test").unwrap();
    assert_eq!((lead.phone.as_deref(), lead.mark.as_deref()), (Some(PHONE), Some("unproven: identifiers")));
    assert_eq!((lead.essay.as_deref(), lead.notes.as_deref()), (None, None));
    drop(leadsquared);
    // The process may crash before the message is dead-lettered, or the dead letter may be put back.
    assert_eq!(world.withheld(&asha), ["FirstName", "mx_Essay"]);
    world.message.set(Uuid::from_u128(9));
    assert_eq!(world.withheld(&asha), ["FirstName", "mx_Essay"]);
}

#[test]
fn a_text_that_a_firewall_blocks_is_withheld_within_the_hour_on_a_site_without_other_applicants_too() {
    for answers_with_pages in [false, true] {
        let world = World::default();
        let asha = blocked(&world, "mx_Essay");
        world.leadsquared.borrow_mut().answers_with_pages = answers_with_pages;
        let (completion, took) = world.deliver_with_others(&asha, false);
        assert_eq!(completion.outcome, Outcome::Invited);
        assert_eq!(completion.withheld.unwrap().withheld, ["FirstName", "mx_Essay"]);
        assert!(took < Duration::HOUR, "the person's next message waited for {took}");
    }
}

#[test]
fn while_nobody_can_be_registered_nothing_is_withheld_and_nobody_given_up_although_look_ups_work() {
    let world = World::default();
    let asha = invitation("asha@example.test", Attributes::new().with("mx_Essay", "I like law"), 1);
    world.leadsquared.borrow_mut().blocked_call = Some("register");
    for delivery in 1..100 {
        let postponed = world.attempt(&asha).unwrap().unwrap_err();
        let is_unclear = matches!(postponed, Postponed::LeadSquared { .. } | Postponed::BackingOff { .. });
        assert!(is_unclear, "{delivery}: {postponed}");
        world.now.set(world.now.get() + backoff(delivery, u32::MAX));
        // Known people get their links meanwhile.
        world.memory.borrow_mut().successes.entry(world.now().date()).or_default().looked_up = Some(world.now());
    }
    world.leadsquared.borrow_mut().blocked_call = None;
    world.now.set(world.now.get() + Duration::hours(3));
    let completion = world.attempt(&asha).unwrap().unwrap();
    assert_eq!((completion.outcome, completion.withheld), (Outcome::Invited, None));
    assert_eq!(world.leadsquared.borrow().leads[0].essay.as_deref(), Some("I like law"));
}

#[test]
fn what_a_late_registration_brought_into_leadsquared_is_not_withheld() {
    for (essay, withheld) in [(None, vec!["mx_Essay"]), (Some("<svg onload=1>"), vec![])] {
        let world = World::default();
        world.leadsquared.borrow_mut().blocked = Some("<svg");
        let attributes = Attributes::new().with("Phone", PHONE).with("mx_Essay", "<svg onload=1>");
        let asha = invitation("asha@example.test", attributes, 1);
        for minutes in [0, 1, 2, 20] {
            world.now.set(Duration::minutes(minutes));
            world.attempt(&asha).unwrap().unwrap_err();
        }
        // LeadSquared carries a registration out after its caller has given up.
        let lead = world.add_lead(5, "asha@example.test", Some(PHONE), true);
        let mut leadsquared = world.leadsquared.borrow_mut();
        leadsquared.registrations.push(lead);
        leadsquared.leads[0].essay = essay.map(str::to_owned);
        leadsquared.leads[0].mark = Some("unproven: identifiers".to_owned());
        drop(leadsquared);
        world.now.set(Duration::minutes(35));
        assert_eq!(world.withheld(&asha), withheld);
        assert_eq!(world.left_out(&asha), withheld);
    }
}

#[test]
fn a_reduced_registration_with_an_unknown_result_is_not_forgotten_when_leadsquared_refused_one_before_it() {
    let world = World::default();
    world.add_lead(5, "ravi@example.test", Some(PHONE), true);
    // Both the application and the note about the phone number, which another lead has.
    world.leadsquared.borrow_mut().blocked = Some("another lead has it");
    let attributes = Attributes::new().with("Phone", PHONE).with("mx_Essay", "another lead has it");
    let asha = invitation("asha@example.test", attributes, 1);
    // Four attempts until the content is suspected, one that is refused a reduced registration, and one after it.
    for _ in 0..6 {
        while let Postponed::BackingOff { until } = world.attempt(&asha).unwrap().unwrap_err() {
            world.now.set(until - START);
        }
        world.now.set(world.now.get() + Duration::minutes(10));
    }
    world.leadsquared.borrow_mut().blocked = None;
    let lead = world.add_lead(6, "asha@example.test", None, true);
    world.leadsquared.borrow_mut().registrations.push(lead);
    world.now.set(world.now.get() + Duration::hours(13));
    assert!(world.withheld(&asha).contains(&"mx_Essay".to_owned()));
}

#[test]
fn a_reduced_registration_with_an_unknown_result_is_not_forgotten_when_its_dead_letter_is_put_back() {
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for in_doubt in [true, false] {
        let ended = Some(Ended { name: "exhausted".to_owned(), cause: None, message: Some(first) });
        let content = ContentFailures { is_suspected: true, ..ContentFailures::default() };
        let mut record = Record { in_doubt, content, ended, ..Record::default() };
        assert!(record.take_up(second));
        assert_eq!(record.content, ContentFailures { is_suspected: in_doubt, ..ContentFailures::default() });
    }
}

#[test]
fn what_is_in_the_notes_of_a_reduced_registration_is_said_to_be_there() {
    let world = World::default();
    world.add_lead(5, "ravi@example.test", Some(PHONE), true);
    let asha = blocked(&world, "mx_Essay");
    let (completion, _) = world.deliver_with_others(&asha, false);
    let left_out = completion.withheld.unwrap();
    assert_eq!(
        (&*left_out.withheld, &*left_out.noted),
        (&["FirstName", "mx_Essay"].map(str::to_owned)[..], &["Phone".to_owned()][..])
    );
}

#[test]
fn a_request_for_a_link_with_an_address_that_a_firewall_blocks_is_given_up_within_the_hour() {
    let world = World::default();
    world.leadsquared.borrow_mut().blocked = Some("asha@");
    world.deliver(&invitation_of("ravi@example.test")).unwrap().unwrap();
    let request = Invitation { action: Action::MailLink, source: Source::LinkRequest, ..asha() };
    let ask = |_| {
        world.now.set(world.now.get() + Duration::seconds(20));
        world.memory.borrow_mut().successes.entry(world.now().date()).or_default().looked_up = Some(world.now());
        world.now.set(world.now.get() + Duration::seconds(40));
        world.attempt(&request).unwrap().map(|completion| completion.outcome)
    };
    let outcome = (0..60).map(ask).find_map(Result::ok);
    assert_eq!(outcome, Some(Outcome::Rejected(Rejection::Content { failure: "ServerFault" })));
}

/// Tries an invitation until it ends, at most for this long, with a share of the queue's longest waits. Returns how
/// many calls it made before a mail, and how it ended.
fn tried_for(
    world: &World,
    invitation: &Invitation,
    most: Duration,
    mut others: Option<Others>,
    share: f64,
) -> (usize, Option<Outcome>) {
    let mut calls = 0;
    for delivery in 1.. {
        while let Some(at) = others.as_mut().and_then(|others| others.next_until(world.now.get())) {
            let mut memory = world.memory.borrow_mut();
            let successes = memory.successes.entry((START + at).date()).or_default();
            (successes.looked_up, successes.registered) = (Some(START + at), Some(START + at));
        }
        let before = world.calls.borrow().len();
        let result = world.deliver(invitation).unwrap();
        calls += made(&world.calls.borrow()[before..]);
        let longest: Duration = backoff(delivery, (f64::from(u32::MAX) * share) as u32).try_into().unwrap();
        let wait: Duration = match result {
            Ok(outcome) => return (calls, Some(outcome)),
            Err(Postponed::BackingOff { until }) => until - world.now() + Duration::MINUTE * share,
            Err(Postponed::Lone { .. }) => longest.min(Duration::minutes(5)),
            Err(_) => longest,
        };
        world.now.set(world.now.get() + wait);
        if world.now.get() > most {
            break;
        }
    }
    (calls, None)
}

/// How many of these requests are calls before a mail.
fn made(requests: &[&str]) -> usize {
    let is_call = |name: &&&str| ["register", "leads_by_email", "lead_by_id", "lead_auto_login_key"].contains(*name);
    requests.iter().filter(is_call).count()
}

#[test]
fn a_message_of_an_anonymous_sender_that_is_always_blocked_makes_few_calls() {
    const NEVER: i64 = 0;
    let link_request = Invitation { action: Action::MailLink, source: Source::LinkRequest, ..asha() };
    let text = Invitation { attributes: asha().attributes.with("mx_Essay", "<svg"), ..asha() };
    let given_up = Outcome::Rejected(Rejection::Content { failure: "ServerFault" });
    // Others are registered once in these minutes, at random times.
    for (invitation, blocked, every, minutes, most, end) in [
        (&link_request, "asha@", 1, 60, 16, Some(&given_up)),
        (&link_request, "asha@", 3, 120, 18, Some(&given_up)),
        (&link_request, "asha@", NEVER, 600, 12, None),
        (&link_request, "asha@", NEVER, 36 * 60, 18, None),
        (&asha(), "asha@", 1, 60, 16, Some(&given_up)),
        (&asha(), "asha@", 3, 120, 18, Some(&given_up)),
        (&asha(), "asha@", 60, 36 * 60, 23, None),
        (&asha(), "asha@", NEVER, 36 * 60, 18, None),
        (&text, "<svg", 1, 35, 15, Some(&Outcome::Invited)),
        (&text, "<svg", 60, 35, 15, Some(&Outcome::Invited)),
        (&text, "<svg", NEVER, 35, 13, Some(&Outcome::Invited)),
        (&asha(), PHONE, 1, 45, 23, Some(&given_up)),
        (&asha(), PHONE, 3, 90, 27, Some(&given_up)),
        (&asha(), PHONE, 10, 180, 27, Some(&given_up)),
        (&asha(), PHONE, 60, 18 * 60, 27, Some(&given_up)),
        (&asha(), PHONE, NEVER, 600, 13, None),
        (&asha(), PHONE, NEVER, 36 * 60, 21, None),
    ] {
        for seed in 0..20 {
            let world = World::default();
            world.on_click.set(true);
            world.leadsquared.borrow_mut().blocked = Some(blocked);
            let others = (every != NEVER).then(|| Others::new(seed, Duration::minutes(every)));
            let share = (seed % 3) as f64 / 2.0;
            let (calls, outcome) = tried_for(&world, invitation, Duration::minutes(minutes), others, share);
            let case = format!("{blocked}, others every {every} minutes, seed {seed}: {calls} calls, {outcome:?}");
            assert!(end.is_none() || outcome.as_ref() == end, "{case}");
            assert!(calls <= most, "{case}");
        }
    }
}

#[test]
fn a_message_that_waits_for_hours_is_tried_soon_after_leadsquared_works_for_others() {
    let world = World::default();
    world.leadsquared.borrow_mut().blocked = Some("");
    let (calls, outcome) = tried_for(&world, &asha(), Duration::hours(8), None, 0.5);
    assert!(outcome.is_none() && calls <= 11, "{calls}");
    world.leadsquared.borrow_mut().blocked = None;
    world.invite_another();
    let until = match world.deliver(&asha()).unwrap() {
        Ok(outcome) => return assert_eq!(outcome, Outcome::Invited),
        Err(Postponed::BackingOff { until }) => until,
        Err(other) => panic!("{other:?}"),
    };
    assert!(until <= world.now() + Duration::minutes(15));
    world.now.set(until - START);
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
}

#[test]
fn what_was_typed_is_kept_if_a_later_message_of_the_person_was_handled_first() {
    for (is_mailed, outcome) in [(true, Outcome::AlreadyInvited), (false, Outcome::InvitedExisting)] {
        let world = World::default();
        world.leadsquared.borrow_mut().blocked = Some("");
        assert!(world.attempt(&asha()).unwrap().is_err(), "its result is unknown");
        // It makes way. LeadSquared answers again, and an event with the address alone comes first.
        world.leadsquared.borrow_mut().blocked = None;
        world.leadsquared.borrow_mut().undeliverable = (!is_mailed).then_some(Undeliverable::All);
        world.now.set(Duration::minutes(40));
        let event = invitation("asha@example.test", Attributes::new(), 2);
        assert_eq!(world.deliver(&event).unwrap().is_ok(), is_mailed);
        world.leadsquared.borrow_mut().undeliverable = None;
        world.now.set(Duration::minutes(100));
        world.has_made_way.set(true);
        let completion = world.attempt(&asha()).unwrap().unwrap();
        assert_eq!(completion.outcome, outcome);
        assert_eq!(completion.withheld.unwrap().withheld, ["FirstName", "Phone"], "{outcome:?}");
    }
}

#[test]
fn a_message_that_made_way_and_was_not_overtaken_leaves_nothing_to_keep() {
    for (is_in_doubt, outcome) in [(false, Outcome::Invited), (true, Outcome::InvitedExisting)] {
        let world = World::default();
        world.has_made_way.set(true);
        let asha = invitation("asha@example.test", Attributes::new().with("Phone", PHONE), 1);
        if is_in_doubt {
            // The call after the claim and the mail book.
            world.faults.borrow_mut().insert(2, Fault::AnswerLost);
            assert!(world.attempt(&asha).unwrap().is_err());
        }
        let completion = world.attempt(&asha).unwrap().unwrap();
        assert_eq!((completion.outcome, completion.withheld), (outcome, None));
    }
}

#[test]
fn a_message_of_a_system_keeps_its_pace_and_one_of_a_form_does_not() {
    for (provenance, most) in [(Provenance::System, 30), (Provenance::Keyed, 3), (Provenance::Public, 3)] {
        let world = World::default();
        world.leadsquared.borrow_mut().blocked = Some("");
        let invitation = Invitation { provenance, ..asha() };
        for _ in 0..30 {
            assert!(world.deliver(&invitation).unwrap().is_err());
            world.now.set(world.now.get() + Duration::SECOND);
        }
        assert_eq!(made(&world.calls.borrow()), most, "{provenance:?}");
    }
}

#[test]
fn an_applicant_waits_not_much_longer_after_an_outage_than_it_lasted_nor_long_if_others_apply() {
    for (minutes, others_apply) in
        [1, 2, 5, 10, 20, 40, 60].into_iter().flat_map(|minutes| [(minutes, false), (minutes, true)])
    {
        for share in [0.0, 0.5, 1.0] {
            let world = World::default();
            world.leadsquared.borrow_mut().blocked = Some("");
            let outage = Duration::minutes(minutes);
            let (_, outcome) = tried_for(&world, &asha(), outage, None, share);
            assert_eq!(outcome, None);
            world.leadsquared.borrow_mut().blocked = None;
            let others = Others { next: outage, ..Others::new(1, Duration::minutes(1)) };
            let others = others_apply.then_some(others);
            let (_, outcome) = tried_for(&world, &asha(), Duration::days(2), others, share);
            assert_eq!(outcome, Some(Outcome::Invited));
            let waited = world.now.get() - outage;
            let most = if others_apply { Duration::minutes(14) } else { outage };
            let most = most.min(outage * 4 / 3) + Duration::minutes(2);
            assert!(waited <= most, "after {outage}, others: {others_apply}, share {share}: {waited}");
        }
    }
}

#[test]
fn a_chosen_password_that_a_firewall_blocks_is_withheld_too() {
    let world = World::default();
    let asha = blocked(&world, "mx_Essay");
    *world.chosen_password.borrow_mut() = Some(Password::from("<svg' OR 1=1"));
    let (completion, _) = world.deliver_with_others(&asha, true);
    assert_eq!(completion.withheld.unwrap().withheld, ["password", "FirstName", "mx_Essay"]);
    let lead = world.leadsquared.borrow().lead_of("asha@example.test").unwrap();
    assert_eq!(world.memory.borrow().marks[&lead], MarkSent::Yes);
}

#[test]
fn what_the_person_typed_behind_a_strangers_blocked_form_is_kept() {
    // The mail of the stranger's form serves the person's, unless theirs comes later.
    for (seconds, outcome, lost) in [
        (3, Outcome::AlreadyInvited, &["FirstName", "Phone", "mx_Essay"][..]),
        (7200, Outcome::InvitedExisting, &["FirstName", "mx_Essay"]),
    ] {
        let world = World::default();
        let stranger = blocked(&world, "mx_Essay");
        let (completion, _) = world.deliver_with_others(&stranger, false);
        assert_eq!(completion.withheld.unwrap().withheld, ["FirstName", "mx_Essay"]);
        let attributes =
            Attributes::new().with("FirstName", "Vera").with("Phone", PHONE).with("mx_Essay", "I like law");
        let (id, received_at) = (InvitationId::of([&[2][..]]), START + Duration::seconds(seconds));
        world.now.set(world.now.get().max(Duration::seconds(seconds)));
        let own = Invitation { id, received_at, attributes, ..stranger };
        let completion = world.attempt(&own).unwrap().unwrap();
        assert_eq!(
            (completion.outcome, &*completion.withheld.unwrap().withheld),
            (outcome, &*lost.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        );
        assert_eq!(world.withheld(&own), lost);
        // A request for a link has nothing to keep.
        let link = Invitation { action: Action::MailLink, id: InvitationId::of([&[3][..]]), ..own };
        assert_eq!(world.attempt(&link).unwrap().unwrap().withheld, None);
    }
}

#[test]
fn what_the_person_typed_is_kept_although_the_mail_of_the_reduced_registration_was_never_sent() {
    for (is_capped, end) in [(true, ("suppressed", "mail-cap")), (false, ("rejected", "mail-refused"))] {
        let world = World::default();
        let stranger = blocked(&world, "mx_Essay");
        if is_capped {
            world.memory.borrow_mut().was_mailed(&stranger, 6, START - Duration::minutes(2));
        }
        world.leadsquared.borrow_mut().undeliverable = Some(Undeliverable::All);
        let attempt = |_| {
            let completion = world.attempt(&stranger).unwrap().ok();
            world.now.set(world.now.get() + Duration::minutes(8));
            let lead = world.leadsquared.borrow().lead_of("asha@example.test");
            if let Some(lead) = lead {
                world.leadsquared.borrow_mut().undeliverable = Some(Undeliverable::OfLead(lead));
                world.invite_another();
            }
            world.now.set(world.now.get() + Duration::minutes(8));
            completion
        };
        let completion = (0..20).find_map(attempt).unwrap();
        assert_eq!((completion.outcome.name(), completion.outcome.cause().as_deref().unwrap()), end);
        assert_eq!(completion.withheld.unwrap().withheld, ["FirstName", "mx_Essay"]);

        world.leadsquared.borrow_mut().undeliverable = None;
        let own = Attributes::new().with("Phone", PHONE).with("mx_Essay", "I like law");
        let own = Invitation { received_at: world.now(), ..invitation("asha@example.test", own, 2) };
        assert_eq!(world.withheld(&own), ["mx_Essay"], "{end:?}");
    }
}

#[test]
fn a_person_whose_identifiers_a_firewall_blocks_is_dead_lettered_with_the_cause() {
    let marking = Marking { identifiers: vec!["mx_PAN".to_owned()], ..Marking::default() };
    let world = World { marking, ..World::default() };
    let asha = blocked(&world, "mx_PAN");
    let (completion, took) = world.deliver_with_others(&asha, true);
    let rejection = Rejection::Content { failure: "ServerFault" };
    assert_eq!(completion.outcome, Outcome::Rejected(rejection));
    assert!(took < Duration::HOUR, "the person's next message waited for {took}");
    // The firewall was corrected, and an operator put the dead letter back: nothing is left out.
    world.leadsquared.borrow_mut().blocked = None;
    world.message.set(Uuid::from_u128(9));
    let completion = world.attempt(&asha).unwrap().unwrap();
    assert_eq!((completion.outcome, completion.withheld), (Outcome::Invited, None));
    let leadsquared = world.leadsquared.borrow();
    assert_eq!(leadsquared.leads.last().unwrap().essay.as_deref(), Some("I like law"));
}

#[test]
fn an_outage_leaves_nothing_out_however_often_the_message_is_tried() {
    let world = World::default();
    let asha = blocked(&world, "mx_Essay");
    world.leadsquared.borrow_mut().blocked = Some("");
    for delivery in 1..100 {
        assert!(world.attempt(&asha).unwrap().is_err());
        world.now.set(world.now.get() + backoff(delivery, u32::MAX));
    }
    world.leadsquared.borrow_mut().blocked = None;
    world.now.set(world.now.get() + Duration::hours(3));
    let completion = world.attempt(&asha).unwrap().unwrap();
    assert_eq!((completion.outcome, completion.withheld), (Outcome::Invited, None));
    assert_eq!(world.leadsquared.borrow().leads.last().unwrap().essay.as_deref(), Some("<svg onload=1>"));
}

#[test]
fn a_lead_of_the_sales_team_that_becomes_a_portal_user_gets_no_mark() {
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", Some(PHONE), false);
    assert_eq!(world.deliver_until_done(&asha()), Outcome::InvitedExisting);
    assert_eq!(world.leadsquared.borrow().leads[0].mark, None);
    assert_eq!(world.memory.borrow().marks[&lead], MarkSent::NotNeeded, "nothing that a form typed was registered");
}

#[test]
fn a_lead_found_after_an_unknown_result_is_as_proven_as_its_mark_says() {
    for (has_mark, mark) in [(true, MarkSent::Yes), (false, MarkSent::No)] {
        let world = World::default();
        if !has_mark {
            world.leadsquared.borrow_mut().mark_refusal = Some(MarkRefusal::Unknown);
        }
        // The answer of the Register call that creates the lead is lost.
        let register = if has_mark { 2 } else { 3 };
        world.faults.borrow_mut().insert(register, Fault::AnswerLost);
        world.deliver_until_done(&asha());
        let lead = world.leadsquared.borrow().lead_of("asha@example.test").unwrap();
        assert_eq!(world.memory.borrow().marks[&lead], mark);
    }
}

#[test]
fn a_lead_that_is_older_than_the_application_was_not_made_by_a_registration_with_an_unknown_result() {
    // A stranger knows the address of a portal user, and writes what a firewall blocks.
    for (created_on, registered) in [("2025-12-31 23:59:59", None), ("2026-01-01 12:00:00", Some(MarkSent::No))] {
        let world = World::default();
        let lead = world.add_lead(5, "asha@example.test", Some(PHONE), true);
        world.leadsquared.borrow_mut().leads[0].created_on = Some(created_on);
        let (completion, _) = world.deliver_with_others(&blocked(&world, "mx_Essay"), true);
        assert_eq!(completion.outcome, Outcome::InvitedExisting);
        assert_eq!(world.memory.borrow().marks.get(&lead).copied(), registered, "{created_on}");
    }
}

#[test]
fn a_person_is_registered_without_a_password_that_the_portal_refuses() {
    let world = World::default();
    *world.chosen_password.borrow_mut() = Some(Password::from("too weak"));
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!(world.left_out(&asha()), ["password"]);
    *world.chosen_password.borrow_mut() = Some(Password::from("Strong enough 1!"));
    let mei = invitation("mei@example.test", Attributes::new(), 3);
    assert_eq!(world.deliver_until_done(&mei), Outcome::Invited);
    assert_eq!(world.left_out(&mei), [""; 0]);
}

#[test]
fn a_rejection_is_final_until_it_is_put_back() {
    let world = World::default();
    world.leadsquared.borrow_mut().refused.insert("asha@example.test".to_owned());
    let refused = Outcome::Rejected(Rejection::Refused { exception_type: "MXInvalidInputException".to_owned() });
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), refused);
    assert_eq!((world.count("accepted"), world.count("rejected")), (1, 1));
    world.leadsquared.borrow_mut().refused.clear();
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
}

#[test]
fn a_put_back_invitation_counts_under_its_new_outcome_only() {
    let world = World::default();
    world.leadsquared.borrow_mut().refused.insert("asha@example.test".to_owned());
    world.deliver_until_done(&asha());
    world.leadsquared.borrow_mut().refused.clear();
    // Its first attempt fails, so the count still shows it as rejected.
    let so_far = world.calls.borrow().len();
    world.faults.borrow_mut().insert(so_far + 2, Fault::NotSent);
    assert!(world.deliver(&asha()).unwrap().is_err());
    assert_eq!(["accepted", "rejected", "invited"].map(|name| world.count(name)), [1, 1, 0]);
    world.deliver_until_done(&asha());
    assert_eq!(["accepted", "rejected", "invited"].map(|name| world.count(name)), [1, 0, 1]);
}

#[test]
fn a_person_gets_three_mails_an_hour_and_then_none_and_is_registered_all_the_same() {
    let world = World::default();
    world.add_lead(5, "asha@example.test", None, false);
    let mut outcomes = Vec::new();
    for number in 1..=4 {
        world.now.set(Duration::minutes(19) * i32::from(number));
        let id = InvitationId::of([&[number][..]]);
        outcomes.push(world.deliver_until_done(&Invitation { id, received_at: world.now(), ..asha() }));
    }
    let suppressed = Outcome::Suppressed(Suppression::MailCap);
    assert_eq!(outcomes[2..], [Outcome::InvitedExisting, suppressed]);
    assert_eq!((world.registered(), world.mails(), world.count("suppressed")), (1, 3, 1));
}

#[test]
fn strangers_cannot_use_up_the_mails_of_a_reader_of_a_mailed_link() {
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", None, true);
    let ask = |source, invitee: &Invitee| {
        let number = world.calls.borrow().len() as u8;
        world.now.set(world.now.get() + Duration::minutes(2));
        let invitation = invitation("x@example.test", Attributes::new(), number);
        let (invitee, received_at) = (invitee.clone(), world.now());
        let asked = Invitation { source, invitee, received_at, action: Action::MailLink, ..invitation };
        world.deliver(&asked).unwrap().unwrap()
    };
    let (stranger, reader) = (Invitee::Email("asha@example.test".parse().unwrap()), Invitee::Lead(lead));
    let (mailed, capped) = (Outcome::InvitedExisting, Outcome::Suppressed(Suppression::MailCap));
    for hour in [0, 2] {
        world.now.set(Duration::hours(hour));
        for _ in 0..3 {
            assert_eq!(ask(Source::LinkRequest, &stranger), mailed);
        }
        assert_eq!(ask(Source::LinkRequest, &stranger), capped);
    }
    // The day's mails are used up. A CRM or bus event that names the lead does not prove that its mailbox was read.
    world.now.set(Duration::hours(4));
    for source in [Source::Crm, Source::Bus] {
        assert_eq!(ask(source, &reader), capped);
    }
    for _ in 0..3 {
        assert_eq!(ask(Source::LinkRequest, &reader), mailed);
    }
    assert_eq!(ask(Source::LinkRequest, &reader), capped);
    assert_eq!(world.mails(), 9);
}

#[test]
fn a_mail_beyond_the_budget_waits_for_the_next_day() {
    let world = World { limits: MailLimits { budget: 1, ..MailLimits::default() }, ..World::default() };
    world.deliver_until_done(&asha());
    let ravi = invitation("ravi@example.test", Attributes::new(), 2);
    let Err(Postponed::MailBudget { until }) = world.deliver(&ravi).unwrap() else {
        panic!("mailed beyond the budget")
    };
    assert_eq!(until, datetime!(2026-01-03 00:00 UTC));
    assert_eq!((world.registered(), world.mails()), (2, 1));
    world.now.set(until - START);
    assert_eq!(world.deliver(&ravi).unwrap().unwrap(), Outcome::Invited);
    assert_eq!((world.registered(), world.mails()), (2, 2));
}

#[test]
fn mails_that_were_not_sent_use_up_neither_the_caps_nor_the_budget() {
    let world = World { limits: MailLimits { budget: 1, ..MailLimits::default() }, ..World::default() };
    // The mail is request 5 of an attempt. An attempt that fails there makes one more request, to release the lease:
    // seven in all, and six where the lead is known.
    for attempt in 0..10 {
        world.faults.borrow_mut().insert(5 + 6 * attempt, Fault::NotSent);
        assert!(world.deliver(&asha()).unwrap().is_err());
        assert_eq!(world.calls.borrow()[5 + 6 * attempt], "mail");
    }
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
}

#[test]
fn mail_that_is_refused_for_one_recipient_ends_that_invitation_only() {
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", None, true);
    world.leadsquared.borrow_mut().undeliverable = Some(Undeliverable::OfLead(lead));
    let is_postponed = || {
        matches!(world.deliver(&asha()), Some(Err(Postponed::LeadSquared { source: Error::MailNotDeliverable, .. })))
    };
    // The first refusal shows nothing, and the next three show it once an hour has passed between them.
    for minutes in [0, 10, 20, 69] {
        world.now.set(Duration::minutes(minutes));
        assert!(is_postponed(), "the account may be at fault in minute {minutes}");
        world.now.set(world.now.get() + Duration::SECOND);
        world.invite_another();
    }
    world.now.set(Duration::minutes(70));
    let outcome = world.deliver(&asha()).unwrap().unwrap();
    assert_eq!(outcome, Outcome::Rejected(Rejection::MailRefused));
    assert_eq!((outcome.name(), outcome.cause().as_deref()), ("rejected", Some("mail-refused")));
    assert_eq!(world.mails(), 4);
}

#[test]
fn nobody_is_given_up_when_the_accounts_mail_credits_are_used_up_twice() {
    let world = World::default();
    for hours in [0, 20] {
        world.now.set(Duration::hours(hours));
        world.leadsquared.borrow_mut().undeliverable = Some(Undeliverable::All);
        for minutes in 1..100 {
            world.now.set(Duration::hours(hours) + Duration::minutes(minutes));
            assert!(world.deliver(&asha()).unwrap().is_err());
        }
        world.leadsquared.borrow_mut().undeliverable = None;
        world.invite_another();
    }
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
}

#[test]
fn mail_that_is_refused_for_the_account_waits_until_it_is_delivered_again() {
    let world = World::default();
    assert_eq!(world.deliver(&invitation_of("ravi@example.test")).unwrap().unwrap(), Outcome::Invited);
    world.leadsquared.borrow_mut().undeliverable = Some(Undeliverable::All);
    for minutes in 1..100 {
        world.now.set(Duration::minutes(minutes));
        assert!(world.deliver(&asha()).unwrap().is_err());
    }
    world.leadsquared.borrow_mut().undeliverable = None;
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
}

#[test]
fn a_given_up_invitation_is_recorded_and_continues_after_put_back() {
    let world = World::default();
    let outside = Via(&world);
    let lease = Lease { holder: Uuid::from_u128(1), message: Uuid::nil(), until: START + LEASE };
    let asha = asha();
    let books = Bookkeeping { ledger: &outside, invitation: &asha, lease, now: START, report: &|_| () };
    let give_up = || books.give_up("NoKeys").now_or_never().unwrap().map(|completion| completion.outcome);
    assert_eq!(give_up().unwrap(), Outcome::Exhausted { cause: "NoKeys".to_owned() });
    assert_eq!((world.count("accepted"), world.count("exhausted")), (1, 1));
    assert_eq!(world.deliver_until_done(&asha), Outcome::Invited);
    assert_eq!((world.count("exhausted"), world.count("invited")), (0, 1));
    assert_eq!(give_up().unwrap(), Outcome::AlreadyInvited);
}

#[test]
fn the_same_id_with_another_content_is_refused() {
    let world = World::default();
    world.deliver_until_done(&asha());
    let other = Invitation { attributes: Attributes::new(), ..asha() };
    assert_eq!(world.deliver(&other).unwrap().unwrap(), Outcome::Rejected(Rejection::IdReused));
}

#[test]
fn an_attempt_under_way_is_not_repeated() {
    let world = World::default();
    world.faults.borrow_mut().insert(2, Fault::DieAfter);
    assert!(world.deliver(&asha()).is_none());
    assert!(matches!(world.deliver(&asha()), Some(Err(Postponed::Held))));
}

#[test]
fn an_unknown_result_is_looked_up_and_not_repeated() {
    for fault in [Fault::DieAfter, Fault::AnswerLost] {
        let world = World::default();
        world.faults.borrow_mut().insert(2, fault);
        world.deliver_until_done(&asha());
        let registers = world.calls.borrow().iter().filter(|call| **call == "register").count();
        assert_eq!((registers, world.registered(), world.mails()), (1, 1, 1), "{fault:?}");
    }
}

#[test]
fn a_deleted_lead_is_registered_anew() {
    let world = World::default();
    world.faults.borrow_mut().insert(5, Fault::NotSent);
    assert!(world.deliver(&asha()).unwrap().is_err());
    world.leadsquared.borrow_mut().leads.clear();
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!((world.registered(), world.mails()), (1, 1));
}

#[test]
fn a_repeated_mail_is_counted_whether_the_answer_was_lost_or_the_worker_crashed() {
    for (fault, mails, repeated) in [
        (Fault::AnswerLost, 2, 1),
        (Fault::DieAfter, 2, 1),
        // The mail was not sent, which the next attempt cannot know.
        (Fault::DieBefore, 1, 1),
        (Fault::NotSent, 1, 0),
    ] {
        let world = World::default();
        world.faults.borrow_mut().insert(5, fault);
        assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
        assert_eq!(world.calls.borrow()[5], "mail");
        assert_eq!((world.mails(), world.repeated_mails.get()), (mails, repeated), "{fault:?}");
    }
}

#[test]
fn a_mail_with_an_unknown_result_is_sent_at_most_twice() {
    let world = World::default();
    // The mail is request 5 of the first attempt. In later attempts four requests come before it: claim, mail_book, key
    // and begin_mail.
    for number in [5, 11] {
        world.faults.borrow_mut().insert(number, Fault::AnswerLost);
    }
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Rejected(Rejection::MailUnknown));
    assert_eq!(world.mails(), 2, "{:?}", world.calls.borrow());
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Rejected(Rejection::MailUnknown));
    // An operator checked it and put it back: the mail is sent again.
    world.message.set(Uuid::from_u128(1));
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!(world.mails(), 3);
}

/// After any single fault at any request there is one registration and one mail, or two mails where the result was
/// unknown.
#[test]
fn one_fault_at_any_request_loses_and_duplicates_no_person() {
    let faults = [Fault::DieBefore, Fault::DieAfter, Fault::NotSent, Fault::AnswerLost, Fault::Broken];
    for existing in [false, true] {
        for fault in faults {
            for number in 0..11 {
                let world = World::default();
                if existing {
                    world.add_lead(5, "asha@example.test", None, false);
                }
                world.faults.borrow_mut().insert(number, fault);
                world.deliver_until_done(&asha());
                let context = format!("{fault:?} at {number}, existing {existing}: {:?}", world.calls.borrow());
                assert_eq!(world.registered(), 1, "{context}");
                let mails = world.mails();
                let at = world.calls.borrow().get(number).copied();
                let unknowable = matches!(fault, Fault::DieAfter | Fault::AnswerLost) && at == Some("mail")
                    || matches!(fault, Fault::DieBefore) && at == Some("end");
                assert!(mails == 1 || mails == 2 && unknowable, "{mails} mails; {context}");
            }
        }
    }
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![Fault::DieBefore, Fault::DieAfter, Fault::NotSent, Fault::AnswerLost, Fault::Broken])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_faults_lose_and_duplicate_no_person(
        faults in prop::collection::hash_map(0_usize..60, any_fault(), 0..12),
        order in prop::collection::vec(0_usize..3, 0..12),
        existing: bool,
    ) {
        let world = World::default();
        if existing {
            world.add_lead(5, "ravi@example.test", None, false);
        }
        let invitations = [
            asha(),
            invitation("ravi@example.test", Attributes::new(), 2),
            invitation("mei@example.test", Attributes::new().with("Phone", "+91-9000000001"), 3),
        ];
        *world.faults.borrow_mut() = faults;
        let mut rejected: [Option<Outcome>; 3] = Default::default();
        for which in order {
            // A rejected invitation is a dead letter: it is delivered again only if an operator puts it back.
            if rejected[which].is_none() {
                let outcome = world.deliver(&invitations[which]).and_then(Result::ok);
                rejected[which] = outcome.filter(|outcome| matches!(outcome, Outcome::Rejected(_)));
            }
            world.now.set(world.now.get() + Duration::seconds(25));
        }
        let outcomes = invitations.iter().zip(rejected);
        let outcomes: Vec<Outcome> = outcomes
            .map(|(invitation, rejected)| rejected.unwrap_or_else(|| world.deliver_until_done(invitation)))
            .collect();
        prop_assert_eq!(world.registered(), 3);
        for (invitation, outcome) in invitations.iter().zip(outcomes) {
            let leadsquared = world.leadsquared.borrow();
            let Invitee::Email(email) = &invitation.invitee else { unreachable!("applications name an address") };
            let lead = leadsquared.lead_of(email.expose()).unwrap();
            let mails = leadsquared.mails.iter().filter(|mailed| **mailed == lead).count();
            // Only an invitation that ended as `MailUnknown`, which the operator sees, may have no mail.
            let fewest = usize::from(outcome != Outcome::Rejected(Rejection::MailUnknown));
            prop_assert!((fewest..=2).contains(&mails), "{} mails, {:?}: {:?}", mails, outcome, world.calls.borrow());
        }
    }
}
