//! A burst of a thousand applicants: how long they take, and whether anything is lost, done twice or over the limit.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use leadsquared_emulator::{Call, Effect, Emulator, Fault, Limit, RecordedCall};
use operator::StackLocation;
use operator::dead_letters::{self, DeadLetter};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::LocalStack;
use crate::flow::{Event, Moment};
use crate::http::{self, Client};
use crate::steps::{Step, Steps, seconds};

/// The faults during a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// LeadSquared answers a tenth of all calls with 502 and cuts a twentieth of the connections, half of each after
    /// the work is done; the worker is killed three times.
    Everywhere,
    /// The same, except for the call that sends mail. After a mail with an unknown result the worker waits for a
    /// quarter of an hour, which is too long for some tests.
    ExceptMails,
}

/// The result of a burst.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How many people posted the form, each once.
    pub people: usize,
    /// People whose form was accepted.
    pub accepted: usize,
    /// People who are portal users.
    pub registered: usize,
    /// People who got a mail.
    pub mailed: usize,
    /// People whose form was accepted and who were neither mailed nor dead-lettered with a reason.
    pub lost: usize,
    /// People who were registered or mailed more than once.
    pub duplicates: usize,
    /// The most calls that LeadSquared saw in any window.
    pub window_max: usize,
    /// The most calls that it permits in a window.
    pub allowance: usize,
    /// Calls for each person, without the calls for credentials.
    pub calls_per_person: f64,
    /// The time from the first form to the empty queue.
    pub seconds: f64,
    /// The shortest time in which the call limit permits all calls, including those for credentials.
    pub theoretical_seconds: f64,
    /// The time taken, as a multiple of the shortest time.
    pub ratio: f64,
    /// Figures of the printed summary that are not part of the JSON object.
    #[serde(skip)]
    pub further: Further,
}

/// Further figures that explain a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Further {
    /// People who were registered more than once. This must never happen.
    pub registered_twice: usize,
    /// People who were mailed more than once. This may happen only where the result of the first mail was unknown.
    pub mailed_twice: usize,
    /// People who were dead-lettered instead of mailed.
    pub dead_lettered: usize,
    /// Calls that LeadSquared refused because of its limit.
    pub refused_calls: usize,
    /// How often the worker was killed.
    pub kills: usize,
}

impl Report {
    /// The promises that were broken; none if all is well.
    pub fn broken_promises(&self) -> Vec<String> {
        let Further { registered_twice, mailed_twice, kills, .. } = self.further;
        let promises = [
            (self.accepted < self.people, format!("{} forms were not accepted", self.people - self.accepted)),
            (self.lost > 0, format!("{} people were lost", self.lost)),
            (registered_twice > 0, format!("{registered_twice} people were registered more than once")),
            (mailed_twice > 0 && kills == 0, format!("{mailed_twice} people were mailed more than once")),
            (
                self.window_max > self.allowance,
                format!("{} calls in one window, where {} are permitted", self.window_max, self.allowance),
            ),
        ];
        promises.into_iter().filter_map(|(broken, words)| broken.then_some(words)).collect()
    }
}

/// The summary for people. Programs read the JSON object.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Further { registered_twice, mailed_twice, dead_lettered, refused_calls, kills } = self.further;
        let Self { people, accepted, registered, mailed, lost, .. } = self;
        writeln!(
            f,
            "{people} people, {accepted} forms accepted, {registered} registered, {mailed} mailed, {lost} lost"
        )?;
        writeln!(f, "registered twice {registered_twice}, mailed twice {mailed_twice}, dead-lettered {dead_lettered}")?;
        writeln!(
            f,
            "fullest window {} of {} calls, {refused_calls} calls over the limit",
            self.window_max, self.allowance
        )?;
        if kills > 0 {
            writeln!(f, "the worker was killed {kills} times")?;
        }
        writeln!(
            f,
            "{:.1} s for {:.3} calls each, {:.1} s in theory: {:.3} times as long",
            self.seconds, self.calls_per_person, self.theoretical_seconds, self.ratio
        )
    }
}

/// The function that the burst kills.
const WORKER: &str = "InvitationFunction";

/// How many forms are posted at a time. More would only wait in MiniStack.
const POSTED_AT_ONCE: usize = 4;

/// The calls for each person without faults: Register, the auto-login key, the mail.
const CALLS_PER_PERSON: u32 = 3;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Posts the forms of `people` different people, waits until the queue is empty and counts the results.
///
/// # Errors
/// When the queue does not become empty in time, or a part of the stack does not answer.
pub async fn run(stack: &LocalStack, people: usize, trouble: Trouble, steps: &Steps) -> anyhow::Result<Report> {
    ensure!(people > 0, "a burst takes at least one person");
    // The calls that set up the webhooks did not go through the account's call allowance. They must be out of the first
    // window.
    tokio::time::sleep(stack.limit().window).await;
    set_faults(stack.emulator(), trouble);
    let began = Instant::now();
    let mut step = steps.begin_counting("Applicants, from the form to the mail", people as u64);
    let url = format!("{}/applications", stack.api_url());
    let posting = tokio::spawn(post_all(url, stack.form_key().to_owned(), people));
    let kills = watch_over(stack, people, trouble, posting.abort_handle(), &mut step).await?;
    let receipts = posting.await.context("posting the forms failed")?;
    let seconds = began.elapsed().as_secs_f64();
    step.done();

    let mut tally = Tally::of(stack.emulator(), &receipts);
    // A run without faults has no missing people, and then the answer would be empty.
    if !tally.missing.is_empty() {
        let deployed = StackLocation::Local(stack.ministack().url()).stack().await?;
        tally.dead_letter(&dead_letters::list(&deployed).await?.letters);
    }
    Ok(tally.report(people, stack.limit(), seconds, kills))
}

fn set_faults(emulator: &Emulator, trouble: Trouble) {
    let spared = match trouble {
        Trouble::None => return,
        Trouble::Everywhere => None,
        Trouble::ExceptMails => Some(Call::SendEmailToLead),
    };
    for call in Call::ALL.iter().copied().filter(|call| Some(*call) != spared) {
        for (effect, chance) in [(Effect::gateway(502), 0.05), (Effect::Cut, 0.025)] {
            emulator.faults().add(Fault::on(call, effect.clone()).with_chance(chance));
            emulator.faults().add(Fault::on(call, effect).with_chance(chance).after_work());
        }
    }
}

/// Shows the progress, kills the worker where the burst asks for it, and returns the number of kills once the queue is
/// empty.
async fn watch_over(
    stack: &LocalStack,
    people: usize,
    trouble: Trouble,
    posting: tokio::task::AbortHandle,
    step: &mut Step,
) -> anyhow::Result<usize> {
    const KILLS: usize = 3;
    let kills_wanted = if trouble == Trouble::None { 0 } else { KILLS };
    let began = Instant::now();
    let patience = patience(people, stack.limit(), trouble);
    let moments = stack.moments();
    let mut kills = 0;
    loop {
        let Progress { registered, mailed } = Progress::of(&moments);
        step.reach(mailed.min(people) as u64);
        step.note(&format!(
            "registered {registered}, mailed {mailed} of {people}, {}",
            time_left(people, mailed, began, stack.limit())
        ));
        // The kill comes right after a mail, when it is sent and not yet recorded.
        if kills < kills_wanted && mailed * (KILLS + 1) >= people * (kills + 1) {
            kills += usize::from(stack.ministack().kill_function(stack.logs().deployed_name(WORKER)?).await? > 0);
        }
        if posting.is_finished() && stack.is_drained().await? {
            return Ok(kills);
        }
        if began.elapsed() > patience {
            let errors = stack.logs().errors(WORKER).await.unwrap_or_default();
            let error = errors.last().map_or("it logged no error", String::as_str);
            posting.abort();
            anyhow::bail!(
                "after {} the queue is still not empty: {registered} registered and {mailed} mailed of {people}. The worker's \
                 last error: {error}",
                seconds(began.elapsed())
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The progress of a burst.
struct Progress {
    registered: usize,
    mailed: usize,
}

impl Progress {
    fn of(moments: &watch::Receiver<Vec<Moment>>) -> Self {
        let moments = moments.borrow();
        let count = |event| moments.iter().filter(|moment| moment.event == event).count();
        Self { registered: count(Event::Registered), mailed: count(Event::Mailed) }
    }
}

fn time_left(people: usize, mailed: usize, began: Instant, limit: Limit) -> String {
    /// From this many mails on, the measured speed predicts better than the limit.
    const ENOUGH: usize = 10;
    if mailed >= people {
        // `mailed` counts mails. If a person got two mails, another person may still have none.
        return "waiting for retries".to_owned();
    }
    let each = match mailed {
        0..ENOUGH => theory(f64::from(CALLS_PER_PERSON), limit),
        _ => began.elapsed().as_secs_f64() / mailed as f64,
    };
    format!("about {} to go", seconds(Duration::from_secs_f64(each * people.saturating_sub(mailed) as f64)))
}

/// The shortest time, in seconds, in which the limit permits this many calls.
fn theory(calls: f64, limit: Limit) -> f64 {
    calls * limit.window.as_secs_f64() / f64::from(limit.calls)
}

/// The time after which a burst counts as failed.
fn patience(people: usize, limit: Limit, trouble: Trouble) -> Duration {
    /// A margin for slow machines.
    const SLOWEST: Duration = Duration::from_secs(120);
    let theory = Duration::from_secs_f64(theory(people as f64 * f64::from(CALLS_PER_PERSON), limit));
    let waits = match trouble {
        Trouble::None => Duration::ZERO,
        // Each failed attempt waits longer than the one before. The messages of a killed worker wait for the queue's
        // visibility time-out.
        Trouble::ExceptMails => Duration::from_secs(20 * 60),
        Trouble::Everywhere => Duration::from_secs(60 * 60),
    };
    theory * 2 + SLOWEST + waits
}

/// Posts every person's form and returns the receipts of the accepted forms.
async fn post_all(url: String, form_key: String, people: usize) -> HashMap<usize, String> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut posters = JoinSet::new();
    for _ in 0..POSTED_AT_ONCE.min(people) {
        let (next, url, form_key) = (next.clone(), url.clone(), form_key.clone());
        posters.spawn(async move {
            let client = http::client();
            let mut receipts = Vec::new();
            loop {
                let person = next.fetch_add(1, Ordering::Relaxed);
                if person >= people {
                    return receipts;
                }
                if let Some(receipt) = post(&client, &url, &form_key, person).await {
                    receipts.push((person, receipt));
                }
            }
        });
    }
    posters.join_all().await.into_iter().flatten().collect()
}

/// Posts a person's form, and repeats it if it was not stored. It has a form key, because all forms come from one
/// address.
async fn post(client: &Client, url: &str, form_key: &str, person: usize) -> Option<String> {
    const ATTEMPTS: usize = 5;
    let form = json!({
        "email": email(person),
        "first_name": "Person",
        "last_name": person.to_string(),
        "phone": format!("+91 90{person:08}"),
        "city": "Pune",
    });
    for attempt in 1..=ATTEMPTS {
        let request = Request::post(url)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("idempotency-key", format!("burst-{person}"))
            .header("x-form-key", form_key)
            .body(Body::from(form.to_string()))
            .ok()?;
        if let Ok((StatusCode::ACCEPTED, answer)) = http::text(client, request).await {
            let answer: Value = serde_json::from_str(&answer).ok()?;
            return answer["receipt"].as_str().map(str::to_owned);
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    None
}

fn email(person: usize) -> String {
    format!("person-{person}@example.com")
}

/// The calls that LeadSquared has received, counted by person.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    registered: usize,
    registered_twice: HashSet<usize>,
    mailed: usize,
    mailed_twice: HashSet<usize>,
    /// Receipts of people who were accepted and not mailed.
    missing: HashSet<String>,
    dead_lettered: usize,
    /// Calls for people, calls for credentials, and calls of both kinds that were over the limit.
    calls: usize,
    credential_calls: usize,
    refused_calls: usize,
    window_max: usize,
}

impl Tally {
    fn of(emulator: &Emulator, receipts: &HashMap<usize, String>) -> Self {
        const CREDENTIALS: [Call; 4] =
            [Call::PublicAuthKey, Call::RegistrationToken, Call::TenantAuthKey, Call::AuthenticateUser];
        let leads = emulator.leads();
        let emails: HashMap<_, _> =
            leads.iter().map(|lead| (lead.id.as_str(), lead.field("EmailAddress").unwrap_or_default())).collect();
        let mut registrations: HashMap<&str, u32> = HashMap::new();
        let users = emulator.portal_users();
        for user in &users {
            let email = emails.get(user.lead_id.as_str()).copied().unwrap_or_default();
            *registrations.entry(email).or_default() += user.registrations;
        }
        let mut mails: HashMap<&str, u32> = HashMap::new();
        let sent = emulator.mails();
        for recipient in sent.iter().flat_map(|mail| &mail.recipients) {
            *mails.entry(recipient).or_default() += 1;
        }
        let mut tally = Self { accepted: receipts.len(), window_max: emulator.window_max(), ..Self::default() };
        for (person, receipt) in receipts {
            let email = email(*person);
            let times = |counts: &HashMap<&str, u32>| counts.get(email.as_str()).copied().unwrap_or(0);
            let (registered, mailed) = (times(&registrations), times(&mails));
            tally.registered += usize::from(registered > 0);
            tally.mailed += usize::from(mailed > 0);
            if registered > 1 {
                tally.registered_twice.insert(*person);
            }
            match mailed {
                0 => drop(tally.missing.insert(receipt.clone())),
                1 => {}
                _ => drop(tally.mailed_twice.insert(*person)),
            }
        }
        let of_applicants =
            |call: &RecordedCall| ![Some(Call::Webhooks), Some(Call::CreateWebhook)].contains(&call.call);
        for call in emulator.calls().into_iter().filter(of_applicants) {
            let counter = match call.call {
                Some(call) if CREDENTIALS.contains(&call) => &mut tally.credential_calls,
                _ => &mut tally.calls,
            };
            *counter += 1;
            tally.refused_calls += usize::from(call.status == Some(StatusCode::TOO_MANY_REQUESTS.as_u16()));
        }
        tally
    }

    /// Removes the dead-lettered people from the missing ones. They are not lost: an operator sees the reason and can
    /// put them back.
    fn dead_letter(&mut self, letters: &[DeadLetter]) {
        let before = self.missing.len();
        let receipts = letters.iter().filter_map(|letter| letter.receipt);
        let receipts: HashSet<_> = receipts.map(|receipt| receipt.to_string()).collect();
        self.missing.retain(|receipt| !receipts.contains(receipt));
        self.dead_lettered = before - self.missing.len();
    }

    fn report(&self, people: usize, limit: Limit, seconds: f64, kills: usize) -> Report {
        let theoretical_seconds = theory((self.calls + self.credential_calls) as f64, limit);
        Report {
            people,
            accepted: self.accepted,
            registered: self.registered,
            mailed: self.mailed,
            lost: self.missing.len(),
            duplicates: self.registered_twice.union(&self.mailed_twice).count(),
            window_max: self.window_max,
            allowance: limit.calls as usize,
            calls_per_person: rounded(self.calls as f64 / people as f64),
            seconds: rounded(seconds),
            theoretical_seconds: rounded(theoretical_seconds),
            ratio: rounded(seconds / theoretical_seconds),
            further: Further {
                registered_twice: self.registered_twice.len(),
                mailed_twice: self.mailed_twice.len(),
                dead_lettered: self.dead_lettered,
                refused_calls: self.refused_calls,
                kills,
            },
        }
    }
}

/// The value, rounded to three decimal places.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        calls: 25,
        window: Duration::from_secs(5),
        refusal: leadsquared_emulator::LimitRefusal::TooManyRequests,
    };

    fn clean() -> Tally {
        Tally {
            accepted: 1000,
            registered: 1000,
            mailed: 1000,
            calls: 3000,
            credential_calls: 2,
            window_max: 25,
            ..Tally::default()
        }
    }

    #[test]
    fn the_object_has_exactly_the_agreed_names_and_the_theory_counts_every_call() {
        let report = clean().report(1000, LIMIT, 642.4281, 0);
        let expected = concat!(
            r#"{"people":1000,"accepted":1000,"registered":1000,"mailed":1000,"lost":0,"duplicates":0,"window_max":25,"#,
            r#""allowance":25,"calls_per_person":3.0,"seconds":642.428,"theoretical_seconds":600.4,"ratio":1.07}"#
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), expected);
        assert_eq!(report.broken_promises(), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_is_told() {
        let mut tally = clean();
        tally.accepted = 999;
        tally.missing = ["a", "b"].map(str::to_owned).into();
        tally.registered_twice = [3].into();
        tally.mailed_twice = [3, 4].into();
        tally.window_max = 26;
        let report = tally.report(1000, LIMIT, 600.0, 0);
        assert_eq!((report.lost, report.duplicates), (2, 2));
        assert_eq!(
            report.broken_promises(),
            [
                "1 forms were not accepted",
                "2 people were lost",
                "1 people were registered more than once",
                "2 people were mailed more than once",
                "26 calls in one window, where 25 are permitted",
            ]
        );
    }

    #[test]
    fn a_person_who_was_dead_lettered_with_a_reason_is_not_lost() {
        const RECEIPT: &str = "00000000-0000-8000-8000-000000000001";
        let mut tally = Tally { missing: [RECEIPT, "b"].map(str::to_owned).into(), ..clean() };
        let letter = DeadLetter {
            id: "1".to_owned(),
            class: "rejected".to_owned(),
            cause: "mail-unknown".to_owned(),
            receipt: Some(RECEIPT.parse().unwrap()),
            since: time::OffsetDateTime::UNIX_EPOCH,
        };
        tally.dead_letter(&[letter]);
        let report = tally.report(1000, LIMIT, 600.0, 3);
        assert_eq!((report.lost, report.further.dead_lettered), (1, 1));
    }
}
