//! The body that a webhook or an automation posts, read as events.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use url::form_urlencoded;

use super::event_type::EventType;
use crate::values::schema_name::{
    CREATED_BY, CREATED_ON, MODIFIED_ON, OWNER_ID, PROSPECT_AUTO_ID, PROSPECT_ID, PROSPECT_STAGE, SCORE,
};
use crate::values::{ActivityId, LeadId, date_time};

/// Members of a delivery that are no lead fields.
const BEFORE: &str = "Before";
/// The lead as it is now, in a webhook.
const AFTER: &str = "After";
/// The lead as it is now, in an automation.
const CURRENT: &str = "Current";
const ACTIVITY_ID: &str = "ProspectActivityId";
const ACTIVITY_LEAD: &str = "RelatedProspectId";
const ACTIVITY_CODE: &str = "ActivityEvent";
const ACTIVITY_NAME: &str = "ActivityEventName";
const ACTIVITY_DATA: &str = "Data";

/// Something that happened in LeadSquared. `Debug` shows no field of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The lead it happened to.
    pub lead: LeadId,
    /// What kind of event it is.
    pub kind: EventKind,
    /// The lead's fields after the event. For an activity, the activity's fields. An automation also shows the lead's
    /// fields; where both have a field, this is the activity's.
    pub fields: Fields,
}

/// What happened to a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The lead is new.
    Created,
    /// Fields of the lead changed.
    Changed(Change),
    /// An activity was posted on the lead, or changed.
    Activity {
        /// Its id.
        id: ActivityId,
        /// The code of its type, such as `201`. Automations may leave it out.
        code: Option<String>,
        /// The name of its type. Automations may leave it out in a later event about the same activity.
        name: Option<String>,
    },
}

/// A change of a lead, as far as the event shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When the lead was modified.
    pub modified: Modified,
    /// Whether `modified` is the time of an earlier change: an activity raises the score, and the lead's time stays as
    /// it was.
    pub is_time_older: bool,
    /// What the fields held before.
    before: Fields,
    /// Whether `before` certainly has every field that was not empty. If so, a field that it lacks was empty; if not,
    /// the field may be unchanged.
    before_is_whole: bool,
    /// The field that the event is named after.
    named: Option<&'static str>,
}

/// The time of a change. `Debug` does not show a text that is no time: the sender can write anything there.
#[derive(Clone, PartialEq, Eq)]
pub enum Modified {
    /// In UTC, to the second.
    At(OffsetDateTime),
    /// A text that is no time.
    Unreadable(String),
}

/// Fields by schema name, as an event shows them. LeadSquared's null and empty text both mean an empty field. A field
/// that the event does not carry is unknown: many accounts leave custom fields out of their webhooks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// The field's text, empty for an empty field; `None` if the event does not carry the field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    fn of(members: Map<String, Value>) -> Self {
        Self(members.into_iter().map(|(name, value)| (name, text(value))).collect())
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
    /// How this field changed; `after` are the fields now.
    pub fn of<'a>(&'a self, field: &str, after: &'a Fields) -> FieldChange<'a> {
        match (self.before.get(field), after.get(field)) {
            // LeadSquared leaves fields that became empty out of the later snapshot.
            (Some(before), after) if before != after.unwrap_or_default() => {
                FieldChange::Changed { from: Some(before), to: Some(after.unwrap_or_default()) }
            }
            (None, Some(after)) if self.before_is_whole && !after.is_empty() => {
                FieldChange::Changed { from: Some(""), to: Some(after) }
            }
            (None, to) if self.named == Some(field) => {
                FieldChange::Changed { from: self.before_is_whole.then_some(""), to }
            }
            (None, None) => FieldChange::NotShown,
            _ => FieldChange::Unchanged,
        }
    }
}

/// What an event shows about one field of a lead. `Debug` shows no text of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FieldChange<'a> {
    /// The event does not carry the field.
    NotShown,
    /// The field did not change, as far as the event shows it.
    Unchanged,
    /// The field changed.
    Changed {
        /// Its former text, empty if the field was; `None` if the event does not show it.
        from: Option<&'a str>,
        /// Its text now. `None` if the event is named after the field and does not carry it.
        to: Option<&'a str>,
    },
}

impl fmt::Debug for FieldChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotShown => "NotShown",
            Self::Unchanged => "Unchanged",
            Self::Changed { .. } => "Changed",
        })
    }
}

/// The subject of an event that concerns neither a lead's fields nor an activity. No rule can react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSubject {
    /// An opportunity was created, changed or deleted.
    Opportunity,
    /// Two leads were merged into one.
    Merge,
    /// A user of the account was activated or deactivated.
    UserStatus,
}

impl OtherSubject {
    /// The subject by LeadSquared's name of the event (<https://apidocs.leadsquared.com/webhooks/>).
    fn named(event_type: &str) -> Option<Self> {
        let event_type = event_type.to_ascii_lowercase();
        match event_type.as_str() {
            "lead_merge" => Some(Self::Merge),
            "user_active_status_change" => Some(Self::UserStatus),
            name if name.starts_with("opportunity") => Some(Self::Opportunity),
            _ => None,
        }
    }
}

/// Why a body, or one element of it, is no event. It shows nothing of the body but LeadSquared's own names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The webhook is for another event: LeadSquared's, or none that is known.
    #[error(
        "the webhook is for {}, but it must be for lead create, update, field, stage, owner or score change, activity \
         create or update",
        .0.map_or("an unknown event", EventType::name)
    )]
    OtherEvent(Option<EventType>),
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

impl Malformed {
    /// The variant's name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OtherEvent(_) => "OtherEvent",
            Self::Unreadable { .. } => "Unreadable",
            Self::NoObject => "NoObject",
            Self::NotAnObject(_) => "NotAnObject",
            Self::Field { .. } => "Field",
        }
    }
}

/// What a webhook or an automation sends.
#[derive(Clone, Copy)]
pub struct WebhookRequest<'a> {
    /// The body. LeadSquared sends the same JSON as `application/json`, as `text/plain` and inside a form
    /// (<https://apidocs.leadsquared.com/webhook-best-practices/>), so the content type is of no use.
    pub body: &'a [u8],
    /// The query parameter `eventType`. Without one, the shape of an event decides what it is.
    pub event_type: Option<&'a str>,
    /// The query parameter `entityType`: `webhook`, `rule` or `automation`.
    pub entity_type: Option<&'a str>,
}

impl WebhookRequest<'_> {
    /// The subject, if the event's name says that no rule can react to it. The body is of no interest then.
    pub fn other_subject(&self) -> Option<OtherSubject> {
        self.event_type.and_then(OtherSubject::named)
    }

    /// Reads the events of the request.
    ///
    /// # Errors
    /// The outer error is about the body as a whole. An inner error is about one event; the others are read all the
    /// same.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::wire::webhook::{FieldChange, Malformed, WebhookRequest, EventKind};
    ///
    /// let body = br#"{
    ///     "Before": {"ProspectID": "11111111-1111-4111-8111-111111111111", "ProspectStage": "Prospect"},
    ///     "After": {"ProspectID": "11111111-1111-4111-8111-111111111111", "ProspectStage": "Applied"}
    /// }"#;
    /// let request = WebhookRequest { body, event_type: Some("Lead_Field_Change"), entity_type: None };
    /// let events = request.events()?;
    /// let event = events[0].as_ref().unwrap();
    /// assert_eq!(event.fields.get("ProspectStage"), Some("Applied"));
    /// let EventKind::Changed(change) = &event.kind else { panic!("it is a change") };
    /// let changed = FieldChange::Changed { from: Some("Prospect"), to: Some("Applied") };
    /// assert_eq!(change.of("ProspectStage", &event.fields), changed);
    /// # Ok::<(), Malformed>(())
    /// ```
    pub fn events(self) -> Result<Vec<Result<Event, Malformed>>, Malformed> {
        let kind = self.event_type.filter(|text| !text.is_empty()).map(Kind::named);
        if let Some(Err(malformed @ Malformed::OtherEvent(Some(_)))) = kind {
            return Err(malformed);
        }
        let events = match json(self.body)? {
            Value::Array(events) => events,
            event @ Value::Object(_) => vec![event],
            _ => return Err(Malformed::NoObject),
        };
        let is_automation =
            self.entity_type == Some("automation") || events.iter().any(|event| event.get(CURRENT).is_some());
        let kind = match kind {
            // The names of automations' events are not documented.
            Some(Err(_)) if is_automation => None,
            kind => kind.transpose()?,
        };
        let numbered = events.into_iter().enumerate();
        Ok(numbered
            .map(|(position, event)| match event {
                Value::Object(members) => Members { number: position + 1, members }.event(kind),
                _ => Err(Malformed::NotAnObject(position + 1)),
            })
            .collect())
    }
}

/// The kind of an event.
#[derive(Clone, Copy)]
enum Kind {
    Created,
    /// With the field that changed, if the event's name says it.
    Changed(Option<&'static str>),
    Activity,
}

impl Kind {
    /// The kind by LeadSquared's name of the event.
    fn named(event_type: &str) -> Result<Self, Malformed> {
        match EventType::of_name(event_type) {
            Some(EventType::LeadCreate) => Ok(Kind::Created),
            Some(EventType::LeadUpdate | EventType::LeadFieldChange) => Ok(Kind::Changed(None)),
            Some(EventType::LeadStageChange) => Ok(Kind::Changed(Some(PROSPECT_STAGE))),
            Some(EventType::LeadOwnerChange) => Ok(Kind::Changed(Some(OWNER_ID))),
            Some(EventType::LeadScoreChange) => Ok(Kind::Changed(Some(SCORE))),
            Some(EventType::ActivityCreate | EventType::ActivityUpdate) => Ok(Kind::Activity),
            other => Err(Malformed::OtherEvent(other)),
        }
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

/// Reads JSON in which a text may end in half a character: some systems cut a note to length there. One body holds the
/// activities of a minute, and one such note must not cost the others.
fn tolerant(json: &str) -> serde_json::Result<Value> {
    serde_json::from_str(json).or_else(|error| match whole_characters(json) {
        Some(repaired) => serde_json::from_str(&repaired),
        None => Err(error),
    })
}

/// The JSON with a replacement character for each escaped half of a character, such as `\ud83d` without its second
/// half; `None` if there is no such half.
fn whole_characters(json: &str) -> Option<String> {
    const REPLACEMENT: &str = "\\ufffd";
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut repaired = String::with_capacity(json.len());
    let mut halves = false;
    let mut rest = json;
    while let Some(position) = rest.find('\\') {
        let (before, escape) = rest.split_at(position);
        repaired.push_str(before);
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
        repaired.push_str(kept);
        rest = &escape[length..];
    }
    repaired.push_str(rest);
    halves.then_some(repaired)
}

/// Reads a form with the JSON in its one field, or with a field for each member. LeadSquared does not document which of
/// the two it sends.
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
    // Without a known name, the body is text that happens to contain an ampersand.
    const NAMES: [&str; 5] = [PROSPECT_ID, AFTER, CURRENT, ACTIVITY_ID, "data"];
    NAMES.into_iter().find(|name| members.contains_key(*name)).and_then(|name| match name {
        "data" => members.remove(name).filter(|data| data.is_object() || data.is_array()),
        _ => Some(Value::Object(members)),
    })
}

/// One event as it was sent.
struct Members {
    number: usize,
    members: Map<String, Value>,
}

impl Members {
    fn event(mut self, kind: Option<Kind>) -> Result<Event, Malformed> {
        let has_kind = kind.is_some();
        match kind.unwrap_or_else(|| self.kind_by_shape()) {
            Kind::Created => {
                let fields = self.lead_now();
                Ok(Event {
                    lead: self.lead(PROSPECT_ID, [fields.text(PROSPECT_ID)])?,
                    kind: EventKind::Created,
                    fields,
                })
            }
            Kind::Changed(named) => self.change(named, has_kind),
            Kind::Activity => self.activity(),
        }
    }

    fn kind_by_shape(&self) -> Kind {
        let has = |name: &str| self.members.contains_key(name);
        match () {
            () if has(ACTIVITY_ID) => Kind::Activity,
            () if has(CURRENT) && !has(AFTER) && self.is_new() => Kind::Created,
            () if has(CURRENT) || has(AFTER) || !self.is_new() => Kind::Changed(None),
            () => Kind::Created,
        }
    }

    /// Whether the lead is new: there was nothing before, and the lead was not changed since it was created. Dates,
    /// waits and lists start automations too, and send an old lead with nothing before it.
    fn is_new(&self) -> bool {
        let before = self.members.get(BEFORE);
        if before.and_then(Value::as_object).is_some_and(|before| !before.is_empty()) {
            return false;
        }
        let now = self.members.get(CURRENT).map_or(Some(&self.members), Value::as_object);
        let time = |name| match Modified::read(now?.get(name)?.as_str()?) {
            Modified::At(time) => Some(time),
            _ => None,
        };
        match (time(CREATED_ON), time(MODIFIED_ON)) {
            (Some(created), Some(modified)) => modified - created <= Duration::MINUTE,
            _ => before.is_some() || !self.members.contains_key(CURRENT),
        }
    }

    /// The lead's fields as they are now.
    fn lead_now(&mut self) -> Fields {
        let now = self.take(CURRENT).or_else(|| self.take(AFTER));
        Fields::of(now.unwrap_or_else(|| std::mem::take(&mut self.members)))
    }

    /// A change of a lead. An event whose kind is known from its shape only may have one snapshot.
    fn change(mut self, named: Option<&'static str>, has_kind: bool) -> Result<Event, Malformed> {
        let before = match self.take(BEFORE) {
            Some(before) => Fields::of(before),
            // One snapshot is enough when the event's name says what changed. An automation may have no other one.
            None if named.is_some() || self.members.contains_key(CURRENT) => Fields::default(),
            None if !has_kind && !self.members.contains_key(AFTER) => Fields::default(),
            None => return Err(self.malformed(BEFORE, "an object with the lead's fields before the change")),
        };
        let after = self.lead_now();
        // No change ever touches these fields, so a snapshot without them may lack other unchanged fields too.
        let mut constant =
            [PROSPECT_AUTO_ID, CREATED_ON, CREATED_BY].into_iter().filter(|name| !after.text(name).is_empty());
        let before_is_whole = constant.clone().next().is_some() && constant.all(|name| before.get(name).is_some());
        let modified = Modified::read(after.text(MODIFIED_ON));
        let is_time_older = match before.get(MODIFIED_ON) {
            Some(before) => Modified::read(before) == modified,
            None => named == Some(SCORE),
        };
        // A snapshot of the changed fields alone may lack the id.
        let beside = [PROSPECT_ID, ACTIVITY_LEAD].map(|name| self.members.get(name).and_then(Value::as_str));
        let ids = [Some(after.text(PROSPECT_ID)), Some(before.text(PROSPECT_ID))].into_iter().chain(beside).flatten();
        let lead = self.lead(PROSPECT_ID, ids)?;
        let change = Change { modified, is_time_older, before, before_is_whole, named };
        Ok(Event { lead, kind: EventKind::Changed(change), fields: after })
    }

    /// An activity's `Data` is an object here. The call that lists activities has a list of `Key` and `Value` instead.
    /// An automation adds the lead as it is now.
    fn activity(mut self) -> Result<Event, Malformed> {
        let data = self.members.remove(ACTIVITY_DATA);
        let mut fields = Fields::of(self.take(CURRENT).or_else(|| self.take(AFTER)).unwrap_or_default());
        self.members.retain(|name, _| ![BEFORE, AFTER, CURRENT].contains(&name.as_str()));
        let activity = Fields::of(std::mem::take(&mut self.members));
        let guid = "a GUID such as 11111111-1111-4111-8111-111111111111";
        let id = activity.text(ACTIVITY_ID).parse().map_err(|_| self.malformed(ACTIVITY_ID, guid))?;
        let lead = self.lead(ACTIVITY_LEAD, [activity.text(ACTIVITY_LEAD), fields.text(PROSPECT_ID)])?;
        fields.0.extend(activity.0);
        match data {
            Some(Value::Object(data)) => fields.0.extend(Fields::of(data).0),
            Some(Value::Array(pairs)) => {
                let pair = |pair: Value| Some((text(pair.get("Key")?.clone()), pair.get("Value").cloned()?));
                fields.0.extend(Fields::of(pairs.into_iter().filter_map(pair).collect()).0);
            }
            _ => {}
        }
        let of_type = |name: &str| fields.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let kind = EventKind::Activity { id, code: of_type(ACTIVITY_CODE), name: of_type(ACTIVITY_NAME) };
        Ok(Event { lead, kind, fields })
    }

    fn take(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.members.remove(name) {
            Some(Value::Object(members)) => Some(members),
            _ => None,
        }
    }

    /// The first id that is not empty. `field` is the place where one is expected.
    fn lead<'a>(&self, field: &'static str, ids: impl IntoIterator<Item = &'a str>) -> Result<LeadId, Malformed> {
        let guid = "the lead's id, a GUID such as 11111111-1111-4111-8111-111111111111";
        let id = ids.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
        id.parse().map_err(|_| self.malformed(field, guid))
    }

    fn malformed(&self, field: &'static str, expected: &'static str) -> Malformed {
        Malformed::Field { number: self.number, field, expected }
    }
}

fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Modified {
    /// LeadSquared writes a time in several forms, always UTC. One edit must be recognised in each of them.
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

    use super::FieldChange::{NotShown, Unchanged};
    use super::*;

    const LEAD: &str = "11111111-1111-4111-8111-111111111111";
    const ACTIVITY: &str = "55555555-5555-4555-8555-555555555555";

    fn read(body: &[u8], event_type: Option<&str>) -> Result<Vec<Result<Event, Malformed>>, Malformed> {
        WebhookRequest { body, event_type, entity_type: None }.events()
    }

    fn changed<'a>(from: impl Into<Option<&'a str>>, to: impl Into<Option<&'a str>>) -> FieldChange<'a> {
        FieldChange::Changed { from: from.into(), to: to.into() }
    }

    fn one(body: &Value, event_type: Option<&str>) -> Event {
        let mut events = read(body.to_string().as_bytes(), event_type).unwrap();
        assert_eq!(events.len(), 1);
        events.remove(0).unwrap()
    }

    fn change(before: Value, after: Value, event_type: Option<&str>) -> (Change, Fields) {
        let event = one(&json!({"Before": before, "After": after}), event_type);
        match event.kind {
            EventKind::Changed(change) => (change, event.fields),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_an_event_type_the_shape_decides_the_kind() {
        let lead = json!({"ProspectID": LEAD, "FirstName": "Asha", "Phone": null, "Source": "", "Score": 6});
        let created = one(&lead, None);
        assert_eq!((created.lead.to_string(), &created.kind), (LEAD.to_owned(), &EventKind::Created));
        let fields = ["FirstName", "Phone", "Source", "Score", "mx_City"].map(|name| created.fields.get(name));
        assert_eq!(fields, [Some("Asha"), Some(""), Some(""), Some("6"), None]);
        assert!(matches!(one(&json!({"Before": {}, "After": lead}), None).kind, EventKind::Changed(_)));
        let activity = json!([{"ProspectActivityId": ACTIVITY, "RelatedProspectId": LEAD, "ActivityEvent": 201,
            "Data": {"Status": "Paid", "Owner": null}}]);
        let posted = one(&activity, None);
        let code = Some("201".to_owned());
        assert_eq!(posted.kind, EventKind::Activity { id: ACTIVITY.parse().unwrap(), code, name: None });
        assert_eq!((posted.fields.get("Status"), posted.fields.get("Owner")), (Some("Paid"), Some("")));
    }

    #[test]
    fn an_activitys_fields_may_come_as_a_list_of_keys_and_values() {
        let activity = json!({"ProspectActivityId": ACTIVITY, "RelatedProspectId": LEAD, "ActivityEvent": "201",
            "Data": [{"Key": "Status", "Value": "Paid"}, {"Key": "Owner", "Value": null}, 7]});
        assert_eq!(one(&activity, Some("LeadActivity_Post_Update")).fields.get("Status"), Some("Paid"));
    }

    #[test]
    fn null_and_empty_are_one_and_so_no_change_and_absent_is_unknown() {
        let before = json!({"ProspectID": LEAD, "a": null, "b": "", "c": "x", "d": "y", "CreatedOn": "t"});
        let after = json!({"ProspectID": LEAD, "a": "", "c": "x", "d": null, "e": "z", "CreatedOn": "t"});
        let (change, after) = change(before, after, Some("Lead_Post_Update"));
        let changes = ["a", "b", "c", "d", "e", "f"].map(|name| change.of(name, &after));
        assert_eq!(changes, [Unchanged, Unchanged, Unchanged, changed("y", ""), changed("", "z"), NotShown]);
    }

    #[test]
    fn a_snapshot_of_changed_fields_alone_is_not_taken_for_a_whole_one() {
        let before = json!({"ProspectID": LEAD, "ProspectStage": "Fresh", "mx_City": null});
        let after = json!({"ProspectID": LEAD, "ProspectAutoId": "7", "ProspectStage": "Applied", "mx_City": "Pune", "FirstName": "Asha"});
        let (change, after) = change(before, after, None);
        let changes = ["ProspectStage", "mx_City", "FirstName"].map(|name| change.of(name, &after));
        assert_eq!(changes, [changed("Fresh", "Applied"), changed("", "Pune"), Unchanged]);
    }

    #[test]
    fn a_field_that_became_empty_may_be_missing_from_the_later_snapshot() {
        let (change, after) = change(json!({"ProspectID": LEAD, "mx_City": "Pune"}), json!({"ProspectID": LEAD}), None);
        assert_eq!((change.of("mx_City", &after), after.get("mx_City")), (changed("Pune", ""), None));
    }

    #[test]
    fn a_snapshot_without_the_fields_that_never_change_is_not_taken_for_a_whole_one() {
        let (change, after) =
            change(json!({"ProspectID": LEAD}), json!({"ProspectID": LEAD, "FirstName": "Asha"}), None);
        assert_eq!(change.of("FirstName", &after), Unchanged);
    }

    #[test]
    fn an_event_named_after_a_field_needs_no_snapshot_before() {
        let lead = json!({"ProspectID": LEAD, "ProspectStage": "Applied"});
        let event = one(&lead, Some("Lead_Post_Stage_Change"));
        let EventKind::Changed(change) = event.kind else { panic!("{:?}", event.kind) };
        assert_eq!(change.of("ProspectStage", &event.fields), changed(None, "Applied"));
        assert_eq!(change.of("OwnerId", &event.fields), NotShown);
        let bare = one(&json!({"ProspectID": LEAD}), Some("Lead_Post_Stage_Change"));
        let EventKind::Changed(change) = bare.kind else { panic!("{:?}", bare.kind) };
        assert_eq!(change.of("ProspectStage", &bare.fields), changed(None, None));
        let malformed = read(lead.to_string().as_bytes(), Some("Lead_Field_Change")).unwrap().remove(0).unwrap_err();
        assert_eq!(malformed.to_string(), "event 1: Before must be an object with the lead's fields before the change");
    }

    #[test]
    fn a_lead_that_is_not_new_is_not_created_by_an_automation() {
        let created = "2026-01-02 03:04:05";
        let lead = |modified: &str| json!({"ProspectID": LEAD, "CreatedOn": created, "ModifiedOn": modified});
        let (new, old) = (lead("2026-01-02 03:04:06"), lead("2026-02-02 03:04:05"));
        for (body, is_new) in [
            (json!({"Current": new}), true),
            (json!({"Before": {}, "Current": new}), true),
            (new, true),
            (json!({"Current": old}), false),
            (json!({"Before": {}, "Current": old}), false),
            (json!({"Before": null, "Current": old}), false),
            (old, false),
            (json!({"Current": {"ProspectID": LEAD}}), false),
            (json!({"Before": {}, "Current": {"ProspectID": LEAD}}), true),
        ] {
            let body = body.to_string();
            for event_type in [None, Some("Lead_On_Date")] {
                let request = WebhookRequest { body: body.as_bytes(), event_type, entity_type: Some("automation") };
                let event = request.events().unwrap().remove(0).unwrap();
                assert_eq!(event.kind == EventKind::Created, is_new, "{body}");
                assert_eq!(event.lead.to_string(), LEAD, "{body}");
            }
        }
    }

    #[test]
    fn an_automation_is_read_by_its_shape_whatever_its_query_says() {
        let before = json!({"ProspectID": LEAD, "ProspectStage": "Fresh"});
        let now = json!({"ProspectID": LEAD, "ProspectStage": "Applied", "mx_City": null});
        let stale = json!({"ProspectID": LEAD, "ProspectStage": "Older"});
        for body in [
            json!({"Before": before, "Current": now}),
            json!([{"Before": before, "Current": now}]),
            json!({"Before": before, "After": stale, "Current": now}),
            json!({"before": 1, "Before": before, "Current": now, "Automation": {"Name": "x"}}),
        ] {
            for event_type in [None, Some(""), Some("Lead_Post_Update"), Some("LeadUpdated")] {
                let body = body.to_string();
                let request = WebhookRequest { body: body.as_bytes(), event_type, entity_type: Some("automation") };
                let event = request.events().unwrap().remove(0).unwrap();
                assert_eq!(read(body.as_bytes(), event_type).unwrap(), [Ok(event.clone())], "{event_type:?} {body}");
                let EventKind::Changed(change) = &event.kind else { panic!("{:?}", event.kind) };
                assert_eq!(change.of("ProspectStage", &event.fields), changed("Fresh", "Applied"));
                assert_eq!((event.fields.get("mx_City"), event.fields.get("mx_State")), (Some(""), None));
            }
        }
        for before in [json!(null), json!({})] {
            assert_eq!(one(&json!({"Before": before, "Current": now}), None).kind, EventKind::Created);
        }
        assert_eq!(one(&json!({"Current": now}), Some("Lead_Post_Create")).kind, EventKind::Created);
        let alone = one(&json!({"Current": now}), Some("Lead_Post_Update"));
        let EventKind::Changed(change) = &alone.kind else { panic!("{:?}", alone.kind) };
        assert_eq!(change.of("ProspectStage", &alone.fields), Unchanged);
        let named = WebhookRequest { body: b"{}", event_type: Some("Task_Create"), entity_type: Some("automation") };
        assert_eq!(named.events(), Err(Malformed::OtherEvent(Some(EventType::TaskCreate))));
    }

    #[test]
    fn an_automations_activity_has_the_leads_fields_below_its_own() {
        let activity = json!({"ActivityEventName": "Fee", "ProspectActivityId": ACTIVITY, "RelatedProspectId": LEAD,
            "Data": {"Status": "Paid", "Score": "5"}, "Before": {"mx_City": "Delhi"},
            "Current": {"ProspectID": LEAD, "Status": "Lead", "mx_City": "Pune", "RelatedProspectId": "other"}});
        let event = one(&activity, None);
        let id = ACTIVITY.parse().unwrap();
        assert_eq!(event.kind, EventKind::Activity { id, code: None, name: Some("Fee".to_owned()) });
        let fields = ["Status", "Score", "mx_City", "mx_State"].map(|name| event.fields.get(name));
        assert_eq!((event.lead.to_string().as_str(), fields), (LEAD, [Some("Paid"), Some("5"), Some("Pune"), None]));
        let later = one(&json!([{"ProspectActivityId": ACTIVITY, "RelatedProspectId": LEAD, "Current": {}}]), None);
        assert_eq!(later.kind, EventKind::Activity { id, code: None, name: None });
    }

    #[test]
    fn the_lead_of_an_automation_is_found_in_every_part_that_names_it() {
        for body in [
            json!({"Before": {"ProspectID": LEAD, "ProspectStage": "Fresh"}, "Current": {"ProspectStage": "Applied"}}),
            json!({"Before": {"ProspectStage": "Fresh"}, "Current": {"ProspectStage": "Applied", "ProspectID": LEAD}}),
            json!({"ProspectID": LEAD, "Before": {"ProspectStage": "Fresh"}, "Current": {"ProspectStage": "Applied"}}),
            json!({"RelatedProspectId": LEAD, "Before": {"ProspectStage": "Fresh"}, "Current": {"ProspectStage": "Applied"}}),
        ] {
            let event = one(&body, None);
            assert_eq!(event.lead.to_string(), LEAD, "{body}");
            let EventKind::Changed(change) = &event.kind else { panic!("{body}") };
            assert_eq!(change.of("ProspectStage", &event.fields), changed("Fresh", "Applied"), "{body}");
        }
        let activity =
            json!({"ActivityEventName": "Fee", "ProspectActivityId": ACTIVITY, "Current": {"ProspectID": LEAD}});
        assert_eq!(one(&activity, None).lead.to_string(), LEAD);
    }

    #[test]
    fn an_event_that_no_rule_can_react_to_is_known_by_its_name() {
        let subject = |name| WebhookRequest { body: b"", event_type: Some(name), entity_type: None }.other_subject();
        for (name, expected) in [
            ("Opportunity_Post_Create", Some(OtherSubject::Opportunity)),
            ("opportunitystage_post_update", Some(OtherSubject::Opportunity)),
            ("Lead_Merge", Some(OtherSubject::Merge)),
            ("User_Active_Status_Change", Some(OtherSubject::UserStatus)),
            ("Lead_Post_Create", None),
            ("Task_Create", None),
            ("", None),
        ] {
            assert_eq!(subject(name), expected, "{name}");
        }
    }

    #[test]
    fn a_time_has_one_meaning_in_every_form() {
        for text in [
            "2026-01-02 03:04:17",
            "2026-01-02 03:04:17.000",
            "2026-01-02T03:04:17.000Z",
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
        assert_eq!(changed.fields.get("mx_City"), Some("Delhi"));
        let created = read(&form(&[("ProspectID", LEAD), ("FirstName", "Asha"), ("Notes", "{odd")]), None).unwrap();
        assert_eq!(created[0].as_ref().unwrap().fields.get("Notes"), Some("{odd"));
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
            let notes: Vec<_> =
                events.iter().map(|event| event.as_ref().unwrap().fields.get("Note").unwrap()).collect();
            assert_eq!(notes, expected);
        }
        let latin_1 = activity("caf#").bytes().map(|byte| if byte == b'#' { 0xe9 } else { byte }).collect::<Vec<u8>>();
        assert_eq!(read(&latin_1, None).unwrap()[0].as_ref().unwrap().fields.get("Note"), Some("caf\u{fffd}"));
    }

    #[test]
    fn one_bad_element_does_not_keep_the_others_from_being_read() {
        let good = json!({"ProspectID": LEAD});
        let body = json!([good, 7, {"ProspectID": "canary"}, {}, good, {"ProspectActivityId": ACTIVITY}]);
        let read = read(body.to_string().as_bytes(), None).unwrap();
        let reported: Vec<_> = read.iter().filter_map(|event| event.as_ref().err().map(Malformed::to_string)).collect();
        let guid = "must be the lead's id, a GUID such as 11111111-1111-4111-8111-111111111111";
        let expected = [
            "event 2 must be a JSON object".to_owned(),
            format!("event 3: ProspectID {guid}"),
            format!("event 4: ProspectID {guid}"),
            format!("event 6: RelatedProspectId {guid}"),
        ];
        assert_eq!((reported, read.len()), (expected.to_vec(), 6));
    }

    #[test]
    fn a_body_without_an_event_is_reported_without_its_content() {
        let place = |line, column| Malformed::Unreadable { line, column };
        for (body, event_type, expected) in [
            (&b"{\"canary\": "[..], None, place(1, 10)),
            (b"canary", None, place(1, 1)),
            (b"canary=1&b=2", None, place(1, 1)),
            (b"\xff\xfe", None, place(1, 1)),
            (b"7", None, Malformed::NoObject),
            (b"{}", Some("Task_Create"), Malformed::OtherEvent(Some(EventType::TaskCreate))),
            (b"{}", Some("canary"), Malformed::OtherEvent(None)),
            (b"{\"ProspectActivityId\":1}", Some("canary"), Malformed::OtherEvent(None)),
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
        fn no_json_makes_reading_panic(text in "[\\[{\"BACurentProspectIDData:,}\\]0-9eE.a-f\\\\ué-]{0,80}") {
            let _ = read(text.as_bytes(), None);
            let _ = read(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().as_bytes(), None);
        }
    }
}
