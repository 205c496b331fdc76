//! What may be seen from outside: logs, metrics and traces, and errors in full.

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

/// Our crates that log, as they name themselves.
const OURS: [&str; 15] = [
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
];

/// The setting that says under which namespace CloudWatch keeps the metrics: with the template's, the stack's name.
/// Without it there are none.
const METRICS_NAMESPACE: &str = "METRICS_NAMESPACE";

/// Starts logging the way Lambda's own log settings say: `AWS_LAMBDA_LOG_FORMAT` (`JSON` or text) and
/// `AWS_LAMBDA_LOG_LEVEL`
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>). A line of JSON has its
/// `timestamp`, because Lambda takes one without for `INFO`, whatever its level
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).
///
/// The level is for our own crates. Others say no more than at `INFO` whatever it is: below that they print events and
/// requests whole, with everything applicants typed.
///
/// Starts collecting metrics as well, for the namespace in `METRICS_NAMESPACE`. They are printed among the log lines,
/// in CloudWatch's embedded metric format
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>):
/// nothing is sent, so nothing waits. Lambda takes them for `INFO`: above that level they go with the lines. Call
/// once, first thing in `main`; `variable` reads the environment.
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
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_targets(OURS.map(|name| (name, level)))
}

#[cfg(test)]
mod tests {
    use lambda_runtime::tracing::Level;

    use super::*;

    #[test]
    fn strangers_never_say_more_than_info() {
        let trace = filter(LevelFilter::TRACE);
        assert!(trace.would_enable("onboarding::flow", &Level::TRACE));
        for stranger in ["lambda_runtime::layers", "aws_smithy_runtime", "hyper_util::client", "reqwest"] {
            assert!(trace.would_enable(stranger, &Level::INFO), "{stranger}");
            assert!(!trace.would_enable(stranger, &Level::DEBUG), "{stranger}");
        }
        let warn = filter(LevelFilter::WARN);
        assert!(!warn.would_enable("lambda_runtime", &Level::INFO) && !warn.would_enable("queue", &Level::INFO));
    }
}
