//! The sandbox of a function that calls LeadSquared: an AWS account with queues, ledger and secret, and an emulated
//! LeadSquared account whose keys the secret holds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Mutex,
};

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared_emulator::{Call, Emulator, Role, Settings};
use runtime_api::{Function, FunctionError};
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    aws::{Aws, Queue},
    functions,
    samples::assert_have_samples,
    template::Template,
};

/// The sandbox of one test, with what the tests of one function add to it.
pub(crate) struct Sandbox<T> {
    pub(crate) aws: Aws,
    pub(crate) emulator: Emulator,
    pub(crate) invitations: Queue,
    pub(crate) dead_letters: Queue,
    /// Name of the table.
    pub(crate) ledger: String,
    /// ARN of the secret.
    pub(crate) secret: String,
    pub(crate) extras: T,
    /// The calls that LeadSquared permits in a window, as a setting.
    allowance: String,
    /// The keys of the items that the test wrote itself.
    planted: Mutex<BTreeSet<String>>,
}

impl<T> Sandbox<T> {
    /// A new sandbox with an emulated LeadSquared account of these settings.
    pub(crate) async fn open(settings: Settings, extras: T) -> Self {
        let aws = Aws::new().await;
        let allowance = settings.limit.calls.to_string();
        let emulator = Emulator::start(settings).await.unwrap();
        let invitations = aws.queue("invitations").await;
        let dead_letters = aws.queue("dead-letters").await;
        let ledger = aws.table().await;
        let secret = aws.secret(&keys(&emulator.keys())).await;
        Self { aws, emulator, invitations, dead_letters, ledger, secret, extras, allowance, planted: Mutex::default() }
    }

    /// The same sandbox with other extras.
    pub(crate) fn with_extras<U>(self, extras: U) -> Sandbox<U> {
        let Self { aws, emulator, invitations, dead_letters, ledger, secret, extras: _, allowance, planted } = self;
        Sandbox { aws, emulator, invitations, dead_letters, ledger, secret, extras, allowance, planted }
    }

    /// A function's environment: the template's defaults, the resources of the sandbox, and these settings instead of
    /// either.
    pub(crate) fn environment(&self, function: &str, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let url = self.emulator.url();
        let (portal_id, portal_page) = (self.emulator.portal_id(), self.emulator.portal_page_url());
        let template = Template::read();
        let mut settings = BTreeMap::from([
            ("INVITATIONS_QUEUE_URL", self.invitations.url.as_str()),
            ("DEAD_LETTERS_QUEUE_URL", &self.dead_letters.url),
            ("LEDGER_TABLE", &self.ledger),
            ("ALLOWANCE_CALLS", &self.allowance),
            ("LEADSQUARED_KEYS_SECRET", &self.secret),
            ("LEADSQUARED_API_URL", url.as_str()),
            ("LEADSQUARED_PORTAL_API_URL", url.as_str()),
            ("PORTAL_ID", &portal_id),
            ("PORTAL_URL", portal_page.as_str()),
        ]);
        settings.retain(|name, _| template.gives(function, name));
        settings.extend(changes.iter().copied());
        let mut environment = template.settings(function, &Vec::from_iter(settings));
        environment.extend(self.aws.environment());
        environment
    }

    /// Starts a function with this environment.
    pub(crate) async fn start_function(
        &self,
        function: &str,
        changes: &[(&str, &str)],
    ) -> Result<Function, FunctionError> {
        functions::start(function, self.environment(function, changes)).await
    }

    /// Gives the administrators of the LeadSquared account new keys, and puts them into the secret.
    pub(crate) async fn rotate_keys(&self) {
        self.emulator.change_users(|users| {
            for user in users.iter_mut().filter(|user| user.role == Role::Administrator) {
                user.secret_key = user.secret_key.chars().rev().collect();
            }
        });
        self.put_keys(&keys(&self.emulator.keys())).await;
    }

    /// Uses up the look-ups that decide rules, of this day and of a day that begins within a minute.
    pub(crate) async fn use_up_lookups(&self, now: OffsetDateTime) {
        for day in [now, now + time::Duration::MINUTE].map(OffsetDateTime::date) {
            let used_up = AttributeValue::N("1000000".to_owned());
            self.put(&format!("rule-lookups#{day}"), &[("count", used_up)]).await;
        }
    }

    pub(crate) async fn put_keys(&self, text: &str) {
        self.aws.change_secret(&self.secret, text).await;
    }

    pub(crate) fn calls_to(&self, call: Call) -> usize {
        self.emulator.calls().iter().filter(|arrived| arrived.call == Some(call)).count()
    }

    /// All items of the ledger. Fails for an item that a function made and of which `events/ledger` has no sample.
    pub(crate) async fn items(&self) -> Vec<HashMap<String, AttributeValue>> {
        let items = self.aws.items(&self.ledger).await;
        let planted = self.planted.lock().unwrap();
        assert_have_samples(items.iter().filter(|item| !planted.contains(item["pk"].as_s().unwrap())));
        items
    }

    /// All items of the ledger as one text, to search for secrets.
    pub(crate) async fn kept(&self) -> String {
        format!("{:?}", self.items().await)
    }

    /// Writes an item to the ledger, such as one of an earlier version.
    pub(crate) async fn put(&self, pk: &str, attributes: &[(&str, AttributeValue)]) {
        let mut item = HashMap::from([("pk".to_owned(), AttributeValue::S(pk.to_owned()))]);
        item.extend(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.put_item(item).await;
    }

    /// The same with all its attributes.
    pub(crate) async fn put_item(&self, item: HashMap<String, AttributeValue>) {
        self.planted.lock().unwrap().insert(item["pk"].as_s().unwrap().clone());
        self.aws.put_items(&self.ledger, vec![item]).await;
    }

    /// Changes one attribute of an item of the ledger, or creates the item with it.
    pub(crate) async fn set(&self, pk: &str, name: &str, value: AttributeValue) {
        let update = self.aws.dynamodb().update_item().table_name(&self.ledger);
        let update = update.key("pk", AttributeValue::S(pk.to_owned())).update_expression("SET #name = :value");
        let update = update.expression_attribute_names("#name", name).expression_attribute_values(":value", value);
        update.send().await.unwrap();
    }
}

/// The secret's text for an access key and a secret key.
pub(crate) fn keys((access_key, secret_key): &(String, String)) -> String {
    json!({ "accessKey": access_key, "secretKey": secret_key }).to_string()
}
