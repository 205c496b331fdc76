//! The whole system on a local stack: from a change in the CRM to the mail.

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use leadsquared_emulator::{Automation, AutomationTrigger};
use local_stack::{LocalStack, Options};
use onboarding::InvitationId;
use operator::{StackLocation, explain};
use serde_json::Value;
use time::OffsetDateTime;

use crate::waiting::{poll, within};

/// Posts a form of the emulator's page for the CRM.
async fn send_form(url: &str, fields: &[(&str, &str)]) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = axum::http::Request::post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let client: Client<HttpConnector, String> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 303, "{url}");
}

/// The receipts of the invitations that `crm-event` accepted.
async fn receipts(stack: &LocalStack) -> Vec<String> {
    let lines = stack.logs().lines("CrmEventFunction").await.unwrap();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fields = lines.map(|line| line.get("fields").unwrap_or(&line).clone());
    let accepted = fields.filter(|fields| fields["message"] == "invitation accepted");
    accepted.map(|fields| fields["receipt"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_lead_moved_to_an_inviting_stage_gets_a_mail_and_its_timeline_names_the_rule() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let page = stack.emulator().admin_url();
    send_form(&format!("{page}/leads"), &[("FirstName", "Ravi"), ("EmailAddress", "ravi@example.com")]).await;
    let lead = stack.emulator().leads().remove(0).id;
    send_form(&format!("{page}/leads/{lead}"), &[("ProspectStage", "Applied")]).await;

    within("the lead has a mail", stack.emulator().reached(|emulator| !emulator.mails().is_empty())).await;
    let mail = stack.emulator().mails().remove(0);
    assert_eq!((mail.lead_id.as_deref(), mail.recipients), (Some(lead.as_str()), vec!["ravi@example.com".to_owned()]));
    assert!(mail.html.contains("href=\"http"), "the mail has a link: {}", mail.html);

    let receipt = poll("the function has logged the invitation", async || receipts(&stack).await.pop()).await;
    let receipt: InvitationId = receipt.parse().unwrap();
    let deployed = StackLocation::Local(stack.ministack().url()).stack().await.unwrap();
    let timeline = poll("the invitation has ended", async || {
        let explanation = explain::look_up(&deployed, receipt, OffsetDateTime::now_utc()).await.unwrap();
        let timeline = explain::timeline(&explanation, receipt, OffsetDateTime::now_utc());
        timeline.contains("done: invited").then_some(timeline)
    });
    let timeline = timeline.await;
    let accepted = "CrmEventFunction: invitation accepted, source crm, rule application opened";
    assert!(timeline.contains(accepted), "{timeline}");
    stack.shutdown().await;
}

#[tokio::test]
async fn an_automation_invites_as_a_webhook_does() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let emulator = stack.emulator();
    for webhook in emulator.webhooks() {
        assert!(emulator.switch_webhook(&webhook.id, false), "the automation is the only sender");
    }
    let (header, secret) = stack.webhook_secret();
    let automation = Automation {
        url: format!("{}/crm-events", stack.api_url()),
        headers: vec![(header.to_owned(), secret.to_owned())],
        trigger: AutomationTrigger::LeadChanged("ProspectStage".to_owned()),
    };
    emulator.add_automation(&automation).unwrap();
    let lead = emulator.add_lead(&[("FirstName", "Ravi"), ("EmailAddress", "ravi@example.com")]).unwrap();
    emulator.update_lead(&lead, &[("ProspectStage", "Applied")]).unwrap();
    within("the lead has a mail", emulator.reached(|emulator| !emulator.mails().is_empty())).await;
    assert_eq!(emulator.mails().remove(0).recipients, ["ravi@example.com"]);
    stack.shutdown().await;
}
