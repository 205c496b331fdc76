//! `explain`: the history of one invitation, from the ledger, the functions' logs and the dead letters.
//!
//! It shows no personal data. Of the log it shows only fields that never hold personal data.

use std::fmt::Write as _;
use std::io::Write;

use ledger::{HeldDecision, InvitationStatus};
use onboarding::{INVITATION_ACCEPTED, InvitationId};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::dead_letters::{self, DeadLetter, parsed};
use crate::format::{ago, from_milliseconds, moment, until};
use crate::held;
use crate::signed::{Operation, SignedClient};
use crate::{Clock, ExitStatus, OperatorError, Stack};

/// How far back the logs are searched for an invitation that the ledger does not have.
const LOGS_SEARCHED: Duration = Duration::days(30);

/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
const FILTER_LOG_EVENTS: Operation =
    Operation { service: "logs", action: "logs:FilterLogEvents", target: Some("Logs_20140328.FilterLogEvents") };

/// The information about one invitation.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// Its item in the ledger, once an attempt has begun.
    pub status: Option<InvitationStatus>,
    /// Its held application, where it was held before it went to the queue.
    pub held: Option<held::Found>,
    /// Its dead letter; the last one, if it was put back and dead-lettered again.
    pub dead_letter: Option<DeadLetter>,
    /// The functions' log lines about it, the oldest first.
    pub log: Vec<Logged>,
}

/// A line of a function's log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// When it was written.
    pub at: OffsetDateTime,
    /// The function's name in the template.
    pub function: String,
    /// The line, which is JSON.
    pub line: String,
}

/// Looks up an invitation and reports its history.
///
/// # Errors
/// When AWS does not answer, or there is no trace of the invitation.
pub async fn run(
    stack: &Stack,
    receipt: InvitationId,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<ExitStatus, OperatorError> {
    let explanation = look_up(stack, receipt, clock.now()).await?;
    out.write_all(timeline(&explanation, receipt, clock.now()).as_bytes())?;
    Ok(ExitStatus::Done)
}

/// Looks up the invitation with this receipt.
///
/// # Errors
/// When AWS does not answer, or there is no trace of it.
pub async fn look_up(stack: &Stack, receipt: InvitationId, now: OffsetDateTime) -> Result<Explanation, OperatorError> {
    let status = stack.ledger.invitation_status(receipt).await?;
    let held = held::find(stack, receipt, now).await?;
    let letters = dead_letters::list(stack).await?.letters.into_iter();
    let dead_letter = letters.filter(|letter| letter.receipt == Some(receipt)).max_by_key(|letter| letter.since);
    let since = status.as_ref().map_or(now - LOGS_SEARCHED, |status| status.received_at - Duration::HOUR);
    let log = log(stack, receipt, since).await?;
    if status.is_none() && held.is_none() && dead_letter.is_none() && log.is_empty() {
        return Err(OperatorError::UnknownReceipt { receipt });
    }
    Ok(Explanation { status, held, dead_letter, log })
}

/// The lines of the functions' logs with this receipt.
async fn log(stack: &Stack, receipt: InvitationId, since: OffsetDateTime) -> Result<Vec<Logged>, OperatorError> {
    let client = SignedClient::new(&stack.config);
    let mut lines = Vec::new();
    for (function, deployed) in stack.functions().await? {
        let mut search = json!({
            "logGroupName": deployed.log_group,
            "filterPattern": format!("\"{receipt}\""),
            "startTime": since.unix_timestamp() * 1000,
        });
        loop {
            let page = match client.try_call(FILTER_LOG_EVENTS, "/", &search).await {
                Ok(answer) => answer.body,
                // A function that never ran has no log.
                Err(cause) if cause == "ResourceNotFoundException" => break,
                Err(cause) => return Err(OperatorError::Call { action: FILTER_LOG_EVENTS.action, cause }),
            };
            for event in page["events"].as_array().into_iter().flatten() {
                let at = from_milliseconds(event["timestamp"].as_i64().unwrap_or_default());
                let line = event["message"].as_str().unwrap_or_default().to_owned();
                lines.push(Logged { at, function: function.clone(), line });
            }
            match page["nextToken"].as_str() {
                Some(next) => search["nextToken"] = next.into(),
                None => break,
            }
        }
    }
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

/// The history as a timeline, and where the invitation is now.
pub fn timeline(explanation: &Explanation, receipt: InvitationId, now: OffsetDateTime) -> String {
    let Explanation { status, held, dead_letter, log } = explanation;
    let mut entries: Vec<_> = log.iter().map(|logged| (logged.at, in_words(logged))).collect();
    // If the log still has a line about this moment, that line says more.
    if let Some(status) = status.as_ref().filter(|_| !was_logged(log, INVITATION_ACCEPTED)) {
        entries.push((status.received_at, "accepted".to_owned()));
    }
    if let Some(DeadLetter { class, cause, since, .. }) = dead_letter {
        entries.push((*since, format!("dead-lettered: {class}, {cause}")));
    }
    if let Some(held::Found { held, .. }) = held {
        entries.push((held.held_at, format!("held: {}", held.cause)));
        if let Some((decision, at)) = held.decision {
            entries.push((at, format!("{} by an operator", decision.name())));
        }
    }
    entries.sort_by_key(|(at, _)| *at);

    let mut text = format!("Invitation {receipt}\n");
    for (at, what) in entries {
        let _ = writeln!(text, "  {}  {what}", moment(at));
    }
    if let Some(status) = status {
        let _ = writeln!(text, "Lead      {}", lead(status));
        let _ = writeln!(text, "Mail      {}", mail(status));
        if !status.record.left_out.is_empty() {
            let _ = writeln!(text, "Left out  {}", status.record.left_out.join(", "));
        }
    }
    let _ = writeln!(text, "Now       {}", place_now(explanation, receipt, now));
    text
}

fn lead(InvitationStatus { record, .. }: &InvitationStatus) -> &'static str {
    match (record.lead.is_some(), record.existing, record.in_doubt) {
        (true, true, _) => "known before this invitation",
        (true, false, _) => "newly registered",
        (false, _, true) => "perhaps registered: the next attempt looks it up",
        (false, _, false) => "not registered",
    }
}

fn mail(InvitationStatus { record, .. }: &InvitationStatus) -> String {
    match (record.mailed, record.unresolved_mails) {
        (true, 0) => "sent".to_owned(),
        (true, before) => format!("sent; {before} earlier attempts to send it have an unknown result"),
        (false, 0) => "not sent".to_owned(),
        (false, unknown) => format!("{unknown} attempts to send it have an unknown result"),
    }
}

/// Where the invitation is, and what can be done about it.
fn place_now(explanation: &Explanation, receipt: InvitationId, now: OffsetDateTime) -> String {
    const ON_THE_QUEUE: &str = "on the queue, until its next attempt";
    // SQS accepts a copy and drops it, and its answer does not say so.
    const ON_THE_QUEUE_OR_DROPPED: &str = "on the queue, until its first attempt; or dropped, because a message about the same \
         lead and rules came in the five minutes before. That one decides for both";
    let Explanation { status, held, dead_letter, log } = explanation;
    if let Some(letter) = dead_letter {
        let since = ago(letter.since, now);
        return format!(
            "among the dead letters for {since}; put it back with `dead-letters put-back --receipt {receipt}`, or delete \
             it with `dead-letters discard --receipt {receipt} --yes`"
        );
    }
    let Some(InvitationStatus { record, leased_until, .. }) = status else {
        if let Some(place) = held.as_ref().and_then(|held| while_held(held, now)) {
            return place;
        }
        return match outcome_in(log) {
            Some(outcome) if outcome == "held" && held.is_none() => {
                "discarded after it was held: by an operator, or because it expired undecided".to_owned()
            }
            // An operator accepted it, and its first attempt has not begun.
            Some(outcome) if outcome == "held" => ON_THE_QUEUE.to_owned(),
            Some(outcome) => format!("done: {outcome}"),
            None if log.iter().any(is_question) => ON_THE_QUEUE_OR_DROPPED.to_owned(),
            None => ON_THE_QUEUE.to_owned(),
        };
    };
    match (&record.ended, leased_until) {
        (Some(ended), _) => {
            let cause = ended.cause.as_ref().map_or(String::new(), |cause| format!(" ({cause})"));
            match &*ended.name {
                "rejected" => format!("rejected{cause}, and its dead letter was put back or deleted"),
                outcome => format!("done: {outcome}{cause}"),
            }
        }
        (None, Some(until)) if *until > now => {
            format!("an attempt is under way, until {} at the latest", moment(*until))
        }
        (None, _) => ON_THE_QUEUE.to_owned(),
    }
}

/// Where a held application is, and what can be done about it; none once it is on the queue.
fn while_held(held::Found { held, has_message }: &held::Found, now: OffsetDateTime) -> Option<String> {
    let (receipt, cause) = (held.id, &held.cause);
    match (held.decision, has_message) {
        (None, _) => Some(format!(
            "held ({cause}) for {}; accept it with `held accept --receipt {receipt}`, or discard it with `held discard \
             --receipt {receipt} --yes`. It expires in {}",
            ago(held.held_at, now),
            until(held.expires_at, now)
        )),
        (Some((HeldDecision::Discarded, _)), _) => {
            Some(format!("discarded by an operator after it was held ({cause})"))
        }
        (Some((HeldDecision::Accepted, _)), true) => {
            Some(format!("accepted, and not on the queue yet: run `held accept --receipt {receipt}` again"))
        }
        (Some((HeldDecision::Accepted, _)), false) => None,
    }
}

/// The last outcome in the log, which an application has that ended before it went to the queue.
fn outcome_in(log: &[Logged]) -> Option<String> {
    log.iter().rev().find_map(|logged| field(&parsed(&logged.line), "outcome")?.as_str().map(str::to_owned))
}

fn was_logged(log: &[Logged], message: &str) -> bool {
    log.iter().any(|logged| field(&parsed(&logged.line), "message").is_some_and(|one| one == message))
}

/// Whether the line reports an invitation whose event left rules undecided.
fn is_question(logged: &Logged) -> bool {
    field(&parsed(&logged.line), "undecided").and_then(Value::as_str).is_some_and(|rules| !rules.is_empty())
}

/// The fields of a log line that are shown, in this order. None of them holds personal data.
const SHOWN: [&str; 8] = ["outcome", "cause", "attempts", "fields", "source", "rule", "undecided", "error"];

/// A log line in words.
fn in_words(Logged { function, line, .. }: &Logged) -> String {
    let line = parsed(line);
    if !line.is_object() {
        return format!("{function} logged a line that is not JSON");
    }
    let message = field(&line, "message").and_then(Value::as_str).unwrap_or("logged");
    let mut text = format!("{function}: {message}");
    for name in SHOWN {
        match field(&line, name) {
            Some(Value::String(value)) if !value.is_empty() => text += &format!(", {name} {value}"),
            Some(Value::Number(value)) => text += &format!(", {name} {value}"),
            _ => {}
        }
    }
    text
}

/// A field of a log line. `tracing` nests the fields of an event.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get(name).or_else(|| line.get("fields")?.get(name))
}

#[cfg(test)]
mod tests;
