//! The whole system on a local stack: many applicants at once, and what an operator does with the dead letters.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_sqs::types::MessageSystemAttributeName;
use leadsquared_emulator::{Call, Effect, Fault, Limit, LimitRefusal};
use local_stack::{
    LocalStack, Options,
    burst::{self, Trouble},
    steps::Steps,
};
use onboarding::InvitationId;
use operator::{
    Stack, StackLocation,
    dead_letters::{self, DeadLetterFilter, Found},
    explain,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{aws::Aws, waiting::poll_until};

/// The calls of LeadSquared's largest plan, in a fifth of its window.
const LIMIT: Limit = Limit { calls: 25, window: Duration::from_secs(1), refusal: LimitRefusal::TooManyRequests };

/// The report of `burst --json`.
async fn burst(people: usize, trouble: Trouble, options: Options) -> Value {
    let stack = LocalStack::start(Options { limit: LIMIT, ..options }).await.unwrap();
    let report = burst::run(&stack, people, trouble, &Steps::hidden()).await;
    stack.shutdown().await;
    let report = report.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(report.broken_promises(), Vec::<String>::new(), "{report}");
    serde_json::to_value(&report).unwrap()
}

#[tokio::test]
async fn every_applicant_of_a_burst_is_registered_and_mailed_once_within_the_call_allowance() {
    let report = burst(24, Trouble::None, Options::default()).await;
    for (name, expected) in [
        ("people", json!(24)),
        ("accepted", json!(24)),
        ("registered", json!(24)),
        ("mailed", json!(24)),
        ("lost", json!(0)),
        ("duplicates", json!(0)),
        ("allowance", json!(25)),
        ("calls_per_person", json!(2.0)),
    ] {
        assert_eq!(report[name], expected, "{name} of {report}");
    }
    let (fastest, took) = (report["theoretical_seconds"].as_f64().unwrap(), report["seconds"].as_f64().unwrap());
    assert!(fastest >= 24.0 * 2.0 / 25.0 && took > fastest - LIMIT.window.as_secs_f64(), "{report}");
}

#[tokio::test]
async fn faults_and_killed_workers_lose_and_duplicate_no_registration() {
    // Short enough that the messages of a killed worker are delivered again within the test.
    let properties = BTreeMap::from([
        ("InvitationFunction", json!({"Timeout": 20})),
        ("Invitations", json!({"VisibilityTimeout": 20})),
    ]);
    let report = burst(24, Trouble::ExceptMails, Options { properties, ..Options::default() }).await;
    assert_eq!([&report["accepted"], &report["registered"], &report["mailed"]], [24, 24, 24], "{report}");
    assert!(report["calls_per_person"].as_f64().unwrap() > 2.0, "nothing went wrong: {report}");
}

/// A stack with three applicants that LeadSquared refused.
struct Refused {
    stack: LocalStack,
    deployed: Stack,
}

impl Refused {
    async fn new() -> Self {
        let stack = LocalStack::start(Options { limit: LIMIT, ..Options::default() }).await.unwrap();
        let body =
            json!({"Status": "Error", "ExceptionType": "MXInvalidInputException", "ExceptionMessage": "Not this one."});
        let refusal =
            Effect::Answer { status: 500, content_type: "application/json".to_owned(), body: body.to_string() };
        stack.emulator().faults().add(Fault::on(Call::Register, refusal));
        let report = burst::run(&stack, 3, Trouble::None, &Steps::hidden()).await.unwrap();
        assert_eq!((report.mailed, report.lost, report.further.dead_lettered), (0, 0, 3), "{report}");
        stack.emulator().faults().clear();
        let deployed = StackLocation::Local(stack.ministack().url()).stack().await.unwrap();
        Self { stack, deployed }
    }

    async fn list(&self) -> Found {
        dead_letters::list(&self.deployed).await.unwrap()
    }

    async fn put_back(&self, choice: DeadLetterFilter) -> Found {
        dead_letters::put_back(&self.deployed, &choice, OffsetDateTime::now_utc()).await.unwrap()
    }

    async fn explain(&self, receipt: InvitationId) -> String {
        let explanation = explain::look_up(&self.deployed, receipt, OffsetDateTime::now_utc()).await.unwrap();
        explain::timeline(&explanation, receipt, OffsetDateTime::now_utc())
    }

    /// Puts the messages of all dead letters back without deleting the dead letters, as a killed program may.
    async fn put_back_half(&self) {
        let sqs = aws_sdk_sqs::Client::new(Aws::of(self.stack.ministack()).await.config());
        let receive = sqs.receive_message().queue_url(self.stack.output("DeadLettersQueueUrl").unwrap());
        let receive = receive.max_number_of_messages(10).visibility_timeout(0);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let letters = receive.send().await.unwrap().messages.unwrap_or_default();
        assert_eq!(letters.len(), 3);
        for letter in letters {
            let send = sqs.send_message().queue_url(self.stack.output("InvitationsQueueUrl").unwrap());
            let group = &letter.attributes.unwrap()[&MessageSystemAttributeName::MessageGroupId];
            let send = send.message_group_id(group).message_body(letter.body.unwrap());
            let id = format!("put-back-{}", letter.message_id.unwrap());
            send.message_deduplication_id(id).send().await.unwrap();
        }
    }

    /// Waits until the queues are empty; returns how many invitations have ended since the start.
    async fn ended(&self) -> usize {
        poll_until("the queues are empty", async || self.stack.is_drained().await.unwrap()).await;
        let log = self.stack.logs().lines("InvitationFunction").await.unwrap();
        log.iter().filter(|line| line.contains("invitation ended")).count()
    }
}

#[tokio::test]
async fn dead_letters_are_listed_explained_and_put_back_with_one_effect_each() {
    let refused = Refused::new().await;
    let found = refused.list().await;
    assert_eq!((found.letters.len(), found.out_of_sight), (3, 0));
    for letter in &found.letters {
        let (class, cause) = (letter.class.as_str(), letter.cause.as_str());
        assert_eq!((class, cause), ("rejected", "refused: MXInvalidInputException"));
    }
    let table = dead_letters::table(&found, OffsetDateTime::now_utc());
    assert!(table.contains("     3  rejected") && table.contains("MXInvalidInputException"), "{table}");
    assert_eq!(refused.list().await.letters.len(), 3, "listing does not delete them");

    let receipt = found.letters[0].receipt.unwrap();
    let text = refused.explain(receipt).await;
    let parts = ["invitation accepted", "dead-lettered: rejected", "outcome rejected", "Mail      not sent"];
    for (one, next) in parts.iter().zip(&parts[1..]) {
        let places = [one, next].map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is missing: {text}")));
        assert!(places[0] < places[1], "{text}");
    }
    assert!(text.contains("Now       among the dead letters for"), "{text}");
    assert!(!text.contains("example.com") && !text.contains("Person"), "{text}");

    let other = DeadLetterFilter { cause: Some("mail-unknown".to_owned()), ..DeadLetterFilter::default() };
    let none = refused.put_back(other).await;
    assert_eq!((none.letters.len(), none.kept), (0, 3));

    refused.put_back_half().await;
    let one = refused.put_back(DeadLetterFilter { receipt: Some(receipt), ..DeadLetterFilter::default() }).await;
    assert_eq!((one.letters.len(), one.kept), (1, 2));
    let rest =
        refused.put_back(DeadLetterFilter { class: Some("rejected".to_owned()), ..DeadLetterFilter::default() }).await;
    assert_eq!((rest.letters.len(), rest.kept), (2, 0));
    assert_eq!(refused.put_back(DeadLetterFilter::default()).await.letters.len(), 0);

    assert_eq!(refused.ended().await, 6, "each applicant was refused once and invited once");
    assert_eq!(refused.stack.emulator().mails().len(), 3);
    let text = refused.explain(receipt).await;
    assert!(text.contains("outcome invited") && text.ends_with("Now       done: invited\n"), "{text}");
    assert_eq!(dead_letters::table(&refused.list().await, OffsetDateTime::now_utc()), "There are no dead letters.\n");
    let unknown = "4b9d1c6e-58a2-8f7b-9f0e-3c2d1a0b9e8f".parse().unwrap();
    let unknown = explain::look_up(&refused.deployed, unknown, OffsetDateTime::now_utc()).await;
    assert!(unknown.unwrap_err().to_string().starts_with("nothing is known of 4b9d1c6e-"));
    refused.stack.shutdown().await;
}

#[tokio::test]
async fn a_command_without_a_running_stack_says_so() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = StackLocation::Local(format!("http://{unused}")).stack().await.unwrap_err();
    assert!(error.to_string().contains("is `cargo run` running"), "{error}");
}
