//! DynamoDB's update expressions, as far as the ledger and its peers use them:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html>.

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};

pub(crate) type Item = Map<String, Value>;

/// Carries out the `UpdateExpression` of a request on an item.
pub(crate) fn update(item: &mut Item, request: &Value) -> anyhow::Result<()> {
    let expression = request["UpdateExpression"].as_str().context("an update has no UpdateExpression")?;
    let tokens = tokens(expression);
    let before = item.clone();
    let mut reader = Reader { request, before: &before, tokens: &tokens };
    let mut clause = "";
    while let Some(token) = reader.next() {
        match token.to_ascii_uppercase().as_str() {
            "SET" => clause = "SET",
            "ADD" => clause = "ADD",
            "REMOVE" => clause = "REMOVE",
            "," => {}
            _ => {
                let name = reader.name(token)?;
                match clause {
                    "SET" => {
                        reader.expect("=")?;
                        let value = reader.sum()?;
                        item.insert(name, value);
                    }
                    "ADD" => {
                        let by = reader.operand()?;
                        let value = match before.get(&name) {
                            Some(value) => number(integer(value)? + integer(&by)?),
                            None => by,
                        };
                        item.insert(name, value);
                    }
                    "REMOVE" => {
                        item.remove(&name);
                    }
                    _ => bail!("{expression:?} begins with no clause"),
                }
            }
        }
    }
    Ok(())
}

fn tokens(expression: &str) -> Vec<&str> {
    let is_word = |character: char| character.is_alphanumeric() || "#:_-.".contains(character);
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        // A minus with spaces around it subtracts; within a name it is a letter.
        let length = match is_word(first) && first != '-' {
            true => rest.find(|character| !is_word(character)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

struct Reader<'a> {
    request: &'a Value,
    before: &'a Item,
    tokens: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn expect(&mut self, expected: &str) -> anyhow::Result<()> {
        let found = self.next();
        ensure!(found == Some(expected), "{expected:?} was expected in an update, not {found:?}");
        Ok(())
    }

    /// The attribute that a name or a placeholder means.
    fn name(&self, token: &str) -> anyhow::Result<String> {
        if !token.starts_with('#') {
            return Ok(token.to_owned());
        }
        let name = self.request["ExpressionAttributeNames"][token].as_str();
        Ok(name.with_context(|| format!("{token} is no name of the request"))?.to_owned())
    }

    fn sum(&mut self) -> anyhow::Result<Value> {
        let first = self.operand()?;
        match self.tokens.first() {
            Some(&"+") => {
                self.next();
                Ok(number(integer(&first)? + integer(&self.operand()?)?))
            }
            Some(&"-") => {
                self.next();
                Ok(number(integer(&first)? - integer(&self.operand()?)?))
            }
            _ => Ok(first),
        }
    }

    fn operand(&mut self) -> anyhow::Result<Value> {
        let token = self.next().context("an update ends before its operand")?;
        if token.starts_with(':') {
            let value = self.request["ExpressionAttributeValues"].get(token);
            return Ok(value.with_context(|| format!("{token} is no value of the request"))?.clone());
        }
        if token == "if_not_exists" {
            self.expect("(")?;
            let token = self.next().context("if_not_exists has no name")?;
            let name = self.name(token)?;
            self.expect(",")?;
            let otherwise = self.operand()?;
            self.expect(")")?;
            return Ok(self.before.get(&name).cloned().unwrap_or(otherwise));
        }
        let name = self.name(token)?;
        Ok(self.before.get(&name).with_context(|| format!("the item has no attribute {name}"))?.clone())
    }
}

fn integer(value: &Value) -> anyhow::Result<i128> {
    let text = value["N"].as_str().with_context(|| format!("{value} is no number"))?;
    Ok(text.parse()?)
}

fn number(value: i128) -> Value {
    json!({ "N": value.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(item: Value, expression: &str) -> Value {
        let mut item = item.as_object().unwrap().clone();
        let request = json!({
            "UpdateExpression": expression,
            "ExpressionAttributeNames": {"#head": "head", "#used": "used", "#old": "old"},
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":far": {"N": "1795339800000000000000"}, ":a": {"S": "a"}},
        });
        update(&mut item, &request).unwrap();
        Value::Object(item)
    }

    #[test]
    fn numbers_are_set_added_and_subtracted() {
        let item = json!({"head": {"N": "1795339800000000000000"}, "used": {"N": "4"}, "old": {"S": "x"}});
        assert_eq!(
            updated(item, "SET #head = #head + :one, n1 = #used - :one ADD #used :one REMOVE #old"),
            json!({"head": {"N": "1795339800000000000001"}, "n1": {"N": "3"}, "used": {"N": "5"}})
        );
    }

    #[test]
    fn an_attribute_that_is_not_there_is_set_or_counted_from_nothing() {
        assert_eq!(
            updated(json!({}), "SET #old = if_not_exists(#old, :a), n0=:far ADD #used :one"),
            json!({"old": {"S": "a"}, "n0": {"N": "1795339800000000000000"}, "used": {"N": "1"}})
        );
        assert_eq!(
            updated(json!({"old": {"S": "x"}}), "SET #old = if_not_exists(#old, :a)"),
            json!({"old": {"S": "x"}})
        );
    }

    #[test]
    fn every_operand_is_that_of_the_item_before_the_update() {
        let item = json!({"n0": {"N": "7"}, "n1": {"N": "6"}});
        assert_eq!(
            updated(item, "SET n0 = :one, n1 = if_not_exists(n0, :one), n2 = if_not_exists(n1, :one)"),
            json!({"n0": {"N": "1"}, "n1": {"N": "7"}, "n2": {"N": "6"}})
        );
    }

    #[test]
    fn an_expression_that_is_not_understood_is_an_error() {
        for expression in ["#used :one", "SET #used", "SET #used = list_append(#used, :one)", "SET #none = :one"] {
            let request = json!({
                "UpdateExpression": expression,
                "ExpressionAttributeNames": {"#used": "used"},
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            });
            assert!(update(&mut Item::new(), &request).is_err(), "{expression}");
        }
    }
}
