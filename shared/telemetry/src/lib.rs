#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod error;
mod invocation;
pub mod metric;

use lambda_runtime::tracing::subscriber::Layer;
use lambda_runtime::tracing::subscriber::filter::{LevelFilter, Targets};
use lambda_runtime::tracing::subscriber::fmt;
use lambda_runtime::tracing::subscriber::layer::SubscriberExt;
use lambda_runtime::tracing::subscriber::util::SubscriberInitExt;

pub use error::in_full;
pub use invocation::{invocation, print_metrics, trace};
pub use metric::Metric;

/// The crates of this workspace that log.
const WORKSPACE_CRATES: [&str; 16] = [
    "application_form",
    "bus_event",
    "call_allowance",
    "crm_event",
    "intake",
    "invitation",
    "key_check",
    "leadsquared",
    "ledger",
    "login_link",
    "mail",
    "onboarding",
    "portal_account",
    "queue",
    "settings",
    "throttle",
];

/// The setting with the CloudWatch namespace of the metrics. template.yaml sets the stack's name. Without the setting,
/// no metrics are recorded.
const METRICS_NAMESPACE: &str = "METRICS_NAMESPACE";

/// Starts logging and collecting metrics. Call it once, at the beginning of `main`. `variable` reads the environment.
///
/// **Logs** follow Lambda's own settings `AWS_LAMBDA_LOG_FORMAT` (`JSON` or text) and `AWS_LAMBDA_LOG_LEVEL`
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>). The level applies to our
/// own crates. Other crates never log below `INFO`, because there they print whole events and requests with everything
/// that applicants typed. A JSON line has a `timestamp`: Lambda treats a line without one as `INFO`, whatever its level
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).
///
/// **Metrics** go to the namespace in `METRICS_NAMESPACE`. They are printed among the log lines in CloudWatch's
/// embedded metric format, so no call waits for them
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html>).
/// Lambda treats these lines as `INFO`: a log level above `INFO` drops the metrics too.
pub fn init(variable: impl Fn(&str) -> Option<String>) {
    let level = variable("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let filter = filter(level);
    let lines = fmt::layer().with_target(false);
    let registry = lambda_runtime::tracing::subscriber::registry();
    match variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json")) {
        true => registry.with(lines.json().with_filter(filter)).init(),
        false => registry.with(lines.without_time().with_filter(filter)).init(),
    }
    if let Some(namespace) = variable(METRICS_NAMESPACE).filter(|namespace| !namespace.is_empty()) {
        invocation::collect(namespace);
    }
}

fn filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_targets(WORKSPACE_CRATES.map(|name| (name, level)))
}

#[cfg(test)]
mod tests {
    use lambda_runtime::tracing::Level;

    use super::*;

    #[test]
    fn other_crates_never_log_below_info() {
        let trace = filter(LevelFilter::TRACE);
        assert!(trace.would_enable("onboarding::flow", &Level::TRACE));
        for other in ["lambda_runtime::layers", "aws_smithy_runtime", "hyper_util::client", "reqwest"] {
            assert!(trace.would_enable(other, &Level::INFO), "{other}");
            assert!(!trace.would_enable(other, &Level::DEBUG), "{other}");
        }
        let warn = filter(LevelFilter::WARN);
        assert!(!warn.would_enable("lambda_runtime", &Level::INFO) && !warn.would_enable("queue", &Level::INFO));
    }
}
