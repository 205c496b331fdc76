//! An in-memory LeadSquared and an in-memory ledger. Each test decides what happens to the requests to them.

use std::collections::{BTreeMap, HashMap, HashSet};

use leadsquared::crm::Lead;
use leadsquared::portal::Registration;
use leadsquared::{AutoLoginKey, DuplicateField, EmailAddress, Error, LeadId, OneTimeCode};
use onboarding::{
    BegunMail, Claim, Crm, Ended, Invitation, InvitationId, LastSuccesses, Lease, Ledger, LinkMode, LinkTarget,
    LoginLinkMail, Mail, MailError, MailHistory, MailReservation, MarkSent, Marking, Outcome, PersonKey, Portal,
    Record, Success, UsedLinks,
};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// How requests leave the process: whether they arrive, and whether their answers do.
pub(crate) trait Outside {
    /// A call of LeadSquared.
    async fn call<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error>;

    /// A request to the ledger.
    async fn store<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Memory) -> Result<T, LedgerUnavailable> + 'static,
    ) -> Result<T, LedgerUnavailable>;
}

/// The mode of links that open the portal.
pub(crate) fn direct() -> LinkMode {
    let portal = Portal {
        id: "22222222-2222-4222-8222-222222222222".parse().unwrap(),
        page: "https://portal.example.test/".parse().unwrap(),
    };
    LinkMode::Direct { portal }
}

/// The mode of links that open the page of the login-link function and are valid for one hour.
pub(crate) fn on_click() -> LinkMode {
    let page = "https://api.example.test/login-links/".parse().unwrap();
    LinkMode::OnClick { page, valid_for: std::time::Duration::from_secs(3600) }
}

/// The services that the flow uses, over an [`Outside`].
pub(crate) struct Via<'a, O>(pub(crate) &'a O);

#[derive(Debug, thiserror::Error)]
#[error("the ledger is unavailable")]
pub(crate) struct LedgerUnavailable;

/// The in-memory LeadSquared: its leads, its refusals and the mails that it sent.
#[derive(Default)]
pub(crate) struct LeadSquared {
    pub(crate) leads: Vec<KnownLead>,
    pub(crate) mails: Vec<LeadId>,
    /// The codes in these mails.
    pub(crate) codes: Vec<Option<OneTimeCode>>,
    /// Leads that were made portal users.
    pub(crate) registrations: Vec<LeadId>,
    /// Attributes that the account does not have.
    pub(crate) unknown: Vec<&'static str>,
    /// Whether it names one of them in each answer.
    pub(crate) names_one_field: bool,
    /// Addresses that it refuses to register.
    pub(crate) refused: HashSet<String>,
    /// A value that it refuses in every field.
    pub(crate) refused_value: Option<&'static str>,
    /// The lead that gets no mail, or all leads, if it delivers none.
    pub(crate) undeliverable: Option<Undeliverable>,
    /// Whether Register answers that a user exists where another lead has the phone number.
    pub(crate) matches_phones: bool,
    /// A text that a firewall in front of it blocks in every call.
    pub(crate) blocked: Option<&'static str>,
    /// Whether the firewall answers with a page under the status of a path that does not exist.
    pub(crate) answers_with_pages: bool,
    /// A call that is unavailable.
    pub(crate) blocked_call: Option<&'static str>,
    /// How it refuses the field of the mark, if it does.
    pub(crate) mark_refusal: Option<MarkRefusal>,
    /// The passwords that leads were registered with.
    pub(crate) passwords: Vec<String>,
}

/// Whose mail LeadSquared refuses to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undeliverable {
    OfLead(LeadId),
    All,
}

/// How an account refuses the field that marks unproven identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkRefusal {
    /// It has no such field.
    Unknown,
    /// The field is of another type.
    Refused,
    /// The field is unique, and another lead has the same mark.
    Duplicate,
}

pub(crate) struct KnownLead {
    pub(crate) id: LeadId,
    pub(crate) email: String,
    pub(crate) phone: Option<String>,
    pub(crate) notes: Option<String>,
    /// What a form asked the applicant to write.
    pub(crate) essay: Option<String>,
    /// The mark that shows the phone number as unproven.
    pub(crate) mark: Option<String>,
    pub(crate) portal_user: bool,
    /// When it was created; none where LeadSquared does not say it.
    pub(crate) created_on: Option<&'static str>,
}

impl KnownLead {
    /// The lead as LeadSquared returns it.
    fn read(&self) -> Lead {
        let Self { id, email, phone, essay, mark, created_on, .. } = self;
        serde_json::from_value(serde_json::json!({
            "ProspectID": id, "EmailAddress": email, "Phone": phone, "mx_Essay": essay, Marking::FIELD: mark,
            "CreatedOn": created_on,
        }))
        .unwrap()
    }
}

impl LeadSquared {
    pub(crate) fn add_lead(&mut self, number: u128, email: &str, phone: Option<&str>, portal_user: bool) -> LeadId {
        let id: LeadId = Uuid::from_u128(number).to_string().parse().unwrap();
        let (email, phone) = (email.to_owned(), phone.map(str::to_owned));
        let new = KnownLead { id, email, phone, notes: None, essay: None, mark: None, portal_user, created_on: None };
        self.leads.push(new);
        id
    }

    pub(crate) fn lead_of(&self, email: &str) -> Option<LeadId> {
        self.leads.iter().find(|lead| lead.email == email).map(|lead| lead.id)
    }

    /// A firewall answers a call with a blocked text itself.
    fn pass_firewall<'a>(&self, call: &str, mut values: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        let is_blocked = self.blocked.is_some_and(|blocked| values.any(|value| value.contains(blocked)));
        match is_blocked || self.blocked_call == Some(call) {
            false => Ok(()),
            true if self.answers_with_pages => Err(Error::NoSuchCall { status: 405, is_page: true }),
            true => Err(Error::ServerFault { status: 403 }),
        }
    }

    fn register(&mut self, registration: &Registration) -> Result<LeadId, Error> {
        assert_eq!(registration.fields.iter().next().map(|(name, _)| name), Some("EmailAddress"));
        let email = registration.fields.value("EmailAddress").unwrap();
        let values = registration.fields.iter().map(|(_, value)| value).chain([registration.password.expose()]);
        self.pass_firewall("register", values)?;
        if self.refused.contains(email) || registration.password.expose() == "too weak" {
            let exception_type = "MXInvalidInputException".to_owned();
            return Err(Error::Refused { exception_type, message: Default::default() });
        }
        if let Some(refusal) = self.mark_refusal.filter(|_| registration.fields.value(Marking::FIELD).is_some()) {
            let field = || Marking::FIELD.to_owned();
            return Err(match refusal {
                MarkRefusal::Unknown => Error::UnknownAttributes(vec![field()]),
                MarkRefusal::Duplicate => Error::Duplicate { field: DuplicateField::Other(field()) },
                MarkRefusal::Refused => {
                    let exception_type = "MXInvalidEntityReferenceException".to_owned();
                    Error::Refused { exception_type, message: Default::default() }
                }
            });
        }
        let refused =
            self.refused_value.is_some_and(|it| registration.fields.iter().any(|(_, value)| value.contains(it)));
        if refused {
            let exception_type = "MXXSSException".to_owned();
            return Err(Error::Refused { exception_type, message: Default::default() });
        }
        let names = registration.fields.iter().map(|(name, _)| name);
        let mut unknown: Vec<String> = names.filter(|name| self.unknown.contains(name)).map(str::to_owned).collect();
        unknown.truncate(if self.names_one_field { 1 } else { usize::MAX });
        if !unknown.is_empty() {
            return Err(Error::UnknownAttributes(unknown));
        }
        if let Some(lead) = self.leads.iter_mut().find(|lead| lead.email == email) {
            if registration.register_only_new_lead {
                return Err(Error::LeadExists);
            }
            // LeadSquared may still carry out a call that its caller has given up. The repeat then finds a portal user.
            let by_us = self.registrations.contains(&lead.id);
            assert!(!lead.portal_user || by_us, "a portal user's password was overwritten");
            assert_eq!(registration.fields.iter().count(), 1, "a stranger's data was overwritten");
            lead.portal_user = true;
            if !by_us {
                self.registrations.push(lead.id);
            }
            return Ok(lead.id);
        }
        let phone = registration.fields.value("Phone");
        if phone.is_some() && self.leads.iter().any(|lead| lead.phone.as_deref() == phone) {
            return Err(match self.matches_phones {
                true => Error::LeadExists,
                false => Error::Duplicate { field: DuplicateField::Phone },
            });
        }
        let mark = registration.fields.value(Marking::FIELD).map(str::to_owned);
        self.passwords.push(registration.password.expose().to_owned());
        assert!(mark.is_some() || phone.is_none(), "a number that a form typed could sign in");
        let id = self.add_lead(1000 + self.leads.len() as u128, email, phone, true);
        self.registrations.push(id);
        let lead = self.leads.last_mut().unwrap();
        lead.essay = registration.fields.value("mx_Essay").map(str::to_owned);
        lead.notes = registration.fields.value("Notes").map(str::to_owned);
        lead.mark = mark;
        Ok(id)
    }
}

impl<O: Outside> Crm for Via<'_, O> {
    async fn register(&self, registration: &Registration) -> Result<LeadId, Error> {
        let registration = registration.clone();
        self.0.call("register", move |leadsquared| leadsquared.register(&registration)).await
    }

    async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error> {
        let email = email.clone();
        let found = move |leadsquared: &mut LeadSquared| {
            leadsquared.pass_firewall("leads_by_email", [email.expose()].into_iter())?;
            let found = leadsquared.leads.iter().filter(|lead| lead.email == email.expose());
            Ok(found.map(KnownLead::read).collect())
        };
        self.0.call("leads_by_email", found).await
    }

    async fn lead_by_id(&self, lead: &LeadId) -> Result<Option<Lead>, Error> {
        let lead = *lead;
        let found = move |leadsquared: &mut LeadSquared| {
            leadsquared.pass_firewall("lead_by_id", [].into_iter())?;
            let found = leadsquared.leads.iter().find(|known| known.id == lead);
            Ok(found.map(KnownLead::read))
        };
        self.0.call("lead_by_id", found).await
    }

    async fn lead_auto_login_key(&self, lead: &LeadId) -> Result<AutoLoginKey, Error> {
        let lead = *lead;
        let key = move |leadsquared: &mut LeadSquared| match leadsquared.leads.iter().find(|known| known.id == lead) {
            None => Err(Error::NoSuchLead),
            Some(known) if !known.portal_user => Err(Error::NotAPortalUser),
            Some(_) => Ok(AutoLoginKey::from("k+/=")),
        };
        self.0.call("lead_auto_login_key", key).await
    }
}

impl<O: Outside> Mail for Via<'_, O> {
    async fn send(&self, letter: LoginLinkMail<'_>) -> Result<(), MailError> {
        let link = letter.link.expose();
        let is_direct = link.starts_with("https://portal.example.test/?") && link.contains("authKey=k%2B%2F%3D");
        assert!(is_direct || link.starts_with("https://api.example.test/login-links/"), "{link}");
        let (lead, code) = (letter.lead, letter.code.cloned());
        let send = move |leadsquared: &mut LeadSquared| {
            if [Some(Undeliverable::All), Some(Undeliverable::OfLead(lead))].contains(&leadsquared.undeliverable) {
                return Err(Error::MailNotDeliverable);
            }
            leadsquared.mails.push(lead);
            leadsquared.codes.push(code);
            Ok(())
        };
        self.0.call("mail", send).await.map_err(|error| match error.may_have_taken_effect() {
            true => MailError::Unknown(error),
            false => MailError::NotSent(error),
        })
    }
}

/// The ledger's items.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) items: HashMap<InvitationId, Item>,
    pub(crate) people: HashMap<PersonKey, Person>,
    pub(crate) begun: HashMap<Date, u32>,
    /// When LeadSquared last worked, by day.
    pub(crate) successes: HashMap<Date, LastSuccesses>,
    /// Counts by the day of receipt and by the outcome's name or `accepted`.
    pub(crate) counts: BTreeMap<(Date, String), i64>,
    /// Mails with an unknown result when an invitation ended, by person.
    pub(crate) unknown_mails: HashMap<PersonKey, u32>,
    /// When the flow registered each lead.
    pub(crate) registered: HashMap<LeadId, OffsetDateTime>,
    /// Whether Register carried the mark of each of these leads.
    pub(crate) marks: HashMap<LeadId, MarkSent>,
    /// Look-ups of leads that decided rules, by day.
    pub(crate) rule_lookups: HashMap<Date, u32>,
    /// When the newest used link of each lead was made.
    pub(crate) links_used: HashMap<LeadId, OffsetDateTime>,
    /// The links of each person that were used right after their mail.
    pub(crate) used_links: HashMap<PersonKey, UsedLinks>,
    /// The targets of the links in the mails.
    pub(crate) link_targets: Vec<LinkTarget>,
    /// The mistake that this ledger makes, if any.
    pub(crate) flaw: Option<Flaw>,
}

/// A mistake of a ledger. A test checks that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    ClaimsAreForgotten,
    IntentIsNotKept,
    CapsAreNotKept,
    OutcomeIsCountedTwice,
    RegistrationsAreForgotten,
    LookupsAreNotCounted,
}

#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) payload: String,
    received_at: OffsetDateTime,
    pub(crate) lease: Option<Lease>,
    pub(crate) record: Record,
    /// Whether the last attempt recorded an end, and so counted the mails with an unknown result.
    pub(crate) is_settled: bool,
}

#[derive(Default)]
pub(crate) struct Person {
    version: u64,
    begun: Vec<BegunMail>,
    last_sent: Option<OffsetDateTime>,
    reduced_at: Option<OffsetDateTime>,
}

/// How long a reduced registration is remembered for its person.
const REDUCED_FOR: time::Duration = time::Duration::days(14);

impl Memory {
    /// This many mails were sent to the person of an invitation.
    pub(crate) fn was_mailed(&mut self, invitation: &Invitation, mails: usize, at: OffsetDateTime) {
        let person = self.people.entry(invitation.person()).or_default();
        let mail = BegunMail { at, invitation: InvitationId::of([&b"earlier"[..]]) };
        (person.version, person.begun, person.last_sent) = (1, vec![mail; mails], Some(at));
    }

    fn claim(&mut self, invitation: &Invitation, lease: &Lease, now: OffsetDateTime) -> Claim {
        let payload = invitation.payload_hash();
        let Some(item) = self.items.get_mut(&invitation.id) else {
            let (record, received_at) = (Record::default(), invitation.received_at);
            self.items.insert(
                invitation.id,
                Item { payload, received_at, lease: Some(*lease), record: record.clone(), is_settled: false },
            );
            self.count(invitation, "accepted", 1);
            return Claim::Granted(record);
        };
        if item.payload != payload {
            return Claim::OtherPayload;
        }
        if self.flaw == Some(Flaw::ClaimsAreForgotten) {
            item.record = Record::default();
        } else {
            let unresolved = item.record.unresolved_mails;
            if !item.record.take_up(lease.message) {
                return item.record.clone().done(invitation.received_at > item.received_at);
            }
            if !item.is_settled {
                // An operator put it back before its last end was recorded: its unknown mails are counted here.
                let person = item.record.person.clone().unwrap_or_else(|| invitation.person());
                *self.unknown_mails.entry(person).or_default() += unresolved - item.record.unresolved_mails;
            }
            match item.lease {
                Some(held) if held.until > now => return Claim::Held,
                Some(_) => item.record.take_over(),
                None => {}
            }
        }
        (item.lease, item.received_at) = (Some(*lease), invitation.received_at);
        item.is_settled = false;
        Claim::Granted(item.record.clone())
    }

    fn book(&self, person: &PersonKey, now: OffsetDateTime) -> MailHistory {
        let begun_today = self.begun.get(&now.date()).copied().unwrap_or_default();
        let successes = self.successes.get(&now.date()).copied().unwrap_or_default();
        let used_links = self.used_links.get(person).copied();
        let Some(person) = self.people.get(person) else {
            return MailHistory { begun_today, successes, used_links, ..MailHistory::default() };
        };
        MailHistory {
            version: person.version,
            begun: person.begun.clone(),
            last_sent: person.last_sent,
            begun_today,
            successes,
            link_used: None,
            used_links,
            is_reduced: person.reduced_at.is_some_and(|at| now - at < REDUCED_FOR),
        }
    }

    fn begin_mail(
        &mut self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        reservation: &MailReservation,
        target: Option<&LinkTarget>,
    ) -> Result<bool, LedgerUnavailable> {
        self.held(invitation, lease)?;
        let person = self.people.entry(reservation.person.clone()).or_default();
        let begun = self.begun.entry(reservation.at.date()).or_default();
        if person.version != reservation.version || reservation.budget.is_some_and(|budget| *begun >= budget) {
            return Ok(false);
        }
        if self.flaw != Some(Flaw::CapsAreNotKept) {
            person.version += 1;
            person.begun = reservation.begun.clone();
            *begun += u32::from(reservation.budget.is_some());
        }
        if self.flaw != Some(Flaw::IntentIsNotKept) {
            self.held(invitation, lease)?.record = Record { success: None, is_taken_over: false, ..record.clone() };
        }
        self.link_targets.extend(target.cloned());
        self.registration(record, reservation.at);
        Ok(true)
    }

    fn registration(&mut self, record: &Record, at: OffsetDateTime) {
        let lead = record.lead.filter(|_| record.registered && self.flaw != Some(Flaw::RegistrationsAreForgotten));
        let Some(lead) = lead else { return };
        if !self.registered.contains_key(&lead) {
            self.marks.insert(lead, record.mark);
        }
        self.registered.entry(lead).or_insert(at);
    }

    fn end(
        &mut self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        outcome: &Outcome,
        now: OffsetDateTime,
    ) -> Result<(), LedgerUnavailable> {
        let item = self.held(invitation, lease)?;
        item.lease = None;
        item.is_settled = true;
        item.record =
            Record { ended: Some(Ended::new(outcome, lease)), success: None, is_taken_over: false, ..record.clone() };
        if let Some(before) = &record.ended {
            self.count(invitation, &before.name, -1);
        }
        self.count(invitation, outcome.name(), if self.flaw == Some(Flaw::OutcomeIsCountedTwice) { 2 } else { 1 });
        self.registration(record, now);
        let person = record.person.clone().unwrap_or_else(|| invitation.person());
        self.last_successes(record, now);
        let is_mailed = matches!(outcome, Outcome::Invited | Outcome::InvitedExisting);
        self.person(invitation, record, is_mailed, now);
        if is_mailed {
            self.successes.entry(now.date()).or_default().mailed = Some(now);
        }
        *self.unknown_mails.entry(person).or_default() += record.unresolved_mails;
        Ok(())
    }

    fn person(&mut self, invitation: &Invitation, record: &Record, is_mailed: bool, at: OffsetDateTime) {
        let person = record.person.clone().unwrap_or_else(|| invitation.person());
        let person = self.people.entry(person).or_default();
        person.last_sent = if is_mailed { Some(at) } else { person.last_sent };
        person.reduced_at = if record.has_reduced_person() { Some(at) } else { person.reduced_at };
    }

    fn last_successes(&mut self, record: &Record, now: OffsetDateTime) {
        let successes = self.successes.entry(now.date()).or_default();
        match record.success {
            None => {}
            Some(Success::LookedUp) => successes.looked_up = Some(now),
            Some(Success::Registered) => successes.registered = Some(now),
        }
    }

    fn held(&mut self, invitation: &Invitation, lease: &Lease) -> Result<&mut Item, LedgerUnavailable> {
        self.items.get_mut(&invitation.id).filter(|item| item.lease == Some(*lease)).ok_or(LedgerUnavailable)
    }

    fn count(&mut self, invitation: &Invitation, name: &str, by: i64) {
        *self.counts.entry((invitation.received_at.date(), name.to_owned())).or_default() += by;
    }
}

impl<O: Outside> Ledger for Via<'_, O> {
    type Error = LedgerUnavailable;

    async fn claim(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        now: OffsetDateTime,
    ) -> Result<Claim, LedgerUnavailable> {
        let (invitation, lease) = (invitation.clone(), *lease);
        self.0.store("claim", move |memory| Ok(memory.claim(&invitation, &lease, now))).await
    }

    async fn mail_book(&self, person: &PersonKey, now: OffsetDateTime) -> Result<MailHistory, LedgerUnavailable> {
        let person = person.clone();
        self.0.store("mail_book", move |memory| Ok(memory.book(&person, now))).await
    }

    async fn begin_mail(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        reservation: &MailReservation,
        target: Option<&LinkTarget>,
    ) -> Result<bool, LedgerUnavailable> {
        let (invitation, lease, record, reservation) =
            (invitation.clone(), *lease, record.clone(), reservation.clone());
        let target = target.cloned();
        let begin =
            move |memory: &mut Memory| memory.begin_mail(&invitation, &lease, &record, &reservation, target.as_ref());
        self.0.store("begin_mail", begin).await
    }

    async fn registered_at(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, LedgerUnavailable> {
        let lead = *lead;
        self.0.store("registered_at", move |memory| Ok(memory.registered.get(&lead).copied())).await
    }

    async fn take_rule_lookup(&self, most: u32, now: OffsetDateTime) -> Result<bool, LedgerUnavailable> {
        let take = move |memory: &mut Memory| {
            let flaw = memory.flaw;
            let taken = memory.rule_lookups.entry(now.date()).or_default();
            let is_left = *taken < most || flaw == Some(Flaw::LookupsAreNotCounted);
            *taken += u32::from(is_left);
            Ok(is_left)
        };
        self.0.store("take_rule_lookup", take).await
    }

    async fn newest_link_used(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, LedgerUnavailable> {
        let lead = *lead;
        self.0.store("newest_link_used", move |memory| Ok(memory.links_used.get(&lead).copied())).await
    }

    async fn release(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<(), LedgerUnavailable> {
        let (invitation, lease, record) = (invitation.clone(), *lease, record.clone());
        let release = move |memory: &mut Memory| {
            let item = memory.held(&invitation, &lease)?;
            item.lease = None;
            item.record = Record { success: None, is_taken_over: false, ..record.clone() };
            memory.registration(&record, now);
            memory.last_successes(&record, now);
            memory.person(&invitation, &record, record.mailed, now);
            Ok(())
        };
        self.0.store("release", release).await
    }

    async fn end(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        outcome: &Outcome,
        now: OffsetDateTime,
    ) -> Result<(), LedgerUnavailable> {
        let (invitation, lease, record, outcome) = (invitation.clone(), *lease, record.clone(), outcome.clone());
        self.0.store("end", move |memory| memory.end(&invitation, &lease, &record, &outcome, now)).await
    }
}
