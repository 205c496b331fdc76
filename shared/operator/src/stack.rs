//! A deployed stack: its table, its queue and its parameters, found by its name.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use aws::SdkConfig;
use aws_config::Region;
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use ledger::Ledger;
use queue::Invitations;

use crate::OperatorError;

/// The longest that one call to AWS may take. An operator waits longer than an applicant.
const CALL_TIME: Duration = Duration::from_secs(30);

/// How AWS is reached: at this address, or the one of the account and the region that the environment names.
pub async fn configuration_of(endpoint: Option<&str>) -> SdkConfig {
    let Some(endpoint) = endpoint else { return aws::config_within(CALL_TIME).await };
    let local = aws_config::ConfigLoader::default()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "the local stack"));
    local.load().await
}

/// A deployed stack.
#[derive(Clone, Debug)]
pub struct Stack {
    pub(crate) ledger: Ledger,
    pub(crate) invitations: Invitations,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
    parameters: Parameters,
}

/// The values of a stack's parameters, by name.
#[derive(Clone, Debug, Default)]
pub struct Parameters(BTreeMap<String, String>);

impl Stack {
    /// The stack with this name.
    ///
    /// # Errors
    /// When CloudFormation does not know it, or it has no ledger and no queue.
    pub async fn named(name: &str, config: &SdkConfig) -> Result<Self, OperatorError> {
        let no_stack = |cause| OperatorError::Stack { name: name.to_owned(), cause };
        let describe = aws_sdk_cloudformation::Client::new(config).describe_stacks().stack_name(name).send();
        let described = describe.await.map_err(|error| no_stack(aws::cause(&error)))?.stacks.unwrap_or_default();
        let described = described.into_iter().next().ok_or_else(|| no_stack("there is no such stack".to_owned()))?;
        let output = |wanted: &'static str| {
            let value = described.outputs().iter().find(|output| output.output_key() == Some(wanted));
            let value = value.and_then(|output| output.output_value()).map(str::to_owned);
            value.ok_or(OperatorError::Output { name: name.to_owned(), output: wanted })
        };
        let parameters = described.parameters().iter();
        let parameters =
            parameters.filter_map(|one| Some((one.parameter_key()?.to_owned(), one.parameter_value()?.to_owned())));
        Ok(Self::new(config, output("LedgerTable")?, output("InvitationsQueueUrl")?, parameters.collect()))
    }

    /// A stack with this table and this queue.
    pub fn new(config: &SdkConfig, table: String, queue_url: String, parameters: Parameters) -> Self {
        let sqs = aws_sdk_sqs::Client::new(config);
        Self {
            ledger: Ledger::new(aws_sdk_dynamodb::Client::new(config), table),
            invitations: Invitations::new(sqs.clone(), queue_url.clone()),
            sqs,
            queue_url,
            parameters,
        }
    }

    /// Its parameters' values.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// How many invitations are on the queue that no worker has tried yet, about.
    pub(crate) async fn untried(&self) -> Result<u64, OperatorError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let ask = self.sqs.get_queue_attributes().queue_url(&self.queue_url).attribute_names(name.clone());
        let answer = ask.send().await.map_err(|error| OperatorError::QueueLength(aws::cause(&error)))?;
        let count = answer.attributes().and_then(|attributes| attributes.get(&name)?.parse().ok());
        count.ok_or_else(|| OperatorError::QueueLength("no number in the answer".to_owned()))
    }
}

impl Parameters {
    /// The text of a parameter, which an older template need not have.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The number that a parameter holds; this one where it holds none.
    pub(crate) fn number<N: FromStr>(&self, name: &str, otherwise: N) -> N {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
    }
}

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
