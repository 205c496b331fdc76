//! What the tests of the functions share: the built binaries, and an AWS account each on one MiniStack.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PutRequest, ScalarAttributeType,
    WriteRequest,
};
use aws_sdk_sqs::{
    config::Credentials,
    operation::receive_message::builders::ReceiveMessageFluentBuilder,
    types::{Message, MessageSystemAttributeName, QueueAttributeName},
};
use local_stack::{functions, ministack::MiniStack, steps::Steps};
use serde_json::{Map, Value, json};
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::template::STACK;

const REGION: &str = "us-east-1";

/// What outlives a single test runs here: a test's own runtime ends with it.
static SHARED: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts")
});

/// The built binary of a function.
pub(crate) async fn binary(function: &str) -> &'static Path {
    // Kept with its failure, or every test would try again what cannot work.
    static BINARIES: OnceCell<Result<BTreeMap<String, PathBuf>, String>> = OnceCell::const_new();
    let binaries = BINARIES.get_or_init(|| async {
        let building = SHARED.spawn(async { functions::build(&Steps::shown()).await });
        building.await.unwrap().map_err(|error| format!("{error:#}"))
    });
    let binaries = binaries.await.as_ref().unwrap_or_else(|error| panic!("{error}"));
    binaries.get(function).unwrap_or_else(|| panic!("there is no function {function}"))
}

async fn ministack() -> &'static MiniStack {
    static MINISTACK: OnceCell<Result<MiniStack, String>> = OnceCell::const_new();
    let started = MINISTACK.get_or_init(|| async {
        let starting = SHARED.spawn(async { MiniStack::start_open(&Steps::shown()).await });
        starting.await.unwrap().map_err(|error| format!("{error:#}"))
    });
    started.await.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// An AWS account that one test has to itself.
pub(crate) struct Aws {
    account: String,
    endpoint: String,
    config: SdkConfig,
    sqs: aws_sdk_sqs::Client,
}

impl Aws {
    pub(crate) async fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(100_000_000_000);
        // MiniStack takes a 12-digit access key id for the account's number.
        Self::at(ministack().await, LAST.fetch_add(1, Ordering::Relaxed).to_string()).await
    }

    /// The account that a whole stack is deployed to.
    pub(crate) async fn of(ministack: &MiniStack) -> Self {
        Self::at(ministack, "test".to_owned()).await
    }

    async fn at(ministack: &MiniStack, account: String) -> Self {
        let endpoint = ministack.url();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(&endpoint)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(&account, "secret", None, None, "test"))
            .load()
            .await;
        let sqs = aws_sdk_sqs::Client::new(&config);
        Self { account, endpoint, config, sqs }
    }

    /// What Lambda would set so that a function's SDK finds this account.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", self.account.as_str()),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL", &self.endpoint),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// Every queue there is.
    pub(crate) async fn queues(&self) -> Vec<Queue> {
        let urls = self.sqs.list_queues().send().await.unwrap().queue_urls.unwrap_or_default();
        urls.into_iter().map(|url| Queue { url, sqs: self.sqs.clone() }).collect()
    }

    /// A new FIFO queue with the settings of the template's.
    pub(crate) async fn queue(&self, name: &str) -> Queue {
        let attributes = [
            (QueueAttributeName::FifoQueue, "true"),
            (QueueAttributeName::DeduplicationScope, "messageGroup"),
            (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
            (QueueAttributeName::VisibilityTimeout, "360"),
        ];
        let created = self
            .sqs
            .create_queue()
            .queue_name(format!("{name}.fifo"))
            .set_attributes(Some(attributes.map(|(name, value)| (name, value.to_owned())).into()));
        let url = created.send().await.unwrap().queue_url.expect("a queue has a URL");
        Queue { url, sqs: self.sqs.clone() }
    }

    /// A new table keyed like the template's ledger; its name.
    pub(crate) async fn table(&self) -> String {
        self.table_named("ledger").await
    }

    /// A new table of this name, keyed like the template's ledger.
    pub(crate) async fn table_named(&self, name: &str) -> String {
        let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap();
        let text = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
        let table = self.dynamodb().create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        table.key_schema(key).attribute_definitions(text.build().unwrap()).send().await.unwrap();
        name.to_owned()
    }

    /// How an operator of this account reaches it.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Puts items into a table, many at a time.
    pub(crate) async fn put_items(&self, table: &str, items: Vec<HashMap<String, AttributeValue>>) {
        const AT_A_TIME: usize = 25;
        for some in items.chunks(AT_A_TIME) {
            let put = |item: &HashMap<_, _>| PutRequest::builder().set_item(Some(item.clone())).build().unwrap();
            let puts = some.iter().map(|item| WriteRequest::builder().put_request(put(item)).build()).collect();
            self.dynamodb().batch_write_item().request_items(table, puts).send().await.unwrap();
        }
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// A new secret with this text; its ARN.
    pub(crate) async fn secret(&self, text: &str) -> String {
        let created = self.secrets_manager().create_secret().name("keys").secret_string(text).send();
        created.await.unwrap().arn.expect("a secret has an ARN")
    }

    pub(crate) async fn change_secret(&self, arn: &str, text: &str) {
        self.secrets_manager().put_secret_value().secret_id(arn).secret_string(text).send().await.unwrap();
    }

    /// A new KMS key; its ARN.
    pub(crate) async fn key(&self) -> String {
        let created = aws_sdk_kms::Client::new(&self.config).create_key().send().await.unwrap();
        created.key_metadata.and_then(|key| key.arn).expect("a key has an ARN")
    }

    fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }
}

/// A table of one's own, and what keeps things in it.
pub(crate) struct Table<T> {
    pub(crate) aws: Aws,
    pub(crate) name: String,
    pub(crate) store: T,
}

impl<T> Table<T> {
    pub(crate) async fn of(open: impl FnOnce(aws_sdk_dynamodb::Client, String) -> T) -> Self {
        let aws = Aws::new().await;
        let name = aws.table().await;
        Self { store: open(aws.dynamodb(), name.clone()), aws, name }
    }
}

/// An SQS queue.
pub(crate) struct Queue {
    pub(crate) url: String,
    sqs: aws_sdk_sqs::Client,
}

impl Queue {
    pub(crate) async fn send(&self, body: &str, group: &str, deduplication_id: &str) {
        let message = self.sqs.send_message().queue_url(&self.url).message_body(body);
        message.message_group_id(group).message_deduplication_id(deduplication_id).send().await.unwrap();
    }

    /// Takes one message, which may still be on its way back to the queue.
    pub(crate) async fn next(&self) -> Message {
        const LONGEST_WAIT: Duration = Duration::from_secs(60);
        let began = Instant::now();
        while began.elapsed() < LONGEST_WAIT {
            let received = self.request_messages(1).wait_time_seconds(1).send().await.unwrap();
            if let Some(message) = received.messages.unwrap_or_default().pop() {
                return message;
            }
        }
        panic!("no message within {LONGEST_WAIT:?}");
    }

    pub(crate) async fn delete(&self, message: &Message) {
        let receipt = message.receipt_handle.clone().expect("a received message has a receipt handle");
        self.sqs.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await.unwrap();
    }

    /// Takes all messages off the queue.
    pub(crate) async fn drain(&self) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let batch = self.request_messages(10).send().await.unwrap().messages.unwrap_or_default();
            if batch.is_empty() {
                return all;
            }
            for message in &batch {
                self.delete(message).await;
            }
            all.extend(batch);
        }
    }

    fn request_messages(&self, at_most: i32) -> ReceiveMessageFluentBuilder {
        let request = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(at_most);
        request.message_system_attribute_names(MessageSystemAttributeName::All).message_attribute_names("All")
    }

    pub(crate) async fn remove(self) {
        self.sqs.delete_queue().queue_url(self.url).send().await.unwrap();
    }
}

/// The metrics among a function's lines, each as name, dimensions and value: `("Outcomes", "outcome=invited", 1)`.
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
                "QueueAge" | "WaitingAge" => "Seconds",
                "AllowanceWait" => "Milliseconds",
                _ => "Count",
            };
            assert_eq!(metric["Unit"], unit, "{metric}");
            found.push((name.to_owned(), dimensions.join(" "), document[name].clone()));
        }
    }
    found
}

/// The event that Lambda makes of received messages.
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
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:000000000000:invitations.fifo"),
            "awsRegion": REGION,
        })
    };
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
}
