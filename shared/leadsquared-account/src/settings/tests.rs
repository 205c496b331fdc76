//! Tests of the daily cap that follows from the settings.

use leadsquared::Lane;

use super::*;

fn read(calls: &str, share: &str, daily: Option<&str>) -> Result<AllowanceRules, SettingError> {
    let lookup = |name: &str| match name {
        "ALLOWANCE_CALLS" => Some(calls.to_owned()),
        "ALLOWANCE_WINDOW_SECONDS" => Some("5".to_owned()),
        "ALLOWANCE_SHARE" => Some(share.to_owned()),
        "ALLOWANCE_DAILY" => daily.map(str::to_owned),
        _ => None,
    };
    allowance(&Variables::new(&lookup))
}

#[test]
fn without_the_setting_the_daily_cap_is_our_share_of_what_the_plan_permits() {
    for (calls, share, expected) in [
        ("10", "100", 10_000),
        ("10", "25", 2_500),
        ("5", "100", 10_000),
        ("11", "100", 100_000),
        ("20", "100", 100_000),
        ("25", "50", 50_000),
        ("100", "1", 1_000),
    ] {
        // An earlier template passes the setting empty or not at all.
        for daily in [None, Some(""), Some(" ")] {
            let rules = read(calls, share, daily).unwrap();
            assert_eq!(rules.settings().daily, Some(expected), "{calls} calls, {share} %");
            assert_eq!(rules.daily(Lane::Interactive), Some(expected));
            assert_eq!(rules.daily(Lane::Background), Some(expected / 10 * 9));
        }
    }
}

#[test]
fn a_number_is_the_daily_cap_and_none_switches_it_off() {
    assert_eq!(read("10", "25", Some("7000")).unwrap().settings().daily, Some(7_000));
    for none in ["none", " None "] {
        let rules = read("10", "25", Some(none)).unwrap();
        assert_eq!((rules.settings().daily, rules.daily(Lane::Background)), (None, None));
    }
    for wrong in ["all", "-1", "1.5", "0"] {
        assert!(read("10", "100", Some(wrong)).is_err(), "{wrong}");
    }
}
