//! Registering a new lead, step by step without what LeadSquared refuses: the person must not be lost because of it.

use leadsquared::portal::Registration;
use leadsquared::schema_name::{EMAIL_ADDRESS, NOTES, PHONE_NUMBERS};
use leadsquared::{Attributes, DuplicateField, Error, LeadId, Password};

use super::person::Person;
use super::postponed::{Postponed, Stop};
use super::{Attempt, Flow, FlowEvent, RefusedMark, Work};
use crate::{Crm, Invitation, InvitationId, Ledger, Mail, MarkSent, Marking, PASSWORD, Record, Success, Unproven};

/// How often one attempt may call Register: once for each thing that can be left out, and once without them.
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
        for _ in 0..REGISTRATIONS {
            match self.crm.register(&new.registration).await {
                Ok(lead) => {
                    new.record.success = Some(Success::Registered);
                    new.report();
                    return Ok(lead);
                }
                Err(refusal @ (Error::LeadExists | Error::Duplicate { field: DuplicateField::EmailAddress })) => {
                    let found = self.lead_by_email(person).await?;
                    // It says nothing about whether LeadSquared makes new leads now.
                    new.record.success = Some(Success::LookedUp);
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
                    if refusal.is_refusal() {
                        // LeadSquared's own answer: no firewall blocks what was sent.
                        new.record.forget_failures();
                    }
                    new.leave_out(refusal)?;
                }
            }
        }
        Err(Stop::refused("Duplicate"))
    }
}

/// A registration, and what was left out of it so far.
struct NewLead<'a> {
    registration: Registration,
    marking: &'a Marking,
    report: &'a dyn Fn(&FlowEvent<'_>),
    record: &'a mut Record,
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

/// A search for a refused value: the registration before it, and the parts that are left to leave out of that.
struct Search {
    fields: Attributes,
    mark: MarkSent,
    left_out: Vec<String>,
    noted: Vec<String>,
    parts: Vec<Vec<String>>,
}

impl<'a> NewLead<'a> {
    fn of(
        work: &'a mut Work<'_>,
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
        work.record.mark = MarkSent::Yes;
        work.record.left_out.clear();
        work.record.noted.clear();
        work.record.is_reduced = extent == Extent::Identifying;
        let mut new = Self {
            registration: Registration {
                register_only_new_lead: true,
                password: attempt.chosen_password.as_ref().unwrap_or(&attempt.password).clone(),
                fields,
            },
            marking,
            report,
            record: &mut work.record,
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
        for name in &names {
            self.registration.fields.remove(name);
        }
        self.record.left_out = names;
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
            Error::UnknownAttributes(names) => self.leave_out_unknown(names),
            Error::Duplicate { field: DuplicateField::Other(name) } => self.leave_out_duplicate(&[&name]),
            // An unnamed field is most often the phone number: the only other field that is unique by default.
            Error::Duplicate { field: DuplicateField::Phone | DuplicateField::Unnamed } => {
                self.leave_out_duplicate(&PHONE_NUMBERS)
            }
            // It may be the password, because LeadSquared does not document the portals' rules. With a random one the
            // link still signs the applicant in, and the portal lets them choose another.
            Error::Refused { .. } if self.has_chosen_password => {
                self.leave_out_password();
                Ok(())
            }
            // It may be the mark or a value.
            Error::Refused { .. } if !self.is_bare => self.leave_out_next(),
            Error::Refused { .. } if self.record.mark == MarkSent::Yes => self.leave_out_mark(),
            error => {
                if error.is_unanswered() {
                    self.record.in_doubt = true;
                    // It may have been refused something before, which ends a suspicion.
                    self.record.content.is_suspected |= self.record.is_reduced;
                }
                Err(Stop::because(STEP, error))
            }
        }
    }

    fn leave_out_refused_mark(&mut self) -> Result<(), Stop> {
        (self.has_chosen_password, self.is_mark_refused) = (false, true);
        self.leave_out_mark()
    }

    /// Leaves out the mark, and with it everything that must not be registered unmarked. Identifiers go to the lead's
    /// notes, where a counsellor sees them and no sign-in uses them. A typed password is dropped.
    ///
    /// Fails if LeadSquared still refuses a field that is no longer sent.
    fn leave_out_mark(&mut self) -> Result<(), Stop> {
        if self.registration.fields.remove(&self.marking.field).is_none() {
            return Err(Stop::refused("UnknownAttributes"));
        }
        self.record.mark = MarkSent::No;
        self.registration.password = self.random_password.clone();
        let taken = self.marking.take_identifiers(&mut self.registration.fields);
        if !taken.is_empty() {
            self.add_note("Typed in a form and not proven", taken);
        }
        Ok(())
    }

    /// Leaves out fields that the account does not have.
    fn leave_out_unknown(&mut self, names: Vec<String>) -> Result<(), Stop> {
        let before = self.record.left_out.len();
        let fields = &mut self.registration.fields;
        self.record.left_out.extend(names.into_iter().filter(|name| fields.remove(name).is_some()));
        if self.record.left_out.len() == before {
            // The portal's own fields are meant: trying again does not help.
            return Err(Stop::refused("UnknownAttributes"));
        }
        (self.report)(&FlowEvent::UnknownFields { receipt: self.receipt, names: &self.record.left_out[before..] });
        Ok(())
    }

    /// Leaves out fields whose value another lead has: family members share phones. The lead's notes say so.
    fn leave_out_duplicate(&mut self, names: &[&str]) -> Result<(), Stop> {
        let fields = &mut self.registration.fields;
        let take = |name: &&str| fields.remove(name).map(|value| ((*name).to_owned(), value));
        let taken: Vec<_> = names.iter().filter_map(take).collect();
        if taken.is_empty() {
            return Err(Stop::refused("Duplicate"));
        }
        self.add_note("Left out on registration because another lead has it", taken);
        Ok(())
    }

    /// Leaves the phone numbers out. False if there are none.
    fn leave_out_phone(&mut self) -> bool {
        self.leave_out_duplicate(&PHONE_NUMBERS).is_ok()
    }

    /// Leaves out the next thing that LeadSquared may refuse: the mark with the identifiers, because a field of another
    /// type than text refuses it; then each part of the other fields, while the rest is sent; then everything.
    fn leave_out_next(&mut self) -> Result<(), Stop> {
        let Some(search) = &mut self.search else {
            let is_other = |name: &str| name != EMAIL_ADDRESS && !self.marking.is_mark(name);
            let others = self.marking.names_of_others(&self.registration.fields).filter(|name| is_other(name));
            let others: Vec<String> = others.collect();
            let parts = others.chunks(others.len().div_ceil(PARTS).max(1)).rev().map(<[String]>::to_vec).collect();
            let Record { mark, left_out, noted, .. } = &*self.record;
            let (mark, left_out, noted) = (*mark, left_out.clone(), noted.clone());
            self.search = Some(Search { fields: self.registration.fields.clone(), mark, left_out, noted, parts });
            return match mark {
                MarkSent::Yes => self.leave_out_mark(),
                MarkSent::No | MarkSent::NotNeeded => self.leave_out_next(),
            };
        };
        self.registration.fields = search.fields.clone();
        self.record.mark = search.mark;
        (self.record.left_out, self.record.noted) = (search.left_out.clone(), search.noted.clone());
        match search.parts.pop() {
            Some(part) => self.leave_out_refused(part),
            None => self.leave_out_everything(),
        }
        Ok(())
    }

    /// Leaves out fields whose values LeadSquared may refuse. The lead's notes have them.
    fn leave_out_refused(&mut self, names: Vec<String>) {
        let fields = &mut self.registration.fields;
        let taken: Vec<_> =
            names.into_iter().filter_map(|name| fields.remove(&name).map(|value| (name, value))).collect();
        let notes = fields.value(NOTES).map(|notes| format!("{notes}\n")).unwrap_or_default();
        // Markup may be what LeadSquared refuses.
        let typed = listed(&taken).replace('<', "\u{2039}").replace('>', "\u{203a}");
        fields.set(NOTES, format!("{notes}LeadSquared did not take these as fields: {typed}."));
        self.left_out_and_noted(taken);
    }

    fn leave_out_password(&mut self) {
        self.has_chosen_password = false;
        self.registration.password = self.random_password.clone();
        self.registration.fields.set(self.marking.field.as_str(), Unproven::new(false).to_string());
        self.record.left_out.push(PASSWORD.to_owned());
    }

    /// Leaves only the e-mail address, and notes with the rest.
    fn leave_out_everything(&mut self) {
        self.is_bare = true;
        self.registration.fields.remove(&self.marking.field);
        self.record.mark = MarkSent::No;
        let names = self.registration.fields.iter().map(|(name, _)| name.to_owned());
        self.leave_out_refused(names.filter(|name| name != EMAIL_ADDRESS).collect());
    }

    /// Adds a line about fields that are left out to the notes that the lead is registered with.
    fn add_note(&mut self, reason: &str, taken: Vec<(String, String)>) {
        let note = format!("{reason}: {}.", listed(&taken));
        let fields = &mut self.registration.fields;
        let notes = fields.value(NOTES).map_or(note.clone(), |notes| format!("{notes}\n{note}"));
        fields.set(NOTES, notes);
        self.left_out_and_noted(taken);
    }

    fn left_out_and_noted(&mut self, taken: Vec<(String, String)>) {
        let names = taken.into_iter().map(|(name, _)| name);
        self.record.noted.extend(names.clone());
        self.record.left_out.extend(names);
    }

    /// Reports what an operator should know about a registration that LeadSquared took.
    fn report(&self) {
        if let Some(left_out) = self.record.withheld() {
            (self.report)(&FlowEvent::Withheld { receipt: self.receipt, names: &left_out.withheld });
        }
        if self.search.is_some() && (self.is_bare || self.record.mark == MarkSent::Yes) {
            (self.report)(&FlowEvent::ValuesRefused { receipt: self.receipt, names: &self.record.noted });
        } else if self.record.mark == MarkSent::No {
            let refused = if self.is_mark_refused { RefusedMark::Field } else { RefusedMark::Value };
            (self.report)(&FlowEvent::Unmarked { receipt: self.receipt, field: &self.marking.field, refused });
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
