//! Samples of what is stored: the messages of the queues in `events/queue` and `events/dead-letters`, and the items of
//! the table in `events/ledger`. Each is what the code of some release wrote; the code of today has to read all of
//! them, and to write the newest.
//!
//! With `UPDATE_SAMPLES` set the tests write the newest samples instead of comparing with them.

mod messages;
mod table;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::PathBuf,
};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::workspace;

type Item = HashMap<String, AttributeValue>;

/// The folder with the items as the code of today writes them.
const NEWEST: &str = "ledger/v3";

/// The samples in a folder of `events/` and in its subfolders: the path below the folder, without `.json`.
fn samples(folder: &str) -> Vec<(String, Value)> {
    let folder = workspace::root().join("events").join(folder);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&folder).unwrap().with_extension("").to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_else(|_| panic!("{}", path.display())))
    };
    workspace::files(&folder, "json").into_iter().map(read).collect()
}

/// Compares what was written with the sample at this path below `events/`.
fn assert_is_sample(sample: &str, written: &Value) {
    let path = workspace::root().join("events").join(format!("{sample}.json"));
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{written:#}\n")).unwrap();
    }
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; it would be {written:#}", path.display()));
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), *written, "{}", path.display());
}

/// An item as DynamoDB writes it in JSON.
fn json_of(item: &Item) -> Value {
    item.iter().map(|(name, value)| (name.clone(), json_of_value(value))).collect::<Map<_, _>>().into()
}

fn json_of_value(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::B(bytes) => json!({ "B": BASE64_STANDARD.encode(bytes) }),
        AttributeValue::Ss(texts) => json!({ "SS": texts.iter().collect::<BTreeSet<_>>() }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(json_of_value).collect::<Vec<_>>() }),
        AttributeValue::M(item) => json!({ "M": json_of(item) }),
        other => panic!("no item has {other:?}"),
    }
}

/// An item from the JSON of DynamoDB.
pub(crate) fn item_of(json: &Value) -> Item {
    json.as_object().unwrap().iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match (kind.as_str(), value) {
        ("S", value) => AttributeValue::S(text(value)),
        ("N", value) => AttributeValue::N(text(value)),
        ("BOOL", Value::Bool(value)) => AttributeValue::Bool(*value),
        ("B", value) => AttributeValue::B(Blob::new(BASE64_STANDARD.decode(text(value)).unwrap())),
        ("SS", Value::Array(values)) => AttributeValue::Ss(values.iter().map(text).collect()),
        ("L", Value::Array(values)) => AttributeValue::L(values.iter().map(attribute).collect()),
        ("M", value) => AttributeValue::M(item_of(value)),
        _ => panic!("{kind} {value}"),
    }
}

/// The attributes of an item in JSON and their types, without the numbers in names that count up.
fn shape(item: &Value) -> BTreeSet<(String, String)> {
    let attributes = item.as_object().unwrap().iter().map(|(name, value)| {
        let name = match name.split_once('-') {
            // Such as `form-37` and `form-37-a`, of which a sender's item has one for each window.
            Some(_) => "window",
            None => name.trim_end_matches(|c: char| c.is_ascii_digit()),
        };
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        let inner = match (kind.as_str(), value) {
            ("L", Value::Array(values)) => values.iter().find_map(|value| value.get("M")).map(shape),
            ("M", value) => Some(shape(value)),
            _ => None,
        };
        (name.to_owned(), format!("{kind} {inner:?}"))
    });
    attributes.collect()
}

/// Makes sure that there are samples of items with these attributes: a function wrote them.
pub(crate) fn assert_have_samples<'a>(items: impl IntoIterator<Item = &'a Item>) {
    let all: Vec<_> = samples(NEWEST).into_iter().map(|(name, item)| (name, shape(&item))).collect();
    for item in items {
        let pk = item["pk"].as_s().unwrap();
        let kind = pk.split('#').next().unwrap();
        let alike: Vec<_> = all.iter().filter(|(name, _)| name.starts_with(&format!("{kind}/"))).collect();
        let has = shape(&json_of(item));
        for attribute in &has {
            // A list without anything in it is as good as one with something.
            let is_same = |other: &(String, String)| {
                other == attribute || (other.0 == attribute.0 && attribute.1 == "L None" && other.1.starts_with("L "))
            };
            assert!(alike.iter().any(|(_, shape)| shape.iter().any(is_same)), "no sample of {kind} has {attribute:?}");
        }
        let always = alike.iter().map(|(_, shape)| shape.iter().map(|(name, _)| name).collect::<BTreeSet<_>>());
        let always = always.reduce(|one, other| &one & &other).unwrap_or_default();
        let missing: Vec<_> = always.iter().filter(|name| !has.iter().any(|(other, _)| other == **name)).collect();
        assert!(missing.is_empty(), "every sample of {kind} has {missing:?}, and {pk} does not");
    }
}
