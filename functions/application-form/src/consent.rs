//! Decides whether the value of a check box or a radio button is a consent. A refusal never counts as one.

/// The meaning of a value of the kind `consent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The person consents.
    Consent,
    /// The person does not.
    Refusal,
    /// It may be either, such as `Yes / No` or a text in an unknown language.
    Unclear,
}

/// Whole values of a ticked box.
const TICKED: [&str; 6] = ["1", "1.0", "on", "t", "y", "ya"];

/// Whole values of a box that is not ticked, without punctuation. `na` is `n/a`.
const NOT_TICKED: [&str; 5] = ["0", "00", "f", "n", "na"];

/// Marks of a ticked box. Another value without letters and digits, such as `-` or a cross, means no.
const TICKS: &str = "✓✔☑✅";

/// Beginnings of words that consent: `agree` stands for `agreed` too.
const CONSENTS: [&str; 23] = [
    "accept",
    "acknowledg",
    "agree",
    "allow",
    "approv",
    "authori",
    "checked",
    "confirm",
    "consent",
    "grant",
    "optedin",
    "optin",
    "permi",
    "selected",
    "subscrib",
    "ticked",
    "acept",
    "akzept",
    "daccord",
    "einverstanden",
    "jaccept",
    "सहमत",
    "स्वीकार",
];

/// Whole words that consent.
const CONSENTING_WORDS: [&str; 31] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "sure",
    "ok",
    "okay",
    "true",
    "enabled",
    "read",
    "understand",
    "understood",
    "ja",
    "oui",
    "si",
    "sí",
    "sim",
    "haan",
    "han",
    "हाँ",
    "हां",
    "जी",
    "होय",
    "ہاں",
    "হ্যাঁ",
    "ਹਾਂ",
    "હા",
    "ஆம்",
    "అవును",
    "ಹೌದು",
    "അതെ",
];

/// Beginnings of words that refuse. The prefixes of [`is_refusal`] before a word of [`CONSENTS`] refuse too.
const REFUSALS: [&str; 22] = [
    "abst", "cancel", "declin", "denied", "deny", "discard", "dissent", "forbid", "ignor", "never", "nothing",
    "object", "oppos", "optedout", "optout", "prohibit", "refus", "reject", "remov", "revok", "withdr", "withh",
];

/// Whole words that refuse.
const REFUSING_WORDS: [&str; 38] = [
    "no",
    "not",
    "nor",
    "neither",
    "none",
    "nope",
    "nah",
    "nay",
    "nil",
    "false",
    "off",
    "stop",
    "without",
    "cannot",
    "cant",
    "dont",
    "don",
    "nt",
    "doesnt",
    "didnt",
    "wont",
    "wouldnt",
    "havent",
    "hasnt",
    "isnt",
    "arent",
    "nein",
    "nicht",
    "kein",
    "non",
    "pas",
    "nao",
    "não",
    "nahi",
    "nahin",
    "नहीं",
    "नही",
    "मत",
];

/// Words of a person who has not decided.
const UNDECIDED: [&str; 5] = ["later", "maybe", "pending", "perhaps", "undecided"];

/// Negations that consent.
const NO_OBJECTION: [&[&str]; 8] = [
    &["no", "objection"],
    &["no", "objections"],
    &["no", "problem"],
    &["no", "problems"],
    &["no", "issue"],
    &["no", "issues"],
    &["do", "not", "object"],
    &["dont", "object"],
];

impl Meaning {
    /// Reads a value that is not empty. A consent has a word that consents and no word that refuses. Behind a word that
    /// refuses, up to the next punctuation mark, a word that consents belongs to the refusal: `I do not agree`.
    pub(crate) fn of(value: &str) -> Self {
        let value = value.trim().to_lowercase();
        let compact: String = value.chars().filter(|c| c.is_alphanumeric()).collect();
        if compact.is_empty() {
            return if value.contains(|c| TICKS.contains(c)) { Self::Consent } else { Self::Refusal };
        }
        if TICKED.contains(&value.as_str()) {
            return Self::Consent;
        }
        if NOT_TICKED.contains(&compact.as_str()) {
            return Self::Refusal;
        }
        let (mut consents, mut refuses, mut is_undecided) = (false, false, false);
        let value: String = value.chars().filter(|c| !is_apostrophe(*c)).collect();
        for clause in value.split(ends_clause) {
            let words = clause.split(|c: char| c.is_whitespace() || "-_".contains(c));
            let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
            let (mut is_refused, mut position) = (false, 0);
            while let [word, ..] = &words[position..] {
                let rest = &words[position..];
                let no_objection = NO_OBJECTION.iter().find(|phrase| rest.starts_with(phrase));
                is_refused |= no_objection.is_none() && (is_refusal(word) || is_option(rest, "out"));
                consents |= no_objection.is_some() || (!is_refused && (is_consent(word) || is_option(rest, "in")));
                is_undecided |= UNDECIDED.contains(word);
                position += no_objection.map_or(1, |phrase| phrase.len());
            }
            refuses |= is_refused;
        }
        match (consents, refuses) {
            (true, false) if !is_undecided => Self::Consent,
            (false, true) => Self::Refusal,
            _ => Self::Unclear,
        }
    }
}

fn is_consent(word: &str) -> bool {
    CONSENTING_WORDS.contains(&word) || CONSENTS.iter().any(|beginning| word.starts_with(beginning))
}

fn is_refusal(word: &str) -> bool {
    const PREFIXES: [&str; 5] = ["dis", "non", "not", "no", "un"];
    let is_opposite = |prefix: &&str| {
        let rest = word.strip_prefix(*prefix);
        rest.is_some_and(|rest| CONSENTS.iter().any(|beginning| rest.starts_with(beginning)))
    };
    REFUSING_WORDS.contains(&word)
        || REFUSALS.iter().any(|beginning| word.starts_with(beginning))
        || word.starts_with("असहमत")
        || PREFIXES.iter().any(is_opposite)
}

/// Whether the words begin with `opt in` or `opted in`, or the same with `out`.
fn is_option(words: &[&str], direction: &str) -> bool {
    matches!(words, ["opt" | "opted" | "opting", second, ..] if *second == direction)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '`' | '´' | '\u{2BC}' | '\u{2018}' | '\u{2019}' | '\u{FF07}')
}

/// Whether the character is punctuation that separates clauses. The signs of Indian scripts are parts of words.
fn ends_clause(c: char) -> bool {
    let is_ascii_end = c.is_ascii_punctuation() && !"-_".contains(c);
    is_ascii_end
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}' | '·' | '।' | '、' | '。' | '，' | '／')
}

#[cfg(test)]
mod tests {
    use super::Meaning::{Consent, Refusal, Unclear};
    use super::*;

    #[test]
    fn a_refusal_is_never_a_consent() {
        for value in [
            "off",
            "FALSE",
            "0",
            "0.0",
            "No",
            "n",
            "N/A",
            "n.a.",
            "-",
            "--",
            "—",
            "✗",
            "☐",
            "unchecked",
            "Not checked",
            "I disagree",
            "I decline",
            "I refuse",
            "We reject the terms",
            "I dont agree",
            "I don't agree",
            "I don’t agree",
            "I don t agree",
            "I do not agree",
            "I DO NOT ACCEPT",
            "do not accept",
            "no, I do not agree",
            "No thanks",
            "disagree",
            "Declined",
            "denied",
            "Nope",
            "Never",
            "None",
            "nothing",
            "opt-out",
            "Opt out",
            "opted out",
            "opted_out",
            "OptOut",
            "unsubscribe",
            "not_accepted",
            "notAccepted",
            "non-consent",
            "refused_consent",
            "I withdraw my consent",
            "I have not read the terms",
            "I object",
            "No, objection",
            "Nein",
            "Non",
            "nicht einverstanden",
            "je n'accepte pas",
            "नहीं",
            "मैं सहमत नहीं हूँ",
            "असहमत",
        ] {
            // A French or Hindi negation may stand behind the verb.
            assert_ne!(Meaning::of(value), Consent, "{value}");
        }
        for value in ["I disagree", "I decline", "I dont agree", "Nope", "None", "N/A", "-", "opt-out", "unsubscribe"] {
            assert_eq!(Meaning::of(value), Refusal, "{value}");
        }
    }

    #[test]
    fn a_consent_is_understood() {
        for value in [
            "1",
            "1.0",
            "on",
            "ON",
            "true",
            "Yes",
            "y",
            "checked",
            "Ticked",
            "ok",
            "✓",
            "accepted",
            "I agree",
            "I agree.",
            "We accept the terms and conditions",
            "I consent to having this website store my submitted information",
            "I have read and understood the privacy policy",
            "Yes, I agree",
            "opt-in",
            "opted in",
            "subscribe",
            "No objection",
            "No objections to processing",
            "I have no objection",
            "I do not object",
            "Oui",
            "J'accepte",
            "einverstanden",
            "हाँ",
            "मैं सहमत हूँ",
        ] {
            assert_eq!(Meaning::of(value), Consent, "{value}");
        }
    }

    #[test]
    fn a_value_that_may_be_either_is_unclear() {
        for value in [
            "Yes / No",
            "Yes/No",
            "Y / N",
            "yes no",
            "I agree / I disagree",
            "Agree or disagree",
            "Yes, but I do not want calls",
            "No, I agree",
            "Consent withdrawn",
            "agree: no",
            "maybe yes",
            "Consent pending",
            "Select",
            "-- Please select --",
            "2",
            "10",
            "I dissagree",
            "unsure",
            "rechazo",
            "nie zgadzam się",
            "Ready",
        ] {
            assert_eq!(Meaning::of(value), Unclear, "{value}");
        }
    }
}
