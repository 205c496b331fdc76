//! Registering a new lead, step by step without what LeadSquared refuses: the person must not be lost because of it.

use leadsquared::portal::Registration;
use leadsquared::schema_name::{EMAIL_ADDRESS, NOTES, PHONE_NUMBERS};
use leadsquared::{Attributes, DuplicateField, Error, LeadId, Password, text};

use super::person::Person;
use super::postponed::{Postponed, Stop};
use super::{Attempt, Flow, FlowEvent, RefusedMark, Work};
use crate::{Crm, Invitation, InvitationId, Ledger, Mail, MarkSent, Marking, PASSWORD, Record, Success, Unproven};

/// How often one attempt may call Register. The last time but one, everything becomes a note that is still in it, and
/// the last time there are no notes either.
const REGISTRATIONS: usize = 10;

/// In how many parts the fields are left out of which LeadSquared may refuse a value: one after the other, each with
/// the other parts sent.
const PARTS: usize = 3;

const STEP: &str = "registering the person with the portal";

/// How much of an invitation a registration sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All attributes and the chosen password.
    Whole,
    /// The identifying attributes.
    Identifying,
}

impl<C: Crm, L: Ledger, M: Mail> Flow<'_, C, L, M> {
    /// Registers the person as a new lead, or finds the lead that the person already is.
    ///
    /// Never changes an existing lead: a public form leads here, and an update would let its sender change a
    /// stranger's record, password included.
    pub(super) async fn register(&self, work: &mut Work<'_>, person: &Person, extent: Extent) -> Result<LeadId, Stop> {
        let mut new = NewLead::of(work, person, extent, self.marking, self.report);
        let mut last = Error::LeadExists;
        for left in (0..REGISTRATIONS).rev() {
            match left {
                1 if !new.is_bare => new.leave_out_everything(),
                0 => drop(new.draft.leave_out_notes()),
                _ => {}
            }
            new.draft.record_in(&mut work.record);
            work.record.is_reduced = extent == Extent::Identifying || new.draft.is_without_notes;
            match self.crm.register(&new.draft.registration).await {
                Ok(lead) => {
                    work.record.success = Some(Success::Registered);
                    new.report(&work.record);
                    return Ok(lead);
                }
                Err(refusal @ (Error::LeadExists | Error::Duplicate { field: DuplicateField::EmailAddress })) => {
                    let found = self.lead_by_email(person).await?;
                    // It says nothing about whether LeadSquared makes new leads now.
                    work.record.success = Some(Success::LookedUp);
                    match found {
                        Some(lead) => return Ok(self.existing_lead(work, &lead)),
                        // LeadSquared may have matched another lead by the phone number.
                        None if matches!(refusal, Error::LeadExists) && new.leave_out_phone() => {}
                        // LeadSquared's search may need a moment to find a new lead.
                        None => {
                            return Err(Stop::Postponed(Postponed::LeadSquared {
                                step: STEP,
                                source: Error::NoSuchLead,
                            }));
                        }
                    }
                }
                Err(refusal) => {
                    let record = &mut work.record;
                    if refusal.is_refusal() {
                        // LeadSquared's own answer: no firewall blocks what was sent, and nobody is registered.
                        record.forget_failures();
                        record.is_reduced = false;
                    }
                    if refusal.is_unanswered() {
                        record.in_doubt = true;
                        // It may have been refused something before, which ends a suspicion.
                        record.content.is_suspected |= record.is_reduced;
                    }
                    last = refusal.clone();
                    new.leave_out(refusal)?;
                }
            }
        }
        Err(Stop::because(STEP, last))
    }
}

/// A registration, and what was left out of it so far.
#[derive(Clone)]
struct Draft {
    registration: Registration,
    is_marked: bool,
    left_out: Vec<String>,
    /// Those of them that the lead's notes have.
    noted: Vec<String>,
    /// Those of them that were left out because LeadSquared refused a value.
    refused: Vec<String>,
    /// Whether LeadSquared refused the notes too.
    is_without_notes: bool,
}

impl Draft {
    fn record_in(&self, record: &mut Record) {
        record.mark = if self.is_marked { MarkSent::Yes } else { MarkSent::No };
        record.left_out.clone_from(&self.left_out);
        record.noted.clone_from(&self.noted);
    }

    /// Takes these fields out of the registration, as far as it has them.
    fn take<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Vec<(String, String)> {
        let fields = &mut self.registration.fields;
        let take = |name: &'a str| fields.remove(name).map(|value| (name.to_owned(), value));
        names.into_iter().filter_map(take).collect()
    }

    /// Leaves out fields that the account does not have. Returns their names.
    fn leave_out_unknown(&mut self, names: &[String]) -> Vec<String> {
        let taken = self.take(names.iter().map(String::as_str));
        let names: Vec<_> = taken.into_iter().map(|(name, _)| name).collect();
        self.left_out.extend(names.iter().cloned());
        names
    }

    /// Leaves out fields whose value another lead has: family members share phones. The lead's notes say so. False if
    /// there are none.
    fn leave_out_duplicate(&mut self, names: &[&str]) -> bool {
        let taken = self.take(names.iter().copied());
        let is_any = !taken.is_empty();
        if is_any {
            self.add_note("Left out on registration because another lead has it", taken);
        }
        is_any
    }

    /// Leaves out the mark, and with it everything that must not be registered unmarked. Identifiers go to the lead's
    /// notes, where a counsellor sees them and no sign-in uses them. A typed password is dropped. False if there is no
    /// mark.
    fn leave_out_mark(&mut self, marking: &Marking, random_password: &Password) -> bool {
        if self.registration.fields.remove(&marking.field).is_none() {
            return false;
        }
        self.is_marked = false;
        self.registration.password = random_password.clone();
        let taken = marking.take_identifiers(&mut self.registration.fields);
        if !taken.is_empty() {
            self.add_note("Typed in a form and not proven", taken);
        }
        true
    }

    /// Leaves out fields whose values LeadSquared may refuse. The lead's notes have them.
    fn leave_out_refused(&mut self, names: &[String]) {
        let taken = self.take(names.iter().map(String::as_str));
        // Markup may be what LeadSquared refuses.
        let typed = text::without_markup(&listed(&taken));
        self.registration.fields.add_note(&format!("LeadSquared did not take these as fields: {typed}."));
        self.refused.extend(taken.iter().map(|(name, _)| name.clone()));
        self.left_out_and_noted(taken);
    }

    /// Leaves out the notes, and with them everything that they have. False if there are none.
    fn leave_out_notes(&mut self) -> bool {
        let has_notes = self.registration.fields.remove(NOTES).is_some();
        if has_notes {
            self.is_without_notes = true;
            self.noted.clear();
        }
        has_notes
    }

    /// Adds a line about fields that are left out to the notes that the lead is registered with.
    fn add_note(&mut self, reason: &str, taken: Vec<(String, String)>) {
        self.registration.fields.add_note(&format!("{reason}: {}.", listed(&taken)));
        self.left_out_and_noted(taken);
    }

    fn left_out_and_noted(&mut self, taken: Vec<(String, String)>) {
        let names = taken.into_iter().map(|(name, _)| name);
        self.noted.extend(names.clone());
        self.left_out.extend(names);
    }
}

/// A search for a refused value: the registration before it, and the parts that are left to leave out of that.
struct Search {
    draft: Draft,
    parts: Vec<Vec<String>>,
}

/// The registration of a new lead, and what is known of why LeadSquared refuses it.
struct NewLead<'a> {
    draft: Draft,
    marking: &'a Marking,
    report: &'a dyn Fn(&FlowEvent<'_>),
    receipt: InvitationId,
    random_password: &'a Password,
    has_chosen_password: bool,
    /// Whether LeadSquared refused the mark's field by name.
    is_mark_refused: bool,
    /// Whether nothing is left in it but the e-mail address and notes.
    is_bare: bool,
    /// The search for the value that LeadSquared refuses, if it has begun.
    search: Option<Search>,
}

impl<'a> NewLead<'a> {
    fn of(
        work: &Work<'a>,
        person: &Person,
        extent: Extent,
        marking: &'a Marking,
        report: &'a dyn Fn(&FlowEvent<'_>),
    ) -> Self {
        let (invitation, attempt) = (&work.invitation, work.attempt);
        // The address comes first, because LeadSquared matches by the first unique identifier in the list.
        let mut fields = Attributes::new().with(EMAIL_ADDRESS, person.email.expose());
        // The mark is part of the call that makes the lead, so that no lead of a form is ever without it.
        fields.set(marking.field.as_str(), Unproven::new(attempt.chosen_password.is_some()).to_string());
        for (name, value) in invitation.attributes.iter().filter(|(name, _)| marking.permits(name)) {
            fields.set(name, value);
        }
        let registration = Registration {
            register_only_new_lead: true,
            password: attempt.chosen_password.as_ref().unwrap_or(&attempt.password).clone(),
            fields,
        };
        let (left_out, noted, refused, is_without_notes) = (Vec::new(), Vec::new(), Vec::new(), false);
        let mut new = Self {
            draft: Draft { registration, is_marked: true, left_out, noted, refused, is_without_notes },
            marking,
            report,
            receipt: invitation.id,
            random_password: &attempt.password,
            has_chosen_password: attempt.chosen_password.is_some(),
            is_mark_refused: false,
            is_bare: invitation.attributes.is_empty(),
            search: None,
        };
        if extent == Extent::Identifying {
            new.withhold(withheld(invitation, attempt, marking));
        }
        new
    }

    /// Leaves out all but the identifying attributes and the mark. What is left out is not noted on the lead, because
    /// it may be what a firewall blocks.
    fn withhold(&mut self, names: Vec<String>) {
        if self.has_chosen_password {
            self.leave_out_password();
        }
        drop(self.draft.take(names.iter().map(String::as_str)));
        self.draft.left_out = names;
    }

    /// Leaves out what LeadSquared refuses, or may refuse.
    fn leave_out(&mut self, refusal: Error) -> Result<(), Stop> {
        match refusal {
            Error::UnknownAttributes(names) if names.iter().any(|name| self.marking.is_mark(name)) => {
                self.leave_out_refused_mark()
            }
            Error::Duplicate { field: DuplicateField::Other(name) } if self.marking.is_mark(&name) => {
                self.leave_out_refused_mark()
            }
            Error::UnknownAttributes(names) => self.leave_out_unknown(&names),
            Error::Duplicate { field } => {
                let is_left_out = match field {
                    DuplicateField::Other(name) => self.leave_out_duplicate(&[&name]),
                    // An unnamed field is most often the phone number: the only other field that is unique by default.
                    _ => self.leave_out_phone(),
                };
                if is_left_out { Ok(()) } else { Err(Stop::refused("Duplicate")) }
            }
            // It may be the password, because LeadSquared does not document the portals' rules. With a random one the
            // link still signs the applicant in, and the portal lets them choose another.
            Error::Refused { .. } if self.has_chosen_password => {
                self.leave_out_password();
                Ok(())
            }
            // It may be the mark or a value.
            Error::Refused { .. } if !self.is_bare => {
                self.leave_out_next();
                Ok(())
            }
            Error::Refused { .. } if self.draft.is_marked => {
                self.draft.leave_out_mark(self.marking, self.random_password);
                Ok(())
            }
            Error::Refused { .. } if self.draft.leave_out_notes() => Ok(()),
            error => Err(Stop::because(STEP, error)),
        }
    }

    /// Fails if LeadSquared still refuses a field that is no longer sent.
    fn leave_out_refused_mark(&mut self) -> Result<(), Stop> {
        (self.has_chosen_password, self.is_mark_refused) = (false, true);
        for draft in self.search.iter_mut().map(|search| &mut search.draft) {
            draft.leave_out_mark(self.marking, self.random_password);
        }
        match self.draft.leave_out_mark(self.marking, self.random_password) {
            true => Ok(()),
            false => Err(Stop::refused("UnknownAttributes")),
        }
    }

    /// A search leaves them out of its other registrations too.
    fn leave_out_unknown(&mut self, names: &[String]) -> Result<(), Stop> {
        let names = self.draft.leave_out_unknown(names);
        if names.is_empty() {
            // The portal's own fields are meant: trying again does not help.
            return Err(Stop::refused("UnknownAttributes"));
        }
        if let Some(search) = &mut self.search {
            search.draft.leave_out_unknown(&names);
        }
        (self.report)(&FlowEvent::UnknownFields { receipt: self.receipt, names: &names });
        Ok(())
    }

    /// The same for fields whose value another lead has. False if there are none.
    fn leave_out_duplicate(&mut self, names: &[&str]) -> bool {
        if let Some(search) = &mut self.search {
            search.draft.leave_out_duplicate(names);
        }
        self.draft.leave_out_duplicate(names)
    }

    fn leave_out_phone(&mut self) -> bool {
        self.leave_out_duplicate(&PHONE_NUMBERS)
    }

    fn leave_out_password(&mut self) {
        self.has_chosen_password = false;
        let Registration { password, fields, .. } = &mut self.draft.registration;
        *password = self.random_password.clone();
        fields.set(self.marking.field.as_str(), Unproven::new(false).to_string());
        self.draft.left_out.push(PASSWORD.to_owned());
    }

    /// Leaves out the next thing that LeadSquared may refuse: the mark with the identifiers, because a field of another
    /// type than text refuses it; then each part of the other fields, while the rest is sent; then everything.
    fn leave_out_next(&mut self) {
        let search = match &mut self.search {
            Some(search) => search,
            none => {
                let others = self.marking.names_of_others(&self.draft.registration.fields);
                let others: Vec<String> = others.filter(|name| name != EMAIL_ADDRESS).collect();
                let parts = others.chunks(others.len().div_ceil(PARTS).max(1)).rev().map(<[String]>::to_vec).collect();
                let search = none.insert(Search { draft: self.draft.clone(), parts });
                if self.draft.leave_out_mark(self.marking, self.random_password) {
                    return;
                }
                search
            }
        };
        self.draft = search.draft.clone();
        match search.parts.pop() {
            Some(part) => self.draft.leave_out_refused(&part),
            None => self.leave_out_everything(),
        }
    }

    /// Leaves only the e-mail address, and notes with the rest.
    fn leave_out_everything(&mut self) {
        if self.has_chosen_password {
            self.leave_out_password();
        }
        self.is_bare = true;
        self.draft.registration.fields.remove(&self.marking.field);
        self.draft.is_marked = false;
        let names = self.draft.registration.fields.iter().map(|(name, _)| name.to_owned());
        let names: Vec<String> = names.filter(|name| name != EMAIL_ADDRESS).collect();
        self.draft.leave_out_refused(&names);
    }

    /// Reports what an operator should know about a registration that LeadSquared took.
    fn report(&self, record: &Record) {
        let (receipt, names) = (self.receipt, &self.draft.refused);
        if let Some(left_out) = record.withheld() {
            (self.report)(&FlowEvent::Withheld { receipt, names: &left_out.withheld });
        }
        if !names.is_empty() && !self.draft.is_without_notes {
            (self.report)(&FlowEvent::ValuesRefused { receipt, names });
        }
        if !self.draft.is_marked && (self.is_mark_refused || names.is_empty()) {
            let refused = if self.is_mark_refused { RefusedMark::Field } else { RefusedMark::Value };
            (self.report)(&FlowEvent::Unmarked { receipt, field: &self.marking.field, refused });
        }
    }
}

/// What a reduced registration of this invitation leaves out.
pub(super) fn withheld(invitation: &Invitation, attempt: &Attempt, marking: &Marking) -> Vec<String> {
    let password = attempt.chosen_password.as_ref().map(|_| PASSWORD.to_owned());
    password.into_iter().chain(marking.names_of_others(&invitation.attributes)).collect()
}

fn listed(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}
