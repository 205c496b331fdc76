//! Texts that people typed: characters that a reader does not see, digits of other scripts, formulas and markup.

/// Whether a reader sees nothing of a character that has no meaning of its own: zero-width spaces and joiners,
/// direction marks, line separators, soft hyphens, byte order marks, tags, and the fillers of Hangul and Braille that
/// stand for an empty name. They come along when a text is copied from a page or a chat.
///
/// Variation selectors are not among them: they choose the form of a Japanese name's character, or of an emoji
/// (<https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt>, `Default_Ignorable_Code_Point`).
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E007F}'
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

/// The text such that no spreadsheet to which leads are exported runs it as a formula: with an apostrophe before it
/// (<https://owasp.org/www-community/attacks/CSV_Injection>). A number keeps its sign.
///
/// ```
/// assert_eq!(leadsquared::text::harmless("=1+1"), "'=1+1");
/// assert_eq!(leadsquared::text::harmless("+1 202 555 0100"), "+1 202 555 0100");
/// ```
pub fn harmless(text: &str) -> String {
    let mut characters = trim(text).chars();
    let sign = characters.next().filter(|first| "=+-@＝＋－＠".contains(*first));
    let rest = characters.as_str();
    let is_number = sign.is_some_and(|sign| "+-＋－".contains(sign))
        && rest.contains(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_digit() || " -.,()".contains(c));
    if sign.is_some() && !rest.is_empty() && !is_number { format!("'{text}") } else { text.to_owned() }
}

/// The text with quotation marks for angle brackets, because LeadSquared may refuse markup.
///
/// ```
/// assert_eq!(leadsquared::text::without_markup("<b>Law</b>"), "‹b›Law‹/b›");
/// ```
pub fn without_markup(text: &str) -> String {
    text.replace('<', "\u{2039}").replace('>', "\u{203a}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_made_harmless_and_a_number_is_kept() {
        for text in [
            "=HYPERLINK(\"https://example.test\")",
            "=1+cmd|' /C calc'!A0",
            "=5",
            "@SUM(1)",
            "@1",
            "+1+1",
            "-2+3+cmd|' /C calc'!A0",
            "+1 for this",
            "-none",
            "--",
            "-.",
            "\t=1+1",
            "\u{200B}=1+1",
            "＝1+1",
        ] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in [
            "",
            "-",
            "=",
            "Asha",
            "a=1",
            "'=1+1",
            "-5",
            "-5.5",
            "+1,000",
            "+919000000001",
            "+91-9000000001",
            "+1 202 555 0100",
            "+1 (202) 555-0100",
            "1-2",
        ] {
            assert_eq!(harmless(text), text);
        }
    }
}
