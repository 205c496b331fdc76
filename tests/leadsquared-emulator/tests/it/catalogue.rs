//! The catalogue of LeadSquared's refusals (<https://apidocs.leadsquared.com/error-handling/> and what integrators
//! report), each brought about once. A refusal that no longer can be fails here, not in somebody's client.

use leadsquared_emulator::{Call, Settings};
use serde_json::{Value, json};

use crate::{Account, attributes, settings};

const EMAIL: (&str, &str) = ("EmailAddress", "asha@example.test");
const PHONE: (&str, &str) = ("Phone", "+91-9000000001");

struct Row {
    status: u16,
    exception_type: &'static str,
    message: &'static str,
    call: Call,
    query: &'static [(&'static str, &'static str)],
    body: Value,
}

fn rows() -> Vec<Row> {
    let lead = |fields: &[(&str, &str)]| attributes(fields);
    let row =
        |exception_type, message, call, body| Row { status: 500, exception_type, message, call, query: &[], body };
    vec![
        row(
            "MXMandatoryAttributeMissingException",
            "'leadId' is mandatory for updating lead",
            Call::UpdateLead,
            json!([]),
        ),
        row("MXMandatoryAttributeMissingException", "Invalid Sender details.", Call::SendEmailToLead, json!({})),
        row(
            "MXDuplicateEntryException",
            "A Lead with same Phone Number already exists.",
            Call::CaptureLead,
            lead(&[("EmailAddress", "new@example.test"), PHONE]),
        ),
        row("MXDuplicateEntryException", "A Lead with same Email already exists.", Call::CreateLead, lead(&[EMAIL])),
        row(
            "MXUnknownAttributeException",
            "Attribute(s) does not exist - mx_Foo,mx_Bar.",
            Call::CreateOrUpdateLead,
            lead(&[EMAIL, ("mx_Foo", "1"), ("mx_Bar", "1")]),
        ),
        Row {
            query: &[("leadId", "11111111-1111-4111-8111-111111111111")],
            ..row("MXInvalidEntityException", "Lead does not exist in the system", Call::UpdateLead, json!([]))
        },
        row(
            "MXInvalidInputException",
            "Invalid Input! Parameter Name: activity",
            Call::Activities,
            json!({"Paging": {"RowCount": "5000"}}),
        ),
        row("MXInvalidDataTypeException", "You have not passed ActivityEvent.", Call::PostActivity, json!({})),
        row(
            "MXInvalidEntityReferenceException",
            "Value does not exist in the options of mx_Program.",
            Call::CaptureLead,
            lead(&[("mx_Program", "Alchemy")]),
        ),
        row(
            "MXInvalidActivityException",
            "Event Code is invalid or empty",
            Call::PostActivity,
            json!({
                "EmailAddress": EMAIL.1, "ActivityEvent": 9,
            }),
        ),
        row(
            "MXInvalidActivityFieldsException",
            "Field name : 'mx_Custom_9' ",
            Call::PostActivity,
            json!({
                "EmailAddress": EMAIL.1, "ActivityEvent": 201, "Fields": [{"SchemaName": "mx_Custom_9", "Value": "1"}],
            }),
        ),
        row("MXUnknownProspectActivityException", "Activity does not exist", Call::ActivityDetails, json!({})),
        row(
            "MXMailDeliveryException",
            "Email delivery is not enabled",
            Call::SendEmailToLead,
            json!({
                "SenderType": "APICaller", "RecipientType": "LeadEmailAddress", "Recipient": EMAIL.1,
            }),
        ),
        row(
            "MXDuplicateEntityNameException",
            "An activity with the same name",
            Call::CreateActivityType,
            json!({
                "ActivityEventName": "Meeting",
            }),
        ),
        row("MXXSSException", "Potentially dangerous value.", Call::CaptureLead, lead(&[("FirstName", "<b>")])),
        row(
            "MXInvalidInputException",
            "Webhook Event not found",
            Call::CreateWebhook,
            json!({
                "URL": "http://127.0.0.1:9/", "WebhookEvent": "5",
            }),
        ),
        row(
            "MXInvalidInputException",
            "Webhook Properties is not found",
            Call::CreateWebhook,
            json!({
                "URL": "http://127.0.0.1:9/", "WebhookEvent": "2",
            }),
        ),
        row(
            "MXInvalidInputException",
            "Webhook Properties is not a valid JSON",
            Call::CreateWebhook,
            json!({
                "URL": "http://127.0.0.1:9/", "WebhookEvent": "2", "WebhookProperties": "{",
            }),
        ),
        row(
            "MXInvalidInputException",
            "Opportunity Field value cannot be empty",
            Call::CreateWebhook,
            json!({
                "URL": "http://127.0.0.1:9/", "WebhookEvent": "32",
            }),
        ),
        Row { status: 400, ..row("JsonReaderException", "Unexpected character", Call::CaptureLead, json!(7)) },
    ]
}

fn strict() -> Settings {
    let mut settings = settings();
    settings.switches.refuse_markup = true;
    settings.tenant.can_deliver_mail = false;
    for field in &mut settings.tenant.fields {
        field.strict_options = true;
    }
    settings
}

#[tokio::test]
async fn every_refusal_of_the_catalogue_can_be_brought_about() {
    let account = Account::with(strict()).await;
    account.emulator.add_lead(&[EMAIL, PHONE]).unwrap();
    for row in rows() {
        let (status, body) = account.send(account.call(row.call).query(row.query).json(&row.body)).await;
        let message = body["ExceptionMessage"].as_str().unwrap();
        assert_eq!((status, body["ExceptionType"].as_str()), (row.status, Some(row.exception_type)), "{message}");
        assert!(message.starts_with(row.message), "{message}");
    }
    assert_eq!(account.emulator.leads().len(), 1, "what is refused leaves nothing behind");
}

#[tokio::test]
async fn a_switch_hides_duplicates_under_200() {
    let mut settings = settings();
    settings.switches.capture_duplicate_under_ok = true;
    let account = Account::with(settings).await;
    account.emulator.add_lead(&[EMAIL, PHONE]).unwrap();
    let body = attributes(&[("EmailAddress", "new@example.test"), PHONE]);
    let (status, body) = account.send(account.call(Call::CaptureLead).json(&body)).await;
    assert_eq!((status, body["ExceptionType"].as_str()), (200, Some("MXDuplicateEntryException")));
}
