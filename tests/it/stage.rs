//! What functions that call LeadSquared work with: an AWS account with its queues and its table, and a LeadSquared account
//! whose keys lie in its secret.

use std::collections::BTreeMap;

use leadsquared_emulator::{Call, Emulator, Role, Settings};
use serde_json::json;

use crate::{
    fixtures::{self, Aws, Queue},
    runtime_api::{Function, FunctionError},
    samples::assert_have_samples,
    template::Template,
};

/// The stage, and what the tests of one function have on it besides.
pub(crate) struct Stage<T> {
    pub(crate) aws: Aws,
    pub(crate) emulator: Emulator,
    pub(crate) invitations: Queue,
    pub(crate) dead_letters: Queue,
    pub(crate) ledger: String,
    /// The ARN of the secret.
    pub(crate) secret: String,
    pub(crate) props: T,
    /// How many calls the LeadSquared account permits.
    allowance: String,
}

impl<T> Stage<T> {
    /// A stage of one's own, with a LeadSquared account of these settings.
    pub(crate) async fn set(settings: Settings, props: T) -> Self {
        let aws = Aws::new().await;
        let allowance = settings.limit.calls.to_string();
        let emulator = Emulator::start(settings).await.unwrap();
        let invitations = aws.queue("invitations").await;
        let dead_letters = aws.queue("dead-letters").await;
        let ledger = aws.table().await;
        let secret = aws.secret(&keys(&emulator.keys())).await;
        Self { aws, emulator, invitations, dead_letters, ledger, secret, props, allowance }
    }

    /// The same with other props.
    pub(crate) fn furnished<U>(self, props: U) -> Stage<U> {
        let Self { aws, emulator, invitations, dead_letters, ledger, secret, props: _, allowance } = self;
        Stage { aws, emulator, invitations, dead_letters, ledger, secret, props, allowance }
    }

    /// A function's environment: what is on the stage and the template's defaults, and these settings instead of either.
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
        Function::start(fixtures::binary(function).await, self.environment(function, changes)).await
    }

    /// Gives the administrators new keys, and the secret those that are used.
    pub(crate) async fn rotate_keys(&self) {
        self.emulator.change_users(|users| {
            for user in users.iter_mut().filter(|user| user.role == Role::Administrator) {
                user.secret_key = user.secret_key.chars().rev().collect();
            }
        });
        self.put_keys(&keys(&self.emulator.keys())).await;
    }

    pub(crate) async fn put_keys(&self, text: &str) {
        self.aws.change_secret(&self.secret, text).await;
    }

    pub(crate) fn calls_to(&self, call: Call) -> usize {
        self.emulator.calls().iter().filter(|arrived| arrived.call == Some(call)).count()
    }

    /// All that is in the table; there are samples of everything in it.
    pub(crate) async fn kept(&self) -> String {
        let scan = self.aws.dynamodb().scan().table_name(&self.ledger).consistent_read(true).send().await.unwrap();
        assert_have_samples(scan.items());
        format!("{:?}", scan.items())
    }
}

/// Keys as they lie in the secret.
pub(crate) fn keys((access_key, secret_key): &(String, String)) -> String {
    json!({ "accessKey": access_key, "secretKey": secret_key }).to_string()
}
