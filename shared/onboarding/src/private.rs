//! A wrapper for values about a person that keeps them out of logs, panics and error texts.

use std::fmt;

/// A value about a person that no log line, panic or error text can print.
///
/// `Debug` and `Display` write `[private]`, and there is no `Serialize`. Code that needs the value calls
/// [`Private::expose`].
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

impl<T> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_shows_nothing_of_the_value() {
        let canary = Private::new("canary@example.test".to_owned());
        assert_eq!(format!("{canary} {canary:?} {:#?}", [&canary]), "[private] [private] [\n    [private],\n]");
        assert_eq!(canary.expose(), "canary@example.test");
        assert_eq!(canary.into_inner(), "canary@example.test");
    }
}
