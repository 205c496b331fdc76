//! A deployed stack, found by its name: its table, its queues, its functions and its parameters.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use aws::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use ledger::Ledger;
use queue::Invitations;

use crate::OperatorError;

/// The time-out of one call to AWS. It is longer than in the functions, because an operator can wait longer than an
/// applicant.
const CALL_TIME: Duration = Duration::from_secs(30);

/// The stack's name on a local AWS endpoint.
const LOCAL_NAME: &str = "applicant-onboarding";

/// Where a stack is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackLocation {
    /// On the local AWS endpoint at this URL.
    Local(String),
    /// On AWS, under this stack name. Account and region are those of the AWS CLI.
    Aws(String),
}

impl StackLocation {
    /// Looks up the stack in CloudFormation.
    ///
    /// # Errors
    /// When CloudFormation does not describe it, or it is a stack of other software.
    pub async fn stack(&self) -> Result<Stack, OperatorError> {
        let (name, config) = match self {
            Self::Local(url) => (LOCAL_NAME, aws::local_config(url, "test")),
            Self::Aws(name) => (name.as_str(), configuration().await),
        };
        let failed = |cause| OperatorError::Stack { name: name.to_owned(), cause, advice: self.advice() };
        let describe = aws_sdk_cloudformation::Client::new(&config).describe_stacks().stack_name(name);
        let described = describe.send().await.map_err(|error| failed(aws::cause(&error)))?;
        let described = described.stacks.unwrap_or_default().into_iter().next();
        let described = described.ok_or_else(|| failed("no such stack".to_owned()))?;
        let outputs = described.outputs().iter().filter_map(|one| {
            let (name, value) = (one.output_key()?, one.output_value()?);
            Some((name.to_owned(), value.to_owned()))
        });
        let parameters = described.parameters().iter().filter_map(|one| {
            let (name, value) = (one.parameter_key()?, one.parameter_value()?);
            Some((name.to_owned(), value.to_owned()))
        });
        Stack::new(name, &config, outputs.collect(), parameters.collect())
    }

    fn advice(&self) -> String {
        match self {
            Self::Local(url) => format!("is `cargo run` running, with AWS at {url}?"),
            Self::Aws(_) => "check the stack's name, the region and the credentials. With single sign-on, run \
                             `eval \"$(aws configure export-credentials --format env)\"` first"
                .to_owned(),
        }
    }
}

/// The configuration that the AWS CLI would use.
async fn configuration() -> SdkConfig {
    let client = aws::http_client(CALL_TIME / 3).expect("a client without more certificates can be built");
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(CALL_TIME / 2).operation_timeout(CALL_TIME);
    let config = aws_config::from_env().http_client(client).retry_config(aws::retries());
    config.timeout_config(timeouts.build()).load().await
}

/// A deployed stack.
#[derive(Clone, Debug)]
pub struct Stack {
    pub(crate) name: String,
    pub(crate) config: SdkConfig,
    pub(crate) ledger: Ledger,
    pub(crate) invitations: Invitations,
    pub(crate) sqs: aws_sdk_sqs::Client,
    outputs: BTreeMap<String, String>,
    parameters: Parameters,
}

/// A Lambda function of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeployedFunction {
    /// Its name in Lambda.
    pub(crate) name: String,
    /// Its log group.
    pub(crate) log_group: String,
}

/// The values of a stack's parameters, by name.
#[derive(Clone, Debug, Default)]
pub struct Parameters(BTreeMap<String, String>);

impl Stack {
    /// A stack with these outputs and parameters.
    ///
    /// # Errors
    /// When the outputs name no table and no queue of invitations.
    pub fn new(
        name: &str,
        config: &SdkConfig,
        outputs: BTreeMap<String, String>,
        parameters: Parameters,
    ) -> Result<Self, OperatorError> {
        let sqs = aws_sdk_sqs::Client::new(config);
        let table = output(name, &outputs, "LedgerTable")?.to_owned();
        let queue = output(name, &outputs, "InvitationsQueueUrl")?.to_owned();
        Ok(Self {
            name: name.to_owned(),
            config: config.clone(),
            ledger: Ledger::new(aws_sdk_dynamodb::Client::new(config), table),
            invitations: Invitations::new(sqs.clone(), queue),
            sqs,
            outputs,
            parameters,
        })
    }

    /// An output of the stack, such as `LedgerTable`.
    pub(crate) fn output(&self, wanted: &str) -> Result<&str, OperatorError> {
        output(&self.name, &self.outputs, wanted)
    }

    /// The values of its parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its Lambda functions, by their names in the template.
    pub(crate) async fn functions(&self) -> Result<BTreeMap<String, DeployedFunction>, OperatorError> {
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let mut pages = client.list_stack_resources().stack_name(&self.name).into_paginator().items().send();
        let (mut functions, mut log_groups) = (BTreeMap::new(), BTreeMap::new());
        while let Some(resource) = pages.next().await {
            let resource = resource.map_err(OperatorError::call("cloudformation:ListStackResources"))?;
            let (Some(logical), Some(physical)) = (resource.logical_resource_id(), resource.physical_resource_id())
            else {
                continue;
            };
            let resources = match resource.resource_type() {
                Some("AWS::Lambda::Function") => &mut functions,
                Some("AWS::Logs::LogGroup") => &mut log_groups,
                _ => continue,
            };
            resources.insert(logical.to_owned(), physical.to_owned());
        }
        let deployed = functions.into_iter().map(|(logical, name)| {
            // In old stacks, a function may have no log group in the template. It then logs to the group that Lambda
            // creates.
            let log_group = log_groups.remove(&format!("{logical}Logs"));
            let log_group = log_group.unwrap_or_else(|| format!("/aws/lambda/{name}"));
            (logical, DeployedFunction { name, log_group })
        });
        Ok(deployed.collect())
    }

    /// The approximate number of messages of these kinds on a queue.
    pub(crate) async fn count_messages(
        &self,
        queue_url: &str,
        kinds: &[QueueAttributeName],
    ) -> Result<u64, OperatorError> {
        const ACTION: &str = "sqs:GetQueueAttributes";
        let ask = self.sqs.get_queue_attributes().queue_url(queue_url).set_attribute_names(Some(kinds.to_vec()));
        let answer = ask.send().await.map_err(OperatorError::call(ACTION))?;
        let count = |kind| answer.attributes()?.get(kind)?.parse::<u64>().ok();
        let counts: Option<Vec<_>> = kinds.iter().map(count).collect();
        let counts = counts.ok_or_else(|| OperatorError::Call { action: ACTION, cause: "no number".to_owned() })?;
        Ok(counts.into_iter().sum())
    }
}

fn output<'a>(stack: &str, outputs: &'a BTreeMap<String, String>, wanted: &str) -> Result<&'a str, OperatorError> {
    let missing = || OperatorError::Missing { name: stack.to_owned(), wanted: format!("output {wanted}") };
    outputs.get(wanted).map(String::as_str).ok_or_else(missing)
}

impl Parameters {
    /// The text of a parameter. A stack of an older template may not have it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a number parameter, or this default.
    pub(crate) fn number<N: FromStr>(&self, name: &str, default: N) -> N {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
