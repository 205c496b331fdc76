//! The configured fields of a submitted form, checked, and the invitation that they become.

use std::borrow::Cow;

use forms::{DateFormat, Field, FieldKind, Fields};
use leadsquared::{Attributes, CallingCode, EmailAddress, InvalidEmailAddress, InvalidPhone, Password, Phone, text};
use onboarding::{Action, Invitation, InvitationId, Invitee, Source};
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use web::{FieldError, Form, expected_email, expected_phone, one, spelling};

use crate::consent::Meaning;
use crate::sent_names::{SentNames, is_near};

/// How long a repeated form without an `Idempotency-Key` counts as the same application, in seconds: as long as the
/// deduplication interval of an SQS FIFO queue
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>).
const SAME_FORM_SECONDS: i64 = 5 * 60;

/// A valid form. `Debug` shows no personal data.
#[derive(Clone, Debug)]
pub struct Submission {
    email: EmailAddress,
    attributes: Attributes,
    /// The portal password that the applicant chose.
    pub password: Option<Password>,
    /// Whether a honeypot field was filled in. People do not see it; robots fill it in.
    pub by_robot: bool,
    /// The optional fields whose values are invalid. The values are in the lead's notes.
    pub noted: Vec<FieldError>,
    /// The names of the configured fields that came in a way in which they are not read.
    pub ignored: Vec<String>,
}

/// What becomes of an optional field with an invalid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidOptional {
    /// The form is refused, so that the applicant corrects it.
    Refused,
    /// The value goes to the lead's notes, because no applicant sees the answer.
    Noted,
}

/// A form with missing or invalid fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyForm {
    /// The fields, in the order of the configuration. No error repeats a submitted value.
    pub errors: Vec<FieldError>,
    /// Whether a honeypot field was filled in.
    pub by_robot: bool,
}

/// Reads the configured fields of a form and ignores all others, since websites add their own. The fields may be in a
/// form builder's group. A phone number without a calling code belongs to `default_country`.
///
/// # Errors
/// When a field is missing or invalid.
pub fn read(
    form: Form,
    fields: &Fields,
    default_country: CallingCode,
    invalid_optional: InvalidOptional,
) -> Result<Submission, FaultyForm> {
    let found = SentNames::find(form, fields);
    let (form, sent) = found.map_err(|error| FaultyForm { errors: vec![error], by_robot: false })?;
    let mut email = None;
    let mut attributes = Attributes::new();
    let mut password = None;
    let mut by_robot = false;
    let (mut errors, mut noted, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields.iter() {
        match (value(&form, field, sent.of(field), default_country), &field.attribute) {
            (Ok(value), _) if field.kind == FieldKind::Honeypot => by_robot |= value.is_some(),
            // Only a robot sends an invalid value in a field that people do not see.
            (Err(_), _) if field.kind == FieldKind::Honeypot => by_robot = true,
            (Ok(value), _) if field.kind == FieldKind::Email => email = value.and_then(|value| value.parse().ok()),
            (Ok(value), _) if field.kind == FieldKind::Password => password = value.map(Password::from),
            (Ok(Some(value)), Some(attribute)) => attributes.set(attribute, value),
            (Ok(_), _) => {}
            (Err(error), attribute) if !field.required && invalid_optional == InvalidOptional::Noted => {
                // A password has no attribute, and is never noted.
                let typed = attribute.as_ref().and_then(|attribute| note(&form, sent.of(field), attribute));
                notes.extend(typed);
                noted.push(error);
            }
            (Err(error), _) => errors.push(error),
        }
    }
    if !notes.is_empty() {
        attributes.add_note(&format!("Typed in the form and not valid: {}.", notes.join(", ")));
    }
    let ignored = sent.ignored(&form, fields);
    match email {
        Some(email) if errors.is_empty() => Ok(Submission { email, attributes, password, by_robot, noted, ignored }),
        _ => Err(FaultyForm { errors, by_robot }),
    }
}

/// An invalid value for the lead's notes, in one line; none if it is no text.
fn note(form: &Form, sent_as: &str, attribute: &str) -> Option<String> {
    /// The most characters of a value that is noted.
    const LONGEST: usize = 255;
    let texts = form.texts(sent_as).ok()?;
    let typed = texts.iter().map(|text| without_invisible(text::trim(text.expose()))).collect::<Vec<_>>().join(" / ");
    let in_one_line = typed.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST);
    Some(format!("{attribute} {}", text::without_markup(&in_one_line.collect::<String>())))
}

impl Submission {
    /// The invitation for the applicant, without the password: the caller seals it for this invitation's id first.
    ///
    /// `key` is the `Idempotency-Key`. Forms of one person with the same key are one invitation, at any time. Without
    /// a key, identical forms within the same five minutes of the clock are one invitation.
    pub fn invitation(self, key: Option<&str>, now: OffsetDateTime) -> Invitation {
        let Self { email, attributes, .. } = self;
        let id = match key {
            Some(key) => InvitationId::of([&b"form by key"[..], email.expose().as_bytes(), key.as_bytes()]),
            None => {
                let period = now.unix_timestamp().div_euclid(SAME_FORM_SECONDS).to_be_bytes();
                let head = [&b"form by content"[..], &period, email.expose().as_bytes()];
                let fields = attributes.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
                InvitationId::of(head.into_iter().chain(fields))
            }
        };
        Invitation { attributes, ..Invitation::new(id, Source::Form, now, Invitee::Email(email), Action::Invite) }
    }
}

/// The field's value in LeadSquared's spelling; none if it was not filled in. A field may be sent several times, as
/// long as only one value was filled in.
fn value(
    form: &Form,
    field: &Field,
    sent_as: &str,
    default_country: CallingCode,
) -> Result<Option<String>, FieldError> {
    let texts = form.texts(sent_as).map_err(|error| error.of_field(&field.name))?;
    let texts = texts.iter().map(|text| match field.kind {
        FieldKind::Password => Cow::Owned(passwords::normalised(text.expose())),
        _ => Cow::Borrowed(text::trim(text.expose())),
    });
    let mut values = Vec::new();
    for text in texts.filter(|text| !text.is_empty() && !is_missing_value(text, field.kind)) {
        values.extend(check(&text, field, default_country)?);
    }
    let value = match field.kind {
        // Some frameworks put a hidden field of the same name before or after the box, with the value of an unticked
        // one.
        FieldKind::Consent => values.iter().find(|value| *value == TICKED).or(values.first()).cloned(),
        _ => one(&field.name, values)?,
    };
    match (value, field.kind) {
        (value, FieldKind::Consent) if field.required && value.as_deref() != Some(TICKED) => {
            Err(FieldError::new(&field.name, "must be ticked"))
        }
        (None, kind) if field.required || kind == FieldKind::Email => Err(missing(form, field)),
        (value, _) => Ok(value),
    }
}

const TICKED: &str = "true";

/// Whether the text is what a program makes of a missing value
/// (<https://developer.mozilla.org/en-US/docs/Web/API/FormData/append>), what people write who have no phone, or the
/// value of a honeypot that is an unticked box. Null is a name, and `null` is not; a longer text may have either.
fn is_missing_value(text: &str, kind: FieldKind) -> bool {
    const NO_PHONE: [&str; 7] = ["-", "--", "n/a", "na", "nil", "none", "no"];
    const NOT_TICKED: [&str; 3] = ["false", "0", "off"];
    let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match kind {
        FieldKind::Password => false,
        FieldKind::Phone if is_one_of(&NO_PHONE) => true,
        FieldKind::Honeypot if is_one_of(&NOT_TICKED) => true,
        FieldKind::Multiline => matches!(text, "undefined" | "[object Object]"),
        _ => matches!(text, "null" | "undefined" | "[object Object]"),
    }
}

/// What is missing, with a hint for the form's author: whether its value came under another name.
fn missing(form: &Form, field: &Field) -> FieldError {
    /// The longest name that is repeated.
    const LONGEST: usize = 40;
    let is_plain = |name: &&str| {
        name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte))
    };
    let of_address = || match field.kind {
        FieldKind::Email => form.name_of(|text| text.parse::<EmailAddress>().is_ok()).filter(is_plain),
        _ => None,
    };
    if let Some(name) = of_address() {
        return FieldError::new(
            &field.name,
            format!("is required; an address was sent as {name}: give that field this name"),
        )
        .logged_as("is required; an address was sent under another name");
    }
    let mut near =
        form.filled().flat_map(|(names, is_in_group)| names.iter().map(move |name| (name.as_str(), is_in_group)));
    match near.find(|(name, _)| is_near(field, name) && is_plain(name)) {
        Some((name, false)) if name == field.name => FieldError::new(
            &field.name,
            "is required; it was sent in another group of fields than the e-mail address: send all fields in one group",
        ),
        Some((name, _)) if name != field.name => FieldError::new(
            &field.name,
            format!("is required; it was sent as {name}: give that field the name {}", field.name),
        )
        .logged_as("is required; it was sent under a similar name"),
        _ => FieldError::new(&field.name, "is required"),
    }
}

/// The value in LeadSquared's spelling, if the field may hold it. None if it counts as not filled in.
fn check(text: &str, field: &Field, default_country: CallingCode) -> Result<Option<String>, FieldError> {
    let invalid = |detail: String| FieldError::new(&field.name, detail);
    if field.kind == FieldKind::Password {
        passwords::check_shape(text).map_err(|fault| invalid(fault.to_string()))?;
    }
    if text.chars().count() > field.limit {
        return Err(invalid(format!("must be at most {} characters long", field.limit)));
    }
    let multiline = field.kind == FieldKind::Multiline;
    if text.chars().any(|c| c.is_control() && !(multiline && matches!(c, '\r' | '\n' | '\t'))) {
        let detail = if multiline { "must be plain text" } else { "must be one line of plain text" };
        return Err(invalid(detail.to_owned()));
    }
    Ok(Some(match field.kind {
        FieldKind::Password | FieldKind::Honeypot => text.to_owned(),
        FieldKind::Text => text::harmless(&without_invisible(text)),
        FieldKind::Multiline => text::harmless(&text.replace("\r\n", "\n").replace('\r', "\n")),
        FieldKind::Email => {
            let address: EmailAddress =
                text.parse().map_err(|error: InvalidEmailAddress| invalid(expected_email(error)))?;
            address.expose().to_owned()
        }
        FieldKind::Phone if Phone::is_only_calling_code(text, default_country) => return Ok(None),
        FieldKind::Phone => {
            let phone = Phone::parse(text, default_country)
                .map_err(|error| invalid(expected_phone(error)).logged_as(phone_fault(error)))?;
            phone.expose().to_owned()
        }
        FieldKind::Date => format!("{} 00:00:00", date(text, field).map_err(invalid)?),
        FieldKind::Choice => match field.options.iter().any(|option| option == text) {
            true => text.to_owned(),
            false => {
                let error = invalid(format!("must be one of: {}", field.options.join(", ")));
                return Err(error.logged_as("must be one of its options"));
            }
        },
        FieldKind::Consent => match Meaning::of(text) {
            Meaning::Consent => TICKED.to_owned(),
            Meaning::Refusal => "false".to_owned(),
            // The value of many boxes is their name.
            Meaning::Unclear if spelling(text) == spelling(&field.name) => TICKED.to_owned(),
            Meaning::Unclear => {
                let detail = "must be clear; send 1 for a ticked box and 0 for another one";
                return Err(invalid(detail.to_owned()));
            }
        },
    }))
}

/// The fault of a number for the log, without the number that the answer has as an example.
const fn phone_fault(error: InvalidPhone) -> &'static str {
    match error {
        InvalidPhone::NotANumber => "is not one phone number",
        InvalidPhone::Negative => "is a negative number",
        InvalidPhone::Rounded => "was rounded by a spreadsheet",
        InvalidPhone::NoCountry | InvalidPhone::NoCallingCode(_) => "has no calling code",
        InvalidPhone::UnknownCountry => "has a calling code of no country",
        InvalidPhone::NoAreaCode(_) => "has no area code",
        InvalidPhone::TooFewDigits { .. } => "has too few digits",
        InvalidPhone::TooManyDigits { .. } => "has too many digits",
        InvalidPhone::NotAssigned(_) => "is not assigned in its country",
    }
}

/// The text without invisible characters, except the joiners that shape letters of Indian and other scripts.
fn without_invisible(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\u{200C}' | '\u{200D}') || !text::is_invisible(*c)).collect()
}

fn date(text: &str, field: &Field) -> Result<Date, String> {
    let text: String = text.chars().map(text::ascii_digit).collect();
    let text = match text.split_once(['T', ' ']) {
        Some((date, time)) if is_midnight(time) => date,
        _ => &text,
    };
    let parts: Vec<_> = text.split(['.', '-', '/']).map(str::trim).collect();
    let text = parts.join("/");
    let iso = Date::parse(&text, format_description!("[year]/[month padding:none]/[day padding:none]"));
    let date = iso.or_else(|error| match field.format {
        Some(DateFormat::DayFirst) => {
            Date::parse(&text, format_description!("[day padding:none]/[month padding:none]/[year]"))
        }
        Some(DateFormat::MonthFirst) => {
            Date::parse(&text, format_description!("[month padding:none]/[day padding:none]/[year]"))
        }
        None => Err(error),
    });
    let example = match field.format {
        None => "2026-01-31 (year, month, day)",
        Some(DateFormat::DayFirst) => "31/01/2026 (day, month, year) or 2026-01-31",
        Some(DateFormat::MonthFirst) => "01/31/2026 (month, day, year) or 2026-01-31",
    };
    let date = date.map_err(|_| format!("must be a date such as {example}"))?;
    match (field.earliest..=field.latest).contains(&date) {
        true => Ok(date),
        false => Err(format!("must be a date from {} to {}", field.earliest, field.latest)),
    }
}

/// Whether the time is the midnight at which a program begins the day that was chosen: in UTC, or in the applicant's
/// time with its offset. Any other time may be of another day where the applicant lives.
fn is_midnight(time: &str) -> bool {
    let (clock, offset) = time.split_at(time.find(['Z', '+', '-', ' ']).unwrap_or(time.len()));
    let is_offset = offset.trim_matches([' ', 'Z']).bytes().all(|byte| byte.is_ascii_digit() || b"+-:".contains(&byte));
    !clock.is_empty() && clock.bytes().all(|byte| b"0:.".contains(&byte)) && is_offset
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use http::{HeaderMap, HeaderValue};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn fields() -> Fields {
        let json = r#"[
            {"name":"email","attribute":"EmailAddress","kind":"email","required":true},
            {"name":"first_name","attribute":"FirstName","kind":"text","required":true,"limit":5},
            {"name":"about","attribute":"Notes","kind":"multiline"},
            {"name":"phone","attribute":"Phone","kind":"phone"},
            {"name":"born","attribute":"mx_Date_of_Birth","kind":"date"},
            {"name":"course","attribute":"mx_Course","kind":"choice","options":["Law","Physics"]},
            {"name":"terms","attribute":"mx_Terms","kind":"consent","required":true},
            {"name":"password","kind":"password"},
            {"name":"website","kind":"honeypot"}
        ]"#;
        json.parse().unwrap()
    }

    fn submit(body: &str) -> Result<Submission, Vec<FieldError>> {
        submit_as(body, InvalidOptional::Refused)
    }

    fn submit_as(body: &str, invalid_optional: InvalidOptional) -> Result<Submission, Vec<FieldError>> {
        read_form(body, invalid_optional).map_err(|faulty| faulty.errors)
    }

    fn read_form(body: &str, invalid_optional: InvalidOptional) -> Result<Submission, FaultyForm> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        read(block_on(Form::read(&headers, body.as_bytes())).unwrap(), &fields(), CallingCode(91), invalid_optional)
    }

    fn attributes(submission: &Submission) -> Vec<(&str, &str)> {
        submission.attributes.iter().collect()
    }

    #[test]
    fn a_valid_form_becomes_attributes_in_the_order_of_the_settings() {
        let body = "terms=off&terms=on&course=Law&born=2001-02-28&phone=(090000)+00001&about=a%0D%0Ab&first_name=+Asha+\
                    &email=Asha%40Example.test&unknown=1";
        let submission = submit(body).unwrap();
        assert_eq!(submission.email.expose(), "asha@example.test");
        assert_eq!(
            attributes(&submission),
            [
                ("FirstName", "Asha"),
                ("Notes", "a\nb"),
                ("Phone", "+91-9000000001"),
                ("mx_Date_of_Birth", "2001-02-28 00:00:00"),
                ("mx_Course", "Law"),
                ("mx_Terms", "true"),
            ]
        );
        assert!(!submission.by_robot);
    }

    #[test]
    fn every_invalid_field_is_named_in_one_answer() {
        let body = "email=asha&first_name=Ashwini&about=%00&phone=12&born=31.1.2001&course=Chess&terms=0";
        let errors = submit(body).unwrap_err();
        let errors: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.detail.as_str())).collect();
        assert_eq!(
            errors,
            [
                (
                    "email",
                    "must be an e-mail address such as name@example.com; it lacks the @, has spaces, or has a full stop where none can be"
                ),
                ("first_name", "must be at most 5 characters long"),
                ("about", "must be plain text"),
                ("phone", "must be a phone number such as +91-9000000001; India has no such number"),
                ("born", "must be a date such as 2026-01-31 (year, month, day)"),
                ("course", "must be one of: Law, Physics"),
                ("terms", "must be ticked"),
            ]
        );
    }

    #[test]
    fn a_missing_or_repeated_field_is_named() {
        let errors = submit("first_name=A&first_name=B&terms=no").unwrap_err();
        let errors: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.detail.as_str())).collect();
        assert_eq!(
            errors,
            [
                ("email", "is required"),
                ("first_name", "was sent more than once with different values; send it once"),
                ("terms", "must be ticked")
            ]
        );
    }

    #[test]
    fn a_limit_counts_characters_and_not_bytes() {
        assert!(submit("email=a@example.test&terms=1&first_name=%E0%A4%86%E0%A4%B6%E0%A4%BE").is_ok());
    }

    #[test]
    fn a_filled_honeypot_marks_a_robot() {
        assert!(submit("email=a@example.test&first_name=A&terms=1&website=x").unwrap().by_robot);
        for empty in ["", "+", "false", "False", "0", "off", "null", "undefined"] {
            let submission = submit(&format!("email=a@example.test&first_name=A&terms=1&website={empty}")).unwrap();
            assert!(!submission.by_robot, "{empty}");
        }
        let is_by_robot = |body| read_form(body, InvalidOptional::Refused).unwrap_err().by_robot;
        assert!(is_by_robot("email=asha&website=x") && !is_by_robot("email=asha&website="));
    }

    #[test]
    fn a_password_keeps_its_white_space_and_is_no_part_of_the_invitation_id() {
        let body = "email=a@example.test&first_name=A&terms=1";
        let with = |password: &str| submit(&format!("{body}&password={password}"));
        let submission = with("+correct+horse+").unwrap();
        assert_eq!(submission.password.as_ref().map(Password::expose), Some(" correct horse "));
        assert_eq!(attributes(&submission), attributes(&submit(body).unwrap()));
        assert!(!format!("{submission:?}").contains("horse"));
        assert_eq!(submission.invitation(None, NOW), submit(body).unwrap().invitation(None, NOW));
        assert!(with("").unwrap().password.is_none());
        for (password, detail) in [
            ("1234567", "must be 8 to 128 characters long"),
            (&"x".repeat(129), "must be 8 to 128 characters long"),
            ("12345678%0A", "must be one line of plain text"),
        ] {
            assert_eq!(with(password).unwrap_err(), [FieldError::new("password", detail)]);
        }
    }

    #[test]
    fn a_repeated_form_is_the_same_invitation_for_five_minutes() {
        let id = |body: &str, key: Option<&str>, now| submit(body).unwrap().invitation(key, now).id;
        let body = "email=a@example.test&first_name=A&terms=1";
        let spelled_otherwise = "terms=on&first_name=A+&email=A@Example.Test";
        let later = NOW + time::Duration::hours(1);
        assert_eq!(id(body, None, NOW), id(spelled_otherwise, None, NOW + time::Duration::seconds(10)));
        assert_ne!(id(body, None, NOW), id(body, None, later));
        assert_ne!(id(body, None, NOW), id("email=a@example.test&first_name=B&terms=1", None, NOW));
        assert_eq!(id(body, Some("k"), NOW), id(body, Some("k"), later));
        assert_ne!(id(body, Some("k"), NOW), id(body, Some("l"), NOW));
        assert_ne!(id(body, Some("k"), NOW), id("email=b@example.test&first_name=A&terms=1", Some("k"), NOW));
    }

    /// What real senders send, by kind. The left side is a body beside a good e-mail address and name.
    #[test]
    fn what_real_senders_send_is_stored_right() {
        let phone = |number: &str| ("Phone", number.to_owned());
        let asha = "+91-9000000001";
        for (body, expected) in [
            // A number that went through a spreadsheet or a float.
            ("phone=9000000001.0", vec![phone(asha)]),
            ("phone=919000000001.00", vec![phone(asha)]),
            ("phone='9000000001", vec![phone(asha)]),
            ("phone=p:%2B919000000001", vec![phone(asha)]),
            // A dial code that a widget filled in.
            ("phone=%2B91", vec![]),
            ("phone=%2B91-", vec![]),
            ("phone=%2B", vec![]),
            ("phone=(%2B91)", vec![]),
            ("phone=0091", vec![]),
            ("phone=%2B39", vec![]),
            ("phone=%2B1684", vec![]),
            ("phone=91", vec![]),
            // A missing value that a script has turned into text.
            ("phone=null", vec![]),
            ("phone=undefined&course=null&born=undefined&website=null", vec![]),
            ("about=null", vec![("Notes", "null".to_owned())]),
            // The same name twice.
            ("phone=&phone=%2B919000000001", vec![phone(asha)]),
            ("phone=%2B91&phone=09000000001", vec![phone(asha)]),
            ("phone=9000000001&phone=%2B91+90000+00001", vec![phone(asha)]),
            ("email=A@Example.Test", vec![]),
            ("course=&course=Law", vec![("mx_Course", "Law".to_owned())]),
            ("phone=90000+00001&phone=%2B919000000001", vec![phone(asha)]),
            ("terms=&terms=1", vec![]),
            // Invisible characters.
            ("phone=%E2%80%AA%2B91+90000%C2%A000001%E2%80%AC", vec![phone(asha)]),
            ("about=%EF%BB%BFhello%E2%80%8B", vec![("Notes", "hello".to_owned())]),
            ("about=%E2%80%89hello%E3%80%80", vec![("Notes", "hello".to_owned())]),
            ("about=%E3%85%A4", vec![]),
            // A box with a value of its own, and the hidden fields of Rails and ASP.NET.
            ("terms=I+agree", vec![]),
            ("terms=checked", vec![]),
            ("terms=Yes", vec![]),
            ("terms=accepted", vec![]),
            ("terms=0&terms=1", vec![]),
            ("terms=true&terms=false", vec![]),
            // Dates.
            ("born=2001-2-8", vec![("mx_Date_of_Birth", "2001-02-08 00:00:00".to_owned())]),
            // Invisible characters inside one line.
            ("first_name=A%E2%80%A8%F3%A0%81%81", vec![]),
            // Text that a spreadsheet would run.
            ("about=%3DHYPERLINK(1)", vec![("Notes", "'=HYPERLINK(1)".to_owned())]),
            ("about=-none", vec![("Notes", "'-none".to_owned())]),
            ("about=-5", vec![("Notes", "-5".to_owned())]),
            ("about=-", vec![("Notes", "-".to_owned())]),
            ("about=a%0D%0D%0Ab%0Dc", vec![("Notes", "a\n\nb\nc".to_owned())]),
            ("about=%2B1+for+this", vec![("Notes", "'+1 for this".to_owned())]),
            ("about=%3D1%2Bcmd%7C1", vec![("Notes", "'=1+cmd|1".to_owned())]),
            ("about=%2B1+202+555+0100", vec![("Notes", "+1 202 555 0100".to_owned())]),
            ("about=@asha", vec![("Notes", "'@asha".to_owned())]),
        ] {
            let submission = submit(&format!("email=a@example.test&first_name=A&terms=on&{body}"));
            let submission = submission.unwrap_or_else(|errors| panic!("{body}: {errors:?}"));
            let stored =
                attributes(&submission).into_iter().filter(|(name, _)| !["FirstName", "mx_Terms"].contains(name));
            let stored: Vec<_> = stored.map(|(name, value)| (name, value.to_owned())).collect();
            assert_eq!(stored, expected, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_its_reason() {
        for (body, field, reason) in [
            ("phone=560001", "phone", "it has no area code for India"),
            ("phone=987654321", "phone", "it has one digit too few for India"),
            ("phone=98765432109", "phone", "it has one digit too many for India"),
            ("phone=9E%2B09", "phone", "a spreadsheet has rounded it"),
            ("phone=9000000001&phone=9000000002", "phone", "different values"),
            ("email=b@example.test", "email", "different values"),
            ("email=asha@gmail.com/98765", "email", "is not a domain such as example.com"),
            ("email=as%E2%80%8Bha@gmail.com", "email", "an invisible character"),
            ("born=0024-05-06", "born", "must be a date from 1900-01-01 to 2100-12-31"),
            ("born=0020-01-01", "born", "must be a date from 1900-01-01 to 2100-12-31"),
            ("born=20022-01-01", "born", "must be a date such as 2026-01-31 (year, month, day)"),
            ("born=202323-06-05", "born", "must be a date such as 2026-01-31 (year, month, day)"),
            ("born=0022-09-21T04:56:02.000Z", "born", "must be a date such as 2026-01-31 (year, month, day)"),
            ("phone=4.47900E%2B11", "phone", "a spreadsheet has rounded it"),
            ("phone=5000000000", "phone", "India has no such number"),
            ("phone=0123456789", "phone", "it has one digit too few for India"),
            ("phone=44", "phone", "India has no such number"),
            ("course=Law&course=Physics", "course", "different values"),
            ("email=john@abc_d.com", "email", "is not a domain such as example.com"),
            ("email=jdoe@example-com", "email", "is not a domain such as example.com"),
            ("email=email.@gmail.com", "email", "has a full stop where none can be"),
            ("email=j.doe%C2%A0@example.com", "email", "has spaces"),
            ("email=a@example.co%E2%81%A0m", "email", "an invisible character"),
            ("email=null", "email", "is required"),
            ("born=31/01/2001", "born", "must be a date such as 2026-01-31 (year, month, day)"),
            ("first_name=B", "first_name", "different values"),
            ("phone=-9000000001", "phone", "it is a negative number; send it without the minus sign"),
            ("email=asha@gmail.con", "email", "no mail reaches a domain that ends with .con; .com may be meant"),
            ("email=asha@gmail.c%D0%BEm", "email", "letters of several alphabets in one word"),
        ] {
            let address = match body.strip_prefix("email=") {
                Some(other) if other != "b@example.test" => "",
                _ => "email=a@example.test&",
            };
            let errors = submit(&format!("{address}first_name=A&terms=on&{body}")).unwrap_err();
            let found = errors.iter().any(|error| error.field == field && error.detail.contains(reason));
            assert!(found, "{body}: {errors:?}");
        }
    }

    #[test]
    fn a_box_that_is_not_ticked_is_no_consent() {
        for value in ["off", "FALSE", "0", "No", "unchecked", "null", "undefined", ""] {
            let errors = submit(&format!("email=a@example.test&first_name=A&terms={value}")).unwrap_err();
            assert_eq!(errors, [FieldError::new("terms", "must be ticked")], "{value}");
        }
    }

    #[test]
    fn a_refusal_is_not_stored_as_consent_and_an_unclear_value_is_not_guessed() {
        let body = "email=a@example.test&first_name=A";
        for (value, detail) in [
            ("I+disagree", "must be ticked"),
            ("None", "must be ticked"),
            ("-", "must be ticked"),
            ("Yes+/+No", "must be clear; send 1 for a ticked box and 0 for another one"),
            ("rechazo", "must be clear; send 1 for a ticked box and 0 for another one"),
        ] {
            let errors = submit(&format!("{body}&terms={value}")).unwrap_err();
            assert_eq!(errors, [FieldError::new("terms", detail)], "{value}");
        }
        for value in ["No+objection", "terms", "Terms"] {
            let submission = submit(&format!("{body}&terms={value}")).unwrap();
            assert_eq!(submission.attributes.value("mx_Terms"), Some("true"), "{value}");
        }
    }

    #[test]
    fn a_name_of_invisible_characters_or_of_a_missing_value_is_missing() {
        for name in ["undefined", "null", "[object+Object]"] {
            let errors = submit(&format!("email=a@example.test&terms=on&first_name={name}")).unwrap_err();
            assert_eq!(errors, [FieldError::new("first_name", "is required")], "{name}");
        }
        assert!(submit("email=a@example.test&terms=on&first_name=Null").is_ok());
        for name in ["%E3%85%A4", "%E2%80%8B", "%E2%A0%80+", "%C2%AD", "%F3%A0%81%81%F3%A0%81%BF", "%E2%80%A8"] {
            let errors = submit(&format!("email=a@example.test&terms=on&first_name={name}")).unwrap_err();
            assert_eq!(errors, [FieldError::new("first_name", "is required")], "{name}");
        }
    }

    #[test]
    fn dates_are_read_in_the_order_of_the_field() {
        let with = |setting: &str, text: &str| {
            let json = format!(
                r#"[{{"name":"email","attribute":"EmailAddress","kind":"email","required":true}},
                    {{"name":"born","attribute":"mx_Born","kind":"date"{setting}}}]"#
            );
            let body = format!("email=a@example.test&born={text}");
            let headers = [(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))];
            let form = block_on(Form::read(&headers.into_iter().collect(), body.as_bytes())).unwrap();
            let fields: Fields = json.parse().unwrap();
            let read = read(form, &fields, CallingCode(91), InvalidOptional::Refused);
            read.map(|submission| {
                submission.attributes.iter().map(|(_, value)| value[..10].to_owned()).collect::<String>()
            })
        };
        let (day_first, month_first) = (r#","format":"dd/mm/yyyy""#, r#","format":"mm/dd/yyyy""#);
        for (setting, text, expected) in [
            (day_first, "31/01/2001", "2001-01-31"),
            (day_first, "1.2.2001", "2001-02-01"),
            (day_first, "01-02-2001", "2001-02-01"),
            (day_first, "2001-02-01", "2001-02-01"),
            (day_first, "31 / 01 / 2001", "2001-01-31"),
            (day_first, "31. 1. 2001", "2001-01-31"),
            (day_first, "2001/01/31", "2001-01-31"),
            ("", "2001/01/31", "2001-01-31"),
            ("", "2001 - 01 - 31", "2001-01-31"),
            ("", "2001-01-31T00:00:00%2B05:30", "2001-01-31"),
            ("", "2001-01-31T00:00:00.000-0800", "2001-01-31"),
            ("", "2001-01-31 00:00:00 %2B05:30", "2001-01-31"),
            ("", "2001-01-31T00:00:00.000Z", "2001-01-31"),
            (month_first, "02/01/2001", "2001-02-01"),
            (r#","earliest":"1950-01-01","latest":"2010-12-31""#, "2010-12-31", "2010-12-31"),
        ] {
            assert_eq!(with(setting, text).as_deref(), Ok(expected), "{setting} {text}");
        }
        for (setting, text) in [
            (day_first, "01/31/2001"),
            (day_first, "1/2/01"),
            (month_first, "31/01/2001"),
            ("", "2001-01-30T18:30:00Z"),
            ("", "2001-01-31T00:30:00%2B05:30"),
            ("", "2001-01-31T%2B05:30"),
            (r#","latest":"2010-12-31""#, "2011-01-01"),
        ] {
            assert!(with(setting, text).is_err(), "{setting} {text}");
        }
    }

    #[test]
    fn a_missing_address_is_pointed_out_where_it_was_sent() {
        let errors = submit("your-name=asha@example.test&first_name=A&terms=1").unwrap_err();
        assert_eq!(errors[0].detail, "is required; an address was sent as your-name: give that field this name");
        assert!(!errors[0].reason().contains("your-name"), "{}", errors[0].reason());
    }

    #[test]
    fn another_spelling_of_a_name_is_read() {
        for (body, attribute, value) in [
            ("firstName=Asha", "FirstName", "Asha"),
            ("FirstName=Asha", "FirstName", "Asha"),
            ("first-name=Asha", "FirstName", "Asha"),
            ("FIRST NAME=Asha", "FirstName", "Asha"),
            ("name.first=Asha", "FirstName", "Asha"),
            ("Name[First]=Asha", "FirstName", "Asha"),
            ("names[first_name]=Asha&names[last_name]=Rao", "FirstName", "Asha"),
            ("first_name=A&Phone=9000000001", "Phone", "+91-9000000001"),
            ("first_name=A&phone_number=9000000001", "Phone", "+91-9000000001"),
            ("first_name=A&Phone Number=9000000001", "Phone", "+91-9000000001"),
            ("first_name=A&phone_number=9000000001&Phone=", "Phone", "+91-9000000001"),
            ("first_name=A&mx_Date_of_Birth=2001-02-28", "mx_Date_of_Birth", "2001-02-28 00:00:00"),
        ] {
            let submission = submit(&format!("email=a@example.test&terms=1&{body}"));
            let submission = submission.unwrap_or_else(|errors| panic!("{body}: {errors:?}"));
            assert_eq!(submission.attributes.value(attribute), Some(value), "{body}");
            assert_eq!(submission.ignored, [""; 0], "{body}");
        }
        for name in ["Email", "e-mail", "E-Mail Address", "emailAddress", "EmailAddress", "form[Email Address]"] {
            let (group, end) = if name.ends_with(']') { ("form[", "]") } else { ("", "") };
            let body = format!("{name}=a@example.test&{group}first_name{end}=A&{group}terms{end}=1");
            assert_eq!(submit(&body).unwrap().email.expose(), "a@example.test", "{name}");
        }
    }

    #[test]
    fn a_field_that_is_not_read_is_reported_by_its_name() {
        for (body, ignored) in [
            ("contact[phone]=9000000001", &["phone"][..]),
            ("contact[Phone]=9000000001&names[born]=2001-02-28", &["phone", "born"]),
            // Which of them is meant is unknown.
            ("Phone=9000000001&phone_number=9000000002", &["phone"]),
            ("phone=&Phone=9000000001", &["phone"]),
            ("phone=9000000001&Phone=9000000002", &[]),
            ("contact[phone]=&telephone=9000000001", &[]),
            // A field with the name of a trap in another spelling is no trap.
            ("Website=https://example.test", &[]),
        ] {
            let submission = submit(&format!("email=a@example.test&first_name=A&terms=1&{body}")).unwrap();
            assert_eq!(submission.ignored, ignored, "{body}");
            assert!(!submission.by_robot);
        }
    }

    #[test]
    fn a_missing_field_is_pointed_out_where_it_was_sent_otherwise() {
        for (other, detail) in [
            ("form[firstName]=Asha", "is required; it was sent as firstName: give that field the name first_name"),
            (
                "form[first_name]=Asha",
                "is required; it was sent in another group of fields than the e-mail address: send all fields in one group",
            ),
            ("FirstName=A&firstName=B", "is required; it was sent as FirstName: give that field the name first_name"),
            ("firstName=", "is required"),
            ("name=Asha", "is required"),
            ("first_name=", "is required"),
            ("x[first.<b>name]=Asha", "is required"),
        ] {
            let errors = submit(&format!("email=a@example.test&terms=1&{other}")).unwrap_err();
            assert_eq!((errors.len(), errors[0].detail.as_str()), (1, detail), "{other}");
        }
    }

    #[test]
    fn an_invalid_optional_value_of_a_form_builder_goes_to_the_notes() {
        let body = "email=a@example.test&first_name=A&terms=1";
        for (invalid, notes, reason) in [
            (
                "phone=9000000012+/+9000000013",
                "Typed in the form and not valid: Phone 9000000012 / 9000000013.",
                "phone is not one phone number",
            ),
            (
                "course=Law&course=Physics",
                "Typed in the form and not valid: mx_Course Law / Physics.",
                "course was sent",
            ),
            (
                "course=<Chess>%0A",
                "Typed in the form and not valid: mx_Course \u{2039}Chess\u{203a}.",
                "one of its options",
            ),
            (
                "about=Hello&born=yesterday&phone=12",
                "Hello\nTyped in the form and not valid: Phone 12, mx_Date_of_Birth yesterday.",
                "phone is not assigned",
            ),
        ] {
            let submission = submit_as(&format!("{body}&{invalid}"), InvalidOptional::Noted).unwrap();
            assert_eq!(submission.attributes.value("Notes"), Some(notes), "{invalid}");
            assert!(submission.noted[0].reason().contains(reason), "{}", submission.noted[0].reason());
            assert_eq!(attributes(&submission).len(), 3, "{invalid}");
            assert!(submit(&format!("{body}&{invalid}")).is_err(), "{invalid}");
        }
        let submission = submit_as(&format!("{body}&password=short"), InvalidOptional::Noted).unwrap();
        assert!(submission.password.is_none() && submission.attributes.value("Notes").is_none());
        assert_eq!(submission.noted.len(), 1);
        for required in ["email=asha&first_name=A&terms=1", "email=a@example.test&first_name=A&terms=Yes+/+No"] {
            assert!(submit_as(required, InvalidOptional::Noted).is_err(), "{required}");
        }
    }

    #[test]
    fn a_form_builders_group_is_read() {
        let body = "form_fields[email]=a@example.test&form_fields[first_name]=Asha&form_fields[terms]=on&post_id=7";
        assert_eq!(attributes(&submit(body).unwrap()), [("FirstName", "Asha"), ("mx_Terms", "true")]);
    }
}
