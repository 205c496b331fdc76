//! Data folders, seeds, further accounts, and secrets in debug output.

use leadsquared_emulator::{Call, Clock, Emulator, Role, Settings, StartError, Tenant};
use serde_json::json;

use crate::{Account, START, settings};

#[tokio::test]
async fn data_in_a_folder_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = || Settings { data: Some(folder.path().join("data")), seed: None, ..settings() };
    let account = Account::with(settings()).await;
    let lead = account.portal_user("asha@example.test").await;
    let tenant_key = account.tenant_key().await;
    let email = json!({"SenderType": "APICaller", "RecipientType": "LeadEmailAddress", "Recipient": "asha@example.test",
        "EmailType": "Html", "ContentHTML": "<p>Hi</p>", "Subject": "Hi"});
    account.ok(account.call(Call::SendEmailToLead).json(&email)).await;
    let (leads, mails) = (account.emulator.leads(), account.emulator.mails());
    let public_key = account.public_key.clone();
    account.emulator.shutdown().await;

    let account = Account::with(settings()).await;
    assert_eq!((account.emulator.leads(), account.emulator.mails()), (leads, mails));
    assert!(account.emulator.has_password(&lead, "Example@Pass1").await);
    assert_eq!(account.public_key, public_key);
    assert_eq!(account.lead_key(&tenant_key, &lead).await.0, 200);
}

#[tokio::test]
async fn a_seed_draws_new_ids_at_each_start_and_repeats_them_for_the_same_starts() {
    let two_starts = async || {
        let folder = tempfile::tempdir().unwrap();
        let settings = || Settings { data: Some(folder.path().to_owned()), seed: Some(7), ..settings() };
        let mut leads = Vec::new();
        for email in ["asha@example.test", "ravi@example.test"] {
            let account = Account::with(settings()).await;
            leads.push(account.portal_user(email).await);
            leads.push(account.tenant_key().await);
            account.emulator.shutdown().await;
        }
        leads
    };
    let drawn = two_starts().await;
    assert_ne!((&drawn[0], &drawn[1]), (&drawn[2], &drawn[3]));
    assert_eq!(two_starts().await, drawn);
}

#[tokio::test]
async fn accounts_on_one_host_are_separate() {
    let mut other = Tenant { short_code: "54321".to_owned(), ..Tenant::default() };
    other.users.truncate(1);
    other.users[0].access_key = "u$r0000000000000000000000000000other".to_owned();
    other.portals[0].id = "22222222-2222-4222-8222-222222222223".to_owned();
    let mut settings = Settings { other_tenants: vec![other], ..settings() };
    settings.limit.calls = 5;
    let account = Account::with(settings).await;
    let lead = account.portal_user("asha@example.test").await;
    let (_, secret_key) = account.emulator.keys();
    let query = [("accessKey", "u$r0000000000000000000000000000other"), ("secretKey", secret_key.as_str())];
    let token = account.http.get(account.url(Call::RegistrationToken)).query(&query);
    let (_, token) = account.ok(token).await;
    assert!(token.as_str().unwrap().ends_with("54321"));
    let read = || account.http.get(account.url(Call::LeadById)).query(&query).query(&[("id", &lead)]);
    for _ in 0..4 {
        assert_eq!(account.ok(read()).await.1, json!([]));
    }
    // One account has reached its limit, the other has not.
    assert_eq!(account.send(read()).await.0, 429);
    account.ok(account.call(Call::LeadById)).await;
}

#[tokio::test]
async fn contradictory_settings_do_not_start() {
    let start = async |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings { clock: Clock::stopped_at(START), ..Settings::for_tests() };
        change(&mut settings);
        Emulator::start(settings).await.unwrap_err()
    };
    let changes: [fn(&mut Settings); 5] = [
        |settings| settings.limit.calls = 0,
        |settings| settings.tenant.short_code = "1".to_owned(),
        |settings| settings.other_tenants = vec![Tenant::default()],
        |settings| settings.tenant.portals[0].id = "portal".to_owned(),
        |settings| settings.tenant.fields.iter_mut().for_each(|field| field.unique = false),
    ];
    for change in changes {
        assert!(matches!(start(&change).await, StartError::Settings(_)));
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Some(taken.local_addr().unwrap().port());
    let settings = Settings { port, ..Settings::for_tests() };
    assert!(matches!(Emulator::start(settings).await, Err(StartError::Port(_))));
}

#[tokio::test]
async fn no_debug_output_holds_a_secret() {
    let account = Account::new().await;
    account.portal_user("asha@example.test").await;
    let (access_key, secret_key) = account.emulator.keys();
    let printed = format!("{:?} {:?} {:?}", account.emulator, settings(), account.emulator.calls());
    for secret in [&access_key, &secret_key, &account.public_key, "Example@Pass1"] {
        assert!(!printed.contains(secret));
    }
    assert!(account.emulator.keys_of(Role::MarketingUser).is_none());
}
