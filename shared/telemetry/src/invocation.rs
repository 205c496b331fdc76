//! Runs the work of one invocation: prints its metrics and makes its X-Ray trace available.

use std::io::Write;
use std::sync::OnceLock;

use lambda_runtime::{Context, tracing};
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::metric;

/// Collects the metrics of the whole process, as a log subscriber collects its log lines.
static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

tokio::task_local! {
    static TRACE: Option<String>;
}

/// Starts collecting metrics for this CloudWatch namespace.
pub(crate) fn collect(namespace: String) {
    let Ok(collector) = Builder::new().cloudwatch_namespace(namespace).init() else { return };
    if COLLECTOR.set(collector).is_ok() {
        metric::describe_units();
        metric::count_cold_start();
    }
}

/// Runs the work of one invocation. Its metrics are printed when it ends, also after a panic. The messages that it
/// sends belong to the trace in `context`.
pub async fn invocation<T>(context: &Context, work: impl Future<Output = T>) -> T {
    let _printed = PrintOnDrop;
    let trace = context.xray_trace_id.clone().filter(|trace| is_trace_header(trace));
    // Boxed, because the type of the whole future, down to the TLS handshake, is nested too deeply for the compiler.
    TRACE.scope(trace, Box::pin(work)).await
}

/// The trace of the current invocation, as X-Ray writes it into headers
/// (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>).
pub fn trace() -> Option<String> {
    TRACE.try_with(Clone::clone).ok().flatten()
}

/// Whether SQS accepts the text as a trace header. It would refuse the whole message for a malformed one.
pub(crate) fn is_trace_header(text: &str) -> bool {
    const LONGEST: usize = 256;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=;:-|.".contains(&byte);
    text.len() <= LONGEST && text.starts_with("Root=1-") && text.bytes().all(plain)
}

/// Prints the metrics recorded so far. Long work calls this now and then, so that printing at its end stays short.
pub fn print_metrics() {
    let Some(collector) = COLLECTOR.get() else { return };
    // One write: CloudWatch reads a metric only from a line of its own, so other output must not split the line.
    let mut lines = Vec::new();
    let printed = collector.flush(&mut lines).and_then(|()| std::io::stdout().lock().write_all(&lines));
    if let Err(error) = printed {
        tracing::warn!(
            error = %error,
            "could not print the metrics of this invocation to standard output: they are lost; no action needed"
        );
    }
}

/// Prints the metrics when it is dropped, also by a panic.
struct PrintOnDrop;

impl Drop for PrintOnDrop {
    fn drop(&mut self) {
        print_metrics();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn work_knows_its_trace_unless_sqs_would_refuse_it() {
        let mut context = Context::default();
        let root = "Root=1-5e1b4151-5ac6c58f5b5dde7f5d9b3a5f;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a1b2c3d4:0";
        let long = format!("Root=1-{}", "0".repeat(256));
        for (header, passed_on) in [
            (Some(root), true),
            (None, false),
            (Some(""), false),
            (Some("Self=1-5e1b4151"), false),
            (Some("Root=1-5e1b\n"), false),
            (Some(long.as_str()), false),
        ] {
            context.xray_trace_id = header.map(str::to_owned);
            let seen = invocation(&context, async { trace() }).await;
            assert_eq!(seen.as_deref(), header.filter(|_| passed_on));
        }
        assert_eq!(trace(), None);
    }
}
