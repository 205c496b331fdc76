//! Asking a deployed stack, on this machine or on AWS: through boto3, or with the crate `operator`.

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::python;
use crate::steps::Steps;

const PROGRAM: &str = include_str!("../python/operate.py");

/// The name that the local stack deploys under.
const LOCAL_STACK: &str = "applicant-onboarding";

/// Where a stack is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the MiniStack at this URL.
    Here(String),
    /// On AWS, under this stack name; account and region are those that the AWS CLI would use.
    Aws(String),
}

impl Place {
    /// The stack, as the commands see it that speak with AWS themselves.
    pub(crate) async fn stack(&self) -> anyhow::Result<operator::Stack> {
        let (endpoint, name) = self.endpoint_and_name();
        let stack = operator::Stack::named(name, &operator::configuration_of(endpoint).await).await;
        stack.with_context(|| match endpoint {
            Some(url) => format!("{url} did not do what was asked; is `cargo run` running?"),
            None => {
                "AWS did not do what was asked; check the stack's name, the region and the credentials. With single \
                     sign-on, run `eval \"$(aws configure export-credentials --format env)\"` first"
                    .to_owned()
            }
        })
    }

    fn endpoint_and_name(&self) -> (Option<&str>, &str) {
        match self {
            Self::Here(url) => (Some(url.as_str()), LOCAL_STACK),
            Self::Aws(name) => (None, name.as_str()),
        }
    }

    /// Puts a question to the stack.
    ///
    /// # Errors
    /// When Python or boto3 cannot be had, or the stack does not answer: says what to check.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        ask: &'static str,
        details: impl Serialize,
        steps: &Steps,
    ) -> anyhow::Result<A> {
        #[derive(Serialize)]
        struct Request<'a, D> {
            endpoint: Option<&'a str>,
            stack: &'a str,
            ask: &'static str,
            #[serde(flatten)]
            details: D,
        }
        let (endpoint, stack) = self.endpoint_and_name();
        let mut step = steps.begin("Python environment");
        let python = python::environment(&crate::home(), &mut step).await?;
        step.done();
        python::ask(&python, PROGRAM, &Request { endpoint, stack, ask, details }).await
    }
}
