//! The settings of the function, and what they require of the LeadSquared account.

use forms::{FieldKind, Fields};
use leadsquared::crm::Sender;
use leadsquared::tools::doctor::{FieldContent, Wanted, WantedField};
use leadsquared_account::{AccountSettings, mail_sender, unproven_field};
use onboarding::rules::{Rule, Rules};
use settings::{SettingError, Variables};

/// Every setting this function reads.
pub struct Config {
    /// The LeadSquared account, the call allowance and the ledger's table.
    pub account: AccountSettings,
    /// `FORM_FIELDS`: the form's fields, as JSON.
    pub fields: Fields,
    /// `CRM_RULES`: the rules for LeadSquared's events.
    pub rules: Rules,
    /// `UNPROVEN_FIELD`, optional: the lead field that marks unproven identifiers.
    pub unproven_field: String,
    /// `MAIL_SENDER`, optional: the LeadSquared user who sends the mails.
    pub mail_sender: Sender,
}

/// The longest mark, in characters.
const MARK_LIMIT: usize = 200;

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        let fields: Fields = variables.parsed(Fields::SETTING, Fields::EXPECTED)?;
        Ok(Self {
            account: AccountSettings::read(variables)?,
            fields,
            rules: variables.parsed(Rules::SETTING, Rules::EXPECTED)?,
            unproven_field: unproven_field(variables),
            mail_sender: mail_sender(variables)?,
        })
    }

    /// What the settings require of the account.
    pub fn wanted(&self) -> Wanted {
        let fields = self.fields.iter().filter_map(|field| {
            let content = match field.kind {
                FieldKind::Text | FieldKind::Multiline => FieldContent::Text(field.limit),
                FieldKind::Email => FieldContent::EmailAddress,
                FieldKind::Phone => FieldContent::Phone,
                FieldKind::Date => FieldContent::Date,
                FieldKind::Choice => FieldContent::Choice(field.options.clone()),
                FieldKind::Consent => FieldContent::Flag,
                FieldKind::Password | FieldKind::Honeypot => return None,
            };
            Some(WantedField { name: field.attribute.clone()?, content })
        });
        // The worker writes the mark with every lead of a form.
        let mark = WantedField { name: self.unproven_field.clone(), content: FieldContent::Text(MARK_LIMIT) };
        Wanted {
            fields: fields.chain([mark]).collect(),
            read: self.rules.iter().flat_map(Rule::lead_fields).map(str::to_owned).collect(),
            sender: Some(self.mail_sender.clone()),
            allowance: Some(self.account.allowance.settings().limit),
        }
    }
}
