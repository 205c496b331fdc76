//! `invitation`, which for LeadSquared also trusts the authority in the file that `AWS_CA_BUNDLE` names.
//!
//! The deployed function trusts the roots that are compiled into it and has no setting for others, so the benchmark
//! measures this one where LeadSquared is emulated over TLS.

use anyhow::Context;
use aws_lambda_events::sqs::SqsEvent;
use invitation::{Config, SqsWorker};
use lambda_runtime::{Error, LambdaEvent};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut config = runtime::start(Config::read)?;
    let file = std::env::var("AWS_CA_BUNDLE").context("AWS_CA_BUNDLE is not set")?;
    config.account.leadsquared.further_roots = vec![CertificateDer::from_pem_file(file)?.to_vec()];
    let worker = &SqsWorker::open(&aws::config(runtime::variable)?, config)?;
    let handle = async |LambdaEvent { payload, context }: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(worker.handle(&payload, context.deadline().into()).await)
    };
    runtime::serve(handle).await
}
