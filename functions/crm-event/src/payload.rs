//! What LeadSquared posts, as events.

use std::collections::BTreeMap;
use std::fmt;

use leadsquared::{ActivityId, LeadId, date_time};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// Something that happened in LeadSquared. `Debug` shows no field of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whom it happened to.
    pub lead: LeadId,
    /// What happened.
    pub what: What,
    /// The lead's fields after it, or the activity's.
    pub fields: Fields,
}

/// What happened to a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The lead is new.
    Created,
    /// Fields of the lead changed.
    Changed(Change),
    /// An activity was posted on the lead, or changed.
    Activity {
        /// Its id.
        id: ActivityId,
        /// The code of its type, such as `201`.
        code: String,
    },
}

/// What is known of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When the lead was modified: to the second, or as it came where that is no time.
    pub modified: Modified,
    /// Whether that is when the lead was written the last time and not when this changed: a score rises with an activity,
    /// and the lead's time stands still.
    pub is_time_older: bool,
    /// What the fields held before.
    before: Fields,
    /// Whether a field that `before` does not have was empty before; unchanged if not.
    before_is_whole: bool,
    /// The field that the event is named after.
    named: Option<&'static str>,
}

/// The time of a change. `Debug` does not show a text that is no time: it can be anything.
#[derive(Clone, PartialEq, Eq)]
pub enum Modified {
    /// In UTC, to the second.
    At(OffsetDateTime),
    /// A text that is no time.
    Unreadable(String),
}

/// Fields by schema name. LeadSquared's null and empty text are the same as no field at all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// The field's text; empty for one that is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fields", self.0.len())
    }
}

impl fmt::Debug for Modified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => write!(f, "At({time})"),
            Self::Unreadable(_) => f.write_str("Unreadable"),
        }
    }
}

impl Change {
    /// Whether the field changed, where `after` are the fields now. `None` if not, otherwise what it held before, which may
    /// not be known.
    pub fn of(&self, field: &str, after: &Fields) -> Option<Option<&str>> {
        match self.before.0.get(field) {
            Some(before) => (before != after.get(field)).then_some(Some(before.as_str())),
            None if self.before_is_whole => (!after.get(field).is_empty()).then_some(Some("")),
            None => (self.named == Some(field)).then_some(None),
        }
    }
}

/// Why a body, or one element of it, is no event. Shows nothing of it but names that LeadSquared has for things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The webhook is one for something that no rule can be about.
    #[error(
        "the webhook is for {0}, of which this address takes no events: it takes lead create, update, field, stage, owner and score change, activity create and update"
    )]
    OtherEvent(String),
    /// Neither JSON nor a form.
    #[error(
        "the body must be a JSON object or array, or a form with one: reading it stopped at line {line}, column {column}"
    )]
    Unreadable {
        /// Line of the body.
        line: usize,
        /// Column in that line.
        column: usize,
    },
    /// JSON, but neither an object nor an array.
    #[error("the body must be a JSON object or array, not a single value")]
    NoObject,
    /// An element of the array that is no object.
    #[error("event {0} must be a JSON object")]
    NotAnObject(usize),
    /// A field that is missing or not what it must be.
    #[error("event {number}: {field} must be {expected}")]
    Field {
        /// Which event of the body, from 1.
        number: usize,
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// Reads a body whatever its content type says: LeadSquared sends the same JSON as `application/json`, as `text/plain` and
/// inside a form (<https://apidocs.leadsquared.com/webhook-best-practices/>).
///
/// `event_type` is the query parameter of that name; without one, the shape tells what an event is.
///
/// # Errors
/// For the body as a whole, or for one of its events, which then does not keep the others from being read.
pub fn read(body: &[u8], event_type: Option<&str>) -> Result<Vec<Result<Event, Malformed>>, Malformed> {
    let kind = event_type.filter(|text| !text.is_empty()).map(Kind::named).transpose()?;
    let events = match json(body)? {
        Value::Array(events) => events,
        event @ Value::Object(_) => vec![event],
        _ => return Err(Malformed::NoObject),
    };
    let numbered = events.into_iter().enumerate();
    Ok(numbered
        .map(|(position, event)| match event {
            Value::Object(members) => Members { number: position + 1, members }.event(kind),
            _ => Err(Malformed::NotAnObject(position + 1)),
        })
        .collect())
}

/// What kind of thing an event tells.
#[derive(Clone, Copy)]
enum Kind {
    Created,
    /// With the field that such an event is about, where its name says so.
    Changed(Option<&'static str>),
    Activity,
}

impl Kind {
    /// The kind by LeadSquared's name (<https://apidocs.leadsquared.com/webhooks/>).
    fn named(event_type: &str) -> Result<Self, Malformed> {
        const NAMES: [(&str, Kind); 8] = [
            ("Lead_Post_Create", Kind::Created),
            ("Lead_Post_Update", Kind::Changed(None)),
            ("Lead_Field_Change", Kind::Changed(None)),
            ("Lead_Post_Stage_Change", Kind::Changed(Some("ProspectStage"))),
            ("Lead_Owner_Change", Kind::Changed(Some("OwnerId"))),
            ("Lead_Score_Change", Kind::Changed(Some("Score"))),
            ("LeadActivity_Post_Create", Kind::Activity),
            ("LeadActivity_Post_Update", Kind::Activity),
        ];
        let known = NAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(event_type));
        known.map(|(_, kind)| kind).ok_or_else(|| {
            let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let name = Some(event_type).filter(|text| text.len() <= 40 && is_name(text));
            Malformed::OtherEvent(name.unwrap_or("something else").to_owned())
        })
    }
}

fn json(body: &[u8]) -> Result<Value, Malformed> {
    let body = String::from_utf8_lossy(body);
    let body = body.trim_start_matches('\u{feff}').trim();
    tolerant(body).or_else(|error| {
        let unreadable = Malformed::Unreadable { line: error.line(), column: error.column() };
        match body.starts_with(['{', '[']) {
            true => Err(unreadable),
            false => form(body.as_bytes()).ok_or(unreadable),
        }
    })
}

/// JSON in which a text may end in half a character, as a note does that some system cut to length. A minute's activities
/// come in one body, where one such note must not cost the others.
fn tolerant(json: &str) -> serde_json::Result<Value> {
    serde_json::from_str(json).or_else(|error| match whole_characters(json) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}

/// The JSON with a replacement character for each escaped half of one (`\ud83d` without its second half); none without any.
fn whole_characters(json: &str) -> Option<String> {
    const REPLACEMENT: &str = "\\ufffd";
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut mended = String::with_capacity(json.len());
    let mut halves = false;
    let mut rest = json;
    while let Some(position) = rest.find('\\') {
        let (before, escape) = rest.split_at(position);
        mended.push_str(before);
        let (kept, length) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (&escape[..12], 12),
            (Some(0xd800..=0xdfff), _) => {
                halves = true;
                (REPLACEMENT, 6)
            }
            _ => {
                let length = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
                (&escape[..length], length)
            }
        };
        mended.push_str(kept);
        rest = &escape[length..];
    }
    mended.push_str(rest);
    halves.then_some(mended)
}

/// A form with the JSON in its one field, or with a field for each member. Which of them LeadSquared sends is not documented.
fn form(body: &[u8]) -> Option<Value> {
    let nested = |text: &str| tolerant(text).ok().filter(|value: &Value| value.is_object() || value.is_array());
    let pairs: Vec<_> = form_urlencoded::parse(body).collect();
    if let [(name, value)] = pairs.as_slice() {
        return nested(value).or_else(|| nested(name));
    }
    let mut members = Map::new();
    for (name, value) in pairs {
        let value = nested(&value).unwrap_or_else(|| Value::String(value.into_owned()));
        members.insert(name.into_owned(), value);
    }
    // Without a single known name it is text that happens to have an ampersand in it.
    const NAMES: [&str; 4] = ["ProspectID", "After", "ProspectActivityId", "data"];
    NAMES.into_iter().find(|name| members.contains_key(*name)).and_then(|name| match name {
        "data" => members.remove(name).filter(|data| data.is_object() || data.is_array()),
        _ => Some(Value::Object(members)),
    })
}

/// One event as it came.
struct Members {
    number: usize,
    members: Map<String, Value>,
}

impl Members {
    fn event(mut self, kind: Option<Kind>) -> Result<Event, Malformed> {
        let by_shape = || match () {
            () if self.members.contains_key("After") => Kind::Changed(None),
            () if self.members.contains_key("ProspectActivityId") => Kind::Activity,
            () => Kind::Created,
        };
        match kind.unwrap_or_else(by_shape) {
            Kind::Created => {
                let fields = self.take("After").unwrap_or_else(|| std::mem::take(&mut self.members));
                let fields = filled(fields);
                Ok(Event { lead: self.lead("ProspectID", &fields)?, what: What::Created, fields })
            }
            Kind::Changed(named) => self.change(named),
            Kind::Activity => self.activity(),
        }
    }

    fn change(mut self, named: Option<&'static str>) -> Result<Event, Malformed> {
        let before = match (self.take("Before"), named) {
            (Some(before), _) => before.into_iter().map(|(name, value)| (name, text(value))).collect(),
            // One snapshot is enough when the event's name says what changed.
            (None, Some(_)) => BTreeMap::new(),
            (None, None) => return Err(self.malformed("Before", "an object with the lead's fields before the change")),
        };
        let after = filled(self.take("After").unwrap_or_else(|| std::mem::take(&mut self.members)));
        // Fields that no change ever touches: where they are missing, so may be all that did not change.
        let constant = ["ProspectAutoId", "CreatedOn", "CreatedBy"];
        let before_is_whole = !before.is_empty()
            && !constant.iter().any(|name| !after.get(name).is_empty() && !before.contains_key(*name));
        let modified = Modified::read(after.get("ModifiedOn"));
        let is_time_older = match before.get("ModifiedOn") {
            Some(before) => Modified::read(before) == modified,
            None => named == Some("Score"),
        };
        let change = Change { modified, is_time_older, before: Fields(before), before_is_whole, named };
        Ok(Event { lead: self.lead("ProspectID", &after)?, what: What::Changed(change), fields: after })
    }

    /// An activity's `Data` is an object here; the calls that retrieve activities have a list of `Key` and `Value` instead.
    fn activity(mut self) -> Result<Event, Malformed> {
        let data = self.members.remove("Data");
        let mut fields = filled(std::mem::take(&mut self.members));
        let guid = "a GUID such as 11111111-1111-4111-8111-111111111111";
        let id = fields.get("ProspectActivityId").parse().map_err(|_| self.malformed("ProspectActivityId", guid))?;
        let lead = self.lead("RelatedProspectId", &fields)?;
        let code = fields.get("ActivityEvent").to_owned();
        if code.is_empty() {
            return Err(self.malformed("ActivityEvent", "the code of an activity type, such as 201"));
        }
        match data {
            Some(Value::Object(data)) => fields.0.extend(filled(data).0),
            Some(Value::Array(pairs)) => {
                let pair = |pair: Value| Some((text(pair.get("Key")?.clone()), pair.get("Value").cloned()?));
                fields.0.extend(filled(pairs.into_iter().filter_map(pair).collect()).0);
            }
            _ => {}
        }
        Ok(Event { lead, what: What::Activity { id, code }, fields })
    }

    fn take(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.members.remove(name) {
            Some(Value::Object(members)) => Some(members),
            _ => None,
        }
    }

    fn lead(&self, name: &'static str, fields: &Fields) -> Result<LeadId, Malformed> {
        let guid = "the lead's id, a GUID such as 11111111-1111-4111-8111-111111111111";
        fields.get(name).parse().map_err(|_| self.malformed(name, guid))
    }

    fn malformed(&self, field: &'static str, expected: &'static str) -> Malformed {
        Malformed::Field { number: self.number, field, expected }
    }
}

fn filled(members: Map<String, Value>) -> Fields {
    let fields = members.into_iter().map(|(name, value)| (name, text(value)));
    Fields(fields.filter(|(_, value)| !value.is_empty()).collect())
}

fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Modified {
    /// LeadSquared writes times in UTC and in several forms, and one edit has to be known in each.
    fn read(text: &str) -> Self {
        let time = date_time::read(&text.trim_end_matches('Z').replace('T', " "));
        let to_the_second = time.and_then(|time| OffsetDateTime::from_unix_timestamp(time.unix_timestamp()).ok());
        to_the_second.map_or_else(|| Self::Unreadable(text.to_owned()), Self::At)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const LEAD: &str = "11111111-1111-4111-8111-111111111111";
    const ACTIVITY: &str = "55555555-5555-4555-8555-555555555555";

    fn one(body: &Value, event_type: Option<&str>) -> Event {
        let mut events = read(body.to_string().as_bytes(), event_type).unwrap();
        assert_eq!(events.len(), 1);
        events.remove(0).unwrap()
    }

    fn change(before: Value, after: Value, event_type: Option<&str>) -> (Change, Fields) {
        let event = one(&json!({"Before": before, "After": after}), event_type);
        match event.what {
            What::Changed(change) => (change, event.fields),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_an_event_type_the_shape_tells_the_kind() {
        let lead = json!({"ProspectID": LEAD, "FirstName": "Asha", "Phone": null, "Source": "", "Score": 6});
        let created = one(&lead, None);
        assert_eq!((created.lead.to_string(), &created.what), (LEAD.to_owned(), &What::Created));
        let fields = ["FirstName", "Phone", "Source", "Score", "mx_City"].map(|name| created.fields.get(name));
        assert_eq!(fields, ["Asha", "", "", "6", ""]);
        assert!(matches!(one(&json!({"Before": {}, "After": lead}), None).what, What::Changed(_)));
        let activity = json!([{"ProspectActivityId": ACTIVITY, "RelatedProspectId": LEAD, "ActivityEvent": 201,
            "Data": {"Status": "Paid", "Owner": null}}]);
        let posted = one(&activity, None);
        assert_eq!(posted.what, What::Activity { id: ACTIVITY.parse().unwrap(), code: "201".to_owned() });
        assert_eq!((posted.fields.get("Status"), posted.fields.get("Owner")), ("Paid", ""));
    }

    #[test]
    fn an_activitys_fields_may_come_as_a_list_of_keys_and_values() {
        let activity = json!({"ProspectActivityId": ACTIVITY, "RelatedProspectId": LEAD, "ActivityEvent": "201",
            "Data": [{"Key": "Status", "Value": "Paid"}, {"Key": "Owner", "Value": null}, 7]});
        assert_eq!(one(&activity, Some("LeadActivity_Post_Update")).fields.get("Status"), "Paid");
    }

    #[test]
    fn null_and_empty_and_absent_are_one_and_so_no_change() {
        let before = json!({"ProspectID": LEAD, "a": null, "b": "", "c": "x", "d": "y", "CreatedOn": "t"});
        let after = json!({"ProspectID": LEAD, "a": "", "c": "x", "d": null, "e": "z", "CreatedOn": "t"});
        let (change, after) = change(before, after, Some("Lead_Post_Update"));
        let changes = ["a", "b", "c", "d", "e", "f"].map(|name| change.of(name, &after));
        assert_eq!(changes, [None, None, None, Some(Some("y")), Some(Some("")), None]);
    }

    #[test]
    fn a_snapshot_of_changed_fields_alone_is_not_taken_for_a_whole_one() {
        let before = json!({"ProspectID": LEAD, "ProspectStage": "Fresh", "mx_City": null});
        let after = json!({"ProspectID": LEAD, "ProspectAutoId": "7", "ProspectStage": "Applied", "mx_City": "Pune", "FirstName": "Asha"});
        let (change, after) = change(before, after, None);
        let changes = ["ProspectStage", "mx_City", "FirstName"].map(|name| change.of(name, &after));
        assert_eq!(changes, [Some(Some("Fresh")), Some(Some("")), None]);
    }

    #[test]
    fn an_event_named_after_a_field_needs_no_snapshot_before() {
        let lead = json!({"ProspectID": LEAD, "ProspectStage": "Applied"});
        let event = one(&lead, Some("Lead_Post_Stage_Change"));
        let What::Changed(change) = event.what else { panic!("{:?}", event.what) };
        assert_eq!(change.of("ProspectStage", &event.fields), Some(None));
        assert_eq!(change.of("OwnerId", &event.fields), None);
        let malformed = read(lead.to_string().as_bytes(), Some("Lead_Field_Change")).unwrap().remove(0).unwrap_err();
        assert_eq!(malformed.to_string(), "event 1: Before must be an object with the lead's fields before the change");
    }

    #[test]
    fn a_time_has_one_meaning_in_every_form() {
        for text in [
            "2026-01-02 03:04:17",
            "2026-01-02 03:04:17.000",
            "2026-01-02 03:04:17.640",
            "2026-01-02T03:04:17Z",
            "1/2/2026 3:04:17 AM",
            "/Date(1767323057000+0000)/",
        ] {
            assert_eq!(Modified::read(text), Modified::At(datetime!(2026-01-02 03:04:17 UTC)), "{text}");
        }
        for text in ["", "yesterday", "2026-13-02 03:04:17"] {
            assert_eq!(Modified::read(text), Modified::Unreadable(text.to_owned()));
        }
    }

    #[test]
    fn the_same_event_is_read_from_json_text_and_forms() {
        let json = json!([{"ProspectActivityId": ACTIVITY, "RelatedProspectId": LEAD, "ActivityEvent": "201",
            "Data": {"Note": "50% & more, a=b"}}]);
        let expected = read(json.to_string().as_bytes(), None).unwrap();
        assert!(expected[0].is_ok());
        let form = |pairs: &[(&str, &str)]| {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
        };
        let text = json.to_string();
        for body in [
            format!("\u{feff} {text}\r\n").into_bytes(),
            form(&[("data", &text)]),
            form(&[("anything", &text)]),
            form(&[(&text, "")]),
            form(&[("data", &text), ("other", "x")]),
        ] {
            assert_eq!(read(&body, None).unwrap(), expected, "{}", String::from_utf8_lossy(&body));
        }
        let before = json!({"ProspectID": LEAD, "mx_City": "Pune"}).to_string();
        let after = json!({"ProspectID": LEAD, "mx_City": "Delhi"}).to_string();
        let changed = read(&form(&[("Before", &before), ("After", &after)]), None).unwrap().remove(0).unwrap();
        assert_eq!(changed.fields.get("mx_City"), "Delhi");
        let created = read(&form(&[("ProspectID", LEAD), ("FirstName", "Asha"), ("Notes", "{odd")]), None).unwrap();
        assert_eq!(created[0].as_ref().unwrap().fields.get("Notes"), "{odd");
    }

    #[test]
    fn a_note_cut_in_the_middle_of_a_character_costs_no_event() {
        let activity = |note: &str| {
            format!(
                r#"{{"ProspectActivityId":"{ACTIVITY}","RelatedProspectId":"{LEAD}","ActivityEvent":"201","Data":{{"Note":"{note}"}}}}"#
            )
        };
        let notes = [r"a \ud83d", r"\ude00 \\ud83d \ud83d\ude00", r"\ud83d\ud83d\ude00 \u00e9"];
        let body = format!("[{}]", notes.map(activity).join(","));
        let expected = ["a \u{fffd}", "\u{fffd} \\ud83d \u{1f600}", "\u{fffd}\u{1f600} \u{e9}"];
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("data", &body).finish();
        for body in [body.as_bytes(), form.as_bytes()] {
            let events = read(body, None).unwrap();
            let notes: Vec<_> = events.iter().map(|event| event.as_ref().unwrap().fields.get("Note")).collect();
            assert_eq!(notes, expected);
        }
        let latin_1 = activity("caf#").bytes().map(|byte| if byte == b'#' { 0xe9 } else { byte }).collect::<Vec<u8>>();
        assert_eq!(read(&latin_1, None).unwrap()[0].as_ref().unwrap().fields.get("Note"), "caf\u{fffd}");
    }

    #[test]
    fn one_bad_element_does_not_keep_the_others_from_being_read() {
        let good = json!({"ProspectID": LEAD});
        let body = json!([good, 7, {"ProspectID": "canary"}, {}, good, {"ProspectActivityId": ACTIVITY}]);
        let read = read(body.to_string().as_bytes(), None).unwrap();
        let told: Vec<_> = read.iter().filter_map(|event| event.as_ref().err().map(Malformed::to_string)).collect();
        let guid = "must be the lead's id, a GUID such as 11111111-1111-4111-8111-111111111111";
        let expected = [
            "event 2 must be a JSON object".to_owned(),
            format!("event 3: ProspectID {guid}"),
            format!("event 4: ProspectID {guid}"),
            format!("event 6: RelatedProspectId {guid}"),
        ];
        assert_eq!((told, read.len()), (expected.to_vec(), 6));
    }

    #[test]
    fn what_is_no_event_at_all_is_told_without_being_repeated() {
        let place = |line, column| Malformed::Unreadable { line, column };
        for (body, event_type, expected) in [
            (&b"{\"canary\": "[..], None, place(1, 10)),
            (b"canary", None, place(1, 1)),
            (b"canary=1&b=2", None, place(1, 1)),
            (b"\xff\xfe", None, place(1, 1)),
            (b"7", None, Malformed::NoObject),
            (b"{}", Some("Task_Create"), Malformed::OtherEvent("Task_Create".to_owned())),
            (b"{}", Some("canary<@>"), Malformed::OtherEvent("something else".to_owned())),
        ] {
            let malformed = read(body, event_type).unwrap_err();
            assert_eq!(malformed, expected);
            assert!(!format!("{malformed} {malformed:?}").contains("canary"), "{malformed:?}");
        }
        assert_eq!(read(b"[]", None), Ok(Vec::new()));
    }

    #[test]
    fn printing_an_event_shows_no_field() {
        let after = json!({"ProspectID": LEAD, "a": "c4nary", "ModifiedOn": "c4nary"});
        let event = one(&json!({"Before": {"a": "canary"}, "After": after}), None);
        let printed = format!("{event:?}");
        assert!(!printed.contains("canary") && !printed.contains("c4nary"), "{printed}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(body in prop::collection::vec(any::<u8>(), 0..200), event_type in "[A-Za-z_]{0,20}") {
            let _ = read(&body, Some(&event_type));
            let _ = read(&body, None);
        }

        #[test]
        fn no_json_makes_reading_panic(text in "[\\[{\"BAProspectIDData:,}\\]0-9eE.a-f\\\\ué-]{0,80}") {
            let _ = read(text.as_bytes(), None);
            let _ = read(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().as_bytes(), None);
        }
    }
}
