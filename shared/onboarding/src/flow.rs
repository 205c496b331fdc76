use std::error::Error as StdError;
use std::ops::ControlFlow;
use std::time::Duration;

use leadsquared::{
    Attributes, AutoLoginKey, DuplicateField, EmailAddress, Error, Lead, LeadId, LoginLink, Password, PortalId,
    Registration, auto_login_link,
};
use time::OffsetDateTime;
use url::Url;

use crate::mail_limits::NoMail;
use crate::{
    Action, Claim, Crm, Invitation, Lease, Ledger, Letter, LinkMode, LinkToken, Mail, MailBook, MailError, MailLimits,
    MarkSent, Marking, Outcome, PersonKey, Pointer, Record, Rejection, Suppression, Unproven, Whom,
};

/// After how many mails of unknown fate no further one is sent: one repeat, and then rather none than a third.
const UNRESOLVED_MAILS: u32 = 2;

/// How often one attempt may call Register: once for each thing that can be left out, and once without them.
const REGISTRATIONS: usize = 7;

/// How an attempt ended its invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The outcome.
    pub outcome: Outcome,
    /// Attributes that this invitation lost because LeadSquared has no such field or refused the value. An operator
    /// can change that, so phone numbers of another lead and passwords that the portal refuses are not counted.
    pub fields_left_out: usize,
}

/// Takes invitations through their steps.
pub struct Flow<'a, C, L, M> {
    /// LeadSquared.
    pub crm: &'a C,
    /// What was done before.
    pub ledger: &'a L,
    /// The way mail goes out.
    pub mail: &'a M,
    /// Where the link leads.
    pub link: &'a LinkMode,
    /// How much mail may be sent.
    pub mail_limits: MailLimits,
    /// How leads are marked of which a form typed the identifiers.
    pub marking: &'a Marking,
}

/// The portal people are invited to.
#[derive(Clone, Debug)]
pub struct Portal {
    /// Its id in LeadSquared.
    pub id: PortalId,
    /// The page an auto-login link opens.
    pub page: Url,
}

/// One try at an invitation: its time and its randomness.
pub struct Attempt {
    /// When it began.
    pub now: OffsetDateTime,
    /// The right to work that it asks for.
    pub lease: Lease,
    /// The password a new portal user gets unless they chose one: random.
    pub password: Password,
    /// The password they chose.
    pub chosen_password: Option<Password>,
    /// The token of the link, if it is to be an on-click one: random.
    pub token: LinkToken,
}

/// How long LeadSquared's own key opens the portal (<https://apidocs.leadsquared.com/portal-auto-login/>).
const KEY_VALID_FOR: Duration = Duration::from_secs(4 * 60 * 60);

/// The invitation is not done and nothing about it is lost: it must come back.
#[derive(Debug, thiserror::Error)]
pub enum Postponed {
    /// Another attempt at the same invitation is under way.
    #[error("another attempt at this invitation is under way")]
    Held,
    /// LeadSquared did not do what was asked, or it is not known whether it did.
    #[error("{step} did not succeed")]
    LeadSquared {
        /// What was asked, in words.
        step: &'static str,
        /// Why it did not work.
        #[source]
        source: Error,
    },
    /// Nobody knows whether the mail was sent. The repeat is the last one, so it should wait until whatever is wrong
    /// has passed.
    #[error("it is not known whether the mail was sent")]
    MailUnknown(#[source] Error),
    /// The account's mails of the day are used up: the person is registered, and mailed on the next day.
    #[error("the day's mails are used up; the mail is sent after {until}, or earlier if the budget is raised")]
    MailBudget {
        /// When the next day begins.
        until: OffsetDateTime,
    },
    /// The person was mailed by somebody else, or the last mail of the day was, just as this one was to be.
    #[error("another mail was begun at the same moment")]
    MailBookChanged,
    /// A newer function asks for something that this worker does not do yet.
    #[error("this worker does not append activities: deploy the newer worker")]
    NotSupported,
    /// The ledger could not be read or written.
    #[error("the ledger could not be used")]
    Ledger(#[source] Box<dyn StdError + Send + Sync>),
}

impl Postponed {
    /// LeadSquared's error, when it was that.
    pub fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::LeadSquared { source, .. } | Self::MailUnknown(source) => Some(source),
            Self::Held | Self::MailBudget { .. } | Self::MailBookChanged | Self::NotSupported | Self::Ledger(_) => None,
        }
    }

    /// The error's word in metrics and dead letters.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Held => "Held",
            Self::LeadSquared { source, .. } => source.name(),
            Self::MailUnknown(_) => "MailUnknown",
            Self::MailBudget { .. } => "MailBudget",
            Self::MailBookChanged => "MailBookChanged",
            Self::NotSupported => "NotSupported",
            Self::Ledger(_) => "Ledger",
        }
    }

    fn ledger(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Ledger(Box::new(error))
    }
}

/// What keeps an attempt from going on: for good, or for now.
enum Stop {
    Ended(Outcome),
    Postponed(Postponed),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Ended(Outcome::Rejected(rejection))
    }
}

/// Whom an attempt is about, and what is known of them.
struct Person {
    email: EmailAddress,
    key: PersonKey,
}

impl<L: StdError + Send + Sync + 'static> From<LedgerFailed<L>> for Stop {
    fn from(LedgerFailed(error): LedgerFailed<L>) -> Self {
        Self::Postponed(Postponed::ledger(error))
    }
}

struct LedgerFailed<L>(L);

impl Stop {
    /// What an error that no step has an answer to means: refused for good only if neither time nor the operator can
    /// change it.
    fn because(step: &'static str, error: Error) -> Self {
        if error.is_transient() || error.is_configuration() {
            return Self::Postponed(Postponed::LeadSquared { step, source: error });
        }
        let exception_type = match error {
            Error::Refused { exception_type, .. } => exception_type,
            other => other.name().to_owned(),
        };
        Rejection::Refused { exception_type }.into()
    }
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    /// Takes an invitation as far as it goes, from where the earlier attempt stopped.
    ///
    /// # Errors
    /// When it is not done and has to be tried again.
    pub async fn run(&self, invitation: &Invitation, attempt: Attempt) -> Result<Completion, Postponed> {
        if invitation.action == Action::Activity {
            return Err(Postponed::NotSupported);
        }
        let lease = attempt.lease;
        let mut record = match begin(self.ledger, invitation, &lease, attempt.now).await? {
            ControlFlow::Continue(record) => record,
            ControlFlow::Break(outcome) => return Ok(Completion { outcome, fields_left_out: 0 }),
        };
        let outcome = match self.invite(invitation, &attempt, &lease, &mut record).await {
            Ok(outcome) => outcome,
            Err(Stop::Ended(outcome)) => outcome,
            Err(Stop::Postponed(postponed)) => {
                let_go(self.ledger, invitation, &lease, &record, attempt.now).await;
                return Err(postponed);
            }
        };
        let outcome = end(self.ledger, invitation, &lease, &record, outcome, attempt.now).await?;
        Ok(Completion { outcome, fields_left_out: fields_left_out(&record) })
    }

    async fn invite(
        &self,
        invitation: &Invitation,
        attempt: &Attempt,
        lease: &Lease,
        record: &mut Record,
    ) -> Result<Outcome, Stop> {
        // An earlier attempt sent the mail and did not live to say that all was done.
        if record.mailed {
            return Ok(invited(record));
        }
        let person = self.person(invitation, record).await?;
        let mut book = self.ledger.mail_book(&person.key, attempt.now).await.map_err(LedgerFailed)?;
        let is_served = |book: &MailBook| self.mail_limits.is_served(book, invitation.received_at, attempt.now);
        let is_known = matches!(invitation.whom, Whom::Lead(_));
        if invitation.action == Action::MailLink && (is_known || is_served(&book)) {
            // Somebody who pressed twice holds a used link a few seconds after its mail: the next one has to come, if
            // not at once. Whose links were used is known by the lead.
            let lead = self.lead(invitation, &person, attempt, record).await?;
            book.link_used = self.ledger.newest_link_used(&lead).await.map_err(LedgerFailed)?;
        }
        if is_served(&book) {
            return Ok(Outcome::AlreadyInvited);
        }

        let lead = self.lead(invitation, &person, attempt, record).await?;
        if record.unresolved_mails >= UNRESOLVED_MAILS {
            return Err(Rejection::MailUnknown.into());
        }
        let unused = record.unused_mail;
        let (id, asked_at) = (invitation.id, invitation.received_at);
        let limits = self.mail_limits.of(invitation);
        let booking = match limits.book(person.key.clone(), &book, id, asked_at, unused, attempt.now) {
            Ok(booking) => booking,
            Err(NoMail::Capped) => return Ok(Outcome::Suppressed(Suppression::MailCap)),
            Err(NoMail::CappedUnseen) => return Err(Rejection::MailUnknown.into()),
            Err(NoMail::UnderWay) => return Err(Stop::Postponed(Postponed::MailBookChanged)),
            // Postponed and not suppressed: this person was not mailed too often, others were.
            Err(NoMail::BudgetSpent { until }) => return Err(Stop::Postponed(Postponed::MailBudget { until })),
        };
        let (link, valid_for, pointer) = self.link(lead, &person, invitation, attempt, record).await?;

        let unused_before = record.unused_mail.take();
        record.unresolved_mails += 1;
        let not_sent = |record: &mut Record| {
            record.unresolved_mails -= 1;
            record.unused_mail = Some(attempt.now);
        };
        match self.ledger.begin_mail(invitation, lease, record, &booking, pointer.as_ref()).await {
            Ok(true) => {}
            // Not written for sure, so not begun either.
            Ok(false) => {
                record.unresolved_mails -= 1;
                record.unused_mail = unused_before;
                return Err(Stop::Postponed(Postponed::MailBookChanged));
            }
            Err(error) => {
                not_sent(record);
                return Err(LedgerFailed(error).into());
            }
        }
        match self.mail.send(Letter { lead, to: &person.email, link: &link, valid_for }).await {
            Ok(()) => {
                record.unresolved_mails -= 1;
                record.mailed = true;
                Ok(invited(record))
            }
            Err(MailError::Unknown(source)) => Err(Stop::Postponed(Postponed::MailUnknown(source))),
            Err(MailError::NotSent(source)) => {
                not_sent(record);
                Err(Stop::Postponed(Postponed::LeadSquared { step: "sending the mail", source }))
            }
            Err(MailError::Refused(exception_type)) => {
                not_sent(record);
                Err(Rejection::Refused { exception_type }.into())
            }
        }
    }

    /// Whom it is for: as the invitation says, or as LeadSquared has the lead on record.
    async fn person(&self, invitation: &Invitation, record: &mut Record) -> Result<Person, Stop> {
        let email = match &invitation.whom {
            Whom::Email(email) => email.clone(),
            Whom::Lead(lead) => {
                if let Action::Invite = invitation.action {
                    let registered_at = self.ledger.registered_at(lead).await.map_err(LedgerFailed)?;
                    // Whoever we registered since it was asked for, or a moment before, has a link. LeadSquared's own
                    // news of our registrations comes in this way, and comes late.
                    let asked_for = invitation.received_at - self.mail_limits.cool_down;
                    if registered_at.is_some_and(|at| at > asked_for) {
                        return Err(Stop::Ended(Outcome::AlreadyInvited));
                    }
                }
                const STEP: &str = "looking the lead up by its id";
                let found = self.crm.lead_by_id(lead).await.map_err(|error| Stop::because(STEP, error))?;
                let Some(found) = found else {
                    return Err(match invitation.action {
                        Action::Invite => Rejection::NoSuchLead.into(),
                        Action::MailLink | Action::Activity => {
                            Stop::Ended(Outcome::Suppressed(Suppression::UnknownPerson))
                        }
                    });
                };
                let email = found.email().ok_or(Rejection::NoEmailAddress)?;
                record.lead = Some(*lead);
                record.existing = true;
                email
            }
        };
        let key = PersonKey::of(&email);
        record.person = Some(key.clone());
        Ok(Person { email, key })
    }

    /// The link for the mail, how long it works, and what it points at if it is an on-click one.
    async fn link(
        &self,
        lead: LeadId,
        person: &Person,
        invitation: &Invitation,
        attempt: &Attempt,
        record: &mut Record,
    ) -> Result<(LoginLink, Duration, Option<Pointer>), Stop> {
        match self.link {
            LinkMode::Direct { portal } => {
                let key = self.auto_login_key(lead, person, attempt, record).await?;
                Ok((auto_login_link(&portal.page, &lead, &portal.id, &key), KEY_VALID_FOR, None))
            }
            LinkMode::OnClick { page, valid_for } => {
                let pointer = Pointer {
                    link: attempt.token.hash(),
                    lead,
                    person: person.key.clone(),
                    invitation: invitation.id,
                    made_at: attempt.now,
                    valid_until: attempt.now + *valid_for,
                };
                Ok((attempt.token.link(page), *valid_for, Some(pointer)))
            }
        }
    }

    /// The person's lead: known from an earlier attempt, found, or newly registered as a portal user.
    async fn lead(
        &self,
        invitation: &Invitation,
        person: &Person,
        attempt: &Attempt,
        record: &mut Record,
    ) -> Result<LeadId, Stop> {
        if let Some(lead) = record.lead {
            return Ok(lead);
        }
        let lead = match invitation.action {
            Action::MailLink | Action::Activity => match self.lead_by_email(person).await {
                Ok(Some(lead)) => {
                    record.existing = true;
                    lead
                }
                Ok(None) | Err(Stop::Ended(Outcome::Rejected(Rejection::IdentityMismatch))) => {
                    return Err(Stop::Ended(Outcome::Suppressed(Suppression::UnknownPerson)));
                }
                Err(stop) => return Err(stop),
            },
            Action::Invite => {
                // An unknown result is looked up, not repeated.
                let found = if record.in_doubt { self.found_by_email(person).await? } else { None };
                // A lead found here may come from an earlier attempt; its webhook is then our own echo.
                record.registered = true;
                match found {
                    Some(lead) => {
                        record.existing = true;
                        record.mark = self.mark_of(&lead);
                        lead.id()
                    }
                    None => self.register(invitation, person, attempt, record).await?,
                }
            }
        };
        record.in_doubt = false;
        record.lead = Some(lead);
        Ok(lead)
    }

    /// Registers the person as a new lead; or finds the one they already are.
    ///
    /// Never touches a lead that exists: this runs for whoever fills in a public form, and an update would let them
    /// change a stranger's record, password included.
    async fn register(
        &self,
        invitation: &Invitation,
        person: &Person,
        attempt: &Attempt,
        record: &mut Record,
    ) -> Result<LeadId, Stop> {
        const STEP: &str = "registering the person with the portal";
        let mut chosen_password = attempt.chosen_password.is_some();
        // The mark is part of the one call that makes the lead, so that no lead of a form is ever without it.
        let mark = |chosen_password| Unproven::new(chosen_password).to_string();
        // The address comes first, because LeadSquared matches by the first unique identifier in the list.
        let mut fields = Attributes::new().with("EmailAddress", person.email.expose());
        fields.set(self.marking.field.as_str(), mark(chosen_password));
        for (name, value) in invitation.attributes.iter().filter(|(name, _)| self.marking.permits(name)) {
            fields.set(name, value);
        }
        let mut registration = Registration {
            register_only_new_lead: true,
            password: attempt.chosen_password.as_ref().unwrap_or(&attempt.password).clone(),
            fields,
        };
        record.mark = MarkSent::Yes;
        let (mut refusal_is_certain, mut is_bare) = (false, invitation.attributes.is_empty());
        for _ in 0..REGISTRATIONS {
            let taken = match self.crm.register(&registration).await {
                Ok(lead) => {
                    let (receipt, field) = (invitation.id, self.marking.field.as_str());
                    match (record.mark, refusal_is_certain) {
                        (MarkSent::No, true) => tracing::error!(
                            %receipt,
                            field,
                            "LeadSquared does not take the field that marks unproven identifiers: the phone number went to the \
                             lead's notes; create the field as a text field"
                        ),
                        (MarkSent::No, false) => tracing::warn!(
                            %receipt,
                            field,
                            "LeadSquared refused an identifier or the field that marks it: the identifiers went to the lead's notes; \
                             key-check says whether the field is right"
                        ),
                        (MarkSent::Yes | MarkSent::NotNeeded, _) => {}
                    }
                    return Ok(lead);
                }
                Err(Error::LeadExists | Error::Duplicate { field: DuplicateField::EmailAddress }) => {
                    record.existing = true;
                    // Perhaps by an earlier attempt's call that LeadSquared carried out after the attempt had ended.
                    record.registered = record.in_doubt;
                    // Matched by this very address, so it is there: LeadSquared's search is allowed a moment.
                    let found = self.found_by_email(person).await?;
                    let found = found
                        .ok_or(Stop::Postponed(Postponed::LeadSquared { step: STEP, source: Error::NoSuchLead }))?;
                    record.mark = self.mark_of(&found);
                    return Ok(found.id());
                }
                Err(Error::UnknownAttributes(names)) if names.iter().any(|name| self.marking.is_mark(name)) => {
                    (chosen_password, refusal_is_certain) = (false, true);
                    self.leave_unmarked(&mut registration, attempt, record)?;
                    continue;
                }
                Err(Error::Duplicate { field: DuplicateField::Other(name) }) if self.marking.is_mark(&name) => {
                    (chosen_password, refusal_is_certain) = (false, true);
                    self.leave_unmarked(&mut registration, attempt, record)?;
                    continue;
                }
                Err(Error::UnknownAttributes(names)) => {
                    let before = record.left_out.len();
                    record.left_out.extend(names.into_iter().filter(|name| registration.fields.remove(name).is_some()));
                    if record.left_out.len() == before {
                        // Nothing of ours: it means the portal's own fields, and trying again will not help.
                        return Err(Rejection::Refused { exception_type: "UnknownAttributes".to_owned() }.into());
                    }
                    let names = record.left_out.join(", ");
                    tracing::warn!(receipt = %invitation.id, fields = names, "LeadSquared does not have these lead fields: left out");
                    continue;
                }
                Err(Error::Duplicate { field: DuplicateField::Other(name) }) => vec![name],
                // "Unnamed" is most often the phone number: the only other field that is unique by default.
                Err(Error::Duplicate { field: DuplicateField::Phone | DuplicateField::Unnamed }) => {
                    vec!["Phone".to_owned(), "Mobile".to_owned()]
                }
                // It may be the password: portals have rules that LeadSquared documents neither here nor there. With
                // another one the link still lets the person in, and the portal lets them choose again.
                Err(Error::Refused { .. }) if chosen_password => {
                    chosen_password = false;
                    registration.password = attempt.password.clone();
                    registration.fields.set(self.marking.field.as_str(), mark(false));
                    record.left_out.push("password".to_owned());
                    continue;
                }
                // It may be the mark: a field of another type than text does not take it.
                Err(Error::Refused { .. }) if record.mark == MarkSent::Yes => {
                    self.leave_unmarked(&mut registration, attempt, record)?;
                    continue;
                }
                // It may be any of the values: nobody is lost because of one that LeadSquared does not take.
                Err(Error::Refused { .. }) if !is_bare => {
                    is_bare = true;
                    leave_bare(&mut registration.fields, record);
                    continue;
                }
                Err(error) => {
                    record.in_doubt |= error.may_have_taken_effect();
                    return Err(Stop::because(STEP, error));
                }
            };
            // Another lead has the same number: family members share phones. The person comes in without it, and the
            // lead says so.
            let mut left_out = Vec::new();
            for name in taken {
                if let Some(value) = registration.fields.remove(&name) {
                    left_out.push(format!("{name} {value}"));
                    record.left_out.push(name);
                }
            }
            if left_out.is_empty() {
                return Err(Rejection::Refused { exception_type: "Duplicate".to_owned() }.into());
            }
            let note = format!("Left out on registration because another lead has it: {}.", left_out.join(", "));
            add_note(&mut registration.fields, note);
        }
        Err(Rejection::Refused { exception_type: "Duplicate".to_owned() }.into())
    }

    /// Takes the mark out of a registration, and with it everything that must not be registered unmarked: identifiers
    /// go to the lead's notes, where a counsellor sees them and nobody signs in by them, and a typed password goes
    /// nowhere.
    ///
    /// Refuses for good what LeadSquared still has against a field that is no longer sent.
    fn leave_unmarked(
        &self,
        registration: &mut Registration,
        attempt: &Attempt,
        record: &mut Record,
    ) -> Result<(), Rejection> {
        if registration.fields.remove(&self.marking.field).is_none() {
            return Err(Rejection::Refused { exception_type: "UnknownAttributes".to_owned() });
        }
        record.mark = MarkSent::No;
        registration.password = attempt.password.clone();
        let taken = self.marking.take_identifiers(&mut registration.fields);
        if taken.is_empty() {
            return Ok(());
        }
        let typed: Vec<String> = taken.iter().map(|(name, value)| format!("{name} {value}")).collect();
        record.left_out.extend(taken.into_iter().map(|(name, _)| name));
        add_note(&mut registration.fields, format!("Typed in a form and not proven: {}.", typed.join(", ")));
        Ok(())
    }

    /// Whether a lead that was found carries the mark. If it does not, nobody knows whether an attempt of ours made
    /// it.
    fn mark_of(&self, lead: &Lead) -> MarkSent {
        if lead.field_ignoring_case(&self.marking.field).is_some() { MarkSent::Yes } else { MarkSent::No }
    }

    /// The id of the lead that has exactly this e-mail address.
    async fn lead_by_email(&self, person: &Person) -> Result<Option<LeadId>, Stop> {
        Ok(self.found_by_email(person).await?.map(|lead| lead.id()))
    }

    /// The lead that has exactly this e-mail address.
    async fn found_by_email(&self, person: &Person) -> Result<Option<Lead>, Stop> {
        const STEP: &str = "looking the lead up by e-mail";
        let leads = self.crm.leads_by_email(&person.email).await.map_err(|error| Stop::because(STEP, error))?;
        if leads.is_empty() {
            return Ok(None);
        }
        let same = |lead: &Lead| lead.email().as_ref() == Some(&person.email);
        let lead = leads.into_iter().find(same).ok_or(Rejection::IdentityMismatch)?;
        Ok(Some(lead))
    }

    /// A key that signs the lead in, after making the lead a portal user if it is none.
    async fn auto_login_key(
        &self,
        lead: LeadId,
        person: &Person,
        attempt: &Attempt,
        record: &mut Record,
    ) -> Result<AutoLoginKey, Stop> {
        const STEP: &str = "making the auto-login key";
        match self.crm.lead_auto_login_key(&lead).await {
            Err(Error::NotAPortalUser) => {
                // It has no password yet, so there is none to overwrite. Only what identifies it is sent: the lead's
                // own data stays as the company has it.
                let registration = Registration {
                    register_only_new_lead: false,
                    password: attempt.password.clone(),
                    fields: std::iter::once(("EmailAddress", person.email.expose())).collect(),
                };
                // Nothing that a form typed is in it; what an earlier attempt may have registered stays as it is
                // known.
                if !record.registered {
                    record.mark = MarkSent::NotNeeded;
                }
                // Before it is certain: its news comes whether or not its answer does.
                record.registered = true;
                let registered = self.crm.register(&registration).await;
                let registered = registered.map_err(|error| Stop::because("making the lead a portal user", error))?;
                if registered != lead {
                    return Err(Rejection::IdentityMismatch.into());
                }
                self.crm.lead_auto_login_key(&lead).await
            }
            Err(Error::NoSuchLead) => {
                // Deleted since an earlier attempt found it: the next one starts over.
                record.lead = None;
                return Err(Stop::Postponed(Postponed::LeadSquared { step: STEP, source: Error::NoSuchLead }));
            }
            other => other,
        }
        .map_err(|error| Stop::because(STEP, error))
    }
}

/// Ends an invitation that was tried for too long, whatever stood in its way. It goes on if its dead letter is put
/// back.
///
/// Needs nothing but the ledger, because what stood in the way may be that there is no way to LeadSquared.
///
/// # Errors
/// When it could not be ended and has to come back.
pub async fn give_up<L: Ledger>(
    ledger: &L,
    invitation: &Invitation,
    lease: Lease,
    now: OffsetDateTime,
    cause: &str,
) -> Result<Outcome, Postponed> {
    let record = match begin(ledger, invitation, &lease, now).await? {
        ControlFlow::Continue(record) => record,
        ControlFlow::Break(outcome) => return Ok(outcome),
    };
    let outcome = if record.mailed { invited(&record) } else { Outcome::Exhausted { cause: cause.to_owned() } };
    end(ledger, invitation, &lease, &record, outcome, now).await
}

/// Claims an invitation: what was done of it so far, or what it comes to because nothing is left to do.
async fn begin<L: Ledger>(
    ledger: &L,
    invitation: &Invitation,
    lease: &Lease,
    now: OffsetDateTime,
) -> Result<ControlFlow<Outcome, Record>, Postponed> {
    match ledger.claim(invitation, lease, now).await.map_err(Postponed::ledger)? {
        Claim::Granted(record) => Ok(ControlFlow::Continue(record)),
        Claim::Done => Ok(ControlFlow::Break(Outcome::AlreadyInvited)),
        Claim::OtherPayload => Ok(ControlFlow::Break(Outcome::Rejected(Rejection::IdReused))),
        Claim::Held => Err(Postponed::Held),
    }
}

async fn end<L: Ledger>(
    ledger: &L,
    invitation: &Invitation,
    lease: &Lease,
    record: &Record,
    outcome: Outcome,
    now: OffsetDateTime,
) -> Result<Outcome, Postponed> {
    match ledger.end(invitation, lease, record, &outcome, now).await {
        Ok(()) => Ok(outcome),
        Err(error) => {
            // A mail that was sent is remembered if anything at all can be written.
            let_go(ledger, invitation, lease, record, now).await;
            Err(Postponed::ledger(error))
        }
    }
}

/// Writes down how far an attempt came. Without it the next one has to wait for the lease to run out and to look the
/// person up: slower, and just as right; so the error that got us here is the one to report.
async fn let_go<L: Ledger>(ledger: &L, invitation: &Invitation, lease: &Lease, record: &Record, now: OffsetDateTime) {
    if let Err(error) = ledger.release(invitation, lease, record, now).await {
        tracing::warn!(receipt = %invitation.id, error = %error, "the claim could not be released");
    }
}

/// Leaves nothing in a registration but the e-mail address, and notes with the rest.
fn leave_bare(fields: &mut Attributes, record: &mut Record) {
    let names: Vec<String> = fields.iter().map(|(name, _)| name.to_owned()).collect();
    let mut typed = Vec::new();
    for name in names.into_iter().filter(|name| name != "EmailAddress") {
        if let Some(value) = fields.remove(&name) {
            typed.push(format!("{name} {value}"));
            record.left_out.push(name);
        }
    }
    // Markup may be what LeadSquared refuses.
    let typed = typed.join(", ").replace('<', "\u{2039}").replace('>', "\u{203a}");
    fields.set("Notes", format!("LeadSquared did not take these as fields: {typed}."));
}

/// Adds a line to the notes that a lead is registered with.
fn add_note(fields: &mut Attributes, note: String) {
    let notes = fields.value("Notes").map_or(note.clone(), |notes| format!("{notes}\n{note}"));
    fields.set("Notes", notes);
}

/// The attributes that [`Completion::fields_left_out`] counts.
fn fields_left_out(record: &Record) -> usize {
    let is_for_operator = |name: &&String| !["Phone", "Mobile", "password"].contains(&name.as_str());
    record.left_out.iter().filter(is_for_operator).count()
}

fn invited(record: &Record) -> Outcome {
    if record.existing { Outcome::InvitedExisting } else { Outcome::Invited }
}
