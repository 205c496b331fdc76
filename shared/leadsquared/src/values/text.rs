//! Characters that a reader does not see, and digits of other scripts.

/// Whether a reader sees nothing of a character that has no meaning of its own: zero-width spaces and joiners,
/// direction marks, soft hyphens, byte order marks, and the fillers of Hangul and Braille that stand for an empty name.
/// They come along when a text is copied from a page or a chat.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF9}'..='\u{FFFB}'
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

/// The zeros of the scripts that keyboards write digits in; the other nine digits follow each. They are Arabic,
/// Persian, Devanagari, Bengali, Gurmukhi, Gujarati, Odia, Tamil, Telugu, Kannada, Malayalam, Sinhala, Thai, Myanmar,
/// Khmer and full-width (<https://www.unicode.org/Public/UCD/latest/ucd/extracted/DerivedNumericType.txt>).
const ZEROS: [char; 16] = [
    '\u{660}', '\u{6F0}', '\u{966}', '\u{9E6}', '\u{A66}', '\u{AE6}', '\u{B66}', '\u{BE6}', '\u{C66}', '\u{CE6}',
    '\u{D66}', '\u{DE6}', '\u{E50}', '\u{1040}', '\u{17E0}', '\u{FF10}',
];

/// A digit of another script as the ASCII digit, and every other character as it is.
///
/// ```
/// assert_eq!("१२३ a".chars().map(leadsquared::text::ascii_digit).collect::<String>(), "123 a");
/// ```
pub fn ascii_digit(c: char) -> char {
    let values = ZEROS.iter().filter_map(|zero| u32::from(c).checked_sub(u32::from(*zero)));
    values.filter_map(|value| char::from_digit(value, 10)).next().unwrap_or(c)
}
