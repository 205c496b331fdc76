use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use leadsquared::{Lane, Limit};
use time::OffsetDateTime;

use crate::schedule::{CallSchedule, Reserve, ScheduleError, ScheduleState, SlotBooking, SlotDecision, SlotRequest};
use crate::settings::AllowanceRules;

/// The line's item in the ledger's table.
const PK: &str = "allowance#line";

/// How often a booking starts again because others were quicker: each time one of them has got on.
const ATTEMPTS: usize = 60;

/// A line in a DynamoDB table, for all processes that share the table.
///
/// Each write returns the item, also one whose condition fails. What was seen last is remembered, and the next booking
/// starts from there. On a busy line it is one update that adds to whatever the others have made of the item
/// meanwhile. Where that is not possible, because the line is idle, a day begins, a slower limit comes or goes, or a
/// slot is reserved for the background or taken from its reserve, the item as a whole is replaced if it is still the
/// one that was seen.
///
/// **Crowds.** An attempt that is turned away writes nothing. When a process has last seen a line that was full, it
/// reads the item before it writes: DynamoDB serves six times as many reads of one item as writes, and reads do not
/// get into the way of those who book. For one interval even that is not needed. Bookings that compete for the item
/// fail only because others succeed, and there are never more of those in a row than free slots within the patience.
///
/// The role needs `dynamodb:PutItem` and `dynamodb:UpdateItem`. Without `dynamodb:GetItem` the line is as safe, and a
/// little less exact about slots that are free.
#[derive(Debug)]
pub struct DynamoDb {
    rules: AllowanceRules,
    client: Client,
    table: String,
    seen: Mutex<Option<Seen>>,
}

/// The item as it was seen last.
#[derive(Clone, Debug)]
struct Seen {
    revision: i128,
    state: ScheduleState,
    /// When, on the clock of whoever asked then.
    at: OffsetDateTime,
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
    pub fn new(client: Client, table: String, rules: AllowanceRules) -> Self {
        Self { rules, client, table, seen: Mutex::new(None) }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a booking to whatever the item has become, if the line is still as busy as it was seen to be. The slot.
    async fn add(
        &self,
        seen: &Seen,
        booking: &SlotBooking,
        SlotRequest { lane, now, .. }: SlotRequest,
    ) -> Result<Option<OffsetDateTime>, ScheduleError> {
        let daily = self.rules.daily(lane).unwrap_or(u32::MAX);
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
        let mut names = vec!["head", "used", "revision", "day", "slower", "slower_until", "reserve"];
        if seen.state.reserve == Reserve::NONE {
            condition += " AND attribute_not_exists(#reserve)";
        } else {
            condition += " AND #reserve = :reserve";
            values.push((":reserve", reserve(&seen.state.reserve)));
        }
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
                let new = Seen::read(&done.attributes.unwrap_or_default(), now)?;
                let slot = new.state.head - booking.interval;
                *self.seen() = Some(new);
                Ok(Some(slot))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    *self.seen() = failed.item().map(|item| Seen::read(item, now)).transpose()?;
                    Ok(None)
                }
                _ => Err(failure(aws::cause(&error))),
            },
        }
    }

    /// Writes the whole item if it is still the one that was seen.
    async fn replace(
        &self,
        seen: Option<Seen>,
        state: ScheduleState,
        now: OffsetDateTime,
    ) -> Result<Written, ScheduleError> {
        let new = Seen { revision: seen.as_ref().map_or(0, |seen| seen.revision) + 1, state, at: now };
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
                    *self.seen() = failed.item().map(|item| Seen::read(item, now)).transpose()?;
                    Ok(Written::Outdated)
                }
                _ => Err(failure(aws::cause(&error))),
            },
        }
    }

    /// Reads the item, to know more than was seen. It is no harm if that is not possible: no slot is had without a
    /// write.
    async fn look(&self, now: OffsetDateTime) {
        let get = self.client.get_item().table_name(&self.table).key("pk", AttributeValue::S(PK.to_owned()));
        let Ok(Some(item)) = get.send().await.map(|found| found.item) else { return };
        let Ok(found) = Seen::read(&item, now) else { return };
        let mut seen = self.seen();
        // A read may be older than a write that was answered before it.
        if seen.as_ref().is_none_or(|seen| seen.revision <= found.revision) {
            *seen = Some(found);
        }
    }

    /// Whether the item has to be read before this answer is believed or this booking tried.
    fn is_outdated(&self, seen: &Seen, ask: &SlotRequest, booked: Result<&SlotBooking, &SlotDecision>) -> bool {
        let is_recent = seen.at <= ask.now && ask.now < seen.at + self.rules.interval();
        match (booked, ask.lane) {
            // A day only fills up.
            (Err(SlotDecision::DayUsedUp { .. }), _) => false,
            // People may have left slots for it since.
            (Err(_), Lane::Background) => true,
            // At the last moment those are for people too. They lie too far ahead for that when they are made. Only a
            // slot that was to be reserved may have become one for people, after a complaint.
            (Err(_), Lane::Interactive) => {
                let last = ask.latest.min(ask.now + self.rules.settings().patience);
                !is_recent || seen.state.head <= last
            }
            // The line was full, and will be still if there is a crowd: somebody else may have had the slot.
            (Ok(_), Lane::Interactive) => {
                let full = self.rules.settings().patience.saturating_sub(self.rules.interval() * 2);
                seen.at != ask.now && seen.state.head > seen.at + full
            }
            (Ok(_), Lane::Background) => false,
        }
    }
}

impl CallSchedule for DynamoDb {
    fn rules(&self) -> &AllowanceRules {
        &self.rules
    }

    async fn book(&self, ask: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        let mut has_looked = false;
        for _ in 0..ATTEMPTS {
            let seen = self.seen().clone();
            let booked = seen.as_ref().map_or(&ScheduleState::NEW, |seen| &seen.state).book(&self.rules, &ask);
            if let Some(seen) = &seen
                && !has_looked
                && self.is_outdated(seen, &ask, booked.as_ref())
            {
                has_looked = true;
                self.look(ask.now).await;
                continue;
            }
            // A line only fills up: where it had no slot it has none now.
            let booking = match booked {
                Ok(booking) => booking,
                Err(answer) => return Ok(answer),
            };
            // What a write finds out is as good as a read.
            has_looked = true;
            match seen {
                Some(seen) if booking.only_adds_to(&seen.state) => {
                    if let Some(slot) = self.add(&seen, &booking, ask).await? {
                        return Ok(SlotDecision::Granted { slot });
                    }
                }
                _ => {
                    if let Written::Done = self.replace(seen, booking.after, ask.now).await? {
                        return Ok(SlotDecision::Granted { slot: booking.slot });
                    }
                }
            }
        }
        Err(ScheduleError::Contended)
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<Limit>) -> Result<(), ScheduleError> {
        for _ in 0..ATTEMPTS {
            let seen = self.seen().clone();
            let state =
                seen.as_ref().map_or(&ScheduleState::NEW, |seen| &seen.state).backed_off(&self.rules, now, limit);
            if let Written::Done = self.replace(seen, state, now).await? {
                return Ok(());
            }
        }
        Err(ScheduleError::Contended)
    }
}

impl SlotBooking {
    /// Whether somebody else's booking in between would not matter.
    fn only_adds_to(&self, state: &ScheduleState) -> bool {
        let head = state.head + self.interval;
        let added = ScheduleState { head, used: self.after.used, turn: self.after.turn, ..state.clone() };
        self.after == added
    }
}

impl Seen {
    fn item(&self) -> Item {
        let ScheduleState { head, turn, day, used, slower, slower_until, .. } = self.state;
        let mut attributes = vec![
            ("pk", AttributeValue::S(PK.to_owned())),
            ("revision", number(self.revision)),
            ("head", timestamp(head)),
            ("turn", timestamp(turn)),
            ("day", number(day.into())),
            ("used", number(used.into())),
            ("slower", nanoseconds(slower)),
            ("slower_until", timestamp(slower_until)),
        ];
        if self.state.reserve != Reserve::NONE {
            attributes.push(("reserve", reserve(&self.state.reserve)));
        }
        attributes.into_iter().map(owned).collect()
    }

    fn read(item: &Item, at: OffsetDateTime) -> Result<Self, ScheduleError> {
        let corrupt = |attribute| ScheduleError::Corrupt { pk: PK, attribute };
        let integer = |attribute| {
            let value = item.get(attribute).and_then(|value| value.as_n().ok()?.parse::<i128>().ok());
            value.ok_or(corrupt(attribute))
        };
        let timestamp =
            |attribute| OffsetDateTime::from_unix_timestamp_nanos(integer(attribute)?).map_err(|_| corrupt(attribute));
        let reserve = match item.get("reserve") {
            // An earlier version wrote the item: nothing is reserved.
            None => Reserve::NONE,
            Some(value) => read_reserve(value).ok_or(corrupt("reserve"))?,
        };
        Ok(Self {
            revision: integer("revision")?,
            at,
            state: ScheduleState {
                head: timestamp("head")?,
                turn: timestamp("turn")?,
                day: integer("day")?.try_into().map_err(|_| corrupt("day"))?,
                used: integer("used")?.try_into().map_err(|_| corrupt("used"))?,
                slower: Duration::from_nanos(integer("slower")?.try_into().map_err(|_| corrupt("slower"))?),
                slower_until: timestamp("slower_until")?,
                reserve,
            },
        })
    }
}

/// What is kept for the background, as one attribute: compared as a whole, and dropped as a whole by an earlier
/// version.
fn reserve(reserve: &Reserve) -> AttributeValue {
    let slots = reserve.slots.iter().copied().map(timestamp).collect();
    let attributes =
        [("left", number(reserve.left.into())), ("due", timestamp(reserve.due)), ("slots", AttributeValue::L(slots))];
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

/// A table that is asked for more than it permits is there all the same: nobody may go on without it, as all who are
/// in the crowd would at once.
fn failure(cause: String) -> ScheduleError {
    const TOO_MUCH: [&str; 4] = [
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "TransactionConflict",
    ];
    if TOO_MUCH.contains(&cause.as_str()) { ScheduleError::Contended } else { ScheduleError::Unavailable { cause } }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_throttles_is_not_one_that_cannot_be_reached() {
        for code in ["ThrottlingException", "ProvisionedThroughputExceededException"] {
            assert_eq!(failure(code.to_owned()), ScheduleError::Contended, "{code}");
        }
        let cause = "not reached".to_owned();
        assert_eq!(failure(cause.clone()), ScheduleError::Unavailable { cause });
    }
}
