//! Which of LeadSquared's date-time spellings goes where (<https://apidocs.leadsquared.com/overview/>).

use leadsquared::date_time;
use time::OffsetDateTime;

/// As requests, activities and webhooks write it.
pub(crate) fn to_the_second(time: OffsetDateTime) -> String {
    date_time::write(time.to_utc())
}

/// As the inner fields of a listed activity write it.
pub(crate) fn of_an_inner_field(time: OffsetDateTime) -> String {
    date_time::write_american(time.to_utc())
}

/// As leads are read back: LeadSquared keeps seconds only.
pub(crate) fn of_a_lead(time: OffsetDateTime) -> String {
    format!("{}.000", to_the_second(time))
}

/// Reads what a request may send, which always begins with the year.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    let begins_with_year = text.as_bytes().get(4) == Some(&b'-');
    begins_with_year.then(|| date_time::read(text))?.map(OffsetDateTime::from)
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
