#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod caps;
mod limiter;
mod settings;
mod store_error;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join;
use ledger::{Hold, HoldOutcome, Ledger, LedgerError, PlacesResult, milliseconds, within};
use onboarding::Invitation;
use queue::Invitations;
use telemetry::Metric;
use throttle::Network;
use time::OffsetDateTime;

use crate::caps::{Caps, hash};
use crate::limiter::{Cap, Limiter, LimiterDecision};

pub use crate::settings::{DailyBudget, IntakeLimits, IntakeSettings};
pub use crate::store_error::StoreError;

/// Time limit for the decision of the table. The applicant waits for it, and the limiter in the process can decide too.
const TABLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Time limit for giving places back to the table. By then the queue has used most of the time of the request.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long the limiter in the process recognises a repeat: as long as its longest window.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// The sender of an application.
#[derive(Clone)]
pub enum Submitter {
    /// A visitor of a website, with the visitor's network if the entry point reports it.
    Visitor(Option<Network>),
    /// A sender with a form key, which can name the visitor's network.
    FormKey {
        /// A hash of the key.
        hash: String,
        /// The visitor's network.
        visitor: Option<Network>,
    },
    /// Another system, with the name of its event source.
    System(String),
}

impl Submitter {
    /// The sender with this form key, and the visitor's network if the sender named it.
    pub fn form_key(key: &[u8], visitor: Option<Network>) -> Self {
        Self::FormKey { hash: hash("form key", [key]), visitor }
    }

    /// Whether the sender has a form key.
    pub fn has_form_key(&self) -> bool {
        matches!(self, Self::FormKey { .. })
    }
}

/// An application, a link request or another system's event that has arrived.
pub struct Submission<'a> {
    /// The invitation that it asks for. A password in it is sealed.
    pub invitation: &'a Invitation,
    /// Its sender.
    pub sender: &'a Submitter,
    /// Whether a robot filled in the honeypot. The application is then held, whatever the caps permit.
    pub by_robot: bool,
}

/// Intake's decision about a submission.
#[derive(Debug)]
pub enum IntakeDecision {
    /// It is on the queue.
    Accepted,
    /// It is held for an operator.
    Held,
    /// It was dropped: a link request over a cap, or a robot's form that cannot be held.
    Dropped,
    /// It is not stored: its network has reached the cap of held applications for today.
    TooMany {
        /// The time after which the network can send again.
        retry_after: Duration,
    },
    /// It is not stored. That is counted and logged already.
    NotStored(StoreError),
    /// It is not stored: another application with the same id arrived before.
    OtherPayload,
}

/// What happens to an application over a cap: it is held or dropped.
pub trait OverCapPolicy {
    /// Whether it is held.
    const HOLDS: bool;

    /// Holds the application.
    fn hold(
        ledger: &Ledger,
        hold: &Hold<'_>,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<HoldOutcome, LedgerError>> + Send;
}

/// Holds it for an operator. For applications and events.
pub struct HoldOverCap;

/// Drops it. For link requests, because the applicant can ask again. A function that only drops needs no permission for
/// `dynamodb:PutItem`.
pub struct DropOverCap;

impl OverCapPolicy for HoldOverCap {
    const HOLDS: bool = true;

    async fn hold(ledger: &Ledger, hold: &Hold<'_>, now: OffsetDateTime) -> Result<HoldOutcome, LedgerError> {
        ledger.hold(hold, now).await
    }
}

impl OverCapPolicy for DropOverCap {
    const HOLDS: bool = false;

    async fn hold(_: &Ledger, _: &Hold<'_>, _: OffsetDateTime) -> Result<HoldOutcome, LedgerError> {
        Ok(HoldOutcome::AlreadyHeld)
    }
}

/// Decides about arrivals by the caps, and puts the accepted ones on the queue.
pub struct Intake<O = HoldOverCap> {
    table: Option<Ledger>,
    limiter: Mutex<Limiter>,
    limits: IntakeLimits,
    day: DailyBudget,
    /// Whether the process has logged at `ERROR` that it counts alone.
    has_reported: AtomicBool,
    over_cap: PhantomData<O>,
}

/// The decision of the caps about a submission.
enum CapDecision {
    /// It can go to the queue. The counter has counted it.
    Admitted(Counter),
    /// It went to the queue before. It can go there again, where it is recognised.
    Repeat,
    /// It is held.
    Held,
    /// It is over the named cap and must be dropped.
    Over(&'static str),
    /// Its network has reached the cap of held applications. Holds the time until it can send again.
    TooMany(Duration),
    /// It can be neither admitted nor held now.
    NotStored(StoreError),
    /// Another application with the same id arrived before.
    OtherPayload,
}

/// Where an application was counted.
#[derive(Clone, Copy)]
enum Counter {
    Table,
    Process,
}

impl<O: OverCapPolicy> Intake<O> {
    /// Intake with these settings and counters in this ledger. Without a ledger, each process counts alone and logs
    /// that.
    pub fn new(table: Option<Ledger>, settings: &IntakeSettings) -> Self {
        if table.is_none() {
            tracing::error!(
                "LEDGER_TABLE is not set: each process applies the caps by its own count and no application can be held; \
                 deploy the template of this release"
            );
        }
        let has_reported = AtomicBool::new(table.is_none());
        Self {
            table,
            limiter: Mutex::default(),
            limits: settings.limits,
            day: settings.day,
            has_reported,
            over_cap: PhantomData,
        }
    }

    /// Opens the connections to the table and to the queue.
    pub async fn connect(&self, queue: &Invitations) {
        let table = async {
            if let Some(table) = &self.table {
                table.connect().await;
            }
        };
        tokio::join!(table, queue.connect());
    }

    /// Decides about a submission, and puts it on the queue if it is within all caps.
    pub async fn take(&self, queue: &Invitations, submission: &Submission<'_>, now: OffsetDateTime) -> IntakeDecision {
        let invitation = submission.invitation;
        let (receipt, source) = (invitation.id, invitation.source.name());
        let caps = Caps::of(submission, &self.limits, &self.day, now);
        match self.decide(submission, &caps, now).await {
            CapDecision::Admitted(counter) => match queue.send(invitation).await {
                Ok(()) => IntakeDecision::Accepted,
                Err(error) => {
                    self.give_back(counter, &caps, now).await;
                    not_stored(invitation, StoreError::Queue(error))
                }
            },
            CapDecision::Repeat => match queue.send(invitation).await {
                Ok(()) => IntakeDecision::Accepted,
                Err(error) => not_stored(invitation, StoreError::Queue(error)),
            },
            CapDecision::Held => IntakeDecision::Held,
            CapDecision::Over("honeypot") => {
                Metric::Ended { outcome: "suppressed", source, age: Duration::ZERO }.record();
                tracing::warn!(
                    %receipt, source, outcome = "suppressed", cause = "honeypot",
                    "dropped a robot's application, because it cannot be held; no action needed"
                );
                IntakeDecision::Dropped
            }
            CapDecision::Over(cause) => {
                Metric::LinkRequestDropped.record();
                tracing::warn!(
                    %receipt, source, cause,
                    "dropped a link request that is over a cap; the applicant can ask again later; no action needed"
                );
                IntakeDecision::Dropped
            }
            CapDecision::TooMany(retry_after) => {
                tracing::warn!(
                    %receipt, source, retry_after = retry_after.as_secs(),
                    "refused an application: its network has reached the cap of held applications; no action needed"
                );
                IntakeDecision::TooMany { retry_after }
            }
            CapDecision::NotStored(error) => not_stored(invitation, error),
            CapDecision::OtherPayload => {
                tracing::warn!(
                    %receipt, source,
                    "refused an application: another one with the same id and other content arrived before; \
                     if this lasts, check how its sender forms ids"
                );
                IntakeDecision::OtherPayload
            }
        }
    }

    async fn decide(&self, submission: &Submission<'_>, caps: &Caps, now: OffsetDateTime) -> CapDecision {
        let Some(table) = &self.table else { return self.decide_in_process(submission, caps, now, None) };
        match within(TABLE_TIMEOUT, self.decide_in_table(table, submission, caps, now)).await {
            Ok(decision) => decision,
            // The process must not decide in this case: a sender could pass the caps by throttling the table.
            Err(error) if error.is_throttled() => CapDecision::NotStored(StoreError::Ledger(error)),
            Err(error) => self.decide_in_process(submission, caps, now, Some(&error)),
        }
    }

    /// Decides by the counters in the table. An application takes two requests here and one to the queue, or three here
    /// if it is held. The last two of those can run at the same time.
    async fn decide_in_table(
        &self,
        table: &Ledger,
        submission: &Submission<'_>,
        caps: &Caps,
        now: OffsetDateTime,
    ) -> Result<CapDecision, LedgerError> {
        let began = tokio::time::Instant::now();
        let counted = table.count_sender(&caps.sender, &caps.bounds).await?;
        // A robot's form uses up neither the caps of its network nor those of the person whose address it typed.
        let cause = if submission.by_robot { Some("honeypot") } else { counted.over.map(|bound| caps.over(bound).0) };
        if let Some(cause) = cause {
            let counted_bounds = if counted.over.is_none() { &caps.bounds[..] } else { &[] };
            if !O::HOLDS {
                // An admitted request makes two more calls. Waiting as long keeps the answer's time the same.
                tokio::time::sleep(began.elapsed() * 2).await;
                return Ok(CapDecision::Over(cause));
            }
            let wait = counted.over.map_or(caps.day_left, |bound| caps.over(bound).1);
            let has_room = match counted.held < caps.held_most {
                true => table.uncount_sender(&caps.sender, counted_bounds, Some(caps.held_most)).await,
                false => Ok(false),
            };
            return Ok(match has_room {
                Ok(true) => self.hold(table, submission, caps, cause, now).await,
                Ok(false) => {
                    self.uncount(table, caps, counted_bounds).await;
                    CapDecision::TooMany(wait)
                }
                Err(error) => CapDecision::NotStored(StoreError::Ledger(error)),
            });
        }

        let (cause, wait) = match table.take_places(&caps.places, &caps.mark, now).await? {
            PlacesResult::All => return Ok(CapDecision::Admitted(Counter::Table)),
            PlacesResult::OtherPayload => {
                self.uncount(table, caps, &caps.bounds).await;
                return Ok(CapDecision::OtherPayload);
            }
            PlacesResult::Repeat { is_held: false } => {
                self.uncount(table, caps, &caps.bounds).await;
                return Ok(CapDecision::Repeat);
            }
            PlacesResult::Repeat { is_held: true } => {
                // The held copy still exists, or it is held again.
                let hold = self.hold(table, submission, caps, "repeat", now);
                return Ok(join(hold, self.uncount(table, caps, &caps.bounds)).await.0);
            }
            PlacesResult::Full { first, retry_after } => (caps.full(first), retry_after),
            // That many applications about one person at the same time do not come from a person.
            PlacesResult::Contended => ("contended", Duration::from_secs(1)),
        };
        if !O::HOLDS {
            self.uncount(table, caps, &caps.bounds).await;
            return Ok(CapDecision::Over(cause));
        }
        if counted.held >= caps.held_most {
            self.uncount(table, caps, &caps.bounds).await;
            return Ok(CapDecision::TooMany(wait));
        }
        let counts = table.uncount_sender(&caps.sender, &caps.bounds, Some(caps.held_most));
        let (held, has_room) = join(self.hold(table, submission, caps, cause, now), counts).await;
        // If others have reached the cap of held applications meanwhile, this one stays held: it is stored already.
        if !has_room.unwrap_or(true) {
            self.uncount(table, caps, &caps.bounds).await;
        }
        Ok(held)
    }

    /// Holds an application that is over a cap. If this fails, its sender must repeat it. The process must not decide
    /// in this case: a sender could pass the caps by making the table fail.
    async fn hold(
        &self,
        table: &Ledger,
        submission: &Submission<'_>,
        caps: &Caps,
        cause: &'static str,
        now: OffsetDateTime,
    ) -> CapDecision {
        let invitation = submission.invitation;
        let hold = Hold { invitation, cause, network: caps.network.as_deref(), mark: &caps.mark };
        match O::hold(table, &hold, now).await {
            Ok(HoldOutcome::Held) => {
                let source = invitation.source.name();
                Metric::Held { source }.record();
                tracing::warn!(
                    receipt = %invitation.id, source, outcome = "held", cause,
                    "held an application that is over a cap; accept or discard it, or it expires"
                );
                CapDecision::Held
            }
            Ok(HoldOutcome::AlreadyHeld) => CapDecision::Held,
            Ok(HoldOutcome::WasAccepted) => CapDecision::Repeat,
            Ok(HoldOutcome::OtherPayload) => CapDecision::OtherPayload,
            Err(error) => CapDecision::NotStored(StoreError::Ledger(error)),
        }
    }

    /// Decides by the counters in the process, while the table is unavailable.
    fn decide_in_process(
        &self,
        submission: &Submission<'_>,
        caps: &Caps,
        now: OffsetDateTime,
        error: Option<&LedgerError>,
    ) -> CapDecision {
        if let Some(error) = error {
            // Only the first failure is an `ERROR`. A lasting cause, such as a missing permission, would flood the log.
            match self.has_reported.swap(true, Ordering::Relaxed) {
                false => tracing::error!(
                    error = %error,
                    "could not count in the ledger: this process applies the caps by its own count; check LEDGER_TABLE and the role"
                ),
                true => {
                    tracing::warn!(error = %error, "could not count in the ledger: this process applies the caps by its own count")
                }
            }
        }
        if submission.by_robot {
            // Without a table, the form can never be held. With one, it can be held when the table is available again.
            return if error.is_none() {
                CapDecision::Over("honeypot")
            } else {
                CapDecision::NotStored(StoreError::LimiterFull { retry_after: Duration::from_secs(60) })
            };
        }
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        match limiter.admit(&process_caps(caps), &caps.mark.hash, REMEMBERED, milliseconds(now)) {
            LimiterDecision::Admitted => CapDecision::Admitted(Counter::Process),
            LimiterDecision::Repeat => CapDecision::Repeat,
            LimiterDecision::Full { .. } if !O::HOLDS => CapDecision::Over("process"),
            LimiterDecision::Full { retry_after } | LimiterDecision::OutOfMemory { retry_after } => {
                CapDecision::NotStored(StoreError::LimiterFull { retry_after })
            }
        }
    }

    /// Gives back the places of an application that the queue did not accept. A repeat of it is not a repeat then.
    async fn give_back(&self, counter: Counter, caps: &Caps, at: OffsetDateTime) {
        match (counter, &self.table) {
            (Counter::Table, Some(table)) => {
                let places = within(GIVE_BACK_TIMEOUT, table.give_places_back(&caps.places, &caps.mark, at));
                let (places, ()) = join(places, self.uncount(table, caps, &caps.bounds)).await;
                if let Err(error) = places {
                    tracing::warn!(
                        error = %error,
                        "could not give back the places of an application that was not stored: this person and this \
                         mailbox reach their caps one application early for an hour; no action needed"
                    );
                }
            }
            _ => {
                let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
                limiter.give_back(&process_caps(caps), &caps.mark.hash, milliseconds(at));
            }
        }
    }

    async fn uncount(&self, table: &Ledger, caps: &Caps, bounds: &[ledger::CounterLimit]) {
        if bounds.is_empty() {
            return;
        }
        let uncounted = table.uncount_sender(&caps.sender, bounds, None);
        if let Err(error) = within(GIVE_BACK_TIMEOUT, uncounted).await {
            tracing::warn!(
                error = %error,
                "could not uncount an application that did not go to the queue: its sender reaches the cap one \
                 application early; no action needed"
            );
        }
    }
}

/// Counts and logs an application, an event or a link request that is not stored.
fn not_stored(invitation: &Invitation, error: StoreError) -> IntakeDecision {
    Metric::NotStored.record();
    tracing::error!(
        receipt = %invitation.id, source = invitation.source.name(), cause = error.cause(), error = %error,
        retry_after = error.retry_after().as_secs(),
        "not stored: its sender is asked to send it again; if this lasts, check the queue, the table and the role"
    );
    IntakeDecision::NotStored(error)
}

/// The caps that the limiter in the process counts: the narrowest of the person's and of the sender's.
fn process_caps(caps: &Caps) -> Vec<Cap<'_>> {
    let person = caps.places.first();
    let person = person.map(|places| Cap { key: &places.hash, count: places.count, window: places.window });
    let sender = caps.bounds.first();
    let sender = sender.map(|bound| Cap { key: &caps.window_key, count: bound.most, window: caps.window });
    person.into_iter().chain(sender).collect()
}
