//! Examines an account's settings and says how to fix what is wrong:
//!
//! ```sh
//! cargo run -p leadsquared --example doctor -- EmailAddress FirstName mx_Course
//! ```
//!
//! The arguments are the lead fields that are going to be written, and mails are taken to be from the keys' own user;
//! `examples/settings/mod.rs` lists the environment. Nothing in the account is changed. Exit status 1 means that
//! something must be fixed, or that LeadSquared did not answer.

#![expect(clippy::print_stdout, reason = "what it finds is for a person to read")]

mod settings;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use leadsquared::RateLimit;
use leadsquared::crm::Sender;
use leadsquared::tools::doctor::{Finding, Verdict, Wanted, WantedField, examine};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let client = settings::client()?;
    let allowance = Some(RateLimit { calls: 25, window: Duration::from_secs(5) });
    let fields = env::args().skip(1).map(WantedField::from).collect();
    let wanted = Wanted { fields, sender: Some(Sender::ApiCaller), allowance, ..Wanted::default() };
    let findings = examine(&client, &wanted).await;
    for finding in &findings {
        println!("{finding}");
    }
    let is_good = |finding: &Finding| matches!(finding.verdict, Verdict::Good(_));
    let failed = findings.iter().any(Finding::is_wrong) || !findings.iter().any(is_good);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
