//! The names of fields, and the groups that form builders put them into.

use std::collections::{HashMap, HashSet};

use super::{Value, is_filled};

/// How many groups a field can be in, and how deep a value can be nested.
pub(super) const DEEPEST: usize = 8;

/// The way to a value in the body: the names of objects and fields, and the positions in lists, from the outside in.
#[derive(Clone, Debug)]
pub(super) struct Path {
    steps: Vec<Step>,
    /// The whole name, if the body has it in one piece.
    written: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Name(String),
    /// A position in a list; none in a list whose items are not numbered, as in `interests[]`.
    Item(Option<usize>),
}

/// The place of a field: its names, and the groups that it is in, from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: Vec<String>,
    /// The name, and what else the field's object calls it: Typeform's `ref`, Tally's `label`. None of them may have
    /// the name that the reader looks for.
    pub(super) names: Vec<String>,
    /// The whole name, brackets included, if the body has it in one piece.
    pub(super) written: Option<String>,
}

/// The members of an object that hold a field's value, where the others describe the field.
const VALUE: [&str; 2] = ["value", "values"];

/// The members of such an object that hold the field's name, or what people read before the field.
const NAME: [&str; 6] = ["name", "id", "key", "field", "label", "title"];

/// The groups that many form builders have for the parts of a person's name: `{"name": {"first": …}}`,
/// `names[first_name]`.
const NAME_GROUPS: [&str; 3] = ["name", "names", "fullname"];

/// Those parts.
const NAME_PARTS: [&str; 3] = ["first", "middle", "last"];

impl Place {
    /// The place of a part of a person's name beside its group, where the person's other fields are. It is used if no
    /// such field was sent there.
    fn beside_its_group(&self) -> Option<Self> {
        let (last, group) = self.group.split_last()?;
        if !NAME_GROUPS.contains(&spelling(last).as_str()) {
            return None;
        }
        let part = self.names.iter().find_map(|name| {
            let name = spelling(name);
            NAME_PARTS.into_iter().find(|part| name.strip_suffix("name").unwrap_or(&name) == *part)
        });
        Some(Self { group: group.to_vec(), names: vec![format!("{}_name", part?)], written: None })
    }

    /// Whether one of the field's names is this one.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|it| it == name)
    }
}

impl Path {
    /// The path in a name with brackets, such as `fields[email][value]`. Anything else is one name.
    pub(super) fn bracketed(name: &str) -> Self {
        let steps = name.split_once('[').and_then(|(first, rest)| {
            let rest = rest.strip_suffix(']').filter(|_| !first.is_empty())?;
            let steps = rest.split("][").map(|step| match step {
                "" => Step::Item(None),
                digits if digits.len() < 6 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Step::Item(digits.parse().ok())
                }
                name => Step::Name(name.to_owned()),
            });
            let steps: Vec<_> = [Step::Name(first.to_owned())].into_iter().chain(steps).collect();
            (steps.len() <= DEEPEST).then_some(steps)
        });
        let steps = steps.unwrap_or_else(|| vec![Step::Name(name.to_owned())]);
        Self { steps, written: Some(name.to_owned()) }
    }

    pub(super) fn member(&self, name: String) -> Self {
        self.with(Step::Name(name))
    }

    pub(super) fn item(&self, index: usize) -> Self {
        self.with(Step::Item(Some(index)))
    }

    /// Whether this is a value in a list.
    pub(super) fn is_item(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Item(Some(_))))
    }

    pub(super) fn is_deepest(&self) -> bool {
        self.steps.len() >= DEEPEST
    }

    fn with(&self, step: Step) -> Self {
        Self { steps: self.steps.iter().cloned().chain([step]).collect(), written: None }
    }

    /// The path without the positions at its end: the values of a list are repeats of one field.
    fn of_list(&self) -> &[Step] {
        let end = self.steps.iter().rposition(|step| matches!(step, Step::Name(_))).map_or(0, |last| last + 1);
        &self.steps[..end]
    }

    /// The object of which this path is the value.
    fn object(&self) -> Option<&[Step]> {
        match self.of_list() {
            [object @ .., Step::Name(name)] if VALUE.contains(&name.as_str()) && !object.is_empty() => Some(object),
            _ => None,
        }
    }
}

/// The places of all values. An object with a member `value` is one field, and its other members describe it.
pub(super) fn places(pairs: Vec<(Path, Value)>) -> Vec<(Place, Value)> {
    let objects: HashSet<Vec<Step>> = pairs.iter().filter_map(|(path, _)| path.object()).map(<[_]>::to_vec).collect();
    let mut described: HashMap<Vec<Step>, Vec<String>> = HashMap::new();
    for (object, name) in pairs.iter().filter_map(|(path, value)| name(path, value)) {
        described.entry(object).or_default().push(name);
    }
    let describes = |path: &Path| (1..path.steps.len()).any(|length| objects.contains(&path.steps[..length]));
    let place = |(path, value): (Path, Value)| {
        let (steps, described) = match path.object() {
            Some(object) => (object, described.get(object).cloned().unwrap_or_default()),
            None if !objects.is_empty() && describes(&path) => return None,
            None => (path.of_list(), Vec::new()),
        };
        let (last, groups) = steps.split_last()?;
        let names = match last {
            // A form builder numbers its fields and writes the name into the object.
            Step::Name(number) if is_number(number) && !described.is_empty() => described,
            Step::Name(name) => [name.clone()].into_iter().chain(described).collect(),
            Step::Item(_) if described.is_empty() => return None,
            Step::Item(_) => described,
        };
        let group = groups.iter().map(|step| match step {
            Step::Name(name) => name.clone(),
            Step::Item(index) => index.map(|index| index.to_string()).unwrap_or_default(),
        });
        Some((Place { group: group.collect(), names, written: path.written }, value))
    };
    let mut places: Vec<_> = pairs.into_iter().filter_map(place).collect();
    let beside = places.iter().filter(|(_, value)| matches!(value, Value::Text(_)));
    let beside = beside.filter_map(|(place, value)| Some((place.beside_its_group()?, value.clone())));
    let is_sent = |beside: &Place| {
        let mut filled = places.iter().filter(|(_, value)| is_filled(value));
        filled.any(|(place, _)| place.group == beside.group && beside.names.iter().all(|name| place.has_name(name)))
    };
    let beside: Vec<_> = beside.filter(|(place, _)| !is_sent(place)).collect();
    places.extend(beside);
    places
}

/// A name by which `first_name`, `firstName` and `First-Name` are the same.
pub fn spelling(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The object that this value names, and the name.
fn name(path: &Path, value: &Value) -> Option<(Vec<Step>, String)> {
    match (path.steps.as_slice(), value) {
        ([object @ .., Step::Name(name)], Value::Text(text)) if NAME.contains(&name.as_str()) => {
            Some((object.to_vec(), text.expose().clone()))
        }
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
