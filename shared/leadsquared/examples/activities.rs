//! Posts an activity on a lead, and lists the lead's earlier activities:
//!
//! ```sh
//! cargo run -p leadsquared --example activities -- asha@example.com 'Login link issued'
//! ```

#![expect(clippy::print_stdout, reason = "it says what it found")]

mod settings;

use std::env;

use anyhow::{Context, bail};
use leadsquared::crm::{ActivityQuery, NewActivity, NewActivityType};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = settings::client()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [email, name] = arguments.as_slice() else { bail!("usage: activities EMAIL ACTIVITY-NAME") };
    let lead = client.leads_by_email(&email.parse()?).await?.first().context("no lead has this address")?.id();
    let known = client.activity_types().await?.into_iter().find(|(_, known)| known == name);
    let event = match known {
        Some((code, _)) => code,
        None => {
            client.create_activity_type(&NewActivityType { name: name.clone(), ..NewActivityType::default() }).await?
        }
    };
    let activity = NewActivity { event, note: "noted by an example".to_owned(), at: None, fields: Vec::new() };
    client.post_activity(&lead, &activity).await?;
    for activity in client.activities(&lead, &ActivityQuery::default()).await?.activities {
        println!("{} {} {}", activity.created_on, activity.event_code, activity.event_name);
    }
    Ok(())
}
