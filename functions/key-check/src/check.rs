use std::time::{Duration, Instant};

use aws::SdkConfig;
use leadsquared::doctor::{Finding, Subject, Verdict, examine};
use leadsquared::{InvalidOptions, Lane};
use leadsquared_account::{Account, AccountError, Rules};
use ledger::Ledger;
use serde::Serialize;
use settings::SecretError;
use telemetry::Metric;
use time::OffsetDateTime;

use crate::config::{Config, TIMEOUTS};
use crate::held;

/// What a check found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether there is nothing to mend.
    pub healthy: bool,
    /// How each thing is that was looked at.
    pub findings: Vec<Reported>,
    /// The account's day, as the settings in force have it.
    #[serde(rename = "dailyCalls")]
    pub daily_calls: DailyCalls,
}

/// How many calls there may be in a UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DailyCalls {
    /// All together; without a number there is no daily cap.
    pub most: Option<u32>,
    /// Where background work stops, so that the rest is left for people who wait.
    pub background: Option<u32>,
    /// The setting it is about.
    pub setting: &'static str,
}

/// How one thing is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    /// Which, such as `keys`.
    pub subject: String,
    /// How it is.
    pub state: State,
    /// In words.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// The setting it is about.
    pub setting: &'static str,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Good,
    /// To be mended.
    Wrong,
    /// It could not be told.
    Unknown,
    /// An operator has to decide.
    ToDecide,
}

/// Looks at everything, and says what it found, a line for each. `time` is how long it may take; `now` and `at` are
/// the same moment.
///
/// Keys and credentials are fetched anew each time: what an earlier check knew is what this one is about.
///
/// # Errors
/// When the settings are of no use for a client.
pub async fn check(
    aws: &SdkConfig,
    config: &Config,
    now: Instant,
    at: OffsetDateTime,
    time: Duration,
) -> Result<Report, InvalidOptions> {
    let account = Account::open(aws, &config.account, Lane::Background, TIMEOUTS)?;
    let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(aws), config.account.ledger_table.clone());
    // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the compiler.
    let of_account = Box::pin(async {
        match account.access(now).await {
            Ok(access) => {
                let client = access.client.within(now + time);
                examine(&client, &config.wanted()).await.into_iter().map(Reported::from).collect()
            }
            Err(error) => vec![Reported::from(error)],
        }
    });
    let (mut findings, of_held, ()) =
        tokio::join!(of_account, Box::pin(held::look(&ledger, at, time)), Box::pin(keep_unmarked(&ledger, at, time)));
    findings.extend(of_held);
    for finding in &findings {
        finding.log();
    }
    let daily_calls = DailyCalls::from(&config.account.allowance);
    daily_calls.log();
    let healthy = findings.iter().all(|finding| finding.state != State::Wrong);
    Ok(Report { healthy, findings, daily_calls })
}

impl DailyCalls {
    fn log(self) {
        let Self { most, background, setting } = self;
        match (most, background) {
            (Some(most), Some(background)) => {
                tracing::info!(most, background, setting, "calls to LeadSquared that are permitted in a UTC day");
            }
            _ => tracing::info!(setting, "calls to LeadSquared have no daily cap"),
        }
    }
}

impl From<&Rules> for DailyCalls {
    fn from(rules: &Rules) -> Self {
        let [most, background] = [Lane::Interactive, Lane::Background].map(|lane| rules.daily(lane));
        Self { most, background, setting: "ALLOWANCE_DAILY" }
    }
}

/// Has the ledger keep what only it knows of leads that earlier versions registered. A check that cannot is followed
/// by another one a few hours later; what is kept has a year.
async fn keep_unmarked(ledger: &Ledger, now: OffsetDateTime, time: Duration) {
    match tokio::time::timeout(time, ledger.keep_unmarked(now)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(leads)) => tracing::info!(leads, "leads that were registered unmarked are remembered for good"),
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "leads that were registered unmarked: the next check sees to them")
        }
        Err(_) => tracing::warn!("leads that were registered unmarked: the next check goes on with them"),
    }
}

impl Reported {
    fn log(&self) {
        let Self { subject, state, what, mend, setting } = self;
        match state {
            State::Good => tracing::info!(subject, what, "as it should be"),
            State::Unknown => tracing::info!(subject, what, "could not be told"),
            State::ToDecide => tracing::warn!(subject, what, mend = mend.as_deref(), "an operator has to decide"),
            State::Wrong => {
                Metric::KeyCheckFailed.record();
                tracing::error!(subject, what, mend = mend.as_deref(), setting, "something has to be mended");
            }
        }
    }
}

impl From<Finding> for Reported {
    fn from(Finding { subject, verdict }: Finding) -> Self {
        let (state, what, mend) = match verdict {
            Verdict::Good(what) => (State::Good, what, None),
            Verdict::Wrong { what, mend } => (State::Wrong, what, Some(mend)),
            Verdict::Unknown(what) => (State::Unknown, what, None),
        };
        Self { subject: subject.to_string(), state, what, mend, setting: setting(subject) }
    }
}

impl From<AccountError> for Reported {
    fn from(error: AccountError) -> Self {
        let state = match error {
            AccountError::Secret(SecretError::Unavailable { .. }) => State::Unknown,
            AccountError::Secret(_) | AccountError::Placeholders { .. } => State::Wrong,
        };
        let subject = Subject::Keys;
        // What to do is in its words.
        Self { subject: subject.to_string(), state, what: error.to_string(), mend: None, setting: setting(subject) }
    }
}

fn setting(subject: Subject) -> &'static str {
    match subject {
        Subject::Keys | Subject::Role => "LEADSQUARED_KEYS_SECRET",
        Subject::Region => "LEADSQUARED_API_URL, LEADSQUARED_PORTAL_API_URL",
        Subject::Portal => "PORTAL_ID",
        Subject::AutoLogin => "LEADSQUARED_TENANT_AUTH_KEY_PATH",
        Subject::Fields => "FORM_FIELDS",
        Subject::Sender => "MAIL_SENDER",
        Subject::Allowance => "ALLOWANCE_CALLS, ALLOWANCE_WINDOW_SECONDS, ALLOWANCE_SHARE",
        _ => "",
    }
}
