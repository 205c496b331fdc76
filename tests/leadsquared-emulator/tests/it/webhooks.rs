//! Webhooks: deliveries and their administration.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, Method, StatusCode, Uri};
use leadsquared_emulator::{Automation, AutomationTrigger, Call, Delivery, DeliveryState, Emulator, WebhookStatus};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{Account, assert_refused, attributes, settings, within};

/// A webhook receiver. It keeps what it is sent and answers with the statuses it is set to.
#[derive(Clone)]
struct Receiver {
    url: String,
    state: Arc<watch::Sender<Received>>,
}

struct Received {
    /// Status of the answer to a POST.
    answer: u16,
    /// Status of the answer to a HEAD, which LeadSquared sends when a webhook is saved.
    head: u16,
    posts: Vec<(String, HeaderMap, Value)>,
    /// Bodies that are not JSON, as text.
    forms: Vec<String>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks?key=secret", listener.local_addr().unwrap());
        let state =
            Arc::new(watch::Sender::new(Received { answer: 200, head: 200, posts: Vec::new(), forms: Vec::new() }));
        let router = Router::new().fallback(receive).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    fn answer(&self, status: u16) {
        self.state.send_modify(|state| state.answer = status);
    }

    fn answer_head(&self, status: u16) {
        self.state.send_modify(|state| state.head = status);
    }

    fn posts(&self) -> Vec<(String, HeaderMap, Value)> {
        self.state.borrow().posts.clone()
    }

    async fn wait_for(&self, posts: usize) -> Vec<(String, HeaderMap, Value)> {
        let mut state = self.state.subscribe();
        let received = within("the webhook is delivered", state.wait_for(|state| state.posts.len() >= posts)).await;
        received.unwrap().posts.clone()
    }
}

async fn receive(
    State(state): State<Arc<watch::Sender<Received>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if method == Method::HEAD {
        return StatusCode::from_u16(state.borrow().head).unwrap();
    }
    if method == Method::POST {
        state.send_modify(|state| {
            let body = serde_json::from_slice(&body).unwrap_or_else(|_| {
                state.forms.push(String::from_utf8(body.to_vec()).unwrap());
                Value::Null
            });
            state.posts.push((uri.query().unwrap_or_default().to_owned(), headers, body));
        });
    }
    StatusCode::from_u16(state.borrow().answer).unwrap()
}

async fn listen(account: &Account, receiver: &Receiver, changes: Value) -> (u16, Value) {
    let mut webhook = json!({
        "Description": "test", "URL": receiver.url, "Method": "POST", "ContentType": "application/json",
        "WebhookEvent": "6", "IsSpecificLandingPage": false, "LandingPageUrls": null, "NotifyOnFailure": true,
        "WebhookProperties": null, "CustomHeaders": [{"Key": "x-example-secret", "Value": "s3cret"}],
    });
    for (name, value) in changes.as_object().unwrap() {
        webhook[name] = value.clone();
    }
    account.send(account.call(Call::CreateWebhook).json(&webhook)).await
}

async fn update(account: &Account, lead: &str, posted: bool, fields: &[(&str, &str)]) {
    let posted = posted.to_string();
    let query = [("leadId", lead), ("postUpdatedLead", posted.as_str())];
    account.ok(account.call(Call::UpdateLead).query(&query).json(&attributes(fields))).await;
}

#[tokio::test]
async fn a_created_lead_arrives_as_one_flat_object_with_query_and_headers() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    let (_, created) = listen(&account, &receiver, json!({"WebhookEvent": "3"})).await;
    let id = created["Message"]["Id"].as_str().unwrap();
    let lead = account.portal_user("asha@example.test").await;
    let posts = receiver.wait_for(1).await;
    let (query, headers, body) = &posts[0];
    assert_eq!(query, &format!("key=secret&entityType=webhook&entityId={id}&eventType=Lead_Post_Create"));
    assert_eq!(headers["x-example-secret"], "s3cret");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!((&body["ProspectID"], &body["Phone"]), (&json!(lead), &Value::Null));
    assert_eq!(body["CreatedOn"], "2026-01-02 03:04:05");
    assert!(body.get("mx_City").is_none() && !body.to_string().contains("Password"));
    let is_delivered = |emulator: &Emulator| emulator.deliveries()[0].state == DeliveryState::Delivered;
    account.reached("the delivery is recorded", is_delivered).await;
}

#[tokio::test]
async fn an_update_is_delivered_as_before_and_after_only_when_the_call_asks_for_it() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test"), ("mx_City", "Pune")]).unwrap();
    listen(&account, &receiver, json!({})).await;
    listen(&account, &receiver, json!({"WebhookEvent": "26", "ChangedLeadField": "ProspectStage"})).await;
    listen(&account, &receiver, json!({"WebhookEvent": "4"})).await;
    update(&account, &lead, false, &[("FirstName", "Asha")]).await;
    update(&account, &lead, true, &[("mx_City", "Delhi")]).await;
    update(&account, &lead, true, &[("ProspectStage", "Applied"), ("LastName", "Rao")]).await;
    let posts = receiver.wait_for(3).await;
    let mut events: Vec<_> = posts.iter().map(|(query, ..)| query.rsplit('=').next().unwrap()).collect();
    events.sort_unstable();
    assert_eq!(events, ["Lead_Field_Change", "Lead_Post_Update", "Lead_Post_Update"]);
    let city = posts.iter().find(|(.., body)| body["Before"]["mx_City"] == "Pune").unwrap();
    assert_eq!(city.2["After"]["mx_City"], "Delhi");
    assert!(city.2["Before"].get("LastName").is_none(), "unchanged fields are left out");
    let moved = posts.iter().find(|(query, ..)| query.ends_with("Lead_Field_Change")).unwrap();
    assert_eq!(
        (&moved.2["Before"]["ProspectStage"], &moved.2["After"]["ProspectStage"]),
        (&json!("Prospect"), &json!("Applied"))
    );
    assert_eq!(moved.2["Before"].get("LastName"), Some(&Value::Null), "an empty value before the change is null");
}

fn automation(receiver: &Receiver, trigger: AutomationTrigger) -> Automation {
    let headers = vec![("x-example-secret".to_owned(), "s3cret".to_owned())];
    Automation { url: receiver.url.clone(), headers, trigger }
}

#[tokio::test]
async fn an_automation_sends_the_lead_as_it_is_now_without_naming_the_event() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    let trigger = AutomationTrigger::LeadChanged("ProspectStage".to_owned());
    let id = account.emulator.add_automation(&automation(&receiver, trigger)).unwrap();
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test"), ("mx_City", "Pune")]).unwrap();
    account.emulator.update_lead(&lead, &[("mx_City", "Delhi")]).unwrap();
    account.emulator.update_lead(&lead, &[("ProspectStage", "Applied")]).unwrap();
    let posts = receiver.wait_for(1).await;
    let (query, headers, body) = &posts[0];
    assert_eq!(query, &format!("key=secret&entityType=automation&entityId={id}"));
    assert_eq!(headers["x-example-secret"], "s3cret");
    let before = json!({"ProspectID": lead, "ProspectStage": "Prospect", "ModifiedOn": "2026-01-02 03:04:05"});
    assert_eq!(body["Before"], before);
    assert_eq!((&body["Current"]["ProspectStage"], &body["Current"]["mx_City"]), (&json!("Applied"), &json!("Delhi")));
    assert_eq!((account.emulator.deliveries().len(), body.get("After")), (1, None));
    let shown = &account.emulator.webhooks()[0];
    assert_eq!((shown.entity_type, shown.event.as_str()), ("automation", "Lead_Post_Update"));
    // The API knows webhooks only.
    let (_, listed) = account.ok(account.call(Call::Webhooks).json(&json!({}))).await;
    assert_eq!(listed["RecordCount"], 0);
}

#[tokio::test]
async fn an_automation_for_an_activity_has_the_types_name_and_the_lead_and_may_send_more() {
    let mut settings = settings();
    settings.switches.automation_names_event = true;
    settings.switches.automation_sends_list = true;
    settings.switches.automation_follows_up = true;
    let account = Account::with(settings).await;
    let receiver = Receiver::start().await;
    let page = format!("{}/api/automations", account.emulator.admin_url());
    for trigger in [json!({"activity": 201}), json!("lead-created")] {
        let body = json!({"url": receiver.url, "trigger": trigger});
        assert_eq!(account.http.post(&page).json(&body).send().await.unwrap().status(), 204);
    }
    let refused = json!({"url": "ftp://example.test", "trigger": "lead-created"});
    assert_eq!(account.http.post(&page).json(&refused).send().await.unwrap().status(), 422);
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    let created = &receiver.wait_for(1).await[0];
    assert!(created.0.ends_with("&eventType=Lead_Post_Create"), "{}", created.0);
    assert_eq!((&created.2[0]["Before"], &created.2[0]["Current"]["ProspectID"]), (&Value::Null, &json!(lead)));
    let body = json!({"RelatedProspectId": lead, "ActivityEvent": 201, "ActivityNote": "n", "Fields": []});
    account.ok(account.call(Call::PostActivity).json(&body)).await;
    let mut posts = receiver.wait_for(3).await.split_off(1);
    posts.sort_by_key(|(.., body)| body[0]["ActivityEventName"].is_null());
    let [named, follow_up] = [&posts[0].2[0], &posts[1].2[0]];
    assert!(named["ActivityEventName"].is_string() && named.get("ActivityEvent").is_none(), "{named}");
    assert!(follow_up.get("ActivityEventName").is_none(), "{follow_up}");
    for body in [named, follow_up] {
        assert_eq!((&body["RelatedProspectId"], &body["Current"]["ProspectID"]), (&json!(lead), &json!(lead)));
        assert_eq!(body["Data"]["Note"], "n");
    }
}

#[tokio::test]
async fn activities_of_a_minute_arrive_together_as_a_list() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    let properties = "{\"ActivityEvent\":\"201\",\"ActivityData\":\"[]\",\"WebPageNames\":\"[]\"}";
    let listener = json!({"WebhookEvent": "2", "ActivityEvent": "201", "WebhookProperties": properties});
    assert_eq!(listen(&account, &receiver, listener).await.0, 200);
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    for (code, wait) in [(201, 30), (21, 10), (201, 19)] {
        let body = json!({"RelatedProspectId": lead, "ActivityEvent": code, "ActivityNote": "n", "Fields": []});
        account.ok(account.call(Call::PostActivity).json(&body)).await;
        account.emulator.clock().advance(Duration::from_secs(wait));
    }
    assert_eq!(receiver.posts().len(), 0);
    account.emulator.clock().advance(Duration::from_secs(1));
    let posts = receiver.wait_for(1).await;
    let batch = posts[0].2.as_array().unwrap();
    assert_eq!(batch.len(), 2);
    assert_eq!((&batch[0]["ActivityEvent"], &batch[0]["Data"]["Note"]), (&json!("201"), &json!("n")));
    assert_eq!(batch[1]["RelatedProspectId"], json!(lead));
}

#[tokio::test]
async fn a_delivery_is_tried_three_times_and_ten_failures_disable_the_webhook() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    listen(&account, &receiver, json!({"WebhookEvent": "3"})).await;
    receiver.answer(500);
    for number in 0..10 {
        account.emulator.add_lead(&[("EmailAddress", &format!("{number}@example.test"))]).unwrap();
    }
    receiver.wait_for(10).await;
    let all_at = async |attempts, state: DeliveryState| {
        let is_at = |delivery: &Delivery| delivery.attempts == attempts && delivery.state == state;
        account.reached("all deliveries are tried", |emulator| emulator.deliveries().iter().all(is_at)).await;
    };
    all_at(1, DeliveryState::Waiting).await;
    assert_eq!(account.emulator.deliveries()[0].status, Some(500));
    account.emulator.clock().advance(Duration::from_secs(30));
    all_at(2, DeliveryState::Waiting).await;
    assert_eq!(account.emulator.webhooks()[0].failures, 0);
    account.emulator.clock().advance(Duration::from_secs(120));
    all_at(3, DeliveryState::Failed).await;
    let is_disabled = |emulator: &Emulator| emulator.webhooks()[0].status == WebhookStatus::Failed;
    account.reached("the webhook is disabled", is_disabled).await;
    assert_eq!(receiver.posts().len(), 30);
    let notice = account.emulator.mails().pop().unwrap();
    assert_eq!((notice.recipients, notice.lead_id), (vec!["admin@example.test".to_owned()], None));
    // Events of the time in which it is disabled are not delivered, not even later.
    receiver.answer(200);
    account.emulator.add_lead(&[("EmailAddress", "late@example.test")]).unwrap();
    let (_, listed) = account.ok(account.call(Call::Webhooks).json(&json!({"Parameter": {"StatusCode": 2}}))).await;
    assert_eq!((&listed["RecordCount"], &listed["Response"][0]["StatusCode"]), (&json!(1), &json!(2)));
    assert_eq!(account.emulator.deliveries().len(), 10);
}

#[tokio::test]
async fn a_success_resets_the_count_of_failures() {
    let mut settings = settings();
    settings.webhooks.gaps = Vec::new();
    let account = Account::with(settings).await;
    let receiver = Receiver::start().await;
    listen(&account, &receiver, json!({"WebhookEvent": "3"})).await;
    for number in 0..12 {
        receiver.answer(if number == 9 { 200 } else { 503 });
        account.emulator.add_lead(&[("EmailAddress", &format!("{number}@example.test"))]).unwrap();
        let failures = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2][number];
        account.reached("the failure is counted", |emulator| emulator.webhooks()[0].failures == failures).await;
    }
    assert_eq!(account.emulator.webhooks()[0].status, WebhookStatus::Enabled);
}

#[tokio::test]
async fn a_webhook_whose_address_does_not_answer_a_head_request_gets_no_deliveries() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    receiver.answer_head(405);
    let (_, created) = listen(&account, &receiver, json!({"WebhookEvent": "3"})).await;
    let id = created["Message"]["Id"].as_str().unwrap();
    assert_eq!(account.emulator.webhooks()[0].status, WebhookStatus::Failed);
    account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    assert_eq!(account.emulator.deliveries(), []);
    receiver.answer_head(200);
    let body = json!({"WebhookId": id, "URL": receiver.url, "WebhookEvent": "3"});
    account.ok(account.call(Call::UpdateWebhook).json(&body)).await;
    assert_eq!(account.emulator.webhooks()[0].status, WebhookStatus::Failed);
    assert!(account.emulator.switch_webhook(id, true));
    account.emulator.add_lead(&[("EmailAddress", "ravi@example.test")]).unwrap();
    receiver.wait_for(1).await;
    assert_eq!(account.emulator.webhooks()[0].status, WebhookStatus::Enabled);
    // An update whose address answers keeps it enabled, one whose address does not disables it.
    account.ok(account.call(Call::UpdateWebhook).json(&body)).await;
    assert_eq!(account.emulator.webhooks()[0].status, WebhookStatus::Enabled);
    receiver.answer_head(405);
    account.ok(account.call(Call::UpdateWebhook).json(&body)).await;
    assert_eq!(account.emulator.webhooks()[0].status, WebhookStatus::Failed);
}

#[tokio::test]
async fn an_update_does_not_enable_a_webhook_that_was_disabled_by_hand() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    let (_, created) = listen(&account, &receiver, json!({"WebhookEvent": "3"})).await;
    let id = created["Message"]["Id"].as_str().unwrap();
    let switch = async |id: &str, body: Value| {
        let url = format!("{}/api/webhooks/{id}", account.emulator.admin_url());
        account.http.post(url).json(&body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(switch(id, json!({"enabled": false})).await, 204);
    let body = json!({"WebhookId": id, "URL": receiver.url, "WebhookEvent": "3"});
    account.ok(account.call(Call::UpdateWebhook).json(&body)).await;
    let (_, listed) = account.ok(account.call(Call::Webhooks).json(&json!({"Parameter": {"StatusCode": 1}}))).await;
    assert_eq!((&listed["RecordCount"], &listed["Response"][0]["StatusCode"]), (&json!(1), &json!(1)));
    account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    assert_eq!(account.emulator.deliveries(), []);
    assert_eq!(switch(id, json!({"enabled": true})).await, 204);
    account.emulator.add_lead(&[("EmailAddress", "ravi@example.test")]).unwrap();
    assert_eq!(receiver.wait_for(1).await[0].2["EmailAddress"], "ravi@example.test");
    assert_eq!((switch("nothing", json!({"enabled": true})).await, switch(id, json!({})).await), (404, 422));
    let page = account.http.get(account.emulator.admin_url()).send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!("/_admin/webhooks/{id}")));
}

#[tokio::test]
async fn an_activity_type_with_a_score_raises_a_score_change_and_one_without_raises_nothing() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    for event in ["9", "6"] {
        listen(&account, &receiver, json!({"WebhookEvent": event})).await;
    }
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    // A meeting scores nothing, an inbound call ten.
    for code in [102, 21] {
        let body = json!({"RelatedProspectId": lead, "ActivityEvent": code});
        account.ok(account.call(Call::PostActivity).json(&body)).await;
    }
    let posts = receiver.wait_for(1).await;
    assert_eq!(account.emulator.deliveries().len(), 1);
    let (query, _, body) = &posts[0];
    assert!(query.ends_with("eventType=Lead_Score_Change"), "{query}");
    assert_eq!((&body["Before"]["Score"], &body["After"]["Score"]), (&json!("0"), &json!("10")));
}

#[tokio::test]
async fn a_changed_activity_arrives_as_a_list_with_all_its_fields() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    let listener = json!({"WebhookEvent": "15", "ActivityEvent": "201", "WebhookProperties": "{}"});
    assert_eq!(listen(&account, &receiver, listener).await.0, 200);
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    let fields = json!([{"SchemaName": "mx_Custom_1", "Value": "one"}, {"SchemaName": "Status", "Value": "Open"}]);
    let body = json!({"RelatedProspectId": lead, "ActivityEvent": 201, "Fields": fields});
    let (_, posted) = account.ok(account.call(Call::PostActivity).json(&body)).await;
    let activity = posted["Message"]["Id"].as_str().unwrap();
    assert_eq!(account.emulator.deliveries(), [], "it was created, not changed");
    account.emulator.update_activity(activity, &[("Status", "Done")]).unwrap();
    let refused = account.emulator.update_activity(activity, &[("mx_Custom_9", "x")]).unwrap_err();
    assert!(refused.starts_with("MXInvalidActivityFieldsException: "), "{refused}");
    let refused = account.emulator.update_activity("nothing", &[]).unwrap_err();
    assert!(refused.starts_with("MXUnknownProspectActivityException: "), "{refused}");
    account.emulator.clock().advance(Duration::from_secs(60));
    let posts = receiver.wait_for(1).await;
    assert!(posts[0].0.ends_with("eventType=LeadActivity_Post_Update"), "{}", posts[0].0);
    assert_eq!((posts[0].2.as_array().unwrap().len(), &posts[0].2[0]["ProspectActivityId"]), (1, &json!(activity)));
    assert_eq!(posts[0].2[0]["Data"], json!({"Status": "Done", "mx_Custom_1": "one", "Note": ""}));
    assert_eq!(account.emulator.activities(&lead)[0].fields["Status"], "Done");
}

#[tokio::test]
async fn a_webhook_with_the_content_type_of_a_form_is_delivered_as_a_form() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    for event in ["3", "6"] {
        let form = json!({"WebhookEvent": event, "ContentType": "application/x-www-form-urlencoded"});
        listen(&account, &receiver, form).await;
    }
    let lead =
        account.emulator.add_lead(&[("EmailAddress", "asha+1@example.test"), ("FirstName", "Åsha & Co")]).unwrap();
    assert_eq!(receiver.wait_for(1).await[0].1["content-type"], "application/x-www-form-urlencoded");
    update(&account, &lead, true, &[("mx_City", "Pune")]).await;
    receiver.wait_for(2).await;
    let forms = receiver.state.borrow().forms.clone();
    let value = |form: &str, name: &str| {
        let mut pairs = url::form_urlencoded::parse(form.as_bytes());
        pairs.find(|(its, _)| its == name).map(|(_, value)| value.into_owned()).unwrap()
    };
    assert_eq!(value(&forms[0], "EmailAddress"), "asha+1@example.test");
    assert_eq!((value(&forms[0], "FirstName"), value(&forms[0], "Phone")), ("Åsha & Co".to_owned(), String::new()));
    let after: Value = serde_json::from_str(&value(&forms[1], "After")).unwrap();
    assert_eq!(after["mx_City"], "Pune");
}

#[tokio::test]
async fn webhooks_are_listed_searched_and_deleted_by_get() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    for event in ["3", "6"] {
        listen(&account, &receiver, json!({"WebhookEvent": event})).await;
    }
    let search = async |parameter: Value| {
        let body = json!({"Parameter": parameter, "Paging": {"PageIndex": 1, "PageSize": 25}});
        account.ok(account.call(Call::Webhooks).json(&body)).await.1
    };
    assert_eq!(search(json!({"WebhookEvent": "", "WebhookId": "", "SearchText": "test"})).await["RecordCount"], 2);
    let found = search(json!({"WebhookEvent": "Lead_Post_Update", "StatusCode": 0})).await;
    assert_eq!((&found["RecordCount"], &found["Response"][0]["EventCode"]), (&json!(1), &json!("Lead_Post_Update")));
    let id = found["Response"][0]["WebhookId"].as_str().unwrap();
    let by_post = account.send(account.http.post(account.url(Call::DeleteWebhook))).await;
    assert_refused(by_post, 405, "MethodNotAllowed", "Method not allowed.");
    account.ok(account.call(Call::DeleteWebhook).query(&[("webhookId", id)])).await;
    assert_eq!(account.emulator.webhooks().len(), 1);
    let again = account.send(account.call(Call::DeleteWebhook).query(&[("webhookId", id)])).await;
    assert_refused(again, 500, "MXInvalidEntityException", "Webhook does not exist in the system");
    let printed = format!("{:?}", account.emulator.webhooks());
    assert!(!printed.contains("secret") && printed.contains("/hooks"), "{printed}");
}

#[tokio::test]
async fn impossible_webhooks_are_refused_in_leadsquareds_words() {
    let account = Account::new().await;
    let receiver = Receiver::start().await;
    let field = json!({"WebhookEvent": "26", "ChangedLeadField": "ProspectStage"});
    assert_eq!(listen(&account, &receiver, field.clone()).await.0, 200);
    for (changes, status, message) in [
        (json!({"WebhookEvent": "5"}), 500, "Webhook Event not found"),
        (json!({"WebhookEvent": "35"}), 500, "Webhook Event not found"),
        (json!({"WebhookEvent": "32"}), 500, "Opportunity Field value cannot be empty"),
        (json!({"WebhookEvent": "2"}), 500, "Webhook Properties is not found"),
        (json!({"WebhookEvent": "2", "WebhookProperties": "{"}), 500, "Webhook Properties is not a valid JSON"),
        (json!({"WebhookEvent": "2", "WebhookProperties": "{}"}), 500, "ActivityEvent is mandatory."),
        (json!({"URL": "ftp://example.test"}), 500, "Invalid Input! Parameter Name: URL"),
        (field, 500, "A webhook for this field already exists."),
        (json!({"WebhookEvent": "26", "ChangedLeadField": "mx_No"}), 500, "Attribute(s) does not exist - mx_No."),
    ] {
        let (refused, body) = listen(&account, &receiver, changes).await;
        assert_eq!((refused, body["ExceptionMessage"].as_str()), (status, Some(message)));
    }
    // An object instead of a string of JSON does not fit the call's shape.
    let (status, _) = listen(&account, &receiver, json!({"WebhookProperties": {}})).await;
    assert_eq!(status, 400);
}
