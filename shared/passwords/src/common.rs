//! Recognises common passwords, which an attacker tries first.

/// The common passwords: sorted by bytes, one per line, in lower case. `common/README.md` names their source. The text
/// itself is searched, so that a cold start does not have to build an index.
const COMMON: &str = include_str!("../common/passwords.txt");

/// The most digits and signs before and after a common password with which it still counts as common.
const MOST_DECORATION: usize = 6;

/// Whether the password is a common one: unchanged, in another letter case, with signs that look like letters
/// (`p@ssw0rd`), or with a few digits and signs before and after it, as people add them to satisfy a policy.
pub(crate) fn is_common(password: &str) -> bool {
    let as_letters = |text: &str| text.chars().map(letter).collect::<String>();
    let whole = password.to_lowercase();
    let whole_as_letters = as_letters(&whole);
    let core_as_letters = as_letters(core(&whole));
    [&whole, core(&whole), &whole_as_letters, core(&whole_as_letters), &core_as_letters].into_iter().any(is_listed)
}

/// The text without the digits and signs before and after it, or the whole text if they are more than
/// [`MOST_DECORATION`].
fn core(text: &str) -> &str {
    let core = text.trim_matches(|c: char| !c.is_alphabetic());
    if text.chars().count() - core.chars().count() <= MOST_DECORATION { core } else { text }
}

/// The letter that a digit or sign looks like.
fn letter(sign: char) -> char {
    match sign {
        '@' | '4' => 'a',
        '3' => 'e',
        '1' | '!' => 'i',
        '0' => 'o',
        '$' | '5' => 's',
        '7' => 't',
        other => other,
    }
}

/// Whether the password is a line of [`COMMON`], by binary search.
fn is_listed(password: &str) -> bool {
    let (mut rest, wanted) = (COMMON.as_bytes(), password.as_bytes());
    while !rest.is_empty() {
        let middle = rest.len() / 2;
        let start = rest[..middle].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let end = middle + rest[middle..].iter().position(|byte| *byte == b'\n').unwrap_or(rest.len() - middle);
        match rest[start..end].cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Greater => rest = &rest[..start],
            std::cmp::Ordering::Less => rest = rest.get(end + 1..).unwrap_or_default(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_every_line_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.len() > 10_000, "{}", lines.len());
        assert!(lines.is_sorted_by(|one, other| one < other) && COMMON.ends_with('\n'));
        for line in lines {
            assert!(is_listed(line), "{line}");
            assert!(!is_listed(&format!("{line}\u{1}")), "{line}");
            assert_eq!(line, line.to_lowercase());
        }
        assert!(!is_listed("") && !is_listed("\n"));
    }

    #[test]
    fn a_decorated_common_password_is_recognised() {
        for password in [
            "password",
            "PassWord",
            "12345678",
            "qwertyuiop",
            "P@ssw0rd",
            "P@ssw0rd1!",
            "Welcome@123",
            "$unshine",
            "!!Monkey99",
            "Password2024!",
            "1q2w3e4r",
        ] {
            assert!(is_common(password), "{password}");
        }
    }

    #[test]
    fn an_uncommon_password_is_accepted() {
        for password in [
            "correct horse battery staple",
            "monkey-8273645-x",
            "dragon71938264",
            "Tr0ub4dor&3x",
            "कौन सा घोड़ा",
            "",
            "!!!!!!!!!!!!x",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }
}
