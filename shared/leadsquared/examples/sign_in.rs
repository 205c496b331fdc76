//! Signs a portal user in and changes their password:
//!
//! ```sh
//! cargo run -p leadsquared --example sign_in -- asha@example.com 'Example@Pass1' 'New@Pass2'
//! ```

#![expect(clippy::print_stdout, reason = "it says what happened")]

mod settings;

use std::env;

use anyhow::bail;
use leadsquared::Error;
use leadsquared::portal::Identifier;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = settings::client()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [email, password, new_password] = arguments.as_slice() else {
        bail!("usage: sign_in EMAIL PASSWORD NEW-PASSWORD");
    };
    let (password, new_password) = (password.as_str().into(), new_password.as_str().into());
    match client.sign_in(&Identifier::Email(email.parse()?), &password).await {
        Ok(session) => {
            client.change_password(&session.auth_key, &password, &new_password).await?;
            println!("lead {} is signed in and has a new password", session.lead_id);
        }
        Err(Error::BadPortalPassword) => println!("wrong password, or no portal account under that address"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
