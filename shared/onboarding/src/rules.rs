//! CRM rules: which event in LeadSquared leads to which invitation. The rules come from the settings. The event alone
//! decides them.

use std::collections::HashSet;
use std::fmt;

use leadsquared::crm::WebhookEvent;
use leadsquared::schema_name;
use leadsquared::wire::webhook::{Event, FieldChange, What};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::Action;

/// The rules in their order. The first rule that fires decides; later rules are not evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

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
    Activity { codes: Values },
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

/// Why a rule does not fire, in the rule's own words. It contains no value of the lead's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objection<'a>(Reason<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason<'a> {
    OtherEvent(&'a On),
    Unchanged(&'a str),
    NotFrom(&'a str, &'a Values),
    BeforeUnknown(&'a str),
    NotTo(&'a str, &'a Values),
    OtherActivity(&'a Values),
    Unmet(&'a Condition),
}

impl Rules {
    /// The first rule that fires for an event.
    pub fn first(&self, event: &Event) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.judge(event).is_ok())
    }

    /// All rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// The webhooks to set up in LeadSquared for these rules, each once.
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
                On::Activity { codes } => {
                    for event in codes.0.iter().filter_map(|code| code.parse().ok()) {
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
    /// Whether the rule fires for an event.
    ///
    /// # Errors
    /// Why it does not fire.
    pub fn judge<'a>(&'a self, event: &Event) -> Result<(), Objection<'a>> {
        let met = |met: bool, reason: Reason<'a>| if met { Ok(()) } else { Err(Objection(reason)) };
        match (&self.on, &event.what) {
            (On::LeadCreate, What::Created) => {}
            (On::LeadChange { field, from, to }, What::Changed(change)) => {
                match (change.of(field, &event.fields), from) {
                    (FieldChange::Unchanged, _) => return Err(Objection(Reason::Unchanged(field))),
                    (FieldChange::FromUnknown, Some(_)) => return Err(Objection(Reason::BeforeUnknown(field))),
                    (FieldChange::From(before), Some(from)) => met(from.contain(before), Reason::NotFrom(field, from))?,
                    (FieldChange::From(_) | FieldChange::FromUnknown, None) => {}
                }
                if let Some(to) = to {
                    met(to.contain(event.fields.get(field)), Reason::NotTo(field, to))?;
                }
            }
            (On::Activity { codes }, What::Activity { code, .. }) => {
                met(codes.contain(code), Reason::OtherActivity(codes))?;
            }
            (on, _) => return Err(Objection(Reason::OtherEvent(on))),
        }
        let unmet = self.when.iter().find(|condition| !condition.holds(event));
        unmet.map_or(Ok(()), |condition| Err(Objection(Reason::Unmet(condition))))
    }

    /// The field whose change the rule reacts to, if it is such a rule.
    pub fn field(&self) -> Option<&str> {
        match &self.on {
            On::LeadChange { field, .. } => Some(field),
            On::LeadCreate | On::Activity { .. } => None,
        }
    }
}

impl Condition {
    fn holds(&self, event: &Event) -> bool {
        let value = event.fields.get(&self.field);
        match &self.test {
            Test::Is(values) => values.contain(value),
            Test::IsNot(values) => !values.contain(value),
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
            On::Activity { codes } => write!(f, "an activity {codes} is posted or changed")?,
        }
        self.when.iter().try_for_each(|condition| write!(f, " and {condition}"))
    }
}

impl fmt::Display for Objection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::OtherEvent(On::LeadCreate) => f.write_str("no lead was created"),
            Reason::OtherEvent(On::LeadChange { .. }) => f.write_str("the event is not a change of a lead"),
            Reason::OtherEvent(On::Activity { .. }) => f.write_str("the event is not an activity"),
            Reason::Unchanged(field) => write!(f, "{field} did not change"),
            Reason::NotFrom(field, from) => write!(f, "{field} was not {from} before"),
            Reason::BeforeUnknown(field) => write!(f, "the event does not say what {field} was before"),
            Reason::NotTo(field, to) => write!(f, "{field} did not change to {to}"),
            Reason::OtherActivity(codes) => write!(f, "the activity is not {codes}"),
            Reason::Unmet(condition) => write!(f, "a condition is not met: {condition}"),
        }
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
    /// Reads a JSON array of rules.
    ///
    /// # Errors
    /// Every mistake, each with the rule, the key and the expected value.
    pub fn parse(json: &str) -> Result<Self, InvalidRules> {
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
                let codes = self.values("activity", CODES)?;
                match codes.filter(|codes| codes.0.iter().all(is_code)) {
                    Some(codes) => Some(On::Activity { codes }),
                    None => self.mistake("activity", CODES),
                }
            }
            Some(_) => {
                // An unknown event does not show which of these keys belong to it.
                self.members.retain(|key, _| !["field", "from", "to", "activity"].contains(&key.as_str()));
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
    use leadsquared::wire::webhook::WebhookRequest;
    use serde_json::json;

    use super::*;

    const LEAD: &str = "11111111-1111-4111-8111-111111111111";

    fn rule(json: Value) -> Rule {
        let mut rule = json!({"name": "a rule", "action": "invite"});
        rule.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        Rules::parse(&json!([rule]).to_string()).unwrap().0.remove(0)
    }

    fn event(json: Value) -> Event {
        let body = json.to_string();
        WebhookRequest { body: body.as_bytes(), event_type: None }.events().unwrap().remove(0).unwrap()
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
        rule.judge(event).map_or_else(|objection| objection.to_string(), |()| String::new())
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
        let event = WebhookRequest { body: json.as_bytes(), event_type: Some("Lead_Post_Stage_Change") }
            .events()
            .unwrap()
            .remove(0)
            .unwrap();
        let to = json!({"on": "lead-change", "field": "ProspectStage", "to": "Applied"});
        let from = json!({"on": "lead-change", "field": "ProspectStage", "from": "Engaged"});
        assert_eq!(judged(&rule(to), &event), "");
        assert_eq!(judged(&rule(from), &event), "the event does not say what ProspectStage was before");
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
            (json!({"field": "mx_State", "is-not": ""}), "a condition is not met: mx_State is not empty"),
        ] {
            assert_eq!(judged(&rule(json(city)), &lead), objection);
        }
        assert_eq!(
            judged(&rule(json(json!({"field": "a", "is": ""}))), &event(json!({"ProspectID": LEAD}))),
            "a condition is not met: EmailAddress is not empty"
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
        let rules = Rules::parse(&rules.to_string()).unwrap();
        let first = rules.first(&stage("a", "Applied")).unwrap();
        assert_eq!((first.name.as_str(), first.action), ("applied", Action::MailLink));
        assert_eq!(rules.first(&stage("a", "b")), None);
        assert_eq!(Rules::parse("[]").unwrap().first(&stage("a", "b")), None);
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
        let InvalidRules(mistakes) = Rules::parse(&rules.to_string()).unwrap_err();
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
        assert_eq!(Rules::parse("{}").unwrap_err().to_string(), "the rules must be a JSON array");
        let error = Rules::parse("[{]").unwrap_err().to_string();
        assert!(error.starts_with("the rules must be a JSON array: ") && error.contains("line 1 column 3"), "{error}");
        let long = json!([{"name": "n".repeat(61), "on": "lead-create", "action": "invite"}]).to_string();
        assert_eq!(Rules::parse(&long).unwrap_err().to_string(), "rule 1: name must be at most 60 characters long");
    }

    #[test]
    fn a_rule_that_cannot_do_what_it_says_is_a_mistake() {
        let said = |rule: &str| {
            let rules = format!(r#"[{{"name":"a","action":"invite",{rule}}}]"#);
            Rules::parse(&rules).map_or_else(|error| error.to_string(), |_| String::new())
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
        assert_eq!(Rules::parse(&rules.to_string()).unwrap().webhooks(), expected);
    }
}
