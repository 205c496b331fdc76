//! Converts YAML to JSON.

use anyhow::{Context, bail};
use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Value, json};

/// Reads the only document of a text. CloudFormation's short tags are expanded: `!Ref X` is `{"Ref": "X"}`.
///
/// # Errors
/// When the text is not YAML, does not have exactly one document, or has a value without a counterpart in JSON.
pub fn read(text: &str) -> anyhow::Result<Value> {
    match &*YamlOwned::load_from_str(text)? {
        [document] => json(document),
        documents => bail!("the text holds {} YAML documents instead of one", documents.len()),
    }
}

fn json(node: &YamlOwned) -> anyhow::Result<Value> {
    Ok(match node {
        YamlOwned::Value(ScalarOwned::Null) => Value::Null,
        YamlOwned::Value(ScalarOwned::Boolean(value)) => json!(value),
        YamlOwned::Value(ScalarOwned::Integer(value)) => json!(value),
        YamlOwned::Value(ScalarOwned::FloatingPoint(value)) => json!(value.into_inner()),
        YamlOwned::Value(ScalarOwned::String(value)) => json!(value),
        YamlOwned::Sequence(items) => items.iter().map(json).collect::<anyhow::Result<_>>()?,
        YamlOwned::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let name = key.as_str().with_context(|| format!("the key {key:?} is not a text"))?;
                anyhow::Ok((name.to_owned(), json(value)?))
            });
            Value::Object(entries.collect::<anyhow::Result<_>>()?)
        }
        YamlOwned::Tagged(tag, node) => {
            let intrinsic = if tag.suffix == "Ref" { "Ref".to_owned() } else { format!("Fn::{}", tag.suffix) };
            json!({ intrinsic: json(node)? })
        }
        other => bail!("{other:?} has no counterpart in JSON"),
    })
}
