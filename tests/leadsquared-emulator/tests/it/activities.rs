//! Activities: posting, listing, and types.

use leadsquared_emulator::Call;
use serde_json::{Value, json};

use crate::{Account, assert_refused, attributes};

async fn post(account: &Account, body: Value) -> (u16, Value) {
    account.send(account.call(Call::PostActivity).json(&body)).await
}

#[tokio::test]
async fn a_posted_activity_is_listed_newest_first_and_changes_its_lead() {
    let account = Account::new().await;
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    for note in ["first", "second"] {
        let body = json!({
            "RelatedProspectId": lead, "ActivityEvent": 201, "ActivityNote": note,
            "ActivityDateTime": "2026-01-01 00:00:00", "Fields": [{"SchemaName": "mx_Custom_1", "Value": note}],
        });
        let (status, posted) = post(&account, body).await;
        assert_eq!((status, &posted["Status"]), (200, &json!("Success")));
    }
    let list = account.call(Call::Activities).query(&[("leadId", &lead)]);
    let (_, listed) = account.ok(list.json(&json!({"Paging": {"Offset": "0", "RowCount": "1"}}))).await;
    assert_eq!(listed["RecordCount"], 2);
    let row = &listed["ProspectActivities"][0];
    assert_eq!((&row["EventCode"], &row["EventName"]), (&json!(201), &json!("Portal Invitation")));
    assert_eq!(row["CreatedOn"], "2026-01-01 00:00:00");
    assert_eq!(row["ActivityFields"]["mx_Custom_1"], "second");
    assert_eq!(row["Data"][1], json!({"Key": "mx_Custom_1", "Value": "second"}));
    let second_page = account.call(Call::Activities).query(&[("leadId", &lead)]);
    let paging = json!({"Paging": {"Offset": "1", "RowCount": "1"}, "Parameter": {"ActivityEvent": 201}});
    let (_, listed) = account.ok(second_page.json(&paging)).await;
    assert_eq!(listed["ProspectActivities"][0]["ActivityFields"]["ActivityEvent_Note"], "first");
    let none =
        account.call(Call::Activities).query(&[("leadId", &lead)]).json(&json!({"Parameter": {"ActivityEvent": 21}}));
    assert_eq!(account.ok(none).await.1["RecordCount"], 0);
    let (_, read) = account.ok(account.call(Call::LeadById).query(&[("id", &lead)])).await;
    assert_eq!((&read[0]["Score"], &read[0]["ProspectActivityName_Max"]), (&json!("10"), &json!("Portal Invitation")));
    let activities = account.emulator.activities(&lead);
    assert_eq!(activities.len(), 2);
    let details = account.call(Call::ActivityDetails).query(&[("activityId", &activities[0].id)]);
    let (_, details) = account.ok(details).await;
    assert_eq!((&details["Name"], &details["Fields"][0]["Value"]), (&json!("Portal Invitation"), &json!("second")));
}

#[tokio::test]
async fn impossible_activities_are_refused_in_leadsquareds_words() {
    let account = Account::new().await;
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    for code in [json!(999), json!("x"), json!(-1)] {
        let (status, body) = post(&account, json!({"RelatedProspectId": lead, "ActivityEvent": code})).await;
        let expected = json!({
            "Status": "Error", "ExceptionType": "MXInvalidActivityException",
            "ExceptionMessage": "Event Code is invalid or empty", "IsMXException": true,
        });
        assert_eq!((status, body), (500, expected));
    }
    let none = post(&account, json!({"RelatedProspectId": lead})).await;
    assert_refused(none, 500, "MXInvalidDataTypeException", "You have not passed ActivityEvent.");
    let field = json!([{"SchemaName": "mx_Custom_9", "Value": "1"}]);
    let (_, body) = post(&account, json!({"RelatedProspectId": lead, "ActivityEvent": 201, "Fields": field})).await;
    assert_eq!(body["ExceptionType"], "MXInvalidActivityFieldsException");
    let unknown = "11111111-1111-4111-8111-111111111111";
    let no_lead = post(&account, json!({"RelatedProspectId": unknown, "ActivityEvent": 201})).await;
    assert_refused(no_lead, 500, "MXInvalidEntityException", "Lead does not exist in the system");
    let too_many = account.call(Call::Activities).query(&[("leadId", &lead)]);
    let too_many = account.send(too_many.json(&json!({"Paging": {"RowCount": "1001"}}))).await;
    assert_refused(too_many, 500, "MXInvalidInputException", "Invalid Input! Parameter Name: activity");
    assert_eq!(account.emulator.activities(&lead), []);
}

#[tokio::test]
async fn an_activity_can_be_posted_together_with_its_lead() {
    let account = Account::new().await;
    let body = json!({"EmailAddress": "asha@example.test", "FirstName": "Asha", "ActivityEvent": 21});
    assert_eq!(post(&account, body).await.0, 200);
    let lead = account.emulator.lead_by_email("asha@example.test").unwrap();
    let details = attributes(&[("EmailAddress", "asha@example.test"), ("LastName", "Rao")]);
    let body = json!({"LeadDetails": details, "Activity": {"ActivityEvent": 201}});
    let (_, posted) = account.ok(account.call(Call::PostLeadAndActivity).json(&body)).await;
    assert_eq!(posted["Message"]["RelatedId"], json!(lead.id));
    assert_eq!(account.emulator.activities(&lead.id).len(), 2);
    // A refused activity creates no lead.
    let details = attributes(&[("EmailAddress", "ravi@example.test")]);
    let body = json!({"LeadDetails": details, "Activity": {"ActivityEvent": 999}});
    assert_eq!(account.send(account.call(Call::PostLeadAndActivity).json(&body)).await.0, 500);
    assert_eq!(account.emulator.lead_by_email("ravi@example.test"), None);
}

#[tokio::test]
async fn a_created_activity_type_gets_a_code_and_can_be_used() {
    let account = Account::new().await;
    let body = json!({"ActivityEventName": "Fee paid", "Score": 20, "Fields": [{"SchemaName": "mx_Custom_1"}]});
    let (_, created) = account.ok(account.call(Call::CreateActivityType).json(&body)).await;
    assert_eq!(created["Message"]["Id"], "202");
    let (_, types) = account.ok(account.call(Call::ActivityTypes)).await;
    let listed = json!({"ActivityEvent": "202", "ActivityEventName": "Fee paid", "Score": 20});
    assert_eq!(types.as_array().unwrap().last(), Some(&listed));
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    assert_eq!(post(&account, json!({"RelatedProspectId": lead, "ActivityEvent": "202"})).await.0, 200);
    let again = account.send(account.call(Call::CreateActivityType).json(&body)).await;
    let message = "An activity with the same name already exists.";
    assert_refused(again, 500, "MXDuplicateEntityNameException", message);
}
