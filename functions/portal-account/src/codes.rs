//! Challenges: a browser holds one while it proves an identifier with a code.
//!
//! LeadSquared recognises a texted code by its own challenge, which it gives for known people only. So a browser never
//! gets LeadSquared's challenge. Every browser gets a random challenge instead, and its data is in the table under its
//! hash. For an unknown number, the data holds a decoy that LeadSquared does not know. LeadSquared is then asked about
//! every typed code, and the answer does not show whether the number is known.
//!
//! Where an identifier or a password is unproven, the same challenge continues. LeadSquared's session waits under it
//! until the browser sends the code that was mailed to the lead. Only the browser with the challenge can read its data.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use leadsquared::portal::{SentCode, Session};
use leadsquared::{CodeChallenge, CodeRecipient, LeadId, OneTimeCode, Phone, schema_name};
use ledger::{ChallengeContent, Ledger, LedgerError};
use onboarding::{CODE_TRIES, may_be_mailed, plain_code, typed_code};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::{Duration, OffsetDateTime};

/// How long a challenge is kept and a mailed code is valid. LeadSquared does not document how long its own code is
/// valid.
pub(crate) const VALID_FOR: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// The word that a cipher's key is derived from, together with the challenge: one word for a texted code's data, and
/// one for the data after LeadSquared has accepted the code.
const TEXTED: &str = "sealed";
const ACCEPTED: &str = "accepted";

/// The data of a challenge that waits for a code.
pub(crate) enum Pending {
    /// LeadSquared texted a code, or does not know the number.
    Texted(Texted),
    /// LeadSquared has accepted the texted code, and the next step failed: the same code continues from there.
    Accepted(Accepted),
    /// A code was mailed to the lead.
    Mailed(Mailed),
}

/// The data of a challenge once LeadSquared has signed the applicant in.
#[derive(Serialize, Deserialize)]
enum AfterSignIn {
    Accepted(Accepted),
    Mailed(Mailed),
}

/// LeadSquared's session. `Debug` is left out on purpose.
#[derive(Clone, Serialize, Deserialize)]
struct StoredSession {
    auth_key: String,
    lead_id: LeadId,
    /// When LeadSquared began the session, in Unix seconds.
    signed_in_at: i64,
}

impl StoredSession {
    fn new(session: &Session, now: OffsetDateTime) -> Self {
        let auth_key = session.auth_key.expose().to_owned();
        Self { auth_key, lead_id: session.lead_id, signed_in_at: now.unix_timestamp() }
    }

    fn session(&self) -> Session {
        Session { auth_key: self.auth_key.as_str().into(), lead_id: self.lead_id }
    }
}

/// A texted code that LeadSquared has accepted.
#[derive(Serialize, Deserialize)]
pub(crate) struct Accepted {
    code: String,
    kept: StoredSession,
    pub(crate) texted: Texted,
}

impl Accepted {
    pub(crate) fn new(code: &OneTimeCode, session: &Session, texted: Texted, now: OffsetDateTime) -> Self {
        Self { code: plain_code(code.expose()), kept: StoredSession::new(session, now), texted }
    }

    /// Whether this is the code.
    pub(crate) fn is(&self, typed: &OneTimeCode) -> bool {
        is_code(&self.code, typed)
    }

    pub(crate) fn session(&self) -> Session {
        self.kept.session()
    }
}

/// The data of a texted code.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Texted {
    #[serde(flatten)]
    pub(crate) sent: SentCode,
    /// The field whose number it was sent to. Absent in a challenge of an earlier version.
    #[serde(default = "Texted::phone")]
    pub(crate) schema_name: String,
    /// The person it is for, in the spelling by which attempts are counted.
    #[serde(default)]
    pub(crate) person: String,
}

impl Texted {
    fn phone() -> String {
        schema_name::PHONE.to_owned()
    }
}

/// The data of a mailed code.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mailed {
    /// The code, without its hyphen.
    code: String,
    kept: StoredSession,
    /// The names that the code proves: identifiers with a hash of their value, and the password.
    pub(crate) proves: Vec<String>,
    /// Whether the lead has a mark.
    pub(crate) is_marked: bool,
    /// The person it is for, in the spelling by which attempts are counted.
    pub(crate) person: String,
}

impl Mailed {
    pub(crate) fn new(code: &OneTimeCode, session: &Session, person: &str, now: OffsetDateTime) -> Self {
        Self {
            code: plain_code(code.expose()),
            kept: StoredSession::new(session, now),
            proves: Vec::new(),
            is_marked: false,
            person: person.to_owned(),
        }
    }

    /// Adds the names that the code proves, and whether the lead has a mark.
    pub(crate) fn proving(self, what: &[String], is_marked: bool) -> Self {
        Self { proves: what.to_vec(), is_marked, ..self }
    }

    /// Whether this is the code.
    pub(crate) fn is(&self, typed: &OneTimeCode) -> bool {
        is_code(&self.code, typed)
    }

    pub(crate) fn session(&self) -> Session {
        self.kept.session()
    }

    /// When LeadSquared began the session, in Unix seconds.
    pub(crate) fn signed_in_at(&self) -> i64 {
        self.kept.signed_in_at
    }
}

/// How many digits a texted code may have. LeadSquared's sample has six; it documents no number.
const TEXTED_CODE_DIGITS: std::ops::RangeInclusive<usize> = 4..=8;

/// The texted or mailed code in a text that a person typed or pasted. None if the text cannot be a code.
pub fn typed(text: &str) -> Option<OneTimeCode> {
    let code = typed_code(text)?;
    let is_texted = TEXTED_CODE_DIGITS.contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
    (is_texted || may_be_mailed(&code)).then(|| OneTimeCode::from(code))
}

/// Whether the typed code is this code. The comparison takes the same time for every wrong code of the same length.
fn is_code(code: &str, typed: &OneTimeCode) -> bool {
    plain_code(typed.expose()).as_bytes().ct_eq(code.as_bytes()).into()
}

/// The challenge that a browser sends together with a code.
pub(crate) struct Challenge(String);

impl Challenge {
    /// A new one, of 256 random bits.
    pub(crate) fn new(random: [u8; 32]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(random))
    }

    pub(crate) fn of_text(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_text(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// Seals data of one of the two kinds for the browser that has the challenge.
    fn seal(&self, kind: &str, content: &impl Serialize, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(content).expect("texts and numbers are JSON");
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.cipher(kind).seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes).expect("it is not too long");
        bytes
    }

    /// The nonce, followed by the data that is sealed with it.
    fn seal_after_sign_in(&self, content: &AfterSignIn, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        [&nonce[..], &self.seal(ACCEPTED, content, nonce)].concat()
    }

    fn open<T: for<'a> Deserialize<'a>>(&self, kind: &str, mut sealed: Vec<u8>, nonce: [u8; NONCE_LEN]) -> Option<T> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let bytes = self.cipher(kind).open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        serde_json::from_slice(bytes).ok()
    }

    /// The data of the challenge; none if another challenge sealed it.
    fn pending(&self, waiting: ChallengeContent) -> Option<Pending> {
        let accepted = match waiting {
            ChallengeContent::Texted(sealed) => return self.open(TEXTED, sealed, TEXTED_NONCE).map(Pending::Texted),
            ChallengeContent::Accepted(accepted) => accepted,
        };
        let (nonce, sealed) = accepted.split_first_chunk()?;
        Some(match self.open(ACCEPTED, sealed.to_vec(), *nonce)? {
            AfterSignIn::Accepted(accepted) => Pending::Accepted(accepted),
            AfterSignIn::Mailed(mailed) => Pending::Mailed(mailed),
        })
    }

    fn cipher(&self, kind: &str) -> LessSafeKey {
        // This hash differs from the one in the item's key, which every reader of the table sees.
        let key = Sha256::digest(format!("{kind} {}", self.0));
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("SHA-256 has as many bits as the cipher wants"))
    }
}

/// The nonce of a texted code's data. It can be constant, because every code has a new challenge, whose cipher seals
/// this data once.
const TEXTED_NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// The length of a random nonce, for data that may be sealed several times under one challenge.
pub(crate) const NONCE_BYTES: usize = NONCE_LEN;

/// Begins a challenge that no code belongs to yet.
pub(crate) async fn begin(ledger: &Ledger, challenge: &Challenge, now: OffsetDateTime) -> Result<(), LedgerError> {
    ledger.begin_challenge(&challenge.0, until(now)).await
}

/// Keeps the data by which LeadSquared recognises its code.
pub(crate) async fn fill(ledger: &Ledger, challenge: &Challenge, texted: &Texted) -> Result<(), LedgerError> {
    ledger.await_text(&challenge.0, challenge.seal(TEXTED, texted, TEXTED_NONCE)).await
}

/// Keeps the session that LeadSquared gave for a texted code. After a failure of a later step, the same code still
/// works.
pub(crate) async fn keep_accepted(
    ledger: &Ledger,
    challenge: &Challenge,
    accepted: Accepted,
    nonce: [u8; NONCE_BYTES],
    now: OffsetDateTime,
) -> Result<(), LedgerError> {
    let lead = accepted.kept.lead_id;
    let sealed = challenge.seal_after_sign_in(&AfterSignIn::Accepted(accepted), nonce);
    ledger.continue_challenge(&challenge.0, sealed, &lead, until(now)).await
}

/// Makes a challenge wait for a mailed code, with all its tries.
pub(crate) async fn await_mailed(
    ledger: &Ledger,
    challenge: &Challenge,
    mailed: Mailed,
    nonce: [u8; NONCE_BYTES],
    now: OffsetDateTime,
) -> Result<(), LedgerError> {
    let lead = mailed.kept.lead_id;
    let sealed = challenge.seal_after_sign_in(&AfterSignIn::Mailed(mailed), nonce);
    ledger.continue_challenge(&challenge.0, sealed, &lead, until(now)).await
}

/// Takes one of a challenge's tries and returns its data. There are a million texted codes, so wrong ones also count by
/// phone number and day; there are 2^50 mailed codes. None if no try is left, or if the challenge is unknown,
/// expired or never filled.
pub(crate) async fn try_code(
    ledger: &Ledger,
    challenge: &Challenge,
    now: OffsetDateTime,
) -> Result<Option<Pending>, LedgerError> {
    let waiting = ledger.try_challenge(&challenge.0, CODE_TRIES, now).await?;
    Ok(waiting.and_then(|waiting| challenge.pending(waiting)))
}

/// Ends a challenge whose code was right.
pub(crate) async fn end(ledger: &Ledger, challenge: &Challenge) -> Result<(), LedgerError> {
    ledger.end_challenge(&challenge.0, CODE_TRIES).await
}

/// A decoy for a code that was not sent.
pub(crate) fn decoy(random: [u8; 48], phone: &Phone) -> SentCode {
    SentCode {
        code: CodeChallenge::from(BASE64_STANDARD.encode(random)),
        field_content: CodeRecipient::from(phone.expose()),
    }
}

fn until(now: OffsetDateTime) -> OffsetDateTime {
    now + Duration::try_from(VALID_FOR).expect("a quarter of an hour fits")
}

#[cfg(test)]
mod tests {
    use onboarding::{MAILED_CODE_BYTES, mailed_code};
    use time::macros::datetime;

    use super::*;

    fn texted() -> Texted {
        let phone = Phone::parse("+91-9000000001", leadsquared::CallingCode(91)).unwrap();
        Texted { sent: decoy([1; 48], &phone), schema_name: "Phone".to_owned(), person: String::new() }
    }

    /// The data of the challenge in a sample of `events/ledger`.
    fn sample(version: &str, case: &str) -> ChallengeContent {
        let path = format!("{}/../../events/ledger/{version}/code/{case}.json", env!("CARGO_MANIFEST_DIR"));
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let bytes = |name: &str| json[name]["B"].as_str().map(|text| BASE64_STANDARD.decode(text).unwrap());
        bytes("accepted")
            .map(ChallengeContent::Accepted)
            .or_else(|| bytes("sealed").map(ChallengeContent::Texted))
            .unwrap()
    }

    #[test]
    fn a_sealed_challenge_reads_back() {
        let (challenge, at) = (Challenge::new([7; 32]), datetime!(2026-11-22 09:30:00 UTC));
        let session = || Session {
            auth_key: "sample-session-key".into(),
            lead_id: "5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44".parse().unwrap(),
        };
        let of = |session: &Session| (session.auth_key.expose().to_owned(), session.lead_id);
        let texted = || Texted { person: "Phone +91-9000000001".to_owned(), ..texted() };
        let code = OneTimeCode::from("123456");
        let accepted = AfterSignIn::Accepted(Accepted::new(&code, &session(), texted(), at));
        let mailed = Mailed::new(&mailed_code([3; MAILED_CODE_BYTES]), &session(), "Phone +91-9000000001", at);
        let mailed = AfterSignIn::Mailed(mailed.proving(&["password".to_owned()], true));
        let nonce = [9; NONCE_BYTES];
        let written = [
            ("texted", ChallengeContent::Texted(challenge.seal(TEXTED, &texted(), TEXTED_NONCE))),
            ("accepted", ChallengeContent::Accepted(challenge.seal_after_sign_in(&accepted, nonce))),
            ("mailed", ChallengeContent::Accepted(challenge.seal_after_sign_in(&mailed, nonce))),
        ];
        for (case, written) in written {
            // Version 3 added the owner, which a texted code does not know.
            let versions: &[&str] = if case == "texted" { &["v3"] } else { &["v2", "v3"] };
            for version in versions {
                assert!(sample(version, case) == written, "{version} {case}");
            }
            assert!(Challenge::new([8; 32]).pending(sample("v3", case)).is_none(), "{case} opens by another challenge");
            match (case, challenge.pending(written)) {
                ("texted", Some(Pending::Texted(texted))) => assert_eq!(texted.schema_name, "Phone"),
                ("accepted", Some(Pending::Accepted(accepted))) => {
                    assert!(accepted.is(&code));
                    assert_eq!(of(&accepted.session()), of(&session()));
                }
                ("mailed", Some(Pending::Mailed(mailed))) => {
                    assert_eq!(of(&mailed.session()), of(&session()));
                    assert_eq!((mailed.proves.as_slice(), mailed.is_marked), (&["password".to_owned()][..], true));
                    assert_eq!(mailed.signed_in_at(), at.unix_timestamp());
                }
                _ => panic!("{case} is something else"),
            }
        }
    }

    #[test]
    fn only_the_challenge_opens_what_belongs_to_it() {
        let challenge = Challenge::new([7; 32]);
        let sealed = challenge.seal(TEXTED, &texted(), TEXTED_NONCE);
        let opened: Texted = challenge.open(TEXTED, sealed.clone(), TEXTED_NONCE).unwrap();
        assert_eq!(opened.sent.field_content.expose(), "+91-9000000001");
        assert_eq!(opened.sent.code.expose().len(), 64);
        assert!(!String::from_utf8_lossy(&sealed).contains("9000000001"));
        assert!(Challenge::new([8; 32]).open::<Texted>(TEXTED, sealed.clone(), TEXTED_NONCE).is_none());
        assert!(
            challenge.open::<Texted>(ACCEPTED, sealed.clone(), TEXTED_NONCE).is_none(),
            "each kind has a key of its own"
        );
        for damaged in [sealed[1..].to_vec(), sealed[..sealed.len() - 1].to_vec(), Vec::new()] {
            assert!(challenge.open::<Texted>(TEXTED, damaged, TEXTED_NONCE).is_none());
        }
    }

    #[test]
    fn a_challenge_that_an_earlier_version_filled_is_read() {
        let challenge = Challenge::new([7; 32]);
        let opened: Texted =
            challenge.open(TEXTED, challenge.seal(TEXTED, &texted().sent, TEXTED_NONCE), TEXTED_NONCE).unwrap();
        assert_eq!((opened.schema_name.as_str(), opened.person.as_str()), ("Phone", ""));
    }

    #[test]
    fn a_code_is_read_as_phones_and_keyboards_write_it() {
        for text in [
            "123456",
            "123 456",
            "123-456",
            " 1 2 3 4 5 6 ",
            "123\u{a0}456",
            "123\u{2011}456",
            "123.456",
            "\u{200e}123456\u{200b}",
            "१२३४५६",
            "۱۲۳۴۵۶",
            "١٢٣٤٥٦",
            "১২৩৪৫৬",
            "௧௨௩௪௫௬",
            "１２３ ４５６",
            "l23456",
            "\u{a0}123456 ",
            "123\u{2013}456",
            "123\u{2009}456\r\n",
            "\u{2068}123456\u{2069}",
            "೧೨೩೪೫೬",
        ] {
            assert_eq!(typed(text).as_ref().map(OneTimeCode::expose), Some("123456"), "{text}");
        }
        assert_eq!(typed("123O56").unwrap().expose(), "123056");
        assert_eq!(typed("01z0a-hjkmz").unwrap().expose(), "01Z0AHJKMZ");
        for text in ["", " ", "x", "123", "123456789", "12345é", "abcdef", "01Z0A-HJKMU", "01Z0A-HJKM", "your code: 1"]
        {
            assert!(typed(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_mailed_code_is_ten_characters_and_is_known_however_it_is_typed() {
        let code = mailed_code([0, 1, 31, 32, 10, 17, 18, 19, 20, 255]);
        assert_eq!(code.expose(), "01Z0A-HJKMZ");
        let session =
            Session { auth_key: "c4nary".into(), lead_id: "11111111-1111-4111-8111-111111111111".parse().unwrap() };
        let mailed = Mailed::new(&code, &session, "Phone +91-9000000001", datetime!(2026-01-02 03:04 UTC));
        for typed in ["01Z0A-HJKMZ", "01z0ahjkmz", " 01Z0A HJKMZ ", "OLZOA-HJKMZ", "oiz0a_hjkmz"] {
            assert!(mailed.is(&OneTimeCode::from(typed)), "{typed}");
        }
        for typed in ["", "01Z0A", "01Z0A-HJKMY", "01Z0A-HJKMZZ"] {
            assert!(!mailed.is(&OneTimeCode::from(typed)), "{typed}");
        }
    }
}
