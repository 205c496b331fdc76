//! Waiting for other processes: the one place in these tests where real time passes.

use std::time::Duration;

/// Bound of every wait.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often the state of another process is looked up.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits for `event`, for [`LONGEST_WAIT`] at most.
pub(crate) async fn within<T>(name: &str, event: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(LONGEST_WAIT, event).await;
    outcome.unwrap_or_else(|_| panic!("not within {LONGEST_WAIT:?}: {name}"))
}

/// Looks at another process that reports no changes, a browser or the local AWS endpoint, until `look` finds something.
pub(crate) async fn poll<T>(name: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    within(name, found).await
}

/// As [`poll`], until a condition holds.
pub(crate) async fn poll_until(name: &str, mut condition: impl AsyncFnMut() -> bool) {
    poll(name, async || condition().await.then_some(())).await;
}

/// Runs work to its end, in a test that is not itself asynchronous.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
