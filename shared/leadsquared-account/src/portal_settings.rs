//! Settings of the portal and its mails that some of the functions read.

use leadsquared::crm::Sender;
use onboarding::Marking;
use settings::{SettingError, Variables};

/// Reads `MAIL_SENDER`, optional: the LeadSquared user who sends the mails. Default: the user who owns the keys.
///
/// # Errors
/// When it is not an e-mail address.
pub fn mail_sender(variables: &Variables<'_>) -> Result<Sender, SettingError> {
    let user = variables.parsed_if_set("MAIL_SENDER", "an e-mail address")?;
    Ok(user.map_or(Sender::ApiCaller, Sender::UserEmail))
}

/// Reads `UNPROVEN_FIELD`, optional: the lead field that marks unproven identifiers.
pub fn unproven_field(variables: &Variables<'_>) -> String {
    variables.optional("UNPROVEN_FIELD").unwrap_or_else(|| Marking::FIELD.to_owned())
}
