//! The types of events: what each may hold, and the invitation it asks for.

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ErrorIterator, ValidationError};
use leadsquared::{Attributes, CallingCode, EmailAddress, LeadId, Phone, schema_name, text};
use onboarding::{Action, Invitee, Private};
use serde::Deserialize;
use serde_json::Value;
use web::FieldError;

/// The invitation that an event asks for. `Debug` shows no personal data.
#[derive(Debug, PartialEq, Eq)]
pub struct InvitationRequest {
    /// The person to invite.
    pub invitee: Invitee,
    /// What to do for the person.
    pub action: Action,
    /// The lead's attributes, by schema name.
    pub attributes: Attributes,
    /// The sender's own `idempotencyKey`, if the event has one.
    pub key: Option<Private<String>>,
}

/// Why an event is refused for good. No text repeats a value of the event, nor a name that is not in its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The envelope is unknown, or holds no event.
    #[error(
        "the event must be an EventBridge event, an SNS message, an HTTP request, or an object with the texts detail-type and (optional) id"
    )]
    NoEvent,
    /// A part that must be JSON is not.
    #[error("the {0} is not JSON")]
    NotJson(&'static str),
    /// The type of the event is unknown.
    #[error("the detail-type must be one of {}", detail_types().collect::<Vec<_>>().join(", "))]
    UnknownType,
    /// The version of the event is unknown.
    #[error("the version of the {detail_type} is not {known}, the only supported one")]
    UnknownVersion {
        /// The type of the event.
        detail_type: &'static str,
        /// The supported version.
        known: &'static str,
    },
    /// The detail does not fit its schema.
    #[error("the detail of the {detail_type} does not fit its schema: {}", in_words(faults))]
    Detail {
        /// The type of the event.
        detail_type: &'static str,
        /// Every error in the detail; a field is the JSON pointer to a place in it.
        faults: Vec<FieldError>,
    },
    /// An event with the same id and other content arrived before.
    #[error("another event came with the same id or idempotencyKey: send this one under another")]
    OtherContent,
}

/// A type of event. Its published schema is compiled into the function, so that the two cannot differ.
struct EventType {
    detail_type: &'static str,
    version: &'static str,
    action: Action,
    schema: &'static str,
    errors: for<'a> fn(&'a Value) -> ErrorIterator<'a>,
}

const EVENT_TYPES: [EventType; 3] = [
    EventType {
        detail_type: "ApplicationSubmitted",
        version: "1",
        action: Action::Invite,
        schema: include_str!("../../../events/schemas/ApplicationSubmitted.v1.json"),
        errors: ApplicationSubmitted::iter_errors,
    },
    EventType {
        detail_type: "InvitationRequested",
        version: "1",
        action: Action::Invite,
        schema: include_str!("../../../events/schemas/InvitationRequested.v1.json"),
        errors: InvitationRequested::iter_errors,
    },
    EventType {
        detail_type: "LoginLinkRequested",
        version: "1",
        action: Action::MailLink,
        schema: include_str!("../../../events/schemas/LoginLinkRequested.v1.json"),
        errors: LoginLinkRequested::iter_errors,
    },
];

#[jsonschema::validator(
    path = "../../events/schemas/ApplicationSubmitted.v1.json",
    validate_formats = true,
    formats = { "email" => crate::detail::is_email_address },
    pattern_options = { engine = regex },
    methods = { is_valid = false, validate = false },
)]
struct ApplicationSubmitted;

#[jsonschema::validator(
    path = "../../events/schemas/InvitationRequested.v1.json",
    validate_formats = true,
    formats = { "uuid" => crate::detail::is_lead_id },
    pattern_options = { engine = regex },
    methods = { is_valid = false, validate = false },
)]
struct InvitationRequested;

#[jsonschema::validator(
    path = "../../events/schemas/LoginLinkRequested.v1.json",
    validate_formats = true,
    formats = { "email" => crate::detail::is_email_address, "uuid" => crate::detail::is_lead_id },
    pattern_options = { engine = regex },
    methods = { is_valid = false, validate = false },
)]
struct LoginLinkRequested;

fn is_email_address(text: &str) -> bool {
    text.parse::<EmailAddress>().is_ok()
}

fn is_lead_id(text: &str) -> bool {
    text.parse::<LeadId>().is_ok()
}

/// The supported types of events.
pub fn detail_types() -> impl Iterator<Item = &'static str> {
    EVENT_TYPES.iter().map(|event_type| event_type.detail_type)
}

/// Reads the detail of an event of this type. A phone number of `default_country` must be one that the country has
/// assigned.
///
/// # Errors
/// When the type or its version is unknown, or the detail does not fit its schema; the error names every fault.
pub fn read(detail_type: &str, mut detail: Value, default_country: CallingCode) -> Result<InvitationRequest, Refusal> {
    let event_type = EVENT_TYPES.iter().find(|known| known.detail_type == detail_type).ok_or(Refusal::UnknownType)?;
    let EventType { detail_type, version: known, action, .. } = *event_type;
    if detail["version"].as_str().is_some_and(|version| version != known) {
        // The rest may be right in that version, so it is not checked.
        return Err(Refusal::UnknownVersion { detail_type, known });
    }
    let mut faults = event_type.faults(&detail);
    faults.extend(normalise_phones(&mut detail, default_country));
    if !faults.is_empty() {
        return Err(Refusal::Detail { detail_type, faults });
    }
    let detail: Detail = serde_json::from_value(detail).map_err(|_| {
        let detail = "cannot be read, although it fits: the schema lets too much through".to_owned();
        Refusal::Detail { detail_type, faults: vec![FieldError::new("", detail)] }
    })?;
    Ok(InvitationRequest {
        invitee: match detail.person {
            Person::Email(email) => Invitee::Email(email),
            Person::LeadId(lead) => Invitee::Lead(lead),
        },
        action,
        attributes: detail.attributes.into_iter().map(|(name, value)| (name, text::harmless(&value))).collect(),
        key: detail.idempotency_key.map(Private::new),
    })
}

/// Writes each phone number as LeadSquared stores it, and removes an empty one. Returns a fault for each text that is
/// no number.
fn normalise_phones(detail: &mut Value, default_country: CallingCode) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let Some(attributes) = detail.get_mut("attributes").and_then(Value::as_object_mut) else { return faults };
    for name in schema_name::PHONE_NUMBERS {
        let Some(Value::String(text)) = attributes.get_mut(name) else { continue };
        match Phone::parse_international(text, default_country) {
            _ if text::trim(text).is_empty() => drop(attributes.remove(name)),
            Ok(phone) => *text = phone.into(),
            Err(reason) => {
                let detail = format!("must be a phone number with its country, such as +91-9000000001; {reason}");
                faults.push(FieldError::new(format!("/attributes/{name}"), detail));
            }
        }
    }
    faults
}

/// A detail that fits its schema. The attributes are sorted by name, so that their order does not matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(flatten)]
    person: Person,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Person {
    Email(EmailAddress),
    LeadId(LeadId),
}

impl Refusal {
    /// A short name of the mistake, the same for every event with the same mistake. Dead letters are grouped by it.
    pub fn cause(&self) -> String {
        match self {
            Self::NoEvent => "no event".to_owned(),
            Self::NotJson(_) => "no JSON".to_owned(),
            Self::UnknownType => "unknown detail-type".to_owned(),
            Self::OtherContent => "id of another event".to_owned(),
            Self::UnknownVersion { detail_type, .. } => format!("{detail_type}: unknown version"),
            Self::Detail { detail_type, faults } => {
                let places: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
                format!("{detail_type}: {}", places.join(" "))
            }
        }
    }
}

fn in_words(faults: &[FieldError]) -> String {
    let words = |fault: &FieldError| match fault.field.as_str() {
        "" => format!("it {}", fault.detail),
        place => format!("{place} {}", fault.detail),
    };
    faults.iter().map(words).collect::<Vec<_>>().join("; ")
}

impl EventType {
    /// Every fault of the detail, in the words of the schema's descriptions. The event's own words are not repeated.
    fn faults(&self, detail: &Value) -> Vec<FieldError> {
        let mut errors = (self.errors)(detail).peekable();
        if errors.peek().is_none() {
            return Vec::new();
        }
        let schema = self.schema();
        let mut faults = Vec::new();
        for fault in errors.map(|error| fault(&schema, &error)) {
            // Two invalid names have the same text, because neither is repeated.
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        faults
    }

    fn schema(&self) -> Value {
        serde_json::from_str(self.schema).expect("what does not parse does not compile")
    }
}

fn fault(schema: &Value, error: &ValidationError<'_>) -> FieldError {
    let field = place(schema, error.instance_path().as_str());
    let rule = error.schema_path().as_str();
    let expected = description(schema, rule);
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let expected = description(schema, &format!("/properties/{name}"));
            FieldError::new(format!("{field}/{name}"), format!("is missing: {expected}"))
        }
        ValidationErrorKind::AdditionalProperties { .. } => {
            let names: Vec<_> = schema["properties"].as_object().into_iter().flat_map(|it| it.keys()).collect();
            let names = names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            FieldError::new(field, format!("must have no fields other than {names}"))
        }
        ValidationErrorKind::Format { format } if format == "email" => {
            let text = error.instance().as_str().unwrap_or_default();
            let reason = text.parse::<EmailAddress>().err().map(|reason| format!("; {reason}")).unwrap_or_default();
            FieldError::new(field, format!("must be {expected}{reason}"))
        }
        _ if rule.contains("/propertyNames") => FieldError::new(field, format!("has a name that is not {expected}")),
        _ => FieldError::new(field, format!("must be {expected}")),
    }
}

/// The JSON pointer, with a `*` for every name that is not in the schema.
fn place(schema: &Value, pointer: &str) -> String {
    let mut known = schema;
    let mut place = String::new();
    for name in pointer.split('/').skip(1) {
        known = &known["properties"][name];
        place.push('/');
        place.push_str(if known.is_null() { "*" } else { name });
    }
    place
}

/// The schema's description of what is expected where this rule applies.
fn description<'a>(schema: &'a Value, rule: &str) -> &'a str {
    let ends = rule.match_indices('/').map(|(end, _)| end).chain([rule.len()]).rev();
    let mut described = ends.filter_map(|end| schema.pointer(&rule[..end])?["description"].as_str());
    described.next().unwrap_or("as the schema has it")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LEAD: &str = "11111111-1111-4111-8111-111111111111";

    fn read(detail_type: &str, detail: Value) -> Result<InvitationRequest, Refusal> {
        super::read(detail_type, detail, CallingCode(91))
    }

    fn faults(detail_type: &str, detail: Value) -> Vec<(String, String)> {
        match read(detail_type, detail) {
            Err(Refusal::Detail { faults, .. }) => {
                faults.into_iter().map(|fault| (fault.field, fault.detail)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn owned(faults: &[(&str, &str)]) -> Vec<(String, String)> {
        faults.iter().map(|(field, detail)| ((*field).to_owned(), (*detail).to_owned())).collect()
    }

    #[test]
    fn each_type_asks_for_its_action_for_its_person() {
        let application = json!({
            "version": "1", "email": " Asha@Example.TEST", "idempotencyKey": "order-1",
            "attributes": {"mx_City": "Pune", "FirstName": "Asha", "Phone": "+91-9000000001", "Notes": "a\tb\r\nc \u{1F600}"},
        });
        let attributes =
            [("FirstName", "Asha"), ("Notes", "a\tb\r\nc \u{1F600}"), ("Phone", "+91-9000000001"), ("mx_City", "Pune")];
        let (asha, lead) = (Invitee::Email("asha@example.test".parse().unwrap()), Invitee::Lead(LEAD.parse().unwrap()));
        let request = |invitee: &Invitee, action| InvitationRequest {
            invitee: invitee.clone(),
            action,
            attributes: Attributes::new(),
            key: None,
        };
        assert_eq!(
            read("ApplicationSubmitted", application).unwrap(),
            InvitationRequest {
                attributes: attributes.into_iter().collect(),
                key: Some(Private::new("order-1".to_owned())),
                ..request(&asha, Action::Invite)
            }
        );
        for (detail_type, detail, expected) in [
            ("InvitationRequested", json!({"version": "1", "leadId": LEAD}), request(&lead, Action::Invite)),
            ("LoginLinkRequested", json!({"version": "1", "leadId": LEAD}), request(&lead, Action::MailLink)),
            (
                "LoginLinkRequested",
                json!({"version": "1", "email": "asha@example.test"}),
                request(&asha, Action::MailLink),
            ),
        ] {
            assert_eq!(read(detail_type, detail).unwrap(), expected);
        }
    }

    #[test]
    fn every_fault_is_named_with_its_place_and_what_was_expected() {
        let detail = json!({
            "version": 1, "emal": "asha@example.test", "idempotencyKey": "",
            "attributes": {"Phone": "9000000001", "Mobile": 9000000001_u64, "a b": "x", "ProspectID": "x", "mx_X": 3, "mx_Y": "\u{0}"},
        });
        let mut found = faults("ApplicationSubmitted", detail);
        found.sort();
        let mut expected = owned(&[
            ("", "must have no fields other than attributes, email, idempotencyKey, version"),
            (
                "/attributes",
                "has a name that is not the schema name of a lead field that an applicant may fill in, such as FirstName or mx_City",
            ),
            (
                "/attributes/*",
                "must be text of at most 4000 characters, without control characters other than tabs and line ends",
            ),
            ("/attributes/Mobile", "must be a phone number with its country, such as +91-9000000001, as text"),
            (
                "/attributes/Phone",
                "must be a phone number with its country, such as +91-9000000001; it names no country; begin it with + and \
                 the country's calling code",
            ),
            ("/email", "is missing: the person's e-mail address, such as name@example.com"),
            (
                "/idempotencyKey",
                "must be the sender's own key, 1 to 255 characters, the same for every copy of this event",
            ),
            ("/version", "must be the text \"1\""),
        ]);
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_phone_number_with_its_country_is_written_as_leadsquared_stores_it() {
        let event = |phone: &str| json!({"version": "1", "email": "asha@example.test", "attributes": {"Phone": phone, "Mobile": "+1-6502530000"}});
        for (phone, stored) in [
            ("+919000000001", "+91-9000000001"),
            ("+91-9000000001", "+91-9000000001"),
            (" +91 90000 00001", "+91-9000000001"),
            ("+91 (90000) 00001", "+91-9000000001"),
            ("0091 9000000001", "+91-9000000001"),
            ("tel:+91-90000-00001", "+91-9000000001"),
            ("\u{202a}+91\u{a0}90000\u{2011}00001\u{202c}", "+91-9000000001"),
            ("\u{ff0b}919000000001", "+91-9000000001"),
            ("+1 (650) 253-0000", "+1-6502530000"),
            ("+971 50 123 4567", "+971-501234567"),
            ("whatsapp:+919745786257", "+91-9745786257"),
            ("p:+919000000001", "+91-9000000001"),
            ("+91 90329 85387", "+91-9032985387"),
            ("+5215512345678", "+52-5512345678"),
        ] {
            let read = read("ApplicationSubmitted", event(phone)).unwrap();
            let expected = [("Mobile", "+1-6502530000"), ("Phone", stored)].into_iter().collect();
            assert_eq!(read.attributes, expected, "{phone}");
        }
        for (phone, reason) in [
            ("9000000001", "it names no country"),
            ("+91 90000 0000", "it has one digit too few for India"),
            ("+91-900000000112", "it has two digits too many for India"),
            ("+999 9000000001", "no country has the calling code"),
            ("+91", "it is not one phone number"),
            ("51096468", "it names no country"),
            ("+55119876543210", "it has one digit too many for Brazil"),
            ("null", "it is not one phone number"),
        ] {
            let found = faults("ApplicationSubmitted", event(phone));
            assert_eq!((found.len(), found[0].0.as_str()), (1, "/attributes/Phone"), "{phone}");
            assert!(found[0].1.contains(reason), "{phone}: {}", found[0].1);
        }
    }

    #[test]
    fn a_typed_formula_is_stored_harmless() {
        let attributes = json!({"FirstName": "=1+cmd|1", "Phone": "+919000000001", "mx_City": "-5"});
        let event = json!({"version": "1", "email": "asha@example.test", "attributes": attributes});
        let stored = [("FirstName", "'=1+cmd|1"), ("Phone", "+91-9000000001"), ("mx_City", "-5")];
        assert_eq!(read("ApplicationSubmitted", event).unwrap().attributes, stored.into_iter().collect());
    }

    #[test]
    fn an_empty_phone_number_counts_as_absent() {
        for empty in ["", " ", "\u{200b}"] {
            let attributes = json!({"FirstName": "Asha", "Phone": empty, "Mobile": empty});
            let event = json!({"version": "1", "email": "asha@example.test", "attributes": attributes});
            let expected = [("FirstName", "Asha")].into_iter().collect();
            assert_eq!(read("ApplicationSubmitted", event).unwrap().attributes, expected, "{empty:?}");
        }
    }

    #[test]
    fn an_invalid_address_is_refused_with_its_reason() {
        for (email, reason) in [
            ("asha", "it lacks the @"),
            ("asha@gmail.com?subject=x", "is not a domain"),
            ("आशा@example.com", "characters that mail servers do not accept"),
            ("asha@192.168.1.1", "is not a domain"),
            ("a\u{200b}sha@example.test", "an invisible character"),
        ] {
            for detail_type in ["ApplicationSubmitted", "LoginLinkRequested"] {
                let found = faults(detail_type, json!({"version": "1", "email": email}));
                assert_eq!(found[0].0, "/email", "{email}");
                assert!(found[0].1.contains(reason), "{email}: {}", found[0].1);
            }
        }
    }

    #[test]
    fn a_link_request_names_exactly_one_person() {
        let both = json!({"version": "1", "email": "asha@example.test", "leadId": LEAD});
        for detail in [both, json!({"version": "1"})] {
            let expected = owned(&[("", "must be about one person, with either email or leadId")]);
            assert_eq!(faults("LoginLinkRequested", detail), expected);
        }
    }

    #[test]
    fn a_detail_that_is_no_object_and_an_invalid_address_are_faults() {
        for detail in [json!(null), json!("text"), json!([])] {
            assert_eq!(faults("InvitationRequested", detail)[0].0, "");
        }
        for email in ["asha", "asha@localhost", "a@example.test,b@example.test", ""] {
            assert_eq!(
                faults("ApplicationSubmitted", json!({"version": "1", "email": email}))[0].0,
                "/email",
                "{email}"
            );
        }
        let lead = "{11111111-1111-4111-8111-111111111111}";
        assert_eq!(faults("InvitationRequested", json!({"version": "1", "leadId": lead}))[0].0, "/leadId");
    }

    #[test]
    fn an_unknown_type_or_version_is_refused_with_the_supported_ones() {
        assert_eq!(
            read("ApplicationWithdrawn", json!({})).unwrap_err().to_string(),
            "the detail-type must be one of ApplicationSubmitted, InvitationRequested, LoginLinkRequested"
        );
        // Only the version is named: the rest may be right in that version.
        let newer = json!({"version": "2", "person": {"email": "asha@example.test"}});
        assert_eq!(
            read("ApplicationSubmitted", newer).unwrap_err().to_string(),
            "the version of the ApplicationSubmitted is not 1, the only supported one"
        );
    }

    #[test]
    fn a_schema_describes_each_of_its_properties() {
        for kind in EVENT_TYPES {
            let schema = kind.schema();
            assert_eq!(schema["title"], format!("{}, version {}", kind.detail_type, kind.version));
            for (name, property) in schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{}: {name}", kind.detail_type);
            }
        }
    }

    #[test]
    fn a_field_that_only_the_worker_sets_is_no_attribute() {
        for name in ["ProspectID", "mx_Portal_Password", "mx_Portal_Confirm_Password", "EmailAddress"] {
            let detail = json!({"version": "1", "email": "asha@example.test", "attributes": {name: "x"}});
            assert_eq!(faults("ApplicationSubmitted", detail)[0].0, "/attributes", "{name}");
        }
    }

    /// Objects that are nearly valid, made of the names and values that matter and of arbitrary ones.
    fn details() -> impl Strategy<Value = Value> {
        let value = prop_oneof![
            Just(json!("1")),
            Just(json!("asha@example.test")),
            Just(json!(LEAD)),
            Just(json!({"FirstName": "Asha", "c4nary": "c4nary"})),
            Just(json!({"Phone": "+91-9000000001", "c4nary name": "c4nary"})),
            Just(json!({"Mobile": "c4nary", "mx_C4nary": ["c4nary"]})),
            Just(json!(["c4nary"])),
            "c4nary[\\PC]{0,4}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
        ];
        let name = prop_oneof!["version|email|leadId|attributes|idempotencyKey", Just("c4nary".to_owned())];
        prop::collection::btree_map(name, value, 0..6).prop_map(|fields| {
            let mut detail: serde_json::Map<_, _> = fields.into_iter().collect();
            // With another version the rest would not be checked.
            detail.entry("version").or_insert(json!("1"));
            Value::Object(detail)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_valid_detail_is_read_and_a_refusal_repeats_no_value(
            detail_type in "ApplicationSubmitted|InvitationRequested|LoginLinkRequested|c4nary",
            detail in details(),
        ) {
            if let Err(refusal) = read(&detail_type, detail) {
                let text = format!("{refusal} {refusal:?} {}", refusal.cause());
                prop_assert!(!text.to_lowercase().contains("c4nary"), "{}", text);
                prop_assert!(!text.contains("cannot be read"), "{}", text);
            }
        }
    }
}
