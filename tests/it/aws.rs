//! An AWS account for each test: its queues, tables, secrets and keys, on one MiniStack that all tests share.

use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use aws::SdkConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PutRequest, ScalarAttributeType,
    WriteRequest,
};
use aws_sdk_sqs::{
    operation::receive_message::builders::ReceiveMessageFluentBuilder,
    types::{Message, MessageSystemAttributeName, QueueAttributeName},
};
use local_stack::{ministack::MiniStack, steps::Steps};
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::waiting;

pub(crate) const REGION: &str = "us-east-1";

/// Runs what several tests share; the runtime of a single test ends with it.
pub(crate) static SHARED: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts")
});

async fn ministack() -> &'static MiniStack {
    static MINISTACK: OnceCell<Result<MiniStack, String>> = OnceCell::const_new();
    let started = MINISTACK.get_or_init(|| async {
        let starting = SHARED.spawn(async { MiniStack::start_open(&Steps::shown()).await });
        starting.await.unwrap().map_err(|error| format!("{error:#}"))
    });
    started.await.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// An AWS account of one test.
pub(crate) struct Aws {
    account: String,
    endpoint: String,
    config: SdkConfig,
    sqs: aws_sdk_sqs::Client,
}

impl Aws {
    pub(crate) async fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(100_000_000_000);
        // MiniStack reads an access key id of 12 digits as the account's number.
        Self::at(ministack().await, LAST.fetch_add(1, Ordering::Relaxed).to_string()).await
    }

    /// The account that a whole stack is deployed to.
    pub(crate) async fn of(ministack: &MiniStack) -> Self {
        Self::at(ministack, "test".to_owned()).await
    }

    async fn at(ministack: &MiniStack, account: String) -> Self {
        let endpoint = ministack.url();
        let config = aws::local_config(&endpoint, &account);
        let sqs = aws_sdk_sqs::Client::new(&config);
        Self { account, endpoint, config, sqs }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The variables by which a function's AWS SDK finds this account.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", self.account.as_str()),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL", &self.endpoint),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// Every queue of the account.
    pub(crate) async fn queues(&self) -> Vec<Queue> {
        let urls = self.sqs.list_queues().send().await.unwrap().queue_urls.unwrap_or_default();
        urls.into_iter().map(|url| Queue { url, sqs: self.sqs.clone() }).collect()
    }

    /// A new FIFO queue with the settings of the template's invitation queue.
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

    /// A new table with the key of the template's ledger; returns its name.
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

    /// The configuration of an SDK client of this account.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Writes items to a table in batches.
    pub(crate) async fn put_items(&self, table: &str, items: Vec<HashMap<String, AttributeValue>>) {
        const LARGEST_BATCH: usize = 25;
        for batch in items.chunks(LARGEST_BATCH) {
            let put = |item: &HashMap<_, _>| PutRequest::builder().set_item(Some(item.clone())).build().unwrap();
            let puts = batch.iter().map(|item| WriteRequest::builder().put_request(put(item)).build()).collect();
            self.dynamodb().batch_write_item().request_items(table, puts).send().await.unwrap();
        }
    }

    /// All items of a table.
    pub(crate) async fn items(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self.dynamodb().scan().table_name(table).consistent_read(true).into_paginator().items();
        scan.send().try_collect().await.unwrap()
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// A new secret with this text; returns its ARN.
    pub(crate) async fn secret(&self, text: &str) -> String {
        let created = self.secrets_manager().create_secret().name("keys").secret_string(text).send();
        created.await.unwrap().arn.expect("a secret has an ARN")
    }

    pub(crate) async fn change_secret(&self, arn: &str, text: &str) {
        self.secrets_manager().put_secret_value().secret_id(arn).secret_string(text).send().await.unwrap();
    }

    /// A new KMS key; returns its ARN.
    pub(crate) async fn key(&self) -> String {
        let created = aws_sdk_kms::Client::new(&self.config).create_key().send().await.unwrap();
        created.key_metadata.and_then(|key| key.arn).expect("a key has an ARN")
    }

    fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }
}

/// A new table in an account of its own, and the code under test that stores items in it.
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

    /// Receives one message. Waits for it: a message that failed becomes visible again only after its time-out.
    pub(crate) async fn next(&self) -> Message {
        let received = async || {
            let request = self.request_messages(1).wait_time_seconds(1);
            request.send().await.unwrap().messages.unwrap_or_default().pop()
        };
        waiting::poll("a message is on the queue", received).await
    }

    pub(crate) async fn delete(&self, message: &Message) {
        let receipt = message.receipt_handle.clone().expect("a received message has a receipt handle");
        self.sqs.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await.unwrap();
    }

    /// Receives and deletes all messages.
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
