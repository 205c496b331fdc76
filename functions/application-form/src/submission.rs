//! The configured fields of a submitted form, checked, and the invitation that they become.

use forms::{Field, FieldKind, Fields};
use leadsquared::{Attributes, CallingCode, EmailAddress, Password, Phone};
use onboarding::{Action, Invitation, InvitationId, Source, Whom};
use time::{Date, OffsetDateTime};
use web::{FieldError, Form};

/// How long a repeated form without an `Idempotency-Key` counts as the same application, in seconds: as long as the
/// deduplication interval of an SQS FIFO queue
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>).
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
}

/// Reads the configured fields of a form and ignores all others, since websites add their own. A phone number without
/// a calling code belongs to `default_country`.
///
/// # Errors
/// Every missing or invalid field, in the order of the configuration. No error repeats a submitted value.
pub fn read(form: &Form, fields: &Fields, default_country: CallingCode) -> Result<Submission, Vec<FieldError>> {
    let mut email = None;
    let mut attributes = Attributes::new();
    let mut password = None;
    let mut by_robot = false;
    let mut errors = Vec::new();
    for field in fields.iter() {
        let checked = text(form, field).and_then(|text| {
            check(&text, field, default_country).map_err(|detail| FieldError::new(&field.name, detail))
        });
        match (checked, &field.attribute) {
            (Ok(value), _) if field.kind == FieldKind::Honeypot => by_robot |= !value.is_empty(),
            // Only a robot sends an invalid value in a field that people do not see.
            (Err(_), _) if field.kind == FieldKind::Honeypot => by_robot = true,
            (Ok(value), _) if field.kind == FieldKind::Email => email = value.parse().ok(),
            (Ok(value), _) if field.kind == FieldKind::Password => {
                password = Some(value).filter(|value| !value.is_empty()).map(Password::from);
            }
            (Ok(value), Some(attribute)) if !value.is_empty() => attributes.set(attribute, value),
            (Ok(_), _) => {}
            (Err(error), _) => errors.push(error),
        }
    }
    match email {
        Some(email) if errors.is_empty() => Ok(Submission { email, attributes, password, by_robot }),
        _ => Err(errors),
    }
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
        Invitation { attributes, ..Invitation::new(id, Source::Form, now, Whom::Email(email), Action::Invite) }
    }
}

/// The text submitted for a field, empty if there is none. White space around it is removed, except in a password.
fn text(form: &Form, field: &Field) -> Result<String, FieldError> {
    let text = match field.kind {
        FieldKind::Consent => form.last_text(&field.name)?,
        _ => form.text(&field.name)?,
    };
    let text = text.map_or("", |text| text.expose());
    Ok(if field.kind == FieldKind::Password { text } else { text.trim() }.to_owned())
}

/// The value in LeadSquared's spelling, if the field may hold it.
fn check(text: &str, field: &Field, default_country: CallingCode) -> Result<String, String> {
    if text.is_empty() {
        return match (field.required, field.kind) {
            (true, FieldKind::Consent) => Err("must be ticked".to_owned()),
            (true, _) => Err("is required".to_owned()),
            (false, _) => Ok(String::new()),
        };
    }
    if field.kind == FieldKind::Password {
        passwords::check_shape(text).map_err(|fault| fault.to_string())?;
    }
    if text.chars().count() > field.limit {
        return Err(format!("must be at most {} characters long", field.limit));
    }
    let multiline = field.kind == FieldKind::Multiline;
    if text.chars().any(|c| c.is_control() && !(multiline && matches!(c, '\r' | '\n' | '\t'))) {
        return Err(if multiline { "must be plain text" } else { "must be one line of plain text" }.to_owned());
    }
    match field.kind {
        FieldKind::Text | FieldKind::Password | FieldKind::Honeypot => Ok(text.to_owned()),
        FieldKind::Multiline => Ok(text.replace("\r\n", "\n")),
        FieldKind::Email => {
            let address: Result<EmailAddress, _> = text.parse();
            let address = address.map_err(|_| "must be an e-mail address such as name@example.com".to_owned())?;
            Ok(address.expose().to_owned())
        }
        FieldKind::Phone => {
            let phone = Phone::parse(text, default_country);
            let phone = phone.map_err(|_| "must be a phone number such as +91-9000000001".to_owned())?;
            Ok(phone.expose().to_owned())
        }
        FieldKind::Date => {
            let format = time::macros::format_description!("[year]-[month]-[day]");
            let date = Date::parse(text, format).map_err(|_| "must be a date such as 2026-01-31".to_owned())?;
            Ok(format!("{date} 00:00:00"))
        }
        FieldKind::Choice => match field.options.iter().any(|option| option == text) {
            true => Ok(text.to_owned()),
            false => Err(format!("must be one of: {}", field.options.join(", "))),
        },
        FieldKind::Consent => match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "1" | "yes" => Ok("true".to_owned()),
            "off" | "false" | "0" | "no" if field.required => Err("must be ticked".to_owned()),
            "off" | "false" | "0" | "no" => Ok("false".to_owned()),
            _ => Err("must be on or off".to_owned()),
        },
    }
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
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        read(&block_on(Form::read(&headers, body.as_bytes())).unwrap(), &fields(), CallingCode(91))
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
                ("email", "must be an e-mail address such as name@example.com"),
                ("first_name", "must be at most 5 characters long"),
                ("about", "must be plain text"),
                ("phone", "must be a phone number such as +91-9000000001"),
                ("born", "must be a date such as 2026-01-31"),
                ("course", "must be one of: Law, Physics"),
                ("terms", "must be ticked"),
            ]
        );
    }

    #[test]
    fn a_missing_or_repeated_field_is_named() {
        let errors = submit("first_name=A&first_name=B&terms=maybe").unwrap_err();
        let errors: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.detail.as_str())).collect();
        assert_eq!(
            errors,
            [
                ("email", "is required"),
                ("first_name", "was sent more than once; send it once"),
                ("terms", "must be on or off")
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
        assert!(!submit("email=a@example.test&first_name=A&terms=1&website=").unwrap().by_robot);
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
}
