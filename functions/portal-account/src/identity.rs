//! The fields by which people sign in, and the identifier in a request.

use forms::{SignInField, SignInFields, SignInKind};
use leadsquared::portal::Identifier;
use leadsquared::schema_name::PHONE_NUMBERS;
use leadsquared::{CallingCode, Client, EmailAddress, Phone};
use ledger::Owner;
use onboarding::PersonKey;
use web::{FieldError, expected_email, expected_phone};

use crate::body::Body;
use crate::cost::PhoneLookUp;
use crate::service::{AccountRequest, PortalAccount};

/// The valid fields by which people sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities(pub SignInFields);

/// The person behind an identifier, in one spelling: attempts are counted by it.
pub(crate) fn person(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Email(email) => format!("EmailAddress {}", email.expose()),
        Identifier::Field { schema_name, value } => format!("{schema_name} {}", value.to_lowercase()),
    }
}

/// The owner of an identifier's counters: the person of an e-mail address. Only LeadSquared knows which lead another
/// identifier belongs to.
pub(crate) fn owner(identifier: &Identifier) -> Option<Owner> {
    match identifier {
        Identifier::Email(email) => Some(Owner::Person(PersonKey::of(email))),
        Identifier::Field { .. } => None,
    }
}

/// The phone that a code is texted to.
pub(crate) struct PhoneOwner {
    pub(crate) schema_name: String,
    pub(crate) phone: Phone,
}

impl PortalAccount {
    /// The identifier in the spelling by which LeadSquared's portal finds its lead.
    pub(crate) async fn as_stored(&self, request: &AccountRequest<'_>, who: &Identifier) -> Identifier {
        let Some((schema_name, phone)) = self.config.identities.phone(who) else { return who.clone() };
        let value = self.phone_as_stored(request, schema_name, &phone).await;
        Identifier::Field { schema_name: schema_name.to_owned(), value }
    }

    /// Whether [`as_stored`](Self::as_stored) looks the identifier up.
    pub(crate) fn phone_look_up(&self, who: &Identifier) -> PhoneLookUp {
        self.config.identities.phone(who).map_or(PhoneLookUp::NotNeeded, |(schema_name, _)| phone_look_up(schema_name))
    }

    /// The text by which LeadSquared's portal finds a phone number. It compares texts exactly, and an import or another
    /// program may have stored the number without its country or without the hyphen.
    ///
    /// This takes the same one call for every number: the answer's time does not show whether a lead has the number.
    /// Without an answer the number is tried in the usual spelling.
    pub(crate) async fn phone_as_stored(&self, request: &AccountRequest<'_>, field: &str, phone: &Phone) -> String {
        let country = self.config.default_country;
        let stored = match phone_look_up(field) {
            PhoneLookUp::Needed => {
                let look_up =
                    |client: Client| async move { client.followed().phone_as_stored(field, phone, country).await };
                self.ask(request, look_up).await
            }
            PhoneLookUp::NotNeeded => Ok(None),
        };
        stored.ok().flatten().unwrap_or_else(|| phone.expose().to_owned())
    }
}

/// Whether a phone number in this lead field is looked up: LeadSquared finds a lead by the numbers of two fields only.
pub(crate) fn phone_look_up(schema_name: &str) -> PhoneLookUp {
    match PHONE_NUMBERS.contains(&schema_name) {
        true => PhoneLookUp::Needed,
        false => PhoneLookUp::NotNeeded,
    }
}

impl Identities {
    /// The lead field and the phone number of an identifier that is one.
    fn phone<'a>(&self, who: &'a Identifier) -> Option<(&'a str, Phone)> {
        let Identifier::Field { schema_name, value } = who else { return None };
        let phone = value.parse().ok().filter(|_| self.is_phone(schema_name))?;
        Some((schema_name, phone))
    }

    /// The one identifier in a request.
    ///
    /// # Errors
    /// When there is none, more than one, or it is invalid.
    pub(crate) fn read(&self, body: &Body, default_country: CallingCode) -> Result<Identifier, FieldError> {
        let (field, text) = self.one(body, |_| true)?;
        Ok(match field.kind {
            SignInKind::Email => Identifier::Email(email(&field.name, &text)?),
            SignInKind::Phone => Identifier::Field {
                schema_name: field.attribute.clone(),
                value: phone(&field.name, &text, default_country)?.into(),
            },
            SignInKind::Text if text.chars().count() > 255 || text.chars().any(char::is_control) => {
                return Err(FieldError::new(&field.name, "must be at most 255 characters of plain text"));
            }
            SignInKind::Text => Identifier::Field { schema_name: field.attribute.clone(), value: text },
        })
    }

    /// The one phone number in a request.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) fn read_phone(&self, body: &Body, default_country: CallingCode) -> Result<PhoneOwner, FieldError> {
        let (field, text) = self.one(body, |kind| kind == SignInKind::Phone)?;
        let phone = phone(&field.name, &text, default_country)?;
        Ok(PhoneOwner { schema_name: field.attribute.clone(), phone })
    }

    /// Whether a lead field holds phone numbers, to which codes can be texted.
    pub(crate) fn is_phone(&self, schema_name: &str) -> bool {
        self.0.iter().any(|field| field.kind == SignInKind::Phone && field.attribute == schema_name)
    }

    /// Whether any field holds phone numbers.
    pub(crate) fn have_phone(&self) -> bool {
        self.0.iter().any(|field| field.kind == SignInKind::Phone)
    }

    fn one(&self, body: &Body, wanted: impl Fn(SignInKind) -> bool) -> Result<(&SignInField, String), FieldError> {
        let fields: Vec<&SignInField> = self.0.iter().filter(|field| wanted(field.kind)).collect();
        let mut filled = Vec::new();
        for field in &fields {
            if let Some(text) = body.text(&field.name)? {
                filled.push((*field, text));
            }
        }
        let all = || fields.iter().map(|field| &*field.name).collect::<Vec<_>>().join(" or ");
        match (filled.pop(), filled.pop(), &*fields) {
            (Some(one), None, _) => Ok(one),
            (Some((other, _)), Some(_), _) => Err(FieldError::new(&other.name, format!("send only one of {}", all()))),
            (None, _, [field]) => Err(FieldError::new(&field.name, "is required")),
            (None, _, [first, ..]) => Err(FieldError::new(&first.name, format!("is required (one of {})", all()))),
            // No phone field is configured. The route that needs one is not served then.
            (None, _, []) => Err(FieldError::new("phone", "is not among the ways to sign in")),
        }
    }
}

/// The address, also one that no form takes, because LeadSquared may have it from elsewhere. Letters beyond ASCII have
/// to pass the check: LeadSquared may compare some of them as others, and each spelling would have attempts of its own.
fn email(field: &str, text: &str) -> Result<EmailAddress, FieldError> {
    text.parse().or_else(|error| {
        let stored = text.is_ascii().then(|| EmailAddress::try_from(text.to_owned()).ok()).flatten();
        stored.ok_or_else(|| FieldError::new(field, expected_email(error)))
    })
}

fn phone(field: &str, text: &str, default_country: CallingCode) -> Result<Phone, FieldError> {
    let phone = Phone::parse(text, default_country);
    phone.map_err(|error| FieldError::new(field, expected_phone(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDIA: CallingCode = CallingCode(91);

    fn identities() -> Identities {
        let json = r#"[
            {"name":"email","attribute":"EmailAddress","kind":"email"},
            {"name":"phone","attribute":"Phone","kind":"phone"},
            {"name":"pan","attribute":"mx_PAN_Number","kind":"text"}
        ]"#;
        Identities(json.parse().unwrap())
    }

    fn read(json: &str) -> Result<String, (String, String)> {
        let who = identities().read(&Body::of_json(json), INDIA);
        who.map(|who| person(&who)).map_err(|error| (error.field, error.detail))
    }

    #[test]
    fn a_person_has_one_spelling_however_it_was_typed() {
        assert_eq!(read(r#"{"email":" Asha@Example.test "}"#).unwrap(), "EmailAddress asha@example.test");
        assert_eq!(read(r#"{"phone":"090000 00001","email":""}"#).unwrap(), "Phone +91-9000000001");
        assert_eq!(read(r#"{"pan":"ABCDE1234F"}"#).unwrap(), "mx_PAN_Number abcde1234f");
    }

    #[test]
    fn an_address_that_only_leadsquared_has_can_sign_in() {
        for stored in ["asha@gmail.con", "asha@exa_mple.com", "asha@xn--gmil-6cd.com"] {
            let json = format!(r#"{{"email":" {} "}}"#, stored.to_uppercase());
            assert_eq!(read(&json).unwrap(), format!("EmailAddress {stored}"));
        }
        for other in
            ["asha@gmail.c\u{43e}m", "asha@\u{ff47}mail.com", "\u{ff41}sha@gmail.com", "a\u{200b}sha@gmail.com"]
        {
            assert_eq!(read(&format!(r#"{{"email":"{other}"}}"#)).unwrap_err().0, "email", "{other}");
        }
    }

    #[test]
    fn a_missing_second_or_invalid_identifier_is_named() {
        let long = format!(r#"{{"pan":"{}"}}"#, "x".repeat(256));
        for (json, field, detail) in [
            ("{}", "email", "is required (one of email or phone or pan)"),
            (r#"{"email":"a@example.test","pan":"1"}"#, "pan", "send only one of email or phone or pan"),
            (
                r#"{"email":"asha"}"#,
                "email",
                "must be an e-mail address such as name@example.com; it lacks the @, has spaces, or has a full stop where \
                 none can be",
            ),
            (
                r#"{"phone":"900000000"}"#,
                "phone",
                "must be a phone number such as +91-9000000001; it has one digit too few for India",
            ),
            (r#"{"phone":{"a":"1"}}"#, "phone", "must be text, not a file or a list of fields"),
            (&long, "pan", "must be at most 255 characters of plain text"),
        ] {
            assert_eq!(read(json), Err((field.to_owned(), detail.to_owned())), "{json}");
        }
    }

    #[test]
    fn a_code_is_texted_to_a_phone_number_only() {
        let owner = |json| identities().read_phone(&Body::of_json(json), INDIA);
        let phone = owner(r#"{"phone":"9000000001","email":"a@example.test"}"#).ok().unwrap();
        assert_eq!((phone.schema_name.as_str(), phone.phone.expose()), ("Phone", "+91-9000000001"));
        assert_eq!(owner(r#"{"email":"a@example.test"}"#).err().unwrap().detail, "is required");
    }
}
