//! What browsers, widgets, form builders and proxies send to the built functions, by kind, with what becomes of it.

use serde_json::Value;

use crate::{
    form::Form,
    http::{FORM_KEY, Request, URLENCODED},
};

impl Form {
    /// The message that a request becomes.
    async fn queued(&self, case: &str, request: Request<'_>) -> Value {
        let answer = self.post(request).await;
        assert_eq!(answer.status, 202, "{case}: {}", answer.body);
        let messages = self.queue.drain().await;
        assert_eq!(messages.len(), 1, "{case}");
        serde_json::from_str(messages[0].body.as_deref().unwrap()).unwrap()
    }
}

/// The attributes in a message, with the address as `EmailAddress`.
fn stored(message: &Value) -> Attributes {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let attributes = message["attributes"].as_array().unwrap().iter();
    let attributes = attributes.map(|attribute| (text(&attribute["name"]), text(&attribute["value"])));
    [("EmailAddress".to_owned(), text(&message["email"]))].into_iter().chain(attributes).collect()
}

const ASHA: &str = "asha@example.com";

/// What is stored of a form, by schema name.
type Attributes = Vec<(String, String)>;

/// Asha's attributes. An empty phone number or city is none.
fn attributes(phone: &str, city: &str) -> Attributes {
    let all = [("EmailAddress", ASHA), ("FirstName", "Asha"), ("Phone", phone), ("mx_City", city)];
    let filled = all.into_iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn bodies_of_browsers_and_form_builders_are_understood() {
    let form = Form::start().await;
    let phone = "+91-9000000001";
    let part = |disposition: &str, content: &[u8]| {
        let head = format!("Content-Disposition: form-data; {disposition}\r\n\r\n");
        [&b"------=_Part_0_8.1\r\n"[..], head.as_bytes(), content, b"\r\n"].concat()
    };
    let multipart = [
        part("name=\"email\"", ASHA.as_bytes()),
        part("name=first_name", b"Asha"),
        part("name=\"photo\"; filename*=utf-8''%E0%A4%AB.png", b"\x89PNG\r\n\xff"),
        b"------=_Part_0_8.1\r\nContent-Type: text/plain\r\n\r\nno field\r\n".to_vec(),
        part("name=\"phone\"", b"090000 00001"),
        b"------=_Part_0_8.1--\r\n".to_vec(),
    ]
    .concat();
    let json = r#"{"email":"asha@example.com","first_name":"Asha","phone":9000000001.0}"#;
    let urlencoded = "email=asha%40example.com&first_name=Asha&phone=%2B919000000001";
    let cases: [(&str, &str, Vec<u8>, Attributes); 22] = [
        (
            "a content type that was sent twice",
            "application/json, application/json; charset=utf-8",
            json.into(),
            attributes(phone, ""),
        ),
        ("JSON after white space", "application/json ; charset=utf-8", json.into(), attributes(phone, "")),
        ("an alias of UTF-8", "application/json; charset=utf8", json.into(), attributes(phone, "")),
        ("sendBeacon", "text/plain;charset=UTF-8", json.into(), attributes(phone, "")),
        ("a byte order mark", "application/json", format!("\u{feff}{json}").into(), attributes(phone, "")),
        ("a type of CloudEvents", "application/cloudevents+json", json.into(), attributes(phone, "")),
        (
            "Latin-1 with an ASCII body",
            "application/x-www-form-urlencoded; charset=ISO-8859-1",
            urlencoded.into(),
            attributes(phone, ""),
        ),
        ("a mark before a form", "application/x-www-form-urlencoded", format!("\u{feff}{urlencoded}").into(), attributes(phone, "")),
        ("an unquoted boundary", "multipart/form-data; boundary=----=_Part_0_8.1", multipart, attributes(phone, "")),
        (
            "Elementor's own names",
            "application/x-www-form-urlencoded",
            "post_id=7&form_id=5f1&form_fields%5Bemail%5D=asha%40example.com&form_fields%5Bfirst_name%5D=Asha".into(),
            attributes("", ""),
        ),
        (
            "nested JSON",
            "application/json",
            r#"{"fields":{"email":{"value":"asha@example.com"},"first_name":{"value":"Asha","title":"Name"}}}"#.into(),
            attributes("", ""),
        ),
        (
            "Webflow",
            "application/json",
            r#"{"triggerType":"form_submission","payload":{"name":"Apply","siteId":"65","data":{"email":"asha@example.com",
                "first_name":"Asha","city":"Pune"},"submittedAt":"2026-01-02T03:04:05.000Z","id":"6321","formId":"65"}}"#
                .into(),
            attributes("", "Pune"),
        ),
        (
            "HubSpot",
            "application/json",
            r#"{"fields":[{"objectTypeId":"0-1","name":"email","value":"asha@example.com"},
                {"objectTypeId":"0-1","name":"first_name","value":"Asha"}],"context":{"pageName":"Apply"}}"#
                .into(),
            attributes("", ""),
        ),
        (
            "Facebook's list of fields",
            "application/json",
            r#"{"id":"9","field_data":[{"name":"email","values":["asha@example.com"]},{"name":"first_name","values":["Asha"]},
                {"name":"city","values":["Pune"]}]}"#
                .into(),
            attributes("", "Pune"),
        ),
        (
            "Tally",
            "application/json",
            r#"{"eventType":"FORM_RESPONSE","data":{"formName":"Apply","fields":[
                {"key":"email","label":"E-mail","type":"INPUT_EMAIL","value":"asha@example.com"},
                {"key":"first_name","label":"Name","type":"INPUT_TEXT","value":"Asha"}]}}"#
                .into(),
            attributes("", ""),
        ),
        (
            "a number from an export of lead ads",
            "application/x-www-form-urlencoded",
            "email=asha%40example.com&first_name=Asha&phone=p:%2B919000000001".into(),
            attributes(phone, ""),
        ),
        (
            "a missing number that a script has turned into text",
            "application/x-www-form-urlencoded",
            "email=asha%40example.com&first_name=Asha&phone=null&city=Pune".into(),
            attributes("", "Pune"),
        ),
        (
            "a widget's country code",
            "application/x-www-form-urlencoded",
            "email=asha%40example.com&first_name=Asha&phone=%2B91".into(),
            attributes("", ""),
        ),
        (
            "the same field twice",
            "application/x-www-form-urlencoded",
            format!("phone=&{urlencoded}&phone=09000000001&email=Asha@Example.com").into(),
            attributes(phone, ""),
        ),
        (
            "invisible characters",
            "application/x-www-form-urlencoded",
            "email=%EF%BB%BFasha%40example.com%E2%80%8B&first_name=As%E2%80%8Bha&city=%E2%80%AAPune%E2%80%AC".into(),
            attributes("", "Pune"),
        ),
        (
            "a formula",
            "application/x-www-form-urlencoded",
            format!("{urlencoded}&city=%3DHYPERLINK(%22https://evil.example%22)").into(),
            attributes(phone, "'=HYPERLINK(\"https://evil.example\")"),
        ),
        (
            "full-width digits",
            "application/x-www-form-urlencoded",
            "email=asha%40example.com&first_name=Asha&phone=%EF%BC%99%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%91"
                .into(),
            attributes(phone, ""),
        ),
    ];
    for (position, (case, content_type, body, expected)) in cases.into_iter().enumerate() {
        // Equal forms of one person would be one application.
        let key = position.to_string();
        let request = Request::new(content_type, body).header("idempotency-key", &key);
        assert_eq!(stored(&form.queued(case, request).await), expected, "{case}");
    }
}

/// The recipes of `WEBSITE.md` for senders that are servers: each proves itself with a form key.
#[tokio::test]
async fn form_builders_with_a_form_key_are_understood() {
    let form = Form::start().await;
    let phone = "+91-9000000001";
    // A plugin for Contact Form 7 sends its tags. A group of boxes is a list, and a tag without an answer is empty.
    let contact_form_7 = r#"{"email":"asha@example.com","first_name":"Asha","phone":"090000 00001","city":["Pune"],
        "terms":"1","file":[],"your-ip":"203.0.113.7"}"#;
    let unticked = r#"{"email":"asha@example.com","first_name":"Asha","phone":"","city":[]}"#;
    let elementor = "form%5Bid%5D=5f1&form%5Bname%5D=Apply&fields%5Bemail%5D%5Bid%5D=email&\
         fields%5Bemail%5D%5Btype%5D=email&fields%5Bemail%5D%5Btitle%5D=E-mail&\
         fields%5Bemail%5D%5Bvalue%5D=asha%40example.com&fields%5Bfirst_name%5D%5Btitle%5D=Name&\
         fields%5Bfirst_name%5D%5Bvalue%5D=Asha&fields%5Bcity%5D%5Bvalue%5D=Chennai&\
         fields%5Bcity%5D%5Braw_value%5D=Chennai&meta%5Bdate%5D%5Bvalue%5D=today";
    let gravity_forms = r#"{"email":"asha@example.com","first_name":"Asha","phone":"(090000) 00001","city":null}"#;
    let google_forms = r#"{"email":"asha@example.com","first_name":"Asha","phone":"9000000001"}"#;
    let corrected = r#"{"email":"asha@example.com","first_name":"Asha","phone":""}"#;
    let wpforms = r#"{"fields":{"1":{"name":"First Name","value":"Asha","id":1,"type":"name"},
        "2":{"name":"Email","value":"asha@example.com","id":2,"type":"email"},
        "3":{"name":"Phone","value":"090000 00001","id":3,"type":"phone"}},"form_id":"7"}"#;
    let ninja = "email=asha%40example.com&first_name=Asha&phone=090000+00001&form_id=3";
    let typeform = r#"{"event_id":"1","event_type":"form_response","form_response":{"form_id":"f","token":"t","answers":[
        {"type":"text","text":"Asha","field":{"id":"a","type":"short_text","ref":"first_name"}},
        {"type":"email","email":"asha@example.com","field":{"id":"b","type":"email","ref":"email"}},
        {"type":"phone_number","phone_number":"+919000000001","field":{"id":"c","type":"phone_number","ref":"phone"}},
        {"type":"choice","choice":{"id":"d","label":"Pune","ref":"r"},"field":{"id":"d","type":"dropdown","ref":"city"}}]}}"#;
    let hubspot = r#"{"email":"asha@example.com","firstname":"Asha","phone":"+91 90000 00001","city":"Pune"}"#;
    let zapier =
        r#"{"Email Address":"asha@example.com","First Name":"Asha","Phone Number":"9000000001","City":"Pune"}"#;
    let make = "email=asha%40example.com&first_name=Asha&phone=9000000001.0&city=Pune";
    let facebook = r#"{"id":"9","field_data":[{"name":"email","values":["asha@example.com"]},
        {"name":"first_name","values":["Asha"]},{"name":"phone_number","values":["+919000000001"]}]}"#;
    let tally = r#"{"eventType":"FORM_RESPONSE","data":{"fields":[
        {"key":"question_1","label":"Email","type":"INPUT_EMAIL","value":"asha@example.com"},
        {"key":"question_2","label":"First name","type":"INPUT_TEXT","value":"Asha"}]}}"#;
    let (json, form_type) = ("application/json", "application/x-www-form-urlencoded");
    for (case, content_type, key, body, expected) in [
        ("Contact Form 7", "application/json; charset=UTF-8", None, contact_form_7, attributes(phone, "Pune")),
        ("Contact Form 7, no box", "application/json; charset=UTF-8", None, unticked, attributes("", "")),
        ("Elementor with advanced data", URLENCODED, None, elementor, attributes("", "Chennai")),
        ("Gravity Forms with selected fields", "application/json", None, gravity_forms, attributes(phone, "")),
        (
            "Google Forms",
            "application/json",
            Some("0-7-1%2F2%2F2026%203%3A04%3A05"),
            google_forms,
            attributes(phone, ""),
        ),
        // The first answer was deleted from the sheet, and the next one got its row.
        (
            "Google Forms, same row",
            "application/json",
            Some("0-7-1%2F3%2F2026%203%3A04%3A05"),
            corrected,
            attributes("", ""),
        ),
        ("WPForms", json, Some("wpforms"), wpforms, attributes(phone, "")),
        ("Ninja Forms", form_type, Some("ninja"), ninja, attributes(phone, "")),
        ("Typeform", json, Some("typeform"), typeform, attributes(phone, "Pune")),
        ("HubSpot workflow", json, Some("hubspot"), hubspot, attributes(phone, "Pune")),
        ("Zapier", json, Some("zapier"), zapier, attributes(phone, "Pune")),
        ("Make", form_type, Some("make"), make, attributes(phone, "Pune")),
        ("Facebook's phone_number", json, Some("facebook"), facebook, attributes(phone, "")),
        ("Tally's labels", json, Some("tally"), tally, attributes("", "")),
    ] {
        let request = Request::new(content_type, body).header("x-form-key", FORM_KEY);
        let request = key.iter().fold(request, |request, key| request.header("idempotency-key", key));
        let message = form.queued(case, request).await;
        assert_eq!((message["provenance"].as_str(), stored(&message)), (Some("keyed"), expected), "{case}");
    }
}

/// No applicant sees the answer to a form builder, so an invalid optional value does not cost the whole application.
#[tokio::test]
async fn an_invalid_optional_value_of_a_form_builder_is_noted_on_the_lead() {
    let form = Form::start().await;
    let body = "email=asha%40example.com&first_name=Asha&phone=9000000001+or+9000000002";
    let request = || Request::new("application/x-www-form-urlencoded", body);
    let message = form.queued("form key", request().header("x-form-key", FORM_KEY)).await;
    let note = "Typed in the form and not valid: Phone 9000000001 or 9000000002.";
    let expected = [("EmailAddress", ASHA), ("FirstName", "Asha"), ("Notes", note)];
    assert_eq!(stored(&message), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(form.post(request()).await.status, 422, "a visitor corrects it");
    let slip = body.replace("example.com", "gmail.con");
    let slip = Request::new("application/x-www-form-urlencoded", slip).header("x-form-key", FORM_KEY);
    assert_eq!(form.post(slip).await.status, 422, "a required value cannot be left out");
    let ignored = format!("{}&contact%5Bphone%5D=9000000001", &body[..body.find("&phone").unwrap()]);
    form.post(Request::new("application/x-www-form-urlencoded", ignored)).await.receipt();
    let log = form.function.stop().await;
    for line in ["phone is not one phone number", "no mail reaches a domain that ends with .con", "fields were ignored"]
    {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert!(!log.contains("9000000002"), "{log}");
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_with_a_reason_that_helps() {
    let form = Form::start().await;
    for (changes, field, reason) in [
        ("phone=560001", "phone", "it has no area code for India"),
        ("phone=987654321", "phone", "it has one digit too few for India"),
        ("phone=98765432109", "phone", "it has one digit too many for India"),
        ("phone=9.00E%2B09", "phone", "a spreadsheet has rounded it"),
        ("phone=5000000000", "phone", "India has no such number"),
        ("email=john%40abc_d.com", "email", "not a domain such as example.com"),
        ("email=null", "email", "is required"),
        ("phone=9000000001&phone=9000000002", "phone", "different values"),
        ("email=asha%40gmail.com/98765", "email", "not a domain such as example.com"),
        ("email=asha%40gmail.com?subject=x", "email", "not a domain such as example.com"),
        ("email=asha%40exa_mple.com", "email", "not a domain such as example.com"),
        ("email=asha%40192.168.1.1", "email", "not a domain such as example.com"),
        ("email=asha%40%EF%BD%87mail.com", "email", "only look like letters"),
        ("email=as%E2%80%8Bha%40gmail.com", "email", "an invisible character"),
        ("your-email=asha%40gmail.com", "email", "an address was sent as your-email"),
        ("phone=%2B9000000001", "phone", "has no calling code for India"),
        ("email=Asha+%3Casha%40gmail.com%3E", "email", "it has a name before the address"),
    ] {
        let email = if changes.contains("email=") { "" } else { "email=asha%40example.com&" };
        let body = format!("{email}first_name=Asha&{changes}");
        let answer = form.post(Request::new("application/x-www-form-urlencoded", body)).await;
        assert_eq!(answer.status, 422, "{changes}: {}", answer.body);
        let errors = answer.json()["errors"].clone();
        let errors = errors.as_array().unwrap();
        assert!(
            matches!(&errors[..], [error] if error["field"] == field && error["detail"].as_str().unwrap().contains(reason)),
            "{changes}: {errors:?}"
        );
    }
    let answer = form.post(Request::new("text/plain", "email=asha@example.com")).await;
    assert_eq!(answer.status, 415);
    assert!(answer.body.contains("Content-Type"), "{}", answer.body);
    assert!(form.queue.drain().await.is_empty());
}
