//! How many calls to LeadSquared and AWS each path of an invitation takes, as the table in the function's README says.

use std::{
    collections::BTreeMap,
    slice::from_ref,
    sync::{Arc, Mutex},
};

use axum::response::Response;
use leadsquared::Password;
use ledger::ItemType;
use onboarding::{InvitationId, PersonKey, retry::MAKES_WAY_AT};
use password_sealing::Sealer;

use super::*;
use crate::readme;

/// LeadSquared's answer to the registration of a lead that exists, or whose phone number another lead has.
const LEAD_EXISTS: &str =
    r#"{"Status":"Error","ExceptionType":"MXException","ExceptionMessage":"User already exists"}"#;

/// A started worker whose calls are counted.
struct Counted {
    sandbox: Sandbox,
    function: Function,
    /// The operations of AWS that were called.
    operations: Arc<Mutex<Vec<String>>>,
    _proxy: Server,
}

/// The calls of one delivery, as two cells of the table: LeadSquared's in their order, then those of AWS by name.
type Calls = [String; 2];

/// A write that reserves slots of calls to LeadSquared. The table does not list them.
const SLOT: &str = "slot";

impl Counted {
    /// A worker that has its keys and tokens.
    async fn start(link_mode: &str, changes: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new().await;
        let operations = Arc::new(Mutex::new(Vec::new()));
        let record = operations.clone();
        let intercept = move |call: aws_endpoint::Call| {
            let is_slot = call.contains(&format!("{}#", ItemType::Allowance.prefix()));
            record.lock().unwrap().push(if is_slot { SLOT.to_owned() } else { call.operation });
            ready(None::<Response>)
        };
        let proxy = aws_endpoint::proxy(&sandbox.aws, intercept).await;
        let settings = [&[("LINK_MODE", link_mode)][..], changes].concat();
        let mut environment = sandbox.environment("invitation", &settings);
        environment.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
        environment.push(("AWS_ENDPOINT_URL".to_owned(), proxy.url.clone()));
        let function = functions::start("invitation", environment).await.unwrap();
        let counted = Self { sandbox, function, operations, _proxy: proxy };
        counted.sandbox.warm_up(&counted.function).await;
        counted
    }

    /// The calls that a delivery of this message takes. The message stays in the queue.
    async fn of(&self, message: &Message) -> Calls {
        let before = self.sandbox.emulator.calls().len();
        self.operations.lock().unwrap().clear();
        self.function.invoke(&sqs_event(from_ref(message)), TIMEOUT).await.unwrap();
        let arrived = self.sandbox.emulator.calls();
        let calls: Vec<_> =
            arrived[before..].iter().map(|arrived| format!("`{:?}`", arrived.call.expect("a known call"))).collect();
        let mut by_operation = BTreeMap::<_, usize>::new();
        for operation in self.operations.lock().unwrap().iter() {
            *by_operation.entry(operation.clone()).or_default() += 1;
        }
        // A slot takes a second write if it is no longer free at the first. A registration's reserves the next one too.
        let slots = by_operation.remove(SLOT).unwrap_or_default();
        let registrations = calls.iter().filter(|call| **call == format!("`{:?}`", Call::Register)).count();
        assert!(slots >= calls.len() - registrations.min(calls.len() / 2), "{slots} writes for {} calls", calls.len());
        // A search for a refused value takes seconds: on a busy machine a slot of it comes late, and the call books
        // another.
        let is_search = registrations > 2;
        assert!(is_search || slots <= 2 * calls.len(), "{slots} writes for {} calls", calls.len());
        let operations: Vec<_> = by_operation.iter().map(|(name, count)| format!("{count} `{name}`")).collect();
        let or_none = |list: String| if list.is_empty() { "none".to_owned() } else { list };
        [or_none(calls.join(", ")), or_none(operations.join(", "))]
    }

    /// The calls of a new message with this body.
    async fn of_new(&self, body: &str) -> Calls {
        let message = self.sandbox.queue(body, &next_id()).await;
        let calls = self.of(&message).await;
        self.sandbox.invitations.delete(&message).await;
        calls
    }

    /// The next call of this kind is answered so.
    fn answer_once(&self, call: Call, effect: Effect) {
        self.sandbox.emulator.faults().add(Fault::on(call, effect).times(1));
    }

    /// This person got this many mails, ten minutes ago.
    async fn was_mailed(&self, email: &str, mails: usize) {
        let at = AttributeValue::N((OffsetDateTime::now_utc().unix_timestamp() - 600).to_string());
        let invitation = AttributeValue::S("7f2a1c9e-4b0d-8c6e-9a31-5d2e8f604b17".to_owned());
        let mail = [("at".to_owned(), at.clone()), ("invitation".to_owned(), invitation)];
        let begun = AttributeValue::L(vec![AttributeValue::M(mail.into()); mails]);
        let person = ItemType::Person.prefix();
        let pk = format!("{person}#{}", PersonKey::of(&email.parse().unwrap()).as_str());
        let version = AttributeValue::N("1".to_owned());
        self.sandbox.put(&pk, &[("begun", begun), ("mailed_at", at), ("version", version)]).await;
    }
}

/// A request of this moment about this person or lead.
fn request(action: &str, invitee: (&str, &str)) -> String {
    let received_at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    let request = json!({
        "version": 2, "id": next_id(), "source": "crm", "received_at": received_at, "action": action,
        invitee.0: invitee.1, "attributes": [],
    });
    request.to_string()
}

/// A message whose id no other message of the test has.
fn with_new_id((message, id): (String, String)) -> String {
    message.replace(&id, &next_id())
}

#[tokio::test]
async fn each_path_of_an_invitation_takes_the_documented_calls() {
    let rules = r#"[{"name": "active", "on": "lead-change", "field": "ProspectStage", "to": "Applied", "action": "invite",
        "when": [{"field": "mx_City", "is-not": "Pune"}]}]"#;
    let on_click = Counted::start("on-click", &[("CRM_RULES", rules), ("MAILS_PER_HOUR", "2")]).await;
    let direct = Counted::start("direct", &[]).await;
    let lead = |email: &str, city: &str| {
        on_click.sandbox.emulator.add_lead(&[("EmailAddress", email), ("mx_City", city)]).unwrap()
    };
    let of_rule = lead("rule@example.com", "");
    let (active, moved) = (lead("active@example.com", ""), lead("moved@example.com", "Pune"));
    lead("known@example.com", "");
    lead("reader@example.com", "");
    let no_address = on_click.sandbox.emulator.add_lead(&[("Phone", "+91-9000000001")]).unwrap();
    direct.sandbox.emulator.add_lead(&[("EmailAddress", "known@example.com")]).unwrap();
    on_click.was_mailed("capped@example.com", 2).await;
    direct.was_mailed("asha@example.com", 1).await;
    let mut found = Vec::new();
    let mut row = |path: &str, [leadsquared, aws]: Calls| found.push(vec![path.to_owned(), leadsquared, aws]);

    row("a new person", on_click.of_new(&invitation("new@example.com")).await);
    row("the same, direct link", direct.of_new(&invitation("new@example.com")).await);
    row("a known person", on_click.of_new(&invitation("known@example.com")).await);
    row("the same, direct link, no portal user yet", direct.of_new(&invitation("known@example.com")).await);
    row("the same, direct link, a portal user", direct.of_new(&request("invite", ("email", "asha@example.com"))).await);
    row("a lead that a rule invites", on_click.of_new(&request("invite", ("lead", &of_rule))).await);
    row("a lead without an e-mail address", on_click.of_new(&request("invite", ("lead", &no_address))).await);
    let registered = on_click.sandbox.emulator.lead_by_email("new@example.com").unwrap().id;
    row("an echo of the function's own registration", on_click.of_new(&request("invite", ("lead", &registered))).await);
    row("an undecided rule that applies", on_click.of_new(&with_new_id(undecided(1, &active))).await);
    row("an undecided rule that does not apply", on_click.of_new(&with_new_id(undecided(2, &moved))).await);
    row("a request for a link", on_click.of_new(&request("mail-link", ("email", "reader@example.com"))).await);
    row("the same by a stranger", on_click.of_new(&request("mail-link", ("email", "stranger@example.com"))).await);

    let twice = on_click.sandbox.queue(&invitation("twice@example.com"), "twice").await;
    on_click.of(&twice).await;
    row("a message that is delivered again", on_click.of(&twice).await);
    row("a person who was mailed a moment ago", on_click.of_new(&invitation("twice@example.com")).await);
    row(
        "a person who got all mails of the hour",
        on_click.of_new(&request("invite", ("email", "capped@example.com"))).await,
    );

    let body = REFUSAL.replace("c4nary is no option of City", "Invalid value for mx_City");
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body };
    on_click.answer_once(Call::Register, refusal);
    row("a field that LeadSquared refuses", on_click.of_new(&invitation("field@example.com")).await);
    let lost = on_click.sandbox.queue(&invitation("lost@example.com"), "lost").await;
    on_click.answer_once(Call::Register, Effect::gateway(502));
    row("a registration with an unknown result", on_click.of(&lost).await);
    row("its next attempt", on_click.of(&lost).await);
    on_click.sandbox.invitations.delete(&lost).await;
    let matched = Effect::Answer { status: 500, content_type: "application/json".into(), body: LEAD_EXISTS.into() };
    on_click.answer_once(Call::Register, matched);
    let mut of_family: Value = serde_json::from_str(&invitation("family@example.com")).unwrap();
    of_family["attributes"] = json!([{"name": "Phone", "value": "+91-9000000002"}]);
    row("a phone number that another lead has", on_click.of_new(&of_family.to_string()).await);

    let blocked = Fault::everywhere(Effect::gateway(403)).with_content("<svg");
    on_click.sandbox.emulator.faults().add(blocked);
    let mut text: Value = serde_json::from_str(&invitation("essay@example.com")).unwrap();
    text["attributes"][2]["value"] = json!("<svg c4nary>");
    let essay = on_click.sandbox.queue(&text.to_string(), "essay").await;
    on_click.of(&essay).await;
    on_click.sandbox.record(&essay, "suspected", AttributeValue::Bool(true)).await;
    row("a text that a firewall blocks, once it is suspected", on_click.of(&essay).await);
    on_click.sandbox.invitations.delete(&essay).await;
    text["id"] = json!(next_id());
    text["email"] = json!("svg@example.com");
    text["attributes"][2] = json!({"name": "Phone", "value": "<svg c4nary>"});
    let given_up = on_click.sandbox.queue(&text.to_string(), "svg").await;
    on_click.of(&given_up).await;
    on_click.sandbox.record(&given_up, "suspected", AttributeValue::Bool(true)).await;
    on_click.sandbox.record(&given_up, "failed_alone", AttributeValue::N("5".to_owned())).await;
    on_click.sandbox.date_back(&given_up, "failed_since", time::Duration::minutes(16)).await;
    on_click.of_new(&invitation("others@example.com")).await;
    row("an identifier that a firewall blocks, at the last attempt", on_click.of(&given_up).await);
    on_click.sandbox.invitations.delete(&given_up).await;

    let unsubscribed = [("EmailAddress", "unsubscribed@example.com"), ("DoNotEmail", "1")];
    on_click.sandbox.emulator.add_lead(&unsubscribed).unwrap();
    row("a person who wants no mail", on_click.of_new(&invitation("unsubscribed@example.com")).await);
    let undelivered = on_click.sandbox.queue(&invitation("undelivered@example.com"), "undelivered").await;
    let body = r#"{"Status":"Error","ExceptionType":"MXMailDeliveryException","ExceptionMessage":"Not delivered"}"#;
    let refusal = || Effect::Answer { status: 500, content_type: "application/json".into(), body: body.into() };
    on_click.answer_once(Call::SendEmailToLead, refusal());
    row("a mail that LeadSquared does not deliver", on_click.of(&undelivered).await);
    on_click.sandbox.record(&undelivered, "mail_refusals", AttributeValue::N("2".to_owned())).await;
    on_click.sandbox.date_back(&undelivered, "mail_refused_since", time::Duration::minutes(61)).await;
    on_click.of_new(&invitation("delivered@example.com")).await;
    on_click.answer_once(Call::SendEmailToLead, refusal());
    row("its last attempt, an hour later", on_click.of(&undelivered).await);
    on_click.sandbox.invitations.delete(&undelivered).await;
    let unknown = on_click.sandbox.queue(&invitation("unknown@example.com"), "unknown").await;
    on_click.answer_once(Call::SendEmailToLead, Effect::gateway(502));
    row("a mail with an unknown result", on_click.of(&unknown).await);
    row("its next attempt", on_click.of(&unknown).await);

    // A value somewhere: LeadSquared names no field.
    let refusal = r#"{"Status":"Error","ExceptionType":"MXXSSException","ExceptionMessage":"Not permitted"}"#;
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body: refusal.into() };
    on_click.sandbox.emulator.faults().add(Fault::on(Call::Register, refusal.clone()).with_content("<b>"));
    on_click.sandbox.emulator.faults().add(Fault::on(Call::Register, refusal).with_content("c4nary chess"));
    let of_values = |email: &str, values: [&str; 3]| {
        let mut form: Value = serde_json::from_str(&invitation(email)).unwrap();
        let fields = ["FirstName", "LastName", "mx_City"].into_iter().zip(values);
        let fields = fields.map(|(name, value)| json!({"name": name, "value": value}));
        form["attributes"] = fields.collect();
        form
    };
    let value = of_values("value@example.com", ["<b>Asha", "Rao", "Pune"]);
    row("a value that LeadSquared refuses", on_click.of_new(&value.to_string()).await);
    let values = of_values("values@example.com", ["<b>Asha", "Rao", "<b>Pune"]);
    row("two values that LeadSquared refuses", on_click.of_new(&values.to_string()).await);
    let in_notes = of_values("notes@example.com", ["Asha", "c4nary chess", "Pune"]);
    row("a value that LeadSquared refuses in the notes too", on_click.of_new(&in_notes.to_string()).await);
    let aws = &on_click.sandbox.aws;
    let sealer = Sealer::new(aws_sdk_kms::Client::new(aws.config()), aws.key().await);
    let with_password = request("invite", ("email", "password@example.com"));
    let mut with_password: Value = serde_json::from_str(&with_password).unwrap();
    let receipt: InvitationId = with_password["id"].as_str().unwrap().parse().unwrap();
    let sealed = sealer.seal(receipt, &Password::from("c4nary Password 1")).await.unwrap();
    with_password["password"] = json!(sealed.expose());
    with_password["provenance"] = json!("keyed");
    row("a chosen password", on_click.of_new(&with_password.to_string()).await);
    let waiting = on_click.sandbox.queue(&invitation("waiting@example.com"), "waiting").await;
    on_click.answer_once(Call::Register, Effect::gateway(502));
    on_click.of(&waiting).await;
    on_click.sandbox.record(&waiting, "calls", AttributeValue::N("4".to_owned())).await;
    row("an attempt that waits because of the calls before it", on_click.of(&waiting).await);
    on_click.sandbox.invitations.delete(&waiting).await;

    let mut unanswered = on_click.sandbox.queue(&invitation("unanswered@example.com"), "unanswered").await;
    let half_an_hour_ago = (OffsetDateTime::now_utc() - MAKES_WAY_AT).unix_timestamp() * 1000;
    let attributes = unanswered.attributes.as_mut().unwrap();
    attributes.insert(MessageSystemAttributeName::SentTimestamp, half_an_hour_ago.to_string());
    on_click.answer_once(Call::Register, Effect::gateway(502));
    row("a message that LeadSquared has not answered for half an hour", on_click.of(&unanswered).await);
    on_click.sandbox.invitations.delete(&unanswered).await;
    assert_eq!(on_click.sandbox.invitations.drain().await.len(), 1, "it has made way");

    let essay = PersonKey::of(&"essay@example.com".parse().unwrap());
    let ten_minutes_ago = AttributeValue::N((OffsetDateTime::now_utc().unix_timestamp() - 600).to_string());
    let pk = format!("{}#{}", ItemType::Person.prefix(), essay.as_str());
    on_click.sandbox.set(&pk, "mailed_at", ten_minutes_ago).await;
    on_click.sandbox.set(&pk, "begun", AttributeValue::L(Vec::new())).await;
    let mut own: Value = serde_json::from_str(&invitation("essay@example.com")).unwrap();
    own["received_at"] = json!(OffsetDateTime::now_utc().format(&Rfc3339).unwrap());
    row("a form behind a reduced one", on_click.of_new(&own.to_string()).await);
    on_click.sandbox.emulator.faults().add(Fault::everywhere(Effect::gateway(403)).with_content("blocked@"));
    let blocked = on_click.sandbox.queue(&request("mail-link", ("email", "blocked@example.com")), "blocked").await;
    row("a request for a link with an address that a firewall blocks", on_click.of(&blocked).await);
    on_click.sandbox.invitations.delete(&blocked).await;
    let day = OffsetDateTime::now_utc().date();
    let used_up = [("count", AttributeValue::N("1000000".to_owned()))];
    on_click.sandbox.put(&format!("{}#{day}", ItemType::RuleLookups.prefix()), &used_up).await;
    let question = on_click.sandbox.queue(&with_new_id(undecided(3, &active)), "question").await;
    row("a question without a look-up left", on_click.of(&question).await);
    on_click.sandbox.invitations.delete(&question).await;

    let lines = |rows: &[Vec<String>]| rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect::<String>();
    let (documented, found) =
        (lines(&readme::table("functions/invitation/README.md", "Calls of each path")), lines(&found));
    assert!(documented == found, "the README says:\n{documented}\nthe function does:\n{found}");
    on_click.sandbox.finish(on_click.function).await;
    direct.sandbox.finish(direct.function).await;
}
