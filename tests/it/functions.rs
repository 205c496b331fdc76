//! The built functions: their binaries, their sample events, and what they print.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aws_sdk_sqs::types::Message;
use local_stack::{functions, steps::Steps};
use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestRunner},
};
use runtime_api::{Function, FunctionError};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use crate::{aws, template::STACK, workspace};

/// The built binary of a function.
pub(crate) async fn binary(function: &str) -> &'static Path {
    // A failed build is kept as well: no other test tries it again.
    static BINARIES: OnceCell<Result<BTreeMap<String, PathBuf>, String>> = OnceCell::const_new();
    let binaries = BINARIES.get_or_init(|| async {
        let building = aws::SHARED.spawn(async { functions::build(&Steps::shown()).await });
        building.await.unwrap().map_err(|error| format!("{error:#}"))
    });
    let binaries = binaries.await.as_ref().unwrap_or_else(|error| panic!("{error}"));
    binaries.get(function).unwrap_or_else(|| panic!("there is no function {function}"))
}

/// Starts a function with exactly this environment.
pub(crate) async fn start(function: &str, environment: Vec<(String, String)>) -> Result<Function, FunctionError> {
    Function::start(binary(function).await, environment).await
}

/// What a function reports that must not start: the message of its failed initialisation.
pub(crate) fn failed_start(started: Result<Function, FunctionError>) -> String {
    match started {
        Err(FunctionError::Init { message }) => message,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the function starts with a broken setting"),
    }
}

/// A sample event of a function, by its file in `events/<function>/`.
pub(crate) fn sample(function: &str, file: &str) -> Value {
    let (_, event) = workspace::events(function).into_iter().find(|(name, _)| name == file).unwrap_or_else(|| {
        panic!("there is no events/{function}/{file}");
    });
    serde_json::from_slice(&event).unwrap()
}

/// The event that Lambda makes of messages received from SQS.
pub(crate) fn sqs_event(messages: &[Message]) -> Value {
    let record = |message: &Message| {
        let attributes: Map<_, _> = (message.attributes.iter().flatten())
            .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
            .collect();
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": attributes,
            "messageAttributes": {},
            "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{}:000000000000:invitations.fifo", aws::REGION),
            "awsRegion": aws::REGION,
        })
    };
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
}

/// The metrics that a function printed, each as name, dimensions and value: `("Outcomes", "outcome=invited", 1)`.
pub(crate) fn metrics(printed: &str) -> Vec<(String, String, Value)> {
    let documents = printed.lines().filter(|line| line.contains("\"_aws\""));
    let documents = documents.map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    let mut found = Vec::new();
    for document in documents {
        let [directive] = &document["_aws"]["CloudWatchMetrics"].as_array().unwrap()[..] else { panic!("{document}") };
        assert_eq!(directive["Namespace"], STACK);
        let names = directive["Dimensions"][0].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let dimensions: Vec<_> = names.map(|name| format!("{name}={}", document[name].as_str().unwrap())).collect();
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            let unit = match name {
                "QueueAge" | "WaitingAge" | "QuestionAge" => "Seconds",
                "AllowanceWait" => "Milliseconds",
                _ => "Count",
            };
            assert_eq!(metric["Unit"], unit, "{metric}");
            found.push((name.to_owned(), dimensions.join(" "), document[name].clone()));
        }
    }
    found
}

/// How many values of a metric a function printed, whatever their dimensions.
pub(crate) fn count_of(printed: &str, metric: &str) -> usize {
    metrics(printed).iter().filter(|(name, ..)| name == metric).count()
}

/// The log lines of level ERROR.
pub(crate) fn errors(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect()
}

/// Runs a property test on so many generated inputs.
pub(crate) fn for_all<S: Strategy>(cases: u32, inputs: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(inputs, test).unwrap_or_else(|error| panic!("{error}"));
}
