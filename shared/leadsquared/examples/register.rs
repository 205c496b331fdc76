//! Registers a person with the portal and prints a link that opens it signed in as them:
//!
//! ```sh
//! cargo run -p leadsquared --example register -- asha@example.com Asha 'Example@Pass1' https://apply.example.com/
//! ```

#![expect(clippy::print_stdout, reason = "the link is what one runs it for; a program would mail it instead")]

mod settings;

use std::env;

use anyhow::bail;
use leadsquared::portal::{Registration, auto_login_link};
use leadsquared::{Attributes, EmailAddress, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = settings::client()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [email, first_name, password, portal_page] = arguments.as_slice() else {
        bail!("usage: register EMAIL FIRST-NAME PASSWORD PORTAL-PAGE");
    };
    let email: EmailAddress = email.parse()?;
    let registration = Registration {
        register_only_new_lead: true,
        password: password.as_str().into(),
        fields: Attributes::new().with("EmailAddress", email.expose()).with("FirstName", first_name),
    };
    let lead = match client.register(&registration).await {
        Ok(lead) => lead,
        // A second registration with `false` could replace the password of another person.
        Err(Error::LeadExists) => client.leads_by_email(&email).await?.first().ok_or(Error::NoSuchLead)?.id(),
        Err(error) => return Err(error.into()),
    };
    let key = client.lead_auto_login_key(&lead).await?;
    println!("{}", auto_login_link(&portal_page.parse()?, &lead, &client.options().portal_id, &key).expose());
    Ok(())
}
