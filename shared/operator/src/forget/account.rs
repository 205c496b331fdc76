//! LeadSquared, asked for the leads and the address of the person.

use std::time::Instant;

use leadsquared::{Client, EmailAddress, Error, InvalidOptions, Lane};
use leadsquared_account::{Account, AccountError, AccountSettings, BACKGROUND_TIMEOUTS};
use settings::{SettingError, Variables};

use super::Person;
use crate::{OperatorError, Stack};

/// Why LeadSquared could not be asked.
#[derive(Debug, thiserror::Error)]
enum LookUpError {
    #[error(transparent)]
    Stack(#[from] OperatorError),
    #[error("the stack's parameters are not usable: {0}")]
    Settings(#[from] SettingError),
    #[error(transparent)]
    Options(#[from] InvalidOptions),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    LeadSquared(#[from] Error),
}

/// Adds what LeadSquared knows of the person: the leads of each address, and the address of each lead. Each look-up
/// takes one call of the account's allowance.
///
/// # Errors
/// When LeadSquared cannot be asked: why, in words without personal data. The person is as before then.
pub(super) async fn complete(stack: &Stack, person: &mut Person) -> Result<(), String> {
    // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the compiler.
    let found = Box::pin(look_up(stack, person.clone())).await;
    *person = found.map_err(|error| error.to_string())?;
    Ok(())
}

async fn look_up(stack: &Stack, asked: Person) -> Result<Person, LookUpError> {
    let account = Account::open(&stack.config, &settings(stack)?, Lane::Interactive, BACKGROUND_TIMEOUTS)?;
    account.with_client(Instant::now, LookUpError::leadsquared, |client| ask(client, asked.clone())).await
}

impl LookUpError {
    fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::LeadSquared(error) => Some(error),
            _ => None,
        }
    }
}

async fn ask(client: Client, asked: Person) -> Result<Person, LookUpError> {
    let mut found = asked.clone();
    for email in &asked.emails {
        // LeadSquared's search may also find leads that have the address in another field.
        let leads = client.leads_by_email(email).await?.into_iter();
        found.leads.extend(leads.filter(|lead| lead.email().as_ref() == Some(email)).map(|lead| lead.id()));
    }
    for lead in &asked.leads {
        let email = client.lead_by_id(lead).await?.and_then(|lead| lead.email());
        found.emails.extend(email.iter().flat_map(EmailAddress::spellings));
    }
    Ok(found)
}

/// The settings that the stack's functions have, from its parameters and outputs.
fn settings(stack: &Stack) -> Result<AccountSettings, LookUpError> {
    let (keys, table) = (stack.output("KeysSecretArn")?, stack.output("LedgerTable")?);
    let parameter = |name: &str| stack.parameters().text(name).map(str::to_owned);
    let setting = |name: &str| match name {
        "LEADSQUARED_KEYS_SECRET" => Some(keys.to_owned()),
        "LEDGER_TABLE" => Some(table.to_owned()),
        "LEADSQUARED_API_URL" => parameter("LeadSquaredApiUrl"),
        "LEADSQUARED_PORTAL_API_URL" => parameter("LeadSquaredPortalApiUrl"),
        "LEADSQUARED_TENANT_AUTH_KEY_PATH" => parameter("TenantAuthKeyPath"),
        "PORTAL_ID" => parameter("PortalId"),
        "ALLOWANCE_CALLS" => parameter("AllowanceCalls"),
        "ALLOWANCE_WINDOW_SECONDS" => parameter("AllowanceWindowSeconds"),
        "ALLOWANCE_SHARE" => parameter("AllowanceShare").or_else(|| Some("100".to_owned())),
        "ALLOWANCE_DAILY" => parameter("AllowanceDaily"),
        _ => None,
    };
    Ok(AccountSettings::read(&Variables::new(&setting))?)
}
