//! Every message that a queue can hold.

use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use aws_sdk_sqs::types::Message;
use leadsquared::{Attributes, EmailAddress};
use onboarding::{
    Action, Invitation, InvitationId, Invitee, Outcome, Provenance, Rejection, RuleQuestion, SealedPassword, Source,
    worker::{DeadLetterReason, REDUCED},
};
use queue::{DeadLetters, Invitations, MessageDelivery};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::datetime};

use super::{assert_is_sample, samples};
use crate::aws::Aws;

const AT: OffsetDateTime = datetime!(2026-11-22 09:30:00 UTC);

fn asha() -> Invitee {
    Invitee::Email("asha.rao@example.com".parse().unwrap())
}

fn lead() -> Invitee {
    Invitee::Lead("5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44".parse().unwrap())
}

fn typed() -> Attributes {
    Attributes::new().with("FirstName", "Asha").with("LastName", "Rao").with("Phone", "+91-9000000001")
}

fn invitation(number: u8, source: Source, invitee: Invitee, action: Action) -> Invitation {
    Invitation::new(InvitationId::of([&b"sample"[..], &[number]]), source, AT, invitee, action)
}

fn sealed_password() -> Option<SealedPassword> {
    // A ciphertext of KMS. Only the KMS key can decrypt it.
    Some(SealedPassword::from("AQICAHh0ZXN0LWtleS1mb3Itc2FtcGxlcy1vbmx5".to_owned()))
}

/// The messages that the current code writes, by the name of their sample.
fn written() -> Vec<(&'static str, Invitation)> {
    use Action::{Activity, Invite, MailLink};
    use Source::{Bus, Crm, Form, LinkRequest};
    let known = Attributes::new().with("ProspectStage", "Applied").with("mx_Program", "");
    let question = Some(RuleQuestion { rules: vec!["stage".to_owned(), "program".to_owned()], known });
    let form = Some("law".to_owned());
    vec![
        ("v2-form", Invitation { attributes: typed(), ..invitation(1, Form, asha(), Invite) }),
        (
            "v2-form-with-password",
            Invitation { attributes: typed(), password: sealed_password(), ..invitation(2, Form, asha(), Invite) },
        ),
        ("v2-crm", Invitation { rule: Some("application-open".to_owned()), ..invitation(3, Crm, lead(), Invite) }),
        ("v2-crm-mail-link", invitation(4, Crm, lead(), MailLink)),
        ("v2-bus", Invitation { attributes: typed(), ..invitation(5, Bus, asha(), Invite) }),
        ("v2-bus-of-a-lead", invitation(6, Bus, lead(), Invite)),
        ("v2-bus-mail-link", invitation(7, Bus, lead(), MailLink)),
        ("v2-link-request", invitation(8, LinkRequest, asha(), MailLink)),
        ("v2-link-request-of-a-lead", invitation(9, LinkRequest, lead(), MailLink)),
        (
            "v3-link-request-after-used-links",
            Invitation { used_links: 2, ..invitation(20, LinkRequest, lead(), MailLink) },
        ),
        (
            "v3-form-keyed",
            Invitation {
                attributes: typed(),
                provenance: Provenance::Keyed,
                password: sealed_password(),
                form: form.clone(),
                language: Some("hi".to_owned()),
                ..invitation(10, Form, asha(), Invite)
            },
        ),
        ("v3-form-public", Invitation { attributes: typed(), form, ..invitation(11, Form, asha(), Invite) }),
        ("v3-bus-for-a-portal", Invitation { portal: Some("law".to_owned()), ..invitation(12, Bus, asha(), Invite) }),
        ("v3-crm-with-a-question", Invitation { question, ..invitation(13, Crm, lead(), Invite) }),
        (
            "v3-form-activity",
            Invitation {
                attributes: Attributes::new().with("mx_Custom_1", "scholarship\u{ffff}"),
                ..invitation(14, Form, asha(), Activity)
            },
        ),
    ]
}

/// The messages that only earlier versions wrote.
fn written_before() -> Vec<(&'static str, Invitation)> {
    let form = |number| Invitation { attributes: typed(), ..invitation(number, Source::Form, asha(), Action::Invite) };
    let (_, question_before) = written().into_iter().find(|(name, _)| *name == "v3-crm-with-a-question").unwrap();
    // The domain as it was typed.
    let email = EmailAddress::try_from("asha@bücher.example".to_owned()).unwrap();
    vec![
        ("v1-form", form(15)),
        // In its person's group.
        ("v3-crm-with-a-question-among-others", question_before),
        ("v1-form-with-password", Invitation { password: sealed_password(), ..form(16) }),
        ("v2-form-of-an-international-domain", Invitation { invitee: Invitee::Email(email), ..form(21) }),
    ]
}

/// A message as a worker or an operator receives it, without SQS's data about the delivery.
fn json_of(message: &Message) -> Value {
    let of_sender = ["MessageGroupId", "MessageDeduplicationId"];
    let attributes: Map<_, _> = (message.attributes.iter().flatten())
        .filter(|(name, _)| of_sender.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
        .collect();
    let written: Map<_, _> = (message.message_attributes.iter().flatten())
        .map(|(name, value)| {
            (name.clone(), json!({ "DataType": value.data_type(), "StringValue": value.string_value() }))
        })
        .collect();
    json!({ "Body": message.body, "Attributes": attributes, "MessageAttributes": written })
}

fn body(sample: &Value) -> &str {
    sample["Body"].as_str().unwrap()
}

#[tokio::test]
async fn a_sent_invitation_is_its_sample() {
    let aws = Aws::new().await;
    let queue = aws.queue("invitations").await;
    let invitations = Invitations::new(aws_sdk_sqs::Client::new(aws.config()), queue.url.clone());
    for (name, invitation) in written() {
        invitations.send(&invitation).await.unwrap();
        let message = queue.next().await;
        assert_is_sample(&format!("queue/{name}"), &json_of(&message));
        queue.delete(&message).await;
    }
}

#[test]
fn every_message_of_every_version_is_read() {
    let all = [written(), written_before()].concat();
    let samples = samples("queue");
    let names: BTreeSet<_> = samples.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, all.iter().map(|(name, _)| *name).collect(), "samples (left) and what they mean (right)");
    for (name, invitation) in &all {
        let (_, sample) = samples.iter().find(|(other, _)| other == name).unwrap();
        assert_eq!(Invitation::decode(body(sample)).as_ref(), Ok(invitation), "{name}");
        let version = serde_json::from_str::<Value>(body(sample)).unwrap()["version"].as_u64().unwrap();
        assert!(name.starts_with(&format!("v{version}-")), "{name} is of version {version}");
        let group = match &**name {
            "v3-crm-with-a-question-among-others" => invitation.person().as_str().to_owned(),
            _ => invitation.message_group(),
        };
        assert_eq!(sample["Attributes"]["MessageGroupId"], group, "{name}");
    }
}

/// The enumerated values of a message, with their numbers. A new variant does not compile here until it has a number,
/// and it needs a sample.
fn words(invitation: &Invitation) -> Vec<(&'static str, usize)> {
    let Invitation {
        id: _,
        source,
        received_at: _,
        invitee,
        action,
        attributes,
        password,
        rule,
        provenance,
        form,
        portal,
        language,
        question,
        used_links,
    } = invitation;
    let mut words = vec![
        match source {
            Source::Form => ("source", 0),
            Source::Crm => ("source", 1),
            Source::Bus => ("source", 2),
            Source::LinkRequest => ("source", 3),
        },
        match invitee {
            Invitee::Email(_) => ("whom", 0),
            Invitee::Lead(_) => ("whom", 1),
        },
        match action {
            Action::Invite => ("action", 0),
            Action::MailLink => ("action", 1),
            Action::Activity => ("action", 2),
        },
        match provenance {
            Provenance::Public => ("provenance", 0),
            Provenance::Keyed => ("provenance", 1),
            Provenance::System => ("provenance", 2),
        },
    ];
    for (name, is_there) in [
        ("attributes", attributes.iter().next().is_some()),
        ("password", password.is_some()),
        ("used_links", *used_links > 0),
        ("rule", rule.is_some()),
        ("form", form.is_some()),
        ("portal", portal.is_some()),
        ("language", language.is_some()),
        ("question", question.is_some()),
    ] {
        words.push((name, usize::from(is_there)));
    }
    words
}

#[test]
fn every_kind_of_message_has_a_sample() {
    let said: BTreeSet<_> = written().iter().flat_map(|(_, invitation)| words(invitation)).collect();
    let kinds = [("source", 4), ("whom", 2), ("action", 3), ("provenance", 3)];
    let present = ["attributes", "password", "used_links", "rule", "form", "portal", "language", "question"]
        .map(|name| (name, 2));
    let all = kinds.into_iter().chain(present).flat_map(|(name, count)| (0..count).map(move |number| (name, number)));
    assert_eq!(said, all.collect());
}

/// The dead letters that the functions write.
fn dead_letters() -> Vec<(&'static str, String, Option<InvitationId>, DeadLetterReason)> {
    let (_, form) = written().remove(0);
    let (text, receipt) = (form.encode(), Some(form.id));
    let rejected = Outcome::Rejected(Rejection::Refused { exception_type: "MXInvalidInputException".to_owned() });
    let exhausted = Outcome::Exhausted { cause: "LeadSquared timed out".to_owned() };
    let of_outcome = |outcome: &Outcome| DeadLetterReason {
        class: outcome.name(),
        cause: outcome.cause().unwrap().into_owned(),
        receipt,
    };
    let reduced = DeadLetterReason { class: REDUCED, cause: "not in LeadSquared: FirstName".to_owned(), receipt };
    let malformed = |cause: String| DeadLetterReason { class: "malformed", cause, receipt: None };
    let broken = r#"{"version":2,"id":"not-an-id"}"#.to_owned();
    let newer = text.replace(r#""version":2"#, r#""version":4"#);
    let cause = |text: &str| Invitation::decode(text).unwrap_err().to_string();
    let event = json!({
        "version": "0", "id": "7bf73129-1428-4cd3-a780-95db273d1602", "detail-type": "ApplicationSubmitted",
        "source": "shop", "account": "123456789012", "time": "2026-11-22T09:30:00Z", "region": "ap-south-1",
        "resources": [], "detail": { "version": "1", "email": "asha.rao@" },
    });
    vec![
        ("rejected", text.clone(), receipt, of_outcome(&rejected)),
        ("exhausted", text.clone(), receipt, of_outcome(&exhausted)),
        ("reduced", text, receipt, reduced),
        ("malformed", broken.clone(), None, malformed(cause(&broken))),
        ("newer-version", newer.clone(), receipt, malformed(cause(&newer))),
        ("refused-event", event.to_string(), None, malformed("email: not an e-mail address".to_owned())),
    ]
}

/// The dead letters that AWS writes: SQS for a message that it delivered too often; Lambda, EventBridge and SNS for an
/// event that they could not deliver. They are written by hand from the pages that
/// `shared/operator/src/dead_letters/letter.rs` names.
const BY_AWS: [&str; 4] = ["by-event-bridge", "by-lambda", "by-sns", "by-sqs"];

#[tokio::test]
async fn a_dead_letter_is_its_sample() {
    let aws = Aws::new().await;
    let queue = aws.queue("dead-letters").await;
    let sent_to = DeadLetters::new(aws_sdk_sqs::Client::new(aws.config()), queue.url.clone());
    let mut names: BTreeSet<_> = BY_AWS.map(str::to_owned).into();
    for (name, body, receipt, reason) in dead_letters() {
        let id = InvitationId::of([&b"message"[..], name.as_bytes()]).to_string();
        let group = receipt.map_or(id.clone(), |_| written()[0].1.person().as_str().to_owned());
        let sent_at = Some(UNIX_EPOCH + Duration::from_secs(AT.unix_timestamp().unsigned_abs()));
        let delivery = MessageDelivery {
            message_id: &id,
            body: &body,
            receive_count: 3,
            sent_at,
            has_own_group: false,
            first_received_at: sent_at,
            receipt_handle: "",
            group: &group,
            trace: "",
        };
        sent_to.send(&delivery, &reason).await.unwrap();
        let message = queue.next().await;
        assert_is_sample(&format!("dead-letters/{name}"), &json_of(&message));
        queue.delete(&message).await;
        names.insert(name.to_owned());
    }
    let there: BTreeSet<_> = samples("dead-letters").into_iter().map(|(name, _)| name).collect();
    assert_eq!(there, names, "samples (left) and dead letters (right)");
}

#[test]
fn a_dead_letter_that_is_put_back_is_the_invitation_it_was() {
    let (_, form) = written().remove(0);
    for (name, sample) in samples("dead-letters") {
        let decoded = Invitation::decode(body(&sample)).ok();
        let is_invitation = ["rejected", "exhausted", "reduced", "by-sqs"].contains(&&*name);
        assert_eq!(decoded, is_invitation.then(|| form.clone()), "{name}");
    }
}
