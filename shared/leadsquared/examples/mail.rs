//! Has LeadSquared send a mail to a lead, from the keys' own user:
//!
//! ```sh
//! cargo run -p leadsquared --example mail -- asha@example.com 'Your application' 'We have it.'
//! ```

#![expect(clippy::print_stdout, reason = "it says what was sent")]

mod settings;

use std::env;

use anyhow::bail;
use leadsquared::crm::{Content, EmailToLead, Recipient};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = settings::client()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [email, subject, text] = arguments.as_slice() else { bail!("usage: mail EMAIL SUBJECT TEXT") };
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    let content = Content::Html { html: format!("<p>{escaped}</p>"), text: text.clone() };
    let sent =
        client.send_email_to_lead(&EmailToLead::new(Recipient::LeadEmail(email.parse()?), subject, content)).await?;
    let (id, recipients) = (sent.id.unwrap_or_default(), sent.total_recipient.unwrap_or_default());
    println!("mail {id} is on its way to {recipients} lead");
    Ok(())
}
