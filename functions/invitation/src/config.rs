//! The settings of this function.

use std::num::NonZeroU32;
use std::time::Duration;

use forms::SignInFields;
use leadsquared::PortalId;
use leadsquared::crm::Sender;
use leadsquared_account::{AccountSettings, mail_sender, unproven_field};
use mail::Wording;
use onboarding::rules::{RuleLookups, Rules};
use onboarding::{LinkMode, MailLimits, Marking, Portal};
use settings::{SettingError, Variables};

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: the queue that delivers the messages.
    pub invitations_queue_url: String,
    /// `DEAD_LETTERS_QUEUE_URL`: the queue of dead letters.
    pub dead_letters_queue_url: String,
    /// LeadSquared, the ledger's table and the call allowance.
    pub account: AccountSettings,
    /// `LINK_MODE` (`direct` or `on-click`); `PORTAL_URL` for the one, `LINK_URL` and `LINK_VALID_HOURS` for the
    /// other.
    pub link: LinkMode,
    /// `ORGANISATION` and `MAIL_SUBJECT`.
    pub wording: Wording,
    /// `MAIL_SENDER`, optional: the LeadSquared user the mail is from.
    pub mail_sender: Sender,
    /// `MAILS_PER_HOUR`, `MAILS_PER_DAY`, `MAIL_COOL_DOWN_SECONDS` and `MAIL_BUDGET`: how much mail may be sent.
    pub mail_limits: MailLimits,
    /// `UNPROVEN_FIELD`, optional: the lead field that marks unproven identifiers; and `SIGN_IN_FIELDS`, optional:
    /// which identifiers there are besides `Phone` and `Mobile`.
    pub marking: Marking,
    /// `CRM_RULES`: the rules, for invitations whose event did not decide them.
    pub lookups: RuleLookups,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one is missing or invalid; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        let account = AccountSettings::read(variables)?;
        let sign_in_fields: Option<SignInFields> =
            variables.parsed_if_set(SignInFields::SETTING, SignInFields::EXPECTED)?;
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            dead_letters_queue_url: variables.required("DEAD_LETTERS_QUEUE_URL")?,
            lookups: RuleLookups::new(
                variables.parsed(Rules::SETTING, Rules::EXPECTED)?,
                account.allowance.settings().daily,
            ),
            link: link_mode(variables, account.leadsquared.portal_id)?,
            account,
            wording: Wording {
                organisation: variables.required("ORGANISATION")?,
                subject: variables.required("MAIL_SUBJECT")?,
            },
            mail_sender: mail_sender(variables)?,
            mail_limits: mail_limits(variables)?,
            marking: Marking {
                field: unproven_field(variables),
                identifiers: sign_in_fields.unwrap_or_default().into_attributes(),
            },
        })
    }
}

fn link_mode(variables: &Variables<'_>, portal: PortalId) -> Result<LinkMode, SettingError> {
    const LINK_MODE: &str = "LINK_MODE";
    const LINK_URL: &str = "LINK_URL";
    const LINK_VALID_HOURS: &str = "LINK_VALID_HOURS";
    match &*variables.required(LINK_MODE)? {
        "direct" => Ok(LinkMode::Direct { portal: Portal { id: portal, page: variables.page("PORTAL_URL")? } }),
        "on-click" => {
            let page = variables.page(LINK_URL)?;
            if !page.path().ends_with('/') {
                let expected = "the address of the login-link function's pages";
                return Err(SettingError::invalid(LINK_URL, expected, "it must end with a slash"));
            }
            let hours: u16 = variables.parsed(LINK_VALID_HOURS, "a number of hours")?;
            if hours == 0 {
                return Err(SettingError::invalid(LINK_VALID_HOURS, "a number of hours", "it must be above 0"));
            }
            Ok(LinkMode::OnClick { page, valid_for: Duration::from_secs(3600 * u64::from(hours)) })
        }
        _ => Err(SettingError::invalid(LINK_MODE, "a way for links to work", "it is `on-click` or `direct`")),
    }
}

fn mail_limits(variables: &Variables<'_>) -> Result<MailLimits, SettingError> {
    const NUMBER: &str = "a whole number above 0";
    let number = |name| -> Result<u32, SettingError> {
        let number: NonZeroU32 = variables.parsed(name, NUMBER)?;
        Ok(number.get())
    };
    Ok(MailLimits {
        cool_down: time::Duration::seconds(number("MAIL_COOL_DOWN_SECONDS")?.into()),
        hourly: number("MAILS_PER_HOUR")? as usize,
        daily: number("MAILS_PER_DAY")? as usize,
        budget: number("MAIL_BUDGET")?,
    })
}
