//! The plan of a run: who applies and when, and what fails.

use std::time::Duration;

use leadsquared::{Attributes, RateLimit};
use onboarding::{Action, Invitation, InvitationId, Invitee, MailLimits, Provenance, SealedPassword, Source};
use time::OffsetDateTime;
use time::macros::datetime;

use super::seconds;
use super::timeline::Chance;

/// The start of a run is late in the evening, so that a run reaches a second day.
pub(super) const START: OffsetDateTime = datetime!(2026-01-02 22:40 UTC);

pub(super) struct Plan {
    pub(super) workers: u64,
    pub(super) people: Vec<Person>,
    /// The invitations with their times, in order.
    pub(super) sends: Vec<(Duration, Invitation)>,
    /// How many of a thousand requests fail, or have an unknown result.
    pub(super) faults: u64,
    /// When LeadSquared refuses calls because other software of the account makes too many.
    pub(super) storms: Vec<(Duration, Duration)>,
    /// When LeadSquared is broken.
    pub(super) outages: Vec<(Duration, Duration)>,
    /// How many of a thousand calls LeadSquared fails to answer all the time.
    pub(super) brownout: u64,
    /// When LeadSquared's keys are changed, and when Secrets Manager has the new keys.
    pub(super) rotation: Option<(Duration, Duration)>,
    pub(super) allowance: RateLimit,
    pub(super) mail_limits: MailLimits,
    /// Whether the mails carry on-click links.
    pub(super) on_click: bool,
    /// Whether LeadSquared sends a webhook for every registered lead, and a rule invites these leads.
    pub(super) echoes: bool,
    /// The name of the rule that such a webhook leaves undecided, if it leaves one undecided.
    pub(super) undecided: Option<&'static str>,
    /// How many look-ups of leads may decide rules in a day.
    pub(super) rule_lookups: u32,
    /// How long an invitation is retried after failures that may pass.
    pub(super) horizon: Duration,
    /// How long it is retried while an operator has something to fix, or a question waits for a look-up.
    pub(super) operator_horizon: Duration,
    /// Whether the operator puts the dead letters back at the end.
    pub(super) puts_back: bool,
    /// Whether the account has the field that marks unproven identifiers.
    pub(super) has_mark: bool,
}

pub(super) struct Person {
    pub(super) email: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stranger,
    /// Has the first person's phone number.
    Family,
    Lead,
    PortalUser,
    /// LeadSquared refuses to register them.
    Refused,
    /// A firewall blocks what they wrote.
    Blocked,
    /// A firewall blocks their address.
    BlockedAddress,
}

/// A text that a firewall in front of LeadSquared blocks.
pub(super) const BLOCKED: &str = "union.select";

/// The rule that invites created leads, and one that the settings no longer have.
pub(super) const RULE: &str = "created";
pub(super) const REMOVED_RULE: &str = "removed";

const MINUTE: Duration = seconds(60);
const HOUR: Duration = seconds(3600);

impl Plan {
    pub(super) fn new(chance: &mut Chance) -> Self {
        use Kind::{Blocked, BlockedAddress, Family, Lead, PortalUser, Refused, Stranger};
        let kinds = [Stranger, Stranger, Stranger, Stranger, Stranger, Family, Lead, PortalUser, Refused, Blocked];
        let person = |number, chance: &mut Chance| {
            let kind = if chance.in_a_thousand(30) { BlockedAddress } else { chance.one_of(&kinds) };
            let word = if kind == BlockedAddress { BLOCKED } else { "person" };
            Person { email: format!("{word}{number}@example.test"), kind }
        };
        // Some sites are busy: other people are registered all the time.
        let most = if chance.in_a_thousand(100) { 40 } else { 6 };
        let people: Vec<Person> = (0..2 + chance.below(most)).map(|number| person(number, chance)).collect();
        let mut sends = Vec::new();
        for (number, person) in people.iter().enumerate() {
            // Some applicants send the form eight times.
            let applications = if chance.in_a_thousand(100) { 8 } else { chance.one_of(&[1, 1, 1, 2, 3]) };
            for application in 0..applications {
                let phone = if person.kind == Family { 0 } else { number };
                let time = chance.up_to(&[MINUTE, 30 * MINUTE, HOUR]);
                let id = InvitationId::of([&[number as u8, application as u8][..]]);
                let invitee = Invitee::Email(person.email.parse().unwrap());
                let essay = if person.kind == Kind::Blocked { BLOCKED } else { "I like law" };
                let phone = format!("+91-900000000{phone}");
                let invitation = Invitation {
                    attributes: Attributes::new().with("Phone", phone).with("mx_Essay", essay),
                    password: chance.in_a_thousand(300).then(|| SealedPassword::from("chosen".to_owned())),
                    provenance: chance.one_of(&[Provenance::Public, Provenance::Keyed]),
                    ..Invitation::new(id, Source::Form, START + time, invitee, Action::Invite)
                };
                let copies = chance.one_of(&[0, 0, 0, 1, 3]);
                for _ in 0..copies {
                    let later = time + chance.up_to(&[seconds(2), 20 * MINUTE]);
                    sends.push((later, invitation.clone()));
                }
                sends.push((time, invitation));
            }
        }
        sends.sort_by_key(|(time, _)| *time);
        let spells = |chance: &mut Chance, longest: &[Duration]| -> Vec<(Duration, Duration)> {
            let spell = |chance: &mut Chance| {
                let begin = chance.up_to(&[HOUR]);
                (begin, begin + chance.up_to(longest))
            };
            (0..chance.one_of(&[0, 0, 1, 2])).map(|_| spell(chance)).collect()
        };
        let storms = spells(chance, &[MINUTE, 10 * MINUTE]);
        let outages = spells(chance, &[MINUTE, HOUR, 4 * HOUR]);
        let rotation = chance.in_a_thousand(300).then(|| {
            let time = chance.up_to(&[HOUR]);
            (time, time.saturating_sub(seconds(60)) + chance.up_to(&[10 * MINUTE]))
        });
        let default = MailLimits::default();
        let horizon = chance.one_of(&[2 * HOUR, 36 * HOUR]);
        Self {
            workers: 1 + chance.below(4),
            people,
            sends,
            faults: chance.one_of(&[0, 20, 100, 250]),
            storms,
            outages,
            brownout: chance.one_of(&[0, 0, 0, 300]),
            rotation,
            allowance: RateLimit { calls: chance.one_of(&[1, 4, 10, 25]), window: seconds(5) },
            mail_limits: MailLimits { budget: chance.one_of(&[default.budget, default.budget, 2, 5]), ..default },
            on_click: chance.in_a_thousand(500),
            echoes: chance.in_a_thousand(500),
            horizon,
            operator_horizon: chance.one_of(&[13 * 24 * HOUR, 13 * 24 * HOUR, horizon]),
            puts_back: chance.in_a_thousand(500),
            has_mark: chance.in_a_thousand(700),
            undecided: chance.one_of(&[None, Some(RULE), Some(REMOVED_RULE)]),
            rule_lookups: chance.one_of(&[1000, 1, 3]),
        }
    }
}
