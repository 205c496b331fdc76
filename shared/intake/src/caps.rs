//! Which caps an application is counted by.

use std::time::Duration;

use ledger::{Bound, Mark, Owner, Places, Sender as SenderItem};
use onboarding::{Action, MailboxKey, Source, Whom};
use sha2::{Digest, Sha256};
use throttle::Network;
use time::OffsetDateTime;

use crate::settings::{Day, Limits};
use crate::{Arrival, Sender};

const HOUR: Duration = Duration::from_secs(60 * 60);
const QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(15 * 60);

/// Into how many parts an IPv6 site is counted. Each /64 falls into one: a counter per /64 would let a site fill an
/// item.
const PARTS_OF_A_SITE: u8 = 16;

/// All that one application is counted by.
pub(crate) struct Caps {
    /// The sender's counter of the day.
    pub(crate) sender: SenderItem,
    /// What it counts, the narrowest first.
    pub(crate) bounds: Vec<Bound>,
    /// Why an application is over each of these bounds.
    causes: Vec<&'static str>,
    /// The narrowest first.
    pub(crate) places: Vec<Places>,
    /// This very application.
    pub(crate) mark: Mark,
    /// A hash of the visitor's network, if there is one.
    pub(crate) network: Option<String>,
    /// How many of the sender's applications can be held in a day; none for senders that cannot be turned away.
    pub(crate) held_most: u32,
    /// The sender's window, for a limiter that lets it slide.
    pub(crate) window_key: String,
    /// How long that window is.
    pub(crate) window: Duration,
    /// How much of it is over.
    elapsed: Duration,
    /// Until the end of the day.
    pub(crate) day_left: Duration,
}

impl Caps {
    pub(crate) fn of(arrival: &Arrival<'_>, limits: &Limits, day: &Day, now: OffsetDateTime) -> Self {
        let Arrival { invitation, sender, by_robot } = *arrival;
        let source = invitation.source.name();
        let second_of_day = now.unix_timestamp().rem_euclid(24 * 60 * 60).unsigned_abs();
        let date = now.unix_timestamp().div_euclid(24 * 60 * 60).to_be_bytes();
        let (kind, identity, window, share, causes, held_most) = match sender {
            Sender::Visitor(network) => {
                let causes = ["network", "network-day"];
                let share = limits.network_share;
                ("network", largest(network.as_ref()), QUARTER_OF_AN_HOUR, share, causes, limits.held)
            }
            Sender::FormKey { hash, .. } => {
                let causes = ["form-key", "form-key-day"];
                ("form key", hash.as_bytes(), HOUR, limits.form_key_share, causes, limits.form_key)
            }
            Sender::System(name) => {
                ("source", name.as_bytes(), HOUR, limits.form_key_share, ["source", "source-day"], u32::MAX)
            }
        };
        let slot = second_of_day / window.as_secs();
        let of_window = match (sender, invitation.source) {
            (Sender::Visitor(_), Source::LinkRequest) => limits.link_requests,
            (Sender::Visitor(_), _) => limits.network,
            _ => limits.form_key,
        };
        let mut bounds = Vec::new();
        let mut names = Vec::new();
        let mut bound = |name: String, by: u32, most: u32, cause: &'static str| {
            bounds.push(Bound { name, by, most });
            names.push(cause);
        };
        match sender {
            Sender::Visitor(Some(network)) if network.site().is_some() => {
                let part = Sha256::digest(network.own())[0] % PARTS_OF_A_SITE;
                bound(format!("{source}-{slot}-{part:x}"), 1, of_window, causes[0]);
                bound(format!("{source}-{slot}"), 1, of_window.saturating_mul(Network::OF_A_SITE), causes[0]);
            }
            _ => bound(format!("{source}-{slot}"), 1, of_window, causes[0]),
        }
        let (calls, mails) = charge(invitation.action);
        // One application a day is in any share, or a small account could take none at all.
        let share = |all: u32, charge: u32| {
            let share = u64::from(all) * u64::from(share) / 100;
            u32::try_from(share).unwrap_or(u32::MAX).max(charge)
        };
        if let Some(all) = day.calls {
            bound("calls".to_owned(), calls, share(all, calls), causes[1]);
        }
        bound("mails".to_owned(), mails, share(day.mails, mails), causes[1]);

        let visitor = match sender {
            Sender::Visitor(network) | Sender::FormKey { visitor: network, .. } => network.as_ref(),
            Sender::System(_) => None,
        };
        // A form key or a source without a visitor is what the person's applications come from.
        let (kind_of_origin, origin) = match visitor {
            Some(network) => ("network", largest(Some(network))),
            None => (kind, identity),
        };
        let person = invitation.person();
        let parts = [source.as_bytes(), person.as_str().as_bytes(), kind_of_origin.as_bytes(), origin];
        let mut places =
            vec![Places { hash: hash("person and network", parts), count: limits.person_and_network, window: HOUR }];
        if let Whom::Email(email) = &invitation.whom {
            let mailbox = MailboxKey::of(email);
            let parts = [source.as_bytes(), mailbox.as_str().as_bytes()];
            places.push(Places { hash: hash("mailbox", parts), count: limits.mailbox, window: HOUR });
        }
        let elapsed = Duration::from_secs(second_of_day % window.as_secs());
        let day_left = Duration::from_secs(24 * 60 * 60 - second_of_day);
        Self {
            sender: SenderItem {
                hash: hash("day", [kind.as_bytes(), identity, &date]),
                expires_at: now + 2 * 24 * HOUR,
            },
            bounds,
            causes: names,
            places,
            // A robot's copy of a person's form is not that person's repeat, nor the other way round.
            mark: Mark {
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

    /// Why an application is over this one of the bounds, and when the bound has room again.
    pub(crate) fn over(&self, bound: usize) -> (&'static str, Duration) {
        let cause = self.causes.get(bound).copied().unwrap_or("network");
        let wait = if cause.ends_with("-day") { self.day_left } else { self.window.saturating_sub(self.elapsed) };
        (cause, wait)
    }

    /// Why an application has none of these places.
    pub(crate) fn full(&self, places: usize) -> &'static str {
        if places == 0 { "person-and-network" } else { "mailbox" }
    }
}

/// What an invitation takes of LeadSquared's calls and of the mails.
fn charge(action: Action) -> (u32, u32) {
    match action {
        Action::Invite => (3, 1),
        Action::MailLink => (2, 1),
        Action::Activity => (1, 0),
    }
}

/// The largest network that one subscriber can have. Senders of whom nothing is known count together.
fn largest(network: Option<&Network>) -> &[u8] {
    network.map_or(&[][..], |network| network.site().unwrap_or(network.own()))
}

/// A hash of these parts among those of one kind, in hexadecimal. It shows nothing of them.
pub(crate) fn hash<'a>(kind: &'static str, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(kind.as_bytes()).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
