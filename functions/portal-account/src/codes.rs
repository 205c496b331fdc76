//! Challenges: what a browser holds while it proves something with a code.
//!
//! LeadSquared recognises a texted code by a challenge of its own, which it gives for known people only. So nobody is
//! given that: every browser gets a random challenge of ours, and what belongs to it is in the table under its hash.
//! Where LeadSquared gave none there is one that LeadSquared does not know, so that it is asked about whatever is
//! typed for any number, and the answer tells nothing about anybody.
//!
//! Where an identifier or a password is unproven, the same challenge goes on: LeadSquared's session waits under it
//! until the code arrives that was mailed to the lead. Only the browser with the challenge can read what belongs to
//! it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use leadsquared::portal::{SentCode, Session};
use leadsquared::{CodeChallenge, CodeRecipient, LeadId, OneTimeCode, Phone, schema_name};
use ledger::{Ledger, LedgerError, Waiting};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

/// How long a challenge is kept, and a mailed code is valid. How long LeadSquared's own code is valid is not
/// documented.
pub(crate) const VALID_FOR: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// How many codes may be tried with one challenge. Wrong texted codes, of which there are a million, also count for
/// their phone number and day; of mailed codes there are 2^50.
const TRIES: u32 = 5;

/// What the key of a cipher is made of beside the challenge: one word for a texted code's data, and one for what
/// follows once LeadSquared has accepted it.
const TEXTED: &str = "sealed";
const ACCEPTED: &str = "accepted";

/// How many random bytes a mailed code is made of.
pub(crate) const MAILED_CODE_BYTES: usize = 10;

/// What a code is expected for.
pub(crate) enum Pending {
    /// LeadSquared texted a code, or would have if it knew the number.
    Texted(Texted),
    /// LeadSquared has accepted the texted code, and what follows could not be done yet: the same code goes on from
    /// there.
    Accepted(Accepted),
    /// A code was mailed to the lead.
    Mailed(Mailed),
}

/// What waits under a challenge once LeadSquared has signed somebody in.
#[derive(Serialize, Deserialize)]
enum Later {
    Accepted(Accepted),
    Mailed(Mailed),
}

/// LeadSquared's session. `Debug` is left out on purpose.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    auth_key: String,
    lead_id: LeadId,
    /// When LeadSquared began it, in Unix seconds.
    signed_in_at: i64,
}

impl Kept {
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
    kept: Kept,
    pub(crate) texted: Texted,
}

impl Accepted {
    pub(crate) fn new(code: &OneTimeCode, session: &Session, texted: Texted, now: OffsetDateTime) -> Self {
        Self { code: plain(code.expose()), kept: Kept::new(session, now), texted }
    }

    /// Whether this is the code.
    pub(crate) fn is(&self, typed: &OneTimeCode) -> bool {
        is_code(&self.code, typed)
    }

    pub(crate) fn session(&self) -> Session {
        self.kept.session()
    }
}

/// What belongs to a texted code.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Texted {
    #[serde(flatten)]
    pub(crate) sent: SentCode,
    /// The field whose number it was sent to. Absent in a challenge of an earlier version.
    #[serde(default = "Texted::phone")]
    pub(crate) schema_name: String,
    /// Who it is for, as attempts are counted.
    #[serde(default)]
    pub(crate) person: String,
}

impl Texted {
    fn phone() -> String {
        schema_name::PHONE.to_owned()
    }
}

/// What belongs to a mailed code.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mailed {
    /// The code, without its hyphen.
    code: String,
    kept: Kept,
    /// What the code proves: identifiers with a hash of their value, and the password.
    pub(crate) proves: Vec<String>,
    /// Whether the lead has a mark.
    pub(crate) is_marked: bool,
    /// Who it is for, as attempts are counted.
    pub(crate) person: String,
}

impl Mailed {
    pub(crate) fn new(code: &OneTimeCode, session: &Session, person: &str, now: OffsetDateTime) -> Self {
        Self {
            code: plain(code.expose()),
            kept: Kept::new(session, now),
            proves: Vec::new(),
            is_marked: false,
            person: person.to_owned(),
        }
    }

    /// With what the code proves, and whether the lead has a mark.
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

/// Letters and digits of a code that is mailed: Crockford's base 32, which has no letters that look like digits
/// (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A code of ten characters, five bits each, with a hyphen in the middle.
pub(crate) fn mailed_code(random: [u8; MAILED_CODE_BYTES]) -> OneTimeCode {
    let text: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    OneTimeCode::from(format!("{}-{}", &text[..5], &text[5..]))
}

/// A mailed code as it is compared: in capitals, without what people put between its characters, and with the digits
/// that look like what they typed.
fn plain(code: &str) -> String {
    let characters = code.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_uppercase());
    characters
        .map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}

/// Whether somebody typed this code; takes the same time for every one that is not it.
fn is_code(code: &str, typed: &OneTimeCode) -> bool {
    verify_slices_are_equal(plain(typed.expose()).as_bytes(), code.as_bytes()).is_ok()
}

/// What comes back with a code.
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

    /// What belongs to it, sealed for the browser that has it, as one of the two kinds.
    fn seal(&self, kind: &str, content: &impl Serialize, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(content).expect("texts and numbers are JSON");
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.cipher(kind).seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes).expect("it is not too long");
        bytes
    }

    /// What follows, sealed behind the nonce that opens it.
    fn seal_later(&self, later: &Later, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        [&nonce[..], &self.seal(ACCEPTED, later, nonce)].concat()
    }

    fn open<T: for<'a> Deserialize<'a>>(&self, kind: &str, mut sealed: Vec<u8>, nonce: [u8; NONCE_LEN]) -> Option<T> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let bytes = self.cipher(kind).open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        serde_json::from_slice(bytes).ok()
    }

    /// What a code is expected for; none if another challenge sealed it.
    fn pending(&self, waiting: Waiting) -> Option<Pending> {
        let accepted = match waiting {
            Waiting::Texted(sealed) => return self.open(TEXTED, sealed, ONCE).map(Pending::Texted),
            Waiting::Accepted(accepted) => accepted,
        };
        let (nonce, sealed) = accepted.split_first_chunk()?;
        Some(match self.open(ACCEPTED, sealed.to_vec(), *nonce)? {
            Later::Accepted(accepted) => Pending::Accepted(accepted),
            Later::Mailed(mailed) => Pending::Mailed(mailed),
        })
    }

    fn cipher(&self, kind: &str) -> LessSafeKey {
        // Another hash than the one in the item's key, which everybody who reads the table sees.
        let key = Sha256::digest(format!("{kind} {}", self.0));
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("SHA-256 has as many bits as the cipher wants"))
    }
}

/// The nonce of a texted code's data: a challenge is new for every code, and its cipher seals that once.
const ONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// How many random bytes sealing takes what may be sealed again under one challenge.
pub(crate) const NONCE_BYTES: usize = NONCE_LEN;

/// Begins a challenge that no code belongs to yet.
pub(crate) async fn begin(ledger: &Ledger, challenge: &Challenge, now: OffsetDateTime) -> Result<(), LedgerError> {
    ledger.begin_challenge(&challenge.0, until(now)).await
}

/// Keeps what LeadSquared is to recognise its code by.
pub(crate) async fn fill(ledger: &Ledger, challenge: &Challenge, texted: &Texted) -> Result<(), LedgerError> {
    ledger.await_text(&challenge.0, challenge.seal(TEXTED, texted, ONCE)).await
}

/// Keeps a session that LeadSquared gave for a texted code, so that a failure afterwards does not cost the code.
pub(crate) async fn keep_accepted(
    ledger: &Ledger,
    challenge: &Challenge,
    accepted: Accepted,
    nonce: [u8; NONCE_BYTES],
    now: OffsetDateTime,
) -> Result<(), LedgerError> {
    let lead = accepted.kept.lead_id;
    let sealed = challenge.seal_later(&Later::Accepted(accepted), nonce);
    ledger.follow_challenge(&challenge.0, sealed, &lead, until(now)).await
}

/// Has a challenge wait for a mailed code from now on, with all its tries.
pub(crate) async fn await_mailed(
    ledger: &Ledger,
    challenge: &Challenge,
    mailed: Mailed,
    nonce: [u8; NONCE_BYTES],
    now: OffsetDateTime,
) -> Result<(), LedgerError> {
    let lead = mailed.kept.lead_id;
    let sealed = challenge.seal_later(&Later::Mailed(mailed), nonce);
    ledger.follow_challenge(&challenge.0, sealed, &lead, until(now)).await
}

/// Takes one of the tries that a challenge has: what a code is expected for. None if there are no more, or the
/// challenge is unknown, too old or was never filled.
pub(crate) async fn try_code(
    ledger: &Ledger,
    challenge: &Challenge,
    now: OffsetDateTime,
) -> Result<Option<Pending>, LedgerError> {
    let waiting = ledger.try_challenge(&challenge.0, TRIES, now).await?;
    Ok(waiting.and_then(|waiting| challenge.pending(waiting)))
}

/// Ends a challenge whose code was right.
pub(crate) async fn end(ledger: &Ledger, challenge: &Challenge) -> Result<(), LedgerError> {
    ledger.end_challenge(&challenge.0, TRIES).await
}

/// What stands for a code that was not sent.
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
    use time::macros::datetime;

    use super::*;

    fn texted() -> Texted {
        let phone = Phone::parse("+91-9000000001", leadsquared::CallingCode(91)).unwrap();
        Texted { sent: decoy([1; 48], &phone), schema_name: "Phone".to_owned(), person: String::new() }
    }

    /// What waits under the challenge of a sample in `events/ledger`.
    fn sample(version: &str, case: &str) -> Waiting {
        let path = format!("{}/../../events/ledger/{version}/code/{case}.json", env!("CARGO_MANIFEST_DIR"));
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let bytes = |name: &str| json[name]["B"].as_str().map(|text| BASE64_STANDARD.decode(text).unwrap());
        bytes("accepted").map(Waiting::Accepted).or_else(|| bytes("sealed").map(Waiting::Texted)).unwrap()
    }

    #[test]
    fn what_waits_under_a_challenge_is_read_as_it_was_sealed() {
        let (challenge, at) = (Challenge::new([7; 32]), datetime!(2026-11-22 09:30:00 UTC));
        let session = || Session {
            auth_key: "sample-session-key".into(),
            lead_id: "5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44".parse().unwrap(),
        };
        let of = |session: &Session| (session.auth_key.expose().to_owned(), session.lead_id);
        let texted = || Texted { person: "Phone +91-9000000001".to_owned(), ..texted() };
        let code = OneTimeCode::from("123456");
        let accepted = Later::Accepted(Accepted::new(&code, &session(), texted(), at));
        let mailed = Mailed::new(&mailed_code([3; MAILED_CODE_BYTES]), &session(), "Phone +91-9000000001", at);
        let mailed = Later::Mailed(mailed.proving(&["password".to_owned()], true));
        let nonce = [9; NONCE_BYTES];
        let written = [
            ("texted", Waiting::Texted(challenge.seal(TEXTED, &texted(), ONCE))),
            ("accepted", Waiting::Accepted(challenge.seal_later(&accepted, nonce))),
            ("mailed", Waiting::Accepted(challenge.seal_later(&mailed, nonce))),
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
        let sealed = challenge.seal(TEXTED, &texted(), ONCE);
        let opened: Texted = challenge.open(TEXTED, sealed.clone(), ONCE).unwrap();
        assert_eq!(opened.sent.field_content.expose(), "+91-9000000001");
        assert_eq!(opened.sent.code.expose().len(), 64);
        assert!(!String::from_utf8_lossy(&sealed).contains("9000000001"));
        assert!(Challenge::new([8; 32]).open::<Texted>(TEXTED, sealed.clone(), ONCE).is_none());
        assert!(challenge.open::<Texted>(ACCEPTED, sealed.clone(), ONCE).is_none(), "each kind has a key of its own");
        for damaged in [sealed[1..].to_vec(), sealed[..sealed.len() - 1].to_vec(), Vec::new()] {
            assert!(challenge.open::<Texted>(TEXTED, damaged, ONCE).is_none());
        }
    }

    #[test]
    fn a_challenge_that_an_earlier_version_filled_is_read() {
        let challenge = Challenge::new([7; 32]);
        let opened: Texted = challenge.open(TEXTED, challenge.seal(TEXTED, &texted().sent, ONCE), ONCE).unwrap();
        assert_eq!((opened.schema_name.as_str(), opened.person.as_str()), ("Phone", ""));
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
