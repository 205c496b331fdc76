//! The whole system, from a click in LeadSquared to the mail.

use std::time::{Duration, Instant};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use local_stack::{LocalStack, Options};
use onboarding::InvitationId;
use operator::{Place, explain};
use serde_json::Value;
use time::OffsetDateTime;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a form of LeadSquared's page.
async fn send_form(url: &str, fields: &[(&str, &str)]) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = axum::http::Request::post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let client: Client<HttpConnector, String> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 303, "{url}");
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
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
async fn a_lead_that_is_moved_to_a_stage_gets_a_mail_and_the_timeline_names_the_rule() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let page = stack.emulator().admin_url();
    send_form(&format!("{page}/leads"), &[("FirstName", "Ravi"), ("EmailAddress", "ravi@example.com")]).await;
    let lead = stack.emulator().leads().remove(0).id;
    send_form(&format!("{page}/leads/{lead}"), &[("ProspectStage", "Applied")]).await;

    let mail = until("the lead has a mail", async || stack.emulator().mails().pop()).await;
    assert_eq!((mail.lead_id.as_deref(), mail.recipients), (Some(lead.as_str()), vec!["ravi@example.com".to_owned()]));
    assert!(mail.html.contains("href=\"http"), "the mail has a link: {}", mail.html);

    let receipt = until("the function has logged", async || receipts(&stack).await.pop()).await;
    let receipt: InvitationId = receipt.parse().unwrap();
    let deployed = Place::Local(stack.ministack().url()).stack().await.unwrap();
    let timeline = until("the timeline ends", async || {
        let explanation = explain::look_up(&deployed, receipt, OffsetDateTime::now_utc()).await.unwrap();
        let timeline = explain::timeline(&explanation, receipt, OffsetDateTime::now_utc());
        timeline.contains("done: invited").then_some(timeline)
    });
    let timeline = timeline.await;
    let accepted = "CrmEventFunction: invitation accepted, source crm, rule application opened";
    assert!(timeline.contains(accepted), "{timeline}");
    stack.shutdown().await;
}
