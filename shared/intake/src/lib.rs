//! Decides once, before the queue, what becomes of an application, a request for a link or another system's event.
//!
//! The queue's backlog of one person, the day's mails and the plan's daily calls are shared by everybody, so no sender
//! may use them up. An application is counted by its sender, by the person together with where it came from, and by
//! the mailbox. What goes over a cap is *held* for an operator, and its sender gets the answer that everybody gets.
//!
//! | cap | default |
//! | --- | --- |
//! | one person from one network | 3 an hour |
//! | one mailbox | 20 an hour |
//! | one network | 300 in a quarter of an hour (an IPv6 /48: five times that), and 5 % of the day's calls and mails |
//! | one form key, or one source of events | 5,000 an hour, and half of the day |
//!
//! Two calls to DynamoDB decide about an application: a conditional update of the sender's counter, and a transaction
//! over the places of the person and of the mailbox together with a mark of the application. An identical repeat finds
//! the mark: it is answered the same and not counted. An application that is queued and one that is held take three
//! requests to AWS each, one after the other, so that the time of the answer does not tell which it was.
//!
//! While the table cannot be asked, a limiter within the process holds the same caps for a person and for a network.
//! What goes over those is told to try again, because it cannot be held.

mod caps;
mod limiter;
mod settings;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join;
use ledger::{Hold, Holding, Ledger, LedgerError, Taken as TakenPlaces};
use onboarding::Invitation;
use queue::{Invitations, QueueError};
use telemetry::Metric;
use throttle::Network;
use time::OffsetDateTime;

use crate::caps::{Caps, hash};
use crate::limiter::{Asked, Cap, Limiter};

pub use crate::settings::{Day, Limits, Settings};

/// How long the table has to decide. A person waits, and the limiter in the process can decide as well.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long the table has to take places back, when the queue has used up most of the person's patience.
const PATIENCE_TO_GIVE_BACK: Duration = Duration::from_millis(1500);

/// How long a process remembers what it admitted itself: as long as its longest window.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// Where an application comes from.
#[derive(Clone)]
pub enum Sender {
    /// A visitor of a website, on this network if the entry point says which.
    Visitor(Option<Network>),
    /// A sender with a form key, which can name the visitor.
    FormKey {
        /// A hash of the key.
        hash: String,
        /// The visitor's network.
        visitor: Option<Network>,
    },
    /// Another system, by the name of its events' source.
    System(String),
}

impl Sender {
    /// The sender with this form key, which names its visitor's network or does not.
    pub fn form_key(key: &[u8], visitor: Option<Network>) -> Self {
        Self::FormKey { hash: hash("form key", [key]), visitor }
    }

    /// Whether it proved itself with a form key.
    pub fn has_form_key(&self) -> bool {
        matches!(self, Self::FormKey { .. })
    }
}

/// What arrived.
pub struct Arrival<'a> {
    /// What it asks for. A password in it is sealed.
    pub invitation: &'a Invitation,
    /// Where it comes from.
    pub sender: &'a Sender,
    /// Whether it is to be held whatever the caps say: a field that people do not see was filled in.
    pub by_robot: bool,
}

/// What became of it.
#[derive(Debug)]
pub enum Fate {
    /// It is on the queue.
    Accepted,
    /// It is held.
    Held,
    /// It was dropped: a request for a link over a cap, or a robot's form where nothing can be held.
    Dropped,
    /// It is not stored, and its network may not have more applications held today.
    TooMany {
        /// When the network may send again.
        retry_after: Duration,
    },
    /// It is not stored: the table cannot be asked and the process admits no more, or it could not be held.
    Busy {
        /// When another attempt makes sense.
        retry_after: Duration,
    },
    /// It is not stored: the queue did not take it. It is not counted either.
    NotStored(QueueError),
    /// It is not stored: another application came with the same id.
    OtherPayload,
}

/// What becomes of what goes over a cap.
pub trait OverCap {
    /// Whether it is held.
    const HOLDS: bool;

    /// Holds it.
    fn hold(
        ledger: &Ledger,
        hold: &Hold<'_>,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Holding, LedgerError>> + Send;
}

/// It is held for an operator, as applications and events are.
pub struct Kept;

/// It is dropped, as a request for a link is: its sender asks again. A function that drops needs no right to put
/// items.
pub struct Dropped;

impl OverCap for Kept {
    const HOLDS: bool = true;

    async fn hold(ledger: &Ledger, hold: &Hold<'_>, now: OffsetDateTime) -> Result<Holding, LedgerError> {
        ledger.hold(hold, now).await
    }
}

impl OverCap for Dropped {
    const HOLDS: bool = false;

    async fn hold(_: &Ledger, _: &Hold<'_>, _: OffsetDateTime) -> Result<Holding, LedgerError> {
        Ok(Holding::Already)
    }
}

/// Intake's counters, and what becomes of what goes over a cap.
pub struct Intake<O = Kept> {
    table: Option<Ledger>,
    limiter: Mutex<Limiter>,
    limits: Limits,
    day: Day,
    has_complained: AtomicBool,
    over_cap: PhantomData<O>,
}

/// What the caps say.
enum Verdict {
    /// It may go to the queue, and is counted where this says.
    Admitted(Counter),
    /// It went to the queue before, and may again.
    Repeat,
    /// It is held.
    Held,
    /// It is over a cap and is not to be held.
    Over(&'static str),
    TooMany(Duration),
    Busy(Duration),
    OtherPayload,
}

/// Where an application is counted.
#[derive(Clone, Copy)]
enum Counter {
    Table,
    Process,
}

impl<O: OverCap> Intake<O> {
    /// Intake with these settings, which counts in this ledger. Without one, each process counts alone, and says so.
    pub fn new(table: Option<Ledger>, settings: &Settings) -> Self {
        if table.is_none() {
            tracing::error!(
                "LEDGER_TABLE is not set: each process counts alone and nothing can be held. Deploy the template of this release"
            );
        }
        let has_complained = AtomicBool::new(table.is_none());
        Self {
            table,
            limiter: Mutex::default(),
            limits: settings.limits,
            day: settings.day,
            has_complained,
            over_cap: PhantomData,
        }
    }

    /// Decides about what arrived, and puts it on the queue if no cap is in the way.
    pub async fn take(&self, queue: &Invitations, arrival: &Arrival<'_>, now: OffsetDateTime) -> Fate {
        let invitation = arrival.invitation;
        let (receipt, source) = (invitation.id, invitation.source.name());
        let caps = Caps::of(arrival, &self.limits, &self.day, now);
        match self.ask(arrival, &caps, now).await {
            Verdict::Admitted(counter) => match queue.send(invitation).await {
                Ok(()) => Fate::Accepted,
                Err(error) => {
                    self.give_back(counter, &caps, now).await;
                    Fate::NotStored(error)
                }
            },
            Verdict::Repeat => queue.send(invitation).await.map_or_else(Fate::NotStored, |()| Fate::Accepted),
            Verdict::Held => Fate::Held,
            Verdict::Over("honeypot") => {
                Metric::Ended { outcome: "suppressed", source, age: Duration::ZERO }.record();
                tracing::warn!(%receipt, source, outcome = "suppressed", cause = "honeypot", "a form cannot be held and is dropped");
                Fate::Dropped
            }
            Verdict::Over(cause) => {
                Metric::LinkRequestDropped.record();
                tracing::warn!(%receipt, source, cause, "a request for a link is over a cap and is dropped");
                Fate::Dropped
            }
            Verdict::TooMany(retry_after) => {
                tracing::warn!(source, "a network has as many held applications as it may: another one is turned away");
                Fate::TooMany { retry_after }
            }
            Verdict::Busy(retry_after) => {
                tracing::warn!(%receipt, source, "the ledger does not answer as it should: not stored, to be sent again");
                Fate::Busy { retry_after }
            }
            Verdict::OtherPayload => {
                tracing::warn!(%receipt, source, "another application came with this id");
                Fate::OtherPayload
            }
        }
    }

    async fn ask(&self, arrival: &Arrival<'_>, caps: &Caps, now: OffsetDateTime) -> Verdict {
        let Some(table) = &self.table else { return self.ask_process(arrival, caps, now, None) };
        match in_time(PATIENCE, self.ask_table(table, arrival, caps, now)).await {
            Ok(verdict) => verdict,
            // Were the process to decide then, a sender could get past the caps by asking too often.
            Err(error) if error.is_throttled() => not_held(arrival, &error),
            Err(error) => self.ask_process(arrival, caps, now, Some(&error)),
        }
    }

    /// The ordinary way: two requests before the queue's one, or three that hold it, of which the last two may go side
    /// by side.
    async fn ask_table(
        &self,
        table: &Ledger,
        arrival: &Arrival<'_>,
        caps: &Caps,
        now: OffsetDateTime,
    ) -> Result<Verdict, LedgerError> {
        let began = tokio::time::Instant::now();
        let counted = table.count_sender(&caps.sender, &caps.bounds).await?;
        // A robot's form takes neither a place of its network nor one of the person whose address it typed.
        let cause = if arrival.by_robot { Some("honeypot") } else { counted.over.map(|bound| caps.over(bound).0) };
        if let Some(cause) = cause {
            let counted_bounds = if counted.over.is_none() { &caps.bounds[..] } else { &[] };
            if !O::HOLDS {
                // As long as the two requests take that it is spared.
                tokio::time::sleep(began.elapsed() * 2).await;
                return Ok(Verdict::Over(cause));
            }
            let wait = counted.over.map_or(caps.day_left, |bound| caps.over(bound).1);
            let has_room = match counted.held < caps.held_most {
                true => table.uncount_sender(&caps.sender, counted_bounds, Some(caps.held_most)).await,
                false => Ok(false),
            };
            return Ok(match has_room {
                Ok(true) => self.hold(table, arrival, caps, cause, now).await,
                Ok(false) => {
                    self.uncount(table, caps, counted_bounds).await;
                    Verdict::TooMany(wait)
                }
                Err(error) => not_held(arrival, &error),
            });
        }

        let (cause, wait) = match table.take_places(&caps.places, &caps.mark, now).await? {
            TakenPlaces::All => return Ok(Verdict::Admitted(Counter::Table)),
            TakenPlaces::OtherPayload => {
                self.uncount(table, caps, &caps.bounds).await;
                return Ok(Verdict::OtherPayload);
            }
            TakenPlaces::Repeat { is_held: false } => {
                self.uncount(table, caps, &caps.bounds).await;
                return Ok(Verdict::Repeat);
            }
            TakenPlaces::Repeat { is_held: true } => {
                // Its item is still there, or it is held again.
                let hold = self.hold(table, arrival, caps, "repeat", now);
                return Ok(join(hold, self.uncount(table, caps, &caps.bounds)).await.0);
            }
            TakenPlaces::Full { first, retry_after } => (caps.full(first), retry_after),
            // So many at once about one person are no person.
            TakenPlaces::Contended => ("contended", Duration::from_secs(1)),
        };
        if !O::HOLDS {
            self.uncount(table, caps, &caps.bounds).await;
            return Ok(Verdict::Over(cause));
        }
        if counted.held >= caps.held_most {
            self.uncount(table, caps, &caps.bounds).await;
            return Ok(Verdict::TooMany(wait));
        }
        let counts = table.uncount_sender(&caps.sender, &caps.bounds, Some(caps.held_most));
        let (held, has_room) = join(self.hold(table, arrival, caps, cause, now), counts).await;
        // Where others took the last room meanwhile, it is held all the same: it is stored by now.
        if !has_room.unwrap_or(true) {
            self.uncount(table, caps, &caps.bounds).await;
        }
        Ok(held)
    }

    /// Holds what is over a cap. Where that fails, its sender has to come again: were the process to decide then, a
    /// sender could get past the caps by having the table fail.
    async fn hold(
        &self,
        table: &Ledger,
        arrival: &Arrival<'_>,
        caps: &Caps,
        cause: &'static str,
        now: OffsetDateTime,
    ) -> Verdict {
        let invitation = arrival.invitation;
        let hold = Hold { invitation, cause, network: caps.network.as_deref(), mark: &caps.mark };
        match O::hold(table, &hold, now).await {
            Ok(Holding::Now) => {
                let source = invitation.source.name();
                Metric::Held { source }.record();
                tracing::warn!(receipt = %invitation.id, source, outcome = "held", cause, "application held for an operator");
                Verdict::Held
            }
            Ok(Holding::Already) => Verdict::Held,
            Ok(Holding::WasAccepted) => Verdict::Repeat,
            Ok(Holding::OtherPayload) => Verdict::OtherPayload,
            Err(error) => not_held(arrival, &error),
        }
    }

    /// While the table cannot be asked.
    fn ask_process(
        &self,
        arrival: &Arrival<'_>,
        caps: &Caps,
        now: OffsetDateTime,
        error: Option<&LedgerError>,
    ) -> Verdict {
        if let Some(error) = error {
            // Once for what lasts, such as a role without the right; then a line for each would drown everything else.
            match self.has_complained.swap(true, Ordering::Relaxed) {
                false => tracing::error!(error = %error, "the ledger cannot be asked: this process counts alone"),
                true => tracing::warn!(error = %error, "the ledger cannot be asked: this process counts alone"),
            }
        }
        if arrival.by_robot {
            // Where there is no table at all, it cannot be held later either.
            return if error.is_none() { Verdict::Over("honeypot") } else { Verdict::Busy(Duration::from_secs(60)) };
        }
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        match limiter.ask(&process_caps(caps), &caps.mark.hash, REMEMBERED, milliseconds(now)) {
            Asked::Admitted => Verdict::Admitted(Counter::Process),
            Asked::Repeat => Verdict::Repeat,
            Asked::Full { .. } if !O::HOLDS => Verdict::Over("process"),
            Asked::Full { retry_after } | Asked::OutOfMemory { retry_after } => Verdict::Busy(retry_after),
        }
    }

    /// The queue did not take it: somebody else may have its places, and its repeat is no repeat.
    async fn give_back(&self, counter: Counter, caps: &Caps, at: OffsetDateTime) {
        match (counter, &self.table) {
            (Counter::Table, Some(table)) => {
                let places = in_time(PATIENCE_TO_GIVE_BACK, table.give_places_back(&caps.places, &caps.mark, at));
                let (places, ()) = join(places, self.uncount(table, caps, &caps.bounds)).await;
                if let Err(error) = places {
                    tracing::warn!(error = %error, "the places of an application that is not stored stay taken for an hour");
                }
            }
            _ => {
                let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
                limiter.give_back(&process_caps(caps), &caps.mark.hash, milliseconds(at));
            }
        }
    }

    async fn uncount(&self, table: &Ledger, caps: &Caps, bounds: &[ledger::Bound]) {
        if bounds.is_empty() {
            return;
        }
        let uncounted = table.uncount_sender(&caps.sender, bounds, None);
        if let Err(error) = in_time(PATIENCE_TO_GIVE_BACK, uncounted).await {
            tracing::warn!(error = %error, "an application that did not go to the queue stays counted for its sender");
        }
    }
}

/// It is over a cap and cannot be held right now.
fn not_held(arrival: &Arrival<'_>, error: &LedgerError) -> Verdict {
    let receipt = arrival.invitation.id;
    tracing::warn!(%receipt, error = %error, "an application over a cap could not be held: it has to be sent again");
    Verdict::Busy(Duration::from_secs(5))
}

/// The narrowest of the sender's bounds and the person's.
fn process_caps(caps: &Caps) -> Vec<Cap<'_>> {
    let person = caps.places.first();
    let person = person.map(|places| Cap { key: &places.hash, count: places.count, window: places.window });
    let sender = caps.bounds.first();
    let sender = sender.map(|bound| Cap { key: &caps.window_key, count: bound.most, window: caps.window });
    person.into_iter().chain(sender).collect()
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    let late = |_| Err(LedgerError::Unavailable { cause: "no answer in time".to_owned() });
    tokio::time::timeout(patience, work).await.unwrap_or_else(late)
}
