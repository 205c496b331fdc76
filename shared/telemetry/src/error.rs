//! Formats an error for a log line.

use std::error::Error;

/// The error and all its sources, in one line.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the mail was not sent")]
    struct NotSent(#[source] std::num::ParseIntError);

    #[test]
    fn the_sources_follow_the_error() {
        let error = NotSent("x".parse::<u8>().unwrap_err());
        assert_eq!(in_full(&error), "the mail was not sent: invalid digit found in string");
    }
}
