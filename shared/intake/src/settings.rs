//! The numbers of the caps: a default for each, which a setting can change.

use onboarding::MailLimits;
use serde::Deserialize;
use settings::{SettingError, Variables};

/// The caps, with the defaults that the README documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntakeLimits {
    /// Applications of one person from one network, in any hour.
    pub person_and_network: u32,
    /// Applications for one mailbox from any network, in any hour.
    pub mailbox: u32,
    /// Applications from one network, in a quarter of an hour.
    pub network: u32,
    /// The share of the day's calls and mails that one network can use, in percent.
    pub network_share: u32,
    /// Applications of one form key or one event source, in an hour.
    pub form_key: u32,
    /// The share of the day's calls and mails that one form key or event source can use, in percent.
    pub form_key_share: u32,
    /// Applications of one network that can be held, in a day.
    pub held: u32,
    /// Requests for a login link from one network, in a quarter of an hour.
    #[serde(skip)]
    pub link_requests: u32,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            person_and_network: 3,
            mailbox: 20,
            network: 300,
            network_share: 5,
            form_key: 5_000,
            form_key_share: 50,
            held: 100,
            link_requests: 60,
        }
    }
}

/// The calls and mails of one UTC day, which the plan and the mail settings permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyBudget {
    /// Calls to LeadSquared; none if the daily cap is switched off.
    pub calls: Option<u32>,
    /// Mails.
    pub mails: u32,
}

/// The settings of intake. All are optional, so that a function also runs with an earlier template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeSettings {
    /// `LEDGER_TABLE`: the table with the counters. Without it, each process counts alone.
    pub ledger_table: Option<String>,
    /// `INTAKE_LIMITS`: the caps, as JSON.
    pub limits: IntakeLimits,
    /// The calls and mails of the day, of which senders get a share.
    pub day: DailyBudget,
}

impl IntakeSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is invalid. The error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const INTAKE_LIMITS: &str = "INTAKE_LIMITS";
        let limits = match variables.optional(INTAKE_LIMITS) {
            Some(json) => {
                let expected = "a JSON object of caps";
                let limits: IntakeLimits = serde_json::from_str(&json)
                    .map_err(|error| SettingError::invalid(INTAKE_LIMITS, expected, error))?;
                limits.checked().map_err(|reason| SettingError::invalid(INTAKE_LIMITS, expected, reason))?
            }
            None => IntakeLimits::default(),
        };
        Ok(Self { ledger_table: variables.optional("LEDGER_TABLE"), limits, day: DailyBudget::read(variables)? })
    }
}

impl IntakeLimits {
    fn checked(self) -> Result<Self, String> {
        let Self { person_and_network, mailbox, network, network_share, form_key, form_key_share, held, .. } = self;
        let all = [
            ("person_and_network", person_and_network, ledger::KeyedLimit::MOST),
            ("mailbox", mailbox, ledger::KeyedLimit::MOST),
            ("network", network, 1_000_000),
            ("network_share", network_share, 100),
            ("form_key", form_key, 1_000_000),
            ("form_key_share", form_key_share, 100),
            ("held", held, 1_000_000),
        ];
        match all.into_iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            Some((name, _, most)) => Err(format!("{name} must be from 1 to {most}")),
            None => Ok(self),
        }
    }
}

impl DailyBudget {
    fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const ALLOWANCE_DAILY: &str = "ALLOWANCE_DAILY";
        // An earlier template sets none of these for a function that receives applications.
        let calls =
            variables.parsed_if_set("ALLOWANCE_CALLS", "a whole number")?.unwrap_or(call_allowance::DEFAULT_CALLS);
        let share = variables.parsed_if_set("ALLOWANCE_SHARE", "a percentage")?.unwrap_or(100);
        let daily = variables.optional(ALLOWANCE_DAILY);
        let calls = call_allowance::daily_cap(daily.as_deref(), calls, share)
            .map_err(|error| SettingError::invalid(ALLOWANCE_DAILY, "a whole number above 0, or `none`", error))?;
        let mails = variables.parsed_if_set("MAIL_BUDGET", "a whole number")?;
        Ok(Self { calls, mails: mails.unwrap_or(MailLimits::default().budget) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<IntakeSettings, String> {
        let lookup = |name: &str| settings.iter().find(|(its, _)| *its == name).map(|(_, value)| (*value).to_owned());
        IntakeSettings::read(&Variables::new(&lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_the_smallest_plan_is_assumed() {
        let all = read(&[]).unwrap();
        assert_eq!(all.limits, IntakeLimits::default());
        assert_eq!((all.ledger_table, all.day), (None, DailyBudget { calls: Some(10_000), mails: 10_000 }));
    }

    #[test]
    fn the_readme_has_the_default_of_every_cap() {
        let IntakeLimits {
            person_and_network,
            mailbox,
            network,
            network_share,
            form_key,
            form_key_share,
            held,
            link_requests,
        } = IntakeLimits::default();
        let readme = include_str!("../README.md");
        for (name, default) in [
            ("person_and_network", person_and_network),
            ("mailbox", mailbox),
            ("network", network),
            ("network_share", network_share),
            ("form_key", form_key),
            ("form_key_share", form_key_share),
            ("held", held),
            ("ATTEMPTS_PER_ADDRESS", link_requests),
        ] {
            let row = readme.lines().find(|line| line.starts_with("| ") && line.ends_with(&format!("`{name}` |")));
            let cell = row.unwrap_or_else(|| panic!("{name} has a row")).split(" | ").nth(1).unwrap();
            let number = cell.split(' ').next().unwrap().replace(',', "");
            assert_eq!(number, default.to_string(), "the default of {name}");
        }
    }

    #[test]
    fn the_days_calls_follow_from_the_plan_and_its_share() {
        for (settings, calls) in [
            (&[("ALLOWANCE_CALLS", "10")][..], Some(10_000)),
            (&[("ALLOWANCE_CALLS", "25"), ("ALLOWANCE_SHARE", "50")], Some(50_000)),
            (&[("ALLOWANCE_DAILY", "700"), ("ALLOWANCE_SHARE", "50")], Some(700)),
            (&[("ALLOWANCE_DAILY", "none")], None),
        ] {
            assert_eq!(read(settings).unwrap().day.calls, calls, "{settings:?}");
        }
    }

    #[test]
    fn one_cap_can_be_changed_and_an_invalid_one_is_named() {
        let limits = read(&[("INTAKE_LIMITS", r#"{"network": 900}"#)]).unwrap().limits;
        assert_eq!(limits, IntakeLimits { network: 900, ..IntakeLimits::default() });
        for (json, part) in [
            (r#"{"network": 0}"#, "network must be from 1"),
            (r#"{"mailbox": 101}"#, "mailbox must be from 1 to 100"),
            (r#"{"network_share": 101}"#, "network_share must be from 1 to 100"),
            (r#"{"networks": 3}"#, "unknown field"),
            ("{", "INTAKE_LIMITS"),
        ] {
            let error = read(&[("INTAKE_LIMITS", json)]).unwrap_err();
            assert!(error.contains(part) && error.contains("INTAKE_LIMITS"), "{error}");
        }
    }
}
