//! The fields of an application form: names, notes, dates, choices, boxes, and the values that have types of their own.

use std::sync::LazyLock;

use application_form::{FaultyForm, InvalidOptional, Submission};
use form_urlencoded::Serializer;
use forms::Fields;
use leadsquared::{EmailAddress, Phone};
use onboarding::Invitee;
use time::OffsetDateTime;
use web::FieldError;

/// One field of each kind, with the name of its attribute.
static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let json = r#"[
        {"name":"EmailAddress","attribute":"EmailAddress","kind":"email","required":true},
        {"name":"FirstName","attribute":"FirstName","kind":"text","required":true,"limit":40},
        {"name":"Notes","attribute":"Notes","kind":"multiline","limit":400},
        {"name":"Phone","attribute":"Phone","kind":"phone"},
        {"name":"mx_Born","attribute":"mx_Born","kind":"date","format":"dd/mm/yyyy"},
        {"name":"mx_Course","attribute":"mx_Course","kind":"choice","options":["Law","Physics"]},
        {"name":"mx_Terms","attribute":"mx_Terms","kind":"consent"},
        {"name":"password","kind":"password"},
        {"name":"leave_empty","kind":"honeypot"}
    ]"#;
    json.parse().expect("the fields are valid")
});

fn read(body: &[u8]) -> Option<Result<Submission, FaultyForm>> {
    let form = crate::form::read(b"application/x-www-form-urlencoded", body).ok()?;
    Some(application_form::read(form, &FIELDS, crate::INDIA, InvalidOptional::Refused))
}

/// An input is the body of a form, URL-encoded.
pub(crate) fn check(input: &[u8]) {
    let submission = match read(input) {
        Some(Ok(submission)) => submission,
        Some(Err(faulty)) => {
            assert!(!faulty.errors.is_empty(), "a refusal names a field");
            return faulty.errors.iter().for_each(assert_names_field);
        }
        None => return,
    };
    let stored = stored(submission);
    for (name, value) in &stored {
        assert_right(name, value);
    }
    // A date-time is stored, and a date is typed.
    let typed = stored.iter().map(|(name, value)| match name.as_str() {
        "mx_Born" => (name.as_str(), &value[..10]),
        _ => (name.as_str(), value.as_str()),
    });
    let again = Serializer::new(String::new()).extend_pairs(typed).finish();
    let again = read(again.as_bytes()).expect("it is a form").expect("what is stored is valid");
    assert_eq!(crate::application::stored(again), stored, "what is stored reads back as something else");
}

/// The attributes of the invitation, with the address.
fn stored(submission: Submission) -> Vec<(String, String)> {
    let invitation = submission.invitation(None, OffsetDateTime::UNIX_EPOCH);
    let Invitee::Email(email) = &invitation.invitee else { panic!("a form has an address") };
    let attributes = invitation.attributes.iter();
    let all = [("EmailAddress", email.expose())].into_iter().chain(attributes);
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn assert_names_field(error: &FieldError) {
    assert!(FIELDS.iter().any(|field| field.name == error.field), "{}", error.field);
    // A country's name may have letters beyond ASCII.
    if error.field != "Phone" {
        crate::assert_own_words(&error.detail);
    }
}

fn assert_right(name: &str, value: &str) {
    assert!(!value.is_empty(), "{name} is stored empty");
    crate::assert_trimmed(value);
    let (is_text, is_multiline) = (["FirstName", "Notes"].contains(&name), name == "Notes");
    assert!(!value.chars().any(|c| c.is_control() && !(is_multiline && "\r\n\t".contains(c))), "{name}: {value:?}");
    if is_text {
        crate::assert_no_formula(name, value);
    }
    match name {
        "EmailAddress" => assert!(value.parse::<EmailAddress>().is_ok_and(|address| address.expose() == value)),
        "FirstName" => assert!(value.chars().count() <= 41, "{value:?}"),
        "Phone" => assert!(value.parse::<Phone>().is_ok_and(|phone| phone.expose() == value)),
        "mx_Born" => assert!(leadsquared::date_time::read(value).is_some() && value.ends_with(" 00:00:00"), "{value}"),
        "mx_Course" => assert!(["Law", "Physics"].contains(&value)),
        "mx_Terms" => assert!(["true", "false"].contains(&value)),
        _ => {}
    }
}
