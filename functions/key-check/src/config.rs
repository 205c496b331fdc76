use std::time::Duration;

use forms::{FieldKind, Fields};
use leadsquared::crm::Sender;
use leadsquared::tools::doctor::{FieldContent, Wanted, WantedField};
use leadsquared::{EmailAddress, Timeouts};
use leadsquared_account::AccountSettings;
use onboarding::Marking;
use settings::{SettingError, Variables};

/// Every setting this function reads.
pub struct Config {
    /// LeadSquared, the ledger's table and the call line.
    pub account: AccountSettings,
    /// `FORM_FIELDS`: the form's fields, as JSON.
    pub fields: Fields,
    /// `UNPROVEN_FIELD`, optional: the lead field that marks unproven identifiers.
    pub unproven_field: String,
    /// `MAIL_SENDER`, optional: the LeadSquared user the mail is from.
    pub mail_sender: Option<EmailAddress>,
}

/// How long a mark gets, in characters.
const MARK_LIMIT: usize = 200;

/// As the worker has them. The total includes the wait in the account's call line.
pub const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(8), total: Duration::from_secs(12) };

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// When one is missing or of no use; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const FORM_FIELDS: &str = "FORM_FIELDS";
        const MAIL_SENDER: &str = "MAIL_SENDER";
        let fields = Fields::parse(&variables.required(FORM_FIELDS)?)
            .map_err(|error| SettingError::invalid(FORM_FIELDS, "a list of form fields", error))?;
        let mail_sender = variables.optional(MAIL_SENDER).map(|_| variables.parsed(MAIL_SENDER, "an e-mail address"));
        Ok(Self {
            account: AccountSettings::read(variables)?,
            fields,
            unproven_field: variables.optional("UNPROVEN_FIELD").unwrap_or_else(|| Marking::FIELD.to_owned()),
            mail_sender: mail_sender.transpose()?,
        })
    }

    /// What the account has to be good for.
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
        // The worker writes it with every lead of a form.
        let mark = WantedField { name: self.unproven_field.clone(), content: FieldContent::Text(MARK_LIMIT) };
        Wanted {
            fields: fields.chain([mark]).collect(),
            sender: Some(self.mail_sender.clone().map_or(Sender::ApiCaller, Sender::UserEmail)),
            allowance: Some(self.account.allowance.settings().limit),
        }
    }
}
