//! DynamoDB, SQS and Secrets Manager, as far as an application and an invitation call them.
//!
//! No person comes twice in a measurement. The table therefore forgets every item of a person, a sender or a link, and
//! every condition of a write holds. It keeps the items of the account: the call allowance and the counts of the day.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use http::StatusCode;
use http::request::Parts;
use http_body_util::Full;
use ledger::{BelongsTo, ItemType};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::fakes::calls::{Calls, Units};
use crate::fakes::server::Answer;
use crate::fakes::update::{Item, update};

/// The keys in the secret.
const KEYS: &str = r#"{"accessKey":"u$r0123456789abcdef","secretKey":"s3cret0123456789abcdef"}"#;

/// The emulated services. One table serves each process under test.
#[derive(Default)]
pub(crate) struct Aws {
    items: Mutex<HashMap<String, Item>>,
    sent: AtomicU64,
}

impl Aws {
    /// Answers a request of the JSON protocol, and counts it.
    pub(crate) fn answer(&self, calls: &Mutex<Calls>, parts: &Parts, body: &[u8]) -> Answer {
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let Some((_, operation)) = target.rsplit_once('.') else {
            calls.lock().unwrap_or_else(PoisonError::into_inner).count_aws("connection", Units::default());
            return Answer::new(Full::from("healthy"));
        };
        let mut units = Units::default();
        let answer = serde_json::from_slice(body)
            .context("the body is no JSON")
            .and_then(|request| self.carry_out(operation, &request, &mut units));
        calls.lock().unwrap_or_else(PoisonError::into_inner).count_aws(operation, units);
        let (status, body) = match answer {
            Ok(answer) => (StatusCode::OK, answer),
            Err(error) => {
                let message = format!("{target}: {error:#}");
                (StatusCode::BAD_REQUEST, json!({"__type": "ValidationException", "message": message}))
            }
        };
        let answer = http::Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
        answer.body(Full::from(body.to_string())).expect("the headers are valid")
    }

    fn carry_out(&self, operation: &str, request: &Value, units: &mut Units) -> anyhow::Result<Value> {
        Ok(match operation {
            "GetItem" => {
                units.read(request["ConsistentRead"] == true);
                match self.items().get(key(&request["Key"])?) {
                    Some(item) => json!({ "Item": item }),
                    None => json!({}),
                }
            }
            "BatchGetItem" => self.batch_get(request, units)?,
            "PutItem" => {
                units.write();
                self.put(request)?;
                json!({})
            }
            "UpdateItem" => {
                units.write();
                let new = self.update(request)?;
                if request["ReturnValues"] == "ALL_NEW" { json!({ "Attributes": new }) } else { json!({}) }
            }
            "TransactWriteItems" => {
                for write in request["TransactItems"].as_array().context("a transaction has no TransactItems")? {
                    units.write_in_transaction();
                    if write["Put"].is_object() {
                        self.put(&write["Put"])?;
                    } else if write["Update"].is_object() {
                        self.update(&write["Update"])?;
                    } else if !write["ConditionCheck"].is_object() {
                        bail!("unknown part of a transaction: {write}");
                    }
                }
                json!({})
            }
            "SendMessage" => {
                let body = request["MessageBody"].as_str().context("a message has no body")?;
                let number = self.sent.fetch_add(1, Ordering::Relaxed);
                json!({
                    "MD5OfMessageBody": hex::encode(Md5::digest(body)),
                    "MessageId": format!("5fea7756-0ea4-451a-a703-{number:012x}"),
                    "SequenceNumber": format!("{number:020}"),
                })
            }
            "GetSecretValue" => json!({
                "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:keys-AbCdEf",
                "Name": "keys",
                "SecretString": KEYS,
                "VersionId": "a0b1c2d3-e4f5-4a6b-8c7d-0123456789ab",
                "VersionStages": ["AWSCURRENT"],
            }),
            _ => bail!("not emulated"),
        })
    }

    fn batch_get(&self, request: &Value, units: &mut Units) -> anyhow::Result<Value> {
        let mut responses = serde_json::Map::new();
        for (table, wanted) in request["RequestItems"].as_object().context("a batch has no RequestItems")? {
            let mut found = Vec::new();
            for wanted_key in wanted["Keys"].as_array().context("a batch has no Keys")? {
                units.read(wanted["ConsistentRead"] == true);
                found.extend(self.items().get(key(wanted_key)?).cloned().map(Value::Object));
            }
            responses.insert(table.clone(), Value::Array(found));
        }
        Ok(json!({"Responses": responses, "UnprocessedKeys": {}}))
    }

    fn put(&self, request: &Value) -> anyhow::Result<()> {
        let item = request["Item"].as_object().context("a write has no Item")?;
        let pk = key(&request["Item"])?;
        if is_kept(pk) {
            self.items().insert(pk.to_owned(), item.clone());
        }
        Ok(())
    }

    /// Updates an item; returns all of its new attributes.
    fn update(&self, request: &Value) -> anyhow::Result<Item> {
        let pk = key(&request["Key"])?;
        let mut items = self.items();
        let before = items.get(pk).cloned();
        let mut item = before.unwrap_or_else(|| request["Key"].as_object().cloned().unwrap_or_default());
        update(&mut item, request)?;
        if is_kept(pk) {
            items.insert(pk.to_owned(), item.clone());
        }
        Ok(item)
    }

    fn items(&self) -> std::sync::MutexGuard<'_, HashMap<String, Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(of: &Value) -> anyhow::Result<&str> {
    of["pk"]["S"].as_str().context("an item has no key `pk`")
}

fn is_kept(pk: &str) -> bool {
    ItemType::of_key(pk).is_some_and(|item_type| item_type.belongs_to() == BelongsTo::Account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(aws: &Aws, operation: &str, request: Value) -> Value {
        aws.carry_out(operation, &request, &mut Units::default()).unwrap()
    }

    #[test]
    fn the_table_keeps_items_of_the_account_and_forgets_those_of_people() {
        let aws = Aws::default();
        for (pk, kept) in
            [("allowance#line", true), ("mails#2026-11-30", true), ("person#ab", false), ("link#ab", false)]
        {
            let item = json!({"pk": {"S": pk}, "count": {"N": "1"}});
            ask(&aws, "PutItem", json!({ "Item": item }));
            let found = ask(&aws, "GetItem", json!({"Key": {"pk": {"S": pk}}}));
            assert_eq!(found, if kept { json!({ "Item": item }) } else { json!({}) }, "{pk}");
        }
    }

    #[test]
    fn an_update_returns_the_new_item_and_a_transaction_writes_each_part() {
        let aws = Aws::default();
        let add = |pk: &str| {
            json!({
                "Key": {"pk": {"S": pk}},
                "UpdateExpression": "ADD #count :one",
                "ExpressionAttributeNames": {"#count": "count"},
                "ExpressionAttributeValues": {":one": {"N": "1"}},
                "ReturnValues": "ALL_NEW",
            })
        };
        ask(
            &aws,
            "TransactWriteItems",
            json!({"TransactItems": [{"Update": add("count#a")}, {"Update": add("lead#a")}]}),
        );
        let new = |pk: &str| ask(&aws, "UpdateItem", add(pk))["Attributes"]["count"]["N"].clone();
        assert_eq!((new("count#a"), new("lead#a")), (json!("2"), json!("1")));
    }

    #[test]
    fn a_message_is_confirmed_with_its_digest() {
        let sent = ask(&Aws::default(), "SendMessage", json!({"MessageBody": "abc"}));
        assert_eq!(sent["MD5OfMessageBody"], "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn an_operation_that_is_not_emulated_fails() {
        assert!(Aws::default().carry_out("Scan", &json!({}), &mut Units::default()).is_err());
    }
}
