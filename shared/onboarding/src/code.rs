//! The code in a mail, which a reader of the mail types into a page. Sign-ins and login links use the same one.

use leadsquared::OneTimeCode;
use leadsquared::text::ascii_digit;

/// How many random bytes a mailed code is made of.
pub const MAILED_CODE_BYTES: usize = 10;

/// How many codes may be tried with one challenge, or with one link.
pub const CODE_TRIES: u32 = 5;

/// Letters and digits of a code that is mailed: Crockford's base 32, which has no letters that look like digits
/// (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A code of ten characters, five bits each, with a hyphen in the middle.
pub fn mailed_code(random: [u8; MAILED_CODE_BYTES]) -> OneTimeCode {
    let text: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    OneTimeCode::from(format!("{}-{}", &text[..5], &text[5..]))
}

/// The code in a text that a person typed or pasted, in the form of [`plain_code`]: phones and keyboards put spaces,
/// hyphens and invisible characters into it, or write its digits in another script. None if the text cannot be a code.
pub fn typed_code(text: &str) -> Option<String> {
    let characters: String = text.chars().map(ascii_digit).filter(|c| c.is_alphanumeric()).collect();
    characters.is_ascii().then(|| plain_code(&characters))
}

/// Whether this may be a mailed code in the form of [`plain_code`].
pub fn may_be_mailed(code: &str) -> bool {
    code.len() == MAILED_CODE_BYTES && code.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// A code in the form that is compared: in capitals, without separators, and with look-alike letters as digits.
pub fn plain_code(code: &str) -> String {
    let characters = code.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_uppercase());
    characters
        .map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailed_code_is_ten_characters_and_is_known_however_it_is_typed() {
        let code = mailed_code([0, 1, 31, 32, 10, 17, 18, 19, 20, 255]);
        assert_eq!(code.expose(), "01Z0A-HJKMZ");
        for typed in ["01Z0A-HJKMZ", "01z0ahjkmz", " 01Z0A HJKMZ ", "OLZOA-HJKMZ", "oiz0a_hjkmz", "०१Z०A-HJKMZ"] {
            let typed = typed_code(typed).unwrap();
            assert!(may_be_mailed(&typed) && typed == plain_code(code.expose()), "{typed}");
        }
        for typed in ["", "01Z0A", "01Z0A-HJKMZZ", "01Z0A-HJKMU"] {
            assert!(!may_be_mailed(&typed_code(typed).unwrap()), "{typed}");
        }
        assert_eq!(typed_code("01Z0A-HJKMé"), None);
    }
}
