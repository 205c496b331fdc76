//! Reads the settings, builds the clients once, and handles batches of messages.

use aws_lambda_events::sqs::SqsEvent;
use invitation::{Config, SqsWorker};
use lambda_runtime::{Error, LambdaEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = runtime::start(Config::read)?;
    let worker = &SqsWorker::open(&aws::config(runtime::variable)?, config)?;
    aws::in_start(worker.connect()).await;
    let handle = async |LambdaEvent { payload, context }: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(worker.handle(&payload, context.deadline().into()).await)
    };
    runtime::serve(handle).await
}
