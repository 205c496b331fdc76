//! Derives the caps of an application: the counters that it takes part in, and their limits.

use std::time::Duration;

use ledger::{ApplicationMarker, CounterLimit, KeyedLimit, Owner, SenderCounter};
use onboarding::{Cost, Invitee, MailboxKey, Source};
use throttle::{Network, ThrottleKey};
use time::OffsetDateTime;

use crate::settings::{DailyBudget, IntakeLimits};
use crate::{Submission, Submitter};

const HOUR: Duration = Duration::from_secs(60 * 60);
const QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(15 * 60);

/// The number of counters of an IPv6 site (a /48). Each /64 network of the site belongs to one of them. With a counter
/// for each /64, one site could fill the item.
const SITE_COUNTERS: u8 = 16;

/// The caps of one application.
pub(crate) struct Caps {
    /// The item with the sender's counters of the day.
    pub(crate) sender: SenderCounter,
    /// The counters in that item with their limits, the narrowest first.
    pub(crate) bounds: Vec<CounterLimit>,
    /// For each of these bounds, the reason that an application over it is given.
    causes: Vec<&'static str>,
    /// The places of the person and of the mailbox, the narrowest first.
    pub(crate) places: Vec<KeyedLimit>,
    /// Identifies this application, so that a repeat of it is recognised.
    pub(crate) mark: ApplicationMarker,
    /// A hash of the visitor's network, if the network is known.
    pub(crate) network: Option<String>,
    /// The most applications of the sender that can be held in a day. `u32::MAX` for an event source.
    pub(crate) held_most: u32,
    /// The key of the sender's window in the limiter of the process, whose window slides.
    pub(crate) window_key: String,
    /// The length of the sender's window.
    pub(crate) window: Duration,
    /// The part of the window that has passed.
    elapsed: Duration,
    /// The time until the end of the day.
    pub(crate) day_left: Duration,
}

impl Caps {
    pub(crate) fn of(
        submission: &Submission<'_>,
        limits: &IntakeLimits,
        day: &DailyBudget,
        now: OffsetDateTime,
    ) -> Self {
        let Submission { invitation, sender, by_robot } = *submission;
        let source = invitation.source.name();
        let second_of_day = now.unix_timestamp().rem_euclid(24 * 60 * 60).unsigned_abs();
        let date = now.unix_timestamp().div_euclid(24 * 60 * 60).to_be_bytes();
        let (kind, identity, window, share, causes, held_most) = match sender {
            Submitter::Visitor(network) => {
                let causes = ["network", "network-day"];
                let share = limits.network_share;
                ("network", largest(network.as_ref()), QUARTER_OF_AN_HOUR, share, causes, limits.held)
            }
            Submitter::FormKey { hash, .. } => {
                let causes = ["form-key", "form-key-day"];
                ("form key", hash.as_bytes(), HOUR, limits.form_key_share, causes, limits.form_key)
            }
            Submitter::System(name) => {
                ("source", name.as_bytes(), HOUR, limits.form_key_share, ["source", "source-day"], u32::MAX)
            }
        };
        let slot = second_of_day / window.as_secs();
        let of_window = match (sender, invitation.source) {
            (Submitter::Visitor(_), Source::LinkRequest) => limits.link_requests,
            (Submitter::Visitor(_), _) => limits.network,
            _ => limits.form_key,
        };
        let mut bounds = Vec::new();
        let mut names = Vec::new();
        let mut bound = |name: String, by: u32, most: u32, cause: &'static str| {
            bounds.push(CounterLimit { name, by, most });
            names.push(cause);
        };
        match sender {
            Submitter::Visitor(Some(network)) if network.site().is_some() => {
                let part = network.own()[0] % SITE_COUNTERS;
                bound(format!("{source}-{slot}-{part:x}"), 1, of_window, causes[0]);
                bound(format!("{source}-{slot}"), 1, of_window.saturating_mul(Network::SITE_FACTOR), causes[0]);
            }
            _ => bound(format!("{source}-{slot}"), 1, of_window, causes[0]),
        }
        let Cost { calls, mails } = Cost::of(invitation.action);
        // Every share permits at least one application a day. Otherwise a small account would accept none at all.
        let share = |all: u32, charge: u32| {
            let share = u64::from(all) * u64::from(share) / 100;
            u32::try_from(share).unwrap_or(u32::MAX).max(charge)
        };
        if let Some(all) = day.calls {
            bound("calls".to_owned(), calls, share(all, calls), causes[1]);
        }
        bound("mails".to_owned(), mails, share(day.mails, mails), causes[1]);

        let visitor = match sender {
            Submitter::Visitor(network) | Submitter::FormKey { visitor: network, .. } => network.as_ref(),
            Submitter::System(_) => None,
        };
        // Without a visitor, the form key or the event source takes the place of the network.
        let (kind_of_origin, origin) = match visitor {
            Some(network) => ("network", largest(Some(network))),
            None => (kind, identity),
        };
        // The same mailbox under other spellings, so that one network cannot use up the mailbox's places with them.
        let mailbox = match &invitation.invitee {
            Invitee::Email(email) => Some(MailboxKey::of(email)),
            Invitee::Lead(_) => None,
        };
        let person = invitation.person();
        let one = mailbox.as_ref().map_or(person.as_str(), MailboxKey::as_str);
        let parts = [source.as_bytes(), one.as_bytes(), kind_of_origin.as_bytes(), origin];
        let mut places = vec![KeyedLimit {
            hash: hash("person and network", parts),
            count: limits.person_and_network,
            window: HOUR,
        }];
        if let Some(mailbox) = &mailbox {
            let parts = [source.as_bytes(), mailbox.as_str().as_bytes()];
            places.push(KeyedLimit { hash: hash("mailbox", parts), count: limits.mailbox, window: HOUR });
        }
        let elapsed = Duration::from_secs(second_of_day % window.as_secs());
        let day_left = Duration::from_secs(24 * 60 * 60 - second_of_day);
        Self {
            sender: SenderCounter {
                hash: hash("day", [kind.as_bytes(), identity, &date]),
                expires_at: now + 2 * 24 * HOUR,
            },
            bounds,
            causes: names,
            places,
            // A robot that copies a person's form must not make it look like a repeat, nor the other way round.
            mark: ApplicationMarker {
                hash: hash(
                    if by_robot { "robot's application" } else { "application" },
                    [invitation.id.to_string().as_bytes()],
                ),
                payload: invitation.payload_hash(),
                owner: Owner::of(invitation),
            },
            network: visitor.map(|network| hash("network", [largest(Some(network))])),
            held_most,
            window_key: hash("window", [kind.as_bytes(), identity, source.as_bytes()]),
            window,
            elapsed,
            day_left,
        }
    }

    /// The reason that an application over this bound is given, and the time until the bound has room again.
    pub(crate) fn over(&self, bound: usize) -> (&'static str, Duration) {
        let cause = self.causes.get(bound).copied().unwrap_or("network");
        let wait = if cause.ends_with("-day") { self.day_left } else { self.window.saturating_sub(self.elapsed) };
        (cause, wait)
    }

    /// The reason that an application without a free place is given.
    pub(crate) fn full(&self, places: usize) -> &'static str {
        if places == 0 { "person-and-network" } else { "mailbox" }
    }
}

/// The largest network that one subscriber can have. All senders with an unknown network are counted together.
fn largest(network: Option<&Network>) -> &[u8] {
    network.map_or(&[][..], Network::largest)
}

/// A hash of these parts and their kind, in hexadecimal. Equal parts of different kinds have different hashes.
pub(crate) fn hash<'a>(kind: &'static str, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    ThrottleKey::new(kind, parts).hash()
}
