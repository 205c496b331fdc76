//! Budgets of a UTC day: text messages of the account, look-ups that decide rules, and calls of one network's requests.

use throttle::Network;
use time::{Duration, OffsetDateTime};

use crate::item::{EXPIRES_AT, hashed, number, seconds};
use crate::{ItemType, Ledger, LedgerError, day};

/// How long a budget is kept: longer than its day.
const BUDGETS_KEPT: Duration = Duration::days(2);

impl Ledger {
    /// Takes one of the day's text messages. False if there is none left.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. It may be taken then.
    pub async fn take_text(&self, budget: u32, now: OffsetDateTime) -> Result<bool, LedgerError> {
        self.take_of_day(texts_key(now), 1, budget, now).await
    }

    /// Gives back a text message that was certainly not sent.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn give_text_back(&self, now: OffsetDateTime) -> Result<(), LedgerError> {
        let update = self
            .update(texts_key(now))
            .update_expression("ADD #count :less")
            .condition_expression("#count > :none")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":less", number(-1))
            .expression_attribute_values(":none", number(0));
        self.carry_out(update).await.map(drop)
    }

    /// Takes some of the day's calls to LeadSquared for the requests of a network: all of them or none. All networks
    /// of one subscriber count together, because a day is long enough to use many of them. Requests without a network
    /// count together too. False if too few are left.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. They may be taken then.
    pub async fn take_calls(
        &self,
        network: Option<&Network>,
        calls: u32,
        most: u32,
        now: OffsetDateTime,
    ) -> Result<bool, LedgerError> {
        let (day, network) = (day(now).to_string(), network.map_or(&[][..], Network::largest));
        let pk = ItemType::Requests.key(&hashed([day.as_bytes(), network].concat()));
        self.take_of_day(pk, calls, most, now).await
    }

    /// Takes this many of a day's budget. False, and none is taken, if too few are left.
    pub(crate) async fn take_of_day(
        &self,
        pk: String,
        wanted: u32,
        budget: u32,
        now: OffsetDateTime,
    ) -> Result<bool, LedgerError> {
        let Some(most_before) = budget.checked_sub(wanted) else { return Ok(false) };
        let update = self
            .update(pk)
            .update_expression("ADD #count :wanted SET #expires_at = :until")
            .condition_expression("attribute_not_exists(#count) OR #count <= :most_before")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":wanted", number(wanted))
            .expression_attribute_values(":most_before", number(most_before))
            .expression_attribute_values(":until", seconds(now + BUDGETS_KEPT));
        Ok(self.carry_out(update).await?.is_none())
    }
}

/// The key of the item that counts the look-ups of a UTC day that decide rules.
pub(crate) fn rule_lookups_key(now: OffsetDateTime) -> String {
    ItemType::RuleLookups.key(&day(now).to_string())
}

/// The key of the item that counts the text messages of a UTC day.
fn texts_key(now: OffsetDateTime) -> String {
    ItemType::Texts.key(&day(now).to_string())
}
