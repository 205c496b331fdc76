//! The settings of the function, and what they require of the LeadSquared account.

use forms::{Fields, Kind};
use leadsquared::doctor::{FieldContent, Wanted, WantedField};
use leadsquared::{EmailAddress, Sender};
use leadsquared_account::Settings;
use onboarding::Marking;
use settings::{SettingError, Variables};

/// Every setting this function reads.
pub struct Config {
    /// The LeadSquared account, the call allowance and the ledger's table.
    pub account: Settings,
    /// `FORM_FIELDS`: the form's fields, as JSON.
    pub fields: Fields,
    /// `UNPROVEN_FIELD`, optional: the lead field that marks unproven identifiers.
    pub unproven_field: String,
    /// `MAIL_SENDER`, optional: the LeadSquared user who sends the mails.
    pub mail_sender: Option<EmailAddress>,
}

/// The longest mark, in characters.
const MARK_LIMIT: usize = 200;

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const FORM_FIELDS: &str = "FORM_FIELDS";
        let fields = Fields::parse(&variables.required(FORM_FIELDS)?)
            .map_err(|error| SettingError::invalid(FORM_FIELDS, "a list of form fields", error))?;
        Ok(Self {
            account: Settings::read(variables)?,
            fields,
            unproven_field: variables.optional("UNPROVEN_FIELD").unwrap_or_else(|| Marking::FIELD.to_owned()),
            mail_sender: variables.parsed_if_set("MAIL_SENDER", "an e-mail address")?,
        })
    }

    /// What the settings require of the account.
    pub fn wanted(&self) -> Wanted {
        let fields = self.fields.iter().filter_map(|field| {
            let content = match field.kind {
                Kind::Text | Kind::Multiline => FieldContent::Text(field.limit),
                Kind::Email => FieldContent::EmailAddress,
                Kind::Phone => FieldContent::Phone,
                Kind::Date => FieldContent::Date,
                Kind::Choice => FieldContent::Choice(field.options.clone()),
                Kind::Consent => FieldContent::Flag,
                Kind::Password | Kind::Honeypot => return None,
            };
            Some(WantedField { name: field.attribute.clone()?, content })
        });
        // The worker writes the mark with every lead of a form.
        let mark = WantedField { name: self.unproven_field.clone(), content: FieldContent::Text(MARK_LIMIT) };
        Wanted {
            fields: fields.chain([mark]).collect(),
            sender: Some(self.mail_sender.clone().map_or(Sender::ApiCaller, Sender::UserEmail)),
            allowance: Some(self.account.allowance.settings().limit),
        }
    }
}
