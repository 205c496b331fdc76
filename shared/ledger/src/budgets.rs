//! Budgets of a UTC day: text messages of the account, look-ups that decide rules, and requests of one network.

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
        self.take_of_day(texts_key(now), budget, now).await
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

    /// Takes one of the day's requests of a network that may call LeadSquared. All networks of one subscriber count
    /// together, because a day is long enough to use many of them. Requests without a network count together too. False
    /// if there is none left.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. It may be taken then.
    pub async fn take_request(
        &self,
        network: Option<&Network>,
        most: u32,
        now: OffsetDateTime,
    ) -> Result<bool, LedgerError> {
        let (day, network) = (day(now).to_string(), network.map_or(&[][..], Network::largest));
        let pk = ItemType::Requests.key(&hashed([day.as_bytes(), network].concat()));
        self.take_of_day(pk, most, now).await
    }

    pub(crate) async fn take_of_day(&self, pk: String, budget: u32, now: OffsetDateTime) -> Result<bool, LedgerError> {
        let update = self
            .update(pk)
            .update_expression("ADD #count :one SET #expires_at = :until")
            .condition_expression("attribute_not_exists(#count) OR #count < :budget")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":budget", number(budget))
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
