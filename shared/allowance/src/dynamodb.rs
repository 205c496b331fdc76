use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use leadsquared::Limit;
use time::OffsetDateTime;

use crate::line::{Answer, Ask, Booking, Line, LineError, State};
use crate::settings::Rules;

/// The line's item in the ledger's table.
const PK: &str = "allowance#line";

/// How often a booking starts again because others were quicker: each time one of them has got on.
const ATTEMPTS: usize = 20;

/// A line in a DynamoDB table, for all processes that share the table.
///
/// The item is only written, never read on its own: each write returns it, also one whose condition fails. What was seen
/// last is remembered, and the next booking starts from there. On a busy line it is one update that adds to whatever the
/// others have made of the item meanwhile. Where that is not possible, because the line is idle, a day begins or a slower
/// limit comes or goes, the item as a whole is replaced if it is still the one that was seen.
///
/// The role needs `dynamodb:PutItem` and `dynamodb:UpdateItem`.
#[derive(Debug)]
pub struct DynamoDb {
    rules: Rules,
    client: Client,
    table: String,
    seen: Mutex<Option<Seen>>,
}

/// The item as it was seen last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    revision: i128,
    state: State,
}

/// What a conditional write led to.
enum Written {
    Done,
    /// Nothing was written; what was seen is up to date now.
    Outdated,
}

type Item = HashMap<String, AttributeValue>;

impl DynamoDb {
    /// The line in this table, whose key is a text `pk`.
    pub fn new(client: Client, table: String, rules: Rules) -> Self {
        Self { rules, client, table, seen: Mutex::new(None) }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a booking to whatever the item has become, if the line is still as busy as it was seen to be. The slot.
    async fn add(
        &self,
        seen: &Seen,
        booking: &Booking,
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, LineError> {
        let daily = self.rules.settings().daily.unwrap_or(u32::MAX);
        let mut update = "SET #head = #head + :interval, #used = #used + :one, #revision = #revision + :one".to_owned();
        let mut condition = "#head BETWEEN :now AND :last AND #day = :day AND #used < :daily \
            AND #slower = :slower AND #slower_until = :slower_until"
            .to_owned();
        let mut values = vec![
            (":interval", nanoseconds(booking.interval)),
            (":one", number(1)),
            (":now", timestamp(now)),
            (":last", timestamp(booking.last)),
            (":day", number(seen.state.day.into())),
            (":daily", number(daily.into())),
            (":slower", nanoseconds(seen.state.slower)),
            (":slower_until", timestamp(seen.state.slower_until)),
        ];
        let mut names = vec!["head", "used", "revision", "day", "slower", "slower_until"];
        if booking.on_turn {
            update += ", #turn = :next_turn";
            condition += " AND #turn = :turn";
            values.extend([(":next_turn", timestamp(booking.after.turn)), (":turn", timestamp(seen.state.turn))]);
            names.push("turn");
        }
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(PK.to_owned()))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(placeholders(&names)))
            .set_expression_attribute_values(Some(values.into_iter().map(owned).collect()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update.send().await {
            Ok(done) => {
                let new = Seen::read(&done.attributes.unwrap_or_default())?;
                *self.seen() = Some(new);
                Ok(Some(new.state.head - booking.interval))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    *self.seen() = failed.item().map(Seen::read).transpose()?;
                    Ok(None)
                }
                _ => Err(LineError::Unavailable { cause: aws::cause(&error) }),
            },
        }
    }

    /// Writes the whole item if it is still the one that was seen.
    async fn replace(&self, seen: Option<Seen>, state: State) -> Result<Written, LineError> {
        let new = Seen { revision: seen.map_or(0, |seen| seen.revision) + 1, state };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(new.item()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match seen {
            Some(seen) => put
                .condition_expression("#revision = :revision")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(":revision", number(seen.revision)),
            None => put.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", "pk"),
        };
        match put.send().await {
            Ok(_) => {
                *self.seen() = Some(new);
                Ok(Written::Done)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    *self.seen() = failed.item().map(Seen::read).transpose()?;
                    Ok(Written::Outdated)
                }
                _ => Err(LineError::Unavailable { cause: aws::cause(&error) }),
            },
        }
    }
}

impl Line for DynamoDb {
    fn rules(&self) -> &Rules {
        &self.rules
    }

    async fn book(&self, ask: Ask) -> Result<Answer, LineError> {
        for _ in 0..ATTEMPTS {
            let seen = *self.seen();
            // What was seen may be old, but a line only fills up: where it had no slot it has none now.
            let booking = match seen.map_or(State::NEW, |seen| seen.state).book(&self.rules, &ask) {
                Ok(booking) => booking,
                Err(answer) => return Ok(answer),
            };
            match seen {
                Some(seen) if booking.only_adds_to(&seen.state) => {
                    if let Some(slot) = self.add(&seen, &booking, ask.now).await? {
                        return Ok(Answer::Leave { slot });
                    }
                }
                _ => {
                    if let Written::Done = self.replace(seen, booking.after).await? {
                        return Ok(Answer::Leave { slot: booking.slot });
                    }
                }
            }
        }
        Err(LineError::Contended)
    }

    async fn push_back(&self, now: OffsetDateTime, limit: Option<Limit>) -> Result<(), LineError> {
        for _ in 0..ATTEMPTS {
            let seen = *self.seen();
            let state = seen.map_or(State::NEW, |seen| seen.state).pushed_back(&self.rules, now, limit);
            if let Written::Done = self.replace(seen, state).await? {
                return Ok(());
            }
        }
        Err(LineError::Contended)
    }
}

impl Booking {
    /// Whether somebody else's booking in between would not matter.
    fn only_adds_to(&self, state: &State) -> bool {
        let added = State { head: state.head + self.interval, used: self.after.used, turn: self.after.turn, ..*state };
        self.after == added
    }
}

impl Seen {
    fn item(&self) -> Item {
        let State { head, turn, day, used, slower, slower_until } = self.state;
        let attributes = [
            ("pk", AttributeValue::S(PK.to_owned())),
            ("revision", number(self.revision)),
            ("head", timestamp(head)),
            ("turn", timestamp(turn)),
            ("day", number(day.into())),
            ("used", number(used.into())),
            ("slower", nanoseconds(slower)),
            ("slower_until", timestamp(slower_until)),
        ];
        attributes.into_iter().map(owned).collect()
    }

    fn read(item: &Item) -> Result<Self, LineError> {
        let corrupt = |attribute| LineError::Corrupt { pk: PK, attribute };
        let integer = |attribute| {
            let value = item.get(attribute).and_then(|value| value.as_n().ok()?.parse::<i128>().ok());
            value.ok_or(corrupt(attribute))
        };
        let timestamp =
            |attribute| OffsetDateTime::from_unix_timestamp_nanos(integer(attribute)?).map_err(|_| corrupt(attribute));
        Ok(Self {
            revision: integer("revision")?,
            state: State {
                head: timestamp("head")?,
                turn: timestamp("turn")?,
                day: integer("day")?.try_into().map_err(|_| corrupt("day"))?,
                used: integer("used")?.try_into().map_err(|_| corrupt("used"))?,
                slower: Duration::from_nanos(integer("slower")?.try_into().map_err(|_| corrupt("slower"))?),
                slower_until: timestamp("slower_until")?,
            },
        })
    }
}

fn number(value: i128) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn timestamp(time: OffsetDateTime) -> AttributeValue {
    number(time.unix_timestamp_nanos())
}

fn nanoseconds(duration: Duration) -> AttributeValue {
    AttributeValue::N(duration.as_nanos().to_string())
}

fn placeholders(names: &[&str]) -> HashMap<String, String> {
    names.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect()
}

fn owned((name, value): (&str, AttributeValue)) -> (String, AttributeValue) {
    (name.to_owned(), value)
}
