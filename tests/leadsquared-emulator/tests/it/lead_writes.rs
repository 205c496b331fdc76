//! Calls that write leads, and lead by phone.

use leadsquared_emulator::{Call, DataType, Field, PhoneLookup};
use serde_json::{Value, json};

use crate::{Account, assert_refused, attributes, settings};

const EMAIL: &str = "asha@example.test";
const PHONE: &str = "+91-9000000001";

async fn write(account: &Account, call: Call, query: &[(&str, &str)], fields: &[(&str, &str)]) -> (u16, Value) {
    account.send(account.call(call).query(query).json(&attributes(fields))).await
}

async fn capture(account: &Account, fields: &[(&str, &str)]) -> (u16, Value) {
    write(account, Call::CaptureLead, &[], fields).await
}

/// The id in the answer to an accepted write.
#[track_caller]
fn id((status, body): (u16, Value)) -> String {
    assert_eq!((status, &body["Status"]), (200, &json!("Success")), "{body}");
    body["Message"]["Id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn capture_finds_leads_by_the_documented_rules() {
    let account = Account::new().await;
    let asha = id(capture(&account, &[("EmailAddress", EMAIL), ("Phone", PHONE)]).await);
    let same = |fields: &'static [(&'static str, &'static str)]| fields.to_vec();
    let pid = ("ProspectID", asha.as_str());
    let mut cases = vec![
        ("same address", same(&[("EmailAddress", "Asha@example.test")]), true),
        ("same phone, no address", same(&[("Phone", PHONE)]), true),
        ("neither", same(&[("FirstName", "Asha")]), false),
        ("nothing matches", same(&[("EmailAddress", "b@example.test")]), false),
        ("search by phone", same(&[("EmailAddress", "c@example.test"), ("Phone", PHONE), ("SearchBy", "Phone")]), true),
    ];
    cases.push((
        "id without address",
        vec![pid, ("City", "")].into_iter().filter(|(name, _)| *name != "City").collect(),
        true,
    ));
    cases.push(("id and another address", vec![pid, ("EmailAddress", "d@example.test")], false));
    cases.push(("id and its own address", vec![pid, ("EmailAddress", "c@example.test")], true));
    cases.push((
        "unknown id",
        vec![("ProspectId", "11111111-1111-4111-8111-111111111111"), ("EmailAddress", "c@example.test")],
        true,
    ));
    for (case, fields, matches) in cases {
        let captured = id(capture(&account, &fields).await);
        assert_eq!(captured == asha, matches, "{case}");
    }
    let (_, body) = capture(&account, &[("EmailAddress", "c@example.test")]).await;
    assert_eq!(body["Message"]["RelatedId"], body["Message"]["Id"]);
}

#[tokio::test]
async fn an_anonymous_visitor_becomes_a_lead_with_the_same_id() {
    const VISITOR: &str = "99999999-9999-4999-8999-999999999999";
    let account = Account::new().await;
    let first = [("ProspectID", "99999999-9999-4999-8999-99999999999A"), ("EmailAddress", EMAIL)];
    assert_eq!(id(capture(&account, &first).await), first[0].1.to_lowercase());
    // A known address keeps the id of its lead, and a malformed id is ignored.
    assert_eq!(id(capture(&account, &[("ProspectID", VISITOR), first[1]]).await), first[0].1.to_lowercase());
    assert_ne!(id(capture(&account, &[("ProspectID", "visitor"), ("FirstName", "Ravi")]).await), "visitor");
    let without_address = id(capture(&account, &[("ProspectID", VISITOR), ("FirstName", "Ravi")]).await);
    assert_eq!(without_address, VISITOR);
}

#[tokio::test]
async fn a_search_by_an_unknown_field_is_refused() {
    let account = Account::new().await;
    for call in [Call::CaptureLead, Call::CreateOrUpdateLead] {
        let refused = write(&account, call, &[], &[("EmailAddress", EMAIL), ("SearchBy", "mx_Nothing")]).await;
        assert_refused(refused, 500, "MXUnknownAttributeException", "Attribute(s) does not exist - mx_Nothing.");
    }
    assert_eq!(account.emulator.leads(), []);
}

#[tokio::test]
async fn a_new_address_with_a_known_phone_is_a_duplicate_unless_searched_by_phone() {
    let account = Account::new().await;
    capture(&account, &[("EmailAddress", EMAIL), ("Phone", PHONE)]).await;
    let refused =
        capture(&account, &[("EmailAddress", "new@example.test"), ("Phone", PHONE), ("FirstName", "A")]).await;
    assert_refused(refused, 500, "MXDuplicateEntryException", "A Lead with same Phone Number already exists.");
    assert_eq!(account.emulator.leads().len(), 1);
    // Another spelling of the same number is another text, which is how duplicates arise.
    assert_eq!(capture(&account, &[("EmailAddress", "new@example.test"), ("Phone", "9000000001")]).await.0, 200);
}

#[tokio::test]
async fn a_switch_stores_phone_numbers_in_one_form() {
    let mut settings = settings();
    settings.switches.normalise_phones = true;
    let account = Account::with(settings).await;
    capture(&account, &[("EmailAddress", EMAIL), ("Phone", "9000000001")]).await;
    assert_eq!(account.emulator.leads()[0].field("Phone"), Some(PHONE));
    let refused = capture(&account, &[("EmailAddress", "new@example.test"), ("Phone", "+919000000001")]).await;
    assert_eq!(refused.1["ExceptionType"], "MXDuplicateEntryException");
}

#[tokio::test]
async fn capture_updates_the_requested_fields_and_keeps_the_source() {
    let account = Account::new().await;
    capture(&account, &[("EmailAddress", EMAIL), ("FirstName", "Asha"), ("Source", "Form")]).await;
    let fields =
        [("EmailAddress", EMAIL), ("FirstName", "A."), ("LastName", "Rao"), ("Phone", PHONE), ("Source", "Event")];
    let read = |name: &str| account.emulator.lead_by_email(EMAIL).unwrap().field(name).map(str::to_owned);
    let behave =
        async |behaviour: &str| write(&account, Call::CaptureLead, &[("LeadUpdateBehavior", behaviour)], &fields).await;
    id(behave("DoNotUpdate").await);
    assert_eq!(read("LastName"), None);
    id(behave("DoNotUpdateUniqueFields").await);
    assert_eq!((read("FirstName").as_deref(), read("Phone")), (Some("A."), None));
    capture(&account, &[("EmailAddress", EMAIL), ("FirstName", "Asha")]).await;
    id(behave("UpdateOnlyEmptyFields").await);
    assert_eq!((read("FirstName").as_deref(), read("Phone").as_deref()), (Some("Asha"), Some(PHONE)));
    assert_eq!(read("Source").as_deref(), Some("Form"));
    let refused = behave("Sometimes").await;
    assert_refused(refused, 500, "MXInvalidInputException", "Invalid Input! Parameter Name: LeadUpdateBehavior");
}

#[tokio::test]
async fn create_requires_a_name_an_address_or_an_unused_phone_number() {
    let account = Account::new().await;
    let created = write(&account, Call::CreateLead, &[], &[("EmailAddress", EMAIL)]).await;
    assert_eq!(created.1["Message"], json!({"Id": account.emulator.leads()[0].id}));
    let again = write(&account, Call::CreateLead, &[], &[("EmailAddress", EMAIL)]).await;
    assert_refused(again, 500, "MXDuplicateEntryException", "A Lead with same Email already exists.");
    let no_identifier = write(&account, Call::CreateLead, &[], &[("mx_City", "Pune")]).await;
    let message = "FirstName, LastName, EmailAddress or Phone is mandatory.";
    assert_refused(no_identifier, 500, "MXMandatoryAttributeMissingException", message);
}

#[tokio::test]
async fn update_changes_the_sent_fields_of_the_named_lead() {
    let account = Account::new().await;
    let lead = account.emulator.add_lead(&[("EmailAddress", EMAIL), ("FirstName", "Asha")]).unwrap();
    let missing = write(&account, Call::UpdateLead, &[], &[("FirstName", "A")]).await;
    let message = "'leadId' is mandatory for updating lead";
    assert_refused(missing, 500, "MXMandatoryAttributeMissingException", message);
    let unknown = [("leadId", "11111111-1111-4111-8111-111111111111")];
    let unknown = write(&account, Call::UpdateLead, &unknown, &[("FirstName", "A")]).await;
    assert_refused(unknown, 500, "MXInvalidEntityException", "Lead does not exist in the system");
    let updated = write(&account, Call::UpdateLead, &[("leadId", &lead.to_uppercase())], &[("mx_City", "Pune")]).await;
    assert_eq!(updated, (200, json!({"Status": "Success", "Message": {"AffectedRows": 1}})));
    let emptied = write(&account, Call::UpdateLead, &[("leadId", &lead)], &[("FirstName", "")]).await;
    assert_eq!(emptied.0, 200);
    let lead = account.emulator.lead_by_email(EMAIL).unwrap();
    assert_eq!((lead.field("mx_City"), lead.field("FirstName")), (Some("Pune"), None));
}

#[tokio::test]
async fn create_or_update_searches_by_address_then_phone_or_by_a_given_field() {
    let account = Account::new().await;
    let asha = id(write(&account, Call::CreateOrUpdateLead, &[], &[("EmailAddress", EMAIL), ("Phone", PHONE)]).await);
    for fields in [
        &[("EmailAddress", EMAIL), ("FirstName", "Asha")][..],
        &[("EmailAddress", "new@example.test"), ("Phone", PHONE)],
        &[("mx_PAN_Number", "ABCDE1234F"), ("Phone", PHONE), ("SearchBy", "Phone")],
        &[("mx_PAN_Number", "ABCDE1234F"), ("SearchBy", "mx_PAN_Number")],
        &[("ProspectID", asha.as_str()), ("SearchBy", "ProspectID")],
    ] {
        let answer = write(&account, Call::CreateOrUpdateLead, &[], fields).await;
        assert_eq!(answer.1["Message"]["AffectedRows"], 1);
        assert_eq!(id(answer), asha);
    }
    let other =
        write(&account, Call::CreateOrUpdateLead, &[], &[("mx_PAN_Number", "X"), ("SearchBy", "mx_PAN_Number")]);
    assert_ne!(id(other.await), asha);
}

#[tokio::test]
async fn values_are_checked_by_the_type_of_their_field() {
    let mut settings = settings();
    let fields = &mut settings.tenant.fields;
    fields.push(Field { data_type: DataType::Number, ..Field::text("mx_Score", "Score") });
    let options = vec!["Pune".to_owned(), "Delhi".to_owned()];
    fields.push(Field {
        data_type: DataType::Select,
        options,
        strict_options: true,
        ..Field::text("mx_Campus", "Campus")
    });
    fields.push(Field { lock_after_create: true, ..Field::text("mx_Roll", "Roll number") });
    settings.switches.refuse_markup = true;
    let account = Account::with(settings).await;
    let lead = account.emulator.add_lead(&[("EmailAddress", EMAIL), ("mx_Roll", "7")]).unwrap();
    let long = "x".repeat(256);
    for (name, value, exception) in [
        ("EmailAddress", "asha", "MXInvalidInputException"),
        ("Phone", "none", "MXInvalidInputException"),
        ("mx_Score", "many", "MXInvalidInputException"),
        ("mx_Date_of_Birth", "02/01/2000", "MXInvalidInputException"),
        ("mx_Consent", "maybe", "MXInvalidInputException"),
        ("FirstName", &long, "MXInvalidInputException"),
        ("FirstName", "<b>Asha</b>", "MXXSSException"),
        ("mx_Campus", "Mumbai", "MXInvalidEntityReferenceException"),
        ("mx_Roll", "8", "MXInvalidInputException"),
    ] {
        let (status, body) = write(&account, Call::UpdateLead, &[("leadId", &lead)], &[(name, value)]).await;
        assert_eq!((status, body["ExceptionType"].as_str()), (500, Some(exception)), "{name}={value}");
    }
    for (name, value, stored) in [
        ("mx_Consent", "true", "1"),
        ("mx_Consent", "0", "0"),
        ("mx_Program", "Not on the list", "Not on the list"),
        ("mx_Campus", "Pune", "Pune"),
        ("mx_Date_of_Birth", "2000-01-02", "2000-01-02"),
        ("mx_Roll", "7", "7"),
    ] {
        assert_eq!(write(&account, Call::UpdateLead, &[("leadId", &lead)], &[(name, value)]).await.0, 200, "{name}");
        assert_eq!(account.emulator.lead_by_email(EMAIL).unwrap().field(name), Some(stored));
    }
}

#[tokio::test]
async fn a_phone_number_of_any_spelling_finds_the_most_recently_active_lead() {
    let account = Account::new().await;
    account.emulator.add_lead(&[("Phone", PHONE)]).unwrap();
    account.emulator.clock().advance(std::time::Duration::from_secs(1));
    let second = account.emulator.add_lead(&[("Mobile", "919000000001")]).unwrap();
    for phone in ["9000000001", "919000000001", "+919000000001", PHONE] {
        let (_, found) = account.ok(account.call(Call::LeadByPhone).query(&[("phone", phone)])).await;
        assert_eq!((found.as_array().unwrap().len(), &found[0]["ProspectID"]), (1, &json!(second)), "{phone}");
    }
    for phone in ["9000000002", "", "000001"] {
        let (_, found) = account.ok(account.call(Call::LeadByPhone).query(&[("phone", phone)])).await;
        assert_eq!(found, json!([]));
    }
}

#[tokio::test]
async fn a_switch_limits_lead_by_phone_to_digits_or_to_the_stored_text() {
    for (phone_lookup, finding) in
        [(PhoneLookup::DigitsOnly, ["9000000001", "919000000001"].as_slice()), (PhoneLookup::StoredText, &[PHONE])]
    {
        let mut settings = settings();
        settings.switches.phone_lookup = phone_lookup;
        let account = Account::with(settings).await;
        account.emulator.add_lead(&[("Phone", PHONE)]).unwrap();
        for phone in ["9000000001", "919000000001", "+919000000001", PHONE, "90000 00001", ""] {
            let (_, found) = account.ok(account.call(Call::LeadByPhone).query(&[("phone", phone)])).await;
            assert_eq!(found != json!([]), finding.contains(&phone), "{phone_lookup:?} {phone}");
        }
    }
}

#[tokio::test]
async fn field_metadata_describes_what_writes_accept() {
    let account = Account::new().await;
    let (_, fields) = account.ok(account.call(Call::LeadFields)).await;
    let fields = fields.as_array().unwrap();
    let of = |name: &str| fields.iter().find(|field| field["SchemaName"] == name).unwrap();
    assert_eq!((&of("Phone")["DataType"], &of("Phone")["IsLeadIdentifier"]), (&json!("Phone"), &json!(true)));
    assert_eq!((&of("FirstName")["MaxLength"], &of("FirstName")["IsMandatory"]), (&json!("255"), &json!(false)));
    assert_eq!(of("mx_Program")["Options"][1], json!({"Value": "Design"}));
    let query = [("schemaName", "mx_Program"), ("excludeOptionSets", "1")];
    let (_, one) = account.ok(account.call(Call::LeadFields).query(&query)).await;
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert!(one[0].get("Options").is_none());
}
