//! Reads the settings, builds the clients once, and answers requests.

use application_form::{Config, RefusedForms, Stores, answer};
use forms::FieldKind;
use intake::Intake;
use lambda_http::Request;
use ledger::Ledger;
use password_sealing::Sealer;
use queue::Invitations;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = &runtime::start(Config::read)?;
    if config.fields.have(FieldKind::Phone) {
        config.default_country.prepare();
    }
    let aws = aws::config(runtime::variable)?;
    let ledger = |table| Ledger::new(aws_sdk_dynamodb::Client::new(&aws), table);
    let stores = &Stores {
        intake: Intake::new(config.intake.ledger_table.clone().map(ledger), &config.intake),
        invitations: Invitations::new(aws_sdk_sqs::Client::new(&aws), config.invitations_queue_url.clone()),
        sealer: config.password_key.clone().map(|key| Sealer::new(aws_sdk_kms::Client::new(&aws), key)),
        refused: RefusedForms::default(),
    };
    aws::in_start(stores.intake.connect(&stores.invitations)).await;
    http_events::serve(async |request: Request| answer(config, stores, &request, OffsetDateTime::now_utc()).await).await
}
