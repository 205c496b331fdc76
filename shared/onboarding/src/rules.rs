//! CRM rules: which event in LeadSquared leads to which invitation. The rules come from the settings. The event decides
//! them, or a look-up of the lead where the event does not carry a field that a rule depends on.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use leadsquared::crm::{Lead, WebhookEvent};
use leadsquared::wire::webhook::{Event, EventKind, FieldChange};
use leadsquared::{Attributes, schema_name};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime, Time, UtcOffset};

use crate::{Action, CallsMade, RuleQuestion};

/// The rules in their order. The first rule that fires decides; later rules are not evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// The rules, and how many look-ups of leads may decide them.
#[derive(Clone, Debug)]
pub struct RuleLookups {
    /// The rules.
    pub rules: Rules,
    /// The most look-ups in one UTC day.
    pub a_day: u32,
}

impl RuleLookups {
    /// The day's calls of LeadSquared's smallest plan.
    const SMALLEST_PLAN: u32 = 10_000;

    /// These rules, with a tenth of the day's calls: an edit of thousands of leads at once must not use up the plan.
    /// `None` if the calls have no daily cap; the look-ups then have that of the smallest plan.
    pub fn new(rules: Rules, daily_calls: Option<u32>) -> Self {
        Self { rules, a_day: (daily_calls.unwrap_or(Self::SMALLEST_PLAN) / 10).max(1) }
    }

    /// How many look-ups of the UTC day may be taken by `now`.
    ///
    /// A quarter of the day's is there from its beginning and the rest comes evenly, so that one bulk edit leaves some
    /// for every later hour. A question that is not [first](Self::is_first) gets one only while half is left.
    pub(crate) fn most(&self, is_first: bool, now: OffsetDateTime) -> u32 {
        let (day, passed) = (86_400, (now.to_offset(UtcOffset::UTC).time() - Time::MIDNIGHT).whole_seconds());
        let by_now = u64::from(self.a_day) * (day + 3 * passed.unsigned_abs()) / (4 * day);
        let by_now = u32::try_from(by_now).unwrap_or(u32::MAX).max(Self::AT_ANY_TIME).min(self.a_day);
        if is_first { by_now } else { by_now.div_ceil(2) }
    }

    /// So many may be taken at any time of the day.
    const AT_ANY_TIME: u32 = 10;

    /// How long a question is new.
    const NEW_FOR: Duration = Duration::HOUR;

    /// Whether a question comes before the waiting ones: it is new, or its turn came and LeadSquared failed.
    pub(crate) fn is_first(asked_at: OffsetDateTime, calls: CallsMade, now: OffsetDateTime) -> bool {
        now - asked_at < Self::NEW_FOR || calls.count > 0
    }
}

impl Default for RuleLookups {
    /// No rules.
    fn default() -> Self {
        Self::new(Rules::default(), None)
    }
}

/// One rule. `Display` writes it in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in logs and timelines.
    pub name: String,
    /// What the invitation does.
    pub action: Action,
    on: On,
    when: Vec<Condition>,
}

/// The events that a rule reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum On {
    LeadCreate,
    LeadChange { field: String, from: Option<Values>, to: Option<Values> },
    Activity(ActivityTypes),
}

/// Types of activities: by code, by name, or by either. LeadSquared's webhooks show both, automations the name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ActivityTypes {
    codes: Option<Values>,
    names: Option<Values>,
}

/// The values that a field must have, or must not have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    field: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Is(Values),
    IsNot(Values),
}

/// Alternative texts. The empty text stands for a field without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values(Vec<String>);

/// What the rules say about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleDecision<'a> {
    /// No rule fires.
    NoRule,
    /// This rule fires.
    Fires(&'a Rule),
    /// The event does not carry a field that the first of these rules depends on. The first of them that holds for the
    /// lead fires; they are in the order in which they are evaluated.
    Undecided(Vec<&'a Rule>),
}

/// What one rule says about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The rule fires, unless an earlier rule does.
    Fires,
    /// The rule fires if these fields, which the event does not carry, have the values that it requires.
    Undecided(Vec<&'a str>),
    /// The rule does not fire.
    No(Objection<'a>),
}

/// Why a rule does not fire, in the rule's own words. It contains no value of the lead's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objection<'a>(Reason<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason<'a> {
    OtherEvent(&'a On),
    NotShown(&'a str),
    Unchanged(&'a str),
    NotFrom(&'a str, &'a Values),
    BeforeUnknown(&'a str),
    NotTo(&'a str, &'a Values),
    OtherActivity(&'a ActivityTypes),
    ActivityTypeNotShown,
    Unmet(&'a Condition),
}

impl Rules {
    /// What the rules say about an event. The first rule that fires decides. A rule that is undecided leaves the rules
    /// behind it undecided.
    pub fn decide(&self, event: &Event) -> RuleDecision<'_> {
        let mut undecided = Vec::new();
        for rule in &self.0 {
            match rule.judge(event) {
                Verdict::No(_) => {}
                Verdict::Fires if undecided.is_empty() => return RuleDecision::Fires(rule),
                Verdict::Fires => {
                    undecided.push(rule);
                    break;
                }
                Verdict::Undecided(_) => undecided.push(rule),
            }
        }
        if undecided.is_empty() { RuleDecision::NoRule } else { RuleDecision::Undecided(undecided) }
    }

    /// The rule that answers a question: the first one that holds for the lead. The event's values take precedence over
    /// the lead's, and after an hour the lead's over the event's: a person who has withdrawn by then is not invited.
    /// An activity's values are always the event's. A rule that no longer exists does not hold, and neither does one
    /// that depends on a field that the lead does not have: `report_unknown` gets the rule and the field.
    pub fn answer(
        &self,
        question: &RuleQuestion,
        age: Duration,
        lead: &Lead,
        report_unknown: impl Fn(&Rule, &str),
    ) -> Option<&Rule> {
        let is_new = age < RuleLookups::NEW_FOR;
        let mut named = question.rules.iter().filter_map(|name| self.0.iter().find(|rule| rule.name == *name));
        named.find(|rule| {
            let value = |field: &str| {
                let (of_event, of_lead) = (question.known.value(field), lead.field_or_empty(field));
                match is_new || rule.is_about_activities() {
                    true => of_event.or(of_lead),
                    false => of_lead.or(of_event),
                }
            };
            rule.holds(value).unwrap_or_else(|field| {
                report_unknown(rule, field);
                false
            })
        })
    }

    /// All rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// The webhooks to set up in LeadSquared for these rules, each once. An activity that a rule knows by its name only
    /// is reported by an automation, which LeadSquared has no API for.
    ///
    /// An activity's fields can be filled in after it was posted, so a rule with conditions needs that webhook too.
    pub fn webhooks(&self) -> Vec<WebhookEvent> {
        let mut needed = Vec::new();
        let mut need = |event| {
            if !needed.contains(&event) {
                needed.push(event);
            }
        };
        for rule in &self.0 {
            match &rule.on {
                On::LeadCreate => need(WebhookEvent::LeadCreate),
                On::LeadChange { field, .. } => need(match field.as_str() {
                    schema_name::OWNER_ID => WebhookEvent::LeadOwnerChange,
                    schema_name::SCORE => WebhookEvent::LeadScoreChange,
                    _ => WebhookEvent::LeadFieldChange { schema_name: field.clone() },
                }),
                On::Activity(types) => {
                    for event in types.codes.iter().flat_map(|codes| &codes.0).filter_map(|code| code.parse().ok()) {
                        need(WebhookEvent::ActivityCreate { event });
                        if !rule.when.is_empty() {
                            need(WebhookEvent::ActivityUpdate { event });
                        }
                    }
                }
            }
        }
        needed
    }
}

impl Rule {
    /// What the rule says about an event. Whatever the event shows is judged first, so only a rule that all of it meets
    /// can be undecided.
    pub fn judge<'a>(&'a self, event: &Event) -> Verdict<'a> {
        match self.unknown_fields(event) {
            Err(reason) => Verdict::No(Objection(reason)),
            Ok(fields) if fields.is_empty() => Verdict::Fires,
            Ok(fields) => Verdict::Undecided(fields),
        }
    }

    /// The fields that the rule depends on and that the event does not carry.
    fn unknown_fields<'a>(&'a self, event: &Event) -> Result<Vec<&'a str>, Reason<'a>> {
        let mut unknown = self.judge_event(event)?;
        for condition in &self.when {
            match event.fields.get(&condition.field) {
                Some(value) if !condition.holds(value) => return Err(Reason::Unmet(condition)),
                Some(_) => {}
                None if unknown.contains(&&*condition.field) => {}
                None => unknown.push(&condition.field),
            }
        }
        Ok(unknown)
    }

    /// Judges what happened, without the conditions. Returns the changed field if the event does not carry its value.
    fn judge_event<'a>(&'a self, event: &Event) -> Result<Vec<&'a str>, Reason<'a>> {
        let met = |met: bool, reason: Reason<'a>| if met { Ok(()) } else { Err(reason) };
        match (&self.on, &event.kind) {
            (On::LeadCreate, EventKind::Created) => Ok(Vec::new()),
            (On::LeadChange { field, from, to }, EventKind::Changed(change)) => {
                let (before, after) = match change.of(field, &event.fields) {
                    FieldChange::NotShown => return Err(Reason::NotShown(field)),
                    FieldChange::Unchanged => return Err(Reason::Unchanged(field)),
                    FieldChange::Changed { from, to } => (from, to),
                };
                if let (Some(to), Some(after)) = (to, after) {
                    met(to.contain(after), Reason::NotTo(field, to))?;
                }
                if let Some(from) = from {
                    met(from.contain(before.ok_or(Reason::BeforeUnknown(field))?), Reason::NotFrom(field, from))?;
                }
                Ok(if to.is_some() && after.is_none() { vec![field] } else { Vec::new() })
            }
            (On::Activity(types), EventKind::Activity { code, name, .. }) => {
                let shown = [(&types.codes, code), (&types.names, name)];
                let mut shown =
                    shown.into_iter().filter_map(|(values, shown)| values.as_ref().zip(shown.as_ref())).peekable();
                met(shown.peek().is_some(), Reason::ActivityTypeNotShown)?;
                let is_of_type = shown.any(|(values, shown)| values.contain(shown));
                met(is_of_type, Reason::OtherActivity(types)).map(|()| Vec::new())
            }
            (on, _) => Err(Reason::OtherEvent(on)),
        }
    }

    /// Whether the rule holds for a lead with these values, given that its event happened. What is known is judged
    /// first; otherwise the error is a field without a known value.
    fn holds<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<bool, &str> {
        let changed_to = match &self.on {
            On::LeadChange { field, to: Some(to), .. } => Some((field, value(field).map(|after| to.contain(after)))),
            _ => None,
        };
        let conditions = self
            .when
            .iter()
            .map(|condition| (&condition.field, value(&condition.field).map(|value| condition.holds(value))));
        let mut unknown = None;
        for (field, is_met) in changed_to.into_iter().chain(conditions) {
            match is_met {
                Some(false) => return Ok(false),
                Some(true) => {}
                None => unknown = unknown.or(Some(field)),
            }
        }
        unknown.map_or(Ok(true), |field| Err(field))
    }

    /// The fields of the lead or the activity that the rule depends on.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.field().into_iter().chain(self.when.iter().map(|condition| &*condition.field))
    }

    /// The fields of leads that the rule depends on. Those of a rule for activities may be the activity's own.
    pub fn lead_fields(&self) -> impl Iterator<Item = &str> {
        let is_about_leads = !self.is_about_activities();
        self.fields().filter(move |_| is_about_leads)
    }

    fn is_about_activities(&self) -> bool {
        matches!(self.on, On::Activity(_))
    }

    /// The custom fields of leads that the rule depends on. Many accounts leave them out of their webhooks. LeadSquared
    /// always sends the custom fields of activities.
    pub fn custom_lead_fields(&self) -> impl Iterator<Item = &str> {
        self.lead_fields().filter(|field| field.starts_with("mx_"))
    }

    /// Whether only an automation reports its event: LeadSquared's webhooks are for an activity type's code.
    pub fn needs_automation(&self) -> bool {
        matches!(&self.on, On::Activity(types) if types.codes.is_none())
    }

    /// The field whose change the rule reacts to, if it is such a rule.
    pub fn field(&self) -> Option<&str> {
        match &self.on {
            On::LeadChange { field, .. } => Some(field),
            On::LeadCreate | On::Activity(_) => None,
        }
    }
}

impl Condition {
    fn holds(&self, value: &str) -> bool {
        match &self.test {
            Test::Is(values) => values.contain(value),
            Test::IsNot(values) => !values.contain(value),
        }
    }
}

impl RuleQuestion {
    /// The question whether one of these rules holds, with what the event shows of the fields that they depend on.
    pub fn new(rules: &[&Rule], event: &Event) -> Self {
        let mut known = Attributes::new();
        for rule in rules {
            if let (Some(field), EventKind::Changed(change)) = (rule.field(), &event.kind)
                && let FieldChange::Changed { to: Some(to), .. } = change.of(field, &event.fields)
            {
                known.set(field, to);
            }
            for field in rule.fields() {
                if let Some(value) = event.fields.get(field) {
                    known.set(field, value);
                }
            }
        }
        Self { rules: rules.iter().map(|rule| rule.name.clone()).collect(), known }
    }
}

impl<'a> Objection<'a> {
    /// The field that the rule needs and that the event does not show, if that is why it does not fire.
    pub fn field_not_shown(&self) -> Option<&'a str> {
        match self.0 {
            Reason::NotShown(field) | Reason::BeforeUnknown(field) => Some(field),
            _ => None,
        }
    }
}

impl Values {
    fn contain(&self, value: &str) -> bool {
        self.0.iter().any(|one| one == value)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.on {
            On::LeadCreate => f.write_str("a lead is created")?,
            On::LeadChange { field, from, to } => {
                write!(f, "{field} changes")?;
                from.iter().try_for_each(|from| write!(f, " from {from}"))?;
                to.iter().try_for_each(|to| write!(f, " to {to}"))?;
            }
            On::Activity(types) => write!(f, "an activity {types} is posted or changed")?,
        }
        self.when.iter().try_for_each(|condition| write!(f, " and {condition}"))
    }
}

impl fmt::Display for Objection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::OtherEvent(On::LeadCreate) => f.write_str("no lead was created"),
            Reason::OtherEvent(On::LeadChange { .. }) => f.write_str("the event is not a change of a lead"),
            Reason::OtherEvent(On::Activity(_)) => f.write_str("the event is not an activity"),
            Reason::NotShown(field) => write!(f, "the event does not show {field}"),
            Reason::Unchanged(field) => write!(f, "{field} did not change"),
            Reason::NotFrom(field, from) => write!(f, "{field} was not {from} before"),
            Reason::BeforeUnknown(field) => write!(f, "the event does not say what {field} was before"),
            Reason::NotTo(field, to) => write!(f, "{field} did not change to {to}"),
            Reason::OtherActivity(types) => write!(f, "the activity is not {types}"),
            Reason::ActivityTypeNotShown => {
                f.write_str("the event does not show the activity's type as the rule names it: by its code or its name")
            }
            Reason::Unmet(condition) => write!(f, "a condition is not met: {condition}"),
        }
    }
}

impl fmt::Display for ActivityTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.codes.iter().try_for_each(|codes| codes.fmt(f))?;
        if self.codes.is_some() && self.names.is_some() {
            f.write_str(" or ")?;
        }
        self.names.iter().try_for_each(|names| write!(f, "named {names}"))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Is(values) => write!(f, "{} is {values}", self.field),
            Test::IsNot(values) => write!(f, "{} is not {values}", self.field),
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, value) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(" or ")?;
            }
            match value.as_str() {
                "" => f.write_str("empty")?,
                value => write!(f, "{value:?}")?,
            }
        }
        Ok(())
    }
}

/// All mistakes in the rules, so that the administrator can fix them in one edit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidRules(pub Vec<String>);

impl Rules {
    /// The setting that has the rules.
    pub const SETTING: &str = "CRM_RULES";

    /// What the setting must be.
    pub const EXPECTED: &str = "a list of rules";
}

impl FromStr for Rules {
    type Err = InvalidRules;

    /// Reads a JSON array of rules. The error has every mistake, each with the rule, the key and the expected value.
    fn from_str(json: &str) -> Result<Self, InvalidRules> {
        let rules = match serde_json::from_str(json).map(|Unambiguous(rules)| rules) {
            Ok(Value::Array(rules)) => rules,
            Ok(_) => return Err(InvalidRules(vec!["the rules must be a JSON array".to_owned()])),
            Err(error) => return Err(InvalidRules(vec![format!("the rules must be a JSON array: {error}")])),
        };
        let mut mistakes = Vec::new();
        let mut names = HashSet::new();
        let mut read = Vec::new();
        for (position, rule) in rules.into_iter().enumerate() {
            let rule = Keys::of(format!("rule {}", position + 1), rule, &mut mistakes).and_then(Keys::rule);
            if let Some(rule) = &rule
                && !names.insert(rule.name.clone())
            {
                mistakes.push(format!(
                    "rule {} ({}): name must differ from the names of the earlier rules",
                    position + 1,
                    rule.name
                ));
            }
            read.extend(rule);
        }
        if mistakes.is_empty() { Ok(Self(read)) } else { Err(InvalidRules(mistakes)) }
    }
}

/// The keys of an object that are not read yet.
struct Keys<'a> {
    /// The object's name in a mistake.
    place: String,
    members: Map<String, Value>,
    mistakes: &'a mut Vec<String>,
}

impl<'a> Keys<'a> {
    fn of(place: String, value: Value, mistakes: &'a mut Vec<String>) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self { place, members, mistakes }),
            _ => {
                mistakes.push(format!("{place} must be a JSON object"));
                None
            }
        }
    }

    fn rule(mut self) -> Option<Rule> {
        /// The name is in every log line and every message.
        const LONGEST_NAME: usize = 60;
        let name = self.text("name", "a text that identifies the rule");
        match name.as_deref() {
            Some(name) if name.chars().count() > LONGEST_NAME => {
                self.mistake::<()>("name", &format!("at most {LONGEST_NAME} characters long"));
            }
            Some(name) => self.place = format!("{} ({name})", self.place),
            None => {}
        }
        let on = self.on();
        let when = self.when();
        let action = match self.text("action", ACTIONS).as_deref() {
            Some("invite") => Some(Action::Invite),
            Some("mail-link") => Some(Action::MailLink),
            Some(_) => self.mistake("action", ACTIONS),
            None => None,
        };
        self.nothing_else();
        Some(Rule { name: name?, action: action?, on: on?, when: when? })
    }

    fn on(&mut self) -> Option<On> {
        const CODES: &str = "the code of an activity type in quotes, such as \"201\", or a list of them";
        let is_code = |code: &String| code.parse::<u32>().is_ok_and(|number| number.to_string() == *code);
        match self.text("on", EVENTS).as_deref() {
            Some("lead-create") => Some(On::LeadCreate),
            Some("lead-change") => {
                let field = self.schema_name("the schema name of the field whose change fires the rule");
                let (from, to) = (self.values("from", VALUES), self.values("to", VALUES));
                Some(On::LeadChange { field: field?, from: from?, to: to? })
            }
            Some("activity") => {
                let names = self.values("activity-name", "the name of an activity type, or a list of them")?;
                match self.values("activity", CODES)? {
                    Some(codes) if !codes.0.iter().all(is_code) => self.mistake("activity", CODES),
                    None if names.is_none() => self.mistake("activity", CODES),
                    codes => Some(On::Activity(ActivityTypes { codes, names })),
                }
            }
            Some(_) => {
                // An unknown event does not show which of these keys belong to it.
                self.members
                    .retain(|key, _| !["field", "from", "to", "activity", "activity-name"].contains(&key.as_str()));
                self.mistake("on", EVENTS)
            }
            None => None,
        }
    }

    fn when(&mut self) -> Option<Vec<Condition>> {
        let conditions = match self.members.remove("when") {
            None => return Some(Vec::new()),
            Some(Value::Array(conditions)) => conditions,
            Some(_) => return self.mistake("when", "a list of conditions"),
        };
        let mut read = Some(Vec::new());
        for (position, condition) in conditions.into_iter().enumerate() {
            let place = format!("{}, condition {}", self.place, position + 1);
            let condition = Keys::of(place, condition, self.mistakes).and_then(Keys::condition);
            read = read.zip(condition).map(|(mut read, condition)| {
                read.push(condition);
                read
            });
        }
        read
    }

    fn condition(mut self) -> Option<Condition> {
        let field = self.schema_name("the schema name of a field");
        let test = match (self.values("is", VALUES), self.values("is-not", VALUES)) {
            (Some(Some(values)), Some(None)) => Some(Test::Is(values)),
            (Some(None), Some(Some(values))) => Some(Test::IsNot(values)),
            (Some(_), Some(_)) => {
                self.mistakes.push(format!("{}: there must be either is or is-not", self.place));
                None
            }
            _ => None,
        };
        self.nothing_else();
        Some(Condition { field: field?, test: test? })
    }

    /// A field's name. A character that LeadSquared's names never have would make the rule fire always or never.
    fn schema_name(&mut self, expected: &str) -> Option<String> {
        let name = self.text("field", expected)?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name { Some(name) } else { self.mistake("field", expected) }
    }

    /// A required text that is not empty.
    fn text(&mut self, key: &str, expected: &str) -> Option<String> {
        match self.members.remove(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => self.mistake(key, expected),
        }
    }

    /// An optional text or list of texts.
    fn values(&mut self, key: &str, expected: &str) -> Option<Option<Values>> {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let values: Option<Vec<String>> = match self.members.remove(key) {
            None => return Some(None),
            Some(Value::Array(values)) => values.into_iter().map(text).collect(),
            Some(value) => text(value).map(|text| vec![text]),
        };
        match values.filter(|values| !values.is_empty()) {
            Some(values) => Some(Some(Values(values))),
            None => self.mistake(key, expected),
        }
    }

    fn nothing_else(mut self) {
        for key in std::mem::take(&mut self.members).into_iter().map(|(key, _)| key) {
            self.mistakes.push(format!("{}: {key} is not a valid key here", self.place));
        }
    }

    fn mistake<T>(&mut self, key: &str, expected: &str) -> Option<T> {
        self.mistakes.push(format!("{}: {key} must be {expected}", self.place));
        None
    }
}

/// JSON in which no object has a key twice. Of two equal keys, serde_json would silently keep the last. An
/// administrator who wrote two conditions into the same braces would lose one of them.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unambiguous;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Unambiguous, E> {
                Ok(Unambiguous(Value::Null))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Unambiguous, E> {
                Ok(Unambiguous(flag.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(number.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Unambiguous, E> {
                Ok(Unambiguous(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Unambiguous, A::Error> {
                let mut list = Vec::new();
                while let Some(Unambiguous(element)) = elements.next_element()? {
                    list.push(element);
                }
                Ok(Unambiguous(list.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unambiguous, A::Error> {
                let mut object = Map::new();
                while let Some((name, Unambiguous(value))) = members.next_entry::<String, _>()? {
                    if object.contains_key(&name) {
                        return Err(de::Error::custom(format_args!("{name} occurs twice in one object")));
                    }
                    object.insert(name, value);
                }
                Ok(Unambiguous(object.into()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

const EVENTS: &str = "\"lead-create\", \"lead-change\" or \"activity\"";
const ACTIONS: &str = "\"invite\" or \"mail-link\"";
const VALUES: &str = "a text or a list of texts; \"\" stands for an empty field";

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use leadsquared::wire::webhook::WebhookRequest;
    use serde_json::json;

    use super::*;

    const LEAD: &str = "11111111-1111-4111-8111-111111111111";

    fn rule(json: Value) -> Rule {
        let mut rule = json!({"name": "a rule", "action": "invite"});
        rule.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        json!([rule]).to_string().parse::<Rules>().unwrap().0.remove(0)
    }

    fn event(json: Value) -> Event {
        let body = json.to_string();
        named(None, &body)
    }

    fn named(event_type: Option<&str>, body: &str) -> Event {
        let request = WebhookRequest { body: body.as_bytes(), event_type, entity_type: None };
        request.events().unwrap().remove(0).unwrap()
    }

    fn stage(before: &str, after: &str) -> Event {
        event(json!({"Before": {"ProspectID": LEAD, "ProspectStage": before},
            "After": {"ProspectID": LEAD, "ProspectStage": after, "mx_City": "Pune"}}))
    }

    fn activity(code: &str, status: &str) -> Event {
        event(
            json!({"ProspectActivityId": LEAD, "RelatedProspectId": LEAD, "ActivityEvent": code, "Data": {"Status": status}}),
        )
    }

    /// Why the rule does not fire; empty when it does.
    fn judged(rule: &Rule, event: &Event) -> String {
        match rule.judge(event) {
            Verdict::Fires => String::new(),
            Verdict::Undecided(fields) => format!("undecided: {}", fields.join(", ")),
            Verdict::No(objection) => objection.to_string(),
        }
    }

    #[test]
    fn a_change_is_judged_by_field_from_and_to() {
        let applied =
            rule(json!({"on": "lead-change", "field": "ProspectStage", "from": ["Engaged", ""], "to": "Applied"}));
        assert_eq!(applied.to_string(), r#"ProspectStage changes from "Engaged" or empty to "Applied""#);
        for (event, objection) in [
            (stage("Engaged", "Applied"), ""),
            (stage("", "Applied"), ""),
            (stage("Applied", "Applied"), "ProspectStage did not change"),
            (stage("Lost", "Applied"), r#"ProspectStage was not "Engaged" or empty before"#),
            (stage("Engaged", "applied"), r#"ProspectStage did not change to "Applied""#),
            (event(json!({"ProspectID": LEAD, "ProspectStage": "Applied"})), "the event is not a change of a lead"),
            (activity("201", ""), "the event is not a change of a lead"),
        ] {
            assert_eq!(judged(&applied, &event), objection, "{event:?}");
        }
        let cleared = rule(json!({"on": "lead-change", "field": "ProspectStage", "to": ""}));
        assert_eq!(judged(&cleared, &stage("Lost", "")), "");
    }

    #[test]
    fn a_rule_with_a_former_value_needs_the_former_value() {
        let json = json!({"ProspectID": LEAD, "ProspectStage": "Applied"}).to_string();
        let event = named(Some("Lead_Post_Stage_Change"), &json);
        let to = json!({"on": "lead-change", "field": "ProspectStage", "to": "Applied"});
        let from = json!({"on": "lead-change", "field": "ProspectStage", "from": "Engaged"});
        assert_eq!(judged(&rule(to), &event), "");
        assert_eq!(judged(&rule(from), &event), "the event does not say what ProspectStage was before");
        let other = json!({"on": "lead-change", "field": "ProspectStage", "from": "Engaged", "to": "Lost"});
        assert_eq!(judged(&rule(other), &event), r#"ProspectStage did not change to "Lost""#);
    }

    #[test]
    fn an_activity_is_judged_by_its_code_and_its_fields() {
        let paid =
            rule(json!({"on": "activity", "activity": ["201", "202"], "when": [{"field": "Status", "is": "Paid"}]}));
        assert_eq!(paid.to_string(), r#"an activity "201" or "202" is posted or changed and Status is "Paid""#);
        for (event, objection) in [
            (activity("202", "Paid"), ""),
            (activity("203", "Paid"), r#"the activity is not "201" or "202""#),
            (activity("201", "Open"), r#"a condition is not met: Status is "Paid""#),
            (stage("a", "b"), "the event is not an activity"),
        ] {
            assert_eq!(judged(&paid, &event), objection, "{event:?}");
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let json = |city: Value| json!({"on": "lead-create", "when": [{"field": "EmailAddress", "is-not": ""}, city]});
        let lead = event(json!({"ProspectID": LEAD, "EmailAddress": "a@example.test", "mx_City": "Pune"}));
        for (city, objection) in [
            (json!({"field": "mx_City", "is": ["Pune", "Delhi"]}), ""),
            (json!({"field": "mx_City", "is-not": ["Delhi", ""]}), ""),
            (json!({"field": "mx_City", "is": ""}), "a condition is not met: mx_City is empty"),
            (json!({"field": "mx_City", "is-not": "Pune"}), r#"a condition is not met: mx_City is not "Pune""#),
            (json!({"field": "mx_State", "is-not": ""}), "undecided: mx_State"),
        ] {
            assert_eq!(judged(&rule(json(city)), &lead), objection);
        }
        assert_eq!(
            judged(
                &rule(json(json!({"field": "a", "is": ""}))),
                &event(json!({"ProspectID": LEAD, "EmailAddress": null}))
            ),
            "a condition is not met: EmailAddress is not empty"
        );
    }

    #[test]
    fn a_condition_on_a_field_that_the_event_does_not_carry_is_undecided_after_all_others_are_met() {
        let active = json!([{"field": "mx_Status", "is-not": "Withdrawn"}, {"field": "Source", "is": ["Fair", ""]},
            {"field": "mx_Status", "is-not": "Refused"}]);
        let applied = rule(json!({"on": "lead-change", "field": "ProspectStage", "to": "Applied", "when": active}));
        let change = |after: Value| {
            let mut lead = json!({"ProspectID": LEAD, "ProspectStage": "Applied"});
            lead.as_object_mut().unwrap().extend(after.as_object().unwrap().clone());
            event(json!({"Before": {"ProspectID": LEAD, "ProspectStage": "Prospect"}, "Current": lead}))
        };
        for (after, expected) in [
            (json!({}), "undecided: mx_Status, Source"),
            (json!({"Source": null}), "undecided: mx_Status"),
            (json!({"Source": "Web"}), "a condition is not met: Source is \"Fair\" or empty"),
            (json!({"ProspectStage": "Lost"}), "ProspectStage did not change to \"Applied\""),
            (json!({"mx_Status": "", "Source": "Fair"}), ""),
            (json!({"mx_Status": "Withdrawn"}), "a condition is not met: mx_Status is not \"Withdrawn\""),
        ] {
            assert_eq!(judged(&applied, &change(after.clone())), expected, "{after}");
        }
    }

    #[test]
    fn a_change_that_the_event_does_not_show_does_not_fire() {
        let batch = rule(json!({"on": "lead-change", "field": "mx_Batch"}));
        assert_eq!(judged(&batch, &stage("Fresh", "Applied")), "the event does not show mx_Batch");
        let to = rule(json!({"on": "lead-change", "field": "ProspectStage", "to": "Applied"}));
        let bare = named(Some("Lead_Post_Stage_Change"), &json!({"ProspectID": LEAD}).to_string());
        assert_eq!(judged(&to, &bare), "undecided: ProspectStage");
        let any = rule(json!({"on": "lead-change", "field": "ProspectStage"}));
        assert_eq!(judged(&any, &bare), "");
        let shown = |rule: &Rule, event: &Event| match rule.judge(event) {
            Verdict::No(objection) => objection.field_not_shown().map(str::to_owned),
            _ => None,
        };
        let from = rule(json!({"on": "lead-change", "field": "ProspectStage", "from": "Fresh"}));
        assert_eq!(shown(&batch, &stage("Fresh", "Applied")).as_deref(), Some("mx_Batch"));
        assert_eq!(shown(&from, &bare).as_deref(), Some("ProspectStage"));
        assert_eq!(shown(&from, &stage("Lost", "Applied")), None);
    }

    #[test]
    fn an_undecided_rule_leaves_the_rules_behind_it_undecided_up_to_the_first_that_fires() {
        let one = |name: &str, to: &str, when: Value| {
            json!({"name": name, "on": "lead-change", "field": "ProspectStage",
            "to": to, "when": when, "action": if name == "withdrawn" { "mail-link" } else { "invite" }})
        };
        let when = |field: &str, value: &str| json!([{"field": field, "is": value}]);
        let rules = json!([
            one("lost", "Lost", json!([])),
            one("withdrawn", "Applied", when("mx_Status", "Withdrawn")),
            one("in Delhi", "Applied", when("mx_City", "Delhi")),
            one("of the fair", "Applied", when("Source", "Fair")),
            one("any", "Applied", json!([])),
            one("late", "Applied", json!([])),
        ]);
        let rules = rules.to_string().parse::<Rules>().unwrap();
        let RuleDecision::Undecided(open) = rules.decide(&stage("a", "Applied")) else { panic!("it is undecided") };
        let question = RuleQuestion::new(&open, &stage("a", "Applied"));
        assert_eq!(question.rules, ["withdrawn", "of the fair", "any"]);
        assert_eq!(question.known, Attributes::new().with("ProspectStage", "Applied"));

        let lead = |fields: Value| -> Lead {
            let mut lead = json!({"ProspectID": LEAD});
            lead.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            serde_json::from_value(lead).unwrap()
        };
        let unknown = RefCell::new(Vec::new());
        let report = |rule: &Rule, field: &str| unknown.borrow_mut().push(format!("{}: {field}", rule.name));
        let answer_after = |age, question: &RuleQuestion, fields| {
            rules.answer(question, age, &lead(fields), report).map(|rule| &*rule.name)
        };
        let answer = |question: &RuleQuestion, fields| answer_after(Duration::ZERO, question, fields);
        assert_eq!(answer(&question, json!({"mx_Status": "Withdrawn", "Source": "Fair"})), Some("withdrawn"));
        assert_eq!(answer(&question, json!({"mx_Status": null, "Source": "Fair"})), Some("of the fair"));
        // The lead moved on meanwhile: the event's value counts for an hour, and then the lead's.
        let moved_on = json!({"mx_Status": null, "Source": "", "ProspectStage": "Lost"});
        for (age, expected) in [(0, Some("any")), (59, Some("any")), (60, None)] {
            assert_eq!(answer_after(Duration::minutes(age), &question, moved_on.clone()), expected, "{age}");
        }
        let unmoved = json!({"mx_Status": null, "Source": "", "ProspectStage": "Applied"});
        assert_eq!(answer_after(Duration::weeks(3), &question, unmoved), Some("any"));
        // LeadSquared does not return the field.
        assert_eq!(answer_after(Duration::weeks(3), &question, json!({"mx_Status": null, "Source": ""})), Some("any"));
        assert_eq!(*unknown.borrow(), [""; 0]);
        // The account has no such field, or LeadSquared does not return it.
        assert_eq!(answer(&question, json!({"Source": "Fair"})), Some("of the fair"));
        assert_eq!(*unknown.borrow(), ["withdrawn: mx_Status"]);
        let gone = RuleQuestion { rules: vec!["renamed".to_owned(), "lost".to_owned()], known: question.known };
        assert_eq!(answer(&gone, json!({"mx_Status": "Withdrawn"})), None);
    }

    #[test]
    fn a_field_that_the_lead_does_not_have_is_unknown_and_not_empty() {
        for (when, expected) in [
            (json!({"field": "mx_Misspelt", "is-not": "Withdrawn"}), Err("mx_Misspelt")),
            (json!({"field": "mx_Misspelt", "is": ""}), Err("mx_Misspelt")),
            (json!({"field": "mx_Status", "is-not": "Withdrawn"}), Ok(true)),
            (json!({"field": "mx_Status", "is": "Applied"}), Ok(false)),
        ] {
            let known = json!({"field": "Source", "is": "Fair"});
            let rule = rule(json!({"on": "lead-create", "when": [when, known]}));
            let value = |source: &'static str| {
                move |field: &str| {
                    [("mx_Status", ""), ("Source", source)].into_iter().find(|it| it.0 == field).map(|it| it.1)
                }
            };
            assert_eq!(rule.holds(value("Fair")), expected, "{rule}");
            assert_eq!(rule.holds(value("Web")), Ok(false), "{rule}: what is known is judged first");
        }
    }

    #[test]
    fn an_activity_is_known_by_its_code_or_by_its_name() {
        let both = rule(json!({"on": "activity", "activity": "201", "activity-name": "Fee"}));
        assert_eq!(both.to_string(), r#"an activity "201" or named "Fee" is posted or changed"#);
        let code = rule(json!({"on": "activity", "activity": "201"}));
        let name = rule(json!({"on": "activity", "activity-name": ["Fee", "Charge"]}));
        let activity = |of_type: Value| {
            let mut activity = json!({"ProspectActivityId": LEAD, "RelatedProspectId": LEAD});
            activity.as_object_mut().unwrap().extend(of_type.as_object().unwrap().clone());
            event(activity)
        };
        let unknown = "the event does not show the activity's type as the rule names it: by its code or its name";
        for (of_type, expected) in [
            (json!({"ActivityEvent": 201}), ["", "", unknown]),
            (json!({"ActivityEventName": "Fee"}), ["", unknown, ""]),
            (json!({"ActivityEventName": "Fee", "ActivityEvent": "202"}), ["", "the activity is not \"201\"", ""]),
            (json!({}), [unknown; 3]),
        ] {
            assert_eq!(
                [&both, &code, &name].map(|rule| judged(rule, &activity(of_type.clone()))),
                expected,
                "{of_type}"
            );
        }
        assert_eq!(
            judged(&name, &activity(json!({"ActivityEventName": "Call"}))),
            r#"the activity is not named "Fee" or "Charge""#
        );
    }

    #[test]
    fn the_first_rule_that_fires_decides() {
        let one = |name: &str, to: &str, action: &str| json!({"name": name, "on": "lead-change", "field": "ProspectStage", "to": to, "action": action});
        let rules = json!([
            one("lost", "Lost", "invite"),
            one("applied", "Applied", "mail-link"),
            one("later", "Applied", "invite")
        ]);
        let rules = rules.to_string().parse::<Rules>().unwrap();
        let RuleDecision::Fires(first) = rules.decide(&stage("a", "Applied")) else { panic!("a rule fires") };
        assert_eq!((first.name.as_str(), first.action), ("applied", Action::MailLink));
        assert_eq!(rules.decide(&stage("a", "b")), RuleDecision::NoRule);
        assert_eq!("[]".parse::<Rules>().unwrap().decide(&stage("a", "b")), RuleDecision::NoRule);
    }

    #[test]
    fn every_mistake_is_named_and_not_only_the_first() {
        let rules = json!([
            {"name": "a", "on": "lead-change", "to": 7, "action": "invited", "wenn": []},
            {"on": "lead-updated", "field": "x", "action": "invite"},
            7,
            {"name": "a", "on": "activity", "action": "invite", "field": "x"},
            {"name": "b", "on": "activity", "activity": ["201", "+2"], "action": "invite",
             "when": [{"field": "", "is": "x"}, {"field": "y"}, {"field": "z", "is": "1", "is-not": "2", "or": 1}, "x"]},
            {"name": "c", "on": "lead-create", "action": "invite", "when": {}},
            {"name": "c", "on": "lead-create", "action": "invite"},
            {"name": "c", "on": "lead-create", "action": "invite"},
        ]);
        let InvalidRules(mistakes) = rules.to_string().parse::<Rules>().unwrap_err();
        let codes = "activity must be the code of an activity type in quotes, such as \"201\", or a list of them";
        let expected = [
            "rule 1 (a): field must be the schema name of the field whose change fires the rule",
            "rule 1 (a): to must be a text or a list of texts; \"\" stands for an empty field",
            "rule 1 (a): action must be \"invite\" or \"mail-link\"",
            "rule 1 (a): wenn is not a valid key here",
            "rule 2: name must be a text that identifies the rule",
            "rule 2: on must be \"lead-create\", \"lead-change\" or \"activity\"",
            "rule 3 must be a JSON object",
            &format!("rule 4 (a): {codes}"),
            "rule 4 (a): field is not a valid key here",
            &format!("rule 5 (b): {codes}"),
            "rule 5 (b), condition 1: field must be the schema name of a field",
            "rule 5 (b), condition 2: there must be either is or is-not",
            "rule 5 (b), condition 3: there must be either is or is-not",
            "rule 5 (b), condition 3: or is not a valid key here",
            "rule 5 (b), condition 4 must be a JSON object",
            "rule 6 (c): when must be a list of conditions",
            "rule 8 (c): name must differ from the names of the earlier rules",
        ];
        assert_eq!(mistakes, expected);
        assert_eq!("{}".parse::<Rules>().unwrap_err().to_string(), "the rules must be a JSON array");
        let error = "[{]".parse::<Rules>().unwrap_err().to_string();
        assert!(error.starts_with("the rules must be a JSON array: ") && error.contains("line 1 column 3"), "{error}");
        let long = json!([{"name": "n".repeat(61), "on": "lead-create", "action": "invite"}]).to_string();
        assert_eq!(long.parse::<Rules>().unwrap_err().to_string(), "rule 1: name must be at most 60 characters long");
    }

    #[test]
    fn a_rule_that_cannot_do_what_it_says_is_a_mistake() {
        let said = |rule: &str| {
            let rules = format!(r#"[{{"name":"a","action":"invite",{rule}}}]"#);
            rules.parse::<Rules>().map_or_else(|error| error.to_string(), |_| String::new())
        };
        let field = "rule 1 (a): field must be the schema name of the field whose change fires the rule";
        for name in [" ProspectStage", "ProspectStage ", "Lead Stage", "{ProspectStage}"] {
            assert_eq!(said(&format!(r#""on":"lead-change","field":"{name}""#)), field);
        }
        let condition = r#""on":"lead-create","when":[{"field":"Source ","is-not":"Fair"}]"#;
        assert_eq!(said(condition), "rule 1 (a), condition 1: field must be the schema name of a field");
        for code in ["0201", "201 ", "-1", "4294967296"] {
            assert!(said(&format!(r#""on":"activity","activity":"{code}""#)).contains("activity must be the code"));
        }
        let both = r#""on":"lead-create","when":[{"field":"Source","is":"Fair","field":"mx_City","is":"Pune"}]"#;
        let error = said(both);
        assert!(error.contains("field occurs twice in one object at line 1 column"), "{error}");
        assert_eq!(said(r#""on":"lead-change","field":"mx_City","to":["x",""]"#), "");
    }

    #[test]
    fn the_webhooks_that_rules_need_are_those_of_their_events_each_once() {
        let when = json!([{"field": "Status", "is": "Paid"}]);
        let rules = json!([
            {"name": "1", "on": "lead-change", "field": "ProspectStage", "to": "a", "action": "invite"},
            {"name": "2", "on": "lead-change", "field": "ProspectStage", "to": "b", "action": "invite"},
            {"name": "3", "on": "lead-change", "field": "OwnerId", "action": "invite"},
            {"name": "4", "on": "lead-change", "field": "Score", "action": "invite"},
            {"name": "5", "on": "activity", "activity": ["201", "202"], "action": "invite"},
            {"name": "6", "on": "activity", "activity": "201", "when": when, "action": "invite"},
            {"name": "7", "on": "lead-create", "action": "invite"},
        ]);
        let stage = WebhookEvent::LeadFieldChange { schema_name: "ProspectStage".to_owned() };
        let expected = [
            stage,
            WebhookEvent::LeadOwnerChange,
            WebhookEvent::LeadScoreChange,
            WebhookEvent::ActivityCreate { event: 201 },
            WebhookEvent::ActivityCreate { event: 202 },
            WebhookEvent::ActivityUpdate { event: 201 },
            WebhookEvent::LeadCreate,
        ];
        assert_eq!(rules.to_string().parse::<Rules>().unwrap().webhooks(), expected);
    }
}
