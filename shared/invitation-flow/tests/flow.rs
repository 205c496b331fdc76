//! The flow against a LeadSquared, a ledger and a mailbox in memory, which fail and die where a test wants them to.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, in its helpers as well")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use futures::FutureExt;
use invitation_flow::{
    Attempt, Claim, Crm, Flow, Invitation, InvitationId, Lease, Ledger, Letter, Mail, MailError, Mailed, Outcome,
    PersonKey, Portal, Postponed, Record, Rejection, Source, generated_password,
};
use leadsquared::{
    Attributes, AutoLoginKey, DuplicateField, EmailAddress, Error, Lead, LeadId, Password, Registration,
};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const LEASE: Duration = Duration::minutes(1);

/// What happens to one request to the outside.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The process dies before it is carried out.
    DieBefore,
    /// The process dies after it was carried out, before the answer is in.
    DieAfter,
    /// It is not carried out, and that is certain.
    NotSent,
    /// It is carried out, and the answer does not arrive.
    AnswerLost,
    /// It is not carried out, and the answer does not tell.
    Broken,
}

#[derive(Default)]
struct World {
    now: Cell<Duration>,
    leads: RefCell<Vec<KnownLead>>,
    mails: RefCell<Vec<LeadId>>,
    calls: RefCell<Vec<&'static str>>,
    items: RefCell<HashMap<InvitationId, Item>>,
    people: RefCell<HashMap<String, Mailed>>,
    faults: RefCell<HashMap<usize, Fault>>,
    /// Attributes that the account does not have.
    unknown: RefCell<Vec<&'static str>>,
    refusal: Cell<bool>,
    /// The message that is delivered.
    message: Cell<Uuid>,
    chosen_password: RefCell<Option<Password>>,
}

struct KnownLead {
    id: LeadId,
    email: String,
    phone: Option<String>,
    notes: Option<String>,
    portal_user: bool,
}

#[derive(Clone)]
struct Item {
    payload: String,
    lease: Option<Lease>,
    message: Uuid,
    record: Record,
}

#[derive(Debug, thiserror::Error)]
#[error("the ledger is away")]
struct LedgerAway;

impl World {
    fn now(&self) -> OffsetDateTime {
        START + self.now.get()
    }

    /// One request to the outside: `work` is what it does, `unsure` the error when nobody can tell, `failed` when it is
    /// certain that it did nothing.
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
            Some(Fault::Broken) => Err(unsure()),
        }
    }

    async fn call<T>(&self, name: &'static str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.request(name, work, || Error::ServerFault { status: 502 }, || Error::RateLimited { limit: None }).await
    }

    async fn store<T>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, LedgerAway>,
    ) -> Result<T, LedgerAway> {
        self.request(name, work, || LedgerAway, || LedgerAway).await
    }

    /// One delivery of the message: `None` when the process died.
    fn deliver(&self, invitation: &Invitation) -> Option<Result<Outcome, Postponed>> {
        let portal = Portal {
            id: "22222222-2222-4222-8222-222222222222".parse().unwrap(),
            page: "https://portal.example.test/".parse().unwrap(),
        };
        let flow = Flow { crm: self, ledger: self, mail: self, portal: &portal, cool_down: Duration::seconds(60) };
        let attempt = Attempt {
            now: self.now(),
            until: self.now() + LEASE,
            holder: Uuid::from_u128(self.calls.borrow().len() as u128 + 1),
            message: self.message.get(),
            password: generated_password([7; 20]),
            chosen_password: self.chosen_password.borrow().clone(),
        };
        flow.run(invitation, attempt).now_or_never()
    }

    /// Deliveries as the queue makes them, two minutes apart, until one is done with.
    fn deliver_until_done(&self, invitation: &Invitation) -> Outcome {
        for _ in 0..40 {
            if let Some(Ok(outcome)) = self.deliver(invitation) {
                return outcome;
            }
            self.now.set(self.now.get() + Duration::minutes(2));
        }
        panic!("never done: {:?}", self.calls.borrow());
    }

    fn add_lead(&self, number: u128, email: &str, phone: Option<&str>, portal_user: bool) -> LeadId {
        let id: LeadId = Uuid::from_u128(number).to_string().parse().unwrap();
        let (email, phone) = (email.to_owned(), phone.map(str::to_owned));
        self.leads.borrow_mut().push(KnownLead { id, email, phone, notes: None, portal_user });
        id
    }

    fn registered(&self) -> usize {
        self.leads.borrow().iter().filter(|lead| lead.portal_user).count()
    }

    fn do_register(&self, registration: &Registration) -> Result<LeadId, Error> {
        if self.refusal.get() || registration.password.expose() == "too weak" {
            let exception_type = "MXInvalidInputException".to_owned();
            return Err(Error::Refused { exception_type, message: Default::default() });
        }
        let unknown: Vec<String> = registration
            .fields
            .iter()
            .filter(|(name, _)| self.unknown.borrow().contains(name))
            .map(|(name, _)| name.to_owned())
            .collect();
        if !unknown.is_empty() {
            return Err(Error::UnknownAttributes(unknown));
        }
        assert_eq!(registration.fields.iter().next().map(|(name, _)| name), Some("EmailAddress"));
        let email = registration.fields.value("EmailAddress").unwrap();
        let mut leads = self.leads.borrow_mut();
        if let Some(lead) = leads.iter_mut().find(|lead| lead.email == email) {
            if registration.register_only_new_lead {
                return Err(Error::LeadExists);
            }
            assert!(!lead.portal_user, "a portal user's password was overwritten");
            assert_eq!(registration.fields.iter().count(), 1, "a stranger's data was overwritten");
            lead.portal_user = true;
            return Ok(lead.id);
        }
        let phone = registration.fields.value("Phone").map(str::to_owned);
        if phone.is_some() && leads.iter().any(|lead| lead.phone == phone) {
            return Err(Error::Duplicate { field: DuplicateField::Phone });
        }
        let notes = registration.fields.value("Notes").map(str::to_owned);
        let id: LeadId = Uuid::from_u128(1000 + leads.len() as u128).to_string().parse().unwrap();
        leads.push(KnownLead { id, email: email.to_owned(), phone, notes, portal_user: true });
        Ok(id)
    }
}

impl Crm for World {
    async fn register(&self, registration: &Registration) -> Result<LeadId, Error> {
        self.call("register", || self.do_register(registration)).await
    }

    async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error> {
        let found = || {
            let leads = self.leads.borrow();
            let found = leads.iter().filter(|lead| lead.email == email.expose());
            let json = found.map(|lead| serde_json::json!({"ProspectID": lead.id, "EmailAddress": lead.email}));
            Ok(json.map(|json| serde_json::from_value(json).unwrap()).collect())
        };
        self.call("leads_by_email", found).await
    }

    async fn lead_auto_login_key(&self, lead: &LeadId) -> Result<AutoLoginKey, Error> {
        let key = || match self.leads.borrow().iter().find(|known| known.id == *lead) {
            None => Err(Error::NoSuchLead),
            Some(known) if !known.portal_user => Err(Error::NotAPortalUser),
            Some(_) => Ok(AutoLoginKey::from("k+/=")),
        };
        self.call("lead_auto_login_key", key).await
    }
}

impl Mail for World {
    async fn send(&self, letter: Letter<'_>) -> Result<(), MailError> {
        assert!(letter.link.expose().contains("authKey=k%2B%2F%3D"), "{}", letter.link.expose());
        let send = || {
            self.mails.borrow_mut().push(letter.lead);
            Ok(())
        };
        let unsure = || MailError::Unknown(Error::ServerFault { status: 502 });
        self.request("mail", send, unsure, || MailError::NotSent(Error::RateLimited { limit: None })).await
    }
}

impl Ledger for World {
    type Error = LedgerAway;

    async fn claim(&self, invitation: &Invitation, lease: &Lease, now: OffsetDateTime) -> Result<Claim, LedgerAway> {
        let claim = || {
            let mut items = self.items.borrow_mut();
            let payload = invitation.payload_hash();
            let Some(item) = items.get_mut(&invitation.id) else {
                let record = Record::default();
                items.insert(
                    invitation.id,
                    Item { payload, lease: Some(*lease), message: lease.message, record: record.clone() },
                );
                return Ok(Claim::Granted(record));
            };
            if item.payload != payload {
                return Ok(Claim::OtherPayload);
            }
            if !matches!(item.record.outcome, None | Some(Outcome::Rejected(_))) {
                return Ok(Claim::Done);
            }
            match item.lease {
                Some(held) if held.until > now => return Ok(Claim::Held),
                Some(_) => item.record.in_doubt = item.record.lead.is_none(),
                None => {}
            }
            if item.record.outcome.take().is_some() && item.message != lease.message {
                item.record.unresolved_mails = 0;
            }
            item.message = lease.message;
            item.lease = Some(*lease);
            Ok(Claim::Granted(item.record.clone()))
        };
        self.store("claim", claim).await
    }

    async fn save(&self, invitation: &Invitation, lease: &Lease, record: &Record) -> Result<(), LedgerAway> {
        let save = || self.write(invitation, lease, Some(*lease), record);
        self.store("save", save).await
    }

    async fn release(&self, invitation: &Invitation, lease: &Lease, record: &Record) -> Result<(), LedgerAway> {
        let release = || self.write(invitation, lease, None, record);
        self.store("release", release).await
    }

    async fn last_mail(&self, person: &PersonKey) -> Result<Option<Mailed>, LedgerAway> {
        self.store("last_mail", || Ok(self.people.borrow().get(person.as_str()).copied())).await
    }

    async fn mailed(&self, person: &PersonKey, mail: Mailed) -> Result<(), LedgerAway> {
        let mailed = || {
            self.people.borrow_mut().insert(person.as_str().to_owned(), mail);
            Ok(())
        };
        self.store("mailed", mailed).await
    }
}

impl World {
    fn write(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        next: Option<Lease>,
        record: &Record,
    ) -> Result<(), LedgerAway> {
        let mut items = self.items.borrow_mut();
        let item = items.get_mut(&invitation.id).filter(|item| item.lease == Some(*lease)).ok_or(LedgerAway)?;
        item.lease = next;
        item.record = record.clone();
        Ok(())
    }
}

fn asha() -> Invitation {
    invitation("asha@example.test", Attributes::new().with("FirstName", "Asha").with("Phone", "+91-9000000001"), 1)
}

fn invitation(email: &str, attributes: Attributes, number: u8) -> Invitation {
    Invitation {
        id: InvitationId::of([&[number][..]]),
        source: Source::Form,
        received_at: START,
        email: email.parse().unwrap(),
        attributes,
        password: None,
    }
}

const HAPPY: [&str; 7] = ["claim", "last_mail", "register", "lead_auto_login_key", "save", "mail", "mailed"];

#[test]
fn a_new_person_takes_two_calls_and_one_mail() {
    let world = World::default();
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::Invited);
    assert_eq!(*world.calls.borrow(), [&HAPPY[..], &["release"]].concat());
    assert_eq!((world.registered(), world.mails.borrow().len()), (1, 1));
}

#[test]
fn a_second_delivery_changes_nothing() {
    let world = World::default();
    world.deliver_until_done(&asha());
    world.now.set(Duration::days(3));
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), Outcome::AlreadyInvited);
    assert_eq!((world.registered(), world.mails.borrow().len()), (1, 1));
}

#[test]
fn another_application_of_the_person_waits_for_the_cool_down() {
    let world = World::default();
    world.deliver_until_done(&asha());
    let again = |number| Invitation { id: InvitationId::of([&[number][..]]), ..asha() };
    assert_eq!(world.deliver_until_done(&again(2)), Outcome::AlreadyInvited);
    world.now.set(world.now.get() + Duration::seconds(61));
    assert_eq!(world.deliver_until_done(&again(3)), Outcome::InvitedExisting);
    assert_eq!((world.registered(), world.mails.borrow().len()), (1, 2));
}

#[test]
fn a_known_lead_gets_a_link_and_keeps_its_data() {
    let world = World::default();
    let lead = world.add_lead(5, "asha@example.test", None, false);
    assert_eq!(world.deliver_until_done(&asha()), Outcome::InvitedExisting);
    assert_eq!(*world.mails.borrow(), [lead]);
    assert_eq!(world.registered(), 1);
    assert_eq!(world.leads.borrow()[0].phone, None);
}

#[test]
fn a_lead_with_another_address_never_gets_a_link() {
    // LeadSquared says that the lead exists, and has none with this address: it matched by something else.
    struct Impostor(World);
    impl Crm for Impostor {
        async fn register(&self, _: &Registration) -> Result<LeadId, Error> {
            Err(Error::LeadExists)
        }
        async fn leads_by_email(&self, _: &EmailAddress) -> Result<Vec<Lead>, Error> {
            let lead = serde_json::json!({"ProspectID": Uuid::from_u128(9), "EmailAddress": "victim@example.test"});
            Ok(vec![serde_json::from_value(lead).unwrap()])
        }
        async fn lead_auto_login_key(&self, _: &LeadId) -> Result<AutoLoginKey, Error> {
            panic!("a key for a stranger's lead was asked for")
        }
    }
    let impostor = Impostor(World::default());
    let portal = Portal {
        id: "22222222-2222-4222-8222-222222222222".parse().unwrap(),
        page: "https://portal.example.test/".parse().unwrap(),
    };
    let world = &impostor.0;
    let flow = Flow { crm: &impostor, ledger: world, mail: world, portal: &portal, cool_down: Duration::ZERO };
    let attempt = Attempt {
        now: START,
        until: START + LEASE,
        holder: Uuid::nil(),
        message: Uuid::nil(),
        password: generated_password([0; 20]),
        chosen_password: None,
    };
    let outcome = flow.run(&asha(), attempt).now_or_never().unwrap().unwrap();
    assert_eq!(outcome, Outcome::Rejected(Rejection::IdentityMismatch));
    assert_eq!(world.mails.borrow().len(), 0);
}

#[test]
fn a_family_members_phone_is_left_out_and_noted() {
    let world = World::default();
    world.add_lead(5, "parent@example.test", Some("+91-9000000001"), true);
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    let leads = world.leads.borrow();
    assert_eq!(leads[1].phone, None);
    assert_eq!(
        leads[1].notes.as_deref(),
        Some("Left out on registration because another lead has it: Phone +91-9000000001.")
    );
    assert_eq!(world.items.borrow()[&asha().id].record.left_out, ["Phone"]);
}

#[test]
fn a_field_that_leadsquared_does_not_know_loses_nobody() {
    let world = World::default();
    world.unknown.borrow_mut().push("FirstName");
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!(world.items.borrow()[&asha().id].record.left_out, ["FirstName"]);
}

#[test]
fn a_password_that_the_portal_refuses_loses_nobody() {
    let world = World::default();
    *world.chosen_password.borrow_mut() = Some(Password::from("too weak"));
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!(world.items.borrow()[&asha().id].record.left_out, ["password"]);
    *world.chosen_password.borrow_mut() = Some(Password::from("Strong enough 1!"));
    let mei = invitation("mei@example.test", Attributes::new(), 3);
    assert_eq!(world.deliver_until_done(&mei), Outcome::Invited);
    assert_eq!(world.items.borrow()[&mei.id].record.left_out, [""; 0]);
}

#[test]
fn a_refusal_is_for_good_and_may_be_tried_again_on_purpose() {
    let world = World::default();
    world.refusal.set(true);
    let refused = Outcome::Rejected(Rejection::Refused { exception_type: "MXInvalidInputException".to_owned() });
    assert_eq!(world.deliver(&asha()).unwrap().unwrap(), refused);
    world.refusal.set(false);
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
}

#[test]
fn the_same_id_with_another_content_is_refused() {
    let world = World::default();
    world.deliver_until_done(&asha());
    let other = Invitation { attributes: Attributes::new(), ..asha() };
    assert_eq!(world.deliver(&other).unwrap().unwrap(), Outcome::Rejected(Rejection::IdReused));
}

#[test]
fn an_attempt_under_way_is_left_alone() {
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
        assert_eq!((registers, world.registered(), world.mails.borrow().len()), (1, 1, 1), "{fault:?}");
    }
}

#[test]
fn a_deleted_lead_is_registered_anew() {
    let world = World::default();
    world.faults.borrow_mut().insert(5, Fault::NotSent);
    assert!(world.deliver(&asha()).unwrap().is_err());
    world.leads.borrow_mut().clear();
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!((world.registered(), world.mails.borrow().len()), (1, 1));
}

#[test]
fn a_mail_of_unknown_fate_is_sent_once_more_and_never_a_third_time() {
    let world = World::default();
    // The mail is request 5, and 4 requests come before it in each attempt after the first: claim, last_mail, key, save.
    for number in [5, 11] {
        world.faults.borrow_mut().insert(number, Fault::AnswerLost);
    }
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Rejected(Rejection::MailUnknown));
    assert_eq!(world.mails.borrow().len(), 2, "{:?}", world.calls.borrow());
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Rejected(Rejection::MailUnknown));
    // Whoever puts it back has looked: it is mailed again.
    world.message.set(Uuid::from_u128(1));
    assert_eq!(world.deliver_until_done(&asha()), Outcome::Invited);
    assert_eq!(world.mails.borrow().len(), 3);
}

/// After any one fault at any one request: one registration, one mail, or two where nobody could tell.
#[test]
fn one_fault_anywhere_neither_loses_nor_doubles_anybody() {
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
                let mails = world.mails.borrow().len();
                let at = world.calls.borrow().get(number).copied();
                let unknowable = matches!(fault, Fault::DieAfter | Fault::AnswerLost) && at == Some("mail")
                    || !matches!(fault, Fault::DieAfter | Fault::AnswerLost) && at == Some("mailed");
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
    fn many_faults_neither_lose_nor_double_anybody(
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
            // A rejected one lies among the dead letters: it comes back only if somebody puts it back.
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
            let leads = world.leads.borrow();
            let lead = leads.iter().find(|lead| lead.email == invitation.email.expose()).unwrap().id;
            let mails = world.mails.borrow().iter().filter(|mailed| **mailed == lead).count();
            // Without a mail for sure, somebody is told.
            let fewest = usize::from(outcome != Outcome::Rejected(Rejection::MailUnknown));
            prop_assert!((fewest..=2).contains(&mails), "{} mails, {:?}: {:?}", mails, outcome, world.calls.borrow());
        }
    }
}
