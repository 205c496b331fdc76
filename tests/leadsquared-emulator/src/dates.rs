//! LeadSquared's date-time formats; all are UTC: <https://apidocs.leadsquared.com/overview/>.

use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const TO_THE_SECOND: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
const TWELVE_HOURS: StaticFormatDescription = format_description!(
    "[month padding:none]/[day padding:none]/[year] [hour repr:12 padding:none]:[minute]:[second] [period]"
);
const TO_THE_MILLISECOND: StaticFormatDescription =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");

/// The format of requests, activities and webhooks.
pub(crate) fn to_the_second(time: OffsetDateTime) -> String {
    time.format(TO_THE_SECOND).unwrap_or_default()
}

/// The format of the inner fields of a listed activity.
pub(crate) fn of_an_inner_field(time: OffsetDateTime) -> String {
    time.format(TWELVE_HOURS).unwrap_or_default()
}

/// The format of leads that are read back; only whole seconds are stored.
pub(crate) fn of_a_lead(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).ok().and_then(|time| time.format(TO_THE_MILLISECOND).ok()).unwrap_or_default()
}

/// Reads a date of a request.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    let read =
        PrimitiveDateTime::parse(text, TO_THE_SECOND).or_else(|_| PrimitiveDateTime::parse(text, TO_THE_MILLISECOND));
    read.ok().map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn dates_read_and_write_as_documented() {
        let time = datetime!(2026-01-02 03:04:05.678 UTC);
        assert_eq!(to_the_second(time), "2026-01-02 03:04:05");
        assert_eq!(of_a_lead(time), "2026-01-02 03:04:05.000");
        assert_eq!(of_an_inner_field(time), "1/2/2026 3:04:05 AM");
        assert_eq!(parse("2026-01-02 03:04:05"), Some(datetime!(2026-01-02 03:04:05 UTC)));
        assert_eq!(parse("2026-01-02 03:04:05.678"), Some(time));
        assert_eq!(parse("2026-01-02T03:04:05Z"), None);
    }
}
