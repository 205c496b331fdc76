//! Scans of the whole table, a page at a time. An interrupted scan resumes at its bookmark.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use time::{Duration, OffsetDateTime};

use crate::item::{EXPIRES_AT, Item, Reader, placeholders, seconds, text};
use crate::{ItemType, Ledger, LedgerError};

/// Items of one page. Small pages leave the table's read capacity to the requests of applicants.
const PAGE: i32 = 500;

/// How long a bookmark is of use. A scan that was interrupted longer ago starts again.
const BOOKMARKS_KEPT: Duration = Duration::days(1);

/// The attribute of a bookmark with the key that the scan came to.
const PLACE: &str = "place";

/// One page of a scan.
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<Item>,
}

/// A scan that several invocations share, when one has not enough time: each continues where the last one stopped.
pub(crate) struct SharedScan {
    name: &'static str,
    /// What was found so far, as the attributes of the bookmark.
    pub(crate) found: Item,
    /// The key that the next page begins after.
    pub(crate) after: Option<Item>,
}

impl Ledger {
    /// One page of the items that a filter lets through, with these attributes. The filter may use those, and `others`.
    pub(crate) async fn page(
        &self,
        filter: &str,
        attributes: &[&str],
        others: &[&str],
        values: HashMap<String, AttributeValue>,
        consistent: bool,
        after: Option<Item>,
    ) -> Result<Page, LedgerError> {
        let projection: Vec<_> = attributes.iter().map(|name| format!("#{name}")).collect();
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(filter)
            .projection_expression(projection.join(", "))
            .set_expression_attribute_names(Some(placeholders(&[attributes, others].concat())))
            .set_expression_attribute_values(Some(values))
            .consistent_read(consistent)
            .limit(PAGE)
            .set_exclusive_start_key(after);
        let answer = scan.send().await.map_err(|error| LedgerError::unavailable(&error))?;
        // An empty key is the end as well.
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty());
        Ok(Page { items: answer.items.unwrap_or_default(), next })
    }

    /// Begins a scan, or continues one that was interrupted.
    pub(crate) async fn shared_scan(&self, name: &'static str, now: OffsetDateTime) -> Result<SharedScan, LedgerError> {
        let pk = ItemType::Bookmark.key(name);
        let mut found = self.read(&pk).await?.unwrap_or_default();
        let is_current = Reader { pk, item: &found }.optional_time(EXPIRES_AT)?.is_some_and(|at| at > now);
        let place = found.remove(PLACE).filter(|_| is_current);
        if place.is_none() {
            found.clear();
        }
        let after = place.map(|place| Item::from([("pk".to_owned(), place)]));
        Ok(SharedScan { name, found, after })
    }

    /// Remembers how far a scan is; a scan of a single page needs no bookmark. True once it is at its end.
    pub(crate) async fn turn_page(
        &self,
        scan: &mut SharedScan,
        next: Option<Item>,
        now: OffsetDateTime,
    ) -> Result<bool, LedgerError> {
        let has_bookmark = scan.after.is_some();
        scan.after = next;
        let place = scan.after.as_ref().and_then(|key| key.get("pk")).cloned();
        if place.is_some() || has_bookmark {
            let mut item = if place.is_some() { scan.found.clone() } else { Item::new() };
            item.insert("pk".to_owned(), text(&ItemType::Bookmark.key(scan.name)));
            item.insert(EXPIRES_AT.to_owned(), seconds(now + BOOKMARKS_KEPT));
            item.extend(place.map(|place| (PLACE.to_owned(), place)));
            let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
            put.send().await.map_err(|error| LedgerError::unavailable(&error))?;
        }
        Ok(scan.after.is_none())
    }
}
