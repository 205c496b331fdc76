use std::io::Write;
use std::sync::OnceLock;

use lambda_runtime::{Context, tracing};
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::metric;

/// Where metrics are collected from everywhere in the process, as log lines are.
static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

tokio::task_local! {
    static TRACE: Option<String>;
}

/// Collects metrics for this namespace of CloudWatch's.
pub(crate) fn collect(namespace: String) {
    let Ok(collector) = Builder::new().cloudwatch_namespace(namespace).init() else { return };
    if COLLECTOR.set(collector).is_ok() {
        metric::begin();
    }
}

/// Does the work of one invocation: what it measures is printed when it ends, however it ends, and what it puts on the queue
/// belongs to the trace that Lambda named in `context`.
pub async fn invocation<T>(context: &Context, work: impl Future<Output = T>) -> T {
    let _printed = Printed;
    let trace = context.xray_trace_id.clone().filter(|trace| is_trace_header(trace));
    // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the compiler.
    TRACE.scope(trace, Box::pin(work)).await
}

/// The trace of the invocation under way, as X-Ray writes it into headers
/// (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>).
pub fn trace() -> Option<String> {
    TRACE.try_with(Clone::clone).ok().flatten()
}

/// Whether SQS would take it: a malformed one must not keep an application from being stored.
pub(crate) fn is_trace_header(text: &str) -> bool {
    const LONGEST: usize = 256;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=;:-|.".contains(&byte);
    text.len() <= LONGEST && text.starts_with("Root=1-") && text.bytes().all(plain)
}

/// Prints the metrics that there are so far: for work whose end must not take longer the more of them there are.
pub fn print_metrics() {
    let Some(collector) = COLLECTOR.get() else { return };
    // Whole, because CloudWatch reads a metric only from a line of its own.
    let mut lines = Vec::new();
    let printed = collector.flush(&mut lines).and_then(|()| std::io::stdout().lock().write_all(&lines));
    if let Err(error) = printed {
        tracing::warn!(error = %error, "the metrics of this invocation are lost");
    }
}

/// Prints the metrics when it goes, even if that is by a panic.
struct Printed;

impl Drop for Printed {
    fn drop(&mut self) {
        print_metrics();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn work_knows_its_trace_and_nothing_that_sqs_would_refuse() {
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
