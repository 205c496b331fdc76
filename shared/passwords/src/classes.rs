//! The classes of characters that a portal's password policy can require.

use std::str::FromStr;

/// A class of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Lower-case letters of any script.
    Lower,
    /// Upper-case letters of any script.
    Upper,
    /// Digits.
    Digit,
    /// Characters that are neither letters nor digits, such as the space.
    Symbol,
}

impl Class {
    const ALL: [Self; 4] = [Self::Upper, Self::Lower, Self::Digit, Self::Symbol];

    fn name(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Digit => "digit",
            Self::Symbol => "symbol",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Lower => "a lower-case letter",
            Self::Upper => "an upper-case letter",
            Self::Digit => "a digit",
            Self::Symbol => "a sign such as ! or #",
        }
    }

    fn has(self, character: char) -> bool {
        match self {
            Self::Lower => character.is_lowercase(),
            Self::Upper => character.is_uppercase(),
            Self::Digit => character.is_numeric(),
            Self::Symbol => !character.is_alphanumeric(),
        }
    }
}

/// The required classes: a password needs at least one character of each. Default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes(Vec<Class>);

/// The text has a name that is none of the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name any of upper, lower, digit and symbol, with commas between them")]
pub struct InvalidClasses;

impl FromStr for Classes {
    type Err = InvalidClasses;

    /// Reads names that are separated by commas, such as `upper,lower,digit`. The empty text means no class.
    ///
    /// # Errors
    /// When a name is unknown.
    fn from_str(text: &str) -> Result<Self, InvalidClasses> {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let classes: Vec<Class> = Class::ALL.into_iter().filter(|class| names.contains(&class.name())).collect();
        let known = |name: &&str| classes.iter().any(|class| class.name() == *name);
        if names.iter().all(known) { Ok(Self(classes)) } else { Err(InvalidClasses) }
    }
}

impl Classes {
    pub(crate) fn missing_in(&self, password: &str) -> Vec<Class> {
        let missing = |class: &Class| !password.chars().any(|character| class.has(character));
        self.0.iter().copied().filter(missing).collect()
    }
}

/// The classes in words: `a`, `a and b`, `a, b and c`.
pub(crate) fn in_words(classes: &[Class]) -> String {
    let mut words: Vec<&str> = classes.iter().map(|class| class.in_words()).collect();
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last.to_owned() } else { format!("{} and {last}", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_can_be_named_in_any_order() {
        let all: Classes = " symbol,digit, lower,upper,upper".parse().unwrap();
        assert_eq!(all.0, Class::ALL);
        assert_eq!("".parse(), Ok(Classes::default()));
        for text in ["letters", "upper;lower", "upper,9"] {
            assert_eq!(text.parse::<Classes>(), Err(InvalidClasses), "{text}");
        }
    }

    #[test]
    fn missing_classes_are_named_in_words() {
        let all: Classes = "upper,lower,digit,symbol".parse().unwrap();
        assert_eq!(all.missing_in("Aa1 "), []);
        assert_eq!(all.missing_in("É"), [Class::Lower, Class::Digit, Class::Symbol]);
        let words = |password| in_words(&all.missing_in(password));
        assert_eq!(words("Aa1"), "a sign such as ! or #");
        assert_eq!(words("A1"), "a lower-case letter and a sign such as ! or #");
        assert_eq!(words("1"), "an upper-case letter, a lower-case letter and a sign such as ! or #");
    }
}
