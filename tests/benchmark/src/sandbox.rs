//! The built `portal-account` with an emulated LeadSquared account, in which half of the people are portal users.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use aws::SdkConfig;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use futures::{StreamExt, TryStreamExt, stream};
use leadsquared::portal::Registration;
use leadsquared::{Attributes, Client, Keys, Options};
use leadsquared_emulator::{Emulator, Limit, PasswordHashing, Settings};
use local_stack::functions;
use local_stack::ministack::MiniStack;
use local_stack::steps::Steps;
use runtime_api::{Function, FunctionError};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(10);
const REGION: &str = "us-east-1";
const SIGN_IN_FIELDS: &str = r#"[{"name":"email","attribute":"EmailAddress","kind":"email"},
    {"name":"phone","attribute":"Phone","kind":"phone"}]"#;

pub(crate) struct Sandbox {
    ministack: MiniStack,
    emulator: Emulator,
    table: String,
    secret: String,
    binary: std::path::PathBuf,
    sample: Value,
}

impl Sandbox {
    /// Starts a sandbox with this number of portal users, [`known`] by number.
    pub(crate) async fn new(people: usize) -> anyhow::Result<Self> {
        let steps = Steps::shown();
        let binaries = functions::build(&steps).await?;
        let binary = binaries.get("portal-account").context("no function portal-account was built")?.clone();
        let ministack = MiniStack::start(None, &steps).await?;
        let config = aws::local_config(&ministack.url(), "test");
        // Passwords are hashed at full cost, which makes answers about portal users slower.
        let limit = Limit { calls: 1_000_000, ..Limit::default() };
        let settings = Settings { limit, password_hashing: PasswordHashing::Standard, ..Settings::default() };
        let emulator = Emulator::start(settings).await?;
        register(&emulator, people).await?;
        let (access_key, secret_key) = emulator.keys();
        let secret = json!({"accessKey": access_key, "secretKey": secret_key}).to_string();
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let created = secrets.create_secret().name("keys").secret_string(secret).send().await?;
        let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/portal-account/sign-in.json");
        Ok(Self {
            secret: created.arn.context("a secret has an ARN")?,
            table: table(&config).await?,
            sample: serde_json::from_slice(&std::fs::read(events)?)?,
            ministack,
            emulator,
            binary,
        })
    }

    /// Starts the function with this floor and number of processes.
    pub(crate) async fn function(&self, floor: Duration, processes: usize) -> anyhow::Result<Function> {
        let (url, portal_id) = (self.emulator.url().to_string(), self.emulator.portal_id());
        let (ministack, floor) = (self.ministack.url(), floor.as_millis().to_string());
        let environment = [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL", &ministack),
            ("LEDGER_TABLE", &self.table),
            ("LEADSQUARED_KEYS_SECRET", &self.secret),
            ("LEADSQUARED_API_URL", &url),
            ("LEADSQUARED_PORTAL_API_URL", &url),
            // The call allowance must not delay answers.
            ("ALLOWANCE_CALLS", "1000000"),
            ("ALLOWANCE_WINDOW_SECONDS", "5"),
            ("ALLOWANCE_SHARE", "100"),
            ("ALLOWANCE_DAILY", "none"),
            ("PORTAL_ID", &portal_id),
            ("SIGN_IN_FIELDS", SIGN_IN_FIELDS),
            ("DEFAULT_COUNTRY_CODE", "91"),
            ("ATTEMPTS_PER_ADDRESS", "1000"),
            ("TEXTS_PER_DAY", "1000000"),
            ("ANSWER_FLOOR_MS", &floor),
            ("SESSION_COOKIE", "no"),
            ("ORGANISATION", "Admissions"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let failed = |error: FunctionError| anyhow::anyhow!("could not start the function: {error:?}");
        let mut function = Function::start(&self.binary, environment.into()).await.map_err(failed)?;
        for _ in 1..processes {
            function.add_process().await.map_err(failed)?;
        }
        Ok(function)
    }

    /// Posts a request from this address; returns status and body of the answer.
    pub(crate) async fn ask(
        &self,
        function: &Function,
        path: &str,
        body: &Value,
        address: &str,
    ) -> anyhow::Result<(u64, Value)> {
        let mut event = self.sample.clone();
        event["rawPath"] = path.into();
        event["requestContext"]["http"]["path"] = path.into();
        event["requestContext"]["http"]["sourceIp"] = address.into();
        event["body"] = body.to_string().into();
        let answer = function.invoke(&event, TIMEOUT).await;
        let answer = answer.map_err(|error| anyhow::anyhow!("the function gave no answer: {error:?}"))?;
        let status = answer["statusCode"].as_u64().context("an answer has a status")?;
        Ok((status, serde_json::from_str(answer["body"].as_str().context("an answer has a body")?)?))
    }

    pub(crate) async fn end(self) {
        self.emulator.shutdown().await;
        self.ministack.shutdown().await;
    }
}

/// The e-mail address of the portal user with this number.
pub(crate) fn known(number: usize) -> String {
    format!("known{number:05}@example.test")
}

/// The phone number of a portal user, or one that no lead has.
pub(crate) fn phone(is_known: bool, number: usize) -> String {
    format!("+91-{}{number:05}", if is_known { 90000 } else { 91000 })
}

async fn register(emulator: &Emulator, people: usize) -> anyhow::Result<()> {
    let options = Options::new(emulator.url(), emulator.portal_api_url(), emulator.portal_id().parse()?);
    let (access_key, secret_key) = emulator.keys();
    let client = &Client::new(options, Keys { access_key: access_key.into(), secret_key: secret_key.into() })?;
    let registered = stream::iter(0..people).map(|number| async move {
        let fields = Attributes::new().with("EmailAddress", known(number)).with("Phone", phone(true, number));
        let password = format!("Otter#Lantern#{number}").into();
        client.register(&Registration { register_only_new_lead: true, password, fields }).await.map(drop)
    });
    Ok(registered.buffer_unordered(8).try_collect().await?)
}

async fn table(config: &SdkConfig) -> anyhow::Result<String> {
    let name = "ledger".to_owned();
    let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build()?;
    let text = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S).build()?;
    let client = aws_sdk_dynamodb::Client::new(config);
    let table = client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    table.key_schema(key).attribute_definitions(text).send().await?;
    Ok(name)
}
