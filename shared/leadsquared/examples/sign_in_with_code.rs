//! Signs a portal user in with the code that LeadSquared sends to their phone:
//!
//! ```sh
//! cargo run -p leadsquared --example sign_in_with_code -- +91-9000000001
//! ```
//!
//! The code is asked for on standard input.

#![expect(clippy::print_stdout, reason = "it asks for the code and says what happened")]

mod settings;

use std::{env, io};

use anyhow::Context;
use leadsquared::{Error, OneTimeCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = settings::client()?;
    let phone = env::args().nth(1).context("usage: sign_in_with_code PHONE")?;
    let sent = match client.send_sign_in_code("Phone", &phone).await {
        Ok(sent) => sent,
        Err(Error::NoSuchLead) => {
            println!("no lead with this number may sign in");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    println!("The code that was sent:");
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    match client.sign_in_with_code(&sent, &OneTimeCode::from(line.trim())).await {
        Ok(session) => println!("lead {} is signed in", session.lead_id),
        Err(Error::BadPortalPassword) => println!("that is not the code, or it is too old"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
