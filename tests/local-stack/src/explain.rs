//! The course of one invitation, from the ledger, the functions' logs and the dead letters.

use anyhow::ensure;
use operator::held::{Found, HeldDecision};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::dead_letters::{DeadLetter, age};
use crate::held::{roughly, since};
use crate::operate::Place;
use crate::steps::Steps;

/// What is known of one invitation. Holds nothing of a person.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Course {
    /// Its item in the ledger, once an attempt has begun.
    pub ledger: Option<Value>,
    /// It, where it was held before it came to the queue.
    #[serde(skip)]
    pub held: Option<Found>,
    /// It, among the dead letters.
    pub dead_letter: Option<DeadLetter>,
    /// What the functions logged of it, oldest first.
    pub log: Vec<Logged>,
}

/// A line of a function's log.
#[derive(Clone, Debug, Deserialize)]
pub struct Logged {
    /// When, in Unix milliseconds.
    pub at: i64,
    /// The function's name in the template.
    pub function: String,
    /// What it wrote: JSON.
    pub line: String,
}

/// Finds out what became of the invitation with that receipt.
///
/// # Errors
/// When the stack does not answer, or knows nothing of it: says what to check.
pub async fn look_up(place: &Place, receipt: &str, steps: &Steps) -> anyhow::Result<Course> {
    let mut course: Course = place.ask("explain", json!({"receipt": receipt}), steps).await?;
    course.held = operator::held::find(&place.stack().await?, receipt.parse()?, OffsetDateTime::now_utc()).await?;
    ensure!(
        course.ledger.is_some() || course.held.is_some() || course.dead_letter.is_some() || !course.log.is_empty(),
        "nothing is known of {receipt}: it is another stack's, or older than 30 days, or no receipt at all \
         (the answer to the form and every log line of an invitation have it)"
    );
    Ok(course)
}

/// The course as a timeline and where the invitation is now.
pub fn timeline(course: &Course, receipt: &str, now: OffsetDateTime) -> String {
    let mut entries: Vec<(i64, String)> = Vec::new();
    let ledger = course.ledger.as_ref().unwrap_or(&Value::Null);
    entries.extend(course.log.iter().map(|logged| (logged.at, said(logged))));
    // The log says it better, as long as it is kept.
    if let Some(received) = ledger["received_at"].as_i64().filter(|_| !was_logged(course, "invitation accepted")) {
        entries.push((received * 1000, "accepted".to_owned()));
    }
    if let Some(DeadLetter { class, cause, laid_aside, .. }) = &course.dead_letter {
        entries.push((*laid_aside, format!("laid aside among the dead letters: {class}, {cause}")));
    }
    if let Some(Found { held, .. }) = &course.held {
        entries.push((held.held_at.unix_timestamp() * 1000, format!("held: {}", held.cause)));
        if let Some((decision, at)) = held.decision {
            entries.push((at.unix_timestamp() * 1000, format!("{} by an operator", decision.name())));
        }
    }
    entries.sort_by_key(|(at, _)| *at);

    let mut text = format!("Invitation {receipt}\n");
    for (at, what) in entries {
        text.push_str(&format!("  {}  {what}\n", moment(at)));
    }
    if course.ledger.is_some() {
        text.push_str(&format!("Lead      {}\n", lead(ledger)));
        text.push_str(&format!("Mail      {}\n", mail(ledger)));
    }
    let left_out: Vec<_> = ledger["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !left_out.is_empty() {
        text.push_str(&format!("Left out  {}\n", left_out.join(", ")));
    }
    text.push_str(&format!("Now       {}\n", place_now(course, ledger, now)));
    text
}

fn lead(ledger: &Value) -> &'static str {
    match (ledger["lead_id"].is_string(), ledger["existing"] == true, ledger["in_doubt"] == true) {
        (true, true, _) => "known before this invitation",
        (true, false, _) => "newly registered",
        (false, _, true) => "perhaps registered: the next attempt looks it up",
        (false, _, false) => "not registered",
    }
}

fn mail(ledger: &Value) -> String {
    match (ledger["mailed"] == true, ledger["unresolved_mails"].as_u64().unwrap_or(0)) {
        (true, 0) => "sent".to_owned(),
        (true, more) => format!("sent; of {more} before it nobody knows"),
        (false, 0) => "not sent".to_owned(),
        (false, unknown) => format!("begun {unknown} times, and nobody knows whether it was sent"),
    }
}

/// Where the invitation is, and what can be done about it.
fn place_now(course: &Course, ledger: &Value, now: OffsetDateTime) -> String {
    if let Some(letter) = &course.dead_letter {
        let receipt = letter.receipt.as_deref().unwrap_or_default();
        let since = age(letter.laid_aside, now);
        return format!(
            "among the dead letters since {since}; back with `dead-letters put-back --receipt {receipt}`, away with \
             `dead-letters discard --receipt {receipt} --yes`"
        );
    }
    if let Some(held) = course.held.as_ref().filter(|_| course.ledger.is_none())
        && let Some(place) = while_held(held, now)
    {
        return place;
    }
    let cause = ledger["cause"].as_str().map_or(String::new(), |cause| format!(" ({cause})"));
    match (ledger["outcome"].as_str(), ledger["lease_until"].as_i64()) {
        (Some("rejected"), _) => format!("rejected{cause}, and its dead letter was put back or deleted"),
        (Some(outcome), _) => format!("done: {outcome}{cause}"),
        (None, Some(until)) if until > now.unix_timestamp() => {
            format!("an attempt is under way, until {} at the latest", moment(until * 1000))
        }
        (None, _) => match ended_without_the_ledger(course) {
            Some(outcome) if outcome == "held" && course.held.is_none() => {
                "discarded, after it was held: by an operator, or because nobody accepted it in time".to_owned()
            }
            // Accepted, and nobody has tried it yet.
            Some(outcome) if outcome == "held" => WAITS.to_owned(),
            Some(outcome) => format!("done: {outcome}"),
            None => WAITS.to_owned(),
        },
    }
}

const WAITS: &str = "on the queue, until its next attempt";

/// Where a held application is, and what can be done about it; nothing once it is on the queue.
fn while_held(Found { held, has_message }: &Found, now: OffsetDateTime) -> Option<String> {
    let (receipt, cause) = (held.id, &held.cause);
    match (held.decision, has_message) {
        (None, _) => Some(format!(
            "held ({cause}) since {}; on with `held accept --receipt {receipt}`, away with `held discard --receipt {receipt} \
             --yes`, and by itself in {}",
            since(held.held_at, now),
            roughly((held.expires_at - now).try_into().unwrap_or_default())
        )),
        (Some((HeldDecision::Discarded, _)), _) => {
            Some(format!("discarded by an operator, after it was held ({cause})"))
        }
        (Some((HeldDecision::Accepted, _)), true) => {
            Some(format!("accepted, and not on the queue yet: on with `held accept --receipt {receipt}`"))
        }
        (Some((HeldDecision::Accepted, _)), false) => None,
    }
}

/// The outcome of what ended before it came to the queue, such as a form with its honeypot filled in.
fn ended_without_the_ledger(course: &Course) -> Option<String> {
    let outcome = |logged: &Logged| {
        let line: Value = serde_json::from_str(&logged.line).ok()?;
        field(&line, "outcome").and_then(Value::as_str).map(str::to_owned)
    };
    course.log.iter().rev().filter(|_| course.ledger.is_none()).find_map(outcome)
}

fn was_logged(course: &Course, message: &str) -> bool {
    let is_it = |line: Value| field(&line, "message").and_then(Value::as_str) == Some(message);
    course.log.iter().any(|logged| serde_json::from_str(&logged.line).is_ok_and(is_it))
}

/// The fields of a log line that tell something of one invitation, in the order they are told.
const TOLD: [&str; 7] = ["outcome", "cause", "attempts", "fields", "source", "rule", "error"];

/// A log line in words. Only what is known to be impersonal is repeated.
fn said(logged: &Logged) -> String {
    let Ok(line) = serde_json::from_str::<Value>(&logged.line) else {
        return format!("{} logged a line that is not JSON", logged.function);
    };
    let mut text = field(&line, "message").and_then(Value::as_str).unwrap_or("logged").to_owned();
    for name in TOLD {
        let value = match field(&line, name) {
            Some(Value::String(value)) if !value.is_empty() => value.clone(),
            Some(Value::Number(value)) => value.to_string(),
            _ => continue,
        };
        text.push_str(&format!(", {name} {value}"));
    }
    format!("{}: {text}", logged.function)
}

/// A field of a log line, which `tracing` may nest.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get(name).or_else(|| line.get("fields")?.get(name))
}

/// `2026-01-02 03:04:05.678 UTC`.
fn moment(unix_milliseconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_milliseconds) * 1_000_000);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, (hour, minute, second, millisecond)) = (time.date(), time.to_hms_milli());
    format!("{date} {hour:02}:{minute:02}:{second:02}.{millisecond:03} UTC")
}

#[cfg(test)]
mod tests {
    use operator::held::Held;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);

    fn logged(seconds_ago: i64, function: &str, line: &Value) -> Logged {
        let at = (NOW.unix_timestamp() - seconds_ago) * 1000;
        Logged { at, function: function.to_owned(), line: line.to_string() }
    }

    #[test]
    fn a_course_is_told_in_order_and_only_with_what_is_known_to_be_impersonal() {
        let ended = json!({"level": "INFO", "fields": {"message": "invitation ended", "receipt": "r", "outcome": "invited", "cause": "", "attempts": 2}});
        let back = json!({"level": "WARN", "message": "the invitation comes back", "email": "asha@example.test", "attempts": 1, "error": "LeadSquared failed"});
        let course = Course {
            ledger: Some(json!({
                "received_at": NOW.unix_timestamp() - 60, "lead_id": "x", "existing": false, "in_doubt": false,
                "mailed": true, "unresolved_mails": 0, "left_out": ["mx_City"], "outcome": "invited",
            })),
            dead_letter: None,
            held: None,
            log: vec![logged(30, "InvitationFunction", &ended), logged(50, "InvitationFunction", &back)],
        };
        let expected = "\
Invitation r
  2026-01-02 03:03:05.000 UTC  accepted
  2026-01-02 03:03:15.000 UTC  InvitationFunction: the invitation comes back, attempts 1, error LeadSquared failed
  2026-01-02 03:03:35.000 UTC  InvitationFunction: invitation ended, outcome invited, attempts 2
Lead      newly registered
Mail      sent
Left out  mx_City
Now       done: invited
";
        assert_eq!(timeline(&course, "r", NOW), expected);
    }

    #[test]
    fn where_an_invitation_is_now_follows_from_what_is_there() {
        let letter = DeadLetter {
            id: "1".to_owned(),
            class: "rejected".to_owned(),
            cause: "mail-unknown".to_owned(),
            receipt: Some("r".to_owned()),
            laid_aside: (NOW.unix_timestamp() - 300) * 1000,
        };
        let honeypot = json!({"message": "invitation ended", "outcome": "suppressed", "cause": "honeypot"});
        let soon = NOW.unix_timestamp() + 5;
        for (ledger, dead_letter, log, expected) in [
            (None, None, vec![], "on the queue, until its next attempt"),
            (None, None, vec![logged(1, "F", &honeypot)], "done: suppressed"),
            (
                Some(json!({"lease_until": soon})),
                None,
                vec![],
                "an attempt is under way, until 2026-01-02 03:04:10.000 UTC at the latest",
            ),
            (Some(json!({"lease_until": soon - 10})), None, vec![], "on the queue, until its next attempt"),
            (Some(json!({"outcome": "already-invited"})), None, vec![], "done: already-invited"),
            (
                Some(json!({"outcome": "rejected", "cause": "id-reused"})),
                None,
                vec![],
                "rejected (id-reused), and its dead letter was put back or deleted",
            ),
            (
                Some(json!({"outcome": "rejected", "cause": "mail-unknown"})),
                Some(letter),
                vec![],
                "among the dead letters since 5 min; back with `dead-letters put-back --receipt r`, away with \
                 `dead-letters discard --receipt r --yes`",
            ),
        ] {
            let course = Course { ledger, dead_letter, log, ..Course::default() };
            let text = timeline(&course, "r", NOW);
            assert!(text.ends_with(&format!("Now       {expected}\n")), "{text}");
        }
    }

    #[test]
    fn where_a_held_application_is_and_what_to_do_is_told_until_the_queue_has_it() {
        const RECEIPT: &str = "00000000-0000-8000-8000-000000000001";
        let held = |decision: Option<HeldDecision>, has_message| Found {
            held: Held {
                id: RECEIPT.parse().unwrap(),
                cause: "network".to_owned(),
                source: "form".to_owned(),
                network: None,
                held_at: NOW - time::Duration::hours(3),
                expires_at: NOW + time::Duration::days(10),
                decision: decision.map(|decision| (decision, NOW - time::Duration::minutes(5))),
            },
            has_message,
        };
        let (accepted, discarded) = (Some(HeldDecision::Accepted), Some(HeldDecision::Discarded));
        let logged = logged(7, "F", &json!({"message": "application held", "outcome": "held"}));
        for (found, ledger, expected) in [
            (
                Some(held(None, true)),
                None,
                format!(
                    "held (network) since 3 h; on with `held accept --receipt {RECEIPT}`, away with `held discard --receipt \
                     {RECEIPT} --yes`, and by itself in 10 days"
                ),
            ),
            (
                Some(held(accepted, true)),
                None,
                format!("accepted, and not on the queue yet: on with `held accept --receipt {RECEIPT}`"),
            ),
            (Some(held(accepted, false)), None, "on the queue, until its next attempt".to_owned()),
            (Some(held(accepted, false)), Some(json!({"outcome": "invited"})), "done: invited".to_owned()),
            (Some(held(discarded, false)), None, "discarded by an operator, after it was held (network)".to_owned()),
            (
                None,
                None,
                "discarded, after it was held: by an operator, or because nobody accepted it in time".to_owned(),
            ),
        ] {
            let decided = found.as_ref().and_then(|found| found.held.decision).map(|(decision, _)| decision.name());
            let course = Course { ledger, held: found, log: vec![logged.clone()], ..Course::default() };
            let text = timeline(&course, RECEIPT, NOW);
            assert!(text.ends_with(&format!("Now       {expected}\n")), "{text}");
            if let Some(decided) = decided {
                assert!(text.contains(&format!("2026-01-02 02:59:05.000 UTC  {decided} by an operator\n")), "{text}");
            }
            assert_eq!(course.held.is_some(), text.contains("2026-01-02 00:04:05.000 UTC  held: network\n"), "{text}");
        }
    }
}
