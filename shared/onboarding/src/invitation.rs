//! The invitation: the unit of work, and the queue's message in all its versions.

use std::fmt;
use std::str::FromStr;

use leadsquared::{Attributes, EmailAddress, LeadId};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::digest::{digest, hex_digest};

/// "Make this person a portal user and mail them a link."
///
/// On the queue it is one JSON object ([`Invitation::encode`]), with a version so that messages on their way survive a
/// deployment. `Debug` shows no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its idempotency key, which is also the sender's receipt.
    pub id: InvitationId,
    /// The system or page that asked for it.
    pub source: Source,
    /// When a receiving function accepted it.
    pub received_at: OffsetDateTime,
    /// The person to invite.
    pub invitee: Invitee,
    /// What to do for them.
    pub action: Action,
    /// The person's lead fields other than the e-mail address, in the sender's order.
    pub attributes: Attributes,
    /// The portal password they chose, if they chose one.
    pub password: Option<SealedPassword>,
    /// The name of the configured rule that asked for it, if one did.
    pub rule: Option<String>,
    /// How far the sender is trusted.
    pub provenance: Provenance,
    /// The name of the configured form that the applicant filled in, where the settings have several.
    pub form: Option<String>,
    /// The name of the configured portal to invite to, where the settings have several.
    pub portal: Option<String>,
    /// The language of its mail, as an IETF tag such as `hi`.
    pub language: Option<String>,
    /// The rules that its event alone does not decide.
    pub question: Option<RuleQuestion>,
    /// How many used links it replaces, in a message of an earlier release. The ledger counts them now
    /// ([`UsedLinks`](crate::UsedLinks)).
    pub used_links: u32,
}

/// How far the sender of an invitation is trusted.
///
/// It decides which parts of the message are used, such as a password. It never decides who may sign in: an identifier
/// in a message is unproven, whatever its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// Any visitor of a website.
    Public,
    /// A sender that proved itself with a form key. It passes on what visitors typed.
    Keyed,
    /// LeadSquared, or another system of the company.
    System,
}

/// Rules that need a look-up of the lead, because the event does not carry the fields that they depend on.
///
/// `Debug` shows no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleQuestion {
    /// The names of the undecided rules, in the order in which they are evaluated.
    pub rules: Vec<String>,
    /// The lead's fields as the event shows them, by schema name. A field that is not listed is unknown; one with an
    /// empty value is empty.
    pub known: Attributes,
}

/// The person an invitation is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invitee {
    /// The person with this address.
    Email(EmailAddress),
    /// A lead, at the address that LeadSquared has on record.
    Lead(LeadId),
}

/// What an invitation does for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Makes them a lead and a portal user if they are not, and mails a link.
    #[default]
    Invite,
    /// Mails a link to a person who is a lead; never makes a lead.
    MailLink,
    /// Appends an activity to a lead, with the attributes as its fields; mails nothing and never makes a lead.
    Activity,
}

/// A chosen password, encrypted, in Base64: the only form in which the queue holds one. Only the worker can decrypt it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedPassword(String);

impl SealedPassword {
    /// The Base64 text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SealedPassword {
    fn from(base64: String) -> Self {
        Self(base64)
    }
}

impl fmt::Debug for SealedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedPassword")
    }
}

/// The message of the log line by which a receiving function reports that an invitation is on the queue. The operator's
/// command `explain` looks for it.
///
/// SQS accepts a copy of a message of the last five minutes too, drops it, and does not say so. Of copies with the same
/// receipt this line is true all the same. A question of crm-event is a copy under a receipt of its own; its line names
/// the rules that are `undecided`.
pub const INVITATION_ACCEPTED: &str = "invitation accepted";

/// Where an invitation came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A submitted application form.
    Form,
    /// An event in LeadSquared.
    Crm,
    /// An event of another system.
    Bus,
    /// A request for a link.
    LinkRequest,
}

impl Source {
    /// Its word in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Crm => "crm",
            Self::Bus => "bus",
            Self::LinkRequest => "link-request",
        }
    }

    /// The provenance of a message before version 3, which has no such field.
    const fn provenance(self) -> Provenance {
        match self {
            Self::Form | Self::LinkRequest => Provenance::Public,
            Self::Crm | Self::Bus => Provenance::System,
        }
    }
}

impl Action {
    /// Its word in logs and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::MailLink => "mail-link",
            Self::Activity => "activity",
        }
    }
}

/// An invitation's identity: the same for every copy of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InvitationId(Uuid);

impl InvitationId {
    /// The id of an invitation that these parts identify. `["ab", "c"]` and `["a", "bc"]` give different ids.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let hash = digest(parts);
        let (half, _) = hash.split_first_chunk::<16>().expect("a SHA-256 hash has 32 bytes");
        Self(Uuid::new_v8(*half))
    }
}

impl InvitationId {
    /// The id in a message of any version, even one that this code cannot decode.
    pub fn of_message(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Named {
            id: InvitationId,
        }
        serde_json::from_str(text).ok().map(|Named { id }| id)
    }
}

impl FromStr for InvitationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A person without the address: the SHA-256 of the normalised e-mail address, in hexadecimal.
///
/// It is the key of the ledger's person record, and the message group of all invitations but questions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PersonKey(String);

impl PersonKey {
    /// The person behind an address.
    pub fn of(email: &EmailAddress) -> Self {
        Self(hex_digest([email.expose().as_bytes()]))
    }

    /// Whether this is the person behind an address. Links, messages and items of the ledger have the key of the
    /// spelling that was stored when they were made, so every spelling of the address counts.
    pub fn is_of(&self, email: &EmailAddress) -> bool {
        email.spellings().iter().any(|spelling| *self == Self::of(spelling))
    }

    /// A lead whose address is not known yet. This key differs from the key of the lead's address.
    pub fn of_lead(lead: &LeadId) -> Self {
        Self(hex_digest([&b"lead"[..], lead.to_string().as_bytes()]))
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PersonKey {
    type Err = MalformedPersonKey;

    fn from_str(text: &str) -> Result<Self, MalformedPersonKey> {
        let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Self(text.to_owned())).ok_or(MalformedPersonKey)
    }
}

/// Not the text of a [`PersonKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a person's key: 64 hexadecimal digits were expected")]
pub struct MalformedPersonKey;

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey")
    }
}

impl Invitation {
    /// An invitation with a person and an action only. Its provenance is the usual one of its source.
    pub fn new(
        id: InvitationId,
        source: Source,
        received_at: OffsetDateTime,
        invitee: Invitee,
        action: Action,
    ) -> Self {
        Self {
            id,
            source,
            received_at,
            invitee,
            action,
            attributes: Attributes::new(),
            password: None,
            rule: None,
            provenance: source.provenance(),
            form: None,
            portal: None,
            language: None,
            question: None,
            used_links: 0,
        }
    }

    /// The person that the message names.
    pub fn person(&self) -> PersonKey {
        match &self.invitee {
            Invitee::Email(email) => PersonKey::of(email),
            Invitee::Lead(lead) => PersonKey::of_lead(lead),
        }
    }

    /// The queue's message group, whose messages are handled one after another.
    ///
    /// It is the person, so that a person's invitations keep their order, apart from one that LeadSquared has long not
    /// answered, which gets [its own](Self::own_message_group). A question may wait for a look-up for weeks,
    /// so it is no part of that. Its group is the questions of one UTC day about the same lead and rules.
    pub fn message_group(&self) -> String {
        match &self.question {
            Some(question) => {
                let day = self.received_at.to_offset(UtcOffset::UTC).date();
                format!("question-{}-{day}", self.id_of(question))
            }
            None => self.person().as_str().to_owned(),
        }
    }

    /// A message group for this invitation alone.
    pub fn own_message_group(&self) -> String {
        format!("invitation-{}", self.id)
    }

    /// The queue's deduplication id. In five minutes, the queue keeps one of a group's messages that have the same.
    ///
    /// Questions about the same lead and rules share one. Other invitations have their own id, with a hash of the
    /// payload.
    pub fn deduplication_id(&self) -> String {
        let id = self.question.as_ref().map_or(self.id, |question| self.id_of(question));
        format!("{id}-{}", &self.payload_hash()[..16])
    }

    fn id_of(&self, question: &RuleQuestion) -> InvitationId {
        let rules = question.rules.iter().map(String::as_bytes);
        InvitationId::of([b"question", self.person().as_str().as_bytes()].into_iter().chain(rules))
    }

    /// A hash of the person and their attributes, in hexadecimal. The same id with another payload hash is a mistake of
    /// the sender. The password is not hashed: each sealing differs, and a hash of the plain password could be guessed.
    pub fn payload_hash(&self) -> String {
        let invitee = match &self.invitee {
            Invitee::Email(email) => email.expose().to_owned(),
            Invitee::Lead(lead) => lead.to_string(),
        };
        let fields = self.attributes.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        // The fields of version 3 are hashed only where they are present, so the hashes of earlier messages stay the
        // same.
        let form = self.form.iter().flat_map(|form| [&b"\0form"[..], form.as_bytes()]);
        let portal = self.portal.iter().flat_map(|portal| [&b"\0portal"[..], portal.as_bytes()]);
        hex_digest(std::iter::once(invitee.as_bytes()).chain(fields).chain(form).chain(portal))
    }

    /// The lowest version of the message that can carry this invitation. A function of an earlier release can then read
    /// it.
    fn version(&self) -> u64 {
        let is_plain = self.provenance == self.source.provenance()
            && self.form.is_none()
            && self.portal.is_none()
            && self.language.is_none()
            && self.question.is_none()
            && self.used_links == 0
            && self.action != Action::Activity;
        if is_plain { 2 } else { 3 }
    }

    /// The queue's message.
    pub fn encode(&self) -> String {
        let (email, lead) = match &self.invitee {
            Invitee::Email(email) => (Some(email.clone()), None),
            Invitee::Lead(lead) => (None, Some(*lead)),
        };
        let version = self.version();
        let message = Message {
            version,
            id: self.id,
            source: self.source,
            received_at: self.received_at,
            action: self.action,
            email,
            lead,
            attributes: listed(&self.attributes),
            password: self.password.clone(),
            rule: self.rule.clone(),
            provenance: (version >= 3).then_some(self.provenance),
            form: self.form.clone(),
            portal: self.portal.clone(),
            language: self.language.clone(),
            question: self.question.as_ref().map(Question::of),
            used_links: (self.used_links > 0).then_some(self.used_links),
        };
        serde_json::to_string(&message).expect("a message is plain data, which always serializes")
    }

    /// Reads the queue's message.
    ///
    /// # Errors
    /// When the text is not JSON, has an unknown version, or is not an invitation. The error shows no part of the text.
    pub fn decode(text: &str) -> Result<Self, MalformedInvitation> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_str(text).map_err(MalformedInvitation::unreadable)?;
        match version {
            0 => return Err(MalformedInvitation::UnknownVersion(version)),
            1..=VERSION => {}
            _ => return Err(MalformedInvitation::NewerVersion(version)),
        }
        let message: Message = serde_json::from_str(text).map_err(MalformedInvitation::unreadable)?;
        let invitee = match (message.email, message.lead) {
            (Some(email), None) => Invitee::Email(email),
            (None, Some(lead)) => Invitee::Lead(lead),
            _ => return Err(MalformedInvitation::NoPerson),
        };
        Ok(Self {
            id: message.id,
            source: message.source,
            received_at: message.received_at,
            invitee,
            action: message.action,
            attributes: message.attributes.into_iter().map(Attribute::into_pair).collect(),
            password: message.password,
            rule: message.rule,
            provenance: message.provenance.unwrap_or(message.source.provenance()),
            form: message.form,
            portal: message.portal,
            language: message.language,
            question: message.question.map(Question::into_question),
            used_links: message.used_links.unwrap_or_default(),
        })
    }
}

/// The newest version of the queue's message that this code reads and writes. Each message is written in the lowest
/// version that can carry it. After a rollback, the earlier release can still read most messages.
///
/// | version | added |
/// | --- | --- |
/// | 1 | an invitation by `email` with `attributes` and `password` |
/// | 2 | `action`, `lead` beside `email`, `rule` |
/// | 3 | `provenance`, `form`, `portal`, `language`, `question`, `used_links`, and the action `activity` |
///
/// A missing field keeps its earlier meaning: the action is `invite`, and the provenance is the usual one of the
/// source.
const VERSION: u64 = 3;

#[derive(Serialize, Deserialize)]
struct Message {
    version: u64,
    id: InvitationId,
    source: Source,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(default)]
    action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<EmailAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lead: Option<LeadId>,
    attributes: Vec<Attribute>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<SealedPassword>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    portal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    question: Option<Question>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_links: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Attribute {
    name: String,
    value: String,
}

impl Attribute {
    fn into_pair(self) -> (String, String) {
        (self.name, self.value)
    }
}

fn listed(attributes: &Attributes) -> Vec<Attribute> {
    attributes.iter().map(|(name, value)| Attribute { name: name.to_owned(), value: value.to_owned() }).collect()
}

#[derive(Serialize, Deserialize)]
struct Question {
    rules: Vec<String>,
    known: Vec<Attribute>,
}

impl Question {
    fn of(question: &RuleQuestion) -> Self {
        Self { rules: question.rules.clone(), known: listed(&question.known) }
    }

    fn into_question(self) -> RuleQuestion {
        RuleQuestion { rules: self.rules, known: self.known.into_iter().map(Attribute::into_pair).collect() }
    }
}

/// A message on the queue that cannot be decoded. A retry would not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedInvitation {
    /// Not JSON, or a field is missing or wrong. The error shows only the position, because `serde_json` would quote
    /// values.
    #[error("the message is not an invitation: reading it stopped at line {line}, column {column}")]
    Unreadable {
        /// Line of the message.
        line: usize,
        /// Column in that line.
        column: usize,
    },
    /// It names neither an address nor a lead, or it names both.
    #[error("the message names no person, or two: it must have either `email` or `lead`")]
    NoPerson,
    /// A version that no release has ever written.
    #[error("the message has version {0}, which no release has written")]
    UnknownVersion(u64),
    /// A newer release wrote it, as happens during a deployment.
    #[error("the message has version {0}, and this function reads versions up to {VERSION}: deploy the newer function")]
    NewerVersion(u64),
}

impl MalformedInvitation {
    fn unreadable(error: serde_json::Error) -> Self {
        Self::Unreadable { line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn asha() -> Invitation {
        let (id, at) = (InvitationId::of([&b"form"[..], b"1"]), datetime!(2026-01-02 03:04:05 UTC));
        let invitee = Invitee::Email("asha@example.test".parse().unwrap());
        Invitation {
            attributes: Attributes::new().with("FirstName", "Asha").with("mx_City", "Pune"),
            ..Invitation::new(id, Source::Form, at, invitee, Action::Invite)
        }
    }

    #[test]
    fn a_question_has_a_message_group_of_its_own() {
        let lead = Invitee::Lead("5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44".parse().unwrap());
        let event = |number: u8, rules: &[&str], at| {
            let question =
                RuleQuestion { rules: rules.iter().map(|rule| (*rule).to_owned()).collect(), known: Attributes::new() };
            let id = InvitationId::of([&[number][..]]);
            let invitation = Invitation::new(id, Source::Crm, at, lead.clone(), Action::Invite);
            Invitation { question: (!rules.is_empty()).then_some(question), ..invitation }
        };
        let (at, next_day) = (datetime!(2026-01-02 23:59 UTC), datetime!(2026-01-03 00:00 UTC));
        let question = event(1, &["stage"], at);
        let decided = event(2, &[], at);
        assert_eq!(decided.message_group(), decided.person().as_str());
        let is_of_its_group = |other: Invitation| other.message_group() == question.message_group();
        assert!(!is_of_its_group(decided.clone()));
        assert!(is_of_its_group(event(3, &["stage"], at)), "the queue drops it as a repeat");
        assert!(!is_of_its_group(event(4, &["stage", "score"], at)), "other rules");
        assert!(!is_of_its_group(event(5, &["stage"], next_day)), "the next day's change does not wait for it");
        // What SQS permits.
        assert!(question.message_group().len() <= 128 && question.message_group().is_ascii());

        let again = event(3, &["stage"], at);
        assert_eq!(again.deduplication_id(), question.deduplication_id());
        assert_ne!(decided.deduplication_id(), Invitation { id: again.id, ..decided }.deduplication_id());
    }

    #[test]
    fn the_message_is_versioned_json_that_reads_back() {
        let text = asha().encode();
        assert_eq!(
            text,
            format!(
                concat!(
                    r#"{{"version":2,"id":"{}","source":"form","received_at":"2026-01-02T03:04:05Z","action":"invite","email":"asha@example.test","#,
                    r#""attributes":[{{"name":"FirstName","value":"Asha"}},{{"name":"mx_City","value":"Pune"}}]}}"#
                ),
                asha().id
            )
        );
        assert_eq!(Invitation::decode(&text).unwrap(), asha());
    }

    #[test]
    fn a_lead_and_the_rule_that_asked_travel_along() {
        let lead: LeadId = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let (rule, action) = (Some("stage".to_owned()), Action::MailLink);
        let (source, provenance) = (Source::Crm, Provenance::System);
        let invitation = Invitation { source, provenance, invitee: Invitee::Lead(lead), action, rule, ..asha() };
        assert!(invitation.encode().contains(r#""action":"mail-link","lead":"11111111-"#), "{}", invitation.encode());
        assert_eq!(Invitation::decode(&invitation.encode()).unwrap(), invitation);
        assert_ne!(invitation.person(), asha().person());
        let both = asha().encode().replace(r#""attributes""#, &format!(r#""lead":"{lead}","attributes""#));
        assert_eq!(Invitation::decode(&both), Err(MalformedInvitation::NoPerson));
    }

    #[test]
    fn a_message_of_the_first_version_is_an_invitation_by_e_mail() {
        let second = asha().encode();
        let first = second.replace(r#""version":2"#, r#""version":1"#).replace(r#""action":"invite","#, "");
        assert_ne!(first, second);
        assert_eq!(Invitation::decode(&first).unwrap(), asha());
    }

    #[test]
    fn a_message_is_written_in_the_lowest_version_that_says_all_of_it() {
        let lead: LeadId = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let crm = Invitation::new(asha().id, Source::Crm, asha().received_at, Invitee::Lead(lead), Action::MailLink);
        for plain in [asha(), crm.clone()] {
            assert!(plain.encode().starts_with(r#"{"version":2,"#), "{}", plain.encode());
        }
        let known = Attributes::new().with("ProspectStage", "Applied").with("mx_Program", "");
        for (newer, says) in [
            (Invitation { provenance: Provenance::Keyed, ..asha() }, r#""provenance":"keyed""#),
            (Invitation { form: Some("law".to_owned()), ..asha() }, r#""provenance":"public","form":"law""#),
            (Invitation { portal: Some("law".to_owned()), ..asha() }, r#""portal":"law""#),
            (Invitation { language: Some("hi".to_owned()), ..asha() }, r#""language":"hi""#),
            (Invitation { action: Action::Activity, ..crm.clone() }, r#""action":"activity""#),
            (Invitation { used_links: 2, ..crm.clone() }, r#""used_links":2"#),
            (
                Invitation { question: Some(RuleQuestion { rules: vec!["stage".to_owned()], known }), ..crm },
                concat!(
                    r#""question":{"rules":["stage"],"known":[{"name":"ProspectStage","value":"Applied"},"#,
                    r#"{"name":"mx_Program","value":""}]}"#
                ),
            ),
        ] {
            let text = newer.encode();
            assert!(text.starts_with(r#"{"version":3,"#) && text.contains(says), "{text}");
            assert_eq!(Invitation::decode(&text), Ok(newer));
        }
    }

    #[test]
    fn the_same_person_for_another_form_or_portal_is_another_payload() {
        let of_form = |form: &str| Invitation { form: Some(form.to_owned()), ..asha() };
        let of_portal = |portal: &str| Invitation { portal: Some(portal.to_owned()), ..asha() };
        let all = [asha(), of_form("law"), of_form("arts"), of_portal("law")].map(|it| it.payload_hash());
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn a_sealed_password_travels_along_and_is_no_part_of_the_payload() {
        let with = Invitation { password: Some(SealedPassword::from("c2VhbGVk".to_owned())), ..asha() };
        assert!(with.encode().ends_with(r#","password":"c2VhbGVk"}"#), "{}", with.encode());
        assert_eq!(Invitation::decode(&with.encode()).unwrap(), with);
        assert_eq!(with.payload_hash(), asha().payload_hash());
        assert!(!format!("{with:?}").contains("c2VhbGVk"));
    }

    #[test]
    fn a_malformed_invitation_is_reported_by_its_position_only() {
        let canary = "canary@example";
        let unreadable = |line, column| Err(MalformedInvitation::Unreadable { line, column });
        assert_eq!(Invitation::decode(""), unreadable(1, 0));
        assert_eq!(Invitation::decode("{}"), unreadable(1, 2));
        assert_eq!(Invitation::decode(r#"{"version":7}"#), Err(MalformedInvitation::NewerVersion(7)));
        assert_eq!(Invitation::decode(r#"{"version":0}"#), Err(MalformedInvitation::UnknownVersion(0)));
        let error = Invitation::decode(&asha().encode().replace("asha@example.test", canary)).unwrap_err();
        assert!(matches!(error, MalformedInvitation::Unreadable { .. }));
        assert!(!format!("{error} {error:?}").contains(canary), "{error}");
    }

    #[test]
    fn an_id_is_a_uuid_and_its_parts_do_not_run_together() {
        let id = InvitationId::of([&b"ab"[..], b"c"]);
        assert_ne!(id, InvitationId::of([&b"a"[..], b"bc"]));
        assert_eq!(id, id.to_string().parse().unwrap());
    }

    #[test]
    fn the_payload_hash_depends_on_the_payload_and_not_on_the_id() {
        let later = Invitation {
            id: InvitationId::of([&b"form"[..], b"2"]),
            received_at: datetime!(2027-01-01 0:00 UTC),
            ..asha()
        };
        assert_eq!(asha().payload_hash(), later.payload_hash());
        let other =
            Invitation { attributes: Attributes::new().with("FirstName", "Asha").with("mx_City", "Puna"), ..asha() };
        assert_ne!(asha().payload_hash(), other.payload_hash());
    }

    #[test]
    fn printing_an_invitation_shows_no_personal_data() {
        let printed = format!("{:?} {:?}", asha(), asha().person());
        for canary in ["asha@", "\"Asha\"", "Pune", asha().person().as_str()] {
            assert!(!printed.contains(canary), "{printed}");
        }
    }

    proptest! {
        #[test]
        fn every_invitation_survives_the_queue(values in prop::collection::vec(("[A-Za-z_]{1,12}", ".{0,30}"), 0..6)) {
            let invitation = Invitation { attributes: values.into_iter().collect(), ..asha() };
            prop_assert_eq!(Invitation::decode(&invitation.encode()), Ok(invitation));
        }

        #[test]
        fn no_message_makes_decoding_panic(text in ".{0,200}") {
            prop_assert!(Invitation::decode(&text).is_err());
        }
    }
}
