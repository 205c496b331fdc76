//! The functions under test: how each is started, and what its answers must be.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use runtime_api::Function;
use serde_json::Value;

use crate::artifacts;
use crate::cpu_share::CpuShare;
use crate::events::{Events, WORST_FORM_FIELDS};
use crate::fakes::Endpoints;
use crate::fakes::authority::Authority;
use crate::fakes::calls::Calls;
use crate::results::{Column, Role, Work};
use crate::template::Template;

/// The floor: a function that answers every event with itself.
pub(crate) const ECHO: &str = "echo";

pub(crate) const FORM: &str = "application-form";
pub(crate) const INVITATION: &str = "invitation";

/// `invitation`, which also trusts the run's authority for LeadSquared.
const INVITATION_OVER_TLS: &str = "invitation-over-tls";

/// The functions that are compared, as they are built.
pub(crate) const OURS: [&str; 4] = [ECHO, FORM, INVITATION, INVITATION_OVER_TLS];

/// The messages of a warm batch.
pub(crate) const BATCH: usize = 10;

/// The longest time of an event. The worker's time-out is as long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A function under test, and the endpoints that it calls.
pub(crate) struct Subject {
    pub(crate) column: Column,
    work: Work,
    bootstrap: PathBuf,
    bootstrap_over_tls: PathBuf,
    handler: &'static str,
    plain: Endpoints,
    over_tls: Endpoints,
}

/// How the endpoints are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

/// What a function is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Form,
    WorstForm,
    /// A batch with this number of messages.
    Batch(usize),
}

impl Input {
    /// The applications or invitations in it.
    pub(crate) fn count(self) -> u64 {
        match self {
            Self::Form | Self::WorstForm => 1,
            Self::Batch(messages) => messages as u64,
        }
    }
}

/// Every function of the comparisons: ours from the folder that has a folder for each, and the peers, which this
/// installs.
pub(crate) async fn all(authority: &Authority, functions: &Path) -> anyhow::Result<Vec<(Work, Vec<Subject>)>> {
    let (python, node) = (artifacts::install_peers("python")?, artifacts::install_peers("node")?);
    let ours = |name: &str| functions.join(name).join("bootstrap");
    let peer = |folder: &PathBuf| folder.join("bootstrap");
    let mut works = Vec::new();
    for work in Work::ALL {
        let echo = (ECHO, Role::Floor, ours(ECHO), ours(ECHO), "");
        let functions = match work {
            Work::Intake => vec![
                echo,
                (FORM, Role::Ours, ours(FORM), ours(FORM), ""),
                ("Python", Role::Peer, peer(&python), peer(&python), "intake.handler"),
                ("Node", Role::Peer, peer(&node), peer(&node), "intake.handler"),
            ],
            Work::Worker => vec![
                echo,
                (INVITATION, Role::Ours, ours(INVITATION), ours(INVITATION_OVER_TLS), ""),
                ("Python", Role::Peer, peer(&python), peer(&python), "worker.handler"),
                ("Python, ledger", Role::Peer, peer(&python), peer(&python), "worker_idempotent.handler"),
                ("Node", Role::Peer, peer(&node), peer(&node), "worker.handler"),
                ("Node, ledger", Role::Peer, peer(&node), peer(&node), "worker-idempotent.handler"),
            ],
        };
        let mut subjects = Vec::new();
        for (name, role, bootstrap, bootstrap_over_tls, handler) in functions {
            subjects.push(Subject {
                column: Column { name, role },
                work,
                bootstrap,
                bootstrap_over_tls,
                handler,
                plain: Endpoints::start(None).await?,
                over_tls: Endpoints::start(Some(authority)).await?,
            });
        }
        works.push((work, subjects));
    }
    Ok(works)
}

impl Subject {
    /// Starts a process for this input; returns it, and the time until it asked for an event.
    pub(crate) async fn start(
        &self,
        template: &Template,
        transport: Transport,
        input: Input,
    ) -> anyhow::Result<(Process<'_>, Duration)> {
        let (endpoints, bootstrap) = match transport {
            Transport::Plain => (&self.plain, &self.bootstrap),
            Transport::Tls => (&self.over_tls, &self.bootstrap_over_tls),
        };
        let environment = environment(template, endpoints, input, self.handler);
        // Calls that a stopped process still had under way belong to none.
        endpoints.take_calls();
        let connections = endpoints.connections();
        let began = Instant::now();
        let function = Function::start(bootstrap, environment).await;
        let time = began.elapsed();
        let function = function.map_err(|error| anyhow!("{} did not start: {error:?}", self.column.name))?;
        let id = *function.process_ids().first().context("a started function has a process")?;
        Ok((Process { subject: self, endpoints, function, id, connections, share: None }, time))
    }
}

/// The settings of a function: those of a deployed one, with limits that no benchmark reaches.
pub(crate) fn environment(
    template: &Template,
    endpoints: &Endpoints,
    input: Input,
    handler: &str,
) -> Vec<(String, String)> {
    let mut own = endpoints.variables();
    own.extend(
        [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("LEDGER_TABLE", "ledger"),
            ("LEADSQUARED_KEYS_SECRET", "keys"),
            ("PORTAL_URL", "https://portal.example.com/"),
            ("LINK_URL", "https://links.example.com/login-links/"),
            ("METRICS_NAMESPACE", "benchmark"),
            ("NETWORK_SALT", "benchmark"),
            ("ALLOWANCE_CALLS", "1000000"),
            ("ALLOWANCE_DAILY", "1000000000"),
            ("MAIL_BUDGET", "1000000000"),
            ("_HANDLER", handler),
        ]
        .map(|(name, value)| (name, value.to_owned())),
    );
    if input == Input::WorstForm {
        own.push(("FORM_FIELDS", WORST_FORM_FIELDS.to_owned()));
    }
    // The peers find their interpreters by it.
    own.extend(std::env::var("PATH").ok().map(|path| ("PATH", path)));
    let address = own[0].1.clone();
    template.settings(&own, &address)
}

/// A running function.
pub(crate) struct Process<'a> {
    pub(crate) subject: &'a Subject,
    endpoints: &'a Endpoints,
    function: Function,
    /// Its process id.
    pub(crate) id: u32,
    /// The connections of earlier processes.
    connections: usize,
    share: Option<CpuShare>,
}

impl Process<'_> {
    /// Holds the process to a share of a core until it ends.
    pub(crate) fn hold(&mut self, share: CpuShare) -> anyhow::Result<()> {
        share.hold(self.id)?;
        self.share = Some(share);
        Ok(())
    }

    /// Sends an event; returns how long the answer took, and the calls that the function made.
    ///
    /// # Errors
    /// When the function did not do its work.
    pub(crate) async fn send(&self, events: &mut Events, input: Input) -> anyhow::Result<(Duration, Calls)> {
        let event = events.of(input);
        let began = Instant::now();
        let answer = self.function.invoke_bytes(event.into(), TIMEOUT).await;
        let time = began.elapsed();
        let name = self.subject.column.name;
        let answer = answer.map_err(|error| anyhow!("{name} did not answer: {error:?}"))?;
        let calls = self.endpoints.take_calls();
        if self.subject.column.role != Role::Floor {
            check(self.subject.work, input, &answer, &calls)
                .with_context(|| format!("{name} did not do its work; it answered {answer} and called {calls:?}"))?;
        }
        Ok((time, calls))
    }

    /// The connections that it opened.
    pub(crate) fn connections(&self) -> usize {
        self.endpoints.connections() - self.connections
    }

    /// Ends the process.
    pub(crate) async fn stop(self) {
        self.function.stop().await;
        // A group can be removed once its process has ended.
        drop(self.share);
    }
}

/// A form is accepted and one message of it sent; a batch has no failures, and each person is registered and mailed.
pub(crate) fn check(work: Work, input: Input, answer: &Value, calls: &Calls) -> anyhow::Result<()> {
    let aws = |name: &str| calls.aws.get(name).copied().unwrap_or_default();
    let leadsquared = |name: &str| calls.leadsquared.get(name).copied().unwrap_or_default();
    match work {
        Work::Intake => {
            ensure!(answer["statusCode"] == 202, "the form was not accepted");
            ensure!(aws("SendMessage") == 1, "not one message was sent");
        }
        Work::Worker => {
            let failures = answer["batchItemFailures"].as_array();
            ensure!(failures.is_some_and(Vec::is_empty), "a message failed");
            for call in ["Register", "SendEmailToLead"] {
                ensure!(leadsquared(call) == input.count(), "{call} was not called once for each person");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn calls(aws: &[(&str, u64)], leadsquared: &[(&str, u64)]) -> Calls {
        let counts = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Calls { aws: counts(aws), leadsquared: counts(leadsquared), ..Calls::default() }
    }

    #[test]
    fn a_form_counts_if_it_was_accepted_and_sent_once() {
        let passes = |status: u16, sent: u64| {
            let answer = json!({ "statusCode": status });
            check(Work::Intake, Input::Form, &answer, &calls(&[("SendMessage", sent)], &[])).is_ok()
        };
        assert!(passes(202, 1));
        assert!(!passes(503, 1) && !passes(202, 0) && !passes(202, 2));
    }

    #[test]
    fn a_batch_counts_if_every_person_was_registered_and_mailed() {
        let passes = |failures: Value, registered: u64, mailed: u64| {
            let calls = calls(&[], &[("Register", registered), ("SendEmailToLead", mailed)]);
            check(Work::Worker, Input::Batch(2), &json!({ "batchItemFailures": failures }), &calls).is_ok()
        };
        assert!(passes(json!([]), 2, 2));
        assert!(!passes(json!([{"itemIdentifier": "1"}]), 2, 2));
        assert!(!passes(json!([]), 1, 2) && !passes(json!([]), 2, 3) && !passes(Value::Null, 2, 2));
    }
}
