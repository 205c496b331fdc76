//! The passwords that everybody tries first.

/// Sorted by bytes, one a line, in lower case; where they are from is in the README beside them. Searched as it is: there is
/// nothing to build when a process starts.
const COMMON: &str = include_str!("../common/passwords.txt");

/// How many digits and signs around a common password still make it no other one.
const AROUND: usize = 6;

/// Whether it is a common password: as it stands, in other letter case, with signs that look like letters (`p@ssw0rd`), or
/// with a few digits and signs around it, as people do to please a policy.
pub(crate) fn is_common(password: &str) -> bool {
    let read = |text: &str| text.chars().map(letter).collect::<String>();
    let whole = password.to_lowercase();
    let whole_read = read(&whole);
    let core_read = read(core(&whole));
    [&whole, core(&whole), &whole_read, core(&whole_read), &core_read].into_iter().any(is_listed)
}

/// What is left without the digits and signs around it; all of it, if those are too many to be mere decoration.
fn core(text: &str) -> &str {
    let core = text.trim_matches(|c: char| !c.is_alphabetic());
    if text.chars().count() - core.chars().count() <= AROUND { core } else { text }
}

/// The letter that a sign stands for.
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

/// Binary search in the text.
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
    fn the_list_is_sorted_and_every_line_of_it_is_found() {
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
    fn a_common_password_is_known_in_every_dress() {
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
    fn others_are_not_taken_for_one() {
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
