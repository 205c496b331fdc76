//! The log line and the metrics of each event in the handling of a delivery.

use std::time::Duration;

use leadsquared::Error;
use onboarding::retry::AttemptFailure;
use onboarding::worker::WorkerEvent;
use onboarding::{Completion, FlowEvent, Invitation, InvitationId, Outcome, Postponed, RefusedMark};
use queue::MessageDelivery;
use telemetry::{Metric, in_full};
use time::OffsetDateTime;

/// Logs and counts what the worker reports of this delivery. `keys_secret` is the name of the secret with the
/// LeadSquared keys.
pub(crate) fn record(report: &WorkerEvent<'_>, delivery: &MessageDelivery<'_>, now: OffsetDateTime, keys_secret: &str) {
    let (message, attempts) = (delivery.message_id, delivery.receive_count);
    match *report {
        WorkerEvent::Malformed(error) => {
            Metric::Malformed.record();
            tracing::error!(message.id = message, %error, "the message is not an invitation and becomes a dead letter");
        }
        WorkerEvent::PasswordDiscarded(receipt) => tracing::info!(
            %receipt,
            "a password from a form without a form key is not used: a random one is set"
        ),
        WorkerEvent::PasswordLost { receipt, error } => tracing::error!(
            %receipt,
            error = in_full(error),
            "the chosen password cannot be opened and is lost: a random one is set, no action needed for this applicant"
        ),
        WorkerEvent::Flow(event) => log_flow_event(event),
        WorkerEvent::Failed { receipt, failure, needs_operator, age, retry_in } => {
            let cause = failure.name();
            match failure {
                AttemptFailure::Postponed(Postponed::RuleLookups { .. }) => {
                    Metric::QuestionWaits { cause, age }.record()
                }
                _ => Metric::Retry { cause, needs_operator, age }.record(),
            }
            if let AttemptFailure::Postponed(Postponed::MailUnknown(_)) = failure {
                Metric::MailUnknown.record();
            }
            log_failure(receipt, failure, needs_operator, retry_in, delivery, keys_secret);
        }
        WorkerEvent::NotRecorded { receipt, error } => tracing::warn!(
            receipt = receipt.map(tracing::field::display),
            error = in_full(error),
            "the ledger could not record that the message becomes a dead letter; it is recorded when the dead letter \
             is put back, no action needed"
        ),
        WorkerEvent::MadeWay { receipt } => tracing::info!(
            %receipt,
            message.id = message,
            "LeadSquared has not answered this message for half an hour, so the person's later messages no longer wait \
             for it; no action needed"
        ),
        WorkerEvent::MakeWayFailed { receipt, error } => tracing::warn!(
            %receipt,
            message.id = message,
            cause = "InvitationsQueue",
            %error,
            "the invitation could not be sent to the queue again, so the person's later messages wait for it; no action \
             needed unless this lasts"
        ),
        WorkerEvent::Requeued { receipt } => tracing::warn!(
            %receipt,
            message.id = message,
            cause = "RuleLookups",
            "the invitation has waited 13 days for a look-up for its undecided rules and is sent to the queue again; ask \
             LeadSquared's support to send custom fields in webhooks"
        ),
        WorkerEvent::RequeueFailed { receipt, error, needs_operator, age, retry_in } => {
            let cause = "InvitationsQueue";
            Metric::Retry { cause, needs_operator, age }.record();
            let retry_in_seconds = retry_in.as_secs();
            match needs_operator {
                true => tracing::error!(
                    %receipt, message.id = message, attempts, cause, %error, retry_in_seconds,
                    "the invitation could not be sent to the queue again: check INVITATIONS_QUEUE_URL and the function's \
                     role"
                ),
                false => tracing::warn!(
                    %receipt, message.id = message, attempts, cause, %error, retry_in_seconds,
                    "the invitation could not be sent to the queue again; no action needed unless this lasts"
                ),
            }
        }
        WorkerEvent::DeadLetterFailed { error, needs_operator, age, retry_in } => {
            let cause = "DeadLetterQueue";
            Metric::Retry { cause, needs_operator, age }.record();
            let retry_in_seconds = retry_in.as_secs();
            match needs_operator {
                true => tracing::error!(
                    message.id = message, attempts, cause, %error, retry_in_seconds,
                    "the dead letter could not be written: check DEAD_LETTERS_QUEUE_URL and the function's role"
                ),
                false => tracing::warn!(
                    message.id = message, attempts, cause, %error, retry_in_seconds,
                    "the dead letter could not be written; no action needed unless this lasts"
                ),
            }
        }
        WorkerEvent::Ended { invitation, receipt, completion, is_dead_letter } => {
            log_end(invitation, receipt, completion, is_dead_letter, delivery, now);
        }
    }
}

fn log_flow_event(event: &FlowEvent<'_>) {
    match *event {
        FlowEvent::ClaimNotReleased { receipt, error } => tracing::warn!(
            %receipt,
            cause = "Ledger",
            error = in_full(error),
            "the ledger did not release the claim: the next attempt waits until it runs out, no action needed"
        ),
        FlowEvent::RuleDecided { receipt, rule } => {
            tracing::info!(%receipt, rule, "a look-up of the lead decided the rules");
        }
        FlowEvent::RuleNeedsUnknownField { receipt, rule, field } => tracing::warn!(
            %receipt, rule, field,
            "LeadSquared does not return a field that the rule depends on, so the rule did not fire: correct the field's \
             name in the rule"
        ),
        FlowEvent::MailRepeated { receipt } => {
            Metric::MailRepeated.record();
            tracing::info!(
                %receipt,
                "the mail is sent once more, because it is unknown whether an earlier one was sent; no action needed"
            );
        }
        FlowEvent::UnknownFields { receipt, names } => tracing::warn!(
            %receipt,
            cause = "UnknownAttributes",
            fields = names.join(", "),
            "LeadSquared does not have these lead fields, so they were left out: create them, or remove them from the form"
        ),
        FlowEvent::ValuesRefused { receipt, names } => tracing::warn!(
            %receipt,
            cause = "ValueRefused",
            fields = names.join(", "),
            "LeadSquared refused a value of these lead fields, so they went to the lead's notes: compare what the form \
             permits with the fields' types and options"
        ),
        FlowEvent::Withheld { receipt, names } => tracing::warn!(
            %receipt,
            cause = "Content",
            fields = names.join(", "),
            "LeadSquared gave no answer of its own to this registration, as when a firewall blocks what was typed, or \
             refused it with these fields in the notes too: the person was registered without them; enter them from the \
             dead letter"
        ),
        FlowEvent::Unmarked { receipt, field, refused: RefusedMark::Field } => tracing::error!(
            %receipt,
            cause = "MarkFieldRefused",
            field,
            "LeadSquared does not take the field that marks unproven identifiers, so they went to the lead's notes: \
             create the field as a text field"
        ),
        FlowEvent::Unmarked { receipt, field, refused: RefusedMark::Value } => tracing::warn!(
            %receipt,
            cause = "MarkValueRefused",
            field,
            "LeadSquared refused an identifier or the field that marks it, so the identifiers went to the lead's \
             notes: run the key check, which examines the field"
        ),
    }
}

/// Says why an attempt failed, what happens next, and what an operator has to do, if anything.
fn log_failure(
    receipt: Option<InvitationId>,
    failure: &AttemptFailure,
    needs_operator: bool,
    retry_in: Option<Duration>,
    delivery: &MessageDelivery<'_>,
    keys_secret: &str,
) {
    let (message, attempts) = (delivery.message_id, delivery.receive_count);
    let (receipt, cause, error) = (receipt.map(tracing::field::display), failure.name(), in_full(failure));
    // None: it is not retried and becomes a dead letter.
    let retry_in_seconds = retry_in.map(|wait| wait.as_secs());
    let is_configuration = failure.leadsquared().is_some_and(Error::is_configuration);
    macro_rules! line {
        ($level:ident, $text:literal $(, $field:ident)?) => {
            tracing::$level!(
                receipt, message.id = message, attempts, cause, error, retry_in_seconds, $($field,)? $text
            )
        };
    }
    let secret = keys_secret;
    match failure {
        AttemptFailure::NoKeys(_) if needs_operator => {
            line!(error, "could not read the LeadSquared keys: check the secret and the function's role", secret);
        }
        AttemptFailure::NoPassword(_) if needs_operator => {
            line!(error, "could not open the chosen password: check the KMS key and the function's role");
        }
        AttemptFailure::BrokenLedger(_) => {
            line!(error, "the ledger cannot be used: check the table and the function's role")
        }
        AttemptFailure::Panicked => line!(error, "the handling of the message panicked: please report this bug"),
        AttemptFailure::NoTime => line!(info, "the invocation had no time left for this message; no action needed"),
        AttemptFailure::NewerVersion(_) => line!(warn, "a newer function wrote this message: deploy the newer worker"),
        AttemptFailure::DayUsedUp { .. } => {
            line!(warn, "no LeadSquared call is left today: the invitation waits for the next UTC day");
        }
        AttemptFailure::Postponed(Postponed::RuleLookups { .. }) => line!(
            warn,
            "no look-up for undecided rules is left for now, so the invitation waits: up to an hour, or up to 10 hours if \
             it is older than an hour and was not looked up yet, until one is left; if this lasts, ask LeadSquared's \
             support to send custom fields in webhooks"
        ),
        AttemptFailure::Postponed(Postponed::BackingOff { .. }) => line!(
            info,
            "this message of a form or a link request, or this event whose rules are undecided, has failed after several \
             calls, so it is tried less often; no action needed"
        ),
        AttemptFailure::Postponed(Postponed::Lone { .. }) if !needs_operator => line!(
            warn,
            "LeadSquared does not answer this message and answers others, as when a firewall blocks what was typed; no \
             action needed: a dead letter says how it ended"
        ),
        _ if is_configuration && needs_operator => {
            line!(error, "LeadSquared refuses the account's keys or settings: run the key check", secret);
        }
        _ => line!(warn, "the attempt failed; no action needed unless this lasts"),
    }
}

fn log_end(
    invitation: Option<&Invitation>,
    receipt: Option<InvitationId>,
    completion: &Completion,
    is_dead_letter: bool,
    delivery: &MessageDelivery<'_>,
    now: OffsetDateTime,
) {
    let is_rejected = matches!(completion.outcome, Outcome::Rejected(_));
    let (outcome, cause) = (completion.outcome.name(), completion.outcome.cause().unwrap_or_default());
    let source = invitation.map_or("unknown", |invitation| invitation.source.name());
    let rule = invitation.and_then(|invitation| invitation.rule.as_deref());
    let age = delivery.age(now.into()).unwrap_or_default();
    // A dead letter reports what only the message has.
    if completion.fields_left_out > 0 && completion.withheld.is_none() {
        Metric::FieldsLeftOut.record();
    }
    if is_rejected && is_dead_letter {
        Metric::Rejected.record();
    }
    Metric::Ended { outcome, source, age }.record();

    let (receipt, attempts) = (receipt.map(tracing::field::display), delivery.receive_count);
    // The trace of the function that put the message on the queue. Lambda's own trace, in the line's span, is that of
    // the batch.
    let trace = Some(delivery.trace).filter(|trace| !trace.is_empty());
    let (cause, fields_left_out) = (&*cause, completion.fields_left_out);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                receipt,
                source,
                rule,
                outcome,
                cause,
                fields_left_out,
                attempts,
                trace,
                "invitation ended"
            )
        };
    }
    match is_rejected && !is_dead_letter {
        true => line!(warn),
        false => line!(info),
    }
}
