//! LeadSquared's spellings of a date-time. All of them are UTC.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{PrimitiveDateTime, UtcDateTime};

const PLAIN: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
const FRACTION: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]");
const AMERICAN: &[BorrowedFormatItem<'_>] = format_description!(
    "[month padding:none]/[day padding:none]/[year] [hour padding:none repr:12]:[minute]:[second] [period]"
);

/// Writes `2026-01-02 03:04:05`, the form of every request (<https://apidocs.leadsquared.com/overview/>). Fractions of
/// a second are dropped.
///
/// ```
/// use leadsquared::date_time;
/// use time::macros::utc_datetime;
///
/// assert_eq!(date_time::write(utc_datetime!(2026-01-02 03:04:05)), "2026-01-02 03:04:05");
/// assert_eq!(date_time::read("1/2/2026 3:04:05 AM"), Some(utc_datetime!(2026-01-02 03:04:05)));
/// ```
pub fn write(at: UtcDateTime) -> String {
    at.format(PLAIN).expect("every component of the format exists in every date-time")
}

/// Writes `1/2/2026 3:04:05 AM`, as LeadSquared does in the data of a listed activity. No request takes this form.
pub fn write_american(at: UtcDateTime) -> String {
    at.format(AMERICAN).expect("every component of the format exists in every date-time")
}

/// Reads every form that LeadSquared answers with: `2026-01-02 03:04:05`, the same with `.000`,
/// `/Date(1417453996000+0000)/` and `1/2/2026 3:04:05 AM`.
pub fn read(text: &str) -> Option<UtcDateTime> {
    if let Some(legacy) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        // The offset is only for display; the number is UTC already.
        let digits = legacy.get(1..).and_then(|tail| tail.find(['+', '-'])).map_or(legacy, |end| &legacy[..=end]);
        return UtcDateTime::from_unix_timestamp_nanos(i128::from(digits.parse::<i64>().ok()?) * 1_000_000).ok();
    }
    [PLAIN, FRACTION, AMERICAN]
        .into_iter()
        .find_map(|format| PrimitiveDateTime::parse(text, format).ok())
        .map(PrimitiveDateTime::as_utc)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn every_form_is_read() {
        let at = utc_datetime!(2026-01-02 03:04:05);
        for text in [
            "2026-01-02 03:04:05",
            "2026-01-02 03:04:05.000",
            "1/2/2026 3:04:05 AM",
            "/Date(1767323045000+0000)/",
            "/Date(1767323045000)/",
        ] {
            assert_eq!(read(text), Some(at), "{text}");
        }
        assert_eq!(read("12/31/2025 12:00:00 PM"), Some(utc_datetime!(2025-12-31 12:00:00)));
        assert_eq!(read("/Date(-1000+0530)/"), Some(utc_datetime!(1969-12-31 23:59:59)));
        assert_eq!(read("2026-01-02 03:04:05.120"), Some(utc_datetime!(2026-01-02 03:04:05.12)));
    }

    #[test]
    fn a_text_that_is_no_time_is_refused() {
        for text in [
            "",
            "2026-01-02",
            "2026-13-02 03:04:05",
            "2026-01-02T03:04:05Z",
            "/Date()/",
            "/Date(+)/",
            "/Date(x)/",
            "/Date(é)/",
            "/Date(9999999999999999999)/",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in 0i64..253_402_300_799) {
            let at = UtcDateTime::from_unix_timestamp(seconds).unwrap();
            prop_assert_eq!(read(&write(at)), Some(at));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}|/Date\\(.{0,20}\\)/") {
            let _ = read(&text);
        }
    }
}
