//! Writes a lead and finds it again, by e-mail and by phone:
//!
//! ```sh
//! cargo run -p leadsquared --example leads -- asha@example.com '90000 00001'
//! ```

#![expect(clippy::print_stdout, reason = "it says what it found")]

mod settings;

use std::env;

use anyhow::bail;
use leadsquared::crm::UpdateBehavior;
use leadsquared::{Attributes, CallingCode, EmailAddress, Phone};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = settings::client()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [email, phone] = arguments.as_slice() else { bail!("usage: leads EMAIL PHONE") };
    let country: CallingCode =
        client.authenticate_user().await?.default_country_code.as_deref().unwrap_or("91").parse()?;
    let (email, phone): (EmailAddress, Phone) = (email.parse()?, Phone::parse(phone, country)?);
    let fields = Attributes::new().with("EmailAddress", email.expose()).with("Phone", phone.expose());
    let lead = client.capture_lead(&fields, UpdateBehavior::UpdateOnlyEmptyFields).await?;
    println!("captured {lead}");
    println!("{} by e-mail", client.leads_by_email(&email).await?.len());
    println!("{} by phone", client.leads_by_phone(&phone).await?.len());
    for field in client.lead_fields().await?.iter().filter(|field| field.is_mandatory) {
        println!("every lead needs {} ({})", field.schema_name, field.data_type);
    }
    Ok(())
}
