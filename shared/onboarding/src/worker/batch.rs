//! The order in which the messages of a batch are handled.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use super::Disposition;

/// Handles the messages of a batch one after another, and returns each with its disposition.
///
/// If a message is to be retried, the later messages of its group are retried after the same wait, without being
/// handled: a FIFO queue must not deliver them out of order. Other groups, and messages without a group, are not
/// affected.
pub async fn handle_in_order<M: Copy, G: Eq + Hash>(
    messages: impl IntoIterator<Item = M>,
    group: impl Fn(M) -> Option<G>,
    handle: impl AsyncFn(M) -> Disposition,
) -> Vec<(M, Disposition)> {
    let mut waits: HashMap<G, Duration> = HashMap::new();
    let mut handled = Vec::new();
    for message in messages {
        let group = group(message);
        let disposition = match group.as_ref().and_then(|group| waits.get(group)) {
            Some(wait) => Disposition::RetryAfter(*wait),
            None => handle(message).await,
        };
        if let (Some(group), Disposition::RetryAfter(wait)) = (group, disposition) {
            waits.insert(group, wait);
        }
        handled.push((message, disposition));
    }
    handled
}
