//! Login links from the moment they are in a mail.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use leadsquared::LeadId;
use onboarding::{CODE_TRIES, LinkHash, LinkTarget, UsedLinks};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::item::{
    EXPIRES_AT, LEADS_KEPT, MAILS_KEPT, Reader, TRIES, USED_LINK_MADE_AT, USED_LINKS, lead_key, link_key, number,
    person_key, seconds, text,
};
use crate::owner::{OWNER, Owner};
use crate::{Ledger, LedgerError};

/// How long the browser that used a link may use it again. A button that is pressed twice is sent twice, and browsers
/// show the answer to the second press.
const PRESSED_AGAIN: Duration = Duration::seconds(30);

/// A login link as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLink {
    /// What it points at.
    pub target: LinkTarget,
    /// Whether it was used.
    pub used: bool,
    /// Whether all [`CODE_TRIES`] of its code are taken.
    pub is_out_of_tries: bool,
}

impl Ledger {
    /// The link with this hash, if there is one that is still remembered.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn link(&self, link: &LinkHash, now: OffsetDateTime) -> Result<Option<StoredLink>, LedgerError> {
        let pk = link_key(link);
        let Some(item) = self.read(&pk).await? else { return Ok(None) };
        let item = Reader { pk, item: &item };
        if item.time("expires_at")? <= now {
            return Ok(None);
        }
        let target = LinkTarget {
            link: link.clone(),
            lead: item.text("lead_id")?.parse().map_err(|_| item.corrupt("lead_id"))?,
            person: item.text("person")?.parse().map_err(|_| item.corrupt("person"))?,
            invitation: item.text("invitation")?.parse().map_err(|_| item.corrupt("invitation"))?,
            made_at: item.time("made_at")?,
            valid_until: item.time("valid_until")?,
            used_links: item.count("used_links")?,
            code: item.optional_text("code").map(|code| code.to_owned().into()),
        };
        let used = item.optional_time("used_at")?.is_some();
        Ok(Some(StoredLink { target, used, is_out_of_tries: item.count::<u32>(TRIES)? >= CODE_TRIES }))
    }

    /// Takes one of the tries of the code that a link's page asks for, and returns how many are left. None if all
    /// [`CODE_TRIES`] were taken before.
    ///
    /// # Errors
    /// When DynamoDB refuses the request, its result is unknown, or the item is not understood. The try may be taken
    /// then.
    pub async fn try_link_code(&self, link: &LinkHash, now: OffsetDateTime) -> Result<Option<u32>, LedgerError> {
        let pk = link_key(link);
        let Some(item) = self.take_try(pk.clone(), CODE_TRIES, now).await? else { return Ok(None) };
        Ok(Some(CODE_TRIES.saturating_sub(Reader { pk, item: &item }.count(TRIES)?)))
    }

    /// Gives back the try of a right code that opened nothing.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn untry_link_code(&self, link: &LinkHash) -> Result<(), LedgerError> {
        self.give_try_back(link_key(link)).await
    }

    /// Uses a link up, unless that was done before or its time is over: of any number of holders who ask, one gets it.
    /// The same `holder` gets it again for half a minute, as after a second press, or when the SDK asks again because
    /// the answer was late.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. The link may be used up then:
    /// [give it back](Self::give_link_back).
    pub async fn use_link(&self, link: &LinkHash, holder: Uuid, now: OffsetDateTime) -> Result<bool, LedgerError> {
        let update = self
            .update(link_key(link))
            .update_expression("SET #used_at = :now, #used_by = :holder")
            .condition_expression("attribute_not_exists(#used_at) AND #valid_until > :now")
            .expression_attribute_names("#used_at", "used_at")
            .expression_attribute_names("#used_by", "used_by")
            .expression_attribute_names("#valid_until", "valid_until")
            .expression_attribute_values(":now", seconds(now))
            .expression_attribute_values(":holder", text(&holder.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let refused_by = self.carry_out(update).await?;
        let Some(item) = refused_by else { return Ok(true) };
        used_just_now(&Reader { pk: link_key(link), item: &item }, holder, now)
    }

    /// Whether this holder used the link less than half a minute ago. It does not use a link that is valid again.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn has_used_link(&self, link: &LinkHash, holder: Uuid, now: OffsetDateTime) -> Result<bool, LedgerError> {
        let pk = link_key(link);
        let item = self.read(&pk).await?.unwrap_or_default();
        used_just_now(&Reader { pk, item: &item }, holder, now)
    }

    /// Makes a link usable again that `holder` used in vain; no other one.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn give_link_back(&self, link: &LinkHash, holder: Uuid) -> Result<(), LedgerError> {
        let update = self
            .update(link_key(link))
            .update_expression("REMOVE #used_at, #used_by")
            .condition_expression("#used_by = :holder")
            .expression_attribute_names("#used_at", "used_at")
            .expression_attribute_names("#used_by", "used_by")
            .expression_attribute_values(":holder", text(&holder.to_string()));
        self.carry_out(update).await.map(drop)
    }

    /// Remembers that a link opened the portal, for as long as an older one could be tried.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn link_opened(&self, target: &LinkTarget, now: OffsetDateTime) -> Result<(), LedgerError> {
        let update = self
            .update(lead_key(&target.lead))
            .update_expression("SET #newest = :made_at, #owner = :owner, #expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#newest) OR #newest < :made_at")
            .expression_attribute_names("#newest", "newest_link_used")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":owner", Owner::Person(target.person.clone()).value())
            .expression_attribute_values(":made_at", seconds(target.made_at))
            .expression_attribute_values(":expires_at", seconds(now + LEADS_KEPT));
        self.carry_out(update).await.map(drop)
    }

    /// Counts a used link of its person ([`UsedLinks`]) if it was made at most `within` ago: [`UsedLinks::AT_ONCE`]
    /// for a press, [`UsedLinks::IN_A_ROW`] for a request on the used link's page. Later, the count begins anew. A link
    /// that is not newer than the last counted one changes nothing.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn count_used_link(
        &self,
        target: &LinkTarget,
        within: Duration,
        now: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        let update = |expression: &str, condition: &str| {
            self.update(person_key(&target.person))
                .update_expression(expression)
                .condition_expression(condition)
                .expression_attribute_names("#used_links", USED_LINKS)
                .expression_attribute_names("#made_at", USED_LINK_MADE_AT)
                .expression_attribute_values(":made_at", seconds(target.made_at))
        };
        if now - target.made_at > within {
            let reset = update("REMOVE #used_links, #made_at", "#made_at < :made_at");
            return self.carry_out(reset).await.map(drop);
        }
        let count = |count: &str, condition: &str| {
            let set = "#made_at = :made_at, #owner = :owner, #expires_at = :expires_at";
            update(&format!("SET #used_links = {count}, {set}"), condition)
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_names("#expires_at", EXPIRES_AT)
                .expression_attribute_values(":owner", Owner::Person(target.person.clone()).value())
                .expression_attribute_values(":expires_at", seconds(now + MAILS_KEPT))
        };
        let next = "#made_at >= :since AND #made_at < :made_at AND #used_links >= :follows";
        let next = count("#used_links + :one", next)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":since", seconds(target.made_at - UsedLinks::IN_A_ROW))
            .expression_attribute_values(":follows", number(target.used_links));
        if self.carry_out(next).await?.is_some() {
            // None is counted, or the late press of this link began the count anew: the link knows how many it follows.
            let first = count(":first", "attribute_not_exists(#made_at) OR #made_at < :made_at")
                .expression_attribute_values(":first", number(target.used_links.saturating_add(1)));
            self.carry_out(first).await?;
        }
        Ok(())
    }

    /// Remembers that we registered a lead with the portal, outside of any invitation and with nothing that a form
    /// typed.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn lead_registered(&self, lead: &LeadId, at: OffsetDateTime) -> Result<(), LedgerError> {
        let update = |expression: &str| {
            self.update(lead_key(lead))
                .update_expression(expression)
                .expression_attribute_names("#registered_at", "registered_at")
                .expression_attribute_names("#marked_at", "marked_at")
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_names("#expires_at", EXPIRES_AT)
                .expression_attribute_values(":owner", Owner::Lead(*lead).value())
                .expression_attribute_values(":at", seconds(at))
                .expression_attribute_values(":expires_at", seconds(at + LEADS_KEPT))
        };
        let first = update(
            "SET #registered_at = :at, #marked_at = :at, #mark = if_not_exists(#mark, :mark), \
             #owner = if_not_exists(#owner, :owner), #expires_at = :expires_at",
        )
        .expression_attribute_names("#mark", "mark")
        .expression_attribute_values(":mark", text("not-needed"))
        .condition_expression("attribute_not_exists(#registered_at) OR #registered_at = #marked_at");
        if self.carry_out(first).await?.is_none() {
            return Ok(());
        }
        // An earlier version registered it: it stays unmarked, whatever is written to the item next.
        let again = update(
            "SET #registered_at = :at, #marked_at = :never, #owner = if_not_exists(#owner, :owner), \
             #expires_at = :expires_at",
        )
        .expression_attribute_values(":never", seconds(OffsetDateTime::UNIX_EPOCH));
        self.carry_out(again).await.map(drop)
    }
}

/// Whether this holder used the link of an item less than half a minute ago.
fn used_just_now(item: &Reader<'_>, holder: Uuid, now: OffsetDateTime) -> Result<bool, LedgerError> {
    let is_same = item.optional_text("used_by") == Some(&*holder.to_string());
    Ok(is_same && item.optional_time("used_at")?.is_some_and(|at| now - at < PRESSED_AGAIN))
}
