//! The texts of the pages: a row for each text, a column for each language.

use std::fmt;
use std::str::FromStr;

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Hindi.
    Hindi,
}

impl Language {
    /// All languages, in the order of the columns.
    pub const ALL: [Self; 2] = [Self::English, Self::Hindi];

    /// The language's tag, such as `hi` (<https://www.rfc-editor.org/info/bcp47>).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Hindi => "hi",
        }
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(tag: &str) -> Result<Self, UnknownLanguage> {
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(tag)).ok_or(UnknownLanguage)
    }
}

/// A tag for which there are no pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLanguage;

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the languages are {}", Language::ALL.map(Language::tag).join(", "))
    }
}

/// One text in every language.
pub(crate) struct Text([&'static str; Language::ALL.len()]);

impl Text {
    /// The text in this language.
    pub(crate) const fn in_language(&self, language: Language) -> &'static str {
        self.0[language as usize]
    }
}

pub(crate) const OPEN_TITLE: Text = Text(["Open your application", "अपना आवेदन खोलें"]);
pub(crate) const OPEN: Text = Text([
    "Press the button to go to your application. It signs you in.",
    "अपने आवेदन पर जाने के लिए बटन दबाएँ। आपका साइन-इन अपने आप हो जाएगा।",
]);
pub(crate) const OPEN_BUTTON: Text = Text(["Open my application", "मेरा आवेदन खोलें"]);

pub(crate) const OPEN_WITH_CODE: Text = Text([
    "Enter the code from the same mail, and press the button to go to your application. It signs you in.",
    "उसी ई-मेल में दिया कोड लिखें और अपने आवेदन पर जाने के लिए बटन दबाएँ। आपका साइन-इन अपने आप हो जाएगा।",
]);
pub(crate) const CODE: Text = Text(["Code from the mail", "ई-मेल में दिया कोड"]);
pub(crate) const CODE_WRONG: Text = Text([
    "This must be the code from the mail that brought this link.",
    "यह वही कोड होना चाहिए जो इस लिंक वाले ई-मेल में है।",
]);

pub(crate) const DEAD_LINK_TITLE: Text = Text(["This link does not work any more", "यह लिंक अब काम नहीं करता"]);
pub(crate) const DEAD_LINK: Text = Text([
    "A link works once, and for a limited time. We can mail you a fresh one.",
    "हर लिंक एक ही बार और सीमित समय तक काम करता है। हम आपको नया लिंक ई-मेल कर सकते हैं।",
]);
pub(crate) const OUT_OF_TRIES: Text = Text([
    "The code was entered wrongly too often. We can mail you a fresh link with a new code.",
    "कोड बहुत बार ग़लत लिखा गया। हम आपको नए कोड के साथ नया लिंक ई-मेल कर सकते हैं।",
]);
pub(crate) const DEAD_LINK_BUTTON: Text = Text(["Mail me a fresh link", "मुझे नया लिंक ई-मेल करें"]);

pub(crate) const ASK_TITLE: Text = Text(["Get a link to your application", "अपने आवेदन का लिंक पाएँ"]);
pub(crate) const ASK: Text = Text([
    "Enter the e-mail address you applied with, and we mail you a link that opens your application.",
    "वह ई-मेल पता लिखें जिससे आपने आवेदन किया था। हम आपको एक लिंक भेजेंगे जो आपका आवेदन खोलेगा।",
]);
pub(crate) const ASK_BUTTON: Text = Text(["Mail me a link", "मुझे लिंक ई-मेल करें"]);
pub(crate) const EMAIL: Text = Text(["E-mail address", "ई-मेल पता"]);
pub(crate) const EMAIL_WRONG: Text =
    Text(["This must be an e-mail address such as name@example.com.", "यह name@example.com जैसा ई-मेल पता होना चाहिए।"]);
pub(crate) const EMAIL_UNREADABLE: Text = Text([
    "We could not read what was sent. Please enter the address again.",
    "जो भेजा गया उसे हम पढ़ नहीं सके। कृपया पता फिर से लिखें।",
]);

pub(crate) const EMAIL_FROM_ANOTHER_SITE: Text = Text([
    "Another website sent this request, so no link is mailed. Please enter the address here.",
    "यह अनुरोध किसी दूसरी वेबसाइट से आया था, इसलिए लिंक नहीं भेजा गया। कृपया पता यहाँ लिखें।",
]);

pub(crate) const SENT_TITLE: Text = Text(["Check your e-mail", "अपना ई-मेल देखें"]);
pub(crate) const SENT: Text = Text([
    "If you have an application with us, a link to it is on its way to your mailbox. It can take a few minutes; check \
     your spam folder too. If nothing arrives, enter the address you applied with.",
    "अगर हमारे यहाँ आपका आवेदन है, तो उसका लिंक आपके ई-मेल पर भेजा जा रहा है। इसमें कुछ मिनट लग सकते हैं; स्पैम फ़ोल्डर भी देखें। \
     लिंक नहीं मिला? तो वह पता लिखें जिससे आपने आवेदन किया था।",
]);

pub(crate) const TRY_AGAIN_TITLE: Text = Text(["Please try again in a moment", "कृपया थोड़ी देर में फिर कोशिश करें"]);
pub(crate) const TRY_AGAIN: Text = Text([
    "This did not work just now, and nothing is lost. Wait a few seconds and press the button again.",
    "अभी यह नहीं हो सका, पर कुछ भी खोया नहीं है। कुछ सेकंड रुककर बटन फिर दबाएँ।",
]);

pub(crate) const LEAD_UNUSABLE_TITLE: Text = Text(["Your application cannot be opened", "आपका आवेदन नहीं खुल सकता"]);
pub(crate) const LEAD_UNUSABLE: Text = Text([
    "Something is wrong with our record of you, and trying again does not help. Please write to us or call us.",
    "हमारे रिकॉर्ड में कुछ गड़बड़ है और दोबारा कोशिश करने से लाभ नहीं होगा। कृपया हमें लिखें या फ़ोन करें।",
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_read_by_its_tag_and_has_its_own_column() {
        for language in Language::ALL {
            assert_eq!(language.tag().to_uppercase().parse(), Ok(language));
        }
        assert_eq!("de".parse::<Language>().unwrap_err().to_string(), "the languages are en, hi");
        assert_eq!(EMAIL.in_language(Language::English), "E-mail address");
        assert_eq!(EMAIL.in_language(Language::Hindi), "ई-मेल पता");
    }
}
