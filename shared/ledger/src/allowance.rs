//! The schedule of the call allowance, in one item.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use call_allowance::{Reserve, ScheduleError, ScheduleState, ScheduleStore, SlotBooking, StoredSchedule, Written};
use time::OffsetDateTime;

use crate::item::{Item, Reader, number, placeholders, text};
use crate::{ItemType, Ledger, LedgerError};

/// The key of the item.
fn pk() -> String {
    ItemType::Allowance.key("line")
}

/// A booking needs the rights `dynamodb:PutItem` and `dynamodb:UpdateItem`. Without `dynamodb:GetItem` the schedule is
/// as safe, and a little less exact about slots that are free.
impl ScheduleStore for Ledger {
    async fn read(&self) -> Result<Option<StoredSchedule>, ScheduleError> {
        // Not consistent, which costs half as much: a booking is a conditional write all the same.
        let get = self.client.get_item().table_name(&self.table).key("pk", text(&pk())).send().await;
        let item = get.map_err(|error| LedgerError::unavailable(&error))?.item;
        item.as_ref().map(kept).transpose()
    }

    async fn replace(&self, revision: Option<i128>, state: &ScheduleState) -> Result<Written, ScheduleError> {
        let new = StoredSchedule { revision: revision.unwrap_or_default() + 1, state: state.clone() };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(&new)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match revision {
            Some(revision) => put
                .condition_expression("#revision = :revision")
                .expression_attribute_names("#revision", "revision")
                .expression_attribute_values(":revision", number(revision)),
            None => put.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", "pk"),
        };
        match put.send().await {
            Ok(_) => Ok(Written::Done(new)),
            Err(error) => outdated(LedgerError::unmet_condition(error)?),
        }
    }

    async fn add(
        &self,
        seen: &ScheduleState,
        booking: &SlotBooking,
        now: OffsetDateTime,
        daily: u32,
    ) -> Result<Written, ScheduleError> {
        let mut update = "SET #head = #head + :span, #used = #used + :calls, #revision = #revision + :one".to_owned();
        let mut condition = "#head BETWEEN :now AND :last AND #day = :day AND #used <= :most \
            AND #slower = :slower AND #slower_until = :slower_until"
            .to_owned();
        let mut values = vec![
            (":span", nanoseconds(booking.span())),
            (":calls", number(booking.calls)),
            (":one", number(1)),
            (":now", timestamp(now)),
            (":last", timestamp(booking.last)),
            (":day", number(seen.day)),
            (":most", number(daily.saturating_sub(booking.calls))),
            (":slower", nanoseconds(seen.slower)),
            (":slower_until", timestamp(seen.slower_until)),
        ];
        let mut names = vec!["head", "used", "revision", "day", "slower", "slower_until", "reserve"];
        if seen.reserve == Reserve::NONE {
            condition += " AND attribute_not_exists(#reserve)";
        } else {
            condition += " AND #reserve = :reserve";
            values.push((":reserve", reserve(&seen.reserve)));
        }
        if booking.after.turn != seen.turn {
            update += ", #turn = :next_turn";
            condition += " AND #turn = :turn";
            values.extend([(":next_turn", timestamp(booking.after.turn)), (":turn", timestamp(seen.turn))]);
            names.push("turn");
        }
        let update = self
            .update(pk())
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(placeholders(&names)))
            .set_expression_attribute_values(Some(values.into_iter().map(owned).collect()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update.send().await {
            Ok(done) => Ok(Written::Done(kept(&done.attributes.unwrap_or_default())?)),
            Err(error) => outdated(LedgerError::unmet_condition(error)?),
        }
    }
}

/// The stored schedule that did not fulfil the condition of a write, if DynamoDB returned it.
fn outdated(item: Option<Item>) -> Result<Written, ScheduleError> {
    Ok(Written::Outdated(item.as_ref().map(kept).transpose()?))
}

fn item(StoredSchedule { revision, state }: &StoredSchedule) -> Item {
    let mut attributes = vec![
        ("pk", text(&pk())),
        ("revision", number(*revision)),
        ("head", timestamp(state.head)),
        ("turn", timestamp(state.turn)),
        ("day", number(state.day)),
        ("used", number(state.used)),
        ("slower", nanoseconds(state.slower)),
        ("slower_until", timestamp(state.slower_until)),
    ];
    if state.reserve != Reserve::NONE {
        attributes.push(("reserve", reserve(&state.reserve)));
    }
    attributes.into_iter().map(owned).collect()
}

fn kept(item: &Item) -> Result<StoredSchedule, ScheduleError> {
    let item = Reader { pk: pk(), item };
    let state = ScheduleState {
        head: item.nanosecond("head")?,
        turn: item.nanosecond("turn")?,
        day: item.number("day")?,
        used: item.number("used")?,
        slower: Duration::from_nanos(item.number("slower")?),
        slower_until: item.nanosecond("slower_until")?,
        reserve: match item.item.get("reserve") {
            // An earlier version wrote the item: nothing is reserved.
            None => Reserve::NONE,
            Some(value) => read_reserve(value).ok_or_else(|| item.corrupt("reserve"))?,
        },
    };
    Ok(StoredSchedule { revision: item.number("revision")?, state })
}

/// What is kept for the background, as one attribute: compared as a whole, and dropped as a whole by an earlier
/// version.
fn reserve(reserve: &Reserve) -> AttributeValue {
    let slots = reserve.slots.iter().copied().map(timestamp).collect();
    let attributes =
        [("left", number(reserve.left)), ("due", timestamp(reserve.due)), ("slots", AttributeValue::L(slots))];
    AttributeValue::M(attributes.into_iter().map(owned).collect())
}

fn read_reserve(value: &AttributeValue) -> Option<Reserve> {
    let map = value.as_m().ok()?;
    let integer = |value: &AttributeValue| value.as_n().ok()?.parse::<i128>().ok();
    let timestamp = |value: &AttributeValue| OffsetDateTime::from_unix_timestamp_nanos(integer(value)?).ok();
    Some(Reserve {
        left: integer(map.get("left")?)?.try_into().ok()?,
        due: timestamp(map.get("due")?)?,
        slots: map.get("slots")?.as_l().ok()?.iter().map(timestamp).collect::<Option<_>>()?,
    })
}

/// A table that throttles is still available: a process must not continue without it, because all processes of a crowd
/// would do so at once.
impl From<LedgerError> for ScheduleError {
    fn from(error: LedgerError) -> Self {
        match error {
            error if error.is_throttled() => Self::Contended,
            LedgerError::Unavailable { cause } => Self::Unavailable { cause },
            LedgerError::Corrupt { pk, attribute } => Self::Corrupt { pk, attribute },
            LedgerError::ClaimLost | LedgerError::Contended => Self::Contended,
        }
    }
}

fn timestamp(time: OffsetDateTime) -> AttributeValue {
    number(time.unix_timestamp_nanos())
}

fn nanoseconds(duration: Duration) -> AttributeValue {
    number(duration.as_nanos())
}

fn owned((name, value): (&str, AttributeValue)) -> (String, AttributeValue) {
    (name.to_owned(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_throttles_is_not_one_that_cannot_be_reached() {
        let of = |cause: &str| ScheduleError::from(LedgerError::Unavailable { cause: cause.to_owned() });
        for code in ["ThrottlingException", "ProvisionedThroughputExceededException"] {
            assert_eq!(of(code), ScheduleError::Contended, "{code}");
        }
        assert_eq!(of("not reached"), ScheduleError::Unavailable { cause: "not reached".to_owned() });
    }
}
