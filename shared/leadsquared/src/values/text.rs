//! Characters that a reader does not see.

/// Whether a character takes no room and has no meaning of its own: zero-width spaces and joiners, direction marks,
/// soft hyphens and byte order marks. They come along when a text is copied from a page or a chat.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}'
    )
}

/// The text without white space and invisible characters at its ends.
///
/// ```
/// assert_eq!(leadsquared::text::trim("\u{202A} asha@example.com\u{200B}"), "asha@example.com");
/// ```
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
}
