//! The limits on mail to one person and from the whole account.

use time::{Date, Duration, OffsetDateTime, UtcOffset};

use crate::{Invitation, InvitationId, Invitee, LastSuccesses, PersonKey, Source, UsedLinks};

/// The limits on mail. A form is public, so any visitor can cause mail to a person. A request through the link of an
/// earlier mail proves that its sender read the mailbox. Such requests get three more mails an hour and three more a
/// day, which strangers cannot use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailLimits {
    /// How long after a mail the same person gets no other mail.
    pub cool_down: Duration,
    /// The most mails to one person in any hour.
    pub hourly: usize,
    /// The most mails to one person in any 24 hours.
    pub daily: usize,
    /// The most mails of the account in one UTC day. Further mails wait for the next day.
    pub budget: u32,
}

impl Default for MailLimits {
    /// 60 s, 3 an hour, 6 a day, 10 000 in all.
    fn default() -> Self {
        Self { cool_down: Duration::seconds(60), hourly: 3, daily: 6, budget: 10_000 }
    }
}

/// How many more mails a reader of a mailed link gets in an hour and in a day.
const FOR_READERS: usize = 3;

/// The mails that the limits count, as the ledger has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailHistory {
    /// The version of the person's record. It grows with every mail that is begun.
    pub version: u64,
    /// The mails to the person that were begun in the last 24 hours, and perhaps older ones.
    pub begun: Vec<BegunMail>,
    /// When a mail to the person was last certainly sent, if the ledger still remembers it.
    pub last_sent: Option<OffsetDateTime>,
    /// How many mails the account began on this UTC day.
    pub begun_today: u32,
    /// When LeadSquared last worked for an invitation of the account on this UTC day.
    pub successes: LastSuccesses,
    /// When the newest link that the person has used was made; none where the flow does not need it.
    pub link_used: Option<OffsetDateTime>,
    /// The person's last links that were used right after their mail.
    pub used_links: Option<UsedLinks>,
    /// Whether an invitation of the last 14 days registered the person with the identifying attributes only. Mails and
    /// used links do not renew it.
    pub is_reduced: bool,
}

impl MailHistory {
    /// Whether the link in this mail is no longer valid, because it or a newer one was used.
    fn is_used_up(&self, mail: &BegunMail) -> bool {
        self.link_used.is_some_and(|made_at| mail.at <= made_at)
    }
}

/// A mail that was begun, and most probably sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BegunMail {
    /// When it was begun.
    pub at: OffsetDateTime,
    /// The invitation that it was for.
    pub invitation: InvitationId,
}

/// How long a mail of another invitation counts as under way while its result is not recorded. An attempt that could
/// not record the result is repeated within the queue's visibility time-out. One with an unknown result is repeated
/// after 15 minutes. Either may fail again.
const RESULT_RECORDED_WITHIN: Duration = Duration::hours(1);

/// A permit to send a mail. The worker writes it into the book before it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailReservation {
    /// The person the mail is for.
    pub person: PersonKey,
    /// The version of the book that it was made from. If the book has another version at the time of writing, the
    /// permit is void.
    pub version: u64,
    /// The person's mails with the new one.
    pub begun: Vec<BegunMail>,
    /// When the new mail is begun.
    pub at: OffsetDateTime,
    /// The day's budget, if the mail counts against it. If the budget is used up at the time of writing, the permit is
    /// void.
    pub budget: Option<u32>,
}

/// Why no mail is sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMail {
    /// The person has reached a cap.
    Capped,
    /// The person has reached a cap, and none of those mails is known to be sent.
    CappedUnseen,
    /// A mail of another invitation to this person was begun a moment ago, or since this request, and may have been
    /// sent.
    UnderWay,
    /// The account's budget of the day is used up.
    BudgetSpent {
        /// When the next day begins.
        until: OffsetDateTime,
    },
}

impl MailLimits {
    /// The limits for this invitation.
    pub(crate) fn of(self, invitation: &Invitation) -> Self {
        let more = match (invitation.source, &invitation.invitee) {
            // Only a request through a mailed link names a lead.
            (Source::LinkRequest, Invitee::Lead(_)) => FOR_READERS,
            _ => 0,
        };
        Self { hourly: self.hourly.saturating_add(more), daily: self.daily.saturating_add(more), ..self }
    }

    /// Whether the person got a mail a moment ago, or since the request, and has not used its link.
    pub(crate) fn is_served(&self, book: &MailHistory, asked_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        let newest = book.begun.iter().max_by_key(|mail| mail.at);
        book.last_sent.is_some_and(|at| now.min(asked_at) - at < self.cool_down)
            && !newest.is_some_and(|mail| book.is_used_up(mail))
    }

    /// A permit for a mail of this invitation.
    ///
    /// It replaces a mail that was begun for the invitation and certainly not sent. Otherwise a day of failures would
    /// use up the person's caps and the account's budget without a single mail.
    pub(crate) fn reserve(
        &self,
        person: PersonKey,
        book: &MailHistory,
        invitation: InvitationId,
        asked_at: OffsetDateTime,
        unused: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<MailReservation, NoMail> {
        let mut begun: Vec<_> = book.begun.iter().filter(|mail| now - mail.at < Duration::DAY).copied().collect();
        let unused = unused.map(|at| BegunMail { at, invitation });
        let place = begun.iter().position(|mail| Some(*mail) == unused);
        let unused = place.map(|place| begun.remove(place));

        let last_hour = begun.iter().filter(|mail| now - mail.at < Duration::HOUR).count();
        if last_hour >= self.hourly || begun.len() >= self.daily {
            let was_mailed = book.last_sent.is_some_and(|at| now - at < Duration::DAY);
            return Err(if was_mailed { NoMail::Capped } else { NoMail::CappedUnseen });
        }
        let since_asked = |mail: &BegunMail| {
            mail.at > asked_at - self.cool_down && now - mail.at < RESULT_RECORDED_WITHIN && !book.is_used_up(mail)
        };
        let mut others = begun.iter().filter(|mail| mail.invitation != invitation);
        if others.any(|mail| now - mail.at < self.cool_down || since_asked(mail)) {
            return Err(NoMail::UnderWay);
        }
        let is_paid_for = unused.is_some_and(|mail| day(mail.at) == day(now));
        if !is_paid_for && book.begun_today >= self.budget {
            let tomorrow = day(now).midnight().assume_utc() + Duration::DAY;
            return Err(NoMail::BudgetSpent { until: tomorrow });
        }
        begun.push(BegunMail { at: now, invitation });
        Ok(MailReservation {
            person,
            version: book.version,
            begun,
            at: now,
            budget: (!is_paid_for).then_some(self.budget),
        })
    }
}

fn day(time: OffsetDateTime) -> Date {
    time.to_offset(UtcOffset::UTC).date()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);
    const LIMITS: MailLimits = MailLimits { cool_down: Duration::seconds(60), hourly: 3, daily: 6, budget: 100 };

    fn id(number: u8) -> InvitationId {
        InvitationId::of([&[number][..]])
    }

    fn person() -> PersonKey {
        PersonKey::of(&"asha@example.test".parse().unwrap())
    }

    /// A book with one mail of each of the invitations 1, 2, 3…, begun this many minutes ago.
    fn book(minutes_ago: &[i64]) -> MailHistory {
        let mail =
            |(number, minutes): (u8, &i64)| BegunMail { at: NOW - Duration::minutes(*minutes), invitation: id(number) };
        MailHistory {
            version: 7,
            begun: (1..).zip(minutes_ago).map(mail).collect(),
            begun_today: 9,
            ..MailHistory::default()
        }
    }

    #[test]
    fn the_third_mail_of_an_hour_and_the_sixth_of_a_day_are_the_last() {
        let allowed =
            |minutes_ago: &[i64]| LIMITS.reserve(person(), &book(minutes_ago), id(99), NOW, None, NOW).is_ok();
        assert!(allowed(&[59, 1]));
        assert!(!allowed(&[59, 30, 1]));
        assert!(allowed(&[60, 30, 1]));
        assert!(allowed(&[1439, 1000, 300, 200, 100]));
        assert!(!allowed(&[1439, 1000, 300, 200, 100, 61]));
        assert!(allowed(&[1440, 1000, 300, 200, 100, 61]));
    }

    #[test]
    fn a_mail_that_was_not_sent_keeps_its_place() {
        let unused = Some(NOW - Duration::minutes(1));
        let reservation = LIMITS.reserve(person(), &book(&[10, 5, 1]), id(3), NOW, unused, NOW).unwrap();
        assert_eq!(
            reservation.begun,
            [&book(&[10, 5]).begun[..], &[BegunMail { at: NOW, invitation: id(3) }]].concat()
        );
        assert_eq!((reservation.version, reservation.budget), (7, None));
        // A mail that the book does not have, or that belongs to another invitation, frees no place.
        for (id, unused) in [(id(3), None), (id(3), Some(NOW)), (id(2), unused)] {
            assert_eq!(LIMITS.reserve(person(), &book(&[10, 5, 1]), id, NOW, unused, NOW), Err(NoMail::CappedUnseen));
        }
    }

    #[test]
    fn a_recent_mail_counts_only_if_it_was_certainly_sent() {
        let book = |minutes| MailHistory { last_sent: Some(NOW - Duration::minutes(minutes)), ..book(&[10, 5, 1]) };
        assert_eq!(LIMITS.reserve(person(), &book(1439), id(9), NOW, None, NOW), Err(NoMail::Capped));
        assert_eq!(LIMITS.reserve(person(), &book(1440), id(9), NOW, None, NOW), Err(NoMail::CappedUnseen));
    }

    #[test]
    fn a_mail_begun_yesterday_counts_in_todays_budget_again() {
        let midnight = datetime!(2026-01-03 00:00 UTC);
        let book = MailHistory {
            begun: vec![BegunMail { at: NOW, invitation: id(1) }],
            begun_today: 99,
            ..MailHistory::default()
        };
        assert_eq!(LIMITS.reserve(person(), &book, id(1), NOW, Some(NOW), midnight).unwrap().budget, Some(100));
        let spent = MailHistory { begun_today: 100, ..book };
        let until = datetime!(2026-01-04 00:00 UTC);
        assert_eq!(
            LIMITS.reserve(person(), &spent, id(1), NOW, Some(NOW), midnight),
            Err(NoMail::BudgetSpent { until })
        );
    }

    #[test]
    fn a_mail_begun_by_another_invitation_delays_this_one() {
        let begun = |seconds| MailHistory {
            begun: vec![BegunMail { at: NOW - Duration::seconds(seconds), invitation: id(1) }],
            ..MailHistory::default()
        };
        assert_eq!(LIMITS.reserve(person(), &begun(59), id(2), NOW, None, NOW), Err(NoMail::UnderWay));
        let asked = NOW - Duration::hours(2);
        assert_eq!(LIMITS.reserve(person(), &begun(3599), id(2), asked, None, NOW), Err(NoMail::UnderWay));
        assert!(LIMITS.reserve(person(), &begun(3600), id(2), asked, None, NOW).is_ok());
        assert!(LIMITS.reserve(person(), &begun(60), id(2), NOW, None, NOW).is_ok());
        assert!(
            LIMITS.reserve(person(), &begun(59), id(1), NOW, None, NOW).is_ok(),
            "its own repeat is not in its way"
        );
    }

    #[test]
    fn a_minute_has_to_pass_after_a_mail_before_another_one_is_asked_for() {
        let book = MailHistory { last_sent: Some(NOW), ..MailHistory::default() };
        let is_served =
            |asked, now| LIMITS.is_served(&book, NOW + Duration::seconds(asked), NOW + Duration::seconds(now));
        assert!(is_served(59, 59));
        assert!(!is_served(60, 60));
        // The request is older than the mail and has waited for two hours.
        assert!(is_served(-5, 7200));
        assert!(is_served(59, 7200));
        assert!(!is_served(60, 7200));
    }
}
