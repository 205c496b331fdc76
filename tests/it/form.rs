//! The `application-form` function with the template's form.

use std::time::Duration;

use runtime_api::{Function, FunctionError};

use crate::{
    aws::{Aws, Queue},
    functions,
    http::{Answer, FORM_KEY_HASH, Request},
    template::Template,
};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const THANK_YOU: &str = "https://www.example.com/thank-you";

/// The function with the template's form, and its queue.
pub(crate) struct Form {
    pub(crate) function: Function,
    pub(crate) queue: Queue,
}

impl Form {
    pub(crate) async fn start() -> Self {
        let aws = Aws::new().await;
        let queue = aws.queue("invitations").await;
        Self { function: start(&aws, &queue.url).await.unwrap(), queue }
    }

    pub(crate) async fn post(&self, request: Request<'_>) -> Answer {
        post(&self.function, request).await
    }
}

/// Starts the function with caps that the many forms of one person here do not reach.
pub(crate) async fn start(aws: &Aws, queue_url: &str) -> Result<Function, FunctionError> {
    let table = aws.table().await;
    let limits = r#"{"person_and_network":100,"mailbox":100}"#;
    let settings = [
        ("INVITATIONS_QUEUE_URL", queue_url),
        ("THANK_YOU_URL", THANK_YOU),
        ("LEDGER_TABLE", &table),
        ("INTAKE_LIMITS", limits),
        ("FORM_KEY_HASHES", FORM_KEY_HASH),
    ];
    let mut environment = Template::read().settings("application-form", &settings);
    environment.extend(aws.environment());
    functions::start("application-form", environment).await
}

pub(crate) async fn post(function: &Function, request: Request<'_>) -> Answer {
    Answer::read(function.invoke(&request.event(), TIMEOUT).await.unwrap())
}
