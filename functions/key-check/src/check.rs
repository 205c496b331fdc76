//! The check of the LeadSquared account, and its report.

use std::time::{Duration, Instant};

use aws::SdkConfig;
use leadsquared::tools::doctor::{Finding, Subject, Verdict, examine};
use leadsquared::{InvalidOptions, Lane};
use leadsquared_account::{Account, AccountError, AllowanceRules, BACKGROUND_TIMEOUTS};
use ledger::Ledger;
use serde::Serialize;
use settings::SecretError;
use telemetry::Metric;
use time::OffsetDateTime;

use crate::Config;
use crate::held;

/// The report of a check.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether nothing has to be fixed.
    pub healthy: bool,
    /// The state of each subject.
    pub findings: Vec<ReportLine>,
    /// The calls of a day that the settings permit.
    #[serde(rename = "dailyCalls")]
    pub daily_calls: DailyCalls,
}

/// The calls to LeadSquared that are permitted in a UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DailyCalls {
    /// All calls together; none if there is no daily cap.
    pub most: Option<u32>,
    /// The calls of background work, which leaves the rest for people who wait.
    pub background: Option<u32>,
    /// The setting behind it.
    pub setting: &'static str,
}

/// The state of one subject.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportLine {
    /// The subject, such as `keys`.
    pub subject: String,
    /// Its state.
    pub state: SubjectState,
    /// The finding, in words.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The setting behind it.
    pub setting: &'static str,
    /// The name of the fault in the log, if it is one.
    #[serde(skip)]
    pub cause: Option<String>,
}

/// The state of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectState {
    /// As required.
    Good,
    /// Something has to be fixed.
    Wrong,
    /// It could not be determined.
    Unknown,
    /// An operator has to decide.
    ToDecide,
}

/// Checks every subject and logs one line about each. The check takes at most `time`; `now` and `at` are the same
/// moment.
///
/// Every check fetches the keys and credentials again, because whether they still work is what it checks.
///
/// # Errors
/// When no client can be built from the settings.
pub async fn check(
    aws: &SdkConfig,
    config: &Config,
    now: Instant,
    at: OffsetDateTime,
    time: Duration,
) -> Result<Report, InvalidOptions> {
    let account = Account::open(aws, &config.account, Lane::Background, BACKGROUND_TIMEOUTS)?;
    let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(aws), config.account.ledger_table.clone());
    // Boxed: the future reaches down to the TLS handshake, and its type is too deep for the compiler.
    let of_account = Box::pin(async {
        match account.access(now).await {
            Ok(access) => {
                let client = access.client.within(now + time);
                examine(&client, &config.wanted()).await.into_iter().map(ReportLine::from).collect()
            }
            Err(error) => vec![ReportLine::from(error)],
        }
    });
    let (mut findings, of_held, ()) =
        tokio::join!(of_account, Box::pin(held::count(&ledger, at, time)), Box::pin(keep_unmarked(&ledger, at, time)));
    findings.extend(of_held);
    for finding in &findings {
        finding.log();
    }
    let daily_calls = DailyCalls::from(&config.account.allowance);
    daily_calls.log();
    let healthy = findings.iter().all(|finding| finding.state != SubjectState::Wrong);
    Ok(Report { healthy, findings, daily_calls })
}

impl DailyCalls {
    fn log(self) {
        let Self { most, background, setting } = self;
        match (most, background) {
            (Some(most), Some(background)) => {
                tracing::info!(most, background, setting, "calls to LeadSquared permitted in a UTC day");
            }
            _ => tracing::info!(setting, "calls to LeadSquared have no daily cap"),
        }
    }
}

impl From<&AllowanceRules> for DailyCalls {
    fn from(rules: &AllowanceRules) -> Self {
        let [most, background] = [Lane::Interactive, Lane::Background].map(|lane| rules.daily(lane));
        Self { most, background, setting: "ALLOWANCE_DAILY" }
    }
}

/// Removes the expiry of leads that earlier versions registered without a mark: only the ledger knows of them. If that
/// fails, the next check continues a few hours later; an item expires 13 months after its last change.
async fn keep_unmarked(ledger: &Ledger, now: OffsetDateTime, time: Duration) {
    match tokio::time::timeout(time, ledger.keep_unmarked(now)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(leads)) => tracing::info!(leads, "removed the expiry of leads that were registered without a mark"),
        Ok(Err(error)) => {
            tracing::warn!(
                error = %error,
                "could not remove the expiry of every lead that was registered without a mark: the next check continues; no \
                 action needed unless it fails too"
            );
        }
        Err(_) => tracing::warn!(
            "there was no time to remove the expiry of every lead that was registered without a mark: the next check \
             continues; no action needed"
        ),
    }
}

impl ReportLine {
    fn log(&self) {
        let Self { subject, state, what, fix, setting, cause } = self;
        match state {
            SubjectState::Good => tracing::info!(subject, what, "as required"),
            SubjectState::Unknown => tracing::info!(subject, what, "could not be checked this time; no action needed"),
            SubjectState::ToDecide => tracing::warn!(subject, what, fix = fix.as_deref(), "an operator has to decide"),
            SubjectState::Wrong => {
                Metric::KeyCheckFailed.record();
                tracing::error!(subject, cause, what, fix = fix.as_deref(), setting, "something has to be fixed");
            }
        }
    }
}

impl From<Finding> for ReportLine {
    fn from(Finding { subject, verdict }: Finding) -> Self {
        let (state, what, fix) = match verdict {
            Verdict::Good(what) => (SubjectState::Good, what, None),
            Verdict::Wrong { what, fix } => (SubjectState::Wrong, what, Some(fix)),
            Verdict::Unknown(what) => (SubjectState::Unknown, what, None),
        };
        let cause = (state == SubjectState::Wrong).then(|| format!("{subject:?}"));
        Self { subject: subject.to_string(), state, what, fix, setting: setting(subject), cause }
    }
}

impl From<AccountError> for ReportLine {
    fn from(error: AccountError) -> Self {
        let state = match error {
            AccountError::Secret(SecretError::Unavailable { .. }) => SubjectState::Unknown,
            AccountError::Secret(_) | AccountError::Placeholders { .. } => SubjectState::Wrong,
        };
        let subject = Subject::Keys;
        let cause = (state == SubjectState::Wrong).then(|| "NoKeys".to_owned());
        // The error text says what to do.
        let what = error.to_string();
        Self { subject: subject.to_string(), state, what, fix: None, setting: setting(subject), cause }
    }
}

fn setting(subject: Subject) -> &'static str {
    match subject {
        Subject::Keys | Subject::Role => "LEADSQUARED_KEYS_SECRET",
        Subject::Region => "LEADSQUARED_API_URL, LEADSQUARED_PORTAL_API_URL",
        Subject::Portal => "PORTAL_ID",
        Subject::AutoLogin => "LEADSQUARED_TENANT_AUTH_KEY_PATH",
        Subject::Fields => "FORM_FIELDS",
        Subject::ReadFields => "CRM_RULES",
        Subject::Sender => "MAIL_SENDER",
        Subject::Allowance => "ALLOWANCE_CALLS, ALLOWANCE_WINDOW_SECONDS, ALLOWANCE_SHARE",
        _ => "",
    }
}
